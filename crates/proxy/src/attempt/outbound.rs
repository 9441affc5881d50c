//! What goes to a provider: the head with the provider's key in it, and the body with the model
//! that this target is asked for. Every other byte is as it came.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use dialect::splice_parts;
use domain::{HeaderRule, KeyPlacement, Upstream};
use secrecy::ExposeSecret;

use crate::{
    attempt::{address, conversion::Wording},
    door::{Door, Endpoint, Operation},
    headers,
    http1::{COPY_MAX, RequestHead, push_hex, push_number},
    pool::balancer::Slot,
    request::inbound::{Body, Call, ModelAt},
};

/// A request, ready to be sent to one target with one key.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: String,
    head: Bytes,
    /// The body where it is held, in pieces of what the client sent.
    body: Vec<Bytes>,
    /// Whether usage is asked for that the client did not ask for.
    pub(crate) asks_usage: bool,
}

impl Outgoing {
    /// All of it in the pieces in which it is written: a small one in one.
    pub(crate) fn pieces(&self) -> VecDeque<Bytes> {
        let size = self.head.len() + self.body.iter().map(Bytes::len).sum::<usize>();
        if self.body.is_empty() || size > COPY_MAX {
            return std::iter::once(&self.head).chain(&self.body).cloned().collect();
        }
        let mut whole = BytesMut::with_capacity(size);
        whole.extend_from_slice(&self.head);
        self.body.iter().for_each(|piece| whole.extend_from_slice(piece));
        [whole.freeze()].into()
    }
}

/// Makes the request for `upstream`, asking for `model` with the key of `slot`.
pub(crate) fn outgoing(
    client: &RequestHead,
    shown_key: &str,
    call: &Call,
    upstream: &Upstream,
    slot: Option<&Slot>,
    model: Option<&str>,
    rules: &[HeaderRule],
) -> Outgoing {
    let to_model = matches!(call.door, Door::Model(_));
    let query = headers::query(client, shown_key, to_model, placed(upstream, slot));
    let query = match &call.door {
        Door::Model(endpoint) => {
            let query = if endpoint.azure { without_azures(query) } else { query };
            let query = if call.model_in_query { with_model(query, model) } else { query };
            address::with_fields(query, &upstream.query)
        }
        _ => query,
    };
    let method = client.method().to_owned();
    let mut head = Vec::with_capacity(1024);
    head.extend_from_slice(method.as_bytes());
    head.push(b' ');
    push_target(&mut head, call.door.path(client), call, upstream, model);
    if let Some(query) = query {
        head.push(b'?');
        head.extend_from_slice(query.as_bytes());
    }
    head.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    head.extend_from_slice(upstream.base_url.authority().as_bytes());
    head.extend_from_slice(b"\r\n");
    let readable = matches!(call.door, Door::Model(_)) && !call.websocket;
    let policy = upstream.header_policy;
    headers::to_provider(&mut head, client, shown_key, policy, rules, readable, call.unpacked);
    if let Some(slot) = slot {
        headers::push_key(&mut head, &upstream.key_placement, &slot.key.secret);
    }
    if call.websocket {
        push_websocket(&mut head, client);
    }
    let asks_usage = upstream.ask_usage && call.ask_usage.is_some();
    let mut body = match &call.body {
        Body::Held { bytes, .. } | Body::Begun { bytes, .. } => {
            edited(call, bytes, model, asks_usage)
        }
        Body::Streaming => Vec::new(),
    };
    let size = body.iter().map(Bytes::len).sum();
    push_framing(&mut head, client, &call.body, size);
    if client.chunked && matches!(call.body, Body::Begun { .. }) {
        // The beginning is a chunk of its own; those of the client follow.
        let mut line = Vec::with_capacity(12);
        push_hex(&mut line, size);
        body.insert(0, line.into());
        body.push(Bytes::from_static(b"\r\n"));
    }
    head.extend_from_slice(b"\r\n");
    Outgoing { method, head: head.into(), body, asks_usage }
}

/// The same for a call that was said again in another dialect.
pub(crate) fn worded(
    client: &RequestHead,
    wording: &Wording,
    upstream: &Upstream,
    slot: Option<&Slot>,
    model: Option<&str>,
    rules: &[HeaderRule],
) -> Outgoing {
    let mut head = b"POST ".to_vec();
    address::push_path(&mut head, upstream, &wording.path, model);
    let own = (!wording.query.is_empty()).then(|| wording.query.to_owned());
    let query = address::with_fields(own, &upstream.query);
    if let Some(query) = address::with_key(query, placed(upstream, slot)) {
        head.push(b'?');
        head.extend_from_slice(query.as_bytes());
    }
    head.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    head.extend_from_slice(upstream.base_url.authority().as_bytes());
    head.extend_from_slice(b"\r\n");
    headers::of_conversion(&mut head, client, &wording.headers, upstream.header_policy, rules);
    if let Some(slot) = slot {
        headers::push_key(&mut head, &upstream.key_placement, &slot.key.secret);
    }
    let body = wording.body();
    push_length(&mut head, body.len() as u64);
    head.extend_from_slice(b"\r\n");
    let (method, body) = ("POST".to_owned(), vec![body]);
    Outgoing { method, head: head.into(), body, asks_usage: false }
}

