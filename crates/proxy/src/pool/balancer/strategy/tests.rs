//! Every strategy against its definition, by how often it chooses what.

use std::{collections::HashMap, time::Duration};

use super::*;

/// A field of candidates, all of which may be chosen unless they are left out.
pub(crate) struct Made {
    candidates: Vec<Candidate>,
    ready: Vec<u32>,
}

impl Made {
    fn of(candidates: Vec<Candidate>) -> Self {
        let ready = (0..candidates.len() as u32).collect();
        Self { candidates, ready }
    }

    fn alike(n: usize) -> Self {
        Self::of(vec![Candidate { remaining_permille: 1000, ..Candidate::default() }; n])
    }

    fn without(mut self, index: u32) -> Self {
        self.ready.retain(|i| *i != index);
        self
    }
}

impl Field for Made {
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
        self.candidates[index as usize]
    }

    fn id(&self, index: u32) -> u64 {
        u64::from(index) + 1000
    }
}

fn joined(strategy: Strategy, weights: &[u32]) -> Box<dyn Choose> {
    let mut choose = of(strategy);
    weights.iter().zip(0..).for_each(|(weight, index)| choose.join(index, *weight));
    choose
}

fn counts(choose: &mut dyn Choose, field: &Made, n: u64) -> HashMap<u32, u64> {
    let mut counts = HashMap::new();
    for belongs in 0..n {
        let wish = Wish { belongs: Some(belongs), round: 0 };
        *counts.entry(choose.next(field, &wish).unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn weighted_is_exact_in_every_cycle_and_never_bursts() {
    let (field, mut choose) = (Made::alike(3), joined(Strategy::Weighted, &[5, 1, 1]));
    for _ in 0..3 {
        let cycle: Vec<u32> =
            (0..7).map(|_| choose.next(&field, &Wish::default()).unwrap()).collect();
        for (index, times) in [(0, 5), (1, 1), (2, 1)] {
            assert_eq!(cycle.iter().filter(|i| **i == index).count(), times, "{cycle:?}");
        }
        assert!(!cycle.windows(4).any(|w| w == [0, 0, 0, 0]), "{cycle:?}");
    }
}

#[test]
fn weighted_shares_what_one_leaves_among_the_others_by_their_weights() {
    let mut choose = joined(Strategy::Weighted, &[5, 2, 1]);
    choose.leave(0);
    let counts = counts(choose.as_mut(), &Made::alike(3).without(0), 300);
    assert_eq!((counts.get(&0), counts[&1], counts[&2]), (None, 200, 100));
}

#[test]
fn random_reaches_every_one_about_as_often() {
    let counts = counts(&mut *joined(Strategy::Random, &[1; 10]), &Made::alike(10), 20_000);
    for index in 0..10 {
        // 2,000 expected, standard deviation 42: eight of them to either side.
        assert!((1_660..2_340).contains(&counts[&index]), "{counts:?}");
    }
}

#[test]
fn remaining_quota_chooses_in_proportion_to_what_is_left() {
    let left = |permille| Candidate { remaining_permille: permille, ..Candidate::default() };
    let field = Made::of(vec![left(1000), left(500), left(500), left(0)]);
    let mut choose = joined(Strategy::RemainingQuota, &[1; 4]);
    let all = counts(choose.as_mut(), &field, 20_000);
    // 10,000 expected with a standard deviation of 71, 5,000 with 61.
    assert!((9_430..10_570).contains(&all[&0]), "{all:?}");
    assert!((4_510..5_490).contains(&all[&1]) && (4_510..5_490).contains(&all[&2]), "{all:?}");
    assert_eq!(all.get(&3), None);
    let nothing = Made::of(vec![left(0), left(0)]);
    assert!(choose.next(&nothing, &Wish::default()).is_some(), "quotas are not its to enforce");
}

#[test]
fn consistent_hash_moves_only_the_calls_of_the_one_that_left() {
    let mut choose = joined(Strategy::ConsistentHash, &[1; 10]);
    let (whole, fewer) = (Made::alike(10), Made::alike(10).without(3));
    let mut of = |field: &Made, belongs| {
        choose.next(field, &Wish { belongs: Some(belongs), round: 0 }).unwrap()
    };
    let mut moved = 0;
    for belongs in 0..10_000 {
        let (before, after) = (of(&whole, belongs), of(&fewer, belongs));
        assert_eq!(of(&whole, belongs), before, "the same call goes the same way");
        if before == 3 {
            moved += 1;
            assert_ne!(after, 3);
        } else {
            assert_eq!(before, after, "a call of another one moved");
        }
    }
    // A tenth; its share of the ring varies by about a twelfth of that (160 points).
    assert!((600..1_400).contains(&moved), "{moved} of 10,000");
}

#[test]
fn consistent_hash_has_an_order_for_those_that_follow() {
    let (field, mut choose) = (Made::alike(5), joined(Strategy::ConsistentHash, &[1; 5]));
    let mut order = |belongs| -> Vec<u32> {
        let wishes = (0..5).map(|round| Wish { belongs: Some(belongs), round });
        wishes.map(|wish| choose.next(&field, &wish).unwrap()).collect()
    };
    let first = order(1);
    assert_eq!(order(1), first);
    let mut all = first;
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4]);
}

#[test]
fn least_latency_takes_the_better_of_two() {
    let takes = |millis, in_flight| Candidate {
        latency: Some(Duration::from_millis(millis)),
        in_flight,
        ..Candidate::default()
    };
    let mut choose = joined(Strategy::LeastLatency, &[1; 3]);
    let field = Made::of(vec![takes(100, 0), takes(200, 0), takes(300, 0)]);
    let all = counts(choose.as_mut(), &field, 9_000);
    // Of the three pairs the first wins two, the second one; the slowest wins none.
    assert!((5_600..6_400).contains(&all[&0]) && (2_600..3_400).contains(&all[&1]), "{all:?}");
    assert_eq!(all.get(&2), None);
    let busy = Made::of(vec![takes(100, 9), takes(300, 0)]);
    assert_eq!(counts(choose.as_mut(), &busy, 100)[&1], 100, "what it has to do counts");
    let unknown = Made::of(vec![takes(1, 0), Candidate::default()]);
    assert_eq!(counts(choose.as_mut(), &unknown, 100)[&1], 100, "an unknown one is tried");
    let tried = Candidate { in_flight: 1, ..Candidate::default() };
    let trying = Made::of(vec![takes(1, 0), tried]);
    assert_eq!(counts(choose.as_mut(), &trying, 100)[&0], 100, "by one call at a time");
}

#[test]
fn best_health_takes_the_highest_score() {
    let good = Candidate {
        latency: Some(Duration::from_millis(500)),
        success_permille: Some(1000),
        remaining_permille: 1000,
        in_flight: 0,
    };
    for worse in [
        Candidate { success_permille: Some(900), ..good },
        Candidate { latency: Some(Duration::from_millis(700)), ..good },
        Candidate { remaining_permille: 700, ..good },
        Candidate { in_flight: 1, ..good },
    ] {
        let field = Made::of(vec![worse, good]);
        let mut choose = joined(Strategy::BestHealth, &[1; 2]);
        assert_eq!(counts(choose.as_mut(), &field, 50)[&1], 50, "{worse:?}");
    }
    assert!((best_health::score(&good) - 1.0 / 1.5).abs() < 1e-9);
    let equal = counts(&mut *joined(Strategy::BestHealth, &[1; 4]), &Made::alike(4), 1_000);
    assert_eq!(equal.len(), 4, "what is equally good is shared: {equal:?}");
}

#[test]
fn a_fork_leaves_the_turn_as_it_was() {
    for strategy in Strategy::ALL {
        let (field, choose) = (Made::alike(3), joined(strategy, &[1, 2, 3]));
        let order = || {
            let mut fork = choose.fork();
            (0..6).map(|_| fork.next(&field, &Wish::default()).unwrap()).collect::<Vec<_>>()
        };
        let (first, again) = (order(), order());
        if matches!(strategy, Strategy::RoundRobin | Strategy::Weighted) {
            assert_eq!(first, again);
        }
    }
}
