//! What is known of a call's attempts that were no answer, and what the client is told where none was.

use std::{sync::Arc, time::Duration};

use dialect::Failure;
use domain::{ErrorClass, UpstreamEntry};

use crate::{
    admission::{Permit, stake::Stake},
    attempt::{
        choice::NoTurn,
        failed::{Cause, Failed},
        reached::Reached,
        round::Asking,
    },
    pool::balancer::Slot,
    refusal::{LastAnswer, Refusal},
    routing::Plan,
};

/// A key that is out for longer does not come back by itself.
const AGAIN_MAX: Duration = Duration::from_secs(366 * 86_400);

/// What is known when no attempt was an answer.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) failed: Option<Failed>,
    pub(super) none: Option<(String, NoTurn)>,
    /// Why a target could not be told.
    pub(super) unsayable: Option<Failure>,
    pub(super) declined: Option<Box<Declined>>,
}

/// An answer that a rule did not want: the client gets it all the same where there is no other.
pub(super) struct Declined {
    pub(super) answer: Reached,
    pub(super) entry: Arc<UpstreamEntry>,
    pub(super) slot: Option<Arc<Slot>>,
    pub(super) model: Option<String>,
    /// What its attempt holds, and which one it was.
    pub(super) stake: Stake,
    pub(super) attempt: usize,
}

impl Declined {
    /// There is no other: it is the answer.
    pub(super) fn accept(self, permit: &mut Permit) -> Reached {
        permit.sent_to(&self.entry, self.slot.as_deref(), self.model.as_deref());
        permit.current = self.attempt;
        permit.stake.restore(self.stake);
        if let (Some(slot), Reached::AsItIs(_)) = (&self.slot, &self.answer) {
            permit.learns(self.entry.upstream.id, slot);
        }
        self.answer
    }
}

impl Tally {
    /// What to tell the client: the last thing that a provider said, or why none was asked.
    pub(super) fn refusal(self, asking: Asking<'_>, plan: &Plan) -> Refusal {
        let Some(failed) = self.failed else {
            if let (None, Some(failure)) = (&self.none, self.unsayable) {
                return Refusal::Unsayable(Box::new(failure));
            }
            return match self.none {
                Some((upstream, none)) => {
                    let now_us = asking.gateway.settings.clock.now_us();
                    let failing = none.is_resting().then(|| failing(asking, plan)).flatten();
                    match failing {
                        Some(class) => {
                            let retry_after =
                                soonest(asking, plan).filter(|wait| *wait < AGAIN_MAX);
                            Refusal::AllKeysFail { upstream, class, retry_after }
                        }
                        None => none.refusal(upstream, now_us, soonest(asking, plan)),
                    }
                }
                None => Refusal::Unanswered("the plan was empty".to_owned()),
            };
        };
        match failed.said {
            Some(said) => {
                // A provider that has too much to do says so of all its keys: when one of them has
                // rested says nothing of it.
                let soonest = soonest(asking, plan).filter(|_| said.status == 429);
                let retry_after = soonest.or(said.retry_after);
                Refusal::Provider(Box::new(LastAnswer { retry_after, ..*said }))
            }
            None if failed.cause.is_timeout() => Refusal::TimedOut,
            None if failed.cause == Cause::Redirected => {
                Refusal::Redirected(failed.status.unwrap_or_default())
            }
            None => Refusal::Unanswered(failed.words),
        }
    }
}

/// Why the keys of the plan's pools are out of use, where none of them is out for a limit.
fn failing(asking: Asking<'_>, plan: &Plan) -> Option<ErrorClass> {
    let now_us = asking.gateway.settings.clock.now_us();
    let mut found = None;
    for target in &plan.targets {
        let Some(running) = asking.world.running(target.entry.upstream.id) else { continue };
        found = Some(running.pool.failing(target.model.as_deref(), now_us)?);
    }
    found
}

/// When the first resting key of the plan's pools is back.
fn soonest(asking: Asking<'_>, plan: &Plan) -> Option<Duration> {
    let now_us = asking.gateway.settings.clock.now_us();
    let ends = plan.targets.iter().filter_map(|target| {
        let running = asking.world.running(target.entry.upstream.id)?;
        running.pool.soonest(target.model.as_deref(), now_us)
    });
    let left = ends.min()? - now_us;
    Some(Duration::from_micros(u64::try_from(left).unwrap_or_default()))
}
