//! The balancer: which key of a pool is next, and which target of a route.
//!
//! What may be chosen is known here; how one of several is chosen is a [`strategy`], and what keeps
//! calls that belong together with one key stands on top of any.

mod slot;
mod stickiness;
mod strategy;
mod targets;
mod trial;
mod turn;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use chrono::{DateTime, Utc};
use domain::{
    BreakerStep, ErrorClass, KeyState, KeyStatus, ProviderKeyId, Quota, Strategy, UpstreamEntry,
    policy::Sticky,
};
use parking_lot::{Mutex, RwLock};
use secrecy::ExposeSecret;

use self::{
    stickiness::{Stickiness, within},
    strategy::Wish,
    trial::{LOOKED_AT_MAX, Trials},
    turn::{Lane, Turn},
};
use crate::{
    clock::moment,
    pool::{
        breaker::{Claim, Pass},
        health::{self, KeyHealth, Keys, Out},
    },
};

pub(crate) use self::{
    slot::Slot,
    strategy::Candidate,
    targets::{RouteChooser, TargetState},
};

/// Most models of one pool for which the keys have an order of their own.
const LANES_MAX: usize = 16;
/// So many keys are asked how they fare where not all can be.
const SAMPLE: usize = 64;

/// The usable keys of one upstream, in the order in which they will be used.
#[derive(Debug)]
pub(crate) struct Pool {
    slots: Vec<Arc<Slot>>,
    by_id: HashMap<ProviderKeyId, u32>,
    groups: HashMap<String, Vec<u32>>,
    strategy: Strategy,
    /// Keys that a person switched off or gave up are in the pool but not among the slots.
    unusable: [u32; 2],
    lane: Lane,
    /// The orders for models for which some of the keys rest.
    lanes: RwLock<HashMap<String, Arc<Lane>>>,
    has_lanes: AtomicBool,
    /// The quotas of keys that have none of their own.
    quotas: Vec<Quota>,
    sticky: Option<Sticky>,
    stuck: Arc<Mutex<Stickiness>>,
    in_flight: AtomicU32,
    trials: Trials,
}

/// For which call a key is picked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hint<'a> {
    pub(crate) model: Option<&'a str>,
    /// What the calls that belong together with this one share.
    pub(crate) belongs: Option<u64>,
    /// The one key that will do, where the pool has it.
    pub(crate) only: Option<ProviderKeyId>,
    /// Keys that were tried for this call already.
    pub(crate) tried: &'a [ProviderKeyId],
    /// Whether it is only looked who would be picked: then no breaker is tried.
    pub(crate) looks: bool,
    pub(crate) now_us: i64,
}

/// A key that has a call to answer until this is dropped.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) slot: Arc<Slot>,
    /// The step of the key's breaker, where this call is the one that tries.
    pub(crate) step: Option<BreakerStep>,
    /// Whether the key rests, and this call tries it.
    pub(crate) tries: bool,
    _claim: Option<Claim>,
    pool: Arc<Pool>,
    index: u32,
    /// Whether there is room for another call when this one has ended.
    holds: bool,
}

/// Why no key could be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The upstream has no keys at all: calls go out without one.
    NotNeeded,
    /// Every key was switched off or given up.
    AllUnusable,
    /// Every usable key rests, the first until then.
    AllResting { until_us: i64 },
    /// No key that does not rest has room; the first is looked at again then.
    AllBusy { until_us: i64 },
}

