//! The Responses API over a WebSocket, for every upstream: the gateway is the other side of the
//! socket, and each `response.create` is a call of its own, with its log entry, its limits and its
//! targets. What a provider can do with sockets does not matter: it is asked over HTTP, in its dialect.
//!
//! The protocol is OpenAI's <https://developers.openai.com/api/docs/guides/websocket-mode>: the events
//! of a stream come one a message, `stream_id` names a lane, lanes run side by side, and within one it
//! is first come, first served. `previous_response_id` may name a response of this socket that nobody
//! stores: the gateway keeps the latest of them ([`History`]).

mod events;
mod history;
mod lanes;
mod request;
mod turn;
mod wire;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use pingora_timeout::{sleep, timeout};
use tokio::sync::mpsc;

use self::{
    history::History,
    lanes::{Lanes, Refused},
    request::Asked,
    turn::{Template, Turn},
    wire::{Closed, Heard, Wire},
};
use crate::{
    client::Client,
    gateway::{Gateway, lease::Grant},
    http1::{Conn, Framing, Writer},
    memory::{Held, Holders},
    pipeline::Opened,
    refusal::{Refusal, revoked::Revoked},
    websocket::{Side, close_frame},
};

/// How often the socket is looked at: whether its peer still lives, and whether its time is over.
const TICK: Duration = Duration::from_secs(20);
/// A peer of which nothing is heard for so long, although it was pinged, is gone.
const DEAD: Duration = Duration::from_secs(65);
/// A socket is closed after this, as OpenAI does; what runs then is finished.
const LIFE: Duration = Duration::from_secs(3600);
/// So much of a message that is not whole yet is not counted.
const UNCOUNTED: u64 = 64 << 10;
/// Events that wait to be written; calls wait once there are so many.
const EVENTS: usize = 16;

/// Why a socket ends.
enum End {
    /// The client closed it, or is gone.
    Gone,
    /// We close it.
    Close(u16, String),
}

/// Serves a socket until one side ends it.
pub(crate) async fn serve(
    gateway: &Arc<Gateway>,
    opened: &Opened,
    client: &mut Client<'_>,
) -> Result<(), Refusal> {
    let Opened { caller, public_id, shown_key } = opened;
    let fields = wire::handshake(&client.head)?;
    let holders = Holders::of(caller.key.id, gateway.settings.counted(client.ip));
    let template = Arc::new(Template::new(client, shown_key, holders));
    let grant = Grant {
        public_id: public_id.clone(),
        ip: client.ip,
        method: client.head.method().to_owned(),
        model: None,
        upstream: None,
        slot: None,
    };
    client.begin(101, &fields, Framing::Empty);
    client.flush().await?;
    client.keep = false;
    let lease = gateway.leases.lease(grant, Duration::ZERO);
    let mut socket = Socket::new(gateway, template);
    let Conn { rd, wr } = client.conn();
    let mut ends = pin!(lease.ends());
    let mut tick = pin!(sleep(TICK));
    let end = loop {
        if let Err(end) = socket.write(wr).await {
            break end;
        }
        let step = tokio::select! {
            Some(event) = socket.events.recv() => socket.wire.say(event),
            Some(lane) = socket.turns.next(), if !socket.turns.is_empty() => socket.next_of(lane),
            filled = rd.fill() => match filled {
                Ok(()) => socket.heard(rd.buf.split().freeze()),
                Err(_) => Err(End::Gone),
            },
            () = &mut tick => {
                tick.set(sleep(TICK));
                socket.tick()
            }
            why = &mut ends, if !socket.leaves => socket.revoked(why),
        };
        if let Err(end) = step {
            break end;
        }
        if socket.leaves && socket.is_idle() {
            break End::Close(Revoked::Draining.close_code(), Revoked::Draining.to_string());
        }
    };
    // What still runs loses its client here.
    drop(std::mem::take(&mut socket.turns));
    let _ = socket.write(wr).await;
    if let End::Close(code, reason) = end {
        let frame = close_frame(Side::Server, code, &reason);
        let _ = timeout(gateway.settings.limits.body_idle, wr.send(&[&frame])).await;
    }
    client.send(&[], true).await
}

/// A socket that is served.
struct Socket {
    gateway: Arc<Gateway>,
    template: Arc<Template>,
    wire: Wire,
    /// The memory for a message that is not whole yet.
    partial: Option<Held>,
    history: Arc<History>,
    lanes: Lanes,
    turns: FuturesUnordered<Turn>,
    to_write: mpsc::Sender<String>,
    events: mpsc::Receiver<String>,
    began: Instant,
    /// It ends when nothing runs any more: the gateway is about to leave.
    leaves: bool,
    /// When something was heard last.
    heard_at: Instant,
}

impl Socket {
    fn new(gateway: &Arc<Gateway>, template: Arc<Template>) -> Self {
        let (to_write, events) = mpsc::channel(EVENTS);
        let now = Instant::now();
        Self {
            gateway: gateway.clone(),
            template,
            wire: Wire::new(gateway.settings.limits.body),
            partial: None,
            history: Arc::default(),
            lanes: Lanes::default(),
            turns: FuturesUnordered::new(),
            to_write,
            events,
            began: now,
            leaves: false,
            heard_at: now,
        }
    }

