//! What came in: whose key, and what is asked.
//!
//! The key is looked for before a byte of body is read, digested at once, and goes no further. Model
//! routes read a JSON body whole (bounded), so that an attempt can be repeated, and a form as far as
//! its model stands; everything else is passed on as it comes.

mod body;
mod find;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dialect::{Edit, Malformed};
use domain::{Caller, Dialect};

use crate::{
    client::Client,
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

pub(crate) use self::find::ModelAt;

/// What is asked: everything that choosing and sending needs, without the client.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) door: Door,
    /// The model that was asked for, by the name the client used.
    pub(crate) model: Option<String>,
    pub(crate) body: Body,
    /// Where the model stands in the body.
    pub(crate) model_at: Option<ModelAt>,
    /// Whether the body says another one than was asked for by the path.
    pub(crate) model_differs: bool,
    /// What makes an OpenAI stream tell its usage, if it was not asked to.
    pub(crate) ask_usage: Option<Edit>,
    /// What takes proofs out of the body that only the gateway can read.
    pub(crate) own_seals: Vec<Edit>,
    /// Whether the body came compressed and is held unpacked.
    pub(crate) unpacked: bool,
    pub(crate) websocket: bool,
    /// Whether the query may name the model.
    pub(crate) model_in_query: bool,
}

/// The body of a call.
#[derive(Debug)]
pub(crate) enum Body {
    /// Held, so that attempts can be repeated; counted against the budget while it is.
    Held { bytes: Bytes, memory: Option<Held> },
    /// The beginning of it, as far as it had to be read; the rest is still with the client, and goes
    /// on as it comes, in one attempt.
    Begun { bytes: Bytes, _memory: Held },
    /// Still with the client: passed on as it comes, in one attempt.
    Streaming,
}

impl Call {
    /// Whether more than one attempt can be made.
    pub(crate) fn repeatable(&self) -> bool {
        matches!(self.body, Body::Held { .. }) && !self.websocket
    }

    /// What of the body is here.
    pub(crate) fn held(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        match &self.body {
            Body::Held { bytes, .. } | Body::Begun { bytes, .. } => bytes,
            Body::Streaming => &NONE,
        }
    }

    /// How much of the body was read that can be sent again, where the rest cannot.
    pub(crate) fn begun(&self) -> u64 {
        match &self.body {
            Body::Begun { bytes, .. } => bytes.len() as u64,
            _ => 0,
        }
    }

    /// Whether the path says the model, as Azure's deployments do.
    fn deployed(&self) -> bool {
        matches!(&self.door, Door::Model(endpoint) if endpoint.deployment.is_some())
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

/// Reads what is asked, as far as it decides where the call goes: JSON on a model route whole, a
/// form up to its model. Other bodies are read whole where they are small enough to be repeated, and
/// left with the client where they are not.
pub(crate) async fn call(
    gateway: &Gateway,
    client: &mut Client<'_>,
    caller: &Caller,
    door: Door,
) -> Result<Call, Refusal> {
    let websocket = client.head.asks_for_websocket();
    let mut call = Call {
        model: model_outside_body(&client.head, &door),
        model_in_query: names_model_in_query(&client.head, &door),
        model_differs: false,
        door,
        body: Body::Held { bytes: Bytes::new(), memory: None },
        model_at: None,
        ask_usage: None,
        own_seals: Vec::new(),
        unpacked: false,
        websocket,
    };
    if websocket {
        return Ok(call);
    }
    let reading = body::Reading::of(&call, &client.head)?;
    if !client.head.has_body() {
        return if reading.needs_a_body() { Err(Malformed::Empty.into()) } else { Ok(call) };
    }
    let holders = Holders::of(caller.key.id, gateway.settings.counted(client.ip));
    body::read(gateway, client, holders, reading, &mut call).await?;
    Ok(call)
}

fn model_outside_body(head: &RequestHead, door: &Door) -> Option<String> {
    let Door::Model(endpoint) = door else { return None };
    match &endpoint.operation {
        Operation::ModelInPath { model, .. } => Some(model.clone()),
        _ if endpoint.deployment.is_some() => endpoint.deployment.clone(),
        _ if names_model_in_query(head, door) => {
            let fields = head.query().unwrap_or_default().split('&');
            let value = |field: &'_ str| {
                let (name, value) = field.split_once('=')?;
                (name == "model" || (name == "deployment" && endpoint.azure))
                    .then(|| percent_decode(value.as_bytes()))
            };
            String::from_utf8(fields.filter_map(value).next()?).ok()
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

/// A session of the Realtime API may name the model where it has no body to name it in.
fn names_model_in_query(head: &RequestHead, door: &Door) -> bool {
    matches!(door, Door::Model(_))
        && matches!(door.path(head), "/v1/realtime" | "/v1/realtime/calls")
}
