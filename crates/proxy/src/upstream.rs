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

use dialect::Failure;
use pingora_timeout::sleep;

use crate::{
    admission::Permit,
    attempt::{Answer, Try},
    balancer::{NoKey, Slot},
    client::Client,
    conversion::{self, Conversion, Converted, Worded, Wording},
    failed::{Failed, Party},
    gateway::{Gateway, Running, World},
    inbound::Call,
    outbound::{outgoing, worded},
    refusal::{LastAnswer, Refusal},
    road::Road,
    routing::{Plan, Planned},
};

/// Most keys of one upstream that are tried for one call.
const KEYS_MAX: usize = 64;
/// The pause before the second attempt at an upstream lasts up to this, and doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Who answered, and how it goes on.
#[derive(Debug)]
pub(crate) enum Reached {
    /// In the client's dialect: it passes as it is.
    AsItIs(Box<Answer>),
    /// In another one, from which it is said again.
    Converted(Converted),
}

/// What is known when no attempt was an answer.
#[derive(Default)]
struct Tally {
    failed: Option<Failed>,
    none: Option<(String, NoKey)>,
    /// Why a target could not be told.
    unsayable: Option<Failure>,
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
) -> Result<Reached, Refusal> {
    let mut tally = Tally::default();
    let mut conversion = Conversion::of(call, &client.head);
    for target in &plan.targets {
        let Some(running) = world.running(target.entry.upstream.id) else { continue };
        let wording = match (target.road, &mut conversion) {
            (Road::Into(dialect), Some(conversion)) => {
                match conversion.worded(gateway, target, dialect) {
                    Ok(Worded::Ask(wording)) => Some(wording),
                    Ok(Worded::Known(answer)) => return Ok(Reached::Converted(answer)),
                    Err(failure) => {
                        permit.passed_over(&target.entry.upstream.name, &failure.message);
                        tally.unsayable = Some(failure);
                        continue;
                    }
                }
            }
            _ => None,
        };
        let wording = wording.as_deref();
        let round = Round { gateway, running, shown_key, call, target, wording };
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
    /// The call in the target's dialect, where that is another one.
    wording: Option<&'a Wording>,
}

impl Round<'_> {
    /// An answer, a reason to end it all, or nothing: the next upstream's turn.
    async fn run(
        &self,
        client: &mut Client<'_>,
        permit: &mut Permit,
        tally: &mut Tally,
    ) -> Option<Result<Reached, Refusal>> {
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
    ) -> Result<Reached, Failed> {
        let upstream = &self.target.entry.upstream;
        let slot = slot.map(Arc::as_ref);
        let model = self.target.model.as_deref();
        permit.attempting(upstream, slot, model);
        let outgoing = match self.wording {
            Some(wording) => worded(&client.head, wording, upstream, slot, model),
            None => outgoing(&client.head, self.shown_key, self.call, upstream, slot, model),
        };
        let one = Try {
            connector: &self.gateway.connector,
            line: &self.running.line,
            upstream,
            slot,
            outgoing: &outgoing,
            deadline,
            converts: self.wording.is_some(),
        };
        match self.reached(one, client).await {
            Ok((status, answer)) => {
                permit.attempted("answered", Some(status));
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

    /// Makes one attempt. Says the provider's status with the answer.
    async fn reached(
        &self,
        one: Try<'_>,
        client: &mut Client<'_>,
    ) -> Result<(u16, Reached), Failed> {
        let answer = one.run(client, self.call).await;
        let Some(wording) = self.wording else {
            return answer.map(|answer| (answer.head.status, Reached::AsItIs(Box::new(answer))));
        };
        let answer = answer.map_err(|failed| wording.retold(failed, client))?;
        let status = answer.head.status;
        let answer = conversion::received(self.gateway, wording, &one, answer, client).await?;
        Ok((status, Reached::Converted(answer)))
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
            if let (None, Some(failure)) = (&self.none, self.unsayable) {
                return Refusal::Unsayable(Box::new(failure));
            }
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
                // A provider that has too much to do says so of all its keys: when one of them has
                // rested says nothing of it.
                let soonest = soonest(world, plan).filter(|_| said.status == 429);
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
