//! A circuit breaker: closed while calls succeed, open when too many of them failed, half open
//! when one call tries. It counts what it is told; whose failures those are is the business of
//! whoever tells it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{BreakerState, BreakerStep, Guarded, policy};
use parking_lot::Mutex;

use crate::clock::{micros, moment};

/// The window slides by a tenth of its length.
const BUCKETS: usize = 10;
/// It never stays open for longer than this, unless it is configured to.
const OPEN_MAX_US: i64 = 600_000_000;
/// Closed for so long, it has forgotten how often it opened.
const FORGETS_US: i64 = 600_000_000;
/// So many calls in a row that fail here and are answered elsewhere are enough.
const ALONE_MAX: u32 = 3;
/// Who meets a breaker that another call tries comes back after this.
const TRIAL_US: i64 = 1_000_000;

/// What a breaker guards, with its breaker.
#[derive(Debug)]
pub(crate) struct Circuit {
    guarded: Guarded,
    /// Zero while it is closed; otherwise until when no call passes. Read before the lock is taken.
    open_us: AtomicI64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    buckets: [Bucket; BUCKETS],
    /// Failures in a row, and when the last call ended.
    row: u32,
    last_us: i64,
    openings: u32,
    /// When it last changed.
    stepped_us: i64,
    /// Which trial is under way: a claim that ends late must not end another's.
    trial: u64,
    /// Whether it was told that this opening is being tried.
    told: bool,
    /// Why it opened.
    why: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open,
    Trying,
}

#[derive(Debug, Default, Clone, Copy)]
struct Bucket {
    number: i64,
    calls: u32,
    failures: u32,
}

/// The right to be the one call that tries. When it is dropped without a verdict, another may.
#[derive(Debug)]
pub(crate) struct Claim {
    circuit: Arc<Circuit>,
    trial: u64,
}

/// How a call may pass.
#[derive(Debug)]
pub(crate) enum Pass {
    /// As any other.
    Free,
    /// As the one that tries; the step is there when it is the first to try since it opened.
    Trial(Claim, Option<BreakerStep>),
    /// Not before then.
    Not { until_us: i64 },
}

impl Circuit {
    /// A closed one.
    pub(crate) fn new(guarded: Guarded) -> Self {
        Self { guarded, open_us: AtomicI64::new(0), inner: Mutex::default() }
    }

    /// Until when no call passes, if none does; changes nothing.
    pub(crate) fn blocks(&self, now_us: i64) -> Option<i64> {
        let open_us = self.open_us.load(Ordering::Acquire);
        if open_us == 0 {
            return None;
        }
        if open_us > now_us {
            return Some(open_us);
        }
        (self.inner.lock().state == State::Trying).then_some(now_us + TRIAL_US)
    }

    /// Lets a call pass, or not. Of all that come when it is time to try, one passes.
    pub(crate) fn pass(self: &Arc<Self>, now_us: i64) -> Pass {
        if self.open_us.load(Ordering::Acquire) == 0 {
            return Pass::Free;
        }
        let mut inner = self.inner.lock();
        let open_us = self.open_us.load(Ordering::Acquire);
        match inner.state {
            State::Closed => Pass::Free,
            State::Open if open_us > now_us => Pass::Not { until_us: open_us },
            State::Trying => Pass::Not { until_us: now_us + TRIAL_US },
            State::Open => {
                inner.state = State::Trying;
                inner.trial += 1;
                let first = !std::mem::replace(&mut inner.told, true);
                let claim = Claim { circuit: self.clone(), trial: inner.trial };
                let step = first.then(|| {
                    inner.stepped_us = now_us;
                    self.step(BreakerState::HalfOpen, &inner, now_us, "one call tries")
                });
                Pass::Trial(claim, step)
            }
        }
    }

    /// Notes that a call was answered. What was answered while it is open began before.
    pub(crate) fn answered(&self, policy: &policy::Breaker, now_us: i64) -> Option<BreakerStep> {
        let mut inner = self.inner.lock();
        match inner.state {
            State::Closed => {
                inner.count(policy, now_us, false);
                None
            }
            State::Open => None,
            State::Trying => {
                inner.close(now_us);
                self.open_us.store(0, Ordering::Release);
                Some(self.step(BreakerState::Closed, &inner, now_us, "a call was answered"))
            }
        }
    }

