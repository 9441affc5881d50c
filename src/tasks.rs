//! The tasks: they bring configuration changes to the data plane, store log entries, recorded
//! bodies and events, and run scheduled jobs. One service with one runtime holds them all.

pub(crate) mod drain_journal;
pub(crate) mod keep_events;
pub(crate) mod keep_refused_keys;
pub(crate) mod record_bodies;
pub(crate) mod refresh;
pub(crate) mod scheduler;

use std::{fmt::Display, time::Duration};

/// The back-off for a resource that is unavailable: it grows from a tenth of a second to five
/// seconds, and only the beginning and the end of the outage are logged.
#[derive(Debug)]
pub(crate) struct Backoff {
    what: &'static str,
    pause: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    fn new(what: &'static str) -> Self {
        Self { what, pause: Duration::ZERO }
    }

    /// Notes a failure; returns the pause.
    fn failed(&mut self, error: &impl Display) -> Duration {
        if self.pause.is_zero() {
            tracing::error!(%error, "{}", self.what);
        }
        self.pause = (self.pause * 2).clamp(Self::FIRST, Self::LONGEST);
        self.pause
    }

    /// Notes a success.
    fn worked(&mut self, again: &'static str) {
        if !self.pause.is_zero() {
            tracing::info!("{again}");
        }
        self.pause = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_to_a_bound_and_starts_anew() {
        let mut backoff = Backoff::new("away");
        let pauses: Vec<_> = (0..9).map(|_| backoff.failed(&"why").as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        backoff.worked("back");
        assert_eq!(backoff.failed(&"why").as_millis(), 100);
    }
}
