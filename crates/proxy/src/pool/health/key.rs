//! How one provider key fares: how it stands for all models and for single ones, whether it is
//! busy, how fast and how often it answers. It lives as long as the process and outlives every
//! snapshot; what a person decided about a key is configuration.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
};

use chrono::{DateTime, Utc};
use domain::{BreakerState, BreakerStep, ErrorClass, Evidence, Guarded, KeyStatus, Standing};
use parking_lot::Mutex;

use super::figures::Figures;
use crate::{clock::moment, pool::breaker::Circuit};

/// Most models for which one key stands otherwise than for the rest.
const MODELS_MAX: usize = 64;
/// Two calls that meet the same limit say nearly the same; only one of them is a step.
const SAME_US: i64 = 1_000_000;

/// The reason of a key whose own quota is used up.
pub(crate) const QUOTA: &str = "quota";

/// How one key fares.
#[derive(Debug, Default)]
pub(crate) struct KeyHealth {
    /// Until when no call uses it; zero where it was never out. Read before the lock is taken.
    out_us: AtomicI64,
    /// Whether there is more to know than `out_us`: models, a busy key.
    has_more: AtomicBool,
    /// How much of its tightest quota is used, in a thousand parts.
    used_permille: AtomicU32,
    in_flight: AtomicU32,
    pub(crate) figures: Figures,
    breaker: OnceLock<Arc<Circuit>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Most keys of a large pool stand well: for those it takes no room.
    standing: Option<Box<Standing>>,
    models: HashMap<String, Standing>,
    /// Until when it has no room for calls, for all models or one.
    busy: Vec<(Option<String>, i64)>,
    /// Failures in a row.
    strikes: u32,
}

/// Why a key is not used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Out {
    pub(crate) until_us: i64,
    /// It is well, but has no room.
    pub(crate) busy: bool,
    /// Only for the model that was asked about.
    pub(crate) of_model: bool,
}

/// A step of a key, as its health makes it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) from: KeyStatus,
    pub(crate) to: Standing,
}

impl KeyHealth {
    /// Why no call for `model` uses it at `now_us`, if none does; changes nothing.
    pub(crate) fn out(&self, model: Option<&str>, now_us: i64) -> Option<Out> {
        let out_us = self.out_us.load(Ordering::Acquire);
        if out_us > now_us {
            return Some(Out { until_us: out_us, busy: false, of_model: false });
        }
        if let Some(until_us) = self.breaker.get().and_then(|breaker| breaker.blocks(now_us)) {
            return Some(Out { until_us, busy: false, of_model: false });
        }
        if !self.has_more.load(Ordering::Acquire) {
            return None;
        }
        self.inner.lock().more(model, now_us)
    }

    /// The class of the failure for which it is out of use; none where it is not, or is for a limit.
    pub(crate) fn fails(&self, model: Option<&str>, now_us: i64) -> Option<ErrorClass> {
        let out = self.out(model, now_us).filter(|out| !out.busy)?;
        let of_model = model.filter(|_| out.of_model);
        match self.standing(of_model, moment(now_us)) {
            // Nothing but its circuit breaker keeps it.
            None => Some(ErrorClass::ServerFault),
            Some(Standing { status: KeyStatus::Cooling(_) | KeyStatus::Exhausted(_), .. }) => None,
            Some(standing) => Some(standing.evidence.class.unwrap_or(ErrorClass::Unknown)),
        }
    }

    /// How it stands for all models, or where `model` is named for that one alone.
    pub(crate) fn standing(&self, model: Option<&str>, now: DateTime<Utc>) -> Option<Standing> {
        let inner = self.inner.lock();
        let standing = match model {
            None => inner.standing.as_deref(),
            Some(model) => inner.models.get(model),
        };
        standing.filter(|standing| standing.status.at(now) != KeyStatus::Active).cloned()
    }

