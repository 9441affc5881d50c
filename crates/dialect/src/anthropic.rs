//! Anthropic Messages.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::json;

use crate::{
    Failure,
    grammar::{ErrorWords, EventKind, Grammar, type_of},
};

/// Anthropic Messages.
pub static ANTHROPIC: &dyn Grammar = &Anthropic;

/// Anthropic's error code for a conversation that it would have to store and cannot.
pub(crate) const THREAD_UNSUPPORTED: &str = "thread_unsupported_request";

static MESSAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"message_"));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));

#[derive(Debug)]
struct Anthropic;

impl Grammar for Anthropic {
    fn error(&self, words: &ErrorWords<'_>) -> Vec<u8> {
        error(words).to_string().into()
    }

    fn failure(&self, failure: &Failure, status: u16, request_id: &str) -> Vec<u8> {
        let code = failure.code.as_deref().unwrap_or(failure.kind.code());
        let mut error = error(&ErrorWords { status, code, message: &failure.message, request_id });
        if code == THREAD_UNSUPPORTED {
            error["error"]["details"] = json!({ "error_code": code, "unsupported": [] });
        }
        error.to_string().into()
    }

    fn error_event(&self, words: &ErrorWords<'_>) -> Vec<u8> {
        format!("event: error\ndata: {}\n\n", error(words)).into()
    }

    fn event(&self, name: Option<&[u8]>, data: &[u8]) -> EventKind {
        anthropic_event(type_of(name, data))
    }

    fn is_plain(&self, events: &[u8]) -> bool {
        // Every event other than content has a type that begins like one of these.
        MESSAGE.find(events).is_none() && ERROR.find(events).is_none()
    }
}

/// Classifies an event of a Messages stream by its type.
pub(crate) fn anthropic_event(kind: &[u8]) -> EventKind {
    match kind {
        b"message_start" => EventKind { telling: true, ..EventKind::default() },
        b"message_delta" => EventKind { telling: true, finish: true, ..EventKind::default() },
        b"message_stop" => EventKind { finish: true, end: true, ..EventKind::default() },
        b"error" => EventKind { telling: true, end: true, ..EventKind::default() },
        b"ping" => EventKind { ping: true, ..EventKind::default() },
        _ => EventKind::default(),
    }
}

fn error(words: &ErrorWords<'_>) -> serde_json::Value {
    json!({
        "type": "error",
        "error": { "type": error_type(words.status), "message": words.message },
        "request_id": words.request_id,
    })
}

/// Returns the error type for a status.
pub(crate) fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_shape_that_the_sdks_read() {
        let cases = [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (405, "invalid_request_error"),
            (409, "conflict_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (502, "api_error"),
            (503, "overloaded_error"),
            (504, "timeout_error"),
            (529, "overloaded_error"),
        ];
        for (status, kind) in cases {
            let words = ErrorWords { status, code: "c", message: "why", request_id: "r1" };
            let want = format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"why"}},"request_id":"r1"}}"#
            );
            assert_eq!(ANTHROPIC.error(&words), want.as_bytes());
            let event = format!("event: error\ndata: {want}\n\n");
            assert_eq!(ANTHROPIC.error_event(&words), event.as_bytes());
        }
    }

    #[test]
    fn a_conversation_that_cannot_be_held_is_told_as_the_sdks_expect_it() {
        let code = Some(THREAD_UNSUPPORTED.to_owned());
        let failure = Failure { code, ..Failure::unsayable("thread", "why") };
        let body: serde_json::Value =
            serde_json::from_slice(&ANTHROPIC.failure(&failure, 400, "r1")).unwrap();
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["error"]["details"]["error_code"], "thread_unsupported_request");
        let plain = ANTHROPIC.failure(&Failure::unsayable("x", "why"), 400, "r1");
        assert!(!String::from_utf8(plain).unwrap().contains("details"));
    }

    #[test]
    fn an_event_is_known_by_its_name_or_type() {
        let event = |name: Option<&str>, data: &str| {
            ANTHROPIC.event(name.map(str::as_bytes), data.as_bytes())
        };
        assert!(event(None, r#"{"type":"message_start"}"#).telling);
        assert!(event(Some("message_delta"), "").finish);
        assert!(event(None, r#"{"type": "message_stop"}"#).end);
        assert!(event(Some("ping"), "").ping);
        let error = event(Some("error"), "");
        assert!(error.end && error.telling && !error.finish);
        assert_eq!(event(Some("content_block_delta"), ""), EventKind::default());
    }
}
