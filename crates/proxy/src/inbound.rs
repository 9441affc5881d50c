//! What came in: which door, whose key, and what is asked.
//!
//! The key is looked for before a byte of body is read, digested at once, and goes no further. Model
//! routes read a JSON body whole (bounded), so that an attempt can be repeated; everything else
//! is passed on as it comes.

use std::ops::Range;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dialect::{Edit, Grammar, Peek};
use domain::Dialect;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    client::Client, gateway::Gateway, headers::percent_decode, http1::RequestHead, refusal::Refusal,
};

/// Where a request is going, by its path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    /// `/livez`
    Live,
    /// `/readyz`, `/healthz`
    Ready,
    /// `/api/…`: somebody took the wrong port.
    Management,
    /// `/proxy/{upstream}/{path}`
    Opaque { upstream: String, path: String },
    /// `/v1/…`, `/v1beta/…`
    Model(Endpoint),
}

/// A model route: in which dialect, and to do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) dialect: Dialect,
    pub(crate) operation: Operation,
}

/// What a model route does, as far as we treat it differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `GET /v1/models`: answered here.
    ListModels,
    /// `GET /v1/models/{id}`: answered here.
    OneModel(String),
    /// OpenAI Chat Completions: the only one whose streams must be asked for usage.
    Chat,
    /// The model stands in the path: its name, and what follows it (`:generateContent`).
    ModelInPath { model: String, version: String, verb: String },
    /// Text by a model in the other ways to ask for it.
    Text,
    /// Anything else.
    Other,
}

/// What may be done with a model route.
const MODEL_METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

impl Door {
    /// Whether a request of this method may come in here at all.
    pub(crate) fn admits(&self, method: &str) -> Result<(), Refusal> {
        let admitted = match self {
            Door::Model(_) => MODEL_METHODS.contains(&method),
            _ => !matches!(method, "TRACE" | "CONNECT"),
        };
        let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE";
        let refusal = || Refusal::Method { method: method.to_owned(), allowed };
        if admitted { Ok(()) } else { Err(refusal()) }
    }

    /// Reads the path of a request. Paths that two readers could read differently lead nowhere.
    pub(crate) fn of(head: &RequestHead) -> Result<Door, Refusal> {
        let path = head.path();
        match path {
            "/livez" => return Ok(Door::Live),
            "/readyz" | "/healthz" => return Ok(Door::Ready),
            _ => {}
        }
        if path == "/api" || path.starts_with("/api/") {
            return Ok(Door::Management);
        }
        if is_tricky(path) && !asks_for_one_model(head) {
            return Err(Refusal::NoSuchPath);
        }
        if let Some(rest) = path.strip_prefix("/proxy/") {
            let (upstream, path) = match rest.find('/') {
                Some(slash) => (&rest[..slash], &rest[slash..]),
                None => (rest, ""),
            };
            let (upstream, path) = (upstream.to_owned(), path.to_owned());
            return Ok(Door::Opaque { upstream, path });
        }
        endpoint(head).map(Door::Model).ok_or(Refusal::NoSuchPath)
    }

    /// How errors are said to who came to this door.
    pub(crate) fn grammar(&self) -> &'static dyn Grammar {
        match self {
            Door::Model(endpoint) => grammar_of(endpoint.dialect),
            _ => dialect::PLAIN,
        }
    }
}

/// The grammar of a dialect.
pub(crate) fn grammar_of(dialect: Dialect) -> &'static dyn Grammar {
    match dialect {
        Dialect::OpenaiChat => dialect::OPENAI_CHAT,
        Dialect::OpenaiResponses => dialect::OPENAI_RESPONSES,
        Dialect::AnthropicMessages => dialect::ANTHROPIC,
        Dialect::Gemini => dialect::GEMINI,
    }
}

