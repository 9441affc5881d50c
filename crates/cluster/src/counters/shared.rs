//! Counters that all instances share in Redis: one script makes a whole reservation, or nothing.
//!
//! Reservations are noted in memory too, for the time when Redis is unreachable. Running calls are
//! noted there first: an instance reports their number, not changes of it, so nothing has to be
//! renewed and the next message replaces a lost one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use redis::Script;
use uuid::Uuid;

use super::count::{Count, Mark};
use super::flush::Outbox;
use super::going::{Answer, Going};
use super::memory::Memory;
use super::pending::{Correction, Pending};
use super::spot::Spot;
use super::{Ask, Held, Measure, Over, Taken};
use crate::redis::Link;

/// The time that an answer is remembered, in milliseconds.
pub(super) const REMEMBERED_MS: u64 = 10_000;

/// The counters that this instance shares with the others.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) link: Arc<Link>,
    pub(super) memory: Arc<Memory>,
    pub(super) pending: Pending,
    pub(super) outbox: tokio::sync::Mutex<Outbox>,
    pub(super) scripts: Scripts,
    /// The name of this instance.
    pub(super) instance: String,
    /// The sequence number of reservations, batches and reports of running calls.
    sequence: AtomicU64,
    /// The beginning of the numbers that this instance gives to lives of data.
    lives: u64,
}

/// The scripts.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) reserve: Script,
    pub(super) settle: Script,
}

/// The place of a reservation in Redis; `None` if it is only known here.
#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) shared: Arc<Shared>,
    pub(super) noted: Vec<(Arc<str>, Option<Spot>)>,
}

impl Shared {
    pub(crate) fn new(link: Arc<Link>) -> Shared {
        let scripts = Scripts {
            reserve: Script::new(concat!(include_str!("count.lua"), include_str!("reserve.lua"))),
            settle: Script::new(concat!(include_str!("count.lua"), include_str!("settle.lua"))),
        };
        Shared {
            instance: link.instance().to_string(),
            link,
            memory: Arc::default(),
            pending: Pending::default(),
            outbox: tokio::sync::Mutex::default(),
            scripts,
            sequence: AtomicU64::new(1),
            lives: Uuid::new_v4().as_u64_pair().0,
        }
    }

    /// Reserves in Redis, or from this instance's share if Redis is unreachable.
    pub(super) async fn reserve(self: &Arc<Self>, now_us: i64, asks: &[Ask]) -> Result<Held, Over> {
        if self.is_connected() {
            let mut going = Going::begin(self, now_us, asks);
            match going.ask().await {
                Ok(Answer::Taken(noted)) => return Ok(going.taken(noted)),
                Ok(Answer::Over(over)) => return Err(going.over(over)),
                // It may have been made: dropping it cancels it.
                Err(_) => drop(going),
            }
        }
        let taken = self.memory.reserve(now_us, asks, self.link.known_instances())?;
        Ok(self.taken_alone(taken, asks))
    }

    /// Reports reservations made alone to the others later, except those of buckets, which are
    /// refilled by then.
    fn taken_alone(self: &Arc<Self>, taken: Vec<Taken>, asks: &[Ask]) -> Held {
        let mut noted = Vec::with_capacity(taken.len());
        for (taken, ask) in taken.iter().zip(asks) {
            let spot = {
                let count = taken.count.lock();
                let spot = Spot::of(ask, count.period());
                match taken.mark {
                    Mark::Slice(slice) => Some(spot.at(Some(slice))),
                    Mark::Period(_) | Mark::AtOnce => Some(spot),
                    Mark::Bucket => None,
                }
            };
            if let Some(spot) = spot {
                self.tell(&ask.counter, spot, i128::from(taken.amount), &taken.count);
            }
            noted.push((Arc::clone(&ask.counter), spot));
        }
        Held { taken, receipt: Some(Receipt { shared: Arc::clone(self), noted }) }
    }

    /// Adds a change for Redis; for concurrent calls the current number.
    pub(super) fn tell(
        &self,
        counter: &Arc<str>,
        spot: Spot,
        delta: i128,
        count: &Arc<Mutex<Count>>,
    ) {
        if let Spot::Period { start_us, .. } = spot
            && let Some(period) = count.lock().period_from(start_us)
        {
            period.owe(delta);
        }
        let (counter, count) = (Arc::clone(counter), Arc::clone(count));
        self.pending.correct(Correction { counter, spot, delta, count });
    }

    /// Adds the use from the log, in memory and, if no instance did so before, in Redis.
    pub(super) fn seed(&self, counter: &Arc<str>, measure: &Measure, amount: u64, now_us: i64) {
        let count = self.memory.seed(counter, measure, amount, now_us);
        self.bring(counter, &count);
    }

    /// Reports again what only this instance knows: its running calls and the use of periods, in
    /// case Redis lost its data or took this instance for dead.
    pub(crate) fn tell_again(&self) {
        self.memory.each(|counter, count| {
            if count.lock().at_once().is_some_and(|calls| calls > 0) {
                self.tell(counter, Spot::AtOnce, 0, count);
            }
            self.bring(counter, count);
        });
    }

    fn bring(&self, counter: &Arc<str>, count: &Arc<Mutex<Count>>) {
        let spot = {
            let count = count.lock();
            let period = count.period();
            let period = period.filter(|p| p.known().is_some_and(|(known, _)| known > 0));
            period.map(|p| Spot::Period { start_us: p.start_us, end_us: p.end_us })
        };
        if let Some(spot) = spot {
            self.tell(counter, spot, 0, count);
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// Returns a new sequence number.
    pub(super) fn number(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns a new, unique life of data.
    pub(super) fn new_life(&self) -> u64 {
        self.lives.wrapping_add(self.number())
    }

    pub(super) fn prefix(&self) -> &str {
        self.link.prefix()
    }

    /// Returns a name in Redis.
    pub(super) fn name(&self, what: &str, which: &str) -> String {
        format!("{}:{what}:{which}", self.prefix())
    }
}

impl Receipt {
    /// Corrects a reservation to the actual use.
    pub(super) fn correct(&self, index: usize, count: &Arc<Mutex<Count>>, held: u64, actual: u64) {
        let Some((counter, Some(spot))) = self.noted.get(index) else { return };
        let delta = i128::from(actual) - i128::from(held);
        if delta != 0 || *spot == Spot::AtOnce {
            self.shared.tell(counter, *spot, delta, count);
        }
    }
}
