//! Who does answer: attempts along the plan, until one of them is an answer.
//!
//! A fault of a key moves on to the next one at once, and does not count against `retry_count`: it
//! says nothing of the upstream, and a pool with eleven dead keys and a live one must answer. A
//! fault of the upstream counts, and is followed by a pause that grows; while its last call ended
//! well, more keys are tried than that. The client's own faults are its answer.
//!
//! What follows for the key and the upstream is said by `health`. Whether the upstream failed is
//! known when the call is answered or given up: what fails with one key and not with another is
//! that key's fault.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{ErrorClass, UpstreamEntry};
use pingora_timeout::sleep;

use crate::{
    admission::{Permit, demand::Demand},
    attempt::{
        choice::{NoTurn, Tried},
        conversion::{self, Conversion, Worded, Wording},
        exchange::Try,
        failed::{Cause, Failed, Party},
        faults::Fault,
        judge,
        outbound::{outgoing, worded},
        reached::Reached,
        round::{Asking, Round},
        scripting,
        tally::{Declined, Tally},
    },
    client::Client,
    pool::{
        balancer::Slot,
        health::{self, Case},
    },
    refusal::Refusal,
    routing::{Plan, road::Road},
};

/// Most keys of one upstream that are tried for one call.
const KEYS_MAX: usize = 64;
/// The pause before the second attempt at an upstream lasts up to this, and doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The first answer along the plan.
pub(crate) async fn first_answer(
    asking: Asking<'_>,
    client: &mut Client<'_>,
    plan: &Plan,
    permit: &mut Permit,
) -> Result<Reached, Refusal> {
    let mut tally = Tally::default();
    let mut conversion = Conversion::of(asking.call, &client.head);
    for target in &plan.targets {
        let Some(running) = asking.world.running(target.entry.upstream.id) else { continue };
        let wording = match (target.road, &mut conversion) {
            (Road::Into(dialect), Some(conversion)) => {
                let deadline = Times::of(&target.entry, client).answer_by;
                let fetch = conversion.fetch_media(
                    (&asking.gateway.connector, &asking.gateway.memory),
                    target,
                    dialect,
                    deadline,
                );
                let fetched = tokio::select! {
                    biased;
                    fetched = fetch => fetched,
                    () = client.gone() => return Err(Refusal::ClientGone),
                };
                let worded = || conversion.worded(&asking.gateway.memory, target, dialect);
                match fetched.and_then(|()| worded()) {
                    Ok(Worded::Ask(wording)) => Some(wording),
                    Ok(Worded::Known(answer)) => return Ok(Reached::Converted(answer)),
                    Err(failure) => {
                        permit.entry.passed_over(&target.entry.upstream.name, &failure.message);
                        tally.unsayable = Some(failure);
                        continue;
                    }
                }
            }
            _ => None,
        };
        let round = Round { asking, running, target, wording: wording.as_deref() };
        let answered = round.run(client, permit, &mut tally).await;
        if !matches!(answered, Some(Ok(_))) {
            if let Some(declined) = &mut tally.declined
                && Arc::ptr_eq(&declined.entry, &target.entry)
            {
                permit.stake.move_upstream(&mut declined.stake);
            }
            permit.stake.target_failed();
        }
        match answered {
            Some(answered) => {
                if let Some(mut declined) = tally.declined.take() {
                    // The provider answered all the same.
                    declined.stake.target_failed();
                }
                return answered;
            }
            None if !asking.call.repeatable() && tally.failed.is_some() => break,
            None => {}
        }
    }
    match tally.declined.take() {
        Some(declined) => Ok(declined.accept(permit)),
        None => Err(tally.refusal(asking, plan)),
    }
}

/// When all of a call must be over, and when its answer must have begun.
#[derive(Debug, Clone, Copy)]
struct Times {
    deadline: Instant,
    answer_by: Instant,
}

impl Times {
    fn of(entry: &UpstreamEntry, client: &Client<'_>) -> Self {
        let upstream = &entry.upstream;
        let deadline = client.started + upstream.timeouts.total;
        let answer_timeout = upstream.policy.answer_timeout;
        let answer_by = answer_timeout.map_or(deadline, |most| deadline.min(client.started + most));
        Self { deadline, answer_by }
    }
}

