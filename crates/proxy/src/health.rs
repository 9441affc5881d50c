//! How each provider key fares: whether it rests, until when and why. The state lives as long as
//! the process and outlives every snapshot; what a person decided about a key is configuration.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::live::Rest;
use parking_lot::Mutex;

/// What a provider held against a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It asked too often.
    RateLimited,
    /// It is not accepted.
    Auth,
}

impl Fault {
    /// The name in log entries and the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Fault::RateLimited => "rate_limited",
            Fault::Auth => "auth",
        }
    }

    /// How long a key rests when the provider did not say, after so many faults in a row.
    fn rest(self, strikes: u32) -> Duration {
        let (first, longest) = match self {
            Fault::RateLimited => (Duration::from_secs(2), Duration::from_secs(60)),
            Fault::Auth => (Duration::from_secs(60), Duration::from_secs(3600)),
        };
        first.saturating_mul(1 << strikes.saturating_sub(1).min(16)).min(longest)
    }
}

/// However soon a provider may be asked again: the same call goes on with another key.
const SHORTEST_REST: Duration = Duration::from_millis(100);
/// A provider that names a longer rest is not believed: the key is tried again after this.
const LONGEST_REST: Duration = Duration::from_secs(24 * 3600);

/// How one key fares.
#[derive(Debug, Default)]
pub(crate) struct KeyHealth(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Faults in a row.
    strikes: u32,
    rest: Option<(Instant, DateTime<Utc>, Fault)>,
}

impl KeyHealth {
    /// Lets the key rest from `now` on, for as long as the provider said.
    pub(crate) fn rest(&self, now: Instant, fault: Fault, asked: Option<Duration>) {
        let mut state = self.0.lock();
        state.strikes = state.strikes.saturating_add(1);
        let rest = asked.unwrap_or_else(|| fault.rest(state.strikes));
        let rest = rest.clamp(SHORTEST_REST, LONGEST_REST);
        let until = now + rest;
        // A call that began before the key was rested may come back later with a shorter word.
        if state.rest.is_none_or(|(already, ..)| already < until) {
            state.rest = Some((until, Utc::now() + rest, fault));
        }
    }

    /// Notes that the key was accepted.
    pub(crate) fn accepted(&self) {
        self.0.lock().strikes = 0;
    }

    /// Until when the key rests, if it does at `now`.
    pub(crate) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.0.lock().rest.map(|(until, ..)| until).filter(|until| *until > now)
    }

    /// The same for people.
    pub(crate) fn described(&self, now: Instant) -> Option<Rest> {
        let (end, until, fault) = self.0.lock().rest?;
        (end > now).then_some(Rest { until, reason: fault.as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_grows_with_every_fault_in_a_row_and_an_accepted_call_ends_the_row() {
        let (health, now) = (KeyHealth::default(), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..8 {
            health.rest(now, Fault::RateLimited, None);
            rests.push(health.rests_until(now).map(|until| (until - now).as_secs()));
        }
        assert_eq!(rests, [2, 4, 8, 16, 32, 60, 60, 60].map(Some));
        health.accepted();
        health.rest(now + Duration::from_secs(120), Fault::RateLimited, None);
        let until = health.rests_until(now + Duration::from_secs(121));
        assert_eq!(until, Some(now + Duration::from_secs(122)));
    }

    #[test]
    fn the_provider_decides_how_long_but_not_for_ever() {
        let (health, now) = (KeyHealth::default(), Instant::now());
        health.rest(now, Fault::RateLimited, Some(Duration::from_secs(7)));
        assert_eq!(health.rests_until(now), Some(now + Duration::from_secs(7)));
        health.rest(now, Fault::RateLimited, Some(Duration::MAX));
        assert_eq!(health.rests_until(now), Some(now + LONGEST_REST));
        assert_eq!(health.described(now).map(|rest| rest.reason), Some("rate_limited"));
        assert_eq!(health.described(now + LONGEST_REST), None);
    }
}
