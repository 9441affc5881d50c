//! What an answer repeats of its question: the SDKs' types require it.

use crate::{Value, halves::mended, write::compact};

/// Members of the question that stand in the answer, and what they are where the client is silent.
const ECHOED: [(&str, &str); 18] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "null"),
    ("top_p", "null"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
];

/// The members of `body` that its answer repeats, as JSON in one line.
pub(super) fn echo(body: &Value<'_>) -> Vec<(&'static str, String)> {
    let said = |name, usual: &str| match body.find(name) {
        Some(value) => compact(&mended(value.raw().into())),
        None => usual.to_owned(),
    };
    ECHOED.iter().map(|&(name, usual)| (name, said(name, usual))).collect()
}

/// The same for a question that is not known.
pub(super) fn usual() -> impl Iterator<Item = (&'static str, &'static str)> {
    ECHOED.into_iter()
}
