//! How one of several is chosen: keys of a pool, targets of a route. One trait; each strategy is
//! one file.

mod best_health;
mod consistent_hash;
mod least_latency;
mod random;
mod remaining_quota;
mod round_robin;
mod weighted;

use std::{fmt::Debug, time::Duration};

use domain::Strategy;

/// What can be chosen now, each by its index; what rests is not there.
pub(crate) trait Field {
    /// How many there are.
    fn len(&self) -> usize;
    /// One of them, by its place among them.
    fn at(&self, place: usize) -> u32;
    /// Whether this one is among them.
    fn has(&self, index: u32) -> bool;
    /// How this one fares.
    fn candidate(&self, index: u32) -> Candidate;
    /// What this one is called, the same after every change of the configuration.
    fn id(&self, index: u32) -> u64;
}

/// How one that can be chosen fares.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Candidate {
    /// Calls that it answers now.
    pub(crate) in_flight: u32,
    /// The moving peak of its time to the first byte; none before the first.
    pub(crate) latency: Option<Duration>,
    /// Of its last calls, how many of a thousand were answered; none before the first.
    pub(crate) success_permille: Option<u32>,
    /// How much of its quota is left, in a thousand parts.
    pub(crate) remaining_permille: u32,
}

/// For which call one is chosen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    /// What the calls that belong together with this one share.
    pub(crate) belongs: Option<u64>,
    /// How many were chosen for this call before and could not be used.
    pub(crate) round: usize,
}

/// A way to choose. It is told what may be chosen, and may remember what it chose.
pub(crate) trait Choose: Debug + Send {
    /// This one may be chosen from now on; it has so much weight.
    fn join(&mut self, _index: u32, _weight: u32) {}
    /// This one may not be chosen for now.
    fn leave(&mut self, _index: u32) {}
    /// The next one; none where nothing can be chosen.
    fn next(&mut self, field: &dyn Field, wish: &Wish) -> Option<u32>;
    /// The same, to see what would be chosen.
    fn fork(&self) -> Box<dyn Choose>;
}

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

/// As many as are looked at where looking at all would take too long.
const LOOK: usize = 64;

/// All of a field, or so many of them drawn at random.
fn some(field: &dyn Field) -> impl Iterator<Item = u32> + '_ {
    let len = field.len();
    let first = if len > 0 { rand::random_range(0..len) } else { 0 };
    (0..len.min(LOOK)).map(move |i| match len {
        ..=LOOK => field.at((first + i) % len),
        _ => field.at(rand::random_range(0..len)),
    })
}

#[cfg(test)]
pub(crate) mod tests;
