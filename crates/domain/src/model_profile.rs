//! Profiles of models: facts that differ within one dialect, as data. `dialect` defines their use
//! and their defaults.

use serde::{Deserialize, Serialize};

use crate::{Faults, model_pattern};

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident: $kind:ty),+ $(,)?) => {
        /// Facts about a model; for `None` the default of the target's dialect applies. The names
        /// are those of `dialect::Profile`, which has all values.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct ModelProfile {$(
            $(#[$doc])*
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $name: Option<$kind>,
        )+}

        impl ModelProfile {
            /// The names of all facts.
            pub const FACTS: &[&str] = &[$(stringify!($name)),+];

            /// Returns these facts, completed by those of `base`.
            #[must_use]
            pub fn over(self, base: Self) -> Self {
                Self {$($name: self.$name.or(base.$name)),+}
            }
        }
    };
}

facts! {
    /// `temperature`, `top_p` and `top_k` are accepted.
    sampling_params: bool,
    /// Presence and frequency penalties are accepted (Gemini).
    penalties: bool,
    /// The parameter that controls reasoning.
    thinking: ThinkingForm,
    /// Reasoning cannot be switched off.
    thinking_always_on: bool,
    /// The model reasons unless the request forbids it.
    thinking_by_default: bool,
    /// `tool_choice` may force a tool.
    forced_tool_choice: bool,
    /// System messages may occur inside the conversation (Anthropic).
    mid_conversation_system: bool,
    /// JSON schemas for answers are supported (Anthropic).
    structured_output: bool,
    /// Any JSON schema is accepted (Gemini).
    json_schema: bool,
    /// The output limit, in tokens, if the client gives none and the dialect requires one.
    default_max_tokens: u64,
    /// The name of the output limit in Chat Completions.
    max_tokens_field: MaxTokensField,
    /// The role of system messages in Chat Completions.
    system_role: SystemRole,
    /// The model reasons and accepts an effort (OpenAI).
    reasoning: bool,
    /// The model requires the `reasoning_content` of earlier tool calls (Chat Completions).
    reasoning_content: bool,
    /// Function calls have ids (Gemini 3).
    function_call_ids: bool,
    /// Function calls must carry their signatures (Gemini 3).
    thought_signatures: bool,
    /// Function results may contain images (Gemini 3).
    multimodal_function_response: bool,
}

impl ModelProfile {
    /// The largest output limit that is accepted, in tokens.
    pub const MAX_TOKENS_MAX: u64 = 100_000_000;

    /// Returns every invalid fact.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.default_max_tokens.is_some_and(|max| !(1..=Self::MAX_TOKENS_MAX).contains(&max)) {
            faults.add("default_max_tokens", format!("must be 1 to {}", Self::MAX_TOKENS_MAX));
        }
        faults
    }
}

/// The form of the parameter that controls reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkingForm {
    /// The model does not reason.
    None,
    /// A token budget.
    Budget,
    /// The model decides, guided by an effort (Anthropic).
    Adaptive,
    /// A level (Gemini 3).
    Level,
}

/// The name of the output limit in Chat Completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// `max_tokens`, which most compatible servers know.
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's reasoning models require.
    MaxCompletionTokens,
}

/// The role of instructions in Chat Completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemRole {
    /// `system`
    System,
    /// `developer`
    Developer,
}

/// A profile and the pattern of its models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRule {
    /// The pattern: an exact name, a prefix followed by `*`, or `*` for every model.
    pub pattern: String,
    /// The profile.
    pub profile: ModelProfile,
}

impl ProfileRule {
    /// Most rules of one upstream.
    pub const RULES_MAX: usize = 256;

    /// Whether the pattern matches `model`, case-sensitively as for the providers.
    pub fn is_of(&self, model: &str) -> bool {
        model_pattern::fits(&self.pattern, model)
    }

    /// Returns the facts that `rules` have about `model`. An exact name and then the longest prefix
    /// takes precedence for every fact; the others complete it.
    pub fn resolve(rules: &[ProfileRule], model: &str) -> ModelProfile {
        let weight = |rule: &ProfileRule| (!rule.pattern.ends_with('*'), rule.pattern.len());
        let mut matching: Vec<&ProfileRule> = rules.iter().filter(|r| r.is_of(model)).collect();
        matching.sort_by_key(|rule| weight(rule));
        let over = |base, rule: &ProfileRule| rule.profile.over(base);
        matching.into_iter().fold(ModelProfile::default(), over)
    }

