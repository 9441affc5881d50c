//! What the running gateway told, as it is asked for and read: steps of keys, rules that fired,
//! alerts.

use chrono::{DateTime, Utc};
use domain::{
    AlertId, Evidence, ProviderKeyId, RuleId, Severity, UpstreamId, UserId, rule::Action,
};
use uuid::Uuid;

/// A step of a provider key from one status to another.
#[derive(Debug, Clone, PartialEq)]
pub struct TransitionRow {
    /// Its id; a later one is greater.
    pub id: i64,
    /// Which key.
    pub key: ProviderKeyId,
    /// In whose pool.
    pub upstream: UpstreamId,
    /// For which model only; all where none is named.
    pub model: Option<String>,
    /// The name of the status before.
    pub from: String,
    /// The name of the status since.
    pub to: String,
    /// Until when, where that ends by itself.
    pub until: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
    /// What it was concluded from.
    pub evidence: Evidence,
    /// Who did it.
    pub actor: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Which triggers are wanted; `None` wants all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TriggerFilter {
    /// Of this rule.
    pub rule: Option<RuleId>,
    /// About calls to this upstream.
    pub upstream: Option<UpstreamId>,
    /// About calls with this key.
    pub key: Option<ProviderKeyId>,
    /// Only what was done in earnest (`false`), or only told (`true`).
    pub shadow: Option<bool>,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
    /// About calls to upstreams of this user.
    pub owner: Option<UserId>,
}

/// A rule that fired, or would have.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerRow {
    /// Its id; a later one is greater.
    pub id: i64,
    /// Which rule.
    pub rule: RuleId,
    /// In which form.
    pub version: i64,
    /// About a call to which upstream.
    pub upstream: UpstreamId,
    /// With which key.
    pub key: Option<ProviderKeyId>,
    /// For which model.
    pub model: Option<String>,
    /// The log entry of the call.
    pub log: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether it only tells what it would have done.
    pub shadow: bool,
    /// What was done.
    pub actions: Vec<Action>,
    /// Until when that lasts, where it ends by itself.
    pub until: Option<DateTime<Utc>>,
    /// What it was concluded from.
    pub evidence: Evidence,
}

/// What has become of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertState {
    /// Nobody has looked at it.
    Firing,
    /// Somebody has taken it on.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl AlertState {
    /// All of them, in the order in which an alert goes through them.
    pub const ALL: [AlertState; 3] =
        [AlertState::Firing, AlertState::Acknowledged, AlertState::Resolved];

    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertState::Firing => "firing",
            AlertState::Acknowledged => "acknowledged",
            AlertState::Resolved => "resolved",
        }
    }
}

/// Which alerts are wanted; `None` wants all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// That stand so.
    pub state: Option<AlertState>,
    /// That are not over (`true`), or that are (`false`).
    pub open: Option<bool>,
    /// That matter so much.
    pub severity: Option<Severity>,
    /// About this upstream.
    pub upstream: Option<UpstreamId>,
    /// About upstreams of this user.
    pub owner: Option<UserId>,
}

/// Something a person should look at.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// Its id; a later one is greater.
    pub id: AlertId,
    /// What belongs together.
    pub group: String,
    /// What has become of it.
    pub state: AlertState,
    /// How much it matters.
    pub severity: Severity,
    /// What it is, in a line.
    pub title: String,
    /// More of it, as last told.
    pub words: String,
    /// About which upstream.
    pub upstream: Option<UpstreamId>,
    /// About which key.
    pub key: Option<ProviderKeyId>,
    /// By which rule.
    pub rule: Option<RuleId>,
    /// How often it was raised.
    pub count: u64,
    /// When first.
    pub first: DateTime<Utc>,
    /// When last.
    pub last: DateTime<Utc>,
    /// Who took it on, and when.
    pub acknowledged: Option<(String, DateTime<Utc>)>,
    /// Who said that it is over, and when.
    pub resolved: Option<(String, DateTime<Utc>)>,
}
