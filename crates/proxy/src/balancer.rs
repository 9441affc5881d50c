//! The balancer: which key of a pool is next.
//!
//! Keys of equal weight form a class. Which class is next is decided by smooth weighted round robin
//! over the classes, which one of the class by a queue, so a pick costs the same in a pool of ten
//! keys and of a hundred thousand. A key that rests leaves its queue when its turn finds it
//! resting, and comes back when its rest is over: that, too, costs nothing for the keys not
//! concerned.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use domain::{KeyState, ProviderKey, ProviderKeyId, Strategy, UpstreamEntry};
use parking_lot::Mutex;
use secrecy::ExposeSecret;

use crate::health::KeyHealth;

/// A key and how it fares.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: Arc<ProviderKey>,
    pub(crate) health: Arc<KeyHealth>,
}

/// The usable keys of one upstream, in the order in which they will be used.
#[derive(Debug)]
pub(crate) struct Pool {
    slots: Vec<Arc<Slot>>,
    by_id: HashMap<ProviderKeyId, u32>,
    strategy: Strategy,
    /// Keys that a person switched off or gave up are in the pool but not among the slots.
    has_unusable: bool,
    turn: Mutex<Turn>,
}

/// Why no key could be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The upstream has no keys at all: calls go out without one.
    NotNeeded,
    /// Every key was switched off or given up.
    AllUnusable,
    /// Every usable key rests, the first until then.
    AllResting { until: Instant },
}

#[derive(Debug, Default)]
struct Turn {
    classes: Vec<Class>,
    resting: BinaryHeap<Reverse<(Instant, u32)>>,
}

#[derive(Debug)]
struct Class {
    weight: i64,
    current: i64,
    ready: VecDeque<u32>,
}

impl Pool {
    /// The pool of `entry`; keys that were in `before` keep their health.
    pub(crate) fn new(entry: &UpstreamEntry, before: Option<&Pool>) -> Self {
        let usable = entry.keys.iter().filter(|key| key.state == KeyState::Active);
        let slots: Vec<Arc<Slot>> = usable
            .map(|key| {
                // Another secret is another key, whatever its row.
                let same = |slot: &&Arc<Slot>| {
                    slot.key.secret.expose_secret() == key.secret.expose_secret()
                };
                let slot = before.and_then(|pool| pool.slot(key.id)).filter(same);
                let health = slot.map(|slot| slot.health.clone());
                Arc::new(Slot { key: key.clone(), health: health.unwrap_or_default() })
            })
            .collect();
        let weighted = entry.upstream.strategy == Strategy::Weighted;
        let mut classes: BTreeMap<i64, VecDeque<u32>> = BTreeMap::new();
        for (place, slot) in slots.iter().enumerate() {
            let weight = if weighted { i64::from(slot.key.weight) } else { 1 };
            classes.entry(weight).or_default().push_back(place as u32);
        }
        let classes = classes.into_iter().rev();
        let classes = classes.map(|(weight, ready)| Class { weight, current: 0, ready }).collect();
        Self {
            by_id: slots.iter().zip(0..).map(|(slot, place)| (slot.key.id, place)).collect(),
            has_unusable: slots.len() < entry.keys.len(),
            strategy: entry.upstream.strategy,
            slots,
            turn: Mutex::new(Turn { classes, resting: BinaryHeap::new() }),
        }
    }

    /// The key with this id, if it may be used.
    pub(crate) fn slot(&self, id: ProviderKeyId) -> Option<&Arc<Slot>> {
        self.by_id.get(&id).map(|place| &self.slots[*place as usize])
    }

    /// The next key at `now`.
    pub(crate) fn pick(&self, now: Instant) -> Result<Arc<Slot>, NoKey> {
        if self.slots.is_empty() {
            return Err(if self.has_unusable { NoKey::AllUnusable } else { NoKey::NotNeeded });
        }
        let mut turn = self.turn.lock();
        self.wake(&mut turn, now);
        loop {
            let Some(class) = turn.next_class() else {
                let until = turn.resting.peek().map_or(now, |Reverse((until, _))| *until);
                return Err(NoKey::AllResting { until });
            };
            let ready = &mut turn.classes[class].ready;
            let place = match self.strategy {
                Strategy::Random => rand::random_range(0..ready.len()),
                _ => 0,
            };
            let Some(index) = ready.swap_remove_back_or_pop(place) else { continue };
            let slot = &self.slots[index as usize];
            match slot.health.rests_until(now) {
                Some(until) => turn.resting.push(Reverse((until, index))),
                None => {
                    turn.classes[class].ready.push_back(index);
                    return Ok(slot.clone());
                }
            }
        }
    }

