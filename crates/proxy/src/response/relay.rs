//! The answer on its way to the client, as it comes.
//!
//! The log entry is written before the last of the answer goes out: whoever got an answer whole
//! is in the journal. When the client leaves, the provider's connection is dropped with it.

use bytes::Bytes;
use domain::log::Outcome;

use crate::{
    admission::Permit,
    attempt::{
        exchange::Answer,
        judge,
        next::{Next, next},
    },
    client::Client,
    door::Door,
    headers,
    pool::line::Connector,
    refusal::Refusal,
    request::inbound::Call,
    response::{
        drain::{self, Source},
        measured,
    },
};

/// Passes `answer` to the client.
pub(crate) async fn stream(
    connector: &Connector,
    public_id: impl FnOnce() -> String,
    client: &mut Client<'_>,
    call: &Call,
    mut answer: Answer,
    permit: &mut Permit,
) -> Result<(), Refusal> {
    let mut fields = Vec::with_capacity(512);
    headers::to_client(&mut fields, &answer.head, answer.unpacks);
    fields.extend_from_slice(&permit.fields);
    if permit.tells_details() {
        let known = answer.incoming.is_finished();
        let used = known.then(|| measured::so_far(client.bytes_in, &permit.demand, &answer));
        permit.details(used, &mut fields);
    }
    client.begin(answer.head.status, &fields, answer.framing());
    let streams = answer.head.is_event_stream();
    permit.entry.answering(streams);
    let lease = permit.stream_lease(streams, public_id, client);
    loop {
        let pieces = std::mem::take(&mut answer.incoming.ready);
        let cut_off = call.generates_text() && answer.incoming.was_cut_off();
        let finished = answer.incoming.is_finished() && !cut_off;
        let ending = finished || answer.incoming.observer.ended();
        judge::passing(permit, &mut answer.incoming, ending);

        permit.entry.passed(
            &*client,
            answer.head.status,
            measured::so_far(client.bytes_in, &permit.demand, &answer),
        );
        if ending {
            enter(client, &answer, permit, size(&pieces)).await;
        }
        permit.passing(&pieces);
        if client.send(&pieces, finished).await.is_err() {
            return Err(drain::left(client, Source::of(permit, answer), permit));
        }
        if finished {
            break;
        }
        if cut_off {
            return Box::pin(broken(client, call, answer, permit, Refusal::BrokeOff)).await;
        }
        match next(client, &mut answer, lease.as_ref()).await {
            Next::Some | Next::End => {}
            Next::Gone => return Err(drain::left(client, Source::of(permit, answer), permit)),
            Next::Broken(error) => {
                let refusal = answer.incoming.broke(&error);
                return Box::pin(broken(client, call, answer, permit, refusal)).await;
            }
            Next::Revoked(why) => {
                let refusal = Refusal::Revoked(why);
                return Box::pin(broken(client, call, answer, permit, refusal)).await;
            }
        }
    }
    let line = answer.line.clone();
    if let Some(conn) = answer.into_reusable() {
        connector.give_back(&line, conn);
    }
    Ok(())
}

/// Writes the log entry of an answer that is about to be complete.
async fn enter(client: &Client<'_>, answer: &Answer, permit: &mut Permit, going: u64) {
    permit.told(&answer.incoming.observer.metadata());
    let outcome = match answer.incoming.observer.error() {
        // Where the status says so too, the error is the answer.
        Some(error) if answer.head.status < 300 => {
            permit
                .entry
                .noted(format!("the provider's stream ended with an error ({})", error.code));
            Outcome::UpstreamBroke
        }
        _ => Outcome::Completed,
    };
    permit.close(outcome, client, going).await;
}

/// The answer ends before it is whole: the client reads why in its dialect.
async fn broken(
    client: &mut Client<'_>,
    call: &Call,
    mut answer: Answer,
    permit: &mut Permit,
    refusal: Refusal,
) -> Result<(), Refusal> {
    // What came together with the end is still the client's.
    let mut pieces = std::mem::take(&mut answer.incoming.ready);
    permit.entry.passed(
        &*client,
        answer.head.status,
        measured::so_far(client.bytes_in, &permit.demand, &answer),
    );
    permit.told(&answer.incoming.observer.metadata());
    let outcome = match refusal {
        Refusal::Revoked(_) => Outcome::Revoked,
        Refusal::FellSilent | Refusal::TookTooLong => Outcome::TimedOut,
        _ => Outcome::UpstreamBroke,
    };
    permit.entry.noted(refusal.to_string());
    let message = refusal.to_string();
    let request_id = client.request_id.clone();
    let told = match call.door {
        Door::Model(_) => {
            answer.incoming.observer.broken_off(&refusal.words(&message, &request_id))
        }
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
