//! The circuit breaker of Redis: after some consecutive failures no call waits for it, until a
//! trial call succeeds.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Consecutive failures that open it.
const FAILURES: u32 = 3;
/// The time that it stays open before a trial call.
const REST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    try_at: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made at `now`. While it is open, single trial calls are let through.
    pub(crate) fn lets_through(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        match state.try_at {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                state.try_at = Some(now + REST);
                true
            }
        }
    }

    /// Notes a success; returns whether it closes the breaker.
    pub(crate) fn succeeded(&self) -> bool {
        let mut state = self.0.lock();
        state.failures = 0;
        state.try_at.take().is_some()
    }

    /// Notes a failure; returns whether it opens the breaker.
    pub(crate) fn failed(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return false;
        }
        state.try_at.replace(now + REST).is_none()
    }

    /// Whether it is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().try_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_the_first_success() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert_eq!([(); 2].map(|()| breaker.failed(now)), [false; 2]);
        assert!(!breaker.succeeded() && breaker.is_closed());
        assert_eq!([(); 4].map(|()| breaker.failed(now)), [false, false, true, false]);
        assert!(!breaker.is_closed());

        assert!(!breaker.lets_through(now));
        assert!(breaker.lets_through(now + REST));
        assert!(!breaker.lets_through(now + REST), "only one tries");

        assert!(breaker.succeeded() && breaker.is_closed());
        assert!(breaker.lets_through(now));
    }
}
