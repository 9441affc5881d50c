//! Who does answer: attempts along the plan, until one of them is an answer.
//!
//! A fault of a key lets the key rest and moves on to the next one at once, and does not count
//! against `retry_count`: it says nothing of the upstream, and a pool with eleven dead keys and a
//! live one must answer. A fault of the upstream counts, and is followed by a pause that grows.
//! The client's own faults end it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pingora_timeout::sleep;

use crate::{
    admission::Permit,
    attempt::{Answer, Failed, Party, Try},
    balancer::{NoKey, Slot},
    client::Client,
    gateway::{Gateway, Running, World},
    inbound::Call,
    outbound::outgoing,
    refusal::{LastAnswer, Refusal},
    routing::{Plan, Planned},
};

/// Most keys of one upstream that are tried for one call.
const KEYS_MAX: usize = 64;
/// The pause before the second attempt at an upstream lasts up to this, and doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is known when no attempt was an answer.
#[derive(Default)]
struct Tally {
    failed: Option<Failed>,
    none: Option<(String, NoKey)>,
}

/// The first answer along the plan.
pub(crate) async fn first_answer(
    gateway: &Gateway,
    world: &World,
    client: &mut Client<'_>,
    shown_key: &str,
    call: &Call,
    plan: &Plan,
    permit: &mut Permit,
) -> Result<Answer, Refusal> {
    let mut tally = Tally::default();
    for target in &plan.targets {
        let Some(running) = world.running(target.entry.upstream.id) else { continue };
        let round = Round { gateway, running, shown_key, call, target };
        match round.run(client, permit, &mut tally).await {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(refusal)) => return Err(refusal),
            None if !call.repeatable() && tally.failed.is_some() => break,
            None => {}
        }
    }
    Err(tally.refusal(world, plan))
}

/// All attempts at one upstream.
struct Round<'a> {
    gateway: &'a Gateway,
    running: &'a Running,
    shown_key: &'a str,
    call: &'a Call,
    target: &'a Planned,
}

impl Round<'_> {
    /// An answer, a reason to end it all, or nothing: the next upstream's turn.
    async fn run(
        &self,
        client: &mut Client<'_>,
        permit: &mut Permit,
        tally: &mut Tally,
    ) -> Option<Result<Answer, Refusal>> {
        let upstream = &self.target.entry.upstream;
        let deadline = client.started + upstream.timeouts.total;
        let (mut faults, mut keys) = (0, 0);
        loop {
            let slot = match self.running.pool.pick(Instant::now()) {
                Ok(slot) => Some(slot),
                Err(NoKey::NotNeeded) => None,
                Err(none) => {
                    permit.passed_over(&upstream.name, none.reason());
                    tally.none = Some((upstream.name.clone(), none));
                    return None;
                }
            };
            let failed = match self.attempt(client, permit, slot.as_ref(), deadline).await {
                Ok(answer) => return Some(Ok(answer)),
                Err(failed) => failed,
            };
            let mut failed = failed;
            let (party, refusal) = (failed.party, failed.refusal.take());
            tally.failed = Some(failed);
            match party {
                Party::Client => {
                    return Some(Err(refusal.map_or(Refusal::ClientGone, |refusal| *refusal)));
                }
                Party::Key(_) => keys += 1,
                Party::Upstream => faults += 1,
            }
            let over = Instant::now() >= deadline;
            if over || !self.call.repeatable() || faults > upstream.retry_count || keys >= KEYS_MAX
            {
                return None;
            }
            if party == Party::Upstream && !pause(client, faults, deadline).await {
                return Some(Err(Refusal::ClientGone));
            }
        }
    }

    async fn attempt(
        &self,
        client: &mut Client<'_>,
        permit: &mut Permit,
        slot: Option<&Arc<Slot>>,
        deadline: Instant,
    ) -> Result<Answer, Failed> {
        let upstream = &self.target.entry.upstream;
        let slot = slot.map(Arc::as_ref);
        let model = self.target.model.as_deref();
        permit.attempting(upstream, slot, model);
        let outgoing = outgoing(&client.head, self.shown_key, self.call, upstream, slot, model);
        let one = Try {
            connector: &self.gateway.connector,
            line: &self.running.line,
            upstream,
            slot,
            outgoing: &outgoing,
            deadline,
        };
        match one.run(client, self.call).await {
            Ok(answer) => {
                permit.attempted("answered", Some(answer.head.status));
                if upstream.record_bodies {
                    permit.record(self.call.held());
                }
                if let Some(slot) = slot {
                    slot.health.accepted();
                }
                Ok(answer)
            }
            Err(failed) => {
                permit.attempted(failed.result, failed.status);
                self.heed(&failed, slot);
                Err(failed)
            }
        }
    }

    /// Lets a key rest that a provider held something against.
    fn heed(&self, failed: &Failed, slot: Option<&Slot>) {
        let (Party::Key(fault), Some(slot)) = (failed.party, slot) else { return };
        slot.health.rest(Instant::now(), fault, failed.retry_after);
        tracing::info!(
            upstream.id = %self.target.entry.upstream.id,
            key.id = %slot.key.id,
            result = failed.result,
            "the key `{}` of `{}` rests",
            slot.key.name,
            self.target.entry.upstream.name,
        );
    }
}

/// Waits before the next attempt at the same upstream: up to twice as long each time, and anything
/// in between, so that many calls do not come back at once. False when the client left.
async fn pause(client: &mut Client<'_>, faults: u32, deadline: Instant) -> bool {
    let most = PAUSE_FIRST.saturating_mul(1 << (faults - 1).min(16)).min(PAUSE_MAX);
    let most = most.min(deadline.saturating_duration_since(Instant::now()));
    let pause = most.mul_f64(rand::random());
    tokio::select! {
        () = sleep(pause) => true,
        () = client.gone() => false,
    }
}

impl NoKey {
    fn reason(self) -> &'static str {
        match self {
            NoKey::NotNeeded => "it needs no key",
            NoKey::AllUnusable => "all its keys are switched off",
            NoKey::AllResting { .. } => "all its keys rest",
        }
    }
}

impl Tally {
    /// What to tell the client: the last thing that a provider said, or why none was asked.
    fn refusal(self, world: &World, plan: &Plan) -> Refusal {
        let Some(failed) = self.failed else {
            return match self.none {
                Some((upstream, NoKey::AllResting { .. })) => {
                    let retry_after = soonest(world, plan).unwrap_or(Duration::from_secs(1));
                    Refusal::AllKeysRest { upstream, retry_after }
                }
                Some((upstream, _)) => Refusal::NoUsableKey(upstream),
                None => Refusal::Unanswered("the plan was empty".to_owned()),
            };
        };
        match failed.said {
            Some(said) => {
                let limited = matches!(said.status, 429 | 503 | 529);
                let soonest = soonest(world, plan).filter(|_| limited);
                let retry_after = soonest.or(said.retry_after);
                Refusal::Provider(Box::new(LastAnswer { retry_after, ..*said }))
            }
            None if failed.result == "timeout" => Refusal::TimedOut,
            None => Refusal::Unanswered(failed.words),
        }
    }
}

/// When the first resting key of the plan's pools is back.
fn soonest(world: &World, plan: &Plan) -> Option<Duration> {
    let now = Instant::now();
    let pools = plan.targets.iter().filter_map(|t| world.running(t.entry.upstream.id));
    pools.filter_map(|running| running.pool.soonest(now)).min().map(|until| until - now)
}
