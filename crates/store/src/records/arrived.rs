//! Heads of log entries as they arrive.

use chrono::{DateTime, Utc};
use domain::{ServiceKeyId, UpstreamId, UserId};
use uuid::Uuid;

/// The head of a log entry: what a line of a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivedCall {
    /// Its place in the order of arrival; a later one is greater.
    pub arrival: i64,
    /// The id of the log entry.
    pub id: Uuid,
    /// When the call was admitted.
    pub started_at: DateTime<Utc>,
    /// From admission to the end, in microseconds.
    pub latency_us: u64,
    /// From admission to the first byte of the answer, in microseconds.
    pub first_byte_us: Option<u64>,
    /// The service key.
    pub service_key: ServiceKeyId,
    /// The name of the service key then.
    pub service_key_name: String,
    /// Who owns the service key.
    pub owner: UserId,
    /// The upstream that answered, or was tried last.
    pub upstream: Option<UpstreamId>,
    /// The name of the upstream then.
    pub upstream_name: Option<String>,
    /// The name of the provider key then.
    pub provider_key_name: Option<String>,
    /// The model that was used, else the one that was asked for.
    pub model: Option<String>,
    /// The path of the request.
    pub path: String,
    /// The status that went to the client; 0 if none did.
    pub status: u16,
    /// How the call ended, by its name in the API.
    pub outcome: String,
    /// Whether it counts as an error.
    pub failed: bool,
    /// Input tokens.
    pub input: u64,
    /// Input tokens that were read from a cache.
    pub cached: u64,
    /// Output tokens.
    pub output: u64,
    /// Billionths of a dollar; `None` if the cost is not known.
    pub cost_nano: Option<i64>,
    /// The client's session.
    pub session: Option<String>,
    /// The client program.
    pub program: Option<String>,
}
