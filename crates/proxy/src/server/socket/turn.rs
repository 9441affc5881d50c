//! One response on a socket: a call to `POST /v1/responses` over a pipe in memory, answered like any
//! other, and the events of its stream as messages.

use std::{borrow::Cow, future::Future, net::IpAddr, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use dialect::{Block, Fields, Splitter};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use tokio::{io::duplex, sync::mpsc};
use uuid::Uuid;

use super::{
    events::{self, BROKE_OFF, Error},
    history::{History, Kept, sendable},
    request::{Built, Create, size},
};
use crate::{
    client::Client,
    gateway::Gateway,
    headers,
    http1::{BadHead, Conn, Decoder, Framing, RequestHead, ResponseHead, push_number},
    memory::Holders,
    server::front,
};

/// How much of an answer waits in the pipe.
const PIPE: usize = 64 << 10;
/// Largest head of an answer, and most fields in it: it is our own.
const HEAD_MAX: usize = 128 << 10;
const FIELDS_MAX: usize = 512;
/// Largest event, and largest answer that is no stream.
const EVENT_MAX: usize = 64 << 20;
const WHOLE_MAX: usize = 32 << 20;

/// What switches the socket itself on.
const SOCKET_BETA: &[u8] = b"responses_websockets";

/// A response that is being made; gives its lane.
pub(super) type Turn = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// What all calls of a socket have in common.
#[derive(Debug)]
pub(super) struct Template {
    /// The request line and the header lines, without the length.
    head: Vec<u8>,
    ip: Option<IpAddr>,
    pub(super) holders: Holders,
}

impl Template {
    /// The call has the headers of the handshake, but for those of the socket.
    pub(super) fn new(client: &Client<'_>, shown_key: &str, holders: Holders) -> Self {
        let mut head = b"POST ".to_vec();
        head.extend_from_slice(client.head.path().as_bytes());
        if let Some(query) = client.head.query() {
            head.push(b'?');
            head.extend_from_slice(query.as_bytes());
        }
        head.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in client.head.iter().filter(|(name, _)| !is_the_sockets(name)) {
            let hop = std::str::from_utf8(name);
            if !hop.is_ok_and(|name| client.head.lists("connection", name)) {
                headers::push(&mut head, name, value);
            }
        }
        let betas = client.head.all("openai-beta").flat_map(|value| value.split(|b| *b == b','));
        let betas = betas.map(<[u8]>::trim_ascii).filter(|beta| !beta.starts_with(SOCKET_BETA));
        let betas: Vec<&[u8]> = betas.collect();
        if !betas.is_empty() {
            headers::push(&mut head, b"openai-beta", &betas.join(&b", "[..]));
        }
        headers::push(&mut head, b"authorization", format!("Bearer {shown_key}").as_bytes());
        headers::push(&mut head, b"content-type", b"application/json");
        headers::push(&mut head, b"accept", b"text/event-stream");
        Self { head, ip: client.ip, holders }
    }

    fn head(&self, length: usize) -> Result<RequestHead, BadHead> {
        let mut head = self.head.clone();
        head.extend_from_slice(b"content-length: ");
        push_number(&mut head, length as u64);
        head.extend_from_slice(b"\r\n\r\n");
        RequestHead::parse(head.into(), FIELDS_MAX, HEAD_MAX)
    }
}

/// Whether a header of the handshake is not one of the calls.
fn is_the_sockets(name: &[u8]) -> bool {
    const NAMES: [&str; 15] = [
        "accept",
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
        "x-goog-api-key",
        // Each call has an id of its own.
        "x-request-id",
        // Without what switches the socket on.
        "openai-beta",
    ];
    let begins = |family: &str| name.get(..family.len()).is_some_and(|n| is(n, family));
    fn is(name: &[u8], other: &str) -> bool {
        name.eq_ignore_ascii_case(other.as_bytes())
    }
    NAMES.iter().any(|other| is(name, other)) || begins("sec-websocket-")
}

/// Makes the response that `create` asks for.
pub(super) fn turn(
    gateway: Arc<Gateway>,
    template: Arc<Template>,
    history: Arc<History>,
    mut create: Create,
    events: mpsc::Sender<String>,
) -> Turn {
    Box::pin(async move {
        let lane = create.lane.take();
        let built = create.build(&history);
        let generates = create.generates;
        drop(create);
        let mut telling = Telling {
            gateway,
            holders: template.holders,
            history,
            lane: lane.clone(),
            events,
            kept: Kept::default(),
            output: Vec::new(),
            over: false,
        };
        let told = match built {
            Err(fault) => telling.say(events::error(lane.as_deref(), &fault.error())).await,
            Ok(built) if generates => telling.call(&template, built).await,
            Ok(built) => telling.warm_up(built).await,
        };
        // Where the socket is gone there is nobody to tell.
        let _ = told;
        lane
    })
}

/// The socket is gone.
struct Gone;

/// One response on its way to the client.
struct Telling {
    gateway: Arc<Gateway>,
    holders: Holders,
    history: Arc<History>,
    lane: Option<String>,
    events: mpsc::Sender<String>,
    kept: Kept,
    /// The items that were told.
    output: Vec<Bytes>,
    /// The last event of the response was told.
    over: bool,
}

/// What of an event is looked at.
#[derive(Deserialize)]
struct Peeked<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
}

