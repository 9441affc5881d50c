//! The server: accepts connections from Pingora's listener, reads one request head after the other,
//! passes each call to the pipeline, and renders refusals. The only file that knows Pingora's server
//! side.

use std::{
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::FutureExt;
use pingora_core::{
    apps::ServerApp,
    listeners::ListenerConfig,
    protocols::{Stream, l4::stream::L4BufferSettings},
    server::ShutdownWatch,
    services::listening::Service,
};
use uuid::Uuid;

use crate::{
    client::{Client, connections::Counted},
    door::Door,
    gateway::{Gateway, lease},
    http1::{Conn, ReadError, RequestHead, peer_ip},
    pipeline::{self, Handled},
    refusal::{Refusal, retry},
    request::inbound,
    server::socket,
};

/// How long the last words of a connection may take.
const LINGER: Duration = Duration::from_secs(1);
/// How often idle connections to providers are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// The data plane as a Pingora service that listens where the gateway's settings say.
pub fn service(gateway: Arc<Gateway>) -> Service<Front> {
    let addr = gateway.settings.addr.to_string();
    let front = Front { gateway, sweeping: std::sync::Once::new() };
    let mut service = Service::new("proxy".to_owned(), front);
    // Reads go into our own buffer and writes leave whole: buffers between would only copy.
    service.add_listener(ListenerConfig::tcp(&addr).l4_buffer(L4BufferSettings::unbuffered()));
    service
}

/// Answers connections.
pub struct Front {
    gateway: Arc<Gateway>,
    sweeping: std::sync::Once,
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        self.sweeping.call_once(|| {
            drop(tokio::spawn(sweep(Arc::downgrade(&self.gateway))));
            drop(tokio::spawn(check_leases(Arc::downgrade(&self.gateway))));
        });
        let ip = peer_ip(&stream);
        let counted_ip = self.gateway.settings.counted(ip);
        let connections = &self.gateway.connections;
        let counted = connections.open(counted_ip, &self.gateway.settings.limits)?;
        let (front, shutdown, number) = (self.clone(), shutdown.clone(), counted.number());
        // In a task of its own: Pingora's has room for a TLS handshake, 9 KiB, and would keep it for
        // as long as the connection lasts.
        let task = tokio::spawn(async move {
            let mut conn = Conn::new(stream);
            if front.converse(&mut conn, ip, counted, shutdown).await {
                Box::pin(conn.close(LINGER)).await;
            }
        });
        connections.serve(number, task.abort_handle());
        None
    }
}

/// A request that is being read or answered: the process does not end in its middle.
struct Answering<'a>(&'a AtomicU64);

