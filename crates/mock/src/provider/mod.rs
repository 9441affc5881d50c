//! The three providers' endpoints: which path is whose, and what is the same for all of them.

mod anthropic;
mod chat;
mod gemini;
mod models;
mod openai;
mod responses;
mod strict;

use bytes::Bytes;
use dialect::{ErrorWords, Grammar};
use serde_json::Value;

use crate::{
    Behaviour,
    http::{Body, Head, Reply},
};

/// A call to a provider's endpoint.
pub(crate) struct Call<'a> {
    pub(crate) head: &'a Head,
    pub(crate) body: &'a Bytes,
    pub(crate) behaviour: &'a Behaviour,
    /// Counts the requests; ids are made of it.
    pub(crate) number: u64,
}

impl Call<'_> {
    fn json(&self) -> Result<Value, Reply> {
        serde_json::from_slice(self.body)
            .map_err(|_| self.refuse(400, "bad_json", "the body is not valid JSON"))
    }

    /// Refuses what the vendor would, where the mock is to be as strict.
    fn checked(&self, check: impl FnOnce() -> strict::Sound) -> Result<(), Reply> {
        if !self.behaviour.strict {
            return Ok(());
        }
        let found = strict::headers(self.head, vendor(self.head)).and_then(|()| check());
        found.map_err(|fault| self.refuse(400, "invalid_request_error", &fault.to_string()))
    }

    fn id(&self, prefix: &str) -> String {
        format!("{prefix}mock{:08}", self.number)
    }

    /// An error in the dialect of the path.
    pub(crate) fn refuse(&self, status: u16, code: &str, message: &str) -> Reply {
        let id = self.id("req_");
        let words = ErrorWords { status, code, message, request_id: &id };
        let body = grammar(self.head).error(&words);
        Reply::whole(status, "application/json", body)
    }
}

/// What the provider answers.
pub(crate) fn reply(call: &Call<'_>) -> Reply {
    let behaviour = call.behaviour;
    if let Some(reply) = misbehaved(call) {
        return reply;
    }
    let mut reply = well(call);
    if let Body::Pieces(pieces) = &mut reply.body
        && is_sse(&reply.headers)
    {
        adorn(pieces, call);
    }
    reply = reply.with("x-request-id", call.id("req_"));
    if behaviour.empty {
        reply.body = Body::Whole(Bytes::new());
    }
    reply
}

fn well(call: &Call<'_>) -> Reply {
    let path = call.head.path();
    let answered = match (call.head.method.as_str(), path) {
        ("POST", "/v1/chat/completions") => chat::reply(call),
        ("POST", "/v1/responses") => responses::reply(call),
        ("POST", "/v1/responses/input_tokens") => responses::count(call),
        ("POST", "/v1/messages") => anthropic::reply(call),
        ("POST", "/v1/messages/count_tokens") => anthropic::count(call),
        ("GET", path) if models::is_path(path) => models::reply(call),
        (_, path) if gemini::is_path(path) => gemini::reply(call),
        _ => openai::reply(call),
    };
    answered.unwrap_or_else(|refused| refused)
}

/// Whose endpoint a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vendor {
    OpenAi,
    Anthropic,
    Gemini,
}

/// Several paths belong to more than one vendor; the headers decide then.
fn vendor(head: &Head) -> Vendor {
    let path = head.path();
    if path.starts_with("/v1/messages") || head.header("anthropic-version").is_some() {
        Vendor::Anthropic
    } else if gemini::is_path(path) || head.header("x-goog-api-key").is_some() {
        Vendor::Gemini
    } else {
        Vendor::OpenAi
    }
}

/// The dialect in which a path's errors are written.
fn grammar(head: &Head) -> &'static dyn Grammar {
    match vendor(head) {
        Vendor::Anthropic => dialect::ANTHROPIC,
        Vendor::Gemini => dialect::GEMINI,
        Vendor::OpenAi if head.path().starts_with("/v1/responses") => dialect::OPENAI_RESPONSES,
        Vendor::OpenAi => dialect::OPENAI_CHAT,
    }
}

fn misbehaved(call: &Call<'_>) -> Option<Reply> {
    let behaviour = call.behaviour;
    if behaviour.html {
        let page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
        return Some(Reply::whole(502, "text/html", page));
    }
    if behaviour.garbage {
        return Some(Reply::whole(200, "application/json", "{\"id\": \"chatcmpl-\u{fffd}, nope"));
    }
    if behaviour.quota {
        let message = "You exceeded your current quota, please check your plan.";
        return Some(call.refuse(429, "insufficient_quota", message));
    }
    let status = behaviour.status?;
    let (code, message) = match status {
        400 => ("invalid_request_error", "The mock does not like this request."),
        401 => ("invalid_api_key", "Incorrect API key provided: sk-mock****."),
        403 => ("permission_denied", "This key may not do that."),
        404 => ("model_not_found", "The model does not exist or you do not have access to it."),
        429 => ("rate_limit_exceeded", "Rate limit reached for requests."),
        529 => ("overloaded", "Overloaded"),
        _ => ("server_error", "The mock fails as it was told to."),
    };
    let reply = call.refuse(status, code, message).with("x-request-id", call.id("req_"));
    Some(match behaviour.retry_after {
        Some(seconds) => reply.with("retry-after", seconds),
        None => reply,
    })
}

fn is_sse(headers: &[(String, String)]) -> bool {
    headers.iter().any(|(_, value)| value == "text/event-stream")
}

/// What may be done to any event stream.
fn adorn(events: &mut Vec<Bytes>, call: &Call<'_>) {
    let behaviour = call.behaviour;
    if let Some(at) = behaviour.error_event {
        let id = call.id("req_");
        let words = ErrorWords {
            status: 529,
            code: "overloaded_error",
            message: "Overloaded in the middle of it",
            request_id: &id,
        };
        events.truncate(at);
        events.push(grammar(call.head).error_event(&words).into());
    }
    if behaviour.comments {
        for event in events.iter_mut() {
            *event = [b": a comment\n\n".as_slice(), event].concat().into();
        }
    }
    if behaviour.crlf {
        for event in events.iter_mut() {
            let text = String::from_utf8_lossy(event).replace('\n', "\r\n");
            *event = text.into();
        }
    }
}

/// An event without a name.
fn data(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

/// An event named like its `type`.
fn named(value: &Value) -> Bytes {
    let name = value["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {value}\n\n").into()
}

/// The words of a message's content, be it a text or a list of parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .map(|part| {
                part["text"].as_str().map_or_else(|| text_of(&part["content"]), str::to_owned)
            })
            .collect::<Vec<_>>()
            .join(" ")
            .trim()
            .to_owned(),
        _ => String::new(),
    }
}

/// The model that a body names, or a refusal: none named, or one that is called after missing.
fn model(call: &Call<'_>, named: Option<&str>) -> Result<String, Reply> {
    let model = named.filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| {
        call.refuse(400, "missing_required_parameter", "you must provide a model parameter")
    })?;
    if model.starts_with("no-such") {
        let message = format!("The model `{model}` does not exist.");
        return Err(call.refuse(404, "model_not_found", &message));
    }
    Ok(model.to_owned())
}
