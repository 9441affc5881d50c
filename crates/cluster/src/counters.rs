//! Counters of use against limits.
//!
//! The expected use is reserved first ([`Counters::reserve`]), in all counters that it concerns or
//! in none, and corrected when the actual use is known ([`Held::settle`]). So concurrent calls
//! cannot exceed a limit together, except by the amount that they use beyond their reservations.
//!
//! One instance alone counts in memory. Instances that meet in Redis share one count there while it
//! can be reached, within [`crate::DEADLINE`] for each reservation; while it cannot, each goes on in
//! memory with its share: of a rate the limit by the number of instances, of a period so much of
//! what was left when the others were heard of last. What was used meanwhile, and what was settled,
//! is told to Redis when it is back.
//!
//! Numbers above 2^50 are not exact in Redis: it counts in doubles.
//!
//! The callers know the limits and units; here a counter is a name.

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

/// A request for an amount of one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The name of the counter, including everything that distinguishes counts, also the measure.
    /// The counters of one reservation have different names.
    pub counter: Arc<str>,
    /// The measure.
    pub measure: Measure,
    /// The limit.
    pub limit: u64,
    /// The requested amount.
    pub amount: u64,
}

/// The measure of use against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// A bucket of size `burst` that is refilled by the limit in each window.
    Bucket {
        /// The time in which the limit is refilled.
        window: Duration,
        /// The size of the bucket.
        burst: u64,
    },
    /// The use in a sliding window. It is kept by sixtieths of the window, and the oldest one
    /// counts as a whole: no stretch of that length exceeds the limit, and use is forgotten at most
    /// a sixtieth of the window late.
    Sliding {
        /// The length of the window.
        window: Duration,
    },
    /// The number of concurrent calls.
    AtOnce,
    /// The use of a period. An ended period is not reopened by a clock that goes back.
    Period {
        /// The first moment, in microseconds since 1970.
        start_us: i64,
        /// The first moment after it; `None` if it has no end.
        end_us: Option<i64>,
    },
}

/// A refused reservation: one counter lacks capacity, and nothing was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// The index of the ask that does not fit.
    pub index: usize,
    /// The used amount: of all instances if they share the count, and always for periods, as far as
    /// it is known.
    pub used: u64,
    /// The available total: the limit (for a bucket its size), or this instance's share if it
    /// counts alone.
    pub most: u64,
    /// The time when it would fit, as far as it is known; `None` if it exceeds the limit.
    pub until_us: Option<i64>,
    /// Whether it would fit without the reservations of running calls, which may use less than
    /// reserved.
    pub may_end: bool,
}

/// The state of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The name.
    pub counter: Arc<str>,
    /// The used amount including reservations, of all instances as far as it is known here.
    pub used: u64,
    /// The time when the use is forgotten; `None` if that depends on running calls, or never
    /// happens.
    pub until_us: Option<i64>,
}

/// The counters of this instance.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    memory: Arc<Memory>,
    /// The instances that share the limits.
    cluster: Option<Cluster>,
    /// The counters that the instances share.
    shared: Option<Arc<Shared>>,
}

impl Counters {
    /// Whether the shared counters can be reached; `None` if they are not shared.
    pub fn is_connected(&self) -> Option<bool> {
        self.shared.as_ref().and(self.cluster.as_ref()).map(Cluster::is_connected)
    }

    /// Creates counters of a single instance.
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
    /// All clones of one instance share their counters in Redis.
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

    /// Reserves all asks, or nothing. If the future is dropped nothing is reserved: an amount that
    /// Redis may have taken is returned.
    ///
    /// It waits for Redis for at most [`crate::DEADLINE`], and not at all while Redis is known to
    /// be unreachable; then it uses this instance's share.
    ///
    /// # Errors
    ///
    /// Returns [`Over`] if one of the asks does not fit.
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

    /// Returns the number of instances among which a limit is divided.
    fn instances(&self) -> u32 {
        match (&self.shared, &self.cluster) {
            (Some(shared), _) if shared.is_connected() => 1,
            (_, Some(cluster)) => cluster.known_instances(),
            (_, None) => 1,
        }
    }

    /// Returns the capacity that is left for `ask`, whatever its amount, as far as it is known
    /// here, without asking Redis.
    pub fn room(&self, ask: &Ask, now_us: i64) -> u64 {
        self.memory.room(ask, self.instances(), now_us)
    }

    /// Returns the use of a counter as far as it is known here, without asking Redis: for shared
    /// counts the last answer of Redis and the use of this instance since; never less than its own
    /// use.
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

    /// Sends pending corrections to Redis now instead of later. Those that cannot be sent stay
    /// pending. Without sharing it does nothing.
    ///
    /// # Errors
    ///
    /// Returns why Redis could not be reached.
    pub async fn flush(&self) -> Result<(), ClusterError> {
        match &self.shared {
            Some(shared) => shared.flush().await,
            None => Ok(()),
        }
    }

    /// Removes unused counters, except for known use of shared periods.
    pub fn prune(&self, now_us: i64) {
        self.memory.prune(now_us, self.shared.is_some());
    }

    /// Returns the number of counters in memory.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether there are no counters in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A reservation. It is settled once; if it is dropped unsettled, everything is returned.
#[derive(Debug, Default)]
pub struct Held {
    taken: Vec<Taken>,
    /// The place in Redis; `None` if this instance counts alone.
    receipt: Option<Receipt>,
}

/// The amount taken from one counter.
#[derive(Debug)]
struct Taken {
    count: Arc<Mutex<Count>>,
    mark: Mark,
    amount: u64,
    used: u64,
}

impl Held {
    /// Returns the use of each counter after this reservation, in the order of the asks: of all
    /// instances if they share the count.
    pub fn used(&self) -> impl ExactSizeIterator<Item = u64> {
        self.taken.iter().map(|taken| taken.used)
    }

    /// Returns the reserved amounts, in the order of the asks.
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

    /// Settles with a function from the index of the ask and its reserved amount to the actual use.
    pub fn settle_by(mut self, actual: impl Fn(usize, u64) -> u64) {
        self.end(actual);
    }

    /// Returns the whole reservation.
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