impl Round<'_> {
    /// An answer, a reason to end it all, or nothing: the next upstream's turn.
    async fn run(
        &self,
        client: &mut Client<'_>,
        permit: &mut Permit,
        tally: &mut Tally,
    ) -> Option<Result<Reached, Refusal>> {
        let mut faults = Vec::new();
        let answered = self.attempts(client, permit, tally, &mut faults).await;
        self.conclude(permit, faults, matches!(answered, Some(Ok(_))));
        answered
    }

    /// One attempt after the other. What fails and is no key's own fault is noted in `faults`.
    async fn attempts(
        &self,
        client: &mut Client<'_>,
        permit: &mut Permit,
        tally: &mut Tally,
        faults: &mut Vec<Fault>,
    ) -> Option<Result<Reached, Refusal>> {
        let upstream = &self.target.entry.upstream;
        let times = Times::of(&self.target.entry, client);
        let answer_by = times.answer_by;
        let (mut failed_times, mut tried) = (0, Tried::default());
        loop {
            let turn = match self.turn(client, permit, &tried, answer_by).await {
                Ok(turn) => turn,
                Err(NoTurn::Gone) => return Some(Err(Refusal::ClientGone)),
                Err(_) if tried.only_fresh => return None,
                Err(none) => {
                    permit.entry.passed_over(&upstream.name, &none.reason());
                    tally.none = Some((upstream.name.clone(), none));
                    return None;
                }
            };
            let slot = turn.hold(permit);
            let attempt = self.attempt(client, permit, tally, slot.as_ref(), times);
            let mut failed = match attempt.await {
                Ok(answer) => return Some(Ok(answer)),
                Err(failed) => failed,
            };
            let (party, refusal) = (failed.party, failed.refusal.take());
            let (class, asked) = (failed.verdict.class, failed.verdict.retry_after);
            let of_rule = failed.cause == Cause::Rule;
            let final_word = failed.cause == Cause::Redirected;
            tally.failed = Some(failed);
            let key = slot.as_ref().map(|slot| slot.key.id);
            match party {
                Party::Client => {
                    return Some(Err(refusal.map_or(Refusal::ClientGone, |refusal| *refusal)));
                }
                Party::Key => tried.at_fault.extend(key),
                Party::Upstream => {
                    failed_times += 1;
                    tried.failed_with.extend(key.filter(|key| !tried.failed_with.contains(key)));
                    // Many providers serve everything but sockets: it says nothing of other calls.
                    if !of_rule && !self.asking.call.websocket {
                        faults.push(Fault { slot, class, asked });
                    }
                }
            }
            permit.stake.attempt_failed();
            if party == Party::Upstream && failed_times > upstream.retry_count {
                tried.only_fresh = true;
                if !self.others_may_do_better(failed_times, class, key.is_some()) {
                    return None;
                }
            }
            let spent = tried.at_fault.len() >= KEYS_MAX;
            let late = Instant::now() >= answer_by;
            if spent || late || final_word || !self.asking.call.repeatable() {
                return None;
            }
            // With another key the call need not wait as for the same one again.
            let others = u32::try_from(tried.failed_with.len().saturating_sub(1)).unwrap_or(0);
            let again = failed_times.saturating_sub(others).max(1);
            if party == Party::Upstream && !pause(client, again, answer_by).await {
                return Some(Err(Refusal::ClientGone));
            }
        }
    }

    async fn attempt(
        &self,
        client: &mut Client<'_>,
        permit: &mut Permit,
        tally: &mut Tally,
        slot: Option<&Arc<Slot>>,
        Times { deadline, answer_by }: Times,
    ) -> Result<Reached, Failed> {
        let Asking { gateway, shown_key, call, .. } = self.asking;
        let entry = &self.target.entry;
        let (upstream, key) = (&entry.upstream, slot.map(Arc::as_ref));
        let model = self.target.model.as_deref();
        permit.attempting(entry, key, model);
        let rules = scripting::rules(
            (&gateway.scripts, &gateway.settings.clock),
            &client.head,
            shown_key,
            upstream,
            key,
            self.wording,
        );
        let rules = rules.map_err(|words| {
            permit.entry.attempted("script", None);
            tracing::warn!(upstream.id = upstream.id.0, "a header script failed: {words}");
            Failed::client(Refusal::Script)
        })?;
        loop {
            let outgoing = match self.wording {
                Some(wording) => worded(&client.head, wording, upstream, key, model, &rules),
                None => outgoing(&client.head, shown_key, call, upstream, key, model, &rules),
            };
            let one = Try {
                connector: &gateway.connector,
                clock: &gateway.settings.clock,
                line: &self.running.line,
                upstream,
                slot: key,
                outgoing: &outgoing,
                deadline,
                answer_by,
                converts: self.wording.is_some(),
            };
            let began = Instant::now();
            let reached = self.reached(one, client).await;
            let latency = began.elapsed();
            match reached {
                Ok((status, answer)) => {
                    permit.entry.attempted("answered", Some(status));
                    if let Some(head) = answer.head() {
                        permit.entry.identified(head);
                    }
                    let well = answer.class().is_none();
                    if well && self.wording.is_some_and(Wording::has_more) {
                        // A question that goes to the target in several calls.
                        permit.attempting(entry, key, model);
                        continue;
                    }
                    return self.answered(permit, client, tally, slot, answer, latency);
                }
                Err(failed) => {
                    permit.entry.attempted(failed.cause.as_str(), failed.status);
                    if let Some(heard) = &failed.heard {
                        permit.entry.identified(&heard.head);
                    }
                    if failed.asked {
                        self.billed(permit, client, failed.cause);
                    }
                    self.heed(permit, slot, &failed, latency);
                    return Err(failed);
                }
            }
        }
    }

    /// What an attempt without an answer may be billed for.
    fn billed(&self, permit: &mut Permit, client: &Client<'_>, cause: Cause) {
        match cause {
            Cause::Client | Cause::Rule | Cause::Timeout | Cause::Refused(ErrorClass::Timeout) => {
                let demand = match permit.demand {
                    demand if demand.measured => demand,
                    demand => Demand::measured(demand.work, self.asking.call, &client.head),
                };
                permit.may_be_billed(&demand, cause != Cause::Client);
            }
            Cause::Reset | Cause::TooLarge => permit.use_unknown(),
            _ => {}
        }
    }

    /// Makes one attempt. Says the provider's status with the answer.
    async fn reached(
        &self,
        one: Try<'_>,
        client: &mut Client<'_>,
    ) -> Result<(u16, Reached), Failed> {
        let answer = one.run(client, self.asking.call).await;
        let Some(wording) = self.wording else {
            return answer.map(|answer| (answer.head.status, Reached::AsItIs(Box::new(answer))));
        };
        let answer = answer.map_err(|failed| wording.retold(failed, client))?;
        let status = answer.head.status;
        let answer = Box::pin(conversion::received(wording, &one, answer, client)).await?;
        Ok((status, Reached::Converted(answer)))
    }

    /// Notes an answer, and asks the rules about it; one of them may want another.
    fn answered(
        &self,
        permit: &mut Permit,
        client: &Client<'_>,
        tally: &mut Tally,
        slot: Option<&Arc<Slot>>,
        mut answer: Reached,
        latency: Duration,
    ) -> Result<Reached, Failed> {
        let Asking { gateway, call, .. } = self.asking;
        let upstream = &self.target.entry.upstream;
        if upstream.record_bodies {
            permit.record(call.held());
        }
        if let (Some(slot), Reached::AsItIs(_)) = (slot, &answer) {
            permit.learns(upstream.id, slot);
        }
        let now_us = gateway.settings.clock.now_us();
        let model = self.target.model.as_deref();
        let case = self.running.case(slot, model, permit.entry.id(), now_us);
        let tries = self.tries(permit, true, now_us);
        gateway.teller.tell(health::answered(&Case { tries, ..case }, latency));
        if let Some(class) = answer.class() {
            permit.entry.classed(class);
        }
        if judge::answered(self, permit, slot, &mut answer, latency, call.repeatable()) {
            permit.entry.attempted(Cause::Rule.as_str(), Some(answer.status()));
            if answer.status() < 300 {
                self.billed(permit, client, Cause::Rule);
            }
            let (entry, slot) = (self.target.entry.clone(), slot.cloned());
            let party = if slot.is_some() { Party::Key } else { Party::Upstream };
            let (model, stake) = (self.target.model.clone(), permit.stake.set_aside());
            let attempt = permit.current;
            let declined = Declined { answer, entry, slot, model, stake, attempt };
            tally.declined = Some(Box::new(declined));
            return Err(Failed {
                party,
                ..Failed::upstream(Cause::Rule, "a rule wants another answer")
            });
        }
        Ok(answer)
    }

    /// Whether the attempt that ended tried a key that rests. The pool hears how it went.
    fn tries(&self, permit: &Permit, answered: bool, now_us: i64) -> bool {
        let tries = permit.stake.picked.as_ref().is_some_and(|picked| picked.tries);
        if tries {
            self.running.pool.tried(answered, now_us);
        }
        tries
    }

    /// Draws the consequences of a failure.
    fn heed(
        &self,
        permit: &mut Permit,
        slot: Option<&Arc<Slot>>,
        failed: &Failed,
        latency: Duration,
    ) {
        if failed.party == Party::Client {
            return;
        }
        let gateway = self.asking.gateway;
        permit.entry.classed(failed.verdict.class);
        let (model, now_us) = (self.target.model.as_deref(), gateway.settings.clock.now_us());
        let case = self.running.case(slot, model, permit.entry.id(), now_us);
        let tries = self.tries(permit, false, now_us);
        // Many providers serve everything but sockets: that says nothing of their keys either.
        if failed.party == Party::Key || !self.asking.call.websocket {
            gateway.teller.tell(health::heed(&Case { tries, ..case }, &failed.verdict));
        }
        judge::failed(self, permit, slot, failed, latency);
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