impl Pool {
    /// The pool of `entry`; keys that were in `before` keep their health.
    pub(crate) fn new(entry: &UpstreamEntry, before: Option<&Pool>) -> Self {
        let usable = entry.keys.iter().filter(|key| key.state == KeyState::Active);
        let quotas = &entry.upstream.policy.key_quotas;
        let other_quotas = before.is_some_and(|before| before.quotas != *quotas);
        let slots: Vec<Arc<Slot>> = usable
            .map(|key| {
                // Another secret is another key, whatever its row.
                let same = |slot: &&Arc<Slot>| {
                    slot.key.secret.expose_secret() == key.secret.expose_secret()
                };
                let slot = before.and_then(|pool| pool.slot(key.id)).filter(same);
                let health = slot.map(|slot| slot.health.clone()).unwrap_or_default();
                if let Some(cleared) = key.cleared_at {
                    health.clear(cleared);
                }
                if slot.is_some_and(|slot| slot.key.quotas != key.quotas) || other_quotas {
                    health.refill();
                }
                Arc::new(Slot { key: key.clone(), health })
            })
            .collect();
        let mut groups: HashMap<String, Vec<u32>> = HashMap::new();
        for (slot, index) in slots.iter().zip(0..) {
            if let Some(group) = &slot.key.group {
                groups.entry(group.clone()).or_default().push(index);
            }
        }
        let count = |state| entry.keys.iter().filter(|key| key.state == state).count() as u32;
        let strategy = entry.upstream.strategy;
        Self {
            by_id: slots.iter().zip(0..).map(|(slot, index)| (slot.key.id, index)).collect(),
            groups,
            strategy,
            unusable: [count(KeyState::Disabled), count(KeyState::Banned)],
            lane: Lane::new(&slots, strategy),
            lanes: RwLock::default(),
            has_lanes: AtomicBool::new(false),
            quotas: quotas.clone(),
            sticky: entry.upstream.policy.sticky.clone(),
            stuck: before.map(|before| before.stuck.clone()).unwrap_or_default(),
            in_flight: AtomicU32::new(0),
            trials: Trials::new(entry.upstream.policy.trial_every),
            slots,
        }
    }

    /// The key with this id, if it may be used.
    pub(crate) fn slot(&self, id: ProviderKeyId) -> Option<&Arc<Slot>> {
        self.by_id.get(&id).map(|index| &self.slots[*index as usize])
    }

    /// A key for a question that costs nothing: one that may be used, or else any; none where the pool
    /// has none.
    pub(crate) fn any(&self, now_us: i64) -> Option<Arc<Slot>> {
        let some = self.slots.iter().take(SAMPLE);
        let well = some.clone().find(|slot| slot.health.out(None, now_us).is_none());
        well.or(self.slots.first()).cloned()
    }

    /// Whether it has the same secrets as the other.
    pub(crate) fn has_same_keys(&self, other: &Pool) -> bool {
        let same = |slot: &Arc<Slot>| {
            other.slot(slot.key.id).is_some_and(|other| Arc::ptr_eq(&other.health, &slot.health))
        };
        self.slots.len() == other.slots.len() && self.slots.iter().all(same)
    }

    /// The next key.
    pub(crate) fn pick(self: &Arc<Self>, hint: &Hint<'_>) -> Result<Picked, NoKey> {
        if self.slots.is_empty() {
            return Err(self.empty());
        }
        let mut lane = self.lane_of(hint.model);
        let tried = self.trials.doubts().then(|| self.trial(hint)).flatten();
        let (index, claim, step, tries) = loop {
            if let Some(index) = tried {
                break (index, None, None, true);
            }
            let on = lane.as_deref().unwrap_or(&self.lane);
            let mut turn = on.turn(&self.slots, hint.model, hint.now_us);
            match self.choose(&mut turn, hint, lane.is_some()) {
                Choice::Key(index, pass) => {
                    let (claim, step) = match pass {
                        Pass::Trial(claim, step) => (Some(claim), step),
                        _ => (None, None),
                    };
                    break (index, claim, step, false);
                }
                Choice::None(none @ NoKey::AllResting { .. }) => {
                    drop(turn);
                    let Some(index) = self.trial(hint) else { return Err(none) };
                    break (index, None, None, true);
                }
                Choice::None(none) => return Err(none),
                Choice::OfModel => {
                    drop(turn);
                    lane = hint.model.and_then(|model| self.new_lane(model));
                }
            }
        };
        let slot = self.slots[index as usize].clone();
        slot.health.enter();
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        if let Some(belongs) = hint.belongs.filter(|_| self.sticky.is_some()) {
            self.stuck.lock().keep(belongs, slot.key.id.0 as u64, hint.now_us);
        }
        Ok(Picked { slot, step, tries, _claim: claim, pool: self.clone(), index, holds: false })
    }

