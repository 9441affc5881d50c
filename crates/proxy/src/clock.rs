//! The clock by which keys rest, limits are counted and quotas are reset. It never goes back: a
//! period that has ended stays ended. Tests put it forward.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

/// A clock that is set once and runs by itself.
#[derive(Debug)]
pub struct Clock {
    set_us: i64,
    set_at: Instant,
    /// How far it was put forward since, in microseconds.
    forward_us: AtomicI64,
}

impl Clock {
    /// A clock that shows what the system's does.
    pub fn system() -> Self {
        Self::showing(Utc::now())
    }

    /// A clock that shows `now`.
    pub fn showing(now: DateTime<Utc>) -> Self {
        let set_us = now.timestamp_micros();
        Self { set_us, set_at: Instant::now(), forward_us: AtomicI64::new(0) }
    }

    /// What it shows.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.now_us()).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// What it shows, in microseconds since 1970.
    pub fn now_us(&self) -> i64 {
        let ran = self.set_at.elapsed().as_micros() as i64;
        self.set_us + ran + self.forward_us.load(Ordering::Relaxed)
    }

    /// Puts it forward.
    pub fn forward(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX / 4);
        self.forward_us.fetch_add(by, Ordering::Relaxed);
    }

    /// Puts it forward to what the system's clock shows, where that is ahead.
    pub fn follow(&self) {
        let ahead = Utc::now().timestamp_micros() - self.now_us();
        if ahead > 0 {
            self.forward_us.fetch_add(ahead, Ordering::Relaxed);
        }
    }
}

/// The moment at so many microseconds since 1970.
pub(crate) fn moment(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// So many microseconds.
pub(crate) fn micros(length: Duration) -> i64 {
    // A quarter leaves room to add it to any moment.
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward_and_never_back() {
        let clock = Clock::showing(Utc::now() + Duration::from_secs(3600));
        let before = clock.now();
        clock.follow();
        assert!(clock.now() >= before, "the system's clock is behind");
        clock.forward(Duration::from_secs(60));
        assert!(clock.now() >= before + Duration::from_secs(60));
        let behind = Clock::showing(DateTime::UNIX_EPOCH);
        behind.follow();
        assert!(Utc::now() - behind.now() < chrono::TimeDelta::seconds(60));
    }
}
