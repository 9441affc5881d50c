//! What was used before this process began: asked of the log entries at the start, so that quotas
//! and budgets go on where they were.

use crate::{ProviderKeyId, ServiceKeyId, Unit, UpstreamId, UserId};

/// How much somebody used since a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedQuestion {
    /// The name of the counter that wants to know.
    pub counter: String,
    /// Whose use.
    pub who: Whose,
    /// Of what; calls at once are never asked for.
    pub unit: Unit,
    /// Since when, in microseconds since 1970.
    pub start_us: i64,
}

/// Whose use a [`SeedQuestion`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// One provider key's.
    Key(ProviderKeyId),
    /// That of several keys of one pool together.
    Group {
        /// The pool's upstream.
        upstream: UpstreamId,
        /// Its keys.
        keys: Vec<ProviderKeyId>,
    },
    /// One service key's.
    ServiceKey(ServiceKeyId),
    /// That of the service keys of one user.
    User(UserId),
    /// That of calls which asked for this model.
    Model(String),
    /// That of calls to this upstream.
    Upstream(UpstreamId),
    /// Everybody's.
    Global,
}

/// The answer to a [`SeedQuestion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The counter that asked.
    pub counter: String,
    /// How much was used; never zero.
    pub amount: u64,
}
