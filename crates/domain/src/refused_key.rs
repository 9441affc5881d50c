//! Calls that showed a service key which is not accepted, counted together.

use chrono::{DateTime, Utc};

/// Why a service key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyFault {
    /// Nobody has this key, or it is not a service key at all.
    Unknown,
    /// It is disabled, or its owner is.
    Disabled,
    /// It has expired.
    Expired,
}

impl KeyFault {
    /// All faults.
    pub const ALL: [KeyFault; 3] = [KeyFault::Unknown, KeyFault::Disabled, KeyFault::Expired];

    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyFault::Unknown => "unknown",
            KeyFault::Disabled => "disabled",
            KeyFault::Expired => "expired",
        }
    }

    /// What is wrong with such a key, for people.
    pub const fn words(self) -> &'static str {
        match self {
            KeyFault::Unknown => "is unknown",
            KeyFault::Disabled => "is disabled",
            KeyFault::Expired => "has expired",
        }
    }
}

impl std::fmt::Display for KeyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Calls from one address with one key that is not accepted, counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedKey {
    /// The client's address, masked as configured; none where none is kept, and where so many
    /// addresses came that those beyond are counted together.
    pub address: Option<String>,
    /// The public id of the key, never its secret; none where what was shown has not the form of a
    /// service key, and for the keys of an address that showed very many.
    pub key_id: Option<String>,
    /// Why it is not accepted.
    pub fault: KeyFault,
    /// How many calls.
    pub count: u64,
    /// When the first came.
    pub first_at: DateTime<Utc>,
    /// When the last came.
    pub last_at: DateTime<Utc>,
}
