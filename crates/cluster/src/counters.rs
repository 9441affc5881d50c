//! Counters: how much of something is used, and whether there is room for more.
//!
//! What is about to be used is reserved first ([`Counters::reserve`]), from all counters that it
//! concerns or from none, and corrected when it is known what was used ([`Held::settle`]). So calls
//! at the same time cannot pass a limit together; the only way past it is to use more than was
//! reserved, and by no more than that.
//!
//! One instance alone counts in memory. Instances that meet in Redis share one count there while it
//! can be reached, within [`crate::DEADLINE`] for each reservation; while it cannot, each goes on in
//! memory with its share: of a rate the limit by the number of instances, of a period so much of
//! what was left when the others were heard of last. What was used meanwhile, and what was settled,
//! is told to Redis when it is back.
//!
//! Numbers above 2^50 are not exact in Redis: it counts in doubles.
//!
//! Whose limit it is and what is measured is the business of those who ask: here a counter is a
//! name.

mod count;
mod flush;
mod going;
mod memory;
mod pending;
mod period;
mod shared;
mod spot;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use self::count::{Count, Mark};
use self::memory::Memory;
use self::shared::Receipt;
pub(crate) use self::shared::Shared;
use crate::{Cluster, ClusterError, Place};

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
    /// How much of it is used; by all instances where it is counted together, and of a period
    /// always as far as is known.
    pub used: u64,
    /// Up to how much there was room: the limit (of a bucket what it holds), or this instance's
    /// share where it is counted without the others.
    pub most: u64,
    /// When it would fit, as far as is known; never where it is more than the limit.
    pub until_us: Option<i64>,
    /// Whether it would fit now without what calls under way hold, who may use less than that.
    pub may_end: bool,
}

/// A counter as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Its name.
    pub counter: Arc<str>,
    /// How much is used, reservations included; by all instances as far as this one heard of it.
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
    /// What is counted together with them.
    shared: Option<Arc<Shared>>,
}

impl Counters {
    /// Whether those who share them can be reached; none where nobody does.
    pub fn is_connected(&self) -> Option<bool> {
        self.shared.as_ref().and(self.cluster.as_ref()).map(Cluster::is_connected)
    }

    /// Counters that nobody shares.
    pub fn memory() -> Counters {
        Counters::default()
    }

    /// Counters of an instance among others. Where they meet in Redis they share one count: no limit
    /// is passed by any of them. Where they do not, or while Redis cannot be reached, each lives on
    /// its share of each limit, by how many instances are known. Shares are rounded up: together
    /// they pass a limit by less than one for each instance, and by more only while an instance
    /// does not know of another yet, or one of them left. When Redis is back it takes a moment
    /// until all have told it what they used.
    ///
    /// All counters of one instance in Redis are the same ones.
    pub fn of(cluster: &Cluster) -> Counters {
        let cluster = cluster.clone();
        match &*cluster.0 {
            Place::Memory(_) => Counters { cluster: Some(cluster), ..Counters::default() },
            Place::Redis(member) => {
                let shared = Arc::clone(member.counts());
                let memory = Arc::clone(&shared.memory);
                Counters { memory, cluster: Some(cluster), shared: Some(shared) }
            }
        }
    }

    /// Reserves all that is asked for, or nothing. When the future is dropped nothing is reserved:
    /// what Redis may have taken already is given back.
    ///
    /// It waits for Redis for no longer than [`crate::DEADLINE`], and not at all while that is known
    /// to be away; then it takes of this instance's share.
    pub async fn reserve(&self, now_us: i64, asks: &[Ask]) -> Result<Held, Over> {
        if asks.is_empty() {
            return Ok(Held::default());
        }
        match &self.shared {
            Some(shared) => shared.reserve(now_us, asks).await,
            None => {
                let taken = self.memory.reserve(now_us, asks, self.instances())?;
                Ok(Held { taken, receipt: None })
            }
        }
    }