/// Whether a path holds what a later reader could take for another path.
fn is_tricky(path: &str) -> bool {
    let bytes = path.as_bytes();
    if memchr::memchr3(b'\\', b';', 0, bytes).is_some() {
        return true;
    }
    let escaped = bytes.windows(3).any(|w| {
        w[0] == b'%' && matches!(&w[1..].to_ascii_lowercase()[..], b"2f" | b"5c" | b"00" | b"2e")
    });
    escaped || path.split('/').skip(1).any(|s| matches!(s, "." | "..")) || path.contains("//")
}

/// Whether all that is odd about a path is the slash of `upstream/model`, which SDKs write as
/// `%2F` when they ask for one model.
fn asks_for_one_model(head: &RequestHead) -> bool {
    let path = head.path();
    let models = ["/v1/models/", "/v1beta/models/"].iter().any(|place| path.starts_with(place));
    models && head.method() == "GET" && !is_tricky(&with_slashes(path))
}

fn with_slashes(path: &str) -> String {
    path.replace("%2F", "/").replace("%2f", "/")
}

/// Whose dialect a path has that belongs to several vendors: the SDKs tell by their headers. A
/// `x-goog-api-key` alone says so only of models, for it may carry anybody's service key.
fn shared_dialect(head: &RequestHead, version: &str, rest: &str) -> Dialect {
    let says = |name| head.get(name).is_some();
    let models = starts(rest, "models");
    if version != "v1" || says("x-goog-api-client") || (models && says("x-goog-api-key")) {
        Dialect::Gemini
    } else if says("anthropic-version") {
        Dialect::AnthropicMessages
    } else {
        Dialect::OpenaiChat
    }
}

fn endpoint(head: &RequestHead) -> Option<Endpoint> {
    let path = head.path();
    let (version, rest) = ["v1beta", "v1alpha", "v1"].into_iter().find_map(|version| {
        let rest = path.strip_prefix('/')?.strip_prefix(version)?.strip_prefix('/')?;
        Some((version, rest))
    })?;
    let is_get = matches!(head.method(), "GET" | "HEAD");
    let is_post = head.method() == "POST";
    let gemini = version != "v1";
    let shared = shared_dialect(head, version, rest);
    let (dialect, operation) = match rest {
        "models" if is_get => (shared, Operation::ListModels),
        "chat/completions" if !gemini => (Dialect::OpenaiChat, Operation::Chat),
        _ if rest.starts_with("models/") => {
            let name = &rest["models/".len()..];
            match name.rsplit_once(':').filter(|(_, verb)| is_gemini_verb(verb)) {
                Some((model, verb)) => {
                    let place = (model.to_owned(), version.to_owned(), format!(":{verb}"));
                    let (model, version, verb) = place;
                    (Dialect::Gemini, Operation::ModelInPath { model, version, verb })
                }
                None if is_get => (shared, Operation::OneModel(with_slashes(name))),
                None => (shared, Operation::Other),
            }
        }
        _ if gemini => (Dialect::Gemini, Operation::Other),
        "messages" | "complete" if is_post => (Dialect::AnthropicMessages, Operation::Text),
        "responses" if is_post => (Dialect::OpenaiResponses, Operation::Text),
        "completions" if is_post => (shared, Operation::Text),
        _ if starts(rest, "messages") || rest == "complete" => {
            (Dialect::AnthropicMessages, Operation::Other)
        }
        _ if starts(rest, "responses") => (Dialect::OpenaiResponses, Operation::Other),
        _ => (shared, Operation::Other),
    };
    Some(Endpoint { dialect, operation })
}

