//! The order in which targets of equal priority are asked: the strategy says which is first, and
//! which follow where that one fails.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use domain::{Strategy, policy::Sticky};
use parking_lot::Mutex;

use super::{
    stickiness::{Stickiness, within},
    strategy::{self, Candidate, Choose, Field, Wish},
};

/// A route has at most so many groups of targets; what is more is of an earlier configuration.
const GROUPS_MAX: usize = 64;

/// How a target of a route fares.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TargetState {
    /// What it is called, the same after every change of the configuration.
    pub(crate) id: u64,
    pub(crate) weight: u32,
    /// It rests, or none of its keys may be used.
    pub(crate) out: bool,
    pub(crate) candidate: Candidate,
}

/// Chooses among the targets of one route.
#[derive(Debug, Default)]
pub(crate) struct RouteChooser {
    groups: Mutex<HashMap<u64, Chosen>>,
    sticky: Mutex<Stickiness>,
}

/// A strategy, and what it remembers of one group of targets.
type Chosen = (Strategy, Box<dyn Choose>);

/// The targets of one priority that may be asked.
struct Group<'a> {
    states: &'a [TargetState],
    ready: Vec<u32>,
}

impl RouteChooser {
    /// The places of `states` in the order in which they are to be asked.
    pub(crate) fn order(
        &self,
        strategy: Strategy,
        sticky: Option<&Sticky>,
        states: &[TargetState],
        belongs: Option<u64>,
        now_us: i64,
    ) -> Vec<usize> {
        if states.len() < 2 {
            return (0..states.len()).collect();
        }
        let ready = (0..states.len() as u32).filter(|i| !states[*i as usize].out).collect();
        let group = Group { states, ready };
        let mut groups = self.groups.lock();
        let id = group.id();
        if groups.len() >= GROUPS_MAX && !groups.contains_key(&id) {
            groups.clear();
        }
        let known = groups.entry(id).or_insert_with(|| (strategy, strategy::of(strategy)));
        if known.0 != strategy {
            *known = (strategy, strategy::of(strategy));
        }
        let choose = &mut known.1;
        for (state, index) in states.iter().zip(0..) {
            if state.out { choose.leave(index) } else { choose.join(index, state.weight) }
        }
        let mut order = Vec::with_capacity(states.len());
        let belonging = belongs.zip(sticky);
        if let Some((belongs, sticky)) = belonging {
            order.extend(self.kept(&group, belongs, sticky, now_us));
        }
        if order.is_empty() {
            order.extend(choose.next(&group, &Wish { belongs, round: 0 }));
        }
        if let (Some((belongs, _)), Some(first)) = (belonging, order.first()) {
            let id = states[*first as usize].id;
            self.sticky.lock().keep(belongs, id, now_us);
        }
        let mut others = choose.fork();
        drop(groups);
        for round in 1..4 * states.len() {
            if order.len() == group.ready.len() {
                break;
            }
            let next = others.next(&group, &Wish { belongs, round });
            order.extend(next.filter(|next| !order.contains(next)));
        }
        let rest = (0..states.len() as u32).filter(|i| !order.contains(i));
        let mut rest: Vec<u32> = rest.collect();
        rest.sort_by_key(|i| states[*i as usize].out);
        order.into_iter().chain(rest).map(|i| i as usize).collect()
    }

    /// The target that answered the calls of this kind last, where it has room for one more.
    fn kept(&self, group: &Group<'_>, belongs: u64, sticky: &Sticky, now_us: i64) -> Option<u32> {
        let id = self.sticky.lock().of(belongs, sticky.ttl, now_us)?;
        let load = |i: &u32| group.states[*i as usize].candidate.in_flight;
        let kept = *group.ready.iter().find(|i| group.states[**i as usize].id == id)?;
        let total = group.ready.iter().map(|i| u64::from(load(i))).sum();
        let room = within(load(&kept), total, group.ready.len(), sticky.max_load_percent);
        room.then_some(kept)
    }
}

impl Group<'_> {
    fn id(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for state in self.states {
            (state.id, state.weight).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Field for Group<'_> {
    fn len(&self) -> usize {
        self.ready.len()
    }

    fn at(&self, place: usize) -> u32 {
        self.ready[place]
    }

    fn has(&self, index: u32) -> bool {
        self.ready.contains(&index)
    }

    fn candidate(&self, index: u32) -> Candidate {
        self.states[index as usize].candidate
    }

    fn id(&self, index: u32) -> u64 {
        self.states[index as usize].id
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn states(weights: &[u32]) -> Vec<TargetState> {
        let state = |(weight, id): (&u32, u64)| TargetState {
            id,
            weight: *weight,
            out: false,
            candidate: Candidate { remaining_permille: 1000, ..Candidate::default() },
        };
        weights.iter().zip(100..).map(state).collect()
    }

    #[test]
    fn all_targets_are_in_every_order_and_those_that_are_out_come_last() {
        let (chooser, mut states) = (RouteChooser::default(), states(&[1, 2, 3, 4]));
        states[1].out = true;
        for strategy in Strategy::ALL {
            for call in 0..50 {
                let mut order = chooser.order(strategy, None, &states, Some(call), 0);
                assert_eq!(order.last(), Some(&1), "{strategy}: {order:?}");
                order.sort_unstable();
                assert_eq!(order, [0, 1, 2, 3], "{strategy}");
            }
        }
    }

    #[test]
    fn the_first_is_chosen_as_the_strategy_says() {
        let (chooser, states) = (RouteChooser::default(), states(&[3, 1]));
        let first = |strategy| chooser.order(strategy, None, &states, None, 0)[0];
        let weighted: Vec<_> = (0..8).map(|_| first(Strategy::Weighted)).collect();
        assert_eq!(weighted.iter().filter(|i| **i == 0).count(), 6, "{weighted:?}");
        let in_turn: Vec<_> = (0..4).map(|_| first(Strategy::RoundRobin)).collect();
        assert_eq!(in_turn, [0, 1, 0, 1]);
    }

    #[test]
    fn what_belongs_together_stays_while_the_target_has_room() {
        let sticky = Sticky { ttl: Duration::from_secs(60), ..Sticky::default() };
        let (chooser, mut states) = (RouteChooser::default(), states(&[1, 1]));
        let first = |states: &[TargetState], now_us| {
            chooser.order(Strategy::RoundRobin, Some(&sticky), states, Some(9), now_us)[0]
        };
        let kept = first(&states, 0);
        assert!((0..10).all(|i| first(&states, i) == kept));
        states[kept].candidate.in_flight = 9;
        assert_ne!(first(&states, 11), kept, "it has far more calls than the other");
    }
}
