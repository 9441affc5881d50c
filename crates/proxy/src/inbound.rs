//! What came in: whose key, and what is asked.
//!
//! The key is looked for before a byte of body is read, digested at once, and goes no further. Model
//! routes read a JSON body whole (bounded), so that an attempt can be repeated; everything else
//! is passed on as it comes.

use std::ops::Range;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dialect::{Coding, Edit, OWN_MARK, Peek};
use domain::{Caller, Dialect};

use crate::{
    client::Client,
    conversion::codec_of,
    door::{Door, Endpoint, Job, Operation},
    gateway::Gateway,
    headers::percent_decode,
    http1::RequestHead,
    memory::{Held, Holders},
    refusal::Refusal,
};

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
    /// What takes proofs out of the body that only the gateway can read.
    pub(crate) own_seals: Vec<Edit>,
    /// Whether the body came compressed and is held unpacked.
    pub(crate) unpacked: bool,
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
    Held { bytes: Bytes, memory: Option<Held> },
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

    /// Counts memory for `bytes` that are made of the body, for whose body it is; none where there
    /// is no room.
    pub(crate) fn memory(&self, gateway: &Gateway, bytes: u64) -> Option<Held> {
        match &self.body {
            Body::Held { memory: Some(memory), .. } => memory.another(bytes),
            _ => gateway.hold(Holders::default(), bytes),
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
            Operation::Chat | Operation::Converse | Operation::Text => true,
            Operation::ModelInPath { verb, .. } => verb.ends_with("enerateContent"),
            _ => false,
        }
    }

    /// What is to be done, where other dialects can be asked for it too.
    pub(crate) fn job(&self) -> Option<Job> {
        match &self.door {
            Door::Model(endpoint) => endpoint.job().filter(|_| self.repeatable()),
            _ => None,
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

/// Reads what is asked. JSON on a model route is read whole; other bodies are read whole when
/// they are small enough to be repeated, and left with the client when they are not.
pub(crate) async fn call(
    gateway: &Gateway,
    client: &mut Client<'_>,
    caller: &Caller,
    door: Door,
) -> Result<Call, Refusal> {
    let websocket = client.head.asks_for_websocket();
    let mut call = Call {
        model: model_outside_body(&client.head, &door),
        model_in_query: names_model_in_query(&client.head),
        door,
        body: Body::Held { bytes: Bytes::new(), memory: None },
        model_at: None,
        ask_usage: None,
        own_seals: Vec::new(),
        unpacked: false,
        websocket,
    };
    if websocket || !client.head.has_body() {
        return Ok(call);
    }
    let json = reads_as_json(&call, &client.head);
    let coding = if json { request_coding(&client.head)? } else { None };
    let buffers = gateway.settings.buffers;
    let length = client.head.content_length;
    let holdable = length.is_some_and(|length| length <= buffers.per_request);
    if !json && !holdable {
        call.body = Body::Streaming;
        return Ok(call);
    }
    let max = if json { gateway.settings.limits.body } else { buffers.per_request };
    let holders = Holders::of(caller.key.id, gateway.settings.counted(client.ip));
    let mut memory = gateway.hold(holders, 0).ok_or(Refusal::Busy)?;
    if !json && !memory.would_hold(length.unwrap_or(0)) {
        call.body = Body::Streaming;
        return Ok(call);
    }
    let mut bytes = client.body(max, &mut memory).await?;
    if let Some(coding) = coding {
        bytes = unpacked(coding, &bytes, max)?;
        memory = gateway.hold(holders, bytes.len() as u64).ok_or(Refusal::Busy)?;
        call.unpacked = true;
    }
    if json {
        look_into(&mut call, client.head.path(), &bytes)?;
    } else {
        look_into_form(&mut call, &client.head, &bytes)?;
    }
    call.body = Body::Held { bytes, memory: Some(memory) };
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

/// Whether the body is JSON that decides where the call goes: by its type, or, whatever its type
/// says, where nothing else can be meant.
fn reads_as_json(call: &Call, head: &RequestHead) -> bool {
    let Door::Model(endpoint) = &call.door else { return false };
    let meant = endpoint.job().is_some() || NEED_A_MODEL.contains(&head.path());
    meant || is_json(head)
}

/// How a body that must be read is compressed.
fn request_coding(head: &RequestHead) -> Result<Option<Coding>, Refusal> {
    match head.text("content-encoding") {
        Some(coding) if !coding.trim().eq_ignore_ascii_case("identity") => {
            Coding::of(coding).map(Some).ok_or(Refusal::Compressed)
        }
        _ => Ok(None),
    }
}

fn unpacked(coding: Coding, bytes: &[u8], max: u64) -> Result<Bytes, Refusal> {
    let room = usize::try_from(max).unwrap_or(usize::MAX);
    match coding.unpack(bytes, room) {
        Ok(Some(whole)) => Ok(whole.into()),
        Ok(None) => Err(Refusal::BodyTooLarge(max)),
        Err(_) => Err(Refusal::BadCoding),
    }
}

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
    if endpoint.job().is_some() && memchr::memmem::find(bytes, OWN_MARK.as_bytes()).is_some() {
        call.own_seals = codec_of(endpoint.dialect).own_seals_of(bytes)?;
    }
    Ok(())
}

/// Finds in a form what decides where it goes; other bodies are not looked into.
fn look_into_form(call: &mut Call, head: &RequestHead, bytes: &Bytes) -> Result<(), Refusal> {
    let Door::Model(_) = &call.door else { return Ok(()) };
    let Some(kind) = head.get("content-type") else {
        // Not every client says that it sends JSON. What does not read as such passes as it is.
        let looks_like_it = bytes.trim_ascii_start().starts_with(b"{");
        if looks_like_it && look_into(call, head.path(), bytes).is_err() {
            (call.model, call.model_at, call.ask_usage) = (None, None, None);
        }
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

/// The model that a call through `/proxy/` names, as far as that can be told: what it costs
/// depends on it.
pub(crate) fn named_model(call: &Call, head: &RequestHead) -> Option<String> {
    let Door::Opaque { path, .. } = &call.door else { return None };
    let decoded = |text: &str| String::from_utf8(percent_decode(text.as_bytes())).ok();
    let mut fields = head.query().unwrap_or_default().split('&');
    if let Some(model) = fields.find_map(|field| field.strip_prefix("model=")) {
        return decoded(model);
    }
    let in_path = ["/models/", "/deployments/"].iter().find_map(|place| path.split_once(place));
    if let Some((_, rest)) = in_path {
        return decoded(rest.split(['/', ':']).next().unwrap_or_default());
    }
    let kind = head.text("content-type").unwrap_or_default();
    if let Some(model) = dialect::form_text(kind, call.held(), "model") {
        return Some(model.to_owned());
    }
    let peeked = dialect::peek(call.held()).ok()?;
    peeked.model.map(|model| model.text.into_owned())
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
