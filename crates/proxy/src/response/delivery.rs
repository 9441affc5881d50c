//! A converted answer on its way to the client.
//!
//! As on the transparent road the log entry is written before the last of the answer goes out, and
//! a client that leaves takes the provider's connection with it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dialect::FailureKind;
use domain::log::Outcome;
use pingora_timeout::{sleep, timeout};

use crate::{
    admission::Permit,
    attempt::{
        conversion::{Converted, Ending, Flow, Whole},
        exchange::Answer,
        judge,
        next::{Next, next},
    },
    client::Client,
    http1::Framing,
    pool::line::Connector,
    refusal::Refusal,
    response::drain::{self, Source},
};

/// How long a provider may take to end a body whose last event has come.
const TAIL: Duration = Duration::from_secs(2);

/// Sends an answer to the client, as it comes.
pub(crate) async fn deliver(
    (connector, silence): (&Arc<Connector>, Duration),
    public_id: impl FnOnce() -> String,
    client: &mut Client<'_>,
    answer: Converted,
    permit: &mut Permit,
) -> Result<(), Refusal> {
    match answer {
        Converted::Whole(answer) => whole(client, answer, permit).await,
        Converted::Stream(flow) => {
            stream((connector, silence), public_id, client, flow, permit).await
        }
    }
}

async fn whole(client: &mut Client<'_>, answer: Whole, permit: &mut Permit) -> Result<(), Refusal> {
    let Whole { status, mut fields, body, used, heard } = answer;
    fields.extend_from_slice(&permit.fields);
    permit.details(Some(used), &mut fields);
    let size = body.len() as u64;
    client.begin(status, &fields, Framing::Length(size));
    permit.entry.answering(false);
    permit.entry.passed(&*client, status, used);
    if let Some(body) = heard.and_then(|heard| heard.body) {
        permit.told(&dialect::answer_metadata(&body));
    }
    permit.passing(std::slice::from_ref(&body));
    permit.close(Outcome::Completed, &*client, size).await;
    client.send(&[body], true).await
}

async fn stream(
    (connector, silence): (&Arc<Connector>, Duration),
    public_id: impl FnOnce() -> String,
    client: &mut Client<'_>,
    mut flow: Box<Flow>,
    permit: &mut Permit,
) -> Result<(), Refusal> {
    flow.fields.extend_from_slice(&permit.fields);
    permit.details(None, &mut flow.fields);
    client.begin(200, &flow.fields, Framing::Chunked);
    permit.entry.answering(true);
    let lease = permit.stream_lease(true, public_id, client);
    let mut spoke = Instant::now();
    loop {
        let out = [flow.take()];
        permit.entry.passed(&*client, 200, flow.used(client.bytes_in));
        let ended = flow.ended();
        judge::passing(permit, &mut flow.answer.incoming, ended);
        if let Some(ending) = flow.ending() {
            let outcome = match flow.was_revoked() {
                true => Outcome::Revoked,
                false => outcome(ending),
            };
            if let Ending::Failed(failure) = ending {
                permit.entry.noted(failure.message.clone());
            }
            permit.told(&flow.told());
            permit.close(outcome, &*client, out[0].len() as u64).await;
        }
        permit.passing(&out);
        if client.send(&out, flow.ending().is_some()).await.is_err() {
            return Err(drain::left(client, Source::Converted(flow), permit));
        }
        if flow.ending().is_some() {
            break;
        }
        if !out[0].is_empty() {
            spoke = Instant::now();
        }
        let quiet = silence.saturating_sub(spoke.elapsed());
        tokio::select! {
            biased;
            next = next(client, &mut flow.answer, lease.as_ref()) => match next {
                Next::Some | Next::End => flow.read(),
                Next::Gone => return Err(drain::left(client, Source::Converted(flow), permit)),
                Next::Broken(error) => {
                    flow.read();
                    flow.broken(error);
                }
                Next::Revoked(why) => flow.revoked(why),
            },
            () = sleep(quiet) => {
                flow.keep_alive();
                spoke = Instant::now();
            }
        }
    }
    if !flow.was_revoked() {
        give_back(connector, flow.answer);
    }
    Ok(())
}

/// How a stream that ended so is entered.
fn outcome(ending: &Ending) -> Outcome {
    let Ending::Failed(failure) = ending else { return Outcome::Completed };
    match failure.kind {
        FailureKind::Timeout => Outcome::TimedOut,
        _ => Outcome::UpstreamBroke,
    }
}

/// Keeps the connection for another call, once what follows the last event was read.
fn give_back(connector: &Arc<Connector>, mut answer: Answer) {
    let line = answer.line.clone();
    if answer.incoming.is_finished() {
        if let Some(conn) = answer.into_reusable() {
            connector.give_back(&line, conn);
        }
        return;
    }
    let connector = connector.clone();
    tokio::spawn(async move {
        let rest = async {
            while let Ok(true) = answer.incoming.pull().await {
                answer.incoming.ready.clear();
            }
        };
        if timeout(TAIL, rest).await.is_ok()
            && let Some(conn) = answer.into_reusable()
        {
            connector.give_back(&line, conn);
        }
    });
}