    /// How it stands where it stands worst: for all models, or for the one that is out the longest.
    pub(crate) fn worst(&self, now: DateTime<Utc>) -> Option<Standing> {
        let inner = self.inner.lock();
        let all = inner.standing.as_deref().into_iter().chain(inner.models.values());
        let out = all.filter(|standing| standing.status.at(now) != KeyStatus::Active);
        out.max_by_key(|standing| end_us(standing.status)).cloned()
    }

    /// Whether it stands otherwise than active, for all models or for one.
    pub(crate) fn is_out(&self, now: DateTime<Utc>) -> bool {
        let inner = self.inner.lock();
        let mut standings = inner.standing.as_deref().into_iter().chain(inner.models.values());
        standings.any(|standing| standing.status.at(now) != KeyStatus::Active)
    }

    /// The models for which it stands otherwise, and how.
    pub(crate) fn models(&self, now: DateTime<Utc>) -> Vec<(String, Standing)> {
        let inner = self.inner.lock();
        let models = inner.models.iter();
        let out = models.filter(|(_, standing)| standing.status.at(now) != KeyStatus::Active);
        let mut out: Vec<_> = out.map(|(m, standing)| (m.clone(), standing.clone())).collect();
        out.sort_by(|(a, _), (b, _)| a.cmp(b));
        out
    }

    /// Lets it stand as `status`, unless it stands so already or is out for longer.
    pub(crate) fn put(
        &self,
        model: Option<&str>,
        status: KeyStatus,
        reason: &str,
        evidence: Evidence,
        now: DateTime<Utc>,
    ) -> Option<Step> {
        let mut inner = self.inner.lock();
        let known = inner.known(model);
        let before = known.map_or(KeyStatus::Active, |standing| standing.status.at(now));
        if status != KeyStatus::Active && end_us(before) >= end_us(status) {
            return None;
        }
        if status == KeyStatus::Active && before == KeyStatus::Active {
            return None;
        }
        let strikes = inner.strikes;
        let same = before.as_str() == status.as_str()
            && end_us(status).saturating_sub(end_us(before)) < SAME_US;
        let since = known.filter(|_| same).map_or(now, |known| known.since);
        let to = Standing { status, reason: reason.to_owned(), evidence, since, strikes };
        inner.set(model, to.clone());
        self.publish(&inner);
        (!same).then_some(Step { from: before, to })
    }

    /// Lets it stand as `status` after it was tried while it rested: the provider's newest word holds,
    /// also where it shortens the rest.
    pub(crate) fn put_anew(
        &self,
        model: Option<&str>,
        status: KeyStatus,
        reason: &str,
        evidence: Evidence,
        now: DateTime<Utc>,
    ) -> Option<Step> {
        let mut inner = self.inner.lock();
        let before = inner.known(model).map_or(KeyStatus::Active, |known| known.status.at(now));
        inner.standing.take_if(|standing| is_the_providers_word(standing));
        inner
            .models
            .retain(|of, known| Some(of.as_str()) != model || !is_the_providers_word(known));
        let strikes = inner.strikes;
        let to = Standing { status, reason: reason.to_owned(), evidence, since: now, strikes };
        inner.set(model, to.clone());
        self.publish(&inner);
        let same = before.as_str() == status.as_str()
            && end_us(status).abs_diff(end_us(before)) < SAME_US as u64;
        (!same).then_some(Step { from: before, to })
    }

    /// Whether nothing but the provider's word of `after_us` ago or longer keeps it from calls for
    /// `model`.
    pub(crate) fn may_be_tried(&self, model: Option<&str>, now_us: i64, after_us: i64) -> bool {
        let now = moment(now_us);
        if self.breaker.get().is_some_and(|breaker| breaker.blocks(now_us).is_some()) {
            return false;
        }
        let inner = self.inner.lock();
        let of_model = model.and_then(|model| inner.models.get(model));
        let mut out = [inner.standing.as_deref(), of_model]
            .into_iter()
            .flatten()
            .filter(|standing| standing.status.at(now) != KeyStatus::Active)
            .peekable();
        let long = |standing: &Standing| {
            let since = standing.since.timestamp_micros();
            is_the_providers_word(standing) && now_us.saturating_sub(since) >= after_us
        };
        out.peek().is_some() && out.all(long)
    }