    /// A key that rests by its provider's word for so long that a call tries it now.
    fn trial(&self, hint: &Hint<'_>) -> Option<u32> {
        let after_us = self.trials.after_us()?;
        if !hint.tried.is_empty() || !self.trials.claim(hint.now_us) {
            return None;
        }
        let may = |index: &usize| {
            self.slots[*index].health.may_be_tried(hint.model, hint.now_us, after_us)
        };
        let found = match hint.only.and_then(|only| self.by_id.get(&only)) {
            Some(only) => Some(*only as usize).filter(may),
            None => {
                let (from, len) = (self.trials.from(), self.slots.len());
                let looked_at = len.min(LOOKED_AT_MAX);
                let found = (0..looked_at).map(|step| (from + step) % len).find(may);
                self.trials.go_on_at(found.map_or(from + looked_at, |index| index + 1) % len);
                found
            }
        };
        if found.is_none() {
            self.trials.none(hint.now_us);
        }
        found.map(|index| index as u32)
    }

    /// A key that was tried while it rested answered a call, or did not.
    pub(crate) fn tried(&self, answered: bool, now_us: i64) {
        self.trials.ended(answered, now_us);
    }

    /// The key that would be picked; none where none could be.
    pub(crate) fn preview(&self, hint: &Hint<'_>) -> Result<Arc<Slot>, NoKey> {
        if self.slots.is_empty() {
            return Err(self.empty());
        }
        let lane = self.lane_of(hint.model);
        let on = lane.as_deref().unwrap_or(&self.lane);
        let mut turn = on.turn(&self.slots, hint.model, hint.now_us).fork();
        match self.choose(&mut turn, hint, true) {
            Choice::Key(index, _) => Ok(self.slots[index as usize].clone()),
            Choice::None(none) => Err(none),
            Choice::OfModel => Err(NoKey::AllResting { until_us: hint.now_us }),
        }
    }

    /// When the first of the resting keys is back, if any rests.
    pub(crate) fn soonest(&self, model: Option<&str>, now_us: i64) -> Option<i64> {
        let lane = self.lane_of(model);
        let on = lane.as_deref().unwrap_or(&self.lane);
        let turn = on.turn(&self.slots, model, now_us);
        let known = [turn.rested_us(), turn.free_us()].into_iter().flatten().min();
        let some = (0..turn.len().min(SAMPLE)).filter_map(|place| turn.at(place));
        let found = some.filter_map(|index| self.slots[index as usize].health.out(model, now_us));
        let soonest = found.map(|out| out.until_us).chain(known).min();
        // A call tries one of them by then.
        let trial_us = self.trials.after_us().map(|after_us| now_us.saturating_add(after_us));
        soonest.map(|until_us| trial_us.map_or(until_us, |trial_us| until_us.min(trial_us)))
    }

    /// Why its keys are out of use: the class of the failure, where no key that was looked at is out
    /// for a limit or has room.
    pub(crate) fn failing(&self, model: Option<&str>, now_us: i64) -> Option<ErrorClass> {
        let step = self.slots.len().div_ceil(SAMPLE).max(1);
        let mut found = None;
        for slot in self.slots.iter().step_by(step) {
            found = Some(slot.health.fails(model, now_us)?);
        }
        found
    }

    /// Whether no key may be used now, as far as is known.
    pub(crate) fn is_out(&self, model: Option<&str>, now_us: i64) -> bool {
        if self.slots.is_empty() {
            return self.empty() == NoKey::AllUnusable;
        }
        if self.trials.is_due(now_us) && !self.slots.is_empty() {
            return false;
        }
        let lane = self.lane_of(model);
        lane.as_deref().unwrap_or(&self.lane).turn(&self.slots, model, now_us).len() == 0
    }

    /// How much of the quotas of its keys is left, in a thousand parts; of a few, where it has many.
    pub(crate) fn remaining_permille(&self, model: Option<&str>, now_us: i64) -> u32 {
        let step = self.slots.len().div_ceil(SAMPLE).max(1);
        let seen = self.slots.iter().step_by(step);
        let left = seen.map(|slot| match slot.health.out(model, now_us) {
            Some(_) => 0,
            None => slot.health.remaining_permille(),
        });
        let (sum, count) = left.fold((0_u32, 0), |(sum, count), left| (sum + left, count + 1));
        sum.checked_div(count).unwrap_or(1000)
    }

