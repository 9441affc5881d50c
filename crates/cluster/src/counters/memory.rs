//! The counters of one process: a sharded map whose locks are held only for look-ups. Counters that
//! are requested together are locked together, in one order.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use super::count::{Count, Full, part};
use super::{Ask, Measure, Over, Taken, Used};

/// The number of shards.
const SHARDS: usize = 64;
/// Most counters of a shard. Beyond that the counters used longest ago are removed, except those
/// with reservations.
const SHARD_MAX: usize = 8_192;

type Counts = HashMap<Arc<str>, Arc<Mutex<Count>>, RandomState>;
type Shard = Mutex<Counts>;
/// Few items, without an allocation.
pub(super) type Few<T> = SmallVec<[T; 8]>;

/// The counters of one process.
#[derive(Debug)]
pub(super) struct Memory {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

impl Default for Memory {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Memory { shards, hasher: RandomState::default() }
    }
}

impl Memory {
    /// Reserves all asks or nothing, from this instance's share of each limit.
    pub(super) fn reserve(
        &self,
        now_us: i64,
        asks: &[Ask],
        instances: u32,
    ) -> Result<Vec<Taken>, Over> {
        let counts = self.counts(asks, now_us);
        let mut locked = lock(&counts);
        let mut marks = Few::new();
        for (index, ask) in asks.iter().enumerate() {
            let count = locked.of(index);
            count.meet(&ask.measure, now_us);
            match count.take(&ask.measure, ask.limit, ask.amount, instances, now_us) {
                Ok(mark) => {
                    count.held(ask.amount);
                    marks.push((mark, count.used()));
                }
                Err(Full { used, most, until_us, may_end }) => {
                    for (i, (mark, _)) in marks.into_iter().enumerate() {
                        locked.of(i).let_go(asks[i].amount);
                        locked.of(i).correct(mark, asks[i].amount, 0);
                    }
                    return Err(Over { index, used, most, until_us, may_end });
                }
            }
        }
        drop(locked);
        let taken = counts.into_iter().zip(marks).zip(asks);
        let taken = taken.map(|((count, (mark, used)), ask)| Taken {
            count,
            mark,
            used,
            amount: ask.amount,
        });
        Ok(taken.collect())
    }

    pub(super) fn peek(&self, counter: &str, measure: &Measure, now_us: i64) -> u64 {
        let count = self.shard(counter).lock().get(counter).cloned();
        count.map_or(0, |count| count.lock().peek(measure, now_us))
    }

    /// Returns the capacity left for an ask.
    pub(super) fn room(&self, ask: &Ask, instances: u32, now_us: i64) -> u64 {
        let count = self.shard(&ask.counter).lock().get(&ask.counter).cloned();
        match count {
            Some(count) => count.lock().room(&ask.measure, ask.limit, instances, now_us),
            None => match ask.measure {
                Measure::Bucket { burst, .. } => part(burst, instances),
                _ => part(ask.limit, instances),
            },
        }
    }

