//! What a model accepts: facts that change from model to model within one dialect.

/// What we know about the model behind a target. Vendors change what a model accepts more often
/// than what a dialect says, so these are data; each codec knows what is usual in its dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `temperature`, `top_p` and `top_k` are accepted.
    pub sampling_params: bool,
    /// Presence and frequency penalties are accepted (Gemini).
    pub penalties: bool,
    /// How thinking is asked for.
    pub thinking: ThinkingForm,
    /// Thinking cannot be switched off.
    pub thinking_always_on: bool,
    /// It thinks unless it is told not to.
    pub thinking_by_default: bool,
    /// A tool may be forced.
    pub forced_tool_choice: bool,
    /// System messages may stand inside of the conversation (Anthropic).
    pub mid_conversation_system: bool,
    /// JSON by a schema is native (Anthropic).
    pub structured_output: bool,
    /// JSON schemas are taken as they are (Gemini); else they are cut down to its own subset.
    pub json_schema: bool,
    /// The output limit where the client gives none and the dialect wants one.
    pub default_max_tokens: u64,
    /// How Chat Completions calls the output limit.
    pub max_tokens_field: MaxTokensField,
    /// The role of system messages in Chat Completions.
    pub system_role: SystemRole,
    /// It reasons, and takes an effort (OpenAI).
    pub reasoning: bool,
    /// It wants the `reasoning_content` of earlier tool calls back (Chat Completions).
    pub reasoning_content: bool,
    /// Function calls have ids (Gemini 3).
    pub function_call_ids: bool,
    /// Function calls must carry the signatures they came with (Gemini 3).
    pub thought_signatures: bool,
    /// Results of functions may hold images (Gemini 3).
    pub multimodal_function_response: bool,
}

/// How a model is asked to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxTokensField {
    /// The old one, which most compatible servers know.
    MaxTokens,
    /// OpenAI's own since its reasoning models.
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
