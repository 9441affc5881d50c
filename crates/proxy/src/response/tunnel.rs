//! A WebSocket that passes through: bytes go both ways as they come, close codes and reasons with
//! them. Frames are followed on the side, so that the gateway can count what the provider tells of
//! usage, and close the socket in order when what let the caller in is withdrawn or used up.

use std::{
    fmt,
    future::pending,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use dialect::SocketObserver;
use domain::log::{Outcome, Usage, UsageSource};
use pingora_timeout::{sleep, timeout};
use tungstenite::protocol::frame::coding::{Control, OpCode};

use crate::{
    admission::Permit,
    attempt::exchange::Answer,
    client::Client,
    gateway::lease::Lease,
    headers,
    http1::{Conn, Framing, ReadError, Reader, Writer},
    refusal::{Refusal, revoked::Revoked},
    websocket::{Frames, Side, close_frame},
};

/// How long a frame that is half out may take to end once the socket must be closed, and how long
/// the close frame may take to be written.
const CUT: Duration = Duration::from_secs(1);
const LAST_FRAME: Duration = Duration::from_millis(500);

/// Passes a WebSocket's frames both ways until one side ends it, or the caller may not go on.
pub(crate) async fn tunnel(
    public_id: String,
    client: &mut Client<'_>,
    mut answer: Answer,
    permit: &mut Permit,
) -> Result<(), Refusal> {
    let mut fields = b"connection: Upgrade\r\nupgrade: websocket\r\n".to_vec();
    headers::to_client(&mut fields, &answer.head, false);
    client.begin(101, &fields, Framing::Empty);
    client.flush().await?;
    permit.entry.answering(true);
    client.keep = false;
    let lease = permit.socket_lease(public_id, client);
    let idle = Beat::new(answer.incoming.idle(), answer.incoming.deadline());
    let (mut up, mut down) = (Way::new(), Way::new());
    // Nothing is known to be used until the provider tells.
    permit.entry.passed(&*client, 101, (Usage::default(), UsageSource::Unknown));
    let Conn { rd, wr } = client.conn();
    let ended = tokio::select! {
        end = pump(&mut answer.incoming.rd, wr, &mut down, &idle, Some((&lease, permit))) => match end {
            End::Read(ReadError::Closed) => Ok(Outcome::Completed),
            End::Read(_) => Ok(Outcome::UpstreamBroke),
            End::Write => Ok(Outcome::ClientGone),
            End::Cut(why) => Err(why),
        },
        end = pump(rd, &mut answer.wr, &mut up, &idle, None) => Ok(match end {
            End::Read(ReadError::Closed) => Outcome::Completed,
            End::Read(_) => Outcome::ClientGone,
            _ => Outcome::UpstreamBroke,
        }),
        () = idle.stops() => Ok(Outcome::TimedOut),
        why = overdue(&lease) => Err(Cut::Revoked(why)),
    };
    let outcome = match ended {
        Ok(outcome) => {
            note_close(permit, &up, &down);
            outcome
        }
        Err(why) => {
            permit.entry.noted(format!("{why}; the socket was closed"));
            let code = why.close_code();
            let reason = why.to_string();
            let to_client = down.closes(wr, Side::Server, code, &reason);
            let to_provider = up.closes(&mut answer.wr, Side::Client, code, "");
            tokio::join!(to_client, to_provider);
            why.outcome()
        }
    };
    client.bytes_in += up.passed;
    client.bytes_out += down.passed;
    permit.close(outcome, &*client, 0).await;
    client.send(&[], true).await
}

/// Why the gateway closes a socket.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The caller may not go on.
    Revoked(Revoked),
    /// What it used has used up a limit.
    Spent,
}

impl Cut {
    /// The code of the close frame (RFC 6455, 7.4.1).
    fn close_code(self) -> u16 {
        match self {
            Cut::Revoked(why) => why.close_code(),
            Cut::Spent => 1008,
        }
    }

    /// How the call is entered.
    fn outcome(self) -> Outcome {
        match self {
            Cut::Revoked(_) => Outcome::Revoked,
            Cut::Spent => Outcome::Completed,
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Revoked(why) => why.fmt(f),
            Cut::Spent => f.write_str("a limit is used up"),
        }
    }
}

/// The socket must be closed, and its last frame does not end.
async fn overdue(lease: &Lease) -> Revoked {
    let why = lease.ends().await;
    sleep(CUT).await;
    why
}

