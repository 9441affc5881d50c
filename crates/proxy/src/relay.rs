//! The answer on its way to the client, as it comes.
//!
//! The log entry is written before the last of the answer goes out: whoever got an answer whole
//! is in the journal. When the client leaves, the provider's connection is dropped with it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::log::Outcome;
use pingora_timeout::sleep;

use crate::{
    admission::Permit,
    attempt::Answer,
    client::Client,
    door::Door,
    drain::{self, Source},
    gateway::Gateway,
    headers,
    http1::{Conn, Framing, ReadError, Reader, Writer},
    inbound::Call,
    judge,
    refusal::Refusal,
    upload::UploadFault,
    usage,
};

/// What came next.
pub(crate) enum Next {
    Some,
    End,
    Broken(ReadError),
    Gone,
}

/// Passes `answer` to the client.
pub(crate) async fn stream(
    gateway: &Gateway,
    client: &mut Client<'_>,
    call: &Call,
    mut answer: Answer,
    permit: &mut Permit,
) -> Result<(), Refusal> {
    let mut fields = Vec::with_capacity(512);
    headers::to_client(&mut fields, &answer.head, answer.unpacks);
    fields.extend_from_slice(&permit.fields);
    client.begin(answer.head.status, &fields, answer.framing());
    permit.answering(answer.head.is_event_stream());
    loop {
        let pieces = std::mem::take(&mut answer.incoming.ready);
        let cut_off = call.generates_text() && answer.incoming.was_cut_off();
        let finished = answer.incoming.is_finished() && !cut_off;
        let ending = finished || answer.incoming.tap.ended();
        judge::passing(permit, &mut answer.incoming, ending);

        permit.passed(
            &*client,
            answer.head.status,
            usage::so_far(client.bytes_in, call.generates_text(), &answer),
        );
        if ending {
            enter(client, &answer, permit, size(&pieces)).await;
        }
        permit.passing(&pieces);
        if client.send(&pieces, finished).await.is_err() {
            return Err(drain::left(client, Source::of(call, answer), permit));
        }
        if finished {
            break;
        }
        if cut_off {
            return broken(client, call, answer, permit, ReadError::Closed).await;
        }
        match next(client, &mut answer).await {
            Next::Some | Next::End => {}
            Next::Gone => return Err(drain::left(client, Source::of(call, answer), permit)),
            Next::Broken(error) => return broken(client, call, answer, permit, error).await,
        }
    }
    let line = answer.line.clone();
    if let Some(conn) = answer.into_reusable() {
        gateway.connector.give_back(&line, conn);
    }
    Ok(())
}

/// Waits for more of the answer, while the client may leave or still be sending. May be dropped at
/// any time.
pub(crate) async fn next(client: &mut Client<'_>, answer: &mut Answer) -> Next {
    // An answer whose first piece is slow to come shows its head meanwhile.
    let flush = client.has_unsent();
    let Answer { incoming, upload, wr, .. } = answer;
    loop {
        tokio::select! {
            biased;
            more = incoming.pull() => return came(more),
            () = std::future::ready(()), if flush => return match client.flush().await {
                Ok(()) => Next::Some,
                Err(_) => Next::Gone,
            },
            step = upload.step(client, wr) => match step {
                Ok(()) => {}
                Err(UploadFault::Client(_)) => return Next::Gone,
                // The provider wants no more of it; its answer is what counts.
                Err(UploadFault::Provider) => return came(incoming.pull().await),
            },
        }
    }
}

fn came(more: Result<bool, ReadError>) -> Next {
    match more {
        Ok(true) => Next::Some,
        Ok(false) => Next::End,
        Err(error) => Next::Broken(error),
    }
}

/// Writes the log entry of an answer that is about to be complete.
async fn enter(client: &Client<'_>, answer: &Answer, permit: &mut Permit, going: u64) {
    let outcome = match answer.incoming.tap.error() {
        // Where the status says so too, the error is the answer.
        Some(error) if answer.head.status < 300 => {
            permit.noted(format!("the provider's stream ended with an error ({})", error.code));
            Outcome::UpstreamBroke
        }
        _ => Outcome::Completed,
    };
    permit.close(outcome, client, going).await;
}

/// The provider broke off in the middle of its answer.
async fn broken(
    client: &mut Client<'_>,
    call: &Call,
    mut answer: Answer,
    permit: &mut Permit,
    error: ReadError,
) -> Result<(), Refusal> {
    // What came together with the end is still the client's.
    let mut pieces = std::mem::take(&mut answer.incoming.ready);
    permit.passed(
        &*client,
        answer.head.status,
        usage::so_far(client.bytes_in, call.generates_text(), &answer),
    );
    let (refusal, outcome) = match error {
        ReadError::TimedOut => (Refusal::TimedOut, Outcome::TimedOut),
        error => (Refusal::Unanswered(error.to_string()), Outcome::UpstreamBroke),
    };
    permit.noted(refusal.to_string());
    let message = refusal.to_string();
    let request_id = client.request_id.clone();
    let told = match call.door {
        Door::Model(_) => answer.incoming.tap.broken_off(&refusal.words(&message, &request_id)),
        // `/proxy/…` is transparent: what breaks there breaks here.
        _ => Bytes::new(),
    };
    let last = !told.is_empty();
    pieces.push(told);
    permit.close(outcome, &*client, size(&pieces)).await;
    client.keep = false;
    client.send(&pieces, last).await?;
    // Whoever reads the body to its end must see that this was not all.
    if last { Ok(()) } else { Err(Refusal::ClientGone) }
}

fn size(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

/// Passes a WebSocket's frames both ways until one side ends it.
pub(crate) async fn tunnel(
    client: &mut Client<'_>,
    mut answer: Answer,
    permit: &mut Permit,
) -> Result<(), Refusal> {
    let mut fields = b"connection: Upgrade\r\nupgrade: websocket\r\n".to_vec();
    headers::to_client(&mut fields, &answer.head, false);
    client.begin(101, &fields, Framing::Empty);
    client.flush().await?;
    permit.answering(true);
    client.keep = false;
    let idle = Beat::new(answer.incoming.idle(), answer.incoming.deadline());
    let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
    let Conn { rd, wr } = client.conn();
    let ended = tokio::select! {
        end = pump(&mut answer.incoming.rd, wr, &idle, &down) => match end {
            End::Read(ReadError::Closed) => Outcome::Completed,
            End::Read(_) => Outcome::UpstreamBroke,
            End::Write => Outcome::ClientGone,
        },
        end = pump(rd, &mut answer.wr, &idle, &up) => match end {
            End::Read(ReadError::Closed) => Outcome::Completed,
            End::Read(_) => Outcome::ClientGone,
            End::Write => Outcome::UpstreamBroke,
        },
        () = idle.stops() => Outcome::TimedOut,
    };
    client.bytes_in += up.into_inner();
    client.bytes_out += down.into_inner();
    permit.close(ended, &*client, 0).await;
    client.send(&[], true).await
}

/// How one direction of a tunnel ended.
enum End {
    Read(ReadError),
    Write,
}

async fn pump(from: &mut Reader, to: &mut Writer, idle: &Beat, passed: &AtomicU64) -> End {
    loop {
        if !from.buf.is_empty() {
            let frames = from.buf.split();
            if to.send(&[&frames]).await.is_err() {
                return End::Write;
            }
            passed.fetch_add(frames.len() as u64, Ordering::Relaxed);
            idle.beat();
        }
        if let Err(error) = from.fill().await {
            return End::Read(error);
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
