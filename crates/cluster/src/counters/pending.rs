//! What Redis is still to be told: corrections, merged by counter, and reservations of which it is
//! not known whether they were made. Whoever settles leaves them here and goes on; they are sent by
//! a task.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::count::Count;
use super::spot::Spot;

/// Most corrections that wait, each of another counter or another part of a window. Beyond that
/// they are lost, and what was reserved counts as used.
const CORRECTIONS_MAX: usize = 1 << 18;
/// Most reservations that wait to be undone. Beyond that the oldest stay as they are.
const UNDOS_MAX: usize = 4096;
/// Most corrections that are sent together.
const BATCH_CORRECTIONS: usize = 256;
/// Most reservations that are undone together.
const BATCH_UNDOS: usize = 64;

/// What waits to be sent.
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

/// So much more or less of a counter. For calls at once the counter itself says how many.
#[derive(Debug)]
pub(super) struct Correction {
    pub(super) counter: Arc<str>,
    pub(super) spot: Spot,
    pub(super) delta: i128,
    pub(super) count: Arc<Mutex<Count>>,
}

/// A reservation that may have been made.
#[derive(Debug)]
pub(super) struct Undo {
    pub(super) id: String,
    /// When it was asked for.
    pub(super) now_us: i64,
    /// Which of the asks it was, of which counter, where and how much.
    pub(super) asks: Vec<(usize, Arc<str>, Spot, u64)>,
}

/// What is sent together, under one number.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) undos: Vec<Undo>,
    pub(super) corrections: Vec<Correction>,
}

impl Pending {
    /// So much more or less was used; nothing of it is lost while there is room.
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

    /// A reservation is to be taken back, if it was made.
    pub(super) fn undo(&self, undo: Undo) {
        let mut waiting = self.waiting.lock();
        if waiting.undos.len() >= UNDOS_MAX {
            waiting.undos.pop_front();
        }
        waiting.undos.push_back(undo);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Waits until there is something to be sent.
    pub(super) async fn some(&self) {
        self.wake.notified().await;
    }

    /// Takes what is sent next; none where nothing waits.
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
