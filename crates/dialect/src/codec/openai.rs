//! What OpenAI's two dialects have in common: how they tell an error, and how they count.

use crate::{Failure, FailureKind, Value, write};

/// Reads an error answer, with its `code` and the field at fault.
pub(super) fn failure(status: u16, body: &[u8]) -> Failure {
    let failure = Failure::read(status, body);
    let Ok(root) = Value::read(body) else { return failure };
    let error = root.get("error");
    // Some servers say why without an envelope.
    let bare = || ["message", "detail"].iter().find_map(|name| root.get(name).text());
    match bare().filter(|_| error.is_null()) {
        Some(message) => Failure::new(FailureKind::of(status, ""), message),
        None => detailed(failure, error),
    }
}

/// `failure` with the code and the field that the error object names. A number is no code: some
/// servers repeat the status there.
pub(super) fn detailed(failure: Failure, error: &Value<'_>) -> Failure {
    let text = |name: &str| error.get(name).text().filter(|text| !text.is_empty());
    let code = text("code").filter(|code| code.parse::<u16>().is_err());
    Failure { code: code.map(str::to_owned), param: text("param").map(str::to_owned), ..failure }
}

/// The answer to a question for the number of input tokens. Chat Completions have no such question
/// of their own.
pub(super) fn counted(tokens: u64) -> Vec<u8> {
    let text = write::object_text(|o| {
        o.text("object", "response.input_tokens");
        o.number("input_tokens", tokens);
    });
    text.into_bytes()
}
