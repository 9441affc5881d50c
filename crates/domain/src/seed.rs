//! Use before the start of this process, read from the log entries so that quotas and budgets
//! continue.

use crate::{ProviderKeyId, ServiceKeyId, Unit, UpstreamId, UserId};

/// A question for the use of one subject since a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedQuestion {
    /// The name of the counter.
    pub counter: String,
    /// The subject.
    pub who: Whose,
    /// The unit; never `concurrency`.
    pub unit: Unit,
    /// The beginning, in microseconds since 1970.
    pub start_us: i64,
}

/// The subject of a [`SeedQuestion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// One provider key.
    Key(ProviderKeyId),
    /// Several keys of one pool together.
    Group {
        /// The upstream of the pool.
        upstream: UpstreamId,
        /// Its keys.
        keys: Vec<ProviderKeyId>,
    },
    /// One service key.
    ServiceKey(ServiceKeyId),
    /// The service keys of one user.
    User(UserId),
    /// Calls that requested this model.
    Model(String),
    /// Calls to this upstream.
    Upstream(UpstreamId),
    /// All calls.
    Global,
}

/// The answer to a [`SeedQuestion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The name of the counter.
    pub counter: String,
    /// The used amount; never zero.
    pub amount: u64,
}