/// Whether `path` is `segment` or lies below it.
fn starts(path: &str, segment: &str) -> bool {
    path.strip_prefix(segment).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Gemini's verbs are lowerCamelCase words; a colon may also stand in other providers' names
/// (`ft:gpt-4o:org`, `llama3:8b`).
fn is_gemini_verb(verb: &str) -> bool {
    const VERBS: [&str; 12] = [
        "generateContent",
        "streamGenerateContent",
        "countTokens",
        "embedContent",
        "batchEmbedContents",
        "batchGenerateContent",
        "asyncBatchEmbedContent",
        "generateAnswer",
        "generateText",
        "predict",
        "predictLongRunning",
        "bidiGenerateContent",
    ];
    VERBS.contains(&verb)
}

/// The service key that a request shows, as text, and where it may hide besides.
pub(crate) fn shown_key(head: &RequestHead) -> Result<String, Refusal> {
    if head.all("authorization").count() > 1 {
        return Err(Refusal::TwoKeys);
    }
    if holds_a_key(head.path()) {
        // Paths are logged and passed on.
        return Err(Refusal::NoSuchPath);
    }
    let mut shown: Option<String> = None;
    let mut dummy = false;
    for carrier in carriers(head) {
        if !auth::ServiceKeys::looks_like(&carrier) {
            dummy |= !carrier.is_empty();
            continue;
        }
        match &shown {
            Some(other) if *other != carrier => return Err(Refusal::TwoKeys),
            _ => shown = Some(carrier),
        }
    }
    shown.ok_or(if dummy { Refusal::KeyUnknown } else { Refusal::KeyMissing })
}

/// Whether something that has the form of a service key stands in `text`.
pub(crate) fn holds_a_key(text: &str) -> bool {
    text.match_indices("tg-").any(|(at, _)| {
        let end = at + auth::ServiceKeys::LENGTH;
        text.get(at..end).is_some_and(auth::ServiceKeys::looks_like)
    })
}

/// Everything that a client may mean as its key.
fn carriers(head: &RequestHead) -> impl Iterator<Item = String> {
    let mut found = Vec::with_capacity(2);
    if let Some(value) = head.text("authorization") {
        match value.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => {
                found.extend(from_basic(rest.trim()));
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => {
                found.push(rest.trim().to_owned());
            }
            _ => found.push(value.to_owned()),
        }
    }
    for name in ["x-api-key", "api-key", "x-goog-api-key"] {
        let values = head.all(name).filter_map(|value| std::str::from_utf8(value).ok());
        found.extend(values.map(str::to_owned));
    }
    for field in head.query().unwrap_or_default().split('&') {
        found.extend(field.strip_prefix("key=").map(str::to_owned));
    }
    // Browsers cannot set headers on a WebSocket; OpenAI's SDKs put the key here.
    for protocol in head.text("sec-websocket-protocol").unwrap_or_default().split(',') {
        found.extend(protocol.trim().strip_prefix("openai-insecure-api-key.").map(str::to_owned));
    }
    found.into_iter()
}

/// The key in `Basic` credentials: the password, the user's name, or id and secret apart.
fn from_basic(encoded: &str) -> Option<String> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let whole = [password.to_owned(), user.to_owned(), format!("tg-{user}-{password}")];
    let fits = whole.iter().find(|text| auth::ServiceKeys::looks_like(text));
    Some(fits.cloned().unwrap_or_else(|| password.to_owned()))
}

/// What is asked: everything that choosing and sending needs, without the client.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) door: Door,
    /// The model that was asked for, by the name the client used.
    pub(crate) model: Option<String>,
    pub(crate) body: Body,
    /// Where the model stands in the body.
    pub(crate) model_at: Option<ModelAt>,
    /// What makes an OpenAI stream tell its usage, if it was not asked to.
    pub(crate) ask_usage: Option<Edit>,
    pub(crate) websocket: bool,
    /// Whether the model stands in the query.
    pub(crate) model_in_query: bool,
}

/// Where the model stands in a body.
#[derive(Debug)]
pub(crate) enum ModelAt {
    /// As a JSON string, with its quotes.
    Json(Range<usize>),
    /// As the field of a form.
    Form(Range<usize>),
}

/// The body of a call.
#[derive(Debug)]
pub(crate) enum Body {
    /// Held, so that attempts can be repeated; counted against the budget while it is.
    Held { bytes: Bytes, _budget: Option<OwnedSemaphorePermit> },
    /// Still with the client: passed on as it comes, in one attempt.
    Streaming,
}

impl Call {
    /// Whether more than one attempt can be made.
    pub(crate) fn repeatable(&self) -> bool {
        matches!(self.body, Body::Held { .. }) && !self.websocket
    }

