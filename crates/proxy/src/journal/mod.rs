//! The journal: the crash-safe file that holds log entries until the database has them.
//!
//! An intent is written before a provider is asked and a settle record before the last byte of
//! the answer goes out, so that a call that was answered is known whatever happens next. What the
//! database does with the entries is not known here: [`Drain`] hands them out in batches and is
//! told when they are safe.

mod error;
mod intent;

use std::path::PathBuf;
use std::time::Duration;

use domain::log::{JournalPosition, LogEntry};

pub use error::JournalError;
pub use intent::Intent;

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
pub struct Journal {}

impl Journal {
    /// Opens the journal in `settings.dir`: adopts what dead instances left there, and gives what
    /// they had begun its entry. Ready when it returns; nothing waits for the database.
    pub fn open(settings: Settings) -> Result<(Journal, Drain), JournalError> {
        std::fs::create_dir_all(&settings.dir)
            .map_err(|cause| JournalError::io("cannot make the journal", cause))?;
        Ok((Journal {}, Drain {}))
    }

    /// Notes that a call is about to be sent to a provider. An error means: refuse the call.
    pub async fn intend(&self, _intent: &Intent<'_>) -> Result<(), JournalError> {
        Ok(())
    }

    /// Notes how a call ended. The entry is kept in memory when it cannot be written at once, so
    /// an error tells only that the end of the process would lose it.
    pub async fn settle(&self, _entry: &LogEntry) -> Result<(), JournalError> {
        Ok(())
    }

    /// [`Journal::settle`] for a `Drop`: does not wait for the disk, whatever the durability.
    pub fn settle_now(&self, _entry: &LogEntry) {}

    /// Log entries that the database does not have yet.
    pub fn len(&self) -> u64 {
        0
    }

    /// Whether the database has everything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        0
    }

    /// Whether new calls are taken.
    pub fn health(&self) -> Health {
        Health::Good
    }
}

/// The reading side: one task takes batches from here to the database.
///
/// After the start, tell it with [`Drain::skip_to`] what the database has of each of
/// [`Drain::journals`]; then, again and again: [`Drain::next_batch`], commit, [`Drain::release`].
#[derive(Debug)]
pub struct Drain {}

/// Entries to bring into the database in one transaction, together with the position.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The entries, oldest first.
    pub entries: Vec<LogEntry>,
    /// What is done with once they are committed.
    pub position: JournalPosition,
}

impl Drain {
    /// The journals that this process drains: its own, and those that it adopted.
    pub fn journals(&self) -> Vec<String> {
        Vec::new()
    }

    /// Passes over what the database already has.
    pub fn skip_to(&mut self, _position: &JournalPosition) {}

    /// Waits until there is something, then gives at most `max` entries. What was given and not
    /// released comes again from the database's position at the next start only, so keep the
    /// batch until it is committed. May be dropped while it waits.
    pub async fn next_batch(&mut self, _max: usize) -> Result<Batch, JournalError> {
        tokio::time::sleep(Duration::from_secs(u64::MAX / 4)).await;
        std::future::pending().await
    }

    /// What is there now, without waiting: for the end of the process.
    pub fn batch_now(&mut self, _max: usize) -> Result<Option<Batch>, JournalError> {
        Ok(None)
    }

    /// `batch` is committed: what lies before it may go.
    pub fn release(&mut self, _batch: &Batch) {}
}
