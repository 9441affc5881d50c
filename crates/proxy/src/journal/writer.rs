//! The writing side: one file, one lock around it, and what happens when the disk says no.
//!
//! Records are built outside the lock and appended with one write. A record that could not be
//! written whole is cut off again, or its segment is given up for a new one, so that no record
//! ever stands behind half of another. Entries of calls that are under way are never dropped:
//! those that cannot be written wait in memory, where the drain finds them too.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::record::{self, Kind};
use super::scan::Lock;
use super::segment::{self, Disk, Segment};
use super::{Durability, Health, JournalError, Settings};

/// Room that a full disk must have again before calls are taken.
const PROBE: usize = 64 << 10;

/// As much as the intent of one call takes: with less room left no call is let in.
const INTENT: usize = 1 << 10;

/// So many records are synced without waiting for more.
pub(super) const GROUP: usize = 128;

/// Everything behind [`super::Journal`] and [`super::Drain`].
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) settings: Settings,
    pub(super) dir: PathBuf,
    /// The first segment of this process; those before it are of its predecessors.
    pub(super) first: u64,
    disk: Box<dyn Disk>,
    /// Locked while this process lives.
    _lock: Lock,
    pub(super) tail: Mutex<Tail>,
    /// Wakes the drain.
    pub(super) news: Notify,
    /// Wakes the keeper.
    pub(super) work: Condvar,
    pub(super) progress: watch::Sender<Progress>,
    /// Settle records that the database does not have.
    pub(super) waiting: AtomicU64,
    /// When the database last took some of them, or the first of them came: in milliseconds after
    /// `opened`.
    moved: AtomicU64,
    opened: Instant,
    /// Bytes of all segments of all journals of this process.
    pub(super) bytes: AtomicU64,
}

/// The end of the journal, where it grows.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The segment that is written, and how long it is. None after it was given up.
    file: Option<Arc<dyn Segment>>,
    pub(super) number: u64,
    pub(super) written: u64,
    /// The segments before it, with their lengths.
    pub(super) sealed: BTreeMap<u64, u64>,
    /// Records that were accepted and could not be written yet.
    pub(super) pending: VecDeque<Vec<u8>>,
    /// What is wrong with the disk.
    pub(super) trouble: Option<Trouble>,
    pub(super) closed: bool,
    /// Records that were appended so far, and those of them that no sync has covered.
    pub(super) appended: u64,
    pub(super) unsynced: VecDeque<Vec<u8>>,
    pub(super) unsynced_since: Option<Instant>,
    /// Segments that were closed before they were synced.
    pub(super) unsynced_segments: Vec<Arc<dyn Segment>>,
}

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Full,
    Broken,
}

impl From<Trouble> for JournalError {
    fn from(trouble: Trouble) -> JournalError {
        match trouble {
            Trouble::Full => JournalError::Full,
            Trouble::Broken => JournalError::Broken,
        }
    }
}

/// How far the disk has come, for those who wait for it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Records that are synced.
    pub(super) synced: u64,
    /// Syncs that failed for good.
    pub(super) failures: u64,
}

/// What a record got when it was appended: with it one can wait for the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    number: u64,
    failures: u64,
}

impl Writer {
    pub(super) fn new(
        settings: Settings,
        dir: PathBuf,
        lock: Lock,
        sealed: BTreeMap<u64, u64>,
        disk: Box<dyn Disk>,
    ) -> Writer {
        let last = sealed.last_key_value().map_or(0, |(number, _)| *number);
        Writer {
            settings,
            dir,
            first: last + 1,
            disk,
            _lock: lock,
            tail: Mutex::new(Tail { number: last, sealed, ..Tail::default() }),
            news: Notify::new(),
            work: Condvar::new(),
            progress: watch::Sender::new(Progress::default()),
            waiting: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            opened: Instant::now(),
            bytes: AtomicU64::new(0),
        }
    }

    /// Begins the first segment of this process. Until there is one, nothing may be deleted:
    /// the numbers of the segments must go on growing.
    pub(super) fn begin(&self) -> Result<(), JournalError> {
        let mut tail = self.tail.lock();
        self.next_segment(&mut tail).map_err(|cause| {
            JournalError::io(format!("cannot write to {}", self.dir.display()), cause)
        })
    }

    /// Appends an intent, or says why the call must be refused.
    pub(super) fn intend(&self, record: &[u8]) -> Result<Ticket, JournalError> {
        let mut tail = self.tail.lock();
        if let Some(trouble) = tail.trouble {
            return Err(trouble.into());
        }
        if self.over_cap(record.len()) {
            return Err(JournalError::Full);
        }
        self.write(&mut tail, record).map_err(|trouble| self.enter(&mut tail, trouble))?;
        Ok(self.ticket(&tail))
    }