    /// Among how many a limit is divided.
    fn instances(&self) -> u32 {
        match (&self.shared, &self.cluster) {
            (Some(shared), _) if shared.is_connected() => 1,
            (_, Some(cluster)) => cluster.known_instances(),
            (_, None) => 1,
        }
    }

    /// How much room there is for what `ask` asks for, whatever its amount is, as far as is known
    /// here. It asks nobody.
    pub fn room(&self, ask: &Ask, now_us: i64) -> u64 {
        self.memory.room(ask, self.instances(), now_us)
    }

    /// How much of a counter is used, as far as is known here. It asks nobody: of what is counted
    /// together with others it is what Redis answered last to this instance, and what this one did
    /// since; never less than its own use.
    pub fn peek(&self, counter: &str, measure: &Measure, now_us: i64) -> u64 {
        self.memory.peek(counter, measure, now_us)
    }

    /// The counters whose names begin with `prefix`, those with most use first, and at most `most`
    /// of them, each as [`Counters::peek`] shows it; one that only other instances asked for is not
    /// among them. It looks at all there are: for people, not for calls.
    pub fn find(&self, prefix: &str, now_us: i64, most: usize) -> Vec<Used> {
        self.memory.find(prefix, now_us, most)
    }

    /// Adds what was used of a period before this process began, also where that was nothing;
    /// nothing else lasts so long. Instances that share a count add it once, whoever comes first,
    /// and go on from what they know should Redis lose its data. Without a seed nothing is known
    /// of the time before, and a loss of Redis's data begins such a period anew.
    pub fn seed(&self, counter: &str, measure: &Measure, amount: u64, now_us: i64) {
        match &self.shared {
            Some(shared) => shared.seed(&Arc::from(counter), measure, amount, now_us),
            None if amount > 0 => {
                self.memory.seed(&Arc::from(counter), measure, amount, now_us);
            }
            None => {}
        }
    }

    /// Tells Redis now what waits to be told, which else a task does as soon as it can. What could
    /// not be told waits on. Nothing to do where nobody shares the count.
    pub async fn flush(&self) -> Result<(), ClusterError> {
        match &self.shared {
            Some(shared) => shared.flush().await,
            None => Ok(()),
        }
    }

    /// Forgets counters of which nothing is used; where the count is shared, not what is known of
    /// periods.
    pub fn prune(&self, now_us: i64) {
        self.memory.prune(now_us, self.shared.is_some());
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
    /// Where it is noted for all; none where this instance counts by itself.
    receipt: Option<Receipt>,
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
    /// How much of each counter was used after this was taken, in the order of the asks: by all
    /// instances where it is counted together.
    pub fn used(&self) -> impl ExactSizeIterator<Item = u64> {
        self.taken.iter().map(|taken| taken.used)
    }

    /// How much of each counter is held, in the order of the asks.
    pub fn amounts(&self) -> impl ExactSizeIterator<Item = u64> {
        self.taken.iter().map(|taken| taken.amount)
    }

    /// Corrects each counter to what was used in fact, in the period or at the time in which it was
    /// reserved; calls at once are over. Where `actual` says nothing, all that was reserved was
    /// used. It never waits, and may be called on any thread: where the count is shared, a task of the
    /// cluster tells Redis, as soon as that can be reached.
    pub fn settle(self, actual: &[u64]) {
        self.settle_by(|i, held| actual.get(i).copied().unwrap_or(held));
    }

    /// The same, where of the place of the ask and of what is held for it follows what was used.
    pub fn settle_by(mut self, actual: impl Fn(usize, u64) -> u64) {
        self.end(actual);
    }

    /// Gives everything back.
    pub fn release(self) {
        drop(self);
    }

    fn end(&mut self, actual: impl Fn(usize, u64) -> u64) {
        for (i, taken) in self.taken.drain(..).enumerate() {
            let actual = actual(i, taken.amount);
            let mut count = taken.count.lock();
            count.let_go(taken.amount);
            count.correct(taken.mark, taken.amount, actual);
            drop(count);
            if let Some(receipt) = &self.receipt {
                receipt.correct(i, &taken.count, taken.amount, actual);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end(|_, _| 0);
    }
}
