//! `/api/admin/live`: a WebSocket with what happens now, once a second, and on request the calls as they
//! end. Who may see what is asked anew twice a second, of the database: a permission that is taken away
//! ends the feed within a second.

mod wire;

use std::time::Duration;

use auth::Permission;
use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use domain::UserId;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use self::wire::{Asked, Hello, Tail, entries, problem, sample};
use crate::{
    app::Management,
    error::ApiError,
    feed::{EACH, Reading, Seat},
    gate::{SignedIn, bearer},
};

/// The sub-protocol of the feed, and what the one begins with that carries the access token of a browser.
const PROTOCOL: &str = "tollgate.live";
const TOKEN: &str = "tollgate.token.";
/// Most bytes of a message of a viewer.
const MESSAGE_MAX: usize = 16 * 1024;
/// How long the first message may take.
const FIRST: Duration = Duration::from_secs(5);
/// How long a message may take to go out. A viewer that takes longer is let go.
const SEND: Duration = Duration::from_secs(10);
/// How often the permission is asked for anew.
const RECHECK: Duration = Duration::from_millis(500);
/// Most messages of a viewer in a second.
const MESSAGES: u32 = 20;
/// Most calls of the past that are sent to a viewer who comes back.
const RESUMED: u64 = 1_000;

/// Why a feed ends, by the code of its close frame.
mod codes {
    pub(super) const LEAVING: u16 = 1001;
    pub(super) const NOT_ALLOWED: u16 = 1008;
    pub(super) const FULL: u16 = 1013;
    pub(super) const SIGN_IN: u16 = 4401;
    pub(super) const FORBIDDEN: u16 = 4403;
}

/// What happens now, as a WebSocket: once a second requests, success, latencies, tokens, cost, key states
/// and open alerts, and on request the calls as they end.
///
/// The access token is sent as `Authorization: Bearer`, or, by browsers, as a second sub-protocol
/// `tollgate.token.<token>` beside `tollgate.live`, or in the first message (`{"token": "…"}`, within 5
/// seconds). `docs/ACCOUNTING.md` describes the messages; the description of the API has no words for
/// WebSockets.
pub(crate) async fn live_feed(
    State(app): State<Management>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|refused| ApiError::Other(refused.into_response().status()))?;
    let token = shown_token(&headers).map(str::to_owned);
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .max_message_size(MESSAGE_MAX)
        .max_frame_size(MESSAGE_MAX)
        .write_buffer_size(0);
    Ok(upgrade.on_upgrade(move |socket| watched(app, socket, token)))
}

/// The access token in the head of the request, where it has one.
fn shown_token(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).or_else(|| {
        let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?.split(',');
        protocols.map(str::trim).find_map(|protocol| protocol.strip_prefix(TOKEN))
    })
}

