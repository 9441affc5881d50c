//! Log entries: moved in from the journals, found again.

use crate::*;

impl Store {
    /// Moves a batch of log entries in, each exactly once however often it is given, raises the
    /// statistics by those that are new, and remembers the journal's position: all in one
    /// transaction. Returns how many were new.
    pub async fn append_log(&self, batch: &[LogEntry], position: JournalPosition) -> Result<u64> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// How far this journal was moved in.
    pub async fn journal_position(&self, journal: &str) -> Result<Option<JournalPosition>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// A page of log entries, newest first.
    pub async fn log_entries(&self, filter: LogFilter, page: Page) -> Result<Listed<LogRow>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// One log entry.
    pub async fn log_entry(&self, id: Uuid) -> Result<LogRow> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Stores recorded bodies; one that is there already stays as it is.
    pub async fn append_bodies(&self, bodies: Vec<RecordedBody>) -> Result<()> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// The recorded bodies of a log entry: the request's, then the answer's.
    pub async fn recorded_bodies(&self, id: Uuid) -> Result<Vec<RecordedBody>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
