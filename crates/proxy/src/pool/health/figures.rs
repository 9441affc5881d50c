//! How fast and how often something answers: moving figures, each of which a call reads and writes
//! without waiting for another.

use std::{
    sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// After so long a peak of the latency counts for a third (1/e).
const DECAY_US: f64 = 10_000_000.0;
/// A call counts for so much of the success rate: about the last thirty of them decide.
const SUCCESS_SHARE: i64 = 32;
/// What the success rate is counted in; one more than that is none yet.
const WHOLE: i64 = 1 << 20;

/// How fast and how often something answers.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// The moving peak of the time to the first byte, in microseconds, as the bits of a float; zero
    /// before the first.
    peak: AtomicU64,
    at_us: AtomicI64,
    /// Failures of `WHOLE`.
    failing: AtomicI64,
    calls: AtomicU32,
}

impl Figures {
    /// A call was answered, its first byte came after `latency`.
    pub(crate) fn answered(&self, latency: Duration, now_us: i64) {
        self.ended(false);
        let sample = latency.as_micros() as f64;
        let before = f64::from_bits(self.peak.load(Ordering::Relaxed));
        let weight = self.weight(now_us);
        // A peak is believed at once and forgotten slowly (peak EWMA, as Finagle has it).
        let now = match before * weight {
            faded if sample >= faded => sample,
            faded => faded + sample * (1.0 - weight),
        };
        self.peak.store(now.to_bits(), Ordering::Relaxed);
        self.at_us.store(now_us, Ordering::Relaxed);
    }

    /// A call failed.
    pub(crate) fn failed(&self) {
        self.ended(true);
    }

    fn ended(&self, failed: bool) {
        let before = self.failing.load(Ordering::Relaxed);
        let calls = i64::from(self.calls.fetch_add(1, Ordering::Relaxed)) + 1;
        let target = if failed { WHOLE } else { 0 };
        let after = before + (target - before) / calls.min(SUCCESS_SHARE);
        self.failing.store(after, Ordering::Relaxed);
        if calls == i64::from(u32::MAX) {
            self.calls.store(SUCCESS_SHARE as u32, Ordering::Relaxed);
        }
    }

    /// The moving peak of the time to the first byte; none before the first.
    pub(crate) fn latency(&self, now_us: i64) -> Option<Duration> {
        let peak = f64::from_bits(self.peak.load(Ordering::Relaxed));
        (peak > 0.0).then(|| Duration::from_micros((peak * self.weight(now_us)) as u64))
    }

    /// Of the last calls, how many of a thousand were answered; none before the first.
    pub(crate) fn success_permille(&self) -> Option<u32> {
        let failing = self.failing.load(Ordering::Relaxed).clamp(0, WHOLE);
        let called = self.calls.load(Ordering::Relaxed) > 0;
        called.then_some(((WHOLE - failing) * 1000 / WHOLE) as u32)
    }

    /// Whether a call was ever answered.
    pub(crate) fn ever_answered(&self) -> bool {
        self.at_us.load(Ordering::Relaxed) != 0
    }

    fn weight(&self, now_us: i64) -> f64 {
        let passed = (now_us - self.at_us.load(Ordering::Relaxed)).max(0);
        (-(passed as f64) / DECAY_US).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_believed_at_once_and_forgotten_slowly() {
        let (figures, t0) = (Figures::default(), 1_000_000_000);
        assert_eq!(figures.latency(t0), None);
        figures.answered(Duration::from_millis(100), t0);
        figures.answered(Duration::from_millis(900), t0);
        figures.answered(Duration::from_millis(100), t0);
        assert_eq!(figures.latency(t0), Some(Duration::from_millis(900)));
        let later = figures.latency(t0 + 10_000_000).unwrap();
        assert!((330..333).contains(&later.as_millis()), "{later:?}");
        figures.answered(Duration::from_millis(100), t0 + 10_000_000);
        let mixed = figures.latency(t0 + 10_000_000).unwrap();
        assert!(
            (390..400).contains(&mixed.as_millis()),
            "a third of 900 and two of 100: {mixed:?}"
        );
    }

    #[test]
    fn the_success_rate_is_that_of_the_last_calls() {
        let figures = Figures::default();
        assert_eq!(figures.success_permille(), None);
        for _ in 0..5 {
            figures.answered(Duration::from_millis(1), 1);
            figures.failed();
        }
        assert_eq!(figures.success_permille(), Some(500));
        for _ in 0..400 {
            figures.answered(Duration::from_millis(1), 1);
        }
        assert!(figures.success_permille().unwrap() > 990);
    }
}