    /// Appends a record that must not be lost: when it cannot be written it is kept.
    pub(super) fn append(&self, record: &[u8]) -> Result<Ticket, JournalError> {
        let mut tail = self.tail.lock();
        let written = match tail.trouble {
            Some(trouble) => Err(trouble.into()),
            None => self.write(&mut tail, record).map_err(|trouble| self.enter(&mut tail, trouble)),
        };
        if written.is_err() {
            tail.pending.push_back(record.to_vec());
        }
        let ticket = self.ticket(&tail);
        drop(tail);
        if record::view(record).kind == Some(Kind::Settle) {
            if self.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
                self.moved();
            }
            self.news.notify_one();
        }
        written.map(|()| ticket)
    }

    /// Appends intents of segments that are about to go, and says in which segment they are safe
    /// now. None when they could not be written.
    pub(super) fn carry(&self, records: &[Vec<u8>]) -> Option<u64> {
        let mut tail = self.tail.lock();
        let first = tail.number;
        if tail.trouble.is_some() {
            return None;
        }
        for record in records {
            if let Err(trouble) = self.write(&mut tail, record) {
                self.enter(&mut tail, trouble);
                return None;
            }
        }
        Some(first)
    }

    /// Waits until the record is as safe as the settings want it.
    pub(super) async fn safe(&self, ticket: Ticket) -> Result<(), JournalError> {
        if self.settings.durability == Durability::Process {
            return Ok(());
        }
        let mut progress = self.progress.subscribe();
        let reached = progress
            .wait_for(|now| now.synced >= ticket.number || now.failures > ticket.failures)
            .await;
        match reached {
            Ok(now) if now.synced >= ticket.number => Ok(()),
            _ => Err(JournalError::Broken),
        }
    }

    fn ticket(&self, tail: &Tail) -> Ticket {
        Ticket {
            number: tail.appended,
            failures: match self.settings.durability {
                Durability::Process => 0,
                Durability::Power => self.progress.borrow().failures,
            },
        }
    }

    /// Whether `more` bytes would be too many.
    pub(super) fn over_cap(&self, more: usize) -> bool {
        self.bytes.load(Ordering::Relaxed) + more as u64 > self.settings.cap
    }

    /// Notes that the database takes what waits.
    pub(super) fn moved(&self) {
        self.moved.store(self.opened.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// For how long nothing of what waits was taken.
    pub(super) fn behind(&self) -> Duration {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return Duration::ZERO;
        }
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(moved)
    }

    pub(super) fn health(&self) -> Health {
        match self.tail.lock().trouble {
            Some(Trouble::Full) => Health::Full,
            Some(Trouble::Broken) => Health::Broken,
            None if self.over_cap(INTENT) => Health::Full,
            None => Health::Good,
        }
    }

    /// Appends to the current segment, or to a new one when this is full or does not work.
    pub(super) fn write(&self, tail: &mut Tail, record: &[u8]) -> Result<(), Trouble> {
        let length = record.len() as u64;
        if tail.written > 0 && tail.written + length > self.settings.segment_bytes {
            // When the next cannot be made, the current one still serves.
            drop(self.next_segment(tail));
        }
        self.put(tail, record)?;
        tail.appended += 1;
        if self.settings.durability == Durability::Power {
            tail.unsynced.push_back(record.to_vec());
            tail.unsynced_since.get_or_insert_with(Instant::now);
            if matches!(tail.unsynced.len(), 1 | GROUP) {
                self.work.notify_one();
            }
        }
        Ok(())
    }

    fn put(&self, tail: &mut Tail, bytes: &[u8]) -> Result<(), Trouble> {
        for _ in 0..2 {
            if tail.file.is_none() {
                self.next_segment(tail).map_err(|cause| trouble(&cause))?;
            }
            let Some(file) = tail.file.clone() else { break };
            let Err(cause) = segment::append_all(&*file, bytes) else {
                tail.written += bytes.len() as u64;
                self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                return Ok(());
            };
            let full = segment::is_full(&cause);
            if file.cut(tail.written).is_err() || !full {
                tracing::warn!(%cause, segment = tail.number, "the journal gives up a segment");
                tail.file = None;
            }
            if full {
                return Err(Trouble::Full);
            }
        }
        Err(Trouble::Broken)
    }

    /// Closes the current segment and begins the next. On an error everything stays.
    fn next_segment(&self, tail: &mut Tail) -> std::io::Result<()> {
        let next = tail.number + 1;
        let path = segment::path(&self.dir, next);
        let file = self.disk.create(&path)?;
        if self.settings.durability == Durability::Power {
            if let Err(cause) = self.disk.sync_dir(&self.dir) {
                drop(fs::remove_file(&path));
                return Err(cause);
            }
            if let Some(before) = tail.file.take() {
                tail.unsynced_segments.push(before);
            }
        }
        if next > self.first {
            tail.sealed.insert(tail.number, tail.written);
        }
        tail.file = Some(file);
        tail.number = next;
        tail.written = 0;
        Ok(())
    }

    /// Notes trouble, tells the log, and sets the keeper to work.
    fn enter(&self, tail: &mut Tail, trouble: Trouble) -> JournalError {
        if tail.trouble.replace(trouble) != Some(trouble) {
            match trouble {
                Trouble::Full => tracing::error!("the journal's disk is full: calls are refused"),
                Trouble::Broken => {
                    tracing::error!("the journal cannot be written: calls are refused");
                }
            }
        }
        self.work.notify_one();
        trouble.into()
    }

    /// Tries whether the disk works again, and writes what waits. The keeper does it.
    pub(super) fn mend(&self, tail: &mut Tail) -> Result<(), Trouble> {
        let mended = self.try_to_mend(tail);
        match mended {
            Ok(()) => {
                tail.trouble = None;
                tracing::info!("the journal can be written again");
            }
            Err(trouble) => {
                tail.trouble = Some(trouble);
                self.let_go(tail);
            }
        }
        mended
    }

    /// Closes the current segment, so that it can be deleted once it is drained: on a small disk
    /// there is no other room to be had.
    fn let_go(&self, tail: &mut Tail) {
        if tail.written > 0 && self.next_segment(tail).is_ok() {
            self.news.notify_one();
        }
    }

    fn try_to_mend(&self, tail: &mut Tail) -> Result<(), Trouble> {
        self.put(tail, &[0; PROBE])?;
        tail.written -= PROBE as u64;
        self.bytes.fetch_sub(PROBE as u64, Ordering::Relaxed);
        if let Some(file) = &tail.file
            && file.cut(tail.written).is_err()
        {
            tail.file = None;
        }
        if !tail.unsynced.is_empty() {
            self.write_again(tail)?;
        }
        while let Some(record) = tail.pending.pop_front() {
            if let Err(trouble) = self.write(tail, &record) {
                tail.pending.push_front(record);
                return Err(trouble);
            }
        }
        self.news.notify_one();
        Ok(())
    }

    /// After a sync that failed: what it should have covered goes to a new segment, for a failed
    /// sync may have dropped it, and a second one on the same file would not say so.
    pub(super) fn write_again(&self, tail: &mut Tail) -> Result<(), Trouble> {
        tail.file = None;
        tail.unsynced_segments.clear();
        let records: Vec<Vec<u8>> = tail.unsynced.iter().cloned().collect();
        let again =
            records.iter().try_for_each(|record| self.put(tail, record)).and_then(|()| match &tail
                .file
            {
                Some(file) => file.sync().map_err(|cause| trouble(&cause)),
                None => Err(Trouble::Broken),
            });
        match again {
            Ok(()) => self.synced(tail, tail.appended),
            Err(trouble) => {
                tail.file = None;
                self.progress.send_modify(|now| now.failures += 1);
                self.enter(tail, trouble);
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// The records up to the one with the number `last` are on the disk. Somebody else may have
    /// seen to some of them meanwhile.
    pub(super) fn synced(&self, tail: &mut Tail, last: u64) {
        let newer = (tail.appended - last) as usize;
        let count = tail.unsynced.len().saturating_sub(newer);
        tail.unsynced.drain(..count);
        tail.unsynced_since = (!tail.unsynced.is_empty()).then(Instant::now);
        let synced = tail.appended - tail.unsynced.len() as u64;
        self.progress.send_modify(|now| now.synced = synced);
    }

    /// Sees to it that all records are as safe as the settings want them.
    pub(super) fn on_disk(&self) -> bool {
        let mut tail = self.tail.lock();
        if tail.unsynced.is_empty() {
            return true;
        }
        let segments = self.to_sync(&tail);
        if segments.iter().all(|segment| segment.sync().is_ok()) {
            tail.unsynced_segments.clear();
            let last = tail.appended;
            self.synced(&mut tail, last);
            return true;
        }
        self.write_again(&mut tail).is_ok()
    }

    /// So many bytes were deleted: there may be room again.
    pub(super) fn freed(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.work.notify_one();
    }

    /// The segments that a sync must cover now. Those that are closed stay noted until it is done:
    /// others may have to rely on it meanwhile.
    pub(super) fn to_sync(&self, tail: &Tail) -> Vec<Arc<dyn Segment>> {
        let mut segments = tail.unsynced_segments.clone();
        segments.extend(tail.file.clone());
        segments
    }

    /// Settles that wait in memory, at most `max` of them.
    pub(super) fn kept(&self, max: usize) -> Vec<Vec<u8>> {
        let tail = self.tail.lock();
        let settles =
            tail.pending.iter().filter(|record| record::view(record).kind == Some(Kind::Settle));
        settles.take(max).cloned().collect()
    }

    /// Forgets the settles of these calls where they still wait in memory; says how many did.
    pub(super) fn forget(&self, ids: &[Uuid]) -> u64 {
        let mut tail = self.tail.lock();
        let before = tail.pending.len();
        tail.pending.retain(|record| {
            let record = record::view(record);
            record.kind != Some(Kind::Settle) || !ids.contains(&record.id)
        });
        (before - tail.pending.len()) as u64
    }
}

fn trouble(cause: &std::io::Error) -> Trouble {
    if segment::is_full(cause) { Trouble::Full } else { Trouble::Broken }
}