    /// Notes that the provider was there, although it refused: a trial has succeeded with that,
    /// and apart from it this says nothing.
    pub(crate) fn reached(&self, policy: &policy::Breaker, now_us: i64) -> Option<BreakerStep> {
        if self.open_us.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.answered(policy, now_us)
    }

    /// Notes that a call failed, and opens when that was one too many: for at least as long as the
    /// provider `asked` for, within bounds.
    pub(crate) fn failed(
        &self,
        policy: &policy::Breaker,
        now_us: i64,
        why: &str,
        asked: Option<Duration>,
    ) -> Option<BreakerStep> {
        self.count_failure(policy, now_us, why, asked, |inner| inner.too_many(policy, now_us, why))
    }

    /// Notes a call that failed here and was answered elsewhere. That is no outage, so it takes fewer
    /// of them in a row to open.
    pub(crate) fn failed_alone(
        &self,
        policy: &policy::Breaker,
        now_us: i64,
        why: &str,
    ) -> Option<BreakerStep> {
        self.count_failure(policy, now_us, why, None, |inner| {
            let row = inner.row;
            (row >= ALONE_MAX.min(policy.failures_in_a_row)).then(|| {
                format!(
                    "{row} calls in a row failed here and were answered with another key, the last with {why}"
                )
            })
        })
    }

    /// Counts a failure and opens when the trial failed, or when `too_many` says in words why this
    /// was one too many.
    fn count_failure(
        &self,
        policy: &policy::Breaker,
        now_us: i64,
        why: &str,
        asked: Option<Duration>,
        too_many: impl FnOnce(&Inner) -> Option<String>,
    ) -> Option<BreakerStep> {
        if !policy.enabled {
            return None;
        }
        let mut inner = self.inner.lock();
        let words = match inner.state {
            State::Open => return None,
            State::Trying => format!("the call that tried failed as well ({why})"),
            State::Closed => {
                inner.count(policy, now_us, true);
                too_many(&inner)?
            }
        };
        Some(self.open(&mut inner, policy.open_for, asked, now_us, &words))
    }

    /// Whether the last call that ended was one that failed.
    pub(crate) fn fails(&self) -> bool {
        let inner = self.inner.lock();
        inner.row > 0 || inner.state != State::Closed
    }

    /// Whether one call tries now whether it may close.
    pub(crate) fn is_tried(&self) -> bool {
        self.open_us.load(Ordering::Acquire) != 0 && self.inner.lock().state == State::Trying
    }

    /// Opens it, whatever was counted; twice as long as the last time, within bounds.
    pub(crate) fn trip(&self, first: Duration, now_us: i64, words: &str) -> BreakerStep {
        self.open(&mut self.inner.lock(), first, None, now_us, words)
    }

    /// Keeps it open until then; longer where it is.
    pub(crate) fn hold(&self, until_us: i64, now_us: i64, words: &str) {
        let mut inner = self.inner.lock();
        let until_us = until_us.max(self.open_us.load(Ordering::Acquire));
        inner.state = State::Open;
        inner.told = false;
        inner.stepped_us = now_us;
        words.clone_into(&mut inner.why);
        self.open_us.store(until_us, Ordering::Release);
    }

    /// Whether no call passes, not even one that tries.
    pub(crate) fn is_open(&self, now_us: i64) -> bool {
        self.open_us.load(Ordering::Acquire) > now_us
    }

    /// Closes it, whatever was counted.
    pub(crate) fn close(&self, now_us: i64, words: &str) -> BreakerStep {
        let mut inner = self.inner.lock();
        inner.close(now_us);
        self.open_us.store(0, Ordering::Release);
        self.step(BreakerState::Closed, &inner, now_us, words)
    }

    /// Why it opened last.
    pub(crate) fn why(&self) -> String {
        self.inner.lock().why.clone()
    }

    fn open(
        &self,
        inner: &mut Inner,
        first: Duration,
        asked: Option<Duration>,
        now_us: i64,
        words: &str,
    ) -> BreakerStep {
        if inner.state == State::Closed && now_us - inner.stepped_us > FORGETS_US {
            inner.openings = 0;
        }
        inner.openings = inner.openings.saturating_add(1);
        let first = micros(first);
        let longer = first.saturating_mul(1 << (inner.openings - 1).min(16));
        let longer = longer.min(OPEN_MAX_US.max(first));
        let until_us = now_us + longer.max(asked.map_or(0, micros).min(OPEN_MAX_US));
        inner.state = State::Open;
        inner.told = false;
        inner.stepped_us = now_us;
        words.clone_into(&mut inner.why);
        self.open_us.store(until_us, Ordering::Release);
        self.step(BreakerState::Open(moment(until_us)), inner, now_us, words)
    }

