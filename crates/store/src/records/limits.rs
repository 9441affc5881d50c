//! Limits as they are entered, looked for and read.

use chrono::{DateTime, Utc};
use domain::{Algorithm, Limit, Scope, Unit, UserId};

/// A limit to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLimit {
    /// What people call it; may be empty.
    pub name: String,
    /// Whose use counts together.
    pub scope: Scope,
    /// What is counted.
    pub unit: Unit,
    /// How it is counted.
    pub algorithm: Algorithm,
    /// How much; money in billionths of a dollar.
    pub limit: u64,
    /// From which part used people are told, in percent; only with a calendar.
    pub alert_percent: Option<u8>,
    /// Whether it holds.
    pub enabled: bool,
    /// Who owns it; whoever makes it when not given.
    pub owner: Option<UserId>,
}

/// Which limits are wanted; `None` wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitFilter {
    /// Of this scope, as [`Scope::as_str`] names it.
    pub scope: Option<&'static str>,
    /// Of this id, network or model.
    pub scope_id: Option<String>,
    /// Only those that this user, or one of their service keys, is held to by name.
    pub about: Option<UserId>,
}

/// A limit as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRow {
    /// The limit.
    pub limit: Limit,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}