    /// The body, where it is held.
    pub(crate) fn held(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        match &self.body {
            Body::Held { bytes, .. } => bytes,
            Body::Streaming => &NONE,
        }
    }

    /// Gives back the memory of the body, once no attempt can need it again.
    pub(crate) fn let_go(&mut self) {
        self.body = Body::Streaming;
    }

    /// Whether the answer is text that a model writes: where its usage is not told, it is counted.
    pub(crate) fn generates_text(&self) -> bool {
        let Door::Model(Endpoint { operation, .. }) = &self.door else { return false };
        match operation {
            Operation::Chat => true,
            Operation::ModelInPath { verb, .. } => verb.ends_with("enerateContent"),
            Operation::Text => true,
            _ => false,
        }
    }

    /// The dialect of the call, on a model route.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        match &self.door {
            Door::Model(endpoint) => Some(endpoint.dialect),
            _ => None,
        }
    }
}

/// What a body of unknown length is counted as until it is read.
const UNDECLARED: u64 = 256 << 10;

/// Reads what is asked. JSON on a model route is read whole; other bodies are read whole when
/// they are small enough to be repeated, and left with the client when they are not.
pub(crate) async fn call(
    gateway: &Gateway,
    client: &mut Client<'_>,
    door: Door,
) -> Result<Call, Refusal> {
    let websocket = client.head.asks_for_websocket();
    let mut call = Call {
        model: model_outside_body(&client.head, &door),
        model_in_query: names_model_in_query(&client.head),
        door,
        body: Body::Held { bytes: Bytes::new(), _budget: None },
        model_at: None,
        ask_usage: None,
        websocket,
    };
    if websocket || !client.head.has_body() {
        return Ok(call);
    }
    let needs_model = NEED_A_MODEL.contains(&client.head.path());
    let json = matches!(call.door, Door::Model(_)) && (needs_model || is_json(&client.head));
    if json
        && client.head.get("content-encoding").is_some_and(|v| !v.eq_ignore_ascii_case(b"identity"))
    {
        return Err(Refusal::Compressed);
    }
    let buffers = gateway.settings.buffers;
    let length = client.head.content_length;
    let holdable = length.is_some_and(|length| length <= buffers.per_request);
    if !json && !holdable {
        call.body = Body::Streaming;
        return Ok(call);
    }
    let max = if json { gateway.settings.limits.body } else { buffers.per_request };
    let Some(mut budget) = gateway.hold(length.unwrap_or(UNDECLARED).min(max)) else {
        if json {
            return Err(Refusal::Busy);
        }
        call.body = Body::Streaming;
        return Ok(call);
    };
    let mut held = length.unwrap_or(UNDECLARED).min(max);
    let more = |size: u64| {
        if size > held {
            budget.merge(gateway.hold(held.min(max)).ok_or(Refusal::Busy)?);
            held *= 2;
        }
        Ok(())
    };
    let bytes = client.body(max, more).await?;
    if json {
        look_into(&mut call, client.head.path(), &bytes)?;
    } else {
        look_into_form(&mut call, &client.head, &bytes)?;
    }
    call.body = Body::Held { bytes, _budget: Some(budget) };
    Ok(call)
}

/// Paths at which nothing can be done without a model.
const NEED_A_MODEL: [&str; 6] = [
    "/v1/audio/speech",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
];

/// Finds in a JSON body what decides where it goes.
fn look_into(call: &mut Call, path: &str, bytes: &Bytes) -> Result<(), Refusal> {
    let Door::Model(endpoint) = &call.door else { return Ok(()) };
    let peeked: Peek<'_> = dialect::peek(bytes)?;
    if endpoint.operation == Operation::Chat {
        call.ask_usage = peeked.ask_for_usage();
    }
    // Gemini names the model in the path; a model in its body is the body's own business.
    if endpoint.dialect != Dialect::Gemini
        && let Some(span) = peeked.model
    {
        call.model = Some(span.text.into_owned());
        call.model_at = Some(ModelAt::Json(span.range));
    }
    if call.model.as_deref().is_none_or(holds_a_key) && NEED_A_MODEL.contains(&path) {
        call.model = None;
        return Err(Refusal::ModelMissing);
    }
    Ok(())
}

