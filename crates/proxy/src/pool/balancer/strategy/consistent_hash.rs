//! `consistent_hash`: the same one for calls that belong together. Each stands at several points of
//! a ring, and a call goes to the next point after its own (Karger et al., 1997): where one comes
//! or goes, only the calls of that one move.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{
    choose::{Choose, Field, Wish},
    random::Random,
};

/// About so many points a ring has, but for each at least one and at most `POINTS_MAX`.
const POINTS: usize = 40_000;
const POINTS_MAX: usize = 160;
/// So many points are looked at before any other one is taken.
const STEPS_MAX: usize = 4096;

#[derive(Debug, Clone, Default)]
pub(super) struct ConsistentHash {
    members: Vec<u32>,
    known: Vec<bool>,
    /// Sorted; empty while it is to be made anew.
    ring: Vec<(u64, u32)>,
}

impl ConsistentHash {
    fn points(&mut self, field: &dyn Field) -> &[(u64, u32)] {
        if self.ring.is_empty() {
            let each = (POINTS / self.members.len().max(1)).clamp(1, POINTS_MAX);
            let points = self.members.iter().flat_map(|index| {
                let id = field.id(*index);
                (0..each).map(move |n| (point(&(id, n)), *index))
            });
            self.ring = points.collect();
            self.ring.sort_unstable();
        }
        &self.ring
    }
}

impl Choose for ConsistentHash {
    fn join(&mut self, index: u32, _weight: u32) {
        let place = index as usize;
        if self.known.len() <= place {
            self.known.resize(place + 1, false);
        }
        // One that left keeps its points: its calls come back when it does.
        if !std::mem::replace(&mut self.known[place], true) {
            self.members.push(index);
            self.ring.clear();
        }
    }

    fn next(&mut self, field: &dyn Field, wish: &Wish) -> Option<u32> {
        let Some(belongs) = wish.belongs else { return Random.next(field, wish) };
        let ring = self.points(field);
        let first = ring.partition_point(|(at, _)| *at < point(&belongs));
        let after = ring[first..].iter().chain(&ring[..first]).take(STEPS_MAX);
        let mut met: Vec<u32> = Vec::new();
        for (_, index) in after {
            if !field.has(*index) || met.contains(index) {
                continue;
            }
            if met.len() == wish.round {
                return Some(*index);
            }
            met.push(*index);
        }
        Random.next(field, wish)
    }

    fn fork(&self) -> Box<dyn Choose> {
        Box::new(self.clone())
    }
}

fn point(of: &impl Hash) -> u64 {
    // The same on every instance and after every start: its keys are fixed.
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