    /// Whether no response runs, and all was told.
    fn is_idle(&self) -> bool {
        self.turns.is_empty() && self.events.is_empty()
    }

    /// Writes what waits.
    async fn write(&mut self, wr: &mut Writer) -> Result<(), End> {
        let bytes = self.wire.take();
        if bytes.is_empty() {
            return Ok(());
        }
        match timeout(self.gateway.settings.limits.body_idle, wr.send(&[&bytes])).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    /// Takes in bytes of the client.
    fn heard(&mut self, bytes: bytes::Bytes) -> Result<(), End> {
        self.heard_at = Instant::now();
        self.wire.push(bytes);
        if !self.holds(self.wire.partial) {
            let words = "the gateway holds as many messages as it may; try again shortly";
            return Err(End::Close(1013, words.to_owned()));
        }
        loop {
            match self.wire.next() {
                Ok(None) => {
                    // What was counted for a message that is whole now is not needed any more.
                    self.holds(self.wire.partial);
                    return Ok(());
                }
                Ok(Some(Heard::Text(text))) => self.asked(text)?,
                Ok(Some(Heard::Binary)) => {
                    let words = "events are JSON in text messages";
                    return Err(End::Close(1003, words.to_owned()));
                }
                // tungstenite has answered it.
                Err(Closed::ByClient) => return Err(End::Gone),
                Err(Closed::Fault(code, words)) => {
                    return Err(End::Close(code, words.to_owned()));
                }
            }
        }
    }

    /// Counts a message that is not whole yet; false where there is no memory for it.
    fn holds(&mut self, bytes: u64) -> bool {
        if bytes < UNCOUNTED {
            self.partial = None;
            return true;
        }
        let most = self.gateway.settings.limits.body;
        match &mut self.partial {
            Some(held) => held.holds(bytes, most),
            None => {
                self.partial = self.gateway.memory.hold(self.template.holders, bytes);
                self.partial.is_some()
            }
        }
    }

    /// An event of the client.
    fn asked(&mut self, text: bytes::Bytes) -> Result<(), End> {
        let told = match Asked::read(text) {
            Ok(Asked::Nothing) => return Ok(()),
            Ok(Asked::Steer(steer)) => events::not_steered(&steer),
            Ok(Asked::Create(create)) if self.leaves => {
                events::error(create.lane.as_deref(), &events::LEAVING)
            }
            Ok(Asked::Create(create)) if self.began.elapsed() >= LIFE => {
                events::error(create.lane.as_deref(), &events::LIMIT_REACHED)
            }
            Ok(Asked::Create(create)) => {
                let Some(budget) =
                    self.gateway.memory.hold(self.template.holders, create.text.len() as u64)
                else {
                    let lane = create.lane.clone();
                    return self.wire.say(events::error(lane.as_deref(), &events::BUSY));
                };
                match self.lanes.take(create.held(budget)) {
                    Ok(Some(create)) => {
                        self.begin(create);
                        return Ok(());
                    }
                    Ok(None) => return Ok(()),
                    Err(Refused(lane)) => events::error(lane.as_deref(), &events::TOO_MANY),
                }
            }
            Err(fault) => events::error(fault.lane.as_deref(), &fault.error()),
        };
        self.wire.say(told)
    }

    fn begin(&mut self, create: request::Create) {
        let (gateway, template) = (self.gateway.clone(), self.template.clone());
        let (history, events) = (self.history.clone(), self.to_write.clone());
        self.turns.push(turn::turn(gateway, template, history, create, events));
    }

    /// A response of this lane is over: the next one's turn.
    fn next_of(&mut self, lane: Option<String>) -> Result<(), End> {
        if let Some(create) = self.lanes.next_of(lane) {
            self.begin(create);
        }
        Ok(())
    }

    /// Looks whether the peer lives, and whether its time is over.
    fn tick(&mut self) -> Result<(), End> {
        if self.heard_at.elapsed() >= DEAD {
            return Err(End::Gone);
        }
        if self.is_idle() && self.began.elapsed() >= LIFE {
            self.wire.say(events::error(None, &events::LIMIT_REACHED))?;
            return Err(End::Close(1000, events::LIMIT_REACHED.message.to_owned()));
        }
        self.wire.ping();
        Ok(())
    }

    fn revoked(&mut self, why: Revoked) -> Result<(), End> {
        if why == Revoked::Draining {
            self.leaves = true;
            return Ok(());
        }
        let words = why.to_string();
        let error = events::Error {
            status: why.status(),
            kind: "invalid_request_error",
            code: "access_revoked",
            message: &words,
        };
        self.wire.say(events::error(None, &error))?;
        Err(End::Close(why.close_code(), words))
    }
}

impl Wire {
    /// Writes an event to the client.
    fn say(&mut self, event: String) -> Result<(), End> {
        if self.text(event) { Ok(()) } else { Err(End::Gone) }
    }
}
