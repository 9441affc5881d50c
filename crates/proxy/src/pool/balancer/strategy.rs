//! How one of several is chosen: keys of a pool, targets of a route. One trait; each strategy is
//! one file.

mod best_health;
mod choose;
mod consistent_hash;
mod least_latency;
mod random;
mod remaining_quota;
mod round_robin;
mod weighted;

use domain::Strategy;

pub(crate) use self::choose::{Candidate, Choose, Field, Wish};

/// The strategy of this name.
pub(crate) fn of(strategy: Strategy) -> Box<dyn Choose> {
    match strategy {
        Strategy::RoundRobin => Box::<round_robin::RoundRobin>::default(),
        Strategy::Weighted => Box::<weighted::Weighted>::default(),
        Strategy::Random => Box::new(random::Random),
        Strategy::RemainingQuota => Box::new(remaining_quota::RemainingQuota),
        Strategy::ConsistentHash => Box::<consistent_hash::ConsistentHash>::default(),
        Strategy::LeastLatency => Box::new(least_latency::LeastLatency),
        Strategy::BestHealth => Box::new(best_health::BestHealth),
    }
}

#[cfg(test)]
pub(crate) mod tests;
