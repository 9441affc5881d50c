//! The answer on its way to the client, as it comes.
//!
//! The log entry is written before the last of the answer goes out: whoever got an answer whole
//! is in the journal. When the client leaves, the provider's connection is dropped with it.

use bytes::Bytes;
use domain::log::Outcome;
use pingora_timeout::timeout;

use crate::{
    admission::Permit,
    attempt::{Answer, UploadFault},
    client::Client,
    gateway::Gateway,
    headers,
    http1::{Conn, Framing, ReadError},
    inbound::{Call, Door},
    refusal::Refusal,
};

/// What came next.
enum Next {
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
    client.begin(answer.head.status, &fields, answer.framing());
    permit.answering(answer.head.is_event_stream());
    loop {
        let pieces = std::mem::take(&mut answer.incoming.ready);
        let finished = answer.incoming.is_finished();
        if finished || answer.incoming.tap.ended() {
            enter(client, &answer, permit, size(&pieces)).await;
        }
        permit.passing(&pieces);
        if let Err(refusal) = client.send(&pieces, finished).await {
            permit.used(answer.incoming.tap.usage());
            return Err(refusal);
        }
        if finished {
            break;
        }
        match next(client, &mut answer).await {
            Next::Some | Next::End => {}
            Next::Gone => {
                permit.used(answer.incoming.tap.usage());
                return Err(Refusal::ClientGone);
            }
            Next::Broken(error) => return broken(client, call, answer, permit, error).await,
        }
    }
    let line = answer.line.clone();
    if let Some(conn) = answer.into_reusable() {
        gateway.connector.give_back(&line, conn);
    }
    Ok(())
}

/// Waits for more of the answer, while the client may leave or still be sending.
async fn next(client: &mut Client<'_>, answer: &mut Answer) -> Next {
    if answer.upload.as_ref().is_some_and(|upload| !upload.is_done()) {
        return next_while_uploading(client, answer).await;
    }
    // An answer whose first piece is slow to come shows its head meanwhile.
    let flush = client.has_unsent();
    tokio::select! {
        biased;
        more = answer.incoming.pull() => came(more),
        () = std::future::ready(()), if flush => match client.flush().await {
            Ok(()) => Next::Some,
            Err(_) => Next::Gone,
        },
        () = client.gone() => Next::Gone,
    }
}

async fn next_while_uploading(client: &mut Client<'_>, answer: &mut Answer) -> Next {
    if client.has_unsent() && client.flush().await.is_err() {
        return Next::Gone;
    }
    let Some(mut upload) = answer.upload.take() else { return Next::Some };
    let next = loop {
        tokio::select! {
            biased;
            more = answer.incoming.pull() => break came(more),
            step = upload.step(client, &mut answer.wr) => match step {
                Ok(()) => {}
                Err(UploadFault::Client) => break Next::Gone,
                // The provider wants no more of it; its answer is what counts.
                Err(UploadFault::Provider) => break came(answer.incoming.pull().await),
            },
        }
    };
    answer.upload = Some(upload);
    next
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
    permit.used(answer.incoming.tap.usage());
    let outcome = match answer.incoming.tap.error() {
        Some(error) => {
            permit.noted(format!("the provider's stream ended with an error ({})", error.code));
            Outcome::UpstreamBroke
        }
        None => Outcome::Completed,
    };
    permit.close(outcome, client, going).await;
}

/// The provider broke off in the middle of its answer.
async fn broken(
    client: &mut Client<'_>,
    call: &Call,
    answer: Answer,
    permit: &mut Permit,
    error: ReadError,
) -> Result<(), Refusal> {
    let (refusal, outcome) = match error {
        ReadError::TimedOut => (Refusal::TimedOut, Outcome::TimedOut),
        error => (Refusal::Unanswered(error.to_string()), Outcome::UpstreamBroke),
    };
    permit.used(answer.incoming.tap.usage());
    permit.noted(refusal.to_string());
    let message = refusal.to_string();
    let request_id = client.request_id.clone();
    let told = match call.door {
        Door::Model(_) => answer.incoming.tap.broken_off(&refusal.words(&message, &request_id)),
        // `/proxy/…` is transparent: what breaks there breaks here.
        _ => Bytes::new(),
    };
    permit.close(outcome, client, told.len() as u64).await;
    client.keep = false;
    if told.is_empty() {
        return Err(Refusal::ClientGone);
    }
    client.send(&[told], true).await
}

fn size(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

/// Passes a WebSocket's frames both ways until one side ends it.
pub(crate) async fn tunnel(
    client: &mut Client<'_>,
    answer: Answer,
    permit: &mut Permit,
) -> Result<(), Refusal> {
    let mut fields = b"connection: Upgrade\r\nupgrade: websocket\r\n".to_vec();
    headers::to_client(&mut fields, &answer.head, false);
    client.begin(101, &fields, Framing::Empty);
    client.flush().await?;
    permit.answering(true);
    client.keep = false;
    let idle = answer.incoming.idle();
    let (mut up_rd, mut up_wr) = (answer.incoming.rd, answer.wr);
    let (mut bytes_in, mut bytes_out) = (0, 0);
    let Conn { rd, wr } = client.conn();
    let ended = loop {
        if !up_rd.buf.is_empty() {
            let frames = up_rd.buf.split();
            bytes_out += frames.len() as u64;
            if !matches!(timeout(idle, wr.send(&[&frames])).await, Ok(Ok(()))) {
                break Outcome::ClientGone;
            }
        }
        if !rd.buf.is_empty() {
            let frames = rd.buf.split();
            bytes_in += frames.len() as u64;
            if !matches!(timeout(idle, up_wr.send(&[&frames])).await, Ok(Ok(()))) {
                break Outcome::UpstreamBroke;
            }
        }
        let more = async {
            tokio::select! {
                more = up_rd.fill() => more,
                more = rd.fill() => more,
            }
        };
        match timeout(idle, more).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break Outcome::Completed,
            Err(_) => break Outcome::TimedOut,
        }
    };
    client.bytes_in += bytes_in;
    client.bytes_out += bytes_out;
    permit.close(ended, client, 0).await;
    Ok(())
}
