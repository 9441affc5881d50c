//! The keeper: one thread per journal. It brings groups of records to the disk where the settings
//! ask for it, and tries a disk that failed until it works again. Otherwise it sleeps.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::JournalError;
use super::writer::{GROUP, Tail, Trouble, Writer};

/// So long the first record of a group waits for others.
const GATHER: Duration = Duration::from_millis(10);
/// So long after a failure the disk is tried again; a broken one ever more rarely.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Starts the thread. It ends when the tail is marked closed.
pub(super) fn start(writer: Arc<Writer>) -> Result<JoinHandle<()>, JournalError> {
    thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || keep(&writer))
        .map_err(|cause| JournalError::io("cannot start the journal's thread", cause))
}

fn keep(writer: &Writer) {
    let mut tail = writer.tail.lock();
    let mut pause = PAUSE;
    loop {
        let closed = tail.closed;
        if tail.trouble.is_some() {
            if !closed {
                writer.work.wait_for(&mut tail, pause);
            }
            pause = match writer.mend(&mut tail) {
                Err(Trouble::Broken) => (pause * 2).min(LONGEST_PAUSE),
                Ok(()) | Err(Trouble::Full) => PAUSE,
            };
        } else if let Some(since) = tail.unsynced_since {
            let deadline = since + GATHER;
            if closed || tail.unsynced.len() >= GROUP || Instant::now() >= deadline {
                sync(writer, &mut tail);
            } else {
                writer.work.wait_until(&mut tail, deadline);
            }
        } else if !closed {
            writer.work.wait(&mut tail);
        }
        if closed {
            return;
        }
    }
}

/// Syncs what is there now; others go on appending meanwhile.
fn sync(writer: &Writer, tail: &mut MutexGuard<'_, Tail>) {
    let last = tail.appended;
    let closed = tail.unsynced_segments.clone();
    let segments = writer.to_sync(tail);
    let failed =
        MutexGuard::unlocked(tail, || segments.iter().find_map(|segment| segment.sync().err()));
    match failed {
        None => {
            let done = |segment: &Arc<_>| closed.iter().any(|other| Arc::ptr_eq(segment, other));
            tail.unsynced_segments.retain(|segment| !done(segment));
            writer.synced(tail, last);
        }
        Some(cause) => {
            tracing::error!(%cause, "the journal could not be synced: writing to a new segment");
            // Failing again is noted in the tail, and the next round tries to mend it.
            let _ = writer.write_again(tail);
        }
    }
}
