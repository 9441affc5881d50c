//! OpenAI's dialects: Chat Completions with everything beside it, and Responses.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::json;

use crate::{
    Failure, FailureKind,
    grammar::{ErrorWords, EventKind, Grammar, mentions, type_of},
};

/// OpenAI Chat Completions, Embeddings, Images, Audio, Models and the rest of that API.
pub static OPENAI_CHAT: &dyn Grammar = &OpenAiChat;

/// OpenAI Responses.
pub static OPENAI_RESPONSES: &dyn Grammar = &OpenAiResponses;

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
static RESPONSE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"response\""));
static FINISH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"finish_reason\""));

#[derive(Debug)]
struct OpenAiChat;

impl Grammar for OpenAiChat {
    fn error(&self, words: &ErrorWords<'_>) -> Vec<u8> {
        json!({ "error": error(words) }).to_string().into()
    }

    fn failure(&self, failure: &Failure, status: u16, _request_id: &str) -> Vec<u8> {
        let kind = match failure.kind {
            FailureKind::NoMoney => "insufficient_quota",
            _ => error_type(status),
        };
        let error = json!({
            "message": failure.message,
            "type": kind,
            "param": failure.param,
            "code": failure.code.as_deref().unwrap_or(failure.kind.code()),
        });
        json!({ "error": error }).to_string().into()
    }

    fn error_event(&self, words: &ErrorWords<'_>) -> Vec<u8> {
        format!("data: {}\n\n", json!({ "error": error(words) })).into()
    }

    fn event(&self, _name: Option<&[u8]>, data: &[u8]) -> EventKind {
        chat_event(data)
    }

    fn is_plain(&self, events: &[u8]) -> bool {
        // Every event other than content has one of these members; only the end marker has none.
        !mentions(events, &USAGE)
            && !mentions(events, &ERROR)
            && !mentions(events, &FINISH)
            && !events.trim_ascii_end().ends_with(b"[DONE]")
    }
}

/// Classifies a chunk of Chat Completions by three of its members, because it has no type.
pub(crate) fn chat_event(data: &[u8]) -> EventKind {
    if data.trim_ascii() == b"[DONE]" {
        return EventKind { finish: true, end: true, ..EventKind::default() };
    }
    EventKind {
        telling: mentions(data, &USAGE) || mentions(data, &ERROR),
        finish: mentions(data, &FINISH),
        ..EventKind::default()
    }
}

#[derive(Debug)]
struct OpenAiResponses;

impl Grammar for OpenAiResponses {
    fn error(&self, words: &ErrorWords<'_>) -> Vec<u8> {
        OPENAI_CHAT.error(words)
    }

    fn failure(&self, failure: &Failure, status: u16, request_id: &str) -> Vec<u8> {
        OPENAI_CHAT.failure(failure, status, request_id)
    }

    fn error_event(&self, words: &ErrorWords<'_>) -> Vec<u8> {
        let data = json!({
            "type": "error",
            "code": words.code,
            "message": words.message,
            "param": null,
            "sequence_number": 0,
        });
        format!("event: error\ndata: {data}\n\n").into()
    }

    fn event(&self, name: Option<&[u8]>, data: &[u8]) -> EventKind {
        responses_event(type_of(name, data))
    }

    fn is_plain(&self, events: &[u8]) -> bool {
        // Every event other than content carries a response or is an error.
        RESPONSE.find(events).is_none() && ERROR.find(events).is_none()
    }
}

/// Classifies an event of a Responses stream by its type.
pub(crate) fn responses_event(kind: &[u8]) -> EventKind {
    match kind {
        b"response.completed" | b"response.incomplete" => {
            EventKind { telling: true, finish: true, end: true, ping: false }
        }
        b"response.failed" | b"error" => {
            EventKind { telling: true, end: true, ..EventKind::default() }
        }
        b"keepalive" | b"ping" => EventKind { ping: true, ..EventKind::default() },
        _ => EventKind::default(),
    }
}

fn error(words: &ErrorWords<'_>) -> serde_json::Value {
    // Clients of OpenAI recognise a missing model by this code.
    let (param, code) = match words.code {
        "no_route" => (Some("model"), "model_not_found"),
        code => (None, code),
    };
    json!({
        "message": words.message,
        "type": match words.code {
            "insufficient_quota" => "insufficient_quota",
            _ => error_type(words.status),
        },
        "param": param,
        "code": code,
    })
}

fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_not_there_is_told_as_openai_does() {
        let words = ErrorWords { code: "no_route", ..words(404) };
        let error = &error(&words);
        assert_eq!((&error["code"], &error["param"]), (&"model_not_found".into(), &"model".into()));
    }

    fn words(status: u16) -> ErrorWords<'static> {
        ErrorWords { status, code: "some_code", message: "say \"why\"", request_id: "r1" }
    }

    #[test]
    fn errors_have_the_shape_that_the_sdks_read() {
        let cases = [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "invalid_request_error"),
            (413, "invalid_request_error"),
            (429, "rate_limit_error"),
            (431, "invalid_request_error"),
            (499, "invalid_request_error"),
            (500, "server_error"),
            (504, "server_error"),
        ];
        for (status, kind) in cases {
            let body = String::from_utf8(OPENAI_CHAT.error(&words(status))).unwrap();
            let want = format!(
                r#"{{"error":{{"message":"say \"why\"","type":"{kind}","param":null,"code":"some_code"}}}}"#
            );
            assert_eq!(body, want);
            assert_eq!(OPENAI_RESPONSES.error(&words(status)), want.as_bytes());
        }
        let poor = ErrorWords { code: "insufficient_quota", ..words(429) };
        let poor = String::from_utf8(OPENAI_CHAT.error(&poor)).unwrap();
        assert!(poor.contains(r#""type":"insufficient_quota""#), "{poor}");
    }

    #[test]
    fn a_failure_names_the_field_at_fault_and_a_code() {
        let check = |failure: Failure, kind, param: Option<&str>, code| {
            let status = failure.kind.status();
            let body = OPENAI_RESPONSES.failure(&failure, status, "r1");
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let want = json!({ "message": "why", "type": kind, "param": param, "code": code });
            assert_eq!(body["error"], want);
        };
        let unsayable = Failure::unsayable("n", "why");
        check(unsayable, "invalid_request_error", Some("n"), "invalid_request");
        let of = |kind| Failure::new(kind, "why");
        check(of(FailureKind::NoMoney), "insufficient_quota", None, "insufficient_quota");
        check(of(FailureKind::RateLimited), "rate_limit_error", None, "rate_limit_exceeded");
        let told = Failure { code: Some("model_not_found".into()), ..of(FailureKind::NotFound) };
        check(told, "invalid_request_error", None, "model_not_found");
    }

    #[test]
    fn errors_in_streams_are_whole_events() {
        let event = String::from_utf8(OPENAI_CHAT.error_event(&words(500))).unwrap();
        assert!(event.starts_with("data: {\"error\":{") && event.ends_with("}}\n\n"), "{event}");
        let event = String::from_utf8(OPENAI_RESPONSES.error_event(&words(500))).unwrap();
        assert!(event.starts_with("event: error\ndata: {\"type\":\"error\",\"code\""), "{event}");
    }

    #[test]
    fn a_chunk_is_known_by_what_it_mentions() {
        let check = |data: &str, telling, finish, end| {
            let want = EventKind { telling, finish, end, ping: false };
            assert_eq!(chat_event(data.as_bytes()), want, "{data}");
        };
        check(r#"{"choices":[{"delta":{"content":"a"}}],"usage":null}"#, false, false, false);
        check(r#"{"choices":[{"finish_reason":null}],"usage": {"x":1}}"#, true, false, false);
        check(r#"{"choices":[{"finish_reason":"stop"}]}"#, false, true, false);
        check(r#"{"choices":[{"delta":{"content":"\"usage\":1"}}]}"#, false, false, false);
        check(r#"{"error":{"message":"x"}}"#, true, false, false);
        check("[DONE] ", false, true, true);
    }

    #[test]
    fn a_response_event_is_known_by_its_name_or_type() {
        let event = |name: Option<&str>, data: &str| {
            OPENAI_RESPONSES.event(name.map(str::as_bytes), data.as_bytes())
        };
        assert!(event(Some("response.completed"), "{}").end);
        assert!(event(None, r#"{"type":"response.failed"}"#).telling);
        assert!(event(None, r#"{"sequence_number":1,"type":"error"}"#).end);
        assert!(event(None, r#"{"type":"keepalive"}"#).ping);
        assert_eq!(event(Some("response.created"), "{}"), EventKind::default());
        assert_eq!(event(None, "x"), EventKind::default());
    }
}