    /// When the first of the resting keys is back, if any rests.
    pub(crate) fn soonest(&self, now: Instant) -> Option<Instant> {
        let turn = self.turn.lock();
        if turn.classes.iter().all(|class| class.ready.is_empty()) {
            return turn.resting.peek().map(|Reverse((until, _))| *until).filter(|at| *at > now);
        }
        drop(turn);
        self.slots.iter().filter_map(|slot| slot.health.rests_until(now)).min()
    }

    /// Takes keys whose rest is over back into their queues.
    fn wake(&self, turn: &mut Turn, now: Instant) {
        while let Some(Reverse((until, index))) = turn.resting.peek().copied() {
            if until > now {
                return;
            }
            turn.resting.pop();
            let weight = match self.strategy {
                Strategy::Weighted => i64::from(self.slots[index as usize].key.weight),
                _ => 1,
            };
            if let Some(class) = turn.classes.iter_mut().find(|c| c.weight == weight) {
                class.ready.push_back(index);
            }
        }
    }
}

impl Turn {
    /// Smooth weighted round robin over the classes: each counts as much as all its keys together.
    fn next_class(&mut self) -> Option<usize> {
        if let [only] = self.classes.as_slice() {
            return (!only.ready.is_empty()).then_some(0);
        }
        let mut total = 0;
        let mut best: Option<usize> = None;
        for at in 0..self.classes.len() {
            let class = &mut self.classes[at];
            let share = class.weight * class.ready.len() as i64;
            if share == 0 {
                continue;
            }
            total += share;
            class.current += share;
            if best.is_none_or(|b| self.classes[at].current > self.classes[b].current) {
                best = Some(at);
            }
        }
        let best = best?;
        self.classes[best].current -= total;
        Some(best)
    }
}

/// Takes an element out of a queue: the first in order, any other by filling its place.
trait Take {
    fn swap_remove_back_or_pop(&mut self, place: usize) -> Option<u32>;
}

