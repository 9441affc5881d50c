//! The journal: the crash-safe file that holds log entries until the database has them.
//!
//! An intent is written before a provider is asked and a settle record before the last byte of
//! the answer goes out, so that a call that was answered is known whatever happens next. What the
//! database does with the entries is not known here: [`Drain`] hands them out in batches and is
//! told when they are safe.

mod drain;
mod error;
mod intent;
mod keeper;
mod record;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod track;
mod writer;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use domain::log::LogEntry;
use uuid::Uuid;

use record::Kind;
use segment::RealDisk;
use writer::{Ticket, Writer};

pub use drain::{Batch, Drain};
pub use error::JournalError;
pub use intent::{Intent, Reservation};

/// When a record counts as written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// After the write: survives the end of the process, however it comes.
    #[default]
    Process,
    /// After the disk has it: survives the loss of power, for up to ten milliseconds a call.
    Power,
}

/// Where the journal lives and how much it may hold.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory that holds one directory per instance.
    pub dir: PathBuf,
    /// When a record counts as written.
    pub durability: Durability,
    /// Bytes at which new calls are refused; entries of calls under way are still taken.
    pub cap: u64,
    /// Bytes at which a segment is closed and the next begun.
    pub segment_bytes: u64,
}

impl Settings {
    /// The defaults, in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Settings {
        Settings {
            dir: dir.into(),
            durability: Durability::Process,
            cap: 4 << 30,
            segment_bytes: 64 << 20,
        }
    }
}

/// Whether the journal takes new calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Good,
    /// The disk or the cap is full.
    Full,
    /// The disk does not write or sync.
    Broken,
}

/// The writing side, shared by all calls.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Owner>);

/// Ends the keeper with the last [`Journal`].
#[derive(Debug)]
struct Owner {
    writer: Arc<Writer>,
    keeper: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens the journal in `settings.dir`: adopts what dead instances left there, and gives the
    /// calls that they had begun an entry. Ready when it returns; nothing waits for the database.
    pub fn open(settings: Settings) -> Result<(Journal, Drain), JournalError> {
        Journal::open_on(settings, Box::new(RealDisk))
    }

    fn open_on(
        settings: Settings,
        disk: Box<dyn segment::Disk>,
    ) -> Result<(Journal, Drain), JournalError> {
        let root = settings.dir.clone();
        let failed = |cause| JournalError::io(format!("cannot open {}", root.display()), cause);
        segment::make_dir(&root).map_err(failed)?;
        let mut found = scan::claim_all(&root).map_err(failed)?.into_iter();
        let own = match found.next() {
            Some(own) => own,
            None => scan::make(&root).map_err(failed)?,
        };
        let bytes = own.bytes();
        let writer = Writer::new(settings, own.dir, own.lock, own.segments, disk);
        writer.waiting.store(own.settles, Ordering::Relaxed);
        writer.bytes.store(bytes, Ordering::Relaxed);
        writer.begin()?;
        let writer = Arc::new(writer);
        interrupt(&writer, &own.open);
        let mut drain = Drain::new(Arc::clone(&writer));
        found.for_each(|journal| drain.take_over(journal));
        let keeper = Some(keeper::start(Arc::clone(&writer))?);
        Ok((Journal(Arc::new(Owner { writer, keeper })), drain))
    }

    /// Notes that a call is about to be sent to a provider. An error means: refuse the call, and
    /// do not settle it. Otherwise the call must be settled, also when it is dropped while this
    /// waits for the disk.
    pub async fn intend(&self, intent: &Intent<'_>) -> Result<(), JournalError> {
        let writer = &self.0.writer;
        let write = |out: &mut Vec<u8>| intent.write(out);
        let ticket = with_record(Kind::Intent, intent.id, write, |record| writer.intend(record))?;
        let safe = writer.safe(ticket).await;
        if safe.is_err() {
            // It may reach the disk yet; so does this then.
            drop(with_record(Kind::Void, intent.id, |_| (), |record| writer.append(record)));
        }
        safe
    }

    /// Notes how a call ended. The entry is kept in memory when it cannot be written at once, so
    /// an error tells only that the end of the process would lose it.
    pub async fn settle(&self, entry: &LogEntry) -> Result<(), JournalError> {
        let ticket = settle(&self.0.writer, entry)?;
        self.0.writer.safe(ticket).await
    }

    /// [`Journal::settle`] for a `Drop`: does not wait for the disk, whatever the durability.
    pub fn settle_now(&self, entry: &LogEntry) {
        // An entry that cannot be written is kept in memory, and the writer has said so.
        drop(settle(&self.0.writer, entry));
    }

    /// Log entries that the database does not have yet.
    pub fn len(&self) -> u64 {
        self.0.writer.waiting.load(Ordering::Relaxed)
    }

    /// Whether the database has everything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how long log entries have waited without any of them being taken to the database.
    pub fn behind(&self) -> Duration {
        self.0.writer.behind()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.0.writer.bytes.load(Ordering::Relaxed)
    }

    /// Whether new calls are taken.
    pub fn health(&self) -> Health {
        self.0.writer.health()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.writer.tail.lock().closed = true;
        self.writer.work.notify_one();
        if self.keeper.take().is_some_and(|keeper| keeper.join().is_err()) {
            tracing::error!("the journal's thread panicked");
        }
    }
}

fn settle(writer: &Writer, entry: &LogEntry) -> Result<Ticket, JournalError> {
    let write = |out: &mut Vec<u8>| {
        serde_json::to_writer(out, entry).expect("a log entry has no maps and a vector takes all");
    };
    with_record(Kind::Settle, entry.id, write, |record| writer.append(record))
}

/// Settles calls that a dead process had begun.
fn interrupt(writer: &Writer, open: &HashMap<Uuid, Vec<u8>>) {
    for (id, payload) in open {
        match Intent::read(*id, payload) {
            // An entry that cannot be written is kept in memory, and the writer has said so.
            Some(intent) => drop(settle(writer, &intent.interrupted())),
            None => tracing::error!(%id, "an intent cannot be read: the call is lost"),
        }
    }
}

thread_local! {
    /// Room to build a record in, used again and again.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn with_record<T>(
    kind: Kind,
    id: Uuid,
    payload: impl FnOnce(&mut Vec<u8>),
    then: impl FnOnce(&[u8]) -> T,
) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        record::build(scratch, kind, id, payload);
        let done = then(scratch);
        scratch.shrink_to(64 << 10);
        done
    })
}
