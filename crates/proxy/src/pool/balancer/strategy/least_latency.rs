//! `least_latency`: of two at random the one with the lower peak of the time to the first byte,
//! times the calls it will have (peak EWMA and the power of two choices: Mitzenmacher, 2001).

use super::choose::{Candidate, Choose, Field, Wish};

/// What is not known and is being tried costs more than anything known.
const BEING_TRIED: u128 = 1 << 64;

#[derive(Debug)]
pub(super) struct LeastLatency;

fn cost(one: &Candidate) -> u128 {
    match (one.latency, one.in_flight) {
        (Some(latency), calls) => latency.as_micros() * (u128::from(calls) + 1),
        (None, 0) => 0,
        (None, calls) => BEING_TRIED + u128::from(calls),
    }
}

impl Choose for LeastLatency {
    fn next(&mut self, field: &dyn Field, _wish: &Wish) -> Option<u32> {
        let len = field.len();
        if len < 2 {
            return (len == 1).then(|| field.at(0));
        }
        let first = rand::random_range(0..len);
        let other = (first + rand::random_range(1..len)) % len;
        let (first, other) = (field.at(first), field.at(other));
        let dearer = cost(&field.candidate(first)) > cost(&field.candidate(other));
        Some(if dearer { other } else { first })
    }

    fn fork(&self) -> Box<dyn Choose> {
        Box::new(LeastLatency)
    }
}
