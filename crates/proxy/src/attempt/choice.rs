//! Whose turn it is: a place at the upstream, and a key of its pool that has room for this call.
//! Where all are busy the call waits in line, for a while, rather than be refused.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use domain::{Event, Evidence, KeyStatus, ProviderKeyId};

use crate::{
    admission::Permit,
    attempt::round::Round,
    client::Client,
    limits::{self, Bound, LimitRefused, Reserved},
    pool::{
        balancer::{Hint, NoKey, Picked, Slot},
        health::{self, Admitted, QUOTA},
        waiting::NoPlace,
    },
    refusal::Refusal,
};

/// What an attempt may be made with.
#[derive(Debug)]
pub(crate) struct Turn {
    /// None where the upstream needs no key.
    picked: Option<Picked>,
    reserved: Reserved,
    /// None where the call is admitted already.
    admitted: Option<Admitted>,
}

/// The keys that a call was tried with at one upstream, and why they did not do.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    /// Those at fault: they are not tried again.
    pub(crate) at_fault: Vec<ProviderKeyId>,
    /// Those with which the upstream failed: others are tried before them.
    pub(crate) failed_with: Vec<ProviderKeyId>,
    /// Only keys that were not tried yet will do, and none is waited for.
    pub(crate) only_fresh: bool,
}

/// Why there is no turn.
#[derive(Debug)]
pub(crate) enum NoTurn {
    /// The client left while it waited.
    Gone,
    /// The upstream rests until then.
    Rests { until_us: i64, why: String },
    /// It has as many calls as it may, and the line did not move in time.
    Busy { until_us: Option<i64> },
    /// A limit of the upstream is reached.
    Limited(Box<LimitRefused>),
    /// No key may be used.
    NoKey(NoKey),
    /// The call asks for more than a key may use.
    TooLarge,
    /// Its keys have quotas in money, and what the call costs is not known.
    Unpriced,
}

impl Turn {
    /// Lets the permit hold it. Says with which key.
    pub(crate) fn hold(self, permit: &mut Permit) -> Option<Arc<Slot>> {
        let slot = self.picked.as_ref().map(|picked| picked.slot.clone());
        permit.stake.key = self.reserved;
        permit.stake.picked = self.picked;
        if let Some(admitted) = self.admitted {
            permit.stake.admitted = Some(admitted);
        }
        slot
    }
}

