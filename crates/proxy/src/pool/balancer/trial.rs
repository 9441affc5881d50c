//! When a key is tried although its provider said that it rests: a reset that is far away may not be
//! true any more, and a pool of which every key rests would wait for it, for days. One call at a
//! time tries one key; when it is answered, the others are tried one after the other.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use crate::clock::micros;

/// Most keys that are looked at for one that may be tried.
pub(super) const LOOKED_AT_MAX: usize = 4096;
/// Where a provider's word was not true of one key, the next one is tried after this.
const NEXT_US: i64 = 1_000_000;
/// Where no key may be tried yet, it is looked again after this share of the interval.
const AGAIN_SHARE: i64 = 10;

/// When the next resting key of a pool may be tried.
#[derive(Debug)]
pub(super) struct Trials {
    /// How long a key rests before it is tried, and how long it is between two trials; zero where
    /// none is.
    every_us: i64,
    next_us: AtomicI64,
    /// A key that rested was tried and answered: the others may be as well.
    doubts: AtomicBool,
    /// Behind the key that was looked at last.
    from: AtomicU32,
}

impl Trials {
    pub(super) fn new(every: std::time::Duration) -> Self {
        Self {
            every_us: micros(every),
            next_us: AtomicI64::new(0),
            doubts: AtomicBool::new(false),
            from: AtomicU32::new(0),
        }
    }

    /// How long a key must have rested; none where none is tried.
    pub(super) fn after_us(&self) -> Option<i64> {
        (self.every_us > 0).then_some(self.every_us)
    }

    /// Whether a key may be tried at `now_us`.
    pub(super) fn is_due(&self, now_us: i64) -> bool {
        self.every_us > 0 && now_us >= self.next_us.load(Ordering::Relaxed)
    }

    /// Whether keys that rest are tried also while others are in use.
    pub(super) fn doubts(&self) -> bool {
        self.doubts.load(Ordering::Relaxed)
    }

    /// Takes the right to try a key: of calls at once one gets it.
    pub(super) fn claim(&self, now_us: i64) -> bool {
        let next_us = self.next_us.load(Ordering::Relaxed);
        let length = if self.doubts() { NEXT_US } else { self.every_us };
        let claimed = || {
            let (then, order) = (now_us.saturating_add(length), Ordering::Relaxed);
            self.next_us.compare_exchange(next_us, then, order, order).is_ok()
        };
        self.every_us > 0 && now_us >= next_us && claimed()
    }

    /// Where the look for a key to try begins.
    pub(super) fn from(&self) -> usize {
        self.from.load(Ordering::Relaxed) as usize
    }

    /// The next look begins here.
    pub(super) fn go_on_at(&self, index: usize) {
        self.from.store(index as u32, Ordering::Relaxed);
    }

    /// No key may be tried now.
    pub(super) fn none(&self, now_us: i64) {
        self.doubts.store(false, Ordering::Relaxed);
        self.next_us.store(now_us.saturating_add(self.every_us / AGAIN_SHARE), Ordering::Relaxed);
    }

    /// A key that was tried answered a call, or did not.
    pub(super) fn ended(&self, answered: bool, now_us: i64) {
        self.doubts.store(answered, Ordering::Relaxed);
        if answered {
            self.next_us.store(now_us, Ordering::Relaxed);
        }
    }
}