    /// The models, and none for all of them, for which it rests by the provider's word.
    pub(crate) fn rests_by_word(
        &self,
        model: Option<&str>,
        now: DateTime<Utc>,
    ) -> Vec<Option<String>> {
        let inner = self.inner.lock();
        let mut rests = Vec::new();
        let counts = |standing: &Standing| {
            standing.status.at(now) != KeyStatus::Active && is_the_providers_word(standing)
        };
        rests.extend(inner.standing.as_deref().filter(|standing| counts(standing)).map(|_| None));
        let of_model = model.filter(|model| inner.models.get(*model).is_some_and(counts));
        rests.extend(of_model.map(|model| Some(model.to_owned())));
        rests
    }

    /// Counts a failure in a row; how many there are now.
    pub(crate) fn strike(&self) -> u32 {
        let mut inner = self.inner.lock();
        inner.strikes = inner.strikes.saturating_add(1);
        if !self.has_more.load(Ordering::Relaxed) {
            self.has_more.store(true, Ordering::Release);
        }
        inner.strikes
    }

    /// Notes that the key was accepted: the row of failures is over.
    pub(crate) fn accepted(&self) {
        if self.has_more.load(Ordering::Acquire) {
            let mut inner = self.inner.lock();
            inner.strikes = 0;
            self.publish(&inner);
        }
    }

    /// Makes void what was concluded before `at`: a person said that it is to be used.
    pub(crate) fn clear(&self, at: DateTime<Utc>) {
        let mut inner = self.inner.lock();
        inner.standing.take_if(|standing| standing.since < at);
        inner.models.retain(|_, standing| standing.since >= at);
        if inner.standing.is_none() && inner.models.is_empty() {
            inner.strikes = 0;
        }
        self.publish(&inner);
    }

    /// Its quotas are other ones now: that one was used up is to be found out anew.
    pub(crate) fn refill(&self) {
        let mut inner = self.inner.lock();
        inner.standing.take_if(|standing| standing.reason == QUOTA);
        self.publish(&inner);
    }

    /// Takes over how it stood as it was kept, or as another instance found it, unless that is
    /// older than what is known here.
    pub(crate) fn restore(&self, model: Option<String>, standing: Standing) {
        let mut inner = self.inner.lock();
        let known = match &model {
            None => inner.standing.as_deref(),
            Some(model) => inner.models.get(model),
        };
        if known.is_some_and(|known| known.since >= standing.since) {
            return;
        }
        inner.strikes = inner.strikes.max(standing.strikes);
        inner.set(model.as_deref(), standing);
        self.publish(&inner);
    }

    /// It has no room for calls, for all models or one, until then.
    pub(crate) fn busy(&self, model: Option<&str>, until_us: i64) {
        let mut inner = self.inner.lock();
        let known = inner.busy.iter().position(|(of, _)| of.as_deref() == model);
        match known {
            Some(at) => inner.busy[at].1 = until_us.max(inner.busy[at].1),
            None if inner.busy.len() < MODELS_MAX => {
                inner.busy.push((model.map(str::to_owned), until_us));
            }
            None => return,
        }
        self.has_more.store(true, Ordering::Release);
    }

    /// A call of it has ended: there may be room again. Whether it had none.
    pub(crate) fn freed(&self) -> bool {
        if !self.has_more.load(Ordering::Acquire) {
            return false;
        }
        let mut inner = self.inner.lock();
        let had = !inner.busy.is_empty();
        inner.busy.clear();
        self.publish(&inner);
        had
    }

    /// A call with it begins.
    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A call with it has ended.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Calls that it answers now.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How much of its tightest quota is left, in a thousand parts.
    pub(crate) fn remaining_permille(&self) -> u32 {
        1000 - self.used_permille.load(Ordering::Relaxed).min(1000)
    }

