//! Counters: how much of something is used, and whether there is room for more.
//!
//! What is about to be used is reserved first ([`Counters::reserve`]), from all counters that it
//! concerns or from none, and corrected when it is known what was used ([`Held::settle`]). So calls
//! at the same time cannot pass a limit together; the only way past it is to use more than was
//! reserved, and by no more than that.
//!
//! Each instance counts in memory, and where there are several each lives on its share of a limit.
//! Whose limit it is and what is measured is the business of those who ask: here a counter is a
//! name.

mod count;
mod memory;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use self::count::{Count, Mark};
use self::memory::Memory;
use crate::Cluster;

/// So much of one counter is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The counter's name: everything that makes it another count is part of it, how it is measured
    /// included. The counters of one reservation have different names.
    pub counter: Arc<str>,
    /// How it is measured.
    pub measure: Measure,
    /// Up to how much there is room.
    pub limit: u64,
    /// How much is wanted.
    pub amount: u64,
}

/// How use is measured against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// A bucket that holds `burst` and fills up by the limit in each window.
    Bucket {
        /// How long it takes to fill up by the limit.
        window: Duration,
        /// How much it holds.
        burst: u64,
    },
    /// The use of the last so much time. It is noted by sixtieths of the window, and the oldest one
    /// counts whole: in no stretch of that length is more used than the limit, and what was used is
    /// forgotten a sixtieth of the window late at most.
    Sliding {
        /// How much time.
        window: Duration,
    },
    /// What is going on at the same time.
    AtOnce,
    /// The use from one moment to another. One that has ended is not opened again by a clock that
    /// goes back.
    Period {
        /// Its first moment, in microseconds since 1970.
        start_us: i64,
        /// The first moment after it; none where it has no end.
        end_us: Option<i64>,
    },
}

/// There is no room in one of the counters, and nothing was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// Which of the asks does not fit.
    pub index: usize,
    /// How much of it is used.
    pub used: u64,
    /// When it would fit, as far as is known; never where it is more than the limit.
    pub until_us: Option<i64>,
}

/// A counter as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Its name.
    pub counter: Arc<str>,
    /// How much is used, reservations included.
    pub used: u64,
    /// When nothing of this will count any more; none where that depends on calls under way, or
    /// never comes.
    pub until_us: Option<i64>,
}

/// The counters of this instance.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    memory: Arc<Memory>,
    /// Among whom the limits are shared.
    cluster: Option<Cluster>,
}

impl Counters {
    /// Counters that nobody shares.
    pub fn memory() -> Counters {
        Counters::default()
    }

    /// Counters of an instance that lives on its share of each limit, by how many instances are
    /// known. Shares are rounded up: together they pass a limit by less than one for each instance,
    /// and by more only while an instance does not know of another yet, or one of them left.
    pub fn of(cluster: &Cluster) -> Counters {
        Counters { memory: Arc::default(), cluster: Some(cluster.clone()) }
    }

    /// Reserves all that is asked for, or nothing. When the future is dropped nothing is reserved.
    pub async fn reserve(&self, now_us: i64, asks: &[Ask]) -> Result<Held, Over> {
        if asks.is_empty() {
            return Ok(Held::default());
        }
        Ok(Held { taken: self.memory.reserve(now_us, asks, self.instances())? })
    }

    /// How much of a limit this instance may use.
    pub fn share(&self, limit: u64) -> u64 {
        limit.div_ceil(u64::from(self.instances().max(1)))
    }

    fn instances(&self) -> u32 {
        self.cluster.as_ref().map_or(1, Cluster::known_instances)
    }

    /// How much of a counter is used, as far as is known here.
    pub fn peek(&self, counter: &str, measure: &Measure, now_us: i64) -> u64 {
        self.memory.peek(counter, measure, now_us)
    }

    /// The counters whose names begin with `prefix`, those with most use first, and at most `most`
    /// of them. It looks at all there are: for people, not for calls.
    pub fn find(&self, prefix: &str, now_us: i64, most: usize) -> Vec<Used> {
        self.memory.find(prefix, now_us, most)
    }

    /// Adds what was used of a period before this process began; nothing else lasts so long.
    pub fn seed(&self, counter: &str, measure: &Measure, amount: u64, now_us: i64) {
        self.memory.seed(counter, measure, amount, now_us);
    }

    /// Forgets counters of which nothing is used.
    pub fn prune(&self, now_us: i64) {
        self.memory.prune(now_us);
    }

    /// How many counters are kept in memory.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether nothing is kept in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a reservation took. It is settled once; dropped unsettled it gives everything back.
#[derive(Debug, Default)]
pub struct Held {
    taken: Vec<Taken>,
}

/// What was taken from one counter.
#[derive(Debug)]
struct Taken {
    count: Arc<Mutex<Count>>,
    mark: Mark,
    amount: u64,
    used: u64,
}

impl Held {
    /// How much of each counter was used after this was taken, in the order of the asks.
    pub fn used(&self) -> impl ExactSizeIterator<Item = u64> {
        self.taken.iter().map(|taken| taken.used)
    }

    /// How much of each counter is held, in the order of the asks.
    pub fn amounts(&self) -> impl ExactSizeIterator<Item = u64> {
        self.taken.iter().map(|taken| taken.amount)
    }

    /// Corrects each counter to what was used in fact, in the period or at the time in which it was
    /// reserved; calls at once are over. Where `actual` says nothing, all that was reserved was
    /// used. It never waits.
    pub fn settle(mut self, actual: &[u64]) {
        let actual: Vec<u64> =
            self.amounts().enumerate().map(|(i, held)| *actual.get(i).unwrap_or(&held)).collect();
        self.end(&actual);
    }

    /// Gives everything back.
    pub fn release(self) {
        drop(self);
    }

    fn end(&mut self, actual: &[u64]) {
        let actual = |i: usize| actual.get(i).copied().unwrap_or(0);
        for (i, taken) in self.taken.drain(..).enumerate() {
            taken.count.lock().correct(taken.mark, taken.amount, actual(i));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end(&[]);
    }
}
