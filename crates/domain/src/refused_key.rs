//! Calls with service keys that are not accepted, counted together.

use chrono::{DateTime, Utc};

/// The reason why a service key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyFault {
    /// The key does not exist or is malformed.
    Unknown,
    /// The key or its owner is disabled.
    Disabled,
    /// The key has expired.
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

    /// Returns the reason, for people.
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
    /// The client's address, masked as configured; `None` if no addresses are stored, or for all
    /// addresses beyond the cap together.
    pub address: Option<String>,
    /// The public id of the key, never its secret; `None` for malformed keys, and for all keys of
    /// an address with very many.
    pub key_id: Option<String>,
    /// The reason.
    pub fault: KeyFault,
    /// The number of calls.
    pub count: u64,
    /// The time of the first call.
    pub first_at: DateTime<Utc>,
    /// The time of the last call.
    pub last_at: DateTime<Utc>,
}