    pub(crate) fn set_remaining(&self, permille: u32) {
        self.used_permille.store(1000 - permille.min(1000), Ordering::Relaxed);
    }

    /// Its circuit breaker, where it ever failed; or one for `guarded`.
    pub(crate) fn breaker(&self, guarded: impl FnOnce() -> Guarded) -> &Arc<Circuit> {
        self.breaker.get_or_init(|| Arc::new(Circuit::new(guarded())))
    }

    /// Its circuit breaker, where it ever failed.
    pub(crate) fn known_breaker(&self) -> Option<&Arc<Circuit>> {
        self.breaker.get()
    }

    /// How its circuit breaker stands.
    pub(crate) fn breaker_state(&self) -> BreakerState {
        self.breaker.get().map_or(BreakerState::Closed, |breaker| breaker.state())
    }

    /// Takes over how its circuit breaker stood.
    pub(crate) fn restore_breaker(&self, step: &BreakerStep) {
        self.breaker(|| step.guarded.clone()).restore(step);
    }

    /// Tells those who read without the lock.
    fn publish(&self, inner: &Inner) {
        let out = inner.standing.as_ref().map_or(0, |standing| end_us(standing.status));
        self.out_us.store(out, Ordering::Release);
        let more = !inner.models.is_empty() || !inner.busy.is_empty() || inner.strikes > 0;
        self.has_more.store(more, Ordering::Release);
    }
}

/// Whether a key is out because its provider said so of its limits, and nobody else.
fn is_the_providers_word(standing: &Standing) -> bool {
    let classes = [Some(ErrorClass::RateLimited), Some(ErrorClass::QuotaExhausted)];
    matches!(standing.status, KeyStatus::Cooling(_) | KeyStatus::Exhausted(_))
        && standing.evidence.rule.is_none()
        && standing.reason != QUOTA
        && classes.contains(&standing.evidence.class)
}

impl Inner {
    fn known(&self, model: Option<&str>) -> Option<&Standing> {
        match model {
            None => self.standing.as_deref(),
            Some(model) => self.models.get(model),
        }
    }

    fn set(&mut self, model: Option<&str>, standing: Standing) {
        let now = standing.since;
        match model {
            None if standing.status == KeyStatus::Active => self.standing = None,
            None => self.standing = Some(Box::new(standing)),
            Some(model) if standing.status == KeyStatus::Active => {
                self.models.remove(model);
            }
            Some(model) => {
                if self.models.len() >= MODELS_MAX {
                    self.models.retain(|_, known| known.status.at(now) != KeyStatus::Active);
                }
                if self.models.len() < MODELS_MAX || self.models.contains_key(model) {
                    self.models.insert(model.to_owned(), standing);
                }
            }
        }
    }

    fn more(&mut self, model: Option<&str>, now_us: i64) -> Option<Out> {
        let model_us = model.and_then(|model| self.models.get(model));
        let model_us = model_us.map_or(0, |standing| end_us(standing.status));
        if model_us > now_us {
            return Some(Out { until_us: model_us, busy: false, of_model: true });
        }
        self.busy.retain(|(_, until_us)| *until_us > now_us);
        let concerned = self.busy.iter().filter(|(of, _)| of.is_none() || of.as_deref() == model);
        let longest = concerned.max_by_key(|(_, until_us)| *until_us);
        longest.map(|(of, until_us)| Out {
            until_us: *until_us,
            busy: true,
            of_model: of.is_some(),
        })
    }
}

/// When a status ends by itself; what needs a person never does.
fn end_us(status: KeyStatus) -> i64 {
    match status {
        KeyStatus::Active => 0,
        KeyStatus::DisabledManual | KeyStatus::Banned => i64::MAX,
        _ => status.until().map_or(0, |until| until.timestamp_micros()),
    }
}
