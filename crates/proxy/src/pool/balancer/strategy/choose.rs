//! What every strategy is: a way to choose one of those that can be chosen now.

use std::{fmt::Debug, time::Duration};

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

/// As many as are looked at where looking at all would take too long.
const LOOK: usize = 64;

/// All of a field, or so many of them drawn at random.
pub(super) fn some(field: &dyn Field) -> impl Iterator<Item = u32> + '_ {
    let len = field.len();
    let first = if len > 0 { rand::random_range(0..len) } else { 0 };
    (0..len.min(LOOK)).map(move |i| match len {
        ..=LOOK => field.at((first + i) % len),
        _ => field.at(rand::random_range(0..len)),
    })
}
