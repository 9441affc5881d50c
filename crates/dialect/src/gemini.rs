//! Gemini `generateContent` and its sisters.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::json;

use crate::grammar::{ErrorWords, EventKind, Grammar, mentions};

/// Gemini `generateContent` and its sisters.
pub static GEMINI: &dyn Grammar = &Gemini;

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usageMetadata\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
static FINISH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"finishReason\""));
static BLOCKED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"blockReason\""));

#[derive(Debug)]
struct Gemini;

impl Grammar for Gemini {
    fn error(&self, words: &ErrorWords<'_>) -> Vec<u8> {
        json!({ "error": error(words) }).to_string().into()
    }

    fn error_event(&self, words: &ErrorWords<'_>) -> Vec<u8> {
        // Google's Python SDK recognises an error only if the data begins exactly like this,
        // including the space.
        format!("data: {{\"error\": {}}}\n\n", error(words)).into()
    }

    fn event(&self, _name: Option<&[u8]>, data: &[u8]) -> EventKind {
        gemini_event(data)
    }

    fn is_plain(&self, _events: &[u8]) -> bool {
        // Every event of this dialect reports usage.
        false
    }
}

/// Classifies an event. This dialect has no end marker: the stream ends with the body, and a finish
/// reason shows that nothing is missing.
pub(crate) fn gemini_event(data: &[u8]) -> EventKind {
    EventKind {
        telling: mentions(data, &USAGE) || mentions(data, &ERROR),
        finish: mentions(data, &FINISH) || mentions(data, &BLOCKED),
        ..EventKind::default()
    }
}

fn error(words: &ErrorWords<'_>) -> serde_json::Value {
    json!({
        "code": words.status,
        "message": words.message,
        "status": status_name(words.status),
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": words.code.to_ascii_uppercase(),
                "domain": "tollgate",
            },
            {
                "@type": "type.googleapis.com/google.rpc.RequestInfo",
                "requestId": words.request_id,
            },
        ],
    })
}

pub(crate) fn status_name(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        502 | 503 | 529 => "UNAVAILABLE",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_shape_that_the_sdks_read() {
        let cases = [
            (400, "INVALID_ARGUMENT"),
            (401, "UNAUTHENTICATED"),
            (403, "PERMISSION_DENIED"),
            (404, "NOT_FOUND"),
            (408, "DEADLINE_EXCEEDED"),
            (413, "INVALID_ARGUMENT"),
            (429, "RESOURCE_EXHAUSTED"),
            (499, "CANCELLED"),
            (500, "INTERNAL"),
            (502, "UNAVAILABLE"),
            (504, "DEADLINE_EXCEEDED"),
        ];
        for (status, name) in cases {
            let words = ErrorWords { status, code: "no_route", message: "why", request_id: "r1" };
            let body: serde_json::Value = serde_json::from_slice(&GEMINI.error(&words)).unwrap();
            assert_eq!(body["error"]["code"], status);
            assert_eq!(body["error"]["status"], name);
            assert_eq!(body["error"]["message"], "why");
            assert_eq!(body["error"]["details"][0]["reason"], "NO_ROUTE");
            assert_eq!(body["error"]["details"][1]["requestId"], "r1");
            assert!(GEMINI.error_event(&words).starts_with(b"data: {\"error\": {\"code\""));
        }
    }

    #[test]
    fn a_chunk_is_known_by_what_it_mentions() {
        let kind = gemini_event(br#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{}}"#);
        assert!(kind.finish && kind.telling && !kind.end);
        assert!(gemini_event(br#"{"promptFeedback":{"blockReason":"SAFETY"}}"#).finish);
        assert_eq!(gemini_event(br#"{"candidates":[{}]}"#), EventKind::default());
    }
}
