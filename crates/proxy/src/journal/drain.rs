//! The reading side: one task takes batches from here to the database.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::log::{JournalPosition, LogEntry};
use tokio::time::Instant;
use uuid::Uuid;

use super::record::{self, HEAD, Kind};
use super::scan::{self, Found};
use super::track::{Track, entry};
use super::writer::Writer;
use super::{JournalError, interrupt, segment};

/// After the first news, so long others are awaited: a commit costs the same for many.
const GATHER: Duration = Duration::from_millis(20);
/// So often the journals of instances that died meanwhile are looked for.
const LOOK_FOR_ORPHANS: Duration = Duration::from_secs(30);

/// The reading side: one task takes batches from here to the database.
///
/// After the start, tell it with [`Drain::skip_to`] what the database has of each of
/// [`Drain::journals`]; then, again and again: [`Drain::next_batch`], commit, [`Drain::release`].
#[derive(Debug)]
pub struct Drain {
    writer: Arc<Writer>,
    own: Track,
    adopted: Vec<Track>,
    /// When to look for orphans again, however much comes meanwhile.
    look_at: Instant,
}

/// Entries to bring into the database in one transaction, together with the position.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The entries, oldest first.
    pub entries: Vec<LogEntry>,
    /// What is done with once they are committed.
    pub position: JournalPosition,
    /// Whether the entries could not be written and were taken from memory.
    kept: bool,
}

impl Drain {
    pub(super) fn new(writer: Arc<Writer>) -> Drain {
        let own = Track::new(writer.dir.clone(), BTreeMap::new(), None);
        Drain { writer, own, adopted: Vec::new(), look_at: Instant::now() + LOOK_FOR_ORPHANS }
    }

    /// The journals that this process drains: its own, and those that it adopted.
    pub fn journals(&self) -> Vec<String> {
        let tracks = std::iter::once(&self.own).chain(&self.adopted);
        tracks.map(|track| track.name.clone()).collect()
    }