/// What of a response is looked at.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    output: Vec<&'a RawValue>,
}

impl Telling {
    async fn say(&self, event: String) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }

    async fn fail(&mut self, error: &Error<'_>) -> Result<(), Gone> {
        self.over = true;
        self.say(events::error(self.lane.as_deref(), error)).await
    }

    /// Makes the call, and tells what it says.
    async fn call(&mut self, template: &Template, built: Built) -> Result<(), Gone> {
        self.kept = built.kept;
        let Ok(head) = template.head(built.body.len()) else {
            return self.fail(&Error { status: 400, ..BROKE_OFF }).await;
        };
        let (ours, theirs) = duplex(PIPE);
        let (gateway, ip) = (self.gateway.clone(), template.ip);
        // It ends by itself when our end of the pipe is dropped: to it that is a client that left.
        tokio::spawn(front::answer_call(gateway, Box::new(theirs), built.body, head, ip));
        let mut conn = Conn::new(Box::new(ours));
        let head = conn.rd.head_now(HEAD_MAX).await.ok();
        let head = head.and_then(|raw| ResponseHead::parse(raw, FIELDS_MAX).ok());
        let Some(head) = head else { return self.fail(&BROKE_OFF).await };
        let framing = match (head.chunked, head.content_length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
        let mut body = Decoder::new(framing);
        if head.status == 200 && head.is_event_stream() {
            self.stream(&mut conn, &mut body).await?;
        } else {
            self.whole(&mut conn, &mut body, &head).await?;
        }
        if self.over { Ok(()) } else { self.fail(&BROKE_OFF).await }
    }

    /// Tells a stream, event by event.
    async fn stream(&mut self, conn: &mut Conn, body: &mut Decoder) -> Result<(), Gone> {
        let mut splitter = Splitter::new(EVENT_MAX);
        let mut blocks = Vec::new();
        while let Ok(Some(piece)) = conn.rd.body(body).await {
            splitter.push(piece, |block| blocks.push(block));
            for block in blocks.drain(..) {
                if let Block::Event(event) = block {
                    self.event(&event).await?;
                }
            }
        }
        Ok(())
    }

    async fn event(&mut self, event: &[u8]) -> Result<(), Gone> {
        let Some(data) = Fields::read(event).data else { return Ok(()) };
        let data = String::from_utf8_lossy(&data);
        let Ok(Peeked { kind, response, item }) = serde_json::from_str(&data) else {
            // What is no event on a socket: the end mark of a stream.
            return Ok(());
        };
        match kind.as_ref() {
            "response.output_item.done" => {
                self.output.extend(item.map(|item| Bytes::copy_from_slice(item.get().as_bytes())));
            }
            "response.completed" | "response.incomplete" => {
                self.over = true;
                // Before it is told: the next request may name it at once.
                if let Some(response) = response {
                    self.keep(response);
                }
            }
            "response.failed" => self.over = true,
            "error" => {
                self.over = true;
                return self.say(retold(self.lane.as_deref(), &data)).await;
            }
            _ => {}
        }
        self.say(events::of_lane(self.lane.as_deref(), data.into_owned())).await
    }

    /// Keeps the response for requests that go on from it.
    fn keep(&mut self, response: &RawValue) {
        let Ok(Response { id, output }) = serde_json::from_str(response.get()) else { return };
        let mut kept = std::mem::take(&mut self.kept);
        let named = format!("\"{id}\"");
        // A provider that stores it made it with a key that is known.
        kept.stored &= self.gateway.origins.maker("", named.as_bytes()).is_some();
        if kept.stored {
            return self.history.keep(id.into_owned(), Kept { stored: true, ..Kept::default() });
        }
        let mut said = std::mem::take(&mut self.output);
        if said.is_empty() {
            let own = output.iter().map(|item| Bytes::copy_from_slice(item.get().as_bytes()));
            said = own.collect();
        }
        kept.items.extend(sendable(said));
        kept.memory = self.gateway.memory.hold(self.holders, size(&kept.items));
        // What there is no memory for is not kept: a request that names it is told so.
        if kept.memory.is_some() {
            self.history.keep(id.into_owned(), kept);
        }
    }

    /// Tells an answer that is no stream.
    async fn whole(
        &mut self,
        conn: &mut Conn,
        decoder: &mut Decoder,
        head: &ResponseHead,
    ) -> Result<(), Gone> {
        let mut body = BytesMut::new();
        while let Ok(Some(piece)) = conn.rd.body(decoder).await {
            if body.len() + piece.len() > WHOLE_MAX {
                return self.fail(&BROKE_OFF).await;
            }
            body.extend_from_slice(&piece);
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        if head.status == 200 && said["id"].is_string() {
            return self.response(said).await;
        }
        self.over = true;
        let status = if head.status < 400 { 502 } else { head.status };
        let mut error = said["error"].clone();
        if !error.is_object() {
            let words = String::from_utf8_lossy(&body[..body.len().min(1024)]).into_owned();
            error = json!({ "type": "server_error", "code": null, "message": words });
        }
        let fields = told_headers(head);
        error["headers"] = fields.clone().into();
        self.say(events::wrapped(self.lane.as_deref(), status, error, fields)).await
    }

    /// Tells a whole response as a stream would have.
    async fn response(&mut self, response: Value) -> Result<(), Gone> {
        let mut begun = response.clone();
        (begun["status"], begun["output"]) = (json!("in_progress"), json!([]));
        let items = response["output"].as_array().cloned().unwrap_or_default();
        let mut number = 0;
        let mut event = |mut event: Value| {
            event["sequence_number"] = number.into();
            number += 1;
            format!("data: {event}\n\n")
        };
        let mut all = vec![event(json!({ "type": "response.created", "response": begun }))];
        for (i, item) in items.into_iter().enumerate() {
            let kind = "response.output_item.done";
            all.push(event(json!({ "type": kind, "output_index": i, "item": item })));
        }
        let kind = match response["status"].as_str() {
            Some("incomplete") => "response.incomplete",
            Some("failed") => "response.failed",
            _ => "response.completed",
        };
        all.push(event(json!({ "type": kind, "response": response })));
        for event in all {
            self.event(event.as_bytes()).await?;
        }
        Ok(())
    }

    /// Keeps a request that is not to be answered yet: nobody is asked.
    async fn warm_up(&mut self, built: Built) -> Result<(), Gone> {
        self.kept = Kept { stored: false, ..built.kept };
        let model: Value = serde_json::from_str(&built.model).unwrap_or_default();
        let response = json!({
            "id": format!("resp_{}", Uuid::new_v4().simple()),
            "object": "response",
            "created_at": self.gateway.settings.clock.now().timestamp(),
            "status": "completed",
            "error": null,
            "incomplete_details": null,
            "model": model,
            "output": [],
            "usage": { "input_tokens": 0, "output_tokens": 0, "total_tokens": 0 },
        });
        self.response(response).await
    }
}

/// An error event as it is told on a socket: with an object of its own.
fn retold(lane: Option<&str>, data: &str) -> String {
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    let nested = event["error"].is_object();
    let error = match nested {
        true => event["error"].clone(),
        false => json!({
            "type": "server_error",
            "code": event["code"],
            "message": event["message"],
            "param": event["param"],
        }),
    };
    let status = event["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    events::wrapped(lane, status.unwrap_or(502), error, Map::new())
}

/// The header lines of a refusal that a client may act on.
fn told_headers(head: &ResponseHead) -> Map<String, Value> {
    let told = head.iter().filter_map(|(name, value)| {
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        let value = std::str::from_utf8(value).ok()?;
        let framing = matches!(name.as_str(), "connection" | "transfer-encoding")
            || name.starts_with("content-");
        (!framing).then(|| (name, Value::from(value)))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_error_gets_an_object_of_its_own() {
        let check = |data: &str, wanted: &str| {
            assert_eq!(retold(None, data), wanted);
        };
        check(
            r#"{"type":"error","code":"c","message":"m","param":null,"sequence_number":3}"#,
            r#"{"type":"error","status":502,"error":{"type":"server_error","code":"c","message":"m","param":null}}"#,
        );
        check(
            r#"{"type":"error","status":429,"error":{"code":"x"}}"#,
            r#"{"type":"error","status":429,"error":{"code":"x"}}"#,
        );
    }
}