/// Enters which side closed the socket, where that was no ordinary end.
fn note_close(permit: &mut Permit, up: &Way, down: &Way) {
    for (side, way) in [("the provider", down), ("the client", up)] {
        // 1000 and 1001 are how sockets end in order.
        if let Some(code) = way.close_code.filter(|code| !matches!(code, 1000 | 1001)) {
            return permit.entry.noted(format!("{side} closed the socket with code {code}"));
        }
    }
}

/// One direction of a tunnel.
#[derive(Debug)]
struct Way {
    frames: Frames,
    /// Bytes are being written of which it is not known how many went out.
    writing: bool,
    passed: u64,
    /// The code of the close frame that passed, if one did.
    close_code: Option<u16>,
    /// Reads the messages, and whether they told of more usage that is not booked yet.
    observer: SocketObserver,
    more: bool,
}

impl Way {
    fn new() -> Self {
        let (frames, observer) = (Frames::new(), SocketObserver::default());
        Self { frames, writing: false, passed: 0, close_code: None, observer, more: false }
    }

    /// These bytes went out.
    fn pass(&mut self, bytes: &[u8]) {
        self.passed += bytes.len() as u64;
        let Self { frames, close_code: code, observer, more, .. } = self;
        frames.pass(bytes, |part| {
            // Only clients mask, and what they say tells no usage.
            if matches!(part.opcode, OpCode::Data(_)) && part.mask.is_none() {
                observer.push(part.payload);
                *more |= part.ends && part.is_final && observer.message_ended();
            }
            if part.opcode == OpCode::Control(Control::Close)
                && part.at == 0
                && let Some(&[a, b]) = part.payload.first_chunk()
            {
                let [x, y, ..] = part.mask.unwrap_or_default();
                *code = Some(u16::from_be_bytes([a ^ x, b ^ y]));
            }
        });
    }

    /// Whether a frame of our own may be put in.
    fn takes_a_frame(&self) -> bool {
        !self.writing && self.frames.at_boundary() && self.close_code.is_none()
    }

    /// Sends a close frame, where that can be.
    async fn closes(&self, to: &mut Writer, side: Side, code: u16, reason: &str) {
        if self.takes_a_frame() {
            let frame = close_frame(side, code, reason);
            let _ = timeout(LAST_FRAME, to.send(&[&frame])).await;
        }
    }
}

/// How one direction of a tunnel ended.
enum End {
    Read(ReadError),
    Write,
    Cut(Cut),
}

/// Passes bytes on. What a provider tells of usage is booked with the permit, and the socket ends
/// where the lease does or a limit is used up.
async fn pump(
    from: &mut Reader,
    to: &mut Writer,
    way: &mut Way,
    idle: &Beat,
    held: Option<(&Lease, &mut Permit)>,
) -> End {
    let (lease, mut permit) = held.unzip();
    let mut spent = false;
    let mut ends = pin!(async {
        match lease {
            Some(lease) => lease.ends().await,
            None => pending().await,
        }
    });
    loop {
        if !from.buf.is_empty() {
            let bytes = from.buf.split();
            way.writing = true;
            if to.send(&[&bytes]).await.is_err() {
                return End::Write;
            }
            way.writing = false;
            way.pass(&bytes);
            idle.beat();
            if let Some(permit) = permit.as_mut().filter(|_| std::mem::take(&mut way.more)) {
                spent |= !permit.used_more(&way.observer).await;
            }
        }
        // Between two frames: there a close frame can be put in.
        let may_end = way.frames.at_boundary();
        if let Some(why) = lease.and_then(Lease::over).filter(|_| may_end) {
            return End::Cut(Cut::Revoked(why));
        }
        if spent && may_end {
            return End::Cut(Cut::Spent);
        }
        tokio::select! {
            filled = from.fill() => {
                if let Err(error) = filled {
                    return End::Read(error);
                }
            }
            why = &mut ends, if may_end => return End::Cut(Cut::Revoked(why)),
        }
    }
}

/// Whether anything still moves in a tunnel, whichever way.
struct Beat {
    idle: Duration,
    deadline: Instant,
    began: Instant,
    /// Milliseconds after `began`.
    last: AtomicU64,
}

impl Beat {
    fn new(idle: Duration, deadline: Instant) -> Self {
        Self { idle, deadline, began: Instant::now(), last: AtomicU64::new(0) }
    }

    fn beat(&self) {
        self.last.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Waits until nothing has moved for too long, or the time of the call is up.
    async fn stops(&self) {
        loop {
            let last = self.began + Duration::from_millis(self.last.load(Ordering::Relaxed));
            let end = self.deadline.min(last + self.idle);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}
