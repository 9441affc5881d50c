//! Profiles of models: the parameters that a model accepts, which differ within one dialect.

/// The profile of a target's model. It is data, because providers change what a model accepts more
/// often than their dialect; each codec has the defaults of its dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `temperature`, `top_p` and `top_k` are accepted.
    pub sampling_params: bool,
    /// Presence and frequency penalties are accepted (Gemini).
    pub penalties: bool,
    /// The parameter that controls reasoning.
    pub thinking: ThinkingForm,
    /// Reasoning cannot be switched off.
    pub thinking_always_on: bool,
    /// The model reasons unless the request forbids it.
    pub thinking_by_default: bool,
    /// `tool_choice` may force a tool.
    pub forced_tool_choice: bool,
    /// System messages may occur inside the conversation (Anthropic).
    pub mid_conversation_system: bool,
    /// JSON schemas for answers are supported (Anthropic).
    pub structured_output: bool,
    /// Any JSON schema is accepted (Gemini); otherwise schemas are reduced to Google's subset.
    pub json_schema: bool,
    /// The output limit, in tokens, if the client gives none and the dialect requires one.
    pub default_max_tokens: u64,
    /// The name of the output limit in Chat Completions.
    pub max_tokens_field: MaxTokensField,
    /// The role of system messages in Chat Completions.
    pub system_role: SystemRole,
    /// The model reasons and accepts an effort (OpenAI).
    pub reasoning: bool,
    /// The model requires the `reasoning_content` of earlier tool calls (Chat Completions).
    pub reasoning_content: bool,
    /// Function calls have ids (Gemini 3).
    pub function_call_ids: bool,
    /// Function calls must carry their signatures (Gemini 3).
    pub thought_signatures: bool,
    /// Function results may contain images (Gemini 3).
    pub multimodal_function_response: bool,
}

/// The form of the parameter that controls reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxTokensField {
    /// `max_tokens`, which most compatible servers know.
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's reasoning models require.
    MaxCompletionTokens,
}

/// The role of instructions in Chat Completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemRole {
    /// `system`
    System,
    /// `developer`
    Developer,
}