impl<'a> Answering<'a> {
    fn begin(answering: &'a AtomicU64) -> Self {
        answering.fetch_add(1, Ordering::Relaxed);
        Self(answering)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a call left its connection.
#[derive(PartialEq, Eq)]
enum After {
    /// It may carry another call.
    Next,
    /// It ends in order, after our last words.
    Close,
    /// It ends now, for the client to see that the answer is not whole.
    Abort,
}

impl Front {
    /// One call after the other, until the connection is to be closed; whether in order.
    async fn converse(
        &self,
        conn: &mut Conn,
        ip: Option<IpAddr>,
        mut counted: Counted,
        mut shutdown: ShutdownWatch,
    ) -> bool {
        let limits = &self.gateway.settings.limits;
        for turn in 1..=limits.keep_alive_calls {
            // Who connects means to ask something: only between two calls may it take its time.
            let idle = if turn == 1 { limits.head_time } else { limits.keep_alive };
            let head = tokio::select! {
                biased;
                head = conn.rd.head(idle, limits.head_time, limits.head) => head,
                _ = shutdown.wait_for(|down| *down) => return true,
            };
            let head = match head {
                Ok(None) => return false,
                Ok(Some(raw)) => {
                    RequestHead::parse(raw, limits.fields, limits.target).map_err(Refusal::from)
                }
                Err(ReadError::TooLarge) => Err(Refusal::HeadTooLarge(limits.head)),
                Err(ReadError::TimedOut) => Err(Refusal::TooSlow),
                Err(_) => return false,
            };
            let last = turn == limits.keep_alive_calls || *shutdown.borrow();
            let after = match head {
                // The future of a call is large, and most connections are idle most of the time.
                Ok(head) => Box::pin(self.call(conn, head, ip, &mut counted, last)).await,
                Err(refusal) => {
                    refuse_blind(conn, &refusal).await;
                    After::Close
                }
            };
            match after {
                After::Next => {}
                After::Close => return true,
                After::Abort => return false,
            }
        }
        true
    }

    async fn call(
        &self,
        conn: &mut Conn,
        head: RequestHead,
        peer: Option<IpAddr>,
        counted: &mut Counted,
        last: bool,
    ) -> After {
        let _answering = Answering::begin(&self.gateway.answering);
        let request_id = request_id(&head);
        let ip = peer.map(|peer| self.client_ip(peer, &head));
        let cors = self.gateway.settings.cors.lines(&head);
        let client = Client::new(conn, head, ip, request_id, self.gateway.settings.limits);
        let mut client = client.counted(counted);
        client.cors = cors;
        client.keep &= !last && !self.gateway.is_draining();
        let answered = answer(&self.gateway, &mut client).await;
        if answered.is_err() {
            return After::Abort;
        }
        match (client.answered(), client.keep && client.body_done()) {
            (false, _) => After::Abort,
            (true, true) => After::Next,
            (true, false) => After::Close,
        }
    }

    /// The client's own address: what a load balancer that we trust says it is.
    fn client_ip(&self, peer: IpAddr, head: &RequestHead) -> IpAddr {
        let settings = &self.gateway.settings;
        if !settings.trusts(peer) {
            return peer;
        }
        let hops: Vec<&str> = head
            .all("x-forwarded-for")
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
            .collect();
        let mut client = peer;
        for hop in hops.into_iter().rev() {
            let Some(ip) = hop_ip(hop.trim()) else { return client };
            client = ip.to_canonical();
            if !settings.trusts(client) {
                return client;
            }
        }
        client
    }
}

/// Answers a call, with a refusal where it is refused; an error where the connection is to be cut.
async fn answer(gateway: &Arc<Gateway>, client: &mut Client<'_>) -> Result<(), Refusal> {
    let handled = AssertUnwindSafe(handled(gateway, client)).catch_unwind();
    let outcome = handled.await.unwrap_or_else(|_| {
        tracing::error!(request_id = client.request_id, "a call broke our own rules");
        Err(Refusal::Internal)
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(refusal) => render(client, &refusal, gateway.settings.retry_wait_max).await,
    }
}

/// Hands a call to the pipeline, and serves the socket that it may open.
async fn handled(gateway: &Arc<Gateway>, client: &mut Client<'_>) -> Result<(), Refusal> {
    match pipeline::handle(gateway, client).await? {
        Handled::Answered => Ok(()),
        Handled::Socket(opened) => socket::serve(gateway, &opened, client).await,
    }
}

/// Answers one call that has no connection of its own: its body is here, and the answer goes into
/// `stream`, whose end is the end of it.
pub(crate) fn answer_call(
    gateway: Arc<Gateway>,
    stream: Stream,
    body: BytesMut,
    head: RequestHead,
    ip: Option<IpAddr>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let mut conn = Conn::new(stream);
        conn.rd.buf = body;
        let request_id = Uuid::now_v7().to_string();
        let mut client = Client::new(&mut conn, head, ip, request_id, gateway.settings.limits);
        client.keep = false;
        // An answer that is cut off ends before its framing says so.
        let _ = answer(&gateway, &mut client).await;
    })
}

/// A hop of `X-Forwarded-For`: an address, which some write with the port.
fn hop_ip(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Says no in the client's dialect.
async fn render(
    client: &mut Client<'_>,
    refusal: &Refusal,
    longest_wait: Duration,
) -> Result<(), Refusal> {
    if client.began() || matches!(refusal, Refusal::ClientGone) {
        return Err(Refusal::ClientGone);
    }
    if refusal.closes() {
        client.keep = false;
    }
    let door = Door::of(&client.head);
    let grammar = door.as_ref().map_or(dialect::PLAIN, |door| door.grammar());
    let dialect = door.ok().and_then(|door| door.dialect());
    let (mut fields, body) = refusal.answer(grammar, &client.request_id);
    retry::push_advice(&mut fields, refusal.again(), dialect, longest_wait);
    if let Refusal::Limited(limited) = refusal {
        limited.headers(dialect, &mut fields);
    }
    client.answer(refusal.status(), &fields, body).await
}

/// Says no to a request whose head could not be read.
async fn refuse_blind(conn: &mut Conn, refusal: &Refusal) {
    let request_id = Uuid::now_v7().to_string();
    let (fields, body) = refusal.answer(dialect::PLAIN, &request_id);
    let status = refusal.status();
    let reason = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
    let fields = String::from_utf8_lossy(&fields);
    let head = format!(
        "HTTP/1.1 {status} {}\r\n{fields}x-request-id: {request_id}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        reason.unwrap_or("Refused"),
        body.len(),
    );
    let _ = pingora_timeout::timeout(LINGER, conn.wr.send(&[head.as_bytes(), &body])).await;
}

/// The id that the client gave the call, if it is a sane one, or a new one.
fn request_id(head: &RequestHead) -> String {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
            && !inbound::holds_a_key(id)
    };
    match head.text("x-request-id").filter(sane) {
        Some(id) => id.to_owned(),
        None => Uuid::now_v7().to_string(),
    }
}

/// Looks through the idle connections to providers for as long as there is a gateway.
async fn sweep(gateway: std::sync::Weak<Gateway>) {
    loop {
        pingora_timeout::sleep(SWEEP).await;
        let Some(gateway) = gateway.upgrade() else { return };
        gateway.sweep();
    }
}

/// Looks through the leases of long calls for as long as there is a gateway.
async fn check_leases(gateway: std::sync::Weak<Gateway>) {
    loop {
        pingora_timeout::sleep(lease::LOOK).await;
        let Some(gateway) = gateway.upgrade() else { return };
        gateway.check_leases();
    }
}
