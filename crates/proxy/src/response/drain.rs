//! A client that left in the middle of its answer: what the provider still says is read on for a
//! while where the upstream wants that, since it tells what the call used. Otherwise what was sent
//! is counted.

use std::time::Duration;

use dialect::AnswerMetadata;
use domain::{Work, log::Outcome};
use pingora_timeout::timeout;

use crate::{
    admission::{Permit, Sent, demand::Demand},
    attempt::{conversion::Flow, exchange::Answer, judge},
    client::Client,
    refusal::Refusal,
    response::measured,
};

/// An answer that nobody waits for any more.
pub(crate) enum Source {
    /// As the provider says it.
    AsItIs { answer: Box<Answer>, demand: Demand },
    /// As it is said again in another dialect.
    Converted(Box<Flow>),
}

impl Source {
    pub(crate) fn of(permit: &Permit, answer: Answer) -> Self {
        Source::AsItIs { answer: Box::new(answer), demand: permit.demand }
    }

    /// What the provider said about the answer so far.
    fn told(&self) -> AnswerMetadata {
        match self {
            Source::AsItIs { answer, .. } => answer.incoming.observer.metadata().into_owned(),
            Source::Converted(flow) => flow.told(),
        }
    }

    /// Reads it to its end, which rules look at as if the client were there; whether it got there.
    async fn read(&mut self, permit: &mut Permit) -> bool {
        loop {
            let answer = match self {
                Source::AsItIs { answer, .. } => answer.as_mut(),
                Source::Converted(flow) if flow.ended() => return true,
                Source::Converted(flow) => &mut flow.answer,
            };
            let more = answer.incoming.pull().await;
            let (incoming, ended) = match self {
                Source::AsItIs { answer, .. } => {
                    answer.incoming.ready.clear();
                    (&mut answer.incoming, matches!(more, Ok(false)))
                }
                Source::Converted(flow) => {
                    flow.unheard();
                    let ended = flow.ended() && more.is_ok();
                    (&mut flow.answer.incoming, ended)
                }
            };
            judge::passing(permit, incoming, ended);
            match more {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
    }
}

/// Lets a client go. Its permit is closed by whoever reads on, or where nobody does, by the caller.
pub(crate) fn left(client: &Client<'_>, source: Source, permit: &mut Permit) -> Refusal {
    let patience = permit.drains();
    let counts = match &source {
        Source::AsItIs { demand, .. } => demand.work == Work::Text,
        Source::Converted(_) => true,
    };
    permit.told(&source.told());
    if counts && !patience.is_zero() && permit.entry.is_open() {
        tokio::spawn(drain(source, permit.handed_over(), client.into(), patience));
    }
    Refusal::ClientGone
}

async fn drain(mut source: Source, mut permit: Permit, sent: Sent, patience: Duration) {
    let whole = timeout(patience, source.read(&mut permit)).await.unwrap_or(false);
    let (status, used) = match &source {
        Source::AsItIs { answer, demand } => {
            (answer.head.status, measured::so_far(sent.bytes_in, demand, answer))
        }
        Source::Converted(flow) => (200, flow.used(sent.bytes_in)),
    };
    permit.entry.passed(sent, status, used);
    permit.told(&source.told());
    permit.entry.noted(match whole {
        true => "the client left; the answer was read on for its usage".to_owned(),
        false => "the client left; its usage is what was sent".to_owned(),
    });
    permit.close(Outcome::ClientGone, sent, 0).await;
}
