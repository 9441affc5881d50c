//! What runs beside the planes: bringing changes to the data plane, log entries, recorded bodies and
//! what happens to keys to the database, and tasks that run by the clock. One service with one
//! runtime holds them all.

pub(crate) mod drain_journal;
pub(crate) mod keep_events;
pub(crate) mod keep_refused_keys;
pub(crate) mod record_bodies;
pub(crate) mod refresh;
pub(crate) mod scheduler;

use std::{fmt::Display, time::Duration};

/// Patience with something that is away: grows from a tenth of a second to five, and says so when
/// it goes and when it is back, not each time in between.
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

    /// Notes a failure and says how long to wait.
    fn failed(&mut self, error: &impl Display) -> Duration {
        if self.pause.is_zero() {
            tracing::error!(%error, "{}", self.what);
        }
        self.pause = (self.pause * 2).clamp(Self::FIRST, Self::LONGEST);
        self.pause
    }

    /// Notes that it worked.
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