    pub(super) fn find(&self, prefix: &str, now_us: i64, most: usize) -> Vec<Used> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let fitting = shard.iter().filter(|(name, _)| name.starts_with(prefix));
            let fitting: Vec<_> = fitting.map(|(n, c)| (Arc::clone(n), Arc::clone(c))).collect();
            drop(shard);
            for (counter, count) in fitting {
                let mut count = count.lock();
                if !count.is_idle(now_us) {
                    let (used, until_us) = (count.seen(now_us), count.until());
                    found.push(Used { counter, used, until_us });
                }
            }
        }
        found.sort_by(|a, b| (b.used, &a.counter).cmp(&(a.used, &b.counter)));
        found.truncate(most);
        found
    }

    /// Adds the use of a period before this process began and returns the counter.
    pub(super) fn seed(
        &self,
        counter: &Arc<str>,
        measure: &Measure,
        amount: u64,
        now_us: i64,
    ) -> Arc<Mutex<Count>> {
        let found = self.count(counter, measure, now_us);
        let mut count = found.lock();
        count.meet(measure, now_us);
        count.seed(amount);
        drop(count);
        found
    }

    /// Removes idle counters; `shared` if other instances count too.
    pub(super) fn prune(&self, now_us: i64, shared: bool) {
        for shard in &self.shards {
            shard.lock().retain(|_, count| {
                Arc::strong_count(count) > 1 || !count.lock().may_go(now_us, shared)
            });
        }
    }

    /// Visits all counters, shard by shard.
    pub(super) fn each(&self, mut look: impl FnMut(&Arc<str>, &Arc<Mutex<Count>>)) {
        for shard in &self.shards {
            let shard = shard.lock();
            let all: Vec<_> = shard.iter().map(|(n, c)| (Arc::clone(n), Arc::clone(c))).collect();
            drop(shard);
            all.iter().for_each(|(name, count)| look(name, count));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn shard(&self, counter: &str) -> &Shard {
        &self.shards[self.hasher.hash_one(counter) as usize % SHARDS]
    }

    pub(super) fn counts(&self, asks: &[Ask], now_us: i64) -> Few<Arc<Mutex<Count>>> {
        asks.iter().map(|ask| self.count(&ask.counter, &ask.measure, now_us)).collect()
    }

    fn count(&self, counter: &Arc<str>, measure: &Measure, now_us: i64) -> Arc<Mutex<Count>> {
        let mut shard = self.shard(counter).lock();
        if let Some(count) = shard.get(counter) {
            return Arc::clone(count);
        }
        if shard.len() >= SHARD_MAX {
            make_room(&mut shard, now_us);
        }
        let count = Arc::new(Mutex::new(Count::new(measure, now_us)));
        shard.insert(Arc::clone(counter), Arc::clone(&count));
        count
    }
}

/// Removes idle counters and, if that is not enough, an eighth of the rest, so that the next
/// counter needs no removal.
fn make_room(shard: &mut Counts, now_us: i64) {
    // References to counts are taken under the lock of this map, which is held here.
    shard.retain(|_, count| Arc::strong_count(count) > 1 || !count.lock().is_idle(now_us));
    if shard.len() < SHARD_MAX {
        return;
    }
    let free = shard.values().filter(|count| Arc::strong_count(count) == 1);
    let mut touched: Vec<i64> = free.map(|count| count.lock().touched_us).collect();
    let most = touched.len() / 8;
    if touched.is_empty() {
        return;
    }
    let (_, limit, _) = touched.select_nth_unstable(most);
    let (limit, mut left) = (*limit, most + 1);
    shard.retain(|_, count| {
        let goes = left > 0 && Arc::strong_count(count) == 1 && count.lock().touched_us <= limit;
        left -= usize::from(goes);
        !goes
    });
}

/// Counts that are locked together.
pub(super) struct Locked<'a> {
    guards: Few<MutexGuard<'a, Count>>,
    /// The index of the guard of each count.
    places: Few<usize>,
}

impl Locked<'_> {
    pub(super) fn of(&mut self, index: usize) -> &mut Count {
        &mut self.guards[self.places[index]]
    }
}

/// Locks all counts in the order of their addresses, which is the same for every caller.
pub(super) fn lock(counts: &[Arc<Mutex<Count>>]) -> Locked<'_> {
    let mut order: Few<usize> = (0..counts.len()).collect();
    order.sort_unstable_by_key(|i| Arc::as_ptr(&counts[*i]));
    let mut locked = Locked { guards: Few::new(), places: order.iter().map(|_| 0).collect() };
    let mut last = None;
    for i in order {
        if last != Some(Arc::as_ptr(&counts[i])) {
            locked.guards.push(counts[i].lock());
            last = Some(Arc::as_ptr(&counts[i]));
        }
        locked.places[i] = locked.guards.len() - 1;
    }
    locked
}