    /// The keys that were found bad and may be asked whether they are well again.
    pub(crate) fn suspended(&self, now_us: i64) -> Vec<ProviderKeyId> {
        let now = moment(now_us);
        let out = self.slots.iter().filter(|slot| {
            let standing = slot.health.standing(None, now);
            standing.is_some_and(|standing| health::may_be_probed(&standing))
        });
        out.map(|slot| slot.key.id).collect()
    }

    /// How many of its keys stand how, by the names of the statuses.
    pub(crate) fn counts(&self, now: DateTime<Utc>) -> Vec<(&'static str, u64)> {
        let mut counts: BTreeMap<&'static str, u64> =
            KeyStatus::NAMES.into_iter().map(|name| (name, 0)).collect();
        for slot in &self.slots {
            let standing = slot.health.standing(None, now);
            let status = standing.map_or(KeyStatus::Active, |standing| standing.status);
            *counts.entry(status.as_str()).or_default() += 1;
        }
        for (status, count) in
            [KeyStatus::DisabledManual, KeyStatus::Banned].iter().zip(self.unusable)
        {
            *counts.entry(status.as_str()).or_default() += u64::from(count);
        }
        KeyStatus::NAMES.into_iter().map(|name| (name, counts[name])).collect()
    }

    /// Those of its keys that are not plainly active, for all models or for one.
    pub(crate) fn keys_out(&self, now: DateTime<Utc>) -> impl Iterator<Item = ProviderKeyId> {
        self.slots.iter().filter(move |slot| slot.health.is_out(now)).map(|slot| slot.key.id)
    }

    fn empty(&self) -> NoKey {
        if self.unusable == [0, 0] { NoKey::NotNeeded } else { NoKey::AllUnusable }
    }

    /// Chooses a key. `own` says that the order is the model's own, or that there shall be none.
    fn choose(&self, turn: &mut Turn, hint: &Hint<'_>, own: bool) -> Choice {
        if let Some(index) = hint.only.and_then(|only| self.by_id.get(&only)) {
            return match self.examine(*index, hint) {
                Ok(None) => Choice::None(NoKey::AllResting { until_us: hint.now_us }),
                Ok(Some(pass)) => Choice::Key(*index, pass),
                Err(Out { until_us, busy: true, .. }) => Choice::None(NoKey::AllBusy { until_us }),
                Err(Out { until_us, .. }) => Choice::None(NoKey::AllResting { until_us }),
            };
        }
        if let Some(index) = self.kept(turn, hint)
            && let Ok(Some(pass)) = self.examine(index, hint)
        {
            return Choice::Key(index, pass);
        }
        let mut round = 0;
        while round <= hint.tried.len() {
            let wish = Wish { belongs: hint.belongs, round };
            let Some(index) = turn.next(&self.slots, &wish, hint.now_us) else { break };
            match self.examine(index, hint) {
                Ok(None) => round += 1,
                Ok(Some(pass)) => return Choice::Key(index, pass),
                Err(out) if out.of_model && !own => return Choice::OfModel,
                Err(out) => turn.leave(index, &out),
            }
        }
        // Whatever the order says: one that was not tried yet.
        let mut place = 0;
        while let Some(index) = turn.at(place) {
            match self.examine(index, hint) {
                Ok(None) => place += 1,
                Ok(Some(pass)) => return Choice::Key(index, pass),
                Err(out) if out.of_model && !own => return Choice::OfModel,
                Err(out) => turn.leave(index, &out),
            }
        }
        Choice::None(match turn.free_us() {
            Some(until_us) => NoKey::AllBusy { until_us },
            None => NoKey::AllResting { until_us: turn.rested_us().unwrap_or(hint.now_us) },
        })
    }

