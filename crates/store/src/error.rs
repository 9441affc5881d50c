//! The one error of the store. No foreign database error leaves this crate.

use domain::{Fault, Faults};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing; the word says which kind.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It cannot be because of something that is already there.
    #[error("{field}: {message}")]
    Conflict {
        /// The field that clashes, as the API spells it.
        field: &'static str,
        /// What it clashes with.
        message: String,
    },
    /// It concerns permissions or a data scope that whoever makes the change does not have.
    #[error("it concerns permissions that whoever makes the change does not have")]
    Stronger,
    /// Whoever makes the change lacks this permission.
    #[error("the permission `{0}` is required")]
    Forbidden(auth::Permission),
    /// It was changed after whoever asks for this change read it.
    #[error("it was changed meanwhile")]
    Changed {
        /// When it was changed last, in microseconds since 1970.
        updated_us: i64,
    },
    /// The change was refused as a whole; every field at fault is named.
    #[error("the change cannot be served: {0}")]
    Unservable(Faults),
    /// The database does not answer, or does not take writes, now. Trying again later may work.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The secrets in this database were sealed with another master key.
    #[error(
        "this is not the master key that the database was first started with, and its secrets cannot \
         be read with it; all instances on one database need the same one"
    )]
    WrongMasterKey,
    /// The database is not one that we may work with; an administrator must act.
    #[error("the database cannot be used: {0}")]
    Unusable(String),
    /// A statement or a row is not as this program believes. A bug, or a hand in the tables.
    #[error("the database gave an unexpected answer: {0}")]
    Unexpected(String),
}

/// What the functions of the store give back.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    /// A clash of `field`.
    pub(crate) fn conflict(field: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict { field, message: message.into() }
    }

    /// One field at fault.
    pub(crate) fn fault(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Unservable(Faults(vec![Fault::new(field, message)]))
    }

    /// Whether trying the same again later may work.
    pub fn passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<Faults> for StoreError {
    fn from(faults: Faults) -> Self {
        Self::Unservable(faults)
    }
}