    /// Returns the invalid fields of `rules`; paths begin at the list.
    pub fn faults(rules: &[ProfileRule]) -> Faults {
        let mut faults = Faults::default();
        if rules.len() > Self::RULES_MAX {
            faults.add("", format!("must be at most {}", Self::RULES_MAX));
        }
        let mut seen = std::collections::HashSet::new();
        for (i, rule) in rules.iter().enumerate().take(Self::RULES_MAX) {
            let plain = |b: u8| (0x21..=0x7e).contains(&b);
            let start = rule.pattern.strip_suffix('*').unwrap_or(&rule.pattern);
            if !(1..=256).contains(&rule.pattern.len())
                || !start.bytes().all(plain)
                || start.contains('*')
            {
                faults.add(
                    format!("[{i}].pattern"),
                    "must be a model name, or how names begin followed by one `*`",
                );
            } else if !seen.insert(&rule.pattern) {
                faults.add(format!("[{i}].pattern"), "is given twice");
            }
            for fault in rule.profile.faults().0 {
                faults.add(format!("[{i}].profile.{}", fault.field), fault.message);
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(tokens: u64) -> ModelProfile {
        ModelProfile { default_max_tokens: Some(tokens), ..ModelProfile::default() }
    }

    fn rule(pattern: &str, profile: ModelProfile) -> ProfileRule {
        ProfileRule { pattern: pattern.to_owned(), profile }
    }

    #[test]
    fn the_upper_layer_wins_fact_by_fact() {
        let upper = ModelProfile { reasoning: Some(false), ..limit(1) };
        let lower = ModelProfile { penalties: Some(true), reasoning: Some(true), ..limit(2) };
        let both = ModelProfile { penalties: Some(true), reasoning: Some(false), ..limit(1) };
        assert_eq!(upper.over(lower), both);
        assert_eq!(upper.over(ModelProfile::default()), upper);
    }

    #[test]
    fn the_longest_pattern_has_the_last_word_and_an_exact_name_before_all() {
        let rules = [
            rule("gpt-5.6", limit(4)),
            rule("gpt-5*", limit(3)),
            rule("*", ModelProfile { penalties: Some(true), ..limit(1) }),
            rule("gpt-5.6*", limit(5)),
        ];
        for (model, tokens) in [("gpt-5.6", 4), ("gpt-5.6-mini", 5), ("gpt-5", 3), ("GPT-5", 1)] {
            let expected = ModelProfile { penalties: Some(true), ..limit(tokens) };
            assert_eq!(ProfileRule::resolve(&rules, model), expected, "{model}");
        }
        assert_eq!(ProfileRule::resolve(&rules[..2], "o3"), ModelProfile::default());
    }

    #[test]
    fn what_could_not_be_served_is_told_with_its_place() {
        for (pattern, tokens, told) in [
            ("gpt-5*", 1, ""),
            ("*", ModelProfile::MAX_TOKENS_MAX, ""),
            ("", 1, "[0].pattern"),
            ("a*b", 1, "[0].pattern"),
            ("a**", 1, "[0].pattern"),
            ("a b", 1, "[0].pattern"),
            ("a", 0, "[0].profile.default_max_tokens"),
        ] {
            let faults = ProfileRule::faults(&[rule(pattern, limit(tokens))]).0;
            let fields = faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>();
            assert_eq!(fields.concat(), told, "{pattern:?}");
        }
        let twice = [rule("a*", limit(1)), rule("a*", limit(2))];
        assert_eq!(ProfileRule::faults(&twice).0[0].field, "[1].pattern");
        let many: Vec<_> = (0..=256).map(|i| rule(&format!("m{i}"), limit(1))).collect();
        assert_eq!(ProfileRule::faults(&many).to_string(), "must be at most 256");
    }

    #[test]
    fn only_what_is_known_is_written_and_what_is_new_is_tolerated() {
        let profile = ModelProfile { thinking: Some(ThinkingForm::Level), ..limit(8) };
        let text = serde_json::to_string(&profile).unwrap();
        assert_eq!(text, r#"{"thinking":"level","default_max_tokens":8}"#);
        let read = r#"{"thinking":"level","telepathy":true,"default_max_tokens":8}"#;
        assert_eq!(serde_json::from_str::<ModelProfile>(read).unwrap(), profile);
    }
}