    /// Whether a key may be used; nothing where it was tried for this call already, which must not
    /// cost the one trial of its breaker.
    fn examine(&self, index: u32, hint: &Hint<'_>) -> Result<Option<Pass>, Out> {
        let slot = &self.slots[index as usize];
        if let Some(out) = slot.health.out(hint.model, hint.now_us) {
            return Err(out);
        }
        if hint.tried.contains(&slot.key.id) {
            return Ok(None);
        }
        let breaker = slot.health.known_breaker();
        if hint.looks {
            return match breaker.and_then(|breaker| breaker.blocks(hint.now_us)) {
                Some(until_us) => Err(Out { until_us, busy: false, of_model: false }),
                None => Ok(Some(Pass::Free)),
            };
        }
        match breaker.map(|breaker| breaker.pass(hint.now_us)) {
            None => Ok(Some(Pass::Free)),
            Some(Pass::Not { until_us }) => Err(Out { until_us, busy: false, of_model: false }),
            Some(pass) => Ok(Some(pass)),
        }
    }

    /// The key that answered the calls of this kind last, where it has room for one more.
    fn kept(&self, turn: &Turn, hint: &Hint<'_>) -> Option<u32> {
        let (sticky, belongs) = (self.sticky.as_ref()?, hint.belongs?);
        let id = self.stuck.lock().of(belongs, sticky.ttl, hint.now_us)?;
        let id = ProviderKeyId(id as i64);
        let index = *self.by_id.get(&id).filter(|_| !hint.tried.contains(&id))?;
        let load = self.slots[index as usize].health.in_flight();
        let total = u64::from(self.in_flight.load(Ordering::Relaxed));
        within(load, total, turn.len(), sticky.max_load_percent).then_some(index)
    }

    /// The order for a model of its own, where there is one.
    fn lane_of(&self, model: Option<&str>) -> Option<Arc<Lane>> {
        if !self.has_lanes.load(Ordering::Acquire) {
            return None;
        }
        self.lanes.read().get(model?).cloned()
    }

    fn new_lane(&self, model: &str) -> Option<Arc<Lane>> {
        let mut lanes = self.lanes.write();
        if !lanes.contains_key(model) && lanes.len() >= LANES_MAX {
            // Any will do: it is made anew when it is needed.
            let other = lanes.keys().next().cloned();
            other.and_then(|other| lanes.remove(&other));
        }
        let lane = lanes.entry(model.to_owned());
        let lane = lane.or_insert_with(|| Arc::new(Lane::new(&self.slots, self.strategy)));
        self.has_lanes.store(true, Ordering::Release);
        Some(lane.clone())
    }

    fn rejoin(&self, index: u32) {
        self.lane.back(index);
        if self.has_lanes.load(Ordering::Acquire) {
            self.lanes.read().values().for_each(|lane| lane.back(index));
        }
    }
}

/// What a look at a turn led to.
enum Choice {
    Key(u32, Pass),
    None(NoKey),
    /// A key rests for this model alone: the model needs an order of its own.
    OfModel,
}

impl Keys for Pool {
    fn health(&self, key: ProviderKeyId) -> Option<&Arc<KeyHealth>> {
        self.slot(key).map(|slot| &slot.health)
    }

    fn of_group(&self, group: &str) -> Vec<(ProviderKeyId, Arc<KeyHealth>)> {
        let members = self.groups.get(group).map(Vec::as_slice).unwrap_or_default();
        let members = members.iter().map(|index| &self.slots[*index as usize]);
        members.map(|slot| (slot.key.id, slot.health.clone())).collect()
    }

    fn groups(&self) -> usize {
        let grouped: usize = self.groups.values().map(Vec::len).sum();
        self.groups.len() + self.slots.len() - grouped
    }

    fn back(&self, key: ProviderKeyId) {
        if let Some(index) = self.by_id.get(&key) {
            self.rejoin(*index);
        }
    }
}

impl Picked {
    /// Something was reserved for this call: when it ends there is room for another.
    pub(crate) fn holds(&mut self) {
        self.holds = true;
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.slot.health.leave();
        self.pool.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.holds && self.slot.health.freed() {
            self.pool.rejoin(self.index);
        }
    }
}

#[cfg(test)]
mod tests;
