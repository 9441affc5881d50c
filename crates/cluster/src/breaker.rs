//! The circuit breaker before Redis: after some failures in a row nobody waits for it, until one
//! call tries again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// So many failures in a row open it.
const FAILURES: u32 = 3;
/// So long it stays open before one call may try.
const REST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    try_at: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made `now`. While it is open one call is let through now and then.
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

    /// A call succeeded. True when the breaker closes with it.
    pub(crate) fn succeeded(&self) -> bool {
        let mut state = self.0.lock();
        state.failures = 0;
        state.try_at.take().is_some()
    }

    /// A call failed. True when the breaker opens with it.
    pub(crate) fn failed(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return false;
        }
        state.try_at.replace(now + REST).is_none()
    }

    /// Whether calls are made as usual.
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
