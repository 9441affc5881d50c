//! Quantiles of latencies from their classes: each a fifth of an octave of microseconds, so that a
//! quantile lies within a tenth of the exact one. Sets of classes are merged by adding their calls.

use crate::Latencies;

/// Classes of latency in an octave.
const CLASSES: f64 = 5.0;

/// The class of a latency in microseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "at most 320")]
pub(crate) fn class_of(latency_us: u64) -> i32 {
    ((Ord::max(latency_us, 1) as f64).log2() * CLASSES).floor() as i32
}

/// Between which latencies a class lies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 2 to the 64")]
fn class_bounds(class: i32) -> (u64, u64) {
    let bound = |class: i32| (f64::from(class) / CLASSES).exp2() as u64;
    (bound(class), bound(class + 1))
}

impl Latencies {
    /// How many calls there are.
    pub fn calls(&self) -> u64 {
        self.classes.iter().map(|(_, calls)| calls).sum()
    }

    /// The latency in microseconds that this percentage of calls does not exceed, within a tenth;
    /// `None` without calls.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let wanted = (u128::from(self.calls()) * u128::from(percent)).div_ceil(100);
        let mut before = 0;
        for (class, calls) in &self.classes {
            let calls = u128::from(*calls);
            if calls > 0 && before + calls >= wanted {
                let (low, high) = class_bounds(*class);
                let part = u128::from(high - low) * wanted.saturating_sub(before) / calls;
                return Some(low + u64::try_from(part).unwrap_or_default());
            }
            before += calls;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(latencies: &[u64]) -> Latencies {
        let mut classes = std::collections::BTreeMap::new();
        latencies.iter().for_each(|us| *classes.entry(class_of(*us)).or_insert(0) += 1);
        Latencies { at: None, values: Vec::new(), classes: classes.into_iter().collect() }
    }

    #[test]
    fn a_latency_lies_within_its_class() {
        for latency in [1, 2, 3, 999, 1000, 150_000, 1_234_567, 3_600_000_000] {
            let (low, high) = class_bounds(class_of(latency));
            assert!(low <= latency && latency <= high, "{low} {latency} {high}");
        }
    }

    #[test]
    fn a_percentile_lies_within_a_seventh_of_the_exact_one() {
        let mut state = 1_u64;
        let latencies: Vec<u64> = (0..10_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                1000 + (state >> 33) % 5_000_000
            })
            .collect();
        let mut sorted = latencies.clone();
        sorted.sort_unstable();
        for percent in [1, 50, 90, 95, 99, 100] {
            let exact = sorted[(sorted.len() * percent as usize).div_ceil(100) - 1];
            let found = of(&latencies).percentile(percent).unwrap();
            assert!(found.abs_diff(exact) * 7 <= exact, "{percent}: {found} for {exact}");
        }
        assert_eq!(of(&[]).percentile(50), None);
    }
}
