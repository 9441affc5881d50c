//! What the models of the cases accept.

use dialect::{MaxTokensField, Profile, SystemRole, ThinkingForm};

use crate::{case::Model, json::Json};

impl Model {
    /// What it accepts.
    pub(crate) fn profile(&self, usual: Profile) -> Profile {
        let mut profile = usual;
        for (name, value) in self.profile.members() {
            set(&mut profile, name, value);
        }
        profile
    }
}

fn set(profile: &mut Profile, name: &str, value: &Json) {
    let yes = *value == Json::Bool(true);
    match name {
        "sampling_params" => profile.sampling_params = yes,
        "penalties" => profile.penalties = yes,
        "thinking_always_on" => profile.thinking_always_on = yes,
        "thinking_by_default" => profile.thinking_by_default = yes,
        "forced_tool_choice" => profile.forced_tool_choice = yes,
        "mid_conversation_system" => profile.mid_conversation_system = yes,
        "structured_output" => profile.structured_output = yes,
        "json_schema" => profile.json_schema = yes,
        "reasoning" => profile.reasoning = yes,
        "reasoning_content" => profile.reasoning_content = yes,
        "function_call_ids" => profile.function_call_ids = yes,
        "thought_signatures" => profile.thought_signatures = yes,
        "multimodal_function_response" => profile.multimodal_function_response = yes,
        "default_max_tokens" => {
            profile.default_max_tokens = value.int().unwrap().try_into().unwrap();
        }
        "thinking" => {
            profile.thinking = match value.str() {
                "none" => ThinkingForm::None,
                "budget" => ThinkingForm::Budget,
                "adaptive" => ThinkingForm::Adaptive,
                "level" => ThinkingForm::Level,
                form => panic!("`{form}` is no way to think"),
            }
        }
        "max_tokens_field" => {
            profile.max_tokens_field = match value.str() {
                "max_tokens" => MaxTokensField::MaxTokens,
                "max_completion_tokens" => MaxTokensField::MaxCompletionTokens,
                field => panic!("`{field}` is no output limit"),
            }
        }
        "system_role" => {
            profile.system_role = match value.str() {
                "system" => SystemRole::System,
                "developer" => SystemRole::Developer,
                role => panic!("`{role}` is no role of instructions"),
            }
        }
        name => panic!("`{name}` is nothing that a profile says"),
    }
}
