//! Places of counts in Redis.

use super::count::{self, SLICES};
use super::period::{Period, Told};
use super::{Ask, Measure};

/// Lua numbers are doubles: larger integers are not exact.
const EXACT_MAX: u64 = 1 << 53;
/// The time that data of a period are kept after its end, and at least, in milliseconds.
const AFTER_MS: i64 = 86_400_000;
/// The time that data of a period without end are kept after the last use, in milliseconds.
const TOTAL_MS: i64 = 400 * AFTER_MS;

/// The place in Redis of an amount of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Spot {
    Period {
        start_us: i64,
        end_us: Option<i64>,
    },
    /// A part of a sliding window; the part is known when it is noted.
    Slice {
        slice_us: i64,
        slice: i64,
    },
    Bucket {
        window_us: i64,
    },
    AtOnce,
}

impl Spot {
    /// Returns the place for an ask. An ended period is not reopened.
    pub(super) fn of(ask: &Ask, period: Option<&Period>) -> Spot {
        match ask.measure {
            Measure::Bucket { window, .. } => {
                let window_us = i64::try_from(count::window_us(window)).unwrap_or(i64::MAX);
                Spot::Bucket { window_us }
            }
            Measure::Sliding { window } => {
                Spot::Slice { slice_us: count::slice_us(window), slice: 0 }
            }
            Measure::AtOnce => Spot::AtOnce,
            Measure::Period { start_us, end_us } => match period {
                Some(own) => Spot::Period { start_us: own.start_us, end_us: own.end_us },
                None => Spot::Period { start_us, end_us },
            },
        }
    }

    /// Returns the place with the slice that was noted.
    pub(super) fn at(self, noted: Option<i64>) -> Spot {
        match (self, noted) {
            (Spot::Slice { slice_us, .. }, Some(slice)) => Spot::Slice { slice_us, slice },
            (other, _) => other,
        }
    }

    /// Returns the name of the data.
    pub(super) fn name(&self, prefix: &str, counter: &str) -> String {
        match self {
            Spot::Period { start_us, .. } => format!("{prefix}:count:{counter}:from:{start_us}"),
            Spot::Slice { slice_us, .. } => {
                format!("{prefix}:count:{counter}:last:{SLICES}x{slice_us}")
            }
            Spot::Bucket { window_us } => format!("{prefix}:count:{counter}:bucket:{window_us}"),
            Spot::AtOnce => format!("{prefix}:count:{counter}:at_once"),
        }
    }

    /// Returns the letter of the measure in the scripts.
    pub(super) fn letter(&self) -> &'static str {
        match self {
            Spot::Period { .. } => "p",
            Spot::Slice { .. } => "s",
            Spot::Bucket { .. } => "b",
            Spot::AtOnce => "o",
        }
    }

    /// Returns the time that data of a period are kept, in milliseconds.
    pub(super) fn life_ms(&self, now_us: i64) -> i64 {
        match self {
            Spot::Period { end_us: Some(end), .. } => {
                (end.saturating_sub(now_us) / 1000).max(0).saturating_add(AFTER_MS)
            }
            _ => TOTAL_MS,
        }
    }
}

/// Returns the earlier use of a period and the life of the data from which it is known; both empty
/// if it is unknown, the life empty if it is from the log.
pub(super) fn told(period: Option<&Period>) -> [String; 2] {
    match period.and_then(Period::known) {
        Some((known, Told::Redis(life))) => [exact(known).to_string(), life.to_string()],
        Some((known, _)) => [exact(known).to_string(), String::new()],
        None => <[String; 2]>::default(),
    }
}

/// Caps a number at what the scripts can represent.
pub(super) fn exact(n: u64) -> u64 {
    n.min(EXACT_MAX)
}