/// The provider key, where it goes into the query.
pub(crate) fn placed<'a>(
    upstream: &'a Upstream,
    slot: Option<&'a Slot>,
) -> Option<(&'a str, &'a str)> {
    match (&upstream.key_placement, slot) {
        (KeyPlacement::Query(name), Some(slot)) => Some((name, slot.key.secret.expose_secret())),
        _ => None,
    }
}

/// The query with the model that this target is asked for.
fn with_model(query: Option<String>, model: Option<&str>) -> Option<String> {
    let (query, model) = (query?, model?);
    let fields = query.split('&').map(|field| match field.strip_prefix("model=") {
        Some(_) => format!("model={}", headers::percent_encode(model)),
        None => field.to_owned(),
    });
    Some(fields.collect::<Vec<_>>().join("&"))
}

/// The query without the version of Azure's API, and with the model under its usual name.
fn without_azures(query: Option<String>) -> Option<String> {
    let query = query?;
    let fields = query.split('&').filter(|field| !field.starts_with("api-version="));
    let fields = fields.map(|field| match field.strip_prefix("deployment=") {
        Some(model) => format!("model={model}"),
        None => field.to_owned(),
    });
    let query = fields.collect::<Vec<_>>().join("&");
    (!query.is_empty()).then_some(query)
}

/// The body with the model and the question for usage put in, and without wrapped signatures.
fn edited(call: &Call, bytes: &Bytes, model: Option<&str>, asks_usage: bool) -> Vec<Bytes> {
    let mut edits = call.wrapped_signatures.clone();
    edits.extend(call.ask_usage.iter().filter(|_| asks_usage).cloned());
    if let (Some(place), Some(model)) = (&call.model_at, model) {
        let missing = matches!(place, ModelAt::NotInJson { .. } | ModelAt::NotInForm(_));
        if missing || call.model_differs || call.model.as_deref() != Some(model) {
            edits.extend(place.say(model));
        }
    }
    splice_parts(bytes, &edits)
}

fn push_framing(head: &mut Vec<u8>, client: &RequestHead, body: &Body, length: usize) {
    match body {
        Body::Streaming | Body::Begun { .. } if client.chunked => {
            head.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        Body::Begun { bytes, .. } => {
            let rest = client.content_length.unwrap_or(0).saturating_sub(bytes.len() as u64);
            push_length(head, rest + length as u64);
        }
        Body::Streaming => push_length(head, client.content_length.unwrap_or(0)),
        // A request without a body says so only if the client did.
        Body::Held { .. } if length > 0 || client.content_length.is_some() || client.chunked => {
            push_length(head, length as u64);
        }
        Body::Held { .. } => {}
    }
}

fn push_length(head: &mut Vec<u8>, length: u64) {
    head.extend_from_slice(b"content-length: ");
    push_number(head, length);
    head.extend_from_slice(b"\r\n");
}

fn push_target(
    head: &mut Vec<u8>,
    path: &str,
    call: &Call,
    upstream: &Upstream,
    model: Option<&str>,
) {
    match &call.door {
        Door::Opaque { path, .. } => {
            let base = upstream.base_url.path();
            head.extend_from_slice(base.as_bytes());
            head.extend_from_slice(path.as_bytes());
            if base.is_empty() && path.is_empty() {
                head.push(b'/');
            }
        }
        Door::Model(Endpoint {
            operation: Operation::ModelInPath { model: asked, version, verb },
            ..
        }) => {
            let model = model.unwrap_or(asked);
            address::push_path(head, upstream, &format!("/{version}/models/"), Some(model));
            address::push_segment(head, model, b"?#\\");
            head.extend_from_slice(verb.as_bytes());
        }
        _ => address::push_path(head, upstream, path, model),
    }
}

/// A WebSocket's own headers. `sec-*` stays here under most policies, and extensions stay here
/// always: compressed frames could not be counted.
fn push_websocket(head: &mut Vec<u8>, client: &RequestHead) {
    head.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\n");
    for name in ["sec-websocket-key", "sec-websocket-version"] {
        if let Some(value) = client.get(name) {
            headers::push(head, name.as_bytes(), value);
        }
    }
    // The key may stand among the protocols; the others are the client's own.
    let protocols =
        client.text("sec-websocket-protocol").unwrap_or_default().split(',').map(str::trim);
    let kept: Vec<&str> =
        protocols.filter(|p| !p.is_empty() && !p.starts_with("openai-insecure-api-key.")).collect();
    if !kept.is_empty() {
        headers::push(head, b"sec-websocket-protocol", kept.join(", ").as_bytes());
    }
}
