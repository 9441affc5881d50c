//! What is known of models, as upstreams, presets and the targets of routes tell it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::words::{MaxTokensField, SystemRole, ThinkingForm};

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident: $kind:ty),+ $(,)?) => {
        /// Facts about a model. What is left out follows from what stands below: a target stands
        /// on its upstream's profiles, these on those of its preset, these on what is usual in
        /// the dialect.
        #[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[schema(example = json!({"reasoning": true, "max_tokens_field": "max_completion_tokens"}))]
        pub(crate) struct ModelProfile {$(
            $(#[$doc])*
            #[serde(skip_serializing_if = "Option::is_none")]
            $name: Option<$kind>,
        )+}

        impl From<domain::ModelProfile> for ModelProfile {
            fn from(profile: domain::ModelProfile) -> Self {
                Self {$($name: profile.$name.map(Into::into)),+}
            }
        }

        impl From<ModelProfile> for domain::ModelProfile {
            fn from(profile: ModelProfile) -> Self {
                Self {$($name: profile.$name.map(Into::into)),+}
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

/// A profile and the models it is of. Where several match, an exact name and then the longest
/// pattern has the last word on every fact it knows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileRule {
    /// A model's exact name, or how names begin followed by `*`; `*` alone is every model.
    #[schema(example = "gpt-5*")]
    pattern: String,
    /// What is known of these models.
    profile: ModelProfile,
}

impl From<domain::ProfileRule> for ProfileRule {
    fn from(rule: domain::ProfileRule) -> Self {
        Self { pattern: rule.pattern, profile: rule.profile.into() }
    }
}

impl From<ProfileRule> for domain::ProfileRule {
    fn from(rule: ProfileRule) -> Self {
        Self { pattern: rule.pattern, profile: rule.profile.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_spells_every_fact_as_the_domain_does() {
        let schema = serde_json::to_value(<ModelProfile as utoipa::PartialSchema>::schema());
        let properties = schema.unwrap()["properties"].as_object().unwrap().clone();
        let told: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut known = domain::ModelProfile::FACTS.to_vec();
        known.sort_unstable_by_key(|fact| told.iter().position(|name| name == fact));
        assert_eq!(told, known);
        let text =
            r#"{"thinking":"adaptive","max_tokens_field":"max_tokens","system_role":"system"}"#;
        let read: ModelProfile = serde_json::from_str(text).unwrap();
        let domain: domain::ModelProfile = serde_json::from_str(text).unwrap();
        assert_eq!(domain::ModelProfile::from(read), domain);
        assert_eq!(serde_json::to_string(&ModelProfile::from(domain)).unwrap(), text);
    }
}