    /// How it stands.
    pub(crate) fn state(&self) -> BreakerState {
        let inner = self.inner.lock();
        match inner.state {
            State::Closed => BreakerState::Closed,
            State::Open => BreakerState::Open(moment(self.open_us.load(Ordering::Acquire))),
            State::Trying => BreakerState::HalfOpen,
        }
    }

    /// Whether nothing would be lost if it were forgotten.
    pub(crate) fn is_quiet(&self, now_us: i64) -> bool {
        let inner = self.inner.lock();
        inner.state == State::Closed && now_us - inner.last_us.max(inner.stepped_us) > FORGETS_US
    }

    /// Takes over what was kept, or what another instance did, unless it is older than what is
    /// known here. What was half open is tried anew.
    pub(crate) fn restore(&self, step: &BreakerStep) {
        let mut inner = self.inner.lock();
        let at_us = step.at.timestamp_micros();
        if at_us <= inner.stepped_us {
            return;
        }
        let open_us = match step.state {
            BreakerState::Closed => 0,
            BreakerState::Open(until) => until.timestamp_micros().max(1),
            BreakerState::HalfOpen if inner.state != State::Closed => return,
            BreakerState::HalfOpen => at_us.max(1),
        };
        inner.close(at_us);
        inner.openings = step.openings;
        inner.why.clone_from(&step.words);
        if open_us != 0 {
            inner.state = State::Open;
        }
        inner.told = step.state == BreakerState::HalfOpen;
        self.open_us.store(open_us, Ordering::Release);
    }

    fn step(&self, state: BreakerState, inner: &Inner, now_us: i64, words: &str) -> BreakerStep {
        BreakerStep {
            guarded: self.guarded.clone(),
            state,
            openings: inner.openings,
            at: moment(now_us),
            words: words.to_owned(),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut inner = self.circuit.inner.lock();
        if inner.state == State::Trying && inner.trial == self.trial {
            inner.state = State::Open;
        }
    }
}

impl Inner {
    fn close(&mut self, now_us: i64) {
        self.state = State::Closed;
        self.buckets = Default::default();
        self.row = 0;
        self.stepped_us = now_us;
    }

    fn count(&mut self, policy: &policy::Breaker, now_us: i64, failed: bool) {
        let number = now_us / width(policy.window);
        let bucket = &mut self.buckets[number.rem_euclid(BUCKETS as i64) as usize];
        if bucket.number != number {
            *bucket = Bucket { number, calls: 0, failures: 0 };
        }
        bucket.calls = bucket.calls.saturating_add(1);
        bucket.failures = bucket.failures.saturating_add(u32::from(failed));
        // A row that was not gone on with for a whole window is over.
        if now_us - self.last_us > micros(policy.window) {
            self.row = 0;
        }
        self.row = if failed { self.row.saturating_add(1) } else { 0 };
        self.last_us = now_us;
    }

    fn too_many(&self, policy: &policy::Breaker, now_us: i64, why: &str) -> Option<String> {
        if self.row >= policy.failures_in_a_row {
            return Some(format!("{} calls in a row failed, the last with {why}", self.row));
        }
        let newest = now_us / width(policy.window);
        let within = |bucket: &&Bucket| {
            bucket.calls > 0 && newest - bucket.number < BUCKETS as i64 && bucket.number <= newest
        };
        let (mut calls, mut failures) = (0_u64, 0_u64);
        for bucket in self.buckets.iter().filter(within) {
            calls += u64::from(bucket.calls);
            failures += u64::from(bucket.failures);
        }
        let enough = calls >= u64::from(policy.min_calls);
        (enough && failures * 100 >= calls * u64::from(policy.failure_percent))
            .then(|| format!("{failures} of the last {calls} calls failed, the last with {why}"))
    }
}

fn width(window: Duration) -> i64 {
    (micros(window) / BUCKETS as i64).max(1)
}

#[cfg(test)]
mod tests;
