//! Pending messages to Redis: corrections, merged by counter, and reservations of unknown outcome.
//! A task sends them, so settling does not wait.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::count::Count;
use super::spot::Spot;

/// Most pending corrections, each of another counter or part of a window. Beyond that they are
/// dropped, and the reserved amounts count as used.
const CORRECTIONS_MAX: usize = 1 << 18;
/// Most pending cancellations. Beyond that the oldest reservations stay.
const UNDOS_MAX: usize = 4096;
/// Most corrections in one batch.
const BATCH_CORRECTIONS: usize = 256;
/// Most cancellations in one batch.
const BATCH_UNDOS: usize = 64;

/// The pending messages.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    corrections: HashMap<(Arc<str>, Spot), Change>,
    undos: VecDeque<Undo>,
    lost: bool,
}

#[derive(Debug)]
struct Change {
    delta: i128,
    count: Arc<Mutex<Count>>,
}

/// A correction of a counter. For concurrent calls the counter itself has the number.
#[derive(Debug)]
pub(super) struct Correction {
    pub(super) counter: Arc<str>,
    pub(super) spot: Spot,
    pub(super) delta: i128,
    pub(super) count: Arc<Mutex<Count>>,
}

/// A reservation that may have been made and is to be cancelled.
#[derive(Debug)]
pub(super) struct Undo {
    pub(super) id: String,
    /// The time of the request, in microseconds since 1970.
    pub(super) now_us: i64,
    /// The asks: index, counter, place and amount.
    pub(super) asks: Vec<(usize, Arc<str>, Spot, u64)>,
}

/// A numbered batch.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) undos: Vec<Undo>,
    pub(super) corrections: Vec<Correction>,
}

impl Pending {
    /// Adds a correction; none is lost while there is capacity.
    pub(super) fn correct(&self, more: Correction) {
        let Correction { counter, spot, delta, count } = more;
        let mut waiting = self.waiting.lock();
        let full = waiting.corrections.len() >= CORRECTIONS_MAX;
        match waiting.corrections.get_mut(&(Arc::clone(&counter), spot)) {
            Some(change) => change.delta += delta,
            None if full => {
                if !std::mem::replace(&mut waiting.lost, true) {
                    tracing::warn!(
                        "redis is away and {CORRECTIONS_MAX} corrections wait: more are lost"
                    );
                }
            }
            None => {
                waiting.corrections.insert((counter, spot), Change { delta, count });
            }
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Adds a cancellation of a reservation.
    pub(super) fn undo(&self, undo: Undo) {
        let mut waiting = self.waiting.lock();
        if waiting.undos.len() >= UNDOS_MAX {
            waiting.undos.pop_front();
        }
        waiting.undos.push_back(undo);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Waits until something is pending.
    pub(super) async fn some(&self) {
        self.wake.notified().await;
    }

    /// Takes the next batch; `None` if nothing is pending.
    pub(super) fn next(&self, number: impl FnOnce() -> u64) -> Option<Batch> {
        let mut waiting = self.waiting.lock();
        let most = waiting.undos.len().min(BATCH_UNDOS);
        let undos: Vec<Undo> = waiting.undos.drain(..most).collect();
        let some = waiting.corrections.keys().take(BATCH_CORRECTIONS).cloned();
        let some: Vec<_> = some.collect();
        let corrections = some.into_iter().filter_map(|(counter, spot)| {
            let ((counter, _), Change { delta, count }) =
                waiting.corrections.remove_entry(&(counter, spot))?;
            Some(Correction { counter, spot, delta, count })
        });
        let corrections: Vec<Correction> = corrections.collect();
        if waiting.corrections.is_empty() {
            waiting.lost = false;
        }
        let empty = undos.is_empty() && corrections.is_empty();
        (!empty).then(|| Batch { number: number(), undos, corrections })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Measure;

    fn more(counter: &str, delta: i128) -> Correction {
        let count = Arc::new(Mutex::new(Count::new(&Measure::AtOnce, 0)));
        let spot = Spot::Period { start_us: 0, end_us: None };
        Correction { counter: Arc::from(counter), spot, delta, count }
    }

    #[test]
    fn corrections_of_one_counter_are_one() {
        let pending = Pending::default();
        for delta in [5, -20, 7] {
            pending.correct(more("a", delta));
        }
        let batch = pending.next(|| 1).unwrap();
        let deltas: Vec<i128> = batch.corrections.iter().map(|one| one.delta).collect();
        assert_eq!(deltas, [-8]);
        assert!(pending.next(|| 2).is_none());
    }

    #[test]
    fn batches_are_bounded_and_so_is_what_waits() {
        let pending = Pending::default();
        for i in 0..2 * BATCH_CORRECTIONS {
            pending.correct(more(&i.to_string(), 1));
        }
        for i in 0..=UNDOS_MAX {
            pending.undo(Undo { id: i.to_string(), now_us: 0, asks: Vec::new() });
        }
        let batch = pending.next(|| 1).unwrap();
        assert_eq!((batch.corrections.len(), batch.undos.len()), (BATCH_CORRECTIONS, BATCH_UNDOS));
        assert_eq!(batch.undos[0].id, "1", "the oldest is lost");
        let undos = |batch: Batch| batch.undos.len();
        let rest: usize = std::iter::from_fn(|| pending.next(|| 2)).map(undos).sum();
        assert_eq!(rest, UNDOS_MAX - BATCH_UNDOS);
    }
}
