//! What the running data plane has to tell: steps of keys and breakers, rules that fired, things
//! that a person should look at. It is told once, and kept by whoever listens.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Evidence, ProviderKeyId, RuleId, Standing, Transition, UpstreamId, rule::Action};

/// Something that happened and is worth keeping.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A key came to stand otherwise.
    Transition(Transition),
    /// A circuit breaker came to stand otherwise.
    Breaker(BreakerStep),
    /// A rule fired, or would have.
    Trigger(Trigger),
    /// Something a person should look at.
    Alert(Raised),
    /// A provider keeps something for the account of a key from now on.
    Stored(StoredObject),
}

/// A file, a batch, a response or another thing that a provider keeps for the account of the key
/// that made it, and that is found with the keys of that account alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// What the provider calls it.
    pub id: String,
    /// Which upstream keeps it.
    pub upstream: UpstreamId,
    /// The key that made it.
    pub key: ProviderKeyId,
    /// When that was seen.
    pub at: DateTime<Utc>,
}

/// How a key stands for all models or for one, as it is kept and shared between instances.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptStanding {
    /// Which key.
    pub key: ProviderKeyId,
    /// In whose pool.
    pub upstream: UpstreamId,
    /// For which model only; all where none is named.
    pub model: Option<String>,
    /// How it stands.
    pub standing: Standing,
}

/// What a circuit breaker guards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Guarded {
    /// The upstream.
    pub upstream: UpstreamId,
    /// One key of its pool; the upstream itself where none is named.
    pub key: Option<ProviderKeyId>,
    /// One model there; all where none is named.
    pub model: Option<String>,
}

/// How a circuit breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// No call passes until then.
    Open(DateTime<Utc>),
    /// One call tries.
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

/// A step of a circuit breaker.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerStep {
    /// What it guards.
    pub guarded: Guarded,
    /// How it stands now.
    pub state: BreakerState,
    /// How often it opened since it was last closed for long; it stays open longer each time.
    pub openings: u32,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, in words.
    pub words: String,
}

/// A rule that fired, or would have fired.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
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

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something does not work as it should.
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

/// Something a person should look at. What has the same group is one alert, raised again.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// What belongs together: `upstream:3:resting`, `rule:7:key:12`.
    pub group: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it is, in a line.
    pub title: String,
    /// More of it, without secrets.
    pub words: String,
    /// About which upstream.
    pub upstream: Option<UpstreamId>,
    /// About which key.
    pub key: Option<ProviderKeyId>,
    /// By which rule.
    pub rule: Option<RuleId>,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether it is over: the group's open alert is resolved.
    pub over: bool,
}