impl Round<'_> {
    /// Waits for a turn, no longer than the upstream's line may take.
    pub(crate) async fn turn(
        &self,
        client: &mut Client<'_>,
        permit: &mut Permit,
        tried: &Tried,
        deadline: Instant,
    ) -> Result<Turn, NoTurn> {
        let patience = match tried.only_fresh {
            true => Duration::ZERO,
            false => self.target.entry.upstream.policy.queue_timeout,
        };
        let until = deadline.min(Instant::now() + patience);
        let began = Instant::now();
        // A call that tries a breaker goes on until it has an answer or is given up.
        let admitted = match permit.stake.admitted {
            Some(_) => None,
            None => Some(self.admitted()?),
        };
        let turn = async {
            self.line_up(permit, until).await?;
            self.key(permit, tried, until).await
        };
        let turn = tokio::select! {
            biased;
            turn = turn => turn,
            () = client.gone(), if client.body_done() => Err(NoTurn::Gone),
        };
        let waited = began.elapsed();
        if waited > Duration::from_millis(1) {
            permit.entry.waited(waited);
        }
        turn.map(|(picked, reserved)| Turn { picked, reserved, admitted })
    }

    /// Whether the upstream takes calls now.
    fn admitted(&self) -> Result<Admitted, NoTurn> {
        let now_us = self.asking.gateway.settings.clock.now_us();
        let admitted = self.running.health.enter(self.target.model.as_deref(), now_us);
        let mut admitted = admitted.map_err(|(until_us, why)| NoTurn::Rests { until_us, why })?;
        self.asking.gateway.teller.tell(admitted.steps.drain(..).map(Event::Breaker));
        Ok(admitted)
    }

    /// Takes a place at the upstream, and of its limits, where the call does not have them yet.
    async fn line_up(&self, permit: &mut Permit, until: Instant) -> Result<(), NoTurn> {
        if permit.stake.ticket.is_some() {
            return Ok(());
        }
        let (gateway, upstream) = (self.asking.gateway, &self.target.entry.upstream);
        let now_us = gateway.settings.clock.now_us();
        let (limits, zone) = (&self.asking.world.limits, gateway.settings.timezone);
        let mut asks = limits.asks_of_upstream(upstream, &permit.estimate, now_us, zone);
        if !asks.is_empty() {
            let held = asks.reserve(&gateway.counters, now_us).await;
            gateway.teller.tell(gateway.budget_alerts.look(&asks, &held, now_us));
            let held = held.map_err(|refused| NoTurn::Limited(Box::new(refused)))?;
            permit.stake.upstream = asks.reserved(held);
        }
        let who = self.asking.caller.key.id;
        let place = self.running.queue.enter(who, upstream.policy.max_in_flight, until.into());
        permit.stake.ticket = Some(place.await.map_err(|no_place| match no_place {
            NoPlace::Full | NoPlace::Late => NoTurn::Busy { until_us: None },
        })?);
        Ok(())
    }

    /// A key with room for this call, and what was reserved of it.
    async fn key(
        &self,
        permit: &Permit,
        tried: &Tried,
        until: Instant,
    ) -> Result<(Option<Picked>, Reserved), NoTurn> {
        let (gateway, pool) = (self.asking.gateway, &self.running.pool);
        let mut avoided = tried.failed_with.len();
        // Those that were tried, and those that have no room for a call as large as this one.
        let mut passed = [&tried.failed_with[..], &tried.at_fault[..]].concat();
        let out = tried.at_fault.len();
        let mut room_us: Option<i64> = None;
        let (mut too_large, mut unpriced) = (false, false);
        loop {
            let now_us = gateway.settings.clock.now_us();
            let model = self.target.model.as_deref();
            let (belongs, only) = (self.target.belongs, self.target.made_by);
            let hint = Hint { model, belongs, only, tried: &passed, looks: false, now_us };
            // Asked for before the pick, so that no call that ends meanwhile is missed.
            let changed = self.running.queue.changed();
            let none = match pool.pick(&hint) {
                Err(NoKey::NotNeeded) => return Ok((None, Reserved::default())),
                Err(_) if avoided > 0 && !tried.only_fresh => {
                    // There is no other: one with which the upstream failed may do now.
                    passed.drain(..avoided);
                    avoided = 0;
                    continue;
                }
                Err(none) => none,
                Ok(mut picked) => {
                    gateway.teller.tell(picked.step.take().map(Event::Breaker));
                    match self.reserved(permit, &picked, now_us).await {
                        Room::Held(reserved) => {
                            picked.holds();
                            return Ok((Some(picked), reserved));
                        }
                        Room::Out => {}
                        Room::Later(until_us) => {
                            passed.push(picked.slot.key.id);
                            room_us = Some(room_us.map_or(until_us, |room| room.min(until_us)));
                        }
                        Room::Never => {
                            passed.push(picked.slot.key.id);
                            too_large = true;
                        }
                        Room::Unpriced => {
                            passed.push(picked.slot.key.id);
                            unpriced = true;
                        }
                    }
                    if passed.len() < avoided + out + PASSED_MAX {
                        continue;
                    }
                    NoKey::AllResting { until_us: now_us }
                }
            };
            let busy_us = match none {
                NoKey::AllBusy { until_us } => Some(until_us),
                _ => None,
            };
            let Some(until_us) = busy_us.into_iter().chain(room_us.take()).min() else {
                return Err(match (unpriced, too_large) {
                    (true, _) => NoTurn::Unpriced,
                    (_, true) => NoTurn::TooLarge,
                    _ => NoTurn::NoKey(none),
                });
            };
            if !wait(changed, until_us - now_us, until).await {
                return Err(NoTurn::Busy { until_us: Some(until_us) });
            }
            passed.truncate(avoided + out);
        }
    }

    /// Reserves of a key's quotas and limits, where there is room.
    async fn reserved(&self, permit: &Permit, picked: &Picked, now_us: i64) -> Room {
        let gateway = self.asking.gateway;
        let (upstream, slot) = (&self.target.entry.upstream, &picked.slot);
        let model = self.target.model.as_deref();
        let (key, estimate, zone) = (&slot.key, &permit.estimate, self.running.zone);
        let mut asks = limits::asks_of_key(upstream, key, model, estimate, now_us, zone);
        if asks.unpriced {
            return Room::Unpriced;
        }
        if asks.is_empty() {
            return Room::Held(Reserved::default());
        }
        let over = match asks.reserve(&gateway.counters, now_us).await {
            Ok(held) => {
                slot.health.set_remaining(asks.left_permille(&held));
                return Room::Held(asks.reserved(held));
            }
            Err(over) => over,
        };
        let again_us = now_us + LOOK_AGAIN_US;
        // Other calls of the key may give back what they reserved.
        let others = slot.health.in_flight() > 1;
        match &asks.bounds[over.index] {
            // It is not used up for good: there is more when Redis is back, or another has left.
            Bound::Quota { .. } if asks.is_share(&over) && asks.is_used_up(&over) => {
                slot.health.busy(None, again_us);
                Room::Out
            }
            Bound::Quota { quota, end } if !others && asks.is_used_up(&over) => {
                let until = end.unwrap_or(DateTime::<Utc>::MAX_UTC);
                let words =
                    format!("{} {} of {} a {}", over.used, quota.unit, quota.limit, quota.period);
                let evidence =
                    Evidence { words, log: Some(permit.entry.id()), ..Evidence::default() };
                let status = KeyStatus::Exhausted(until);
                let case = self.running.case(Some(slot), model, permit.entry.id(), now_us);
                let put = health::put(&case, None, status, QUOTA, evidence, "gateway");
                gateway.teller.tell(put);
                Room::Out
            }
            Bound::Quota { .. } if others || asks.is_share(&over) => Room::Later(again_us),
            Bound::Quota { .. } => Room::Never,
            Bound::KeyLimit { of_model } if asks.is_used_up(&over) => {
                // A call that ends makes room at once, and is heard of.
                let until_us = over.until_us.unwrap_or(again_us).min(again_us);
                slot.health.busy(model.filter(|_| *of_model), until_us);
                Room::Out
            }
            Bound::KeyLimit { .. } => match over.until_us {
                Some(until_us) => Room::Later(until_us.min(again_us)),
                None => Room::Never,
            },
        }
    }
}

