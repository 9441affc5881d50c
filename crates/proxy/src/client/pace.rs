//! Whether a request body that is kept in memory comes fast enough: the least rate holds over any
//! window, so that neither a fast beginning nor a byte now and then buys time for a slow rest.

use std::time::{Duration, Instant};

use crate::settings::Limits;

/// A window is looked at in so many parts.
const PARTS: usize = 6;

/// The pace of one body.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    part: Duration,
    /// Fewest bytes of a whole window.
    least: u64,
    /// What came in the latest parts, by their number modulo [`PARTS`].
    came: [u64; PARTS],
    /// The number of the part that is under way.
    now: u64,
    /// How many bytes were there when it was last told.
    here: u64,
}

impl Pace {
    /// The pace of a body that begins at `began`, of which `here` bytes came before.
    pub(crate) fn new(limits: &Limits, began: Instant, here: u64) -> Self {
        let least = limits.body_rate_window.as_millis() * u128::from(limits.body_rate) / 1000;
        Self {
            began,
            part: (limits.body_rate_window / PARTS as u32).max(Duration::from_millis(1)),
            least: u64::try_from(least).unwrap_or(u64::MAX),
            came: [0; PARTS],
            now: 0,
            here,
        }
    }

    /// Notes that `here` bytes in all are there at `now`; false where too few came in the last
    /// whole window.
    pub(crate) fn holds(&mut self, here: u64, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.began);
        let part = (elapsed.as_nanos() / self.part.as_nanos()) as u64;
        let mut enough = true;
        if part > self.now {
            // Parts in which nothing came are emptied; those before the current one are whole.
            for empty in (self.now + 1..part).take(PARTS) {
                self.came[empty as usize % PARTS] = 0;
            }
            enough = part < PARTS as u64 || self.came.iter().sum::<u64>() >= self.least;
            self.came[part as usize % PARTS] = 0;
            self.now = part;
        }
        self.came[part as usize % PARTS] += here.saturating_sub(self.here);
        self.here = here;
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a body is accepted of which so many bytes came at these seconds.
    fn accepted(arrivals: &[(u64, u64)]) -> bool {
        let (began, limits) = (Instant::now(), Limits::default());
        let mut pace = Pace::new(&limits, began, 0);
        let mut here = 0;
        arrivals.iter().all(|(second, bytes)| {
            here += bytes;
            pace.holds(here, began + Duration::from_secs(*second))
        })
    }

    #[test]
    fn the_least_rate_holds_over_any_window() {
        let every = |seconds: u64, bytes: u64, until: u64| -> Vec<(u64, u64)> {
            (1..=until / seconds).map(|n| (n * seconds, bytes)).collect()
        };
        assert!(accepted(&every(1, 1100, 600)));
        assert!(accepted(&every(3, 1, 27)), "it may just have begun");
        assert!(!accepted(&every(3, 1, 31)), "a byte now and then");
        assert!(!accepted(&every(29, 1, 90)), "hardly ever a byte");
        assert!(!accepted(&every(1, 900, 60)), "a little too slow");
        let burst = [vec![(0, 10 << 20)], every(3, 1, 66)].concat();
        assert!(!accepted(&burst), "a fast beginning buys no time");
        assert!(accepted(&[(1, 1), (20, 40 << 10), (31, 1), (48, 1)]), "the window still holds it");
    }
}
