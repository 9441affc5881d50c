//! Recorded bodies, for the upstreams where that is switched on: the beginning of the request and
//! of the answer, best effort. They leave by a bounded queue; when it is full they are dropped and
//! counted, and no call waits. Whoever takes them from the queue masks them before they are kept.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use uuid::Uuid;

/// How much of a body is recorded.
const SAMPLE_MAX: usize = 64 << 10;
/// Recorded calls that wait to be taken.
const QUEUE: usize = 256;

/// The bodies of one call, capped and not masked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Of which log entry.
    pub log: Uuid,
    /// What the client sent, where it was held.
    pub request: Sample,
    /// What the client got.
    pub answer: Sample,
}

/// The beginning of a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// At most 64 KiB of it.
    pub bytes: Vec<u8>,
    /// Whether there was more.
    pub cut: bool,
}

impl Sample {
    fn push(&mut self, piece: &[u8]) {
        let room = SAMPLE_MAX - self.bytes.len();
        self.cut |= piece.len() > room;
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

/// The queue of recorded calls.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Recorded>,
    taken_by: Mutex<Option<mpsc::Receiver<Recorded>>>,
    dropped: AtomicU64,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        let (queue, taken_by) = mpsc::channel(QUEUE);
        Self { queue, taken_by: Mutex::new(Some(taken_by)), dropped: AtomicU64::new(0) }
    }

    /// The other end of the queue; there is one.
    pub(crate) fn take(&self) -> Option<mpsc::Receiver<Recorded>> {
        self.taken_by.lock().take()
    }

    /// How many recorded calls found the queue full.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Puts a call into the queue, if there is room.
    pub(crate) fn put(&self, recorded: Recorded) {
        if self.queue.try_send(recorded).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Recorded {
    /// A call whose body began so.
    pub(crate) fn new(log: Uuid, request: &Bytes) -> Self {
        let mut recorded = Self { log, request: Sample::default(), answer: Sample::default() };
        recorded.request.push(request);
        recorded
    }

    /// More of the answer goes out.
    pub(crate) fn passing(&mut self, pieces: &[Bytes]) {
        pieces.iter().for_each(|piece| self.answer.push(piece));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_the_beginning_and_says_when_there_was_more() {
        let mut recorded = Recorded::new(Uuid::nil(), &Bytes::from(vec![b'q'; SAMPLE_MAX]));
        recorded.passing(&[Bytes::from(vec![b'a'; SAMPLE_MAX - 1]), Bytes::from_static(b"bc")]);
        assert!(!recorded.request.cut && recorded.answer.cut);
        assert_eq!(
            (recorded.request.bytes.len(), recorded.answer.bytes.len()),
            (SAMPLE_MAX, SAMPLE_MAX)
        );
        assert!(recorded.answer.bytes.ends_with(b"ab"));
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let recorder = Recorder::new();
        let one = Recorded::new(Uuid::nil(), &Bytes::new());
        (0..QUEUE + 3).for_each(|_| recorder.put(one.clone()));
        assert_eq!(recorder.dropped(), 3);
        let mut queue = recorder.take().unwrap();
        assert_eq!(queue.try_recv(), Ok(one));
        assert!(recorder.take().is_none());
    }
}
