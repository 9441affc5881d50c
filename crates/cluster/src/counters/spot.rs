//! Where in Redis something is counted.

use super::count::{self, SLICES};
use super::period::{Period, Told};
use super::{Ask, Measure};

/// Lua counts in doubles: what is more is not told apart.
const EXACT_MAX: u64 = 1 << 53;
/// How long the data of a period are kept after its end, and of one at least.
const AFTER_MS: i64 = 86_400_000;
/// How long those of one without an end are kept after the last use.
const TOTAL_MS: i64 = 400 * AFTER_MS;

/// Where in Redis an amount of a counter is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Spot {
    Period {
        start_us: i64,
        end_us: Option<i64>,
    },
    /// A part of a sliding window; which one is known when it is noted.
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
    /// Where what is asked for would be noted. A period that has ended is not opened again.
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

    /// The same at the slice that was noted.
    pub(super) fn at(self, noted: Option<i64>) -> Spot {
        match (self, noted) {
            (Spot::Slice { slice_us, .. }, Some(slice)) => Spot::Slice { slice_us, slice },
            (other, _) => other,
        }
    }

    /// The name of its data.
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

    /// How the scripts call its measure.
    pub(super) fn letter(&self) -> &'static str {
        match self {
            Spot::Period { .. } => "p",
            Spot::Slice { .. } => "s",
            Spot::Bucket { .. } => "b",
            Spot::AtOnce => "o",
        }
    }

    /// How long the data of a period are to be kept, in milliseconds.
    pub(super) fn life_ms(&self, now_us: i64) -> i64 {
        match self {
            Spot::Period { end_us: Some(end), .. } => {
                (end.saturating_sub(now_us) / 1000).max(0).saturating_add(AFTER_MS)
            }
            _ => TOTAL_MS,
        }
    }
}

/// What is told of the use of a period before: how much, and in which life of the data that was
/// heard; both are empty where nothing is known, and the life where the log told it.
pub(super) fn told(period: Option<&Period>) -> [String; 2] {
    match period.and_then(Period::known) {
        Some((known, Told::Redis(life))) => [exact(known).to_string(), life.to_string()],
        Some((known, _)) => [exact(known).to_string(), String::new()],
        None => <[String; 2]>::default(),
    }
}

/// A number as the scripts can count with it.
pub(super) fn exact(n: u64) -> u64 {
    n.min(EXACT_MAX)
}
