//! What is known of a model, all layers together: what is usual in the target's dialect, and over it
//! what was entered for the upstream and for the target.

use dialect::Profile;
use domain::{MaxTokensField, ModelProfile, SystemRole, ThinkingForm};

/// `usual`, but for what `known` says.
pub(crate) fn overlaid(usual: Profile, known: &ModelProfile) -> Profile {
    macro_rules! over {
        ($($name:ident),+) => {
            Profile {
                thinking: known.thinking.map_or(usual.thinking, thinking),
                max_tokens_field: known.max_tokens_field.map_or(usual.max_tokens_field, field),
                system_role: known.system_role.map_or(usual.system_role, role),
                $($name: known.$name.unwrap_or(usual.$name)),+
            }
        };
    }
    over!(
        sampling_params,
        penalties,
        thinking_always_on,
        thinking_by_default,
        forced_tool_choice,
        mid_conversation_system,
        structured_output,
        json_schema,
        default_max_tokens,
        reasoning,
        reasoning_content,
        function_call_ids,
        thought_signatures,
        multimodal_function_response
    )
}

fn thinking(form: ThinkingForm) -> dialect::ThinkingForm {
    match form {
        ThinkingForm::None => dialect::ThinkingForm::None,
        ThinkingForm::Budget => dialect::ThinkingForm::Budget,
        ThinkingForm::Adaptive => dialect::ThinkingForm::Adaptive,
        ThinkingForm::Level => dialect::ThinkingForm::Level,
    }
}

fn field(field: MaxTokensField) -> dialect::MaxTokensField {
    match field {
        MaxTokensField::MaxTokens => dialect::MaxTokensField::MaxTokens,
        MaxTokensField::MaxCompletionTokens => dialect::MaxTokensField::MaxCompletionTokens,
    }
}

fn role(role: SystemRole) -> dialect::SystemRole {
    match role {
        SystemRole::System => dialect::SystemRole::System,
        SystemRole::Developer => dialect::SystemRole::Developer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_entered_wins_and_what_was_not_stays_usual() {
        let usual = dialect::codec::ANTHROPIC.profile();
        assert_eq!(overlaid(usual.clone(), &ModelProfile::default()), usual);
        let known = ModelProfile {
            thinking: Some(ThinkingForm::Budget),
            default_max_tokens: Some(7),
            sampling_params: Some(!usual.sampling_params),
            max_tokens_field: Some(MaxTokensField::MaxCompletionTokens),
            system_role: Some(SystemRole::Developer),
            ..ModelProfile::default()
        };
        let wanted = Profile {
            thinking: dialect::ThinkingForm::Budget,
            default_max_tokens: 7,
            sampling_params: !usual.sampling_params,
            max_tokens_field: dialect::MaxTokensField::MaxCompletionTokens,
            system_role: dialect::SystemRole::Developer,
            ..usual.clone()
        };
        assert_eq!(overlaid(usual, &known), wanted);
    }
}
