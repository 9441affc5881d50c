//! Why the journal could not take a record.

use std::io;

/// Why the journal could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk or the journal's own cap is full; it recovers by itself when there is room.
    #[error("the journal is full")]
    Full,
    /// The disk refuses to write or to sync; it recovers by itself when the disk does.
    #[error("the journal cannot be written")]
    Broken,
    /// A file or directory of the journal could not be opened or read.
    #[error("{what}: {cause}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

impl JournalError {
    /// Names what was tried when `cause` came.
    pub(super) fn io(what: impl Into<String>, cause: io::Error) -> JournalError {
        let what = what.into();
        JournalError::Io { what, cause }
    }
}