/// An end of the feed, as the viewer is told.
struct End(u16, &'static str);

/// Serves one viewer until one of both leaves.
async fn watched(app: Management, mut socket: WebSocket, token: Option<String>) {
    let end = match begun(&app, &mut socket, token).await {
        Ok(mut viewer) => {
            let session = Mutex::new(viewer.who.clone());
            tokio::select! {
                end = withdrawn(&app, &session) => Some(end),
                end = viewer.serve(&app, &mut socket, &session) => end,
            }
        }
        Err(end) => end,
    };
    if let Some(End(code, reason)) = end {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = timeout(Duration::from_secs(1), socket.send(Message::Close(Some(frame)))).await;
    }
}

/// Lets a viewer in: whoever shows a token of somebody who may see statistics.
async fn begun(
    app: &Management,
    socket: &mut WebSocket,
    token: Option<String>,
) -> Result<Viewer, Option<End>> {
    let mut asked = Asked::default();
    let token = match token {
        Some(token) => token,
        None => {
            let first = timeout(FIRST, said(socket)).await;
            let first = first.map_err(|_| Some(End(codes::SIGN_IN, "no token came in time")))?;
            let first = first.ok_or(None)?;
            asked = first.map_err(|_| Some(End(codes::NOT_ALLOWED, "the message is not valid")))?;
            asked.token.take().ok_or(Some(End(codes::SIGN_IN, "the first message has no token")))?
        }
    };
    let who = app.session_of(&token, None).await;
    let who = who.map_err(|_| Some(End(codes::SIGN_IN, "the token is not valid")))?;
    if !who.user.grant.may(Permission::StatsRead) {
        return Err(Some(End(codes::FORBIDDEN, "the permission stats.read is required")));
    }
    let seat = app.feed.seat(who.user.id, &app.store, app.live.as_ref());
    let seat = seat.ok_or(Some(End(codes::FULL, "there are too many viewers")))?;
    let mut viewer = Viewer { seat, who, tail: None, reached: 0, missed: 0 };
    send(socket, &Hello::of(&viewer.who.actor()).text()).await.map_err(|()| None)?;
    viewer.asks(app, socket, asked).await?;
    Ok(viewer)
}

/// Ends when the viewer may not watch any more, or the plane is about to stop.
async fn withdrawn(app: &Management, session: &Mutex<SignedIn>) -> End {
    let mut clock = tokio::time::interval(RECHECK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        if app.is_draining() {
            return End(codes::LEAVING, "the gateway is about to end");
        }
        let known = session.lock().clone();
        if known.session.expires_at <= chrono::Utc::now() {
            return End(codes::SIGN_IN, "the token has expired");
        }
        match app.still_signed_in(&known).await {
            Ok(user) if !user.grant.may(Permission::StatsRead) => {
                return End(codes::FORBIDDEN, "the permission stats.read is required");
            }
            Ok(user) if user.grant != known.user.grant => {
                return End(codes::FORBIDDEN, "what the user may do has changed");
            }
            Ok(_) => {}
            Err(ApiError::SessionExpired) => return End(codes::SIGN_IN, "the session has ended"),
            Err(_) => return End(codes::FULL, "the database is not available"),
        }
    }
}

/// Somebody who watches.
struct Viewer {
    seat: Seat,
    who: SignedIn,
    /// Which calls are sent as they end; `None` for none.
    tail: Option<Tail>,
    /// The place in the order of arrival up to which calls were sent.
    reached: i64,
    /// Readings that were missed since the last one that was sent.
    missed: u64,
}

impl Viewer {
    /// Sends readings and takes messages; ends with why, or with `None` where the viewer left.
    async fn serve(
        &mut self,
        app: &Management,
        socket: &mut WebSocket,
        session: &Mutex<SignedIn>,
    ) -> Option<End> {
        let (mut since, mut messages) = (Instant::now(), 0);
        loop {
            tokio::select! {
                reading = self.seat.next() => {
                    let (reading, missed) = reading?;
                    self.missed += missed;
                    self.show(socket, &reading).await.ok()?;
                }
                asked = said(socket) => {
                    if since.elapsed() >= EACH {
                        (since, messages) = (Instant::now(), 0);
                    }
                    messages += 1;
                    if messages > MESSAGES {
                        return Some(End(codes::NOT_ALLOWED, "too many messages"));
                    }
                    match asked? {
                        Ok(asked) => {
                            if let Err(end) = self.asks(app, socket, asked).await {
                                return end;
                            }
                            *session.lock() = self.who.clone();
                        }
                        Err(words) => send(socket, &problem("invalid", &words)).await.ok()?,
                    }
                }
            }
        }
    }

    /// Does what a message asks for.
    async fn asks(
        &mut self,
        app: &Management,
        socket: &mut WebSocket,
        asked: Asked,
    ) -> Result<(), Option<End>> {
        if let Some(token) = asked.token {
            let who = app.session_of(&token, None).await;
            let who = who.map_err(|_| Some(End(codes::SIGN_IN, "the token is not valid")))?;
            if who.user.id != self.who.user.id {
                return Err(Some(End(codes::NOT_ALLOWED, "the token is of another user")));
            }
            self.who = who;
        }
        let Some(tail) = asked.tail else { return Ok(()) };
        if tail.is_some() && !self.who.user.grant.may(Permission::LogRead) {
            let words = "the permission log.read is required";
            return send(socket, &problem("forbidden", words)).await.map_err(|()| None);
        }
        self.tail = tail;
        let (Some(tail), Some(after)) = (&self.tail, asked.cursor) else { return Ok(()) };
        let past = app.store.arrived(after, RESUMED).await;
        let Ok(past) = past else {
            let words = "the database is not available";
            return send(socket, &problem("unavailable", words)).await.map_err(|()| None);
        };
        let more = past.len() as u64 == RESUMED;
        let upto = past.last().map_or(after, |call| call.arrival);
        self.reached = self.reached.max(upto);
        let own = self.who.actor().confined_to();
        let text = entries(past.iter().filter(|call| tail.wants(call, own)), upto, more);
        send(socket, &text).await.map_err(|()| None)
    }

    /// Sends a reading, and the calls in it that are asked for.
    async fn show(&mut self, socket: &mut WebSocket, reading: &Reading) -> Result<(), ()> {
        let own = self.who.actor().confined_to();
        let missed = std::mem::take(&mut self.missed);
        send(socket, &sample(reading, own, missed)).await?;
        let text = self.new_calls(reading, own);
        self.reached = self.reached.max(reading.reached);
        match text {
            Some(text) => send(socket, &text).await,
            None => Ok(()),
        }
    }

    /// The message with the calls of a reading that are asked for and were not sent before.
    fn new_calls(&self, reading: &Reading, own: Option<UserId>) -> Option<String> {
        let tail = self.tail.as_ref()?;
        let new = reading.calls.iter().filter(|call| call.arrival > self.reached);
        let mut wanted = new.filter(|call| tail.wants(call, own)).peekable();
        wanted.peek()?;
        Some(entries(wanted, reading.reached, false))
    }
}

/// Sends a message within the time that a viewer has for it.
async fn send(socket: &mut WebSocket, text: &str) -> Result<(), ()> {
    let message = Message::Text(text.into());
    timeout(SEND, socket.send(message)).await.map_err(drop)?.map_err(drop)
}

/// The next message of a viewer, or what is wrong with it in words; `None` once it left.
async fn said(socket: &mut WebSocket) -> Option<Result<Asked, String>> {
    loop {
        match socket.recv().await?.ok()? {
            Message::Text(text) => {
                return Some(Asked::read(&text).map_err(|error| error.to_string()));
            }
            Message::Binary(_) => return Some(Err("a message is text".to_owned())),
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}
