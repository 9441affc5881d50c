//! Model lists: one path for three providers, told apart by the caller's headers.

use serde_json::{Value, json};

use super::{Call, Vendor, vendor};
use crate::http::Reply;

const OPENAI: &[&str] = &["gpt-5.2", "gpt-5.2-mini", "gpt-4o", "text-embedding-3-small"];
const ANTHROPIC: &[&str] = &["claude-opus-5", "claude-sonnet-5", "claude-haiku-5"];
const GEMINI: &[&str] = &["gemini-3-pro", "gemini-3-flash", "gemini-embedding-001"];

/// Whether a path lists models or names one.
pub(super) fn is_path(path: &str) -> bool {
    let rest = path.strip_prefix("/v1beta/models").or_else(|| path.strip_prefix("/v1/models"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') && !rest.contains(':'))
}

pub(super) fn reply(call: &Call<'_>) -> Result<Reply, Reply> {
    let id = call.head.path().split_once("/models/").map(|(_, id)| id);
    let vendor = vendor(call.head);
    let (known, entry): (_, fn(&str) -> Value) = match vendor {
        Vendor::OpenAi => (OPENAI, openai),
        Vendor::Anthropic => (ANTHROPIC, anthropic),
        Vendor::Gemini => (GEMINI, gemini),
    };
    let Some(id) = id else { return Ok(Reply::json(200, &list(vendor, known, entry))) };
    if !known.contains(&id) {
        return Err(call.refuse(404, "model_not_found", "The model does not exist."));
    }
    Ok(Reply::json(200, &entry(id)))
}

fn list(vendor: Vendor, known: &[&str], entry: fn(&str) -> Value) -> Value {
    let entries: Vec<Value> = known.iter().map(|id| entry(id)).collect();
    match vendor {
        Vendor::OpenAi => json!({"object": "list", "data": entries}),
        Vendor::Anthropic => json!({
            "data": entries, "has_more": false,
            "first_id": known.first(), "last_id": known.last(),
        }),
        Vendor::Gemini => json!({"models": entries}),
    }
}

fn openai(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": 1_780_000_000, "owned_by": "mock"})
}

fn anthropic(id: &str) -> Value {
    json!({
        "type": "model", "id": id, "display_name": id, "created_at": "2026-10-01T00:00:00Z",
        "max_input_tokens": 200_000, "max_tokens": 64_000,
    })
}

fn gemini(id: &str) -> Value {
    json!({
        "name": format!("models/{id}"), "version": "001", "displayName": id,
        "description": "a mock", "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
    })
}
