//! The grammar of calls through `/proxy/…`, whose dialect is not known.
//!
//! Errors have a format of our own. Answers are still observed, in whichever dialect they are, so
//! that usage is counted as elsewhere.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::json;

use crate::{
    anthropic::{ANTHROPIC, anthropic_event},
    gemini::gemini_event,
    grammar::{ErrorWords, EventKind, Grammar, type_of},
    openai::{OPENAI_CHAT, OPENAI_RESPONSES, chat_event, responses_event},
};

/// The grammar of calls whose dialect is not known.
pub static PLAIN: &dyn Grammar = &Plain;

/// A member that every event of Gemini has.
static GEMINI_MEMBER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"candidates\""));

#[derive(Debug)]
struct Plain;

impl Grammar for Plain {
    fn error(&self, words: &ErrorWords<'_>) -> Vec<u8> {
        error(words).to_string().into()
    }

    fn error_event(&self, words: &ErrorWords<'_>) -> Vec<u8> {
        format!("event: error\ndata: {}\n\n", error(words)).into()
    }

    fn event(&self, name: Option<&[u8]>, data: &[u8]) -> EventKind {
        let named = name.is_some() || data.starts_with(b"{\"type\"");
        if !named {
            let (chat, gemini) = (chat_event(data), gemini_event(data));
            return EventKind {
                ping: false,
                telling: chat.telling || gemini.telling,
                finish: chat.finish || gemini.finish,
                end: chat.end,
            };
        }
        let kind = type_of(name, data);
        if kind.starts_with(b"response.") { responses_event(kind) } else { anthropic_event(kind) }
    }

    fn is_plain(&self, events: &[u8]) -> bool {
        // The first event shows the dialect of the whole stream.
        if events.starts_with(b"event:") || events.starts_with(b"data: {\"type\"") {
            ANTHROPIC.is_plain(events) && OPENAI_RESPONSES.is_plain(events)
        } else {
            OPENAI_CHAT.is_plain(events) && GEMINI_MEMBER.find(events).is_none()
        }
    }
}

fn error(words: &ErrorWords<'_>) -> serde_json::Value {
    json!({
        "error": {
            "message": words.message,
            "type": error_type(words.status),
            "code": words.code,
            "request_id": words.request_id,
        }
    })
}

fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_the_request_id() {
        let words = ErrorWords { status: 404, code: "no_upstream", message: "m", request_id: "r" };
        assert_eq!(
            String::from_utf8(PLAIN.error(&words)).unwrap(),
            r#"{"error":{"message":"m","type":"not_found_error","code":"no_upstream","request_id":"r"}}"#
        );
        assert!(PLAIN.error_event(&words).starts_with(b"event: error\ndata: {\"error\""));
    }

    #[test]
    fn events_of_every_dialect_are_known() {
        let event =
            |name: Option<&str>, data: &str| PLAIN.event(name.map(str::as_bytes), data.as_bytes());
        assert!(event(None, "[DONE]").end);
        assert!(event(None, r#"{"choices":[],"usage":{"prompt_tokens":1}}"#).telling);
        assert!(event(None, r#"{"candidates":[{"finishReason":"STOP"}]}"#).finish);
        assert!(event(Some("message_stop"), "{}").end);
        assert!(event(None, r#"{"type":"response.completed"}"#).end);
        assert!(event(Some("ping"), "{}").ping);
    }
}
