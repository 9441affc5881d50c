//! Parts that OpenAI's two dialects share: errors and token counts.

use crate::{Failure, FailureKind, Value, write};

/// Decodes an error answer with its `code` and its invalid field.
pub(super) fn failure(status: u16, body: &[u8]) -> Failure {
    let failure = Failure::read(status, body);
    let Ok(root) = Value::read(body) else { return failure };
    let error = root.get("error");
    // Some servers give the reason without an envelope.
    let bare = || ["message", "detail"].iter().find_map(|name| root.get(name).text());
    match bare().filter(|_| error.is_null()) {
        Some(message) => Failure::new(FailureKind::of(status, ""), message),
        None => detailed(failure, error),
    }
}

/// Adds the code and the invalid field of the error object to `failure`. A number is not a code:
/// some servers repeat the status there.
pub(super) fn detailed(failure: Failure, error: &Value<'_>) -> Failure {
    let text = |name: &str| error.get(name).text().filter(|text| !text.is_empty());
    let code = text("code").filter(|code| code.parse::<u16>().is_err());
    Failure { code: code.map(str::to_owned), param: text("param").map(str::to_owned), ..failure }
}

/// Encodes the answer to a request to count input tokens. Chat Completions has no such request.
pub(super) fn counted(tokens: u64) -> Vec<u8> {
    let text = write::object_text(|o| {
        o.text("object", "response.input_tokens");
        o.number("input_tokens", tokens);
    });
    text.into_bytes()
}
