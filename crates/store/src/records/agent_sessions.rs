//! Sessions of client programs as they are asked for and read.

use chrono::{DateTime, Utc};
use domain::{ServiceKeyId, UserId};

/// Which sessions are wanted; `None` wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Of the service keys of this user.
    pub owner: Option<UserId>,
    /// Whose latest call came with this service key.
    pub service_key: Option<ServiceKeyId>,
    /// Of this client program.
    pub program: Option<String>,
    /// With this id of the client.
    pub session: Option<String>,
    /// Started by the session with this id of the client.
    pub parent: Option<String>,
    /// Whose last call ended not before.
    pub from: Option<DateTime<Utc>>,
    /// Whose last call ended before.
    pub to: Option<DateTime<Utc>>,
    /// Only those with errors.
    pub failed: bool,
}

/// The sums of a session, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSum {
    /// When the first call was admitted.
    pub first_at: DateTime<Utc>,
    /// When the last call ended.
    pub last_at: DateTime<Utc>,
    /// Calls.
    pub calls: u64,
    /// Calls that count as errors.
    pub errors: u64,
    /// Input tokens.
    pub input: u64,
    /// Input tokens that were read from a cache.
    pub cached: u64,
    /// Input tokens that were written to a cache.
    pub cache_written: u64,
    /// Output tokens.
    pub output: u64,
    /// Billionths of a dollar, of the calls whose cost is known.
    pub cost_nano: i64,
    /// Calls that used something and whose cost is not known.
    pub unpriced: u64,
}

/// A session of a client program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSession {
    /// Its number.
    pub id: i64,
    /// Who owns the service keys of its calls.
    pub owner: UserId,
    /// The id that the client gave it.
    pub session: String,
    /// The session that started it, by the id of the client.
    pub parent: Option<String>,
    /// The service key of its latest call.
    pub service_key: ServiceKeyId,
    /// The client program.
    pub program: Option<String>,
    /// The version of the program.
    pub version: Option<String>,
    /// Calls of the main agent that were answered well.
    pub turns: u64,
    /// The sums of all its calls.
    pub sum: SessionSum,
    /// The models, the first used first.
    pub models: Vec<String>,
}

/// The sums of one agent and model of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPart {
    /// The agent; `None` for the main one.
    pub agent: Option<String>,
    /// The agent that started it.
    pub parent: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The sums of its calls.
    pub sum: SessionSum,
}

/// A session with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTree {
    /// The session.
    pub session: AgentSession,
    /// Its agents and models, the first used first; at most 1,000.
    pub parts: Vec<AgentPart>,
    /// The sessions that it and those below it started; at most 200.
    pub below: Vec<AgentSession>,
}
