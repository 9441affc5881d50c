//! What is known of a model beyond its dialect, as far as anybody said: facts that change from
//! model to model, entered as data. How a dialect uses them, and what it takes for usual where
//! nothing is said, is the business of `dialect`.

use serde::{Deserialize, Serialize};

use crate::{Faults, model_pattern};

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident: $kind:ty),+ $(,)?) => {
        /// Facts about a model; `None` where nothing is said and what is usual in the target's
        /// dialect holds. The same names as those of `dialect::Profile`, which is the whole of it.
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

            /// These facts, and those of `base` where nothing is said here.
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
    /// How thinking is asked for.
    thinking: ThinkingForm,
    /// Thinking cannot be switched off.
    thinking_always_on: bool,
    /// It thinks unless it is told not to.
    thinking_by_default: bool,
    /// A tool may be forced.
    forced_tool_choice: bool,
    /// System messages may stand inside of the conversation (Anthropic).
    mid_conversation_system: bool,
    /// JSON by a schema is native (Anthropic).
    structured_output: bool,
    /// JSON schemas are taken as they are (Gemini).
    json_schema: bool,
    /// The output limit where the client gives none and the dialect wants one.
    default_max_tokens: u64,
    /// How Chat Completions calls the output limit.
    max_tokens_field: MaxTokensField,
    /// The role of system messages in Chat Completions.
    system_role: SystemRole,
    /// It reasons, and takes an effort (OpenAI).
    reasoning: bool,
    /// It wants the `reasoning_content` of earlier tool calls back (Chat Completions).
    reasoning_content: bool,
    /// Function calls have ids (Gemini 3).
    function_call_ids: bool,
    /// Function calls must carry the signatures they came with (Gemini 3).
    thought_signatures: bool,
    /// Results of functions may hold images (Gemini 3).
    multimodal_function_response: bool,
}

impl ModelProfile {
    /// The largest output limit that may be entered.
    pub const MAX_TOKENS_MAX: u64 = 100_000_000;

    /// Every fact that cannot be so.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.default_max_tokens.is_some_and(|max| !(1..=Self::MAX_TOKENS_MAX).contains(&max)) {
            faults.add("default_max_tokens", format!("must be 1 to {}", Self::MAX_TOKENS_MAX));
        }
        faults
    }
}

/// How a model is asked to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkingForm {
    /// It does not think.
    None,
    /// By a number of tokens.
    Budget,
    /// It decides itself, guided by an effort (Anthropic).
    Adaptive,
    /// By a level (Gemini 3).
    Level,
}

/// The name of the output limit in Chat Completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// The old one, which most compatible servers know.
    MaxTokens,
    /// OpenAI's own since its reasoning models.
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

/// A profile and the models it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRule {
    /// A model's exact name, or how names begin followed by `*`; `*` alone is every model.
    pub pattern: String,
    /// What is known of these models.
    pub profile: ModelProfile,
}

impl ProfileRule {
    /// Most rules of one upstream.
    pub const RULES_MAX: usize = 256;

    /// Whether `model` is meant. Case counts, as it does for the vendors.
    pub fn is_of(&self, model: &str) -> bool {
        model_pattern::fits(&self.pattern, model)
    }

    /// What `rules` say of `model`. Where several match, the longest pattern has the last word on
    /// every fact it knows, an exact name before all; the others fill in what it leaves open.
    pub fn resolve(rules: &[ProfileRule], model: &str) -> ModelProfile {
        let weight = |rule: &ProfileRule| (!rule.pattern.ends_with('*'), rule.pattern.len());
        let mut matching: Vec<&ProfileRule> = rules.iter().filter(|r| r.is_of(model)).collect();
        matching.sort_by_key(|rule| weight(rule));
        let over = |base, rule: &ProfileRule| rule.profile.over(base);
        matching.into_iter().fold(ModelProfile::default(), over)
    }

    /// Everything about `rules` that could not be served; paths begin at the list.
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
