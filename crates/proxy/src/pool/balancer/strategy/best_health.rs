//! `best_health`: the one with the highest score of success, latency, calls in flight and quota left;
//! of all, or of so many drawn at random where there are many.

use super::choose::{Candidate, Choose, Field, Wish, some};

#[derive(Debug)]
pub(super) struct BestHealth;

/// success rate × 1/(1 + latency/1 s) × 1/(1 + calls in flight) × (0.5 + 0.5 × share of quota left).
/// What is not known yet is taken for good.
pub(super) fn score(one: &Candidate) -> f64 {
    let success = f64::from(one.success_permille.unwrap_or(1000)) / 1000.0;
    let latency = one.latency.map_or(0.0, |latency| latency.as_secs_f64());
    let left = f64::from(one.remaining_permille) / 1000.0;
    success / (1.0 + latency) / (1.0 + f64::from(one.in_flight)) * (0.5 + 0.5 * left)
}

impl Choose for BestHealth {
    fn next(&mut self, field: &dyn Field, _wish: &Wish) -> Option<u32> {
        let scored = some(field).map(|index| (index, score(&field.candidate(index))));
        scored.reduce(|best, one| if one.1 > best.1 { one } else { best }).map(|(index, _)| index)
    }

    fn fork(&self) -> Box<dyn Choose> {
        Box::new(BestHealth)
    }
}