    /// Passes over what the database already has.
    pub fn skip_to(&mut self, position: &JournalPosition) -> Result<(), JournalError> {
        let mut skipped = 0;
        if self.own.name == position.journal {
            skipped = self.own.skip_to(position, &own_segments(&self.writer))?;
        }
        for track in self.adopted.iter_mut().filter(|track| track.name == position.journal) {
            let segments = track.segments.clone();
            skipped += track.skip_to(position, &segments)?;
        }
        self.writer.waiting.fetch_sub(skipped, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until there is something, then gives at most `max` entries. Release a batch before
    /// asking for the next; when the database fails, keep it and commit it later. May be dropped
    /// while it waits.
    pub async fn next_batch(&mut self, max: usize) -> Result<Batch, JournalError> {
        loop {
            if Instant::now() >= self.look_at {
                self.look_at = Instant::now() + LOOK_FOR_ORPHANS;
                self.adopt()?;
            }
            if let Some(batch) = self.batch_now(max)? {
                return Ok(batch);
            }
            let writer = Arc::clone(&self.writer);
            let news = tokio::time::timeout_at(self.look_at, writer.news.notified());
            if news.await.is_ok() {
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    /// What is there now, without waiting: for the end of the process.
    pub fn batch_now(&mut self, max: usize) -> Result<Option<Batch>, JournalError> {
        let mut entries = Vec::new();
        for at in (0..self.adopted.len()).rev() {
            let track = &mut self.adopted[at];
            let segments = track.segments.clone();
            track.fill(&segments, u64::MAX, max, &mut entries, &self.writer)?;
            let position = track.position();
            if !entries.is_empty() {
                return Ok(Some(Batch::new(entries, position, false)));
            }
            self.release_adopted(&position);
        }
        let segments = own_segments(&self.writer);
        let first = self.writer.first;
        self.own.fill(&segments, first, max, &mut entries, &self.writer)?;
        let mut kept = false;
        if entries.is_empty() {
            let records = self.writer.kept(max);
            kept = true;
            entries.extend(records.iter().filter_map(|record| entry(&record[HEAD..])));
        }
        let position = self.own.position();
        if entries.is_empty() {
            // All that was given before has been released, so this may go as well.
            self.release_own(&position);
            return Ok(None);
        }
        Ok(Some(Batch::new(entries, position, kept)))
    }

    /// `batch` is committed: what lies before its position may go.
    pub fn release(&mut self, batch: &Batch) {
        let mut done = batch.entries.len() as u64;
        if batch.kept {
            let ids: Vec<Uuid> = batch.entries.iter().map(|entry| entry.id).collect();
            done = self.writer.forget(&ids);
            ids.iter().for_each(|id| drop(self.own.open.remove(id)));
        }
        self.writer.waiting.fetch_sub(done, Ordering::Relaxed);
        self.writer.moved();
        if batch.position.journal == self.own.name {
            self.release_own(&batch.position);
        } else {
            self.release_adopted(&batch.position);
        }
    }

    /// Deletes our segments before `position`, after the intents of calls that still go on were
    /// written again behind it.
    fn release_own(&mut self, position: &JournalPosition) {
        let segments = own_segments(&self.writer);
        let mut done: Vec<u64> = segments.range(..position.segment).map(|(n, _)| *n).collect();
        let (Some(first), Some(last)) = (done.first(), done.last()) else { return };
        // What our predecessors had begun was settled at the start; that must be on file first.
        if *first < self.writer.first && !self.writer.kept(1).is_empty() {
            return;
        }
        if !self.carry_on(*last) {
            // A full disk: what is deleted now makes the room to carry the others on later.
            let pinned: HashSet<u64> = self.own.open.values().map(|(n, _)| *n).collect();
            done.retain(|number| !pinned.contains(number));
        }
        if !self.writer.on_disk() {
            return;
        }
        for number in done {
            if !delete(&segment::path(&self.own.dir, number)) {
                return;
            }
            self.writer.tail.lock().sealed.remove(&number);
            self.writer.freed(segments[&number]);
        }
    }

    /// Writes the intents of calls that still go on again, where they lie in a segment up to
    /// `last`.
    fn carry_on(&mut self, last: u64) -> bool {
        let going = self.own.open.iter().filter(|(_, (segment, _))| *segment <= last);
        let (ids, records): (Vec<Uuid>, Vec<Vec<u8>>) = going
            .map(|(id, (_, payload))| {
                let mut bytes = Vec::new();
                record::build(&mut bytes, Kind::Carried, *id, |out| out.extend(payload));
                (*id, bytes)
            })
            .unzip();
        if ids.is_empty() {
            return true;
        }
        let Some(now_in) = self.writer.carry(&records) else { return false };
        for id in ids {
            if let Some((segment, _)) = self.own.open.get_mut(&id) {
                *segment = now_in;
            }
        }
        true
    }

    /// Deletes the segments before `position` of a journal that nobody writes any more, and the
    /// journal with its last.
    fn release_adopted(&mut self, position: &JournalPosition) {
        let found = self.adopted.iter().position(|t| t.name == position.journal);
        let Some(at) = found else { return };
        if !self.writer.kept(1).is_empty() || !self.writer.on_disk() {
            return;
        }
        let track = &mut self.adopted[at];
        let finished = track.finished && *position == track.position();
        while let Some(first) = track.segments.first_entry() {
            if *first.key() >= position.segment && !finished {
                return;
            }
            if !delete(&segment::path(&track.dir, *first.key())) {
                return;
            }
            self.writer.freed(first.remove());
        }
        if !finished {
            return;
        }
        scan::remove(&track.dir);
        self.adopted.remove(at);
    }

    /// Takes over the journals of instances that died: their entries are drained with ours, and
    /// calls that they had begun get an entry from us.
    pub(super) fn adopt(&mut self) -> Result<(), JournalError> {
        let root = &self.writer.settings.dir;
        let found = scan::claim_all(root)
            .map_err(|cause| JournalError::io(format!("cannot read {}", root.display()), cause))?;
        found.into_iter().for_each(|journal| self.take_over(journal));
        Ok(())
    }

    pub(super) fn take_over(&mut self, found: Found) {
        let journal = found.dir.display();
        tracing::info!(%journal, entries = found.settles, "adopted the journal of a dead instance");
        let writer = &self.writer;
        writer.waiting.fetch_add(found.settles, Ordering::Relaxed);
        writer.bytes.fetch_add(found.bytes(), Ordering::Relaxed);
        interrupt(writer, &found.open);
        let track = Track::new(found.dir, found.segments, Some(found.lock));
        self.adopted.push(track);
    }
}

impl Batch {
    fn new(entries: Vec<LogEntry>, position: JournalPosition, kept: bool) -> Batch {
        Batch { entries, position, kept }
    }
}

fn own_segments(writer: &Writer) -> BTreeMap<u64, u64> {
    let tail = writer.tail.lock();
    let mut segments = tail.sealed.clone();
    segments.insert(tail.number, tail.written);
    segments
}

fn delete(path: &Path) -> bool {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            tracing::error!(path = %path.display(), %cause, "a segment cannot be deleted");
            false
        }
        _ => true,
    }
}
