//! What the planes may know of each other: the state of the running data plane, as a trait that
//! it implements and the management plane reads.

use chrono::{DateTime, Utc};

use crate::{ProviderKeyId, Revision, UpstreamId};

/// The running data plane, as seen from outside. Every call answers at once.
pub trait Live: Send + Sync {
    /// The revision that is being served.
    fn revision(&self) -> Revision;
    /// Calls that are being answered now.
    fn calls_in_flight(&self) -> u64;
    /// Until when a provider key rests and why; none while it may be picked.
    fn rest(&self, upstream: UpstreamId, key: ProviderKeyId) -> Option<Rest>;
    /// Log entries that wait in the journal.
    fn journal_len(&self) -> u64;
}

/// A provider key that is left alone for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// When it may be picked again.
    pub until: DateTime<Utc>,
    /// Why: `rate_limited` or `auth`.
    pub reason: &'static str,
}