/// Whether a key has room for a call.
enum Room {
    Held(Reserved),
    /// It has no room for any call, which is known of it now.
    Out,
    /// It may have room for this one then, or when another call has ended.
    Later(i64),
    /// This call asks for more than it may use, and others need not.
    Never,
    /// It has a quota in money, and what the call costs is not known.
    Unpriced,
}

/// Most keys that are asked for room before a call waits.
const PASSED_MAX: usize = 64;
/// How long a key that is at a limit is passed over before it is looked at again.
const LOOK_AGAIN_US: i64 = 250_000;

/// Waits until a call of the upstream ended or a key is free again; false when time is up.
async fn wait(changed: impl Future<Output = ()>, free_us: i64, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return false;
    }
    let free = Duration::from_micros(u64::try_from(free_us).unwrap_or(0).max(1000));
    tokio::select! {
        () = changed => {}
        () = pingora_timeout::sleep(free.min(left)) => {}
    }
    true
}

impl NoTurn {
    /// Whether keys rest, and nothing else keeps the call.
    pub(crate) fn is_resting(&self) -> bool {
        matches!(self, NoTurn::NoKey(NoKey::AllResting { .. }))
    }

    /// For people, in the decision of a log entry.
    pub(crate) fn reason(&self) -> String {
        match self {
            NoTurn::Gone => "the client left".to_owned(),
            NoTurn::Rests { why, .. } => format!("it rests: {why}"),
            NoTurn::Busy { .. } => "it has as many calls as it may".to_owned(),
            NoTurn::Limited(refused) => refused.to_string(),
            NoTurn::NoKey(none) => none.reason().to_owned(),
            NoTurn::TooLarge => "the call asks for more than any of its keys may use".to_owned(),
            NoTurn::Unpriced => {
                "its keys have quotas in money, and the price of this call is not known".to_owned()
            }
        }
    }

    /// What the client is told, where this was the last target. `soonest` is when the first key is
    /// back.
    pub(crate) fn refusal(
        self,
        upstream: String,
        now_us: i64,
        soonest: Option<Duration>,
    ) -> Refusal {
        let after = |until_us: i64| {
            Duration::from_micros(u64::try_from(until_us - now_us).unwrap_or_default())
        };
        let second = Duration::from_secs(1);
        match self {
            NoTurn::Gone => Refusal::ClientGone,
            NoTurn::Rests { until_us, .. } => {
                Refusal::UpstreamRests { upstream, retry_after: after(until_us) }
            }
            NoTurn::Busy { until_us } => {
                let retry_after = until_us.map_or(second, after);
                Refusal::UpstreamBusy { upstream, retry_after }
            }
            NoTurn::Limited(refused) => Refusal::Limited(refused),
            NoTurn::NoKey(NoKey::AllResting { .. } | NoKey::AllBusy { .. }) => {
                let retry_after = soonest.unwrap_or(second);
                Refusal::AllKeysRest { upstream, retry_after }
            }
            NoTurn::NoKey(_) => Refusal::NoUsableKey(upstream),
            NoTurn::TooLarge => Refusal::TooLargeForKeys(upstream),
            NoTurn::Unpriced => Refusal::UnpricedForKeys(upstream),
        }
    }
}

impl NoKey {
    /// Why a target is passed over for want of a key.
    pub(crate) fn passed_over(self) -> Option<String> {
        (self != NoKey::NotNeeded).then(|| self.reason().to_owned())
    }

    fn reason(self) -> &'static str {
        match self {
            NoKey::NotNeeded => "it needs no key",
            NoKey::AllUnusable => "all its keys are switched off",
            NoKey::AllResting { .. } => "all its keys rest",
            NoKey::AllBusy { .. } => "all its keys are at their limits",
        }
    }
}
