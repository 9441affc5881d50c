//! Events of the running data plane: transitions of keys and breakers, fired rules, alerts, object
//! owners.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Evidence, ProviderKeyId, RuleId, Standing, Transition, UpstreamId, rule::Action};

/// An event that is stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A key changed its state.
    Transition(Transition),
    /// A circuit breaker changed its state.
    Breaker(BreakerStep),
    /// A rule fired, or would have.
    Trigger(Trigger),
    /// Something a person should look at.
    Alert(Raised),
    /// A provider stored an object for the account of a key.
    Stored(StoredObject),
}

/// The owner of a file, batch, response or other object that a provider stores for the account of a
/// key, and that only keys of this account can access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// The provider's id of the object.
    pub id: String,
    /// The upstream that stores it.
    pub upstream: UpstreamId,
    /// The key that created it.
    pub key: ProviderKeyId,
    /// The time of its creation.
    pub at: DateTime<Utc>,
}

/// The state of a key, for all models or for one, as it is stored and shared between instances.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptStanding {
    /// Which key.
    pub key: ProviderKeyId,
    /// In whose pool.
    pub upstream: UpstreamId,
    /// The only model that is concerned; all models if `None`.
    pub model: Option<String>,
    /// The state.
    pub standing: Standing,
}

/// The target of a circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Guarded {
    /// The upstream.
    pub upstream: UpstreamId,
    /// One key of its pool; the whole upstream if `None`.
    pub key: Option<ProviderKeyId>,
    /// One model of it; all models if `None`.
    pub model: Option<String>,
}

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// No call passes until this time.
    Open(DateTime<Utc>),
    /// One trial call passes.
    HalfOpen,
}

impl BreakerState {
    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open(_) => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

/// A transition of a circuit breaker.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerStep {
    /// The target of the breaker.
    pub guarded: Guarded,
    /// The new state.
    pub state: BreakerState,
    /// The number of openings since it was last closed for long; each keeps it open longer.
    pub openings: u32,
    /// When.
    pub at: DateTime<Utc>,
    /// The reason, in words.
    pub words: String,
}

/// A rule that fired, or would have fired.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// Which rule.
    pub rule: RuleId,
    /// The version of the rule.
    pub version: i64,
    /// The upstream of the call.
    pub upstream: UpstreamId,
    /// The key of the attempt.
    pub key: Option<ProviderKeyId>,
    /// The model.
    pub model: Option<String>,
    /// The log entry of the call.
    pub log: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether the rule is in shadow mode and did nothing.
    pub shadow: bool,
    /// The actions.
    pub actions: Vec<Action>,
    /// The end of the actions, if they end by themselves.
    pub until: Option<DateTime<Utc>>,
    /// The evidence.
    pub evidence: Evidence,
}

/// The severity of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For information.
    Info,
    /// Something does not work as intended.
    Warning,
    /// Calls fail.
    Critical,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// A reason for an alert. Reasons with the same group are one alert, raised again.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// The group of the alert: `upstream:3:resting`, `rule:7:key:12`.
    pub group: String,
    /// The severity.
    pub severity: Severity,
    /// The title, one line.
    pub title: String,
    /// The details, without secrets.
    pub words: String,
    /// The upstream that is concerned.
    pub upstream: Option<UpstreamId>,
    /// The key that is concerned.
    pub key: Option<ProviderKeyId>,
    /// The rule that raised it.
    pub rule: Option<RuleId>,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether the cause is gone: the open alert of the group is resolved.
    pub over: bool,
}
