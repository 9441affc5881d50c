//! The queue of events for those that store them: transitions of keys and breakers, rule triggers,
//! alerts. No call waits for it; events that do not fit are counted and dropped.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::Event;
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// Most that waits to be kept.
const QUEUE: usize = 16 << 10;

/// Tells events, to one listener.
#[derive(Debug)]
pub(crate) struct Teller {
    queue: mpsc::Sender<Event>,
    listener: Mutex<Option<mpsc::Receiver<Event>>>,
    lost: AtomicU64,
}

impl Teller {
    pub(crate) fn new() -> Self {
        let (queue, listener) = mpsc::channel(QUEUE);
        Self { queue, listener: Mutex::new(Some(listener)), lost: AtomicU64::new(0) }
    }

    /// Tells what happened.
    pub(crate) fn tell(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            if self.queue.try_send(event).is_err() && self.lost.fetch_add(1, Ordering::Relaxed) == 0
            {
                tracing::warn!("nobody keeps what happens to keys: events are lost");
            }
        }
    }

    /// The queue, for the listener; given once.
    pub(crate) fn listener(&self) -> Option<mpsc::Receiver<Event>> {
        self.listener.lock().take()
    }

    /// How much was lost because the queue was full.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