/// Finds in a form what decides where it goes; other bodies are not looked into.
fn look_into_form(call: &mut Call, head: &RequestHead, bytes: &Bytes) -> Result<(), Refusal> {
    let (Door::Model(_), Some(kind)) = (&call.door, head.get("content-type")) else {
        return Ok(());
    };
    let kind = String::from_utf8_lossy(kind);
    if let Some(field) = dialect::peek_form(&kind, bytes)? {
        call.model = Some(field.text.to_owned());
        call.model_at = Some(ModelAt::Form(field.range));
    }
    Ok(())
}

fn model_outside_body(head: &RequestHead, door: &Door) -> Option<String> {
    let Door::Model(endpoint) = door else { return None };
    match &endpoint.operation {
        Operation::ModelInPath { model, .. } => Some(model.clone()),
        _ if names_model_in_query(head) => {
            let fields = head.query().unwrap_or_default().split('&');
            let model = fields.filter_map(|field| field.strip_prefix("model=")).next()?;
            String::from_utf8(percent_decode(model.as_bytes())).ok()
        }
        _ => None,
    }
}

/// The Realtime API has no body to name the model in.
fn names_model_in_query(head: &RequestHead) -> bool {
    head.path() == "/v1/realtime"
}

fn is_json(head: &RequestHead) -> bool {
    let value = head.get("content-type").unwrap_or_default();
    let media = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    media.eq_ignore_ascii_case(b"application/json")
        || media.to_ascii_lowercase().ends_with(b"+json")
}

#[cfg(test)]
mod door_tests {
    use super::*;

    fn check(request: &str, dialect: Dialect, operation: Operation) {
        let raw = format!("{request}\r\nhost: here\r\n\r\n");
        let head = RequestHead::parse(Bytes::from(raw), 64, 8192).unwrap();
        assert_eq!(Door::of(&head).unwrap(), Door::Model(Endpoint { dialect, operation }));
    }

    #[test]
    fn shared_paths_are_told_apart_by_what_the_sdks_send() {
        let list = Operation::ListModels;
        check("GET /v1/models HTTP/1.1", Dialect::OpenaiChat, list.clone());
        let anthropic = "GET /v1/models HTTP/1.1\r\nanthropic-version: 1";
        check(anthropic, Dialect::AnthropicMessages, list.clone());
        check("GET /v1/models HTTP/1.1\r\nx-goog-api-key: k", Dialect::Gemini, list.clone());
        check("GET /v1beta/models HTTP/1.1", Dialect::Gemini, list);
        let other = Operation::Other;
        let key = "POST /v1/embeddings HTTP/1.1\r\nx-goog-api-key: k";
        check(key, Dialect::OpenaiChat, other.clone());
        check("GET /v1/files HTTP/1.1\r\nx-goog-api-client: sdk", Dialect::Gemini, other);
    }

    #[test]
    fn a_model_with_a_slash_is_found_and_no_other_trick_is() {
        let one = Operation::OneModel("openai/gpt-4o".into());
        check("GET /v1/models/openai%2Fgpt-4o HTTP/1.1", Dialect::OpenaiChat, one.clone());
        check("GET /v1/models/openai/gpt-4o HTTP/1.1", Dialect::OpenaiChat, one);
        for tricky in [
            "GET /v1/models/..%2Ffiles",
            "GET /v1/models/a%2F%2e%2e",
            "GET /v1/models/a%2F%2Fb",
            "POST /v1/models/openai%2Fgpt-4o",
            "GET /v1/files/a%2Fb",
        ] {
            let raw = format!("{tricky} HTTP/1.1\r\nhost: here\r\n\r\n");
            let head = RequestHead::parse(Bytes::from(raw), 64, 8192).unwrap();
            assert!(matches!(Door::of(&head), Err(Refusal::NoSuchPath)), "{tricky}");
        }
    }
}