impl Take for VecDeque<u32> {
    fn swap_remove_back_or_pop(&mut self, place: usize) -> Option<u32> {
        if place == 0 { self.pop_front() } else { self.swap_remove_back(place) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::{BaseUrl, Upstream, UpstreamId, UserId};

    use super::*;
    use crate::health::Fault;

    fn entry(strategy: Strategy, weights: &[u32]) -> UpstreamEntry {
        let url = BaseUrl::parse("https://api.openai.com").unwrap();
        let mut upstream = Upstream::new(UpstreamId(1), UserId(1), "openai", url);
        upstream.strategy = strategy;
        let keys = weights.iter().zip(1..).map(|(weight, id)| {
            Arc::new(ProviderKey {
                id: ProviderKeyId(id),
                upstream: UpstreamId(1),
                owner: UserId(1),
                name: format!("key {id}"),
                secret: "sk-test".to_owned().into(),
                state: KeyState::Active,
                weight: *weight,
                quotas: Vec::new(),
                group: None,
            })
        });
        UpstreamEntry { upstream, keys: keys.collect() }
    }

    fn picks(pool: &Pool, n: usize) -> Vec<i64> {
        let now = Instant::now();
        (0..n).map(|_| pool.pick(now).unwrap().key.id.0).collect()
    }

    #[test]
    fn round_robin_goes_round() {
        let pool = Pool::new(&entry(Strategy::RoundRobin, &[1, 9, 1]), None);
        assert_eq!(picks(&pool, 7), [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn weighted_is_exact_in_every_cycle_and_never_bursts() {
        let pool = Pool::new(&entry(Strategy::Weighted, &[5, 1, 1]), None);
        for _ in 0..3 {
            let cycle = picks(&pool, 7);
            for (key, times) in [(1, 5), (2, 1), (3, 1)] {
                assert_eq!(cycle.iter().filter(|k| **k == key).count(), times, "{cycle:?}");
            }
            assert!(!cycle.windows(4).any(|w| w == [1, 1, 1, 1]), "{cycle:?}");
        }
    }

    #[test]
    fn random_reaches_every_key_about_as_often() {
        let pool = Pool::new(&entry(Strategy::Random, &[1; 10]), None);
        let all = picks(&pool, 20_000);
        for key in 1..=10 {
            let times = all.iter().filter(|k| **k == key).count();
            // 2,000 expected, standard deviation 42: eight of them to either side.
            assert!((1_660..2_340).contains(&times), "key {key} was picked {times} times");
        }
    }

    #[test]
    fn a_resting_key_is_passed_over_and_comes_back() {
        for strategy in Strategy::ALL {
            let pool = Pool::new(&entry(strategy, &[1, 1, 1]), None);
            let now = Instant::now();
            let rest = Duration::from_secs(10);
            pool.slot(ProviderKeyId(2)).unwrap().health.rest(now, Fault::RateLimited, Some(rest));
            let while_resting: Vec<i64> =
                (0..30).map(|_| pool.pick(now).unwrap().key.id.0).collect();
            assert!(!while_resting.contains(&2), "{strategy}");
            let later = now + rest;
            let after: Vec<i64> = (0..300).map(|_| pool.pick(later).unwrap().key.id.0).collect();
            assert!(after.contains(&2), "{strategy}");
        }
    }

    #[test]
    fn when_all_rest_the_soonest_is_told() {
        let pool = Pool::new(&entry(Strategy::RoundRobin, &[1, 1]), None);
        let now = Instant::now();
        for (id, seconds) in [(1, 30), (2, 10)] {
            let rest = Some(Duration::from_secs(seconds));
            pool.slot(ProviderKeyId(id)).unwrap().health.rest(now, Fault::RateLimited, rest);
        }
        let soonest = now + Duration::from_secs(10);
        assert_eq!(pool.pick(now).unwrap_err(), NoKey::AllResting { until: soonest });
        assert_eq!(pool.soonest(now), Some(soonest));
    }

    #[test]
    fn keys_that_a_person_took_out_are_never_picked() {
        let mut one = entry(Strategy::RoundRobin, &[1, 1]);
        Arc::make_mut(&mut one.keys[0]).state = KeyState::Banned;
        assert_eq!(picks(&Pool::new(&one, None), 3), [2, 2, 2]);
        Arc::make_mut(&mut one.keys[1]).state = KeyState::Disabled;
        let pool = Pool::new(&one, None);
        assert_eq!(pool.pick(Instant::now()).unwrap_err(), NoKey::AllUnusable);
        let bare = Pool::new(&entry(Strategy::RoundRobin, &[]), None);
        assert_eq!(bare.pick(Instant::now()).unwrap_err(), NoKey::NotNeeded);
    }

    #[test]
    fn health_outlives_a_change_of_the_pool() {
        let one = entry(Strategy::RoundRobin, &[1, 1]);
        let before = Pool::new(&one, None);
        let now = Instant::now();
        let rest = Some(Duration::from_secs(60));
        before.slot(ProviderKeyId(1)).unwrap().health.rest(now, Fault::Auth, rest);
        let after = Pool::new(&one, Some(&before));
        assert_eq!(picks(&after, 2), [2, 2]);
    }

    #[test]
    fn a_large_pool_with_almost_all_keys_resting_pays_for_each_only_once() {
        let pool = Pool::new(&entry(Strategy::RoundRobin, &[1; 50_000]), None);
        let now = Instant::now();
        for id in 1..50_000 {
            let health = &pool.slot(ProviderKeyId(id)).unwrap().health;
            health.rest(now, Fault::RateLimited, Some(Duration::from_secs(60)));
        }
        assert_eq!(picks(&pool, 3), [50_000, 50_000, 50_000]);
        assert_eq!(pool.turn.lock().classes[0].ready.len(), 1);
        assert_eq!(pool.turn.lock().resting.len(), 49_999);
    }
}
