//! The log entry: what one admitted call did. It is written to the journal by the data plane and
//! to the database by the tasks; its serde form is the journal's and nobody else's.

mod usage;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Dialect, ErrorClass, ProviderKeyId, RuleId, ServiceKeyId, UpstreamId, UserId};

use usage::is_zero;
pub use usage::{Usage, UsageSource};

/// The log entry of one admitted call, including usage and attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Made at admission (UUIDv7); two entries never share it.
    pub id: Uuid,
    /// The `x-request-id` of the answer; a client may choose it, so it may repeat.
    pub request_id: String,
    /// The time of admission, in microseconds since 1970.
    pub started_us: i64,
    /// The service key.
    pub service_key: ServiceKeyId,
    /// The name of the key at that time.
    pub service_key_name: String,
    /// The owner of the key.
    pub owner: UserId,
    /// The upstream that answered, or of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamId>,
    /// The name of the upstream at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_name: Option<String>,
    /// The provider key of that attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key: Option<ProviderKeyId>,
    /// The name of the provider key at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key_name: Option<String>,
    /// The requested model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_asked: Option<String>,
    /// The model sent to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_used: Option<String>,
    /// The client's dialect; `None` for `/proxy/…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// The HTTP method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The status sent to the client; 0 if none was sent.
    pub status: u16,
    /// The outcome of the call.
    pub outcome: Outcome,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// The time from admission to the end, in microseconds.
    pub latency_us: u64,
    /// The time from admission to the first byte of the answer, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// Whether the answer was an event stream.
    pub streamed: bool,
    /// The usage: the sum of its attempts.
    pub usage: Usage,
    /// The source of the usage.
    pub usage_source: UsageSource,
    /// The cost in billionths of a dollar, the sum of its attempts; `None` if it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano: Option<i64>,
    /// The configuration revision whose prices the cost uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_version: Option<i64>,
    /// All attempts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// The error, in words without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The client's address, masked as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// The candidates, with the reason for each that was skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decision: Vec<Considered>,
    /// The tags that rules set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The caller's own tags, from its `x-tollgate-metadata` header.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The time in the queue, in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_us: u64,
    /// The client program and its session, from the client's headers.
    #[serde(default, skip_serializing_if = "Origin::is_unknown")]
    pub origin: Origin,
    /// The metadata that the provider sent with its answer.
    #[serde(default, skip_serializing_if = "Served::is_unknown")]
    pub served: Served,
}

/// Statuses from here on are errors.
const FAILED_FROM: u16 = 400;

impl LogEntry {
    /// Whether the call counts as an error. That a client left is not one.
    pub fn failed(&self) -> bool {
        match self.outcome {
            Outcome::ClientGone => false,
            Outcome::Completed => self.status >= FAILED_FROM,
            _ => true,
        }
    }

    /// Returns the provider's request id of the last attempt whose answer has one.
    pub fn provider_request_id(&self) -> Option<&str> {
        self.attempts.iter().rev().find_map(|attempt| attempt.provider_request_id.as_deref())
    }
}

/// Which program made a call, and in which session, as the client's own headers say. What they do
/// not say stays empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The session of the client to which the call belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The session that started this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_session: Option<String>,
    /// The agent within the session; `None` for the main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The agent that started this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_agent: Option<String>,
    /// The client program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Origin {
    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Origin::default()
    }

    /// Returns the fields in order.
    pub fn texts(&self) -> [Option<&str>; 6] {
        let Origin { session, parent_session, agent, parent_agent, program, version } = self;
        [session, parent_session, agent, parent_agent, program, version].map(Option::as_deref)
    }
}

/// Metadata that a provider sent with an answer. Values that it did not send stay empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The model that answered, by the provider's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The service tier that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The usage object as the provider wrote it, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
}

impl Served {
    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Served::default()
    }
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole answer was sent.
    Completed,
    /// The call was refused before any provider was asked.
    Refused,
    /// No attempt was answered.
    Failed,
    /// The provider broke off during its answer.
    UpstreamBroke,
    /// The client disconnected first.
    ClientGone,
    /// A deadline passed.
    TimedOut,
    /// The service key, the upstream or the provider key of the call was revoked while it ran.
    Revoked,
    /// The process ended first; the entry is made from the intent.
    Interrupted,
}

impl Outcome {
    /// All outcomes, in the order in which they are listed to people.
    pub const ALL: [Outcome; 8] = [
        Outcome::Completed,
        Outcome::Refused,
        Outcome::Failed,
        Outcome::UpstreamBroke,
        Outcome::ClientGone,
        Outcome::TimedOut,
        Outcome::Revoked,
        Outcome::Interrupted,
    ];

    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::UpstreamBroke => "upstream_broke",
            Outcome::ClientGone => "client_gone",
            Outcome::TimedOut => "timed_out",
            Outcome::Revoked => "revoked",
            Outcome::Interrupted => "interrupted",
        }
    }
}

/// One attempt at one target with one provider key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The upstream.
    pub upstream: UpstreamId,
    /// The name of the upstream at that time.
    pub upstream_name: String,
    /// The provider key; `None` if the upstream has no keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key: Option<ProviderKeyId>,
    /// The name of the key at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key_name: Option<String>,
    /// The start, in microseconds after the admission of the call.
    pub started_us: u64,
    /// The time to the answer or failure, in microseconds.
    pub duration_us: u64,
    /// The provider's status, where one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The result: `answered`, or the reason of the failure (`connect`, `tls`, `timeout`,
    /// `rate_limited`, `auth`, `server_fault`, `stream_error`, `empty`, `reset`, `client_gone`).
    pub result: String,
    /// The class of the failure, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// The rules that fired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleId>,
    /// The provider's request id, if its answer has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_request_id: Option<String>,
    /// The usage of this attempt. A failed one may have usage too: a provider may bill an answer
    /// that came too late.
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    pub usage: Usage,
    /// The source of the usage.
    #[serde(default, skip_serializing_if = "UsageSource::is_nothing")]
    pub usage_source: UsageSource,
    /// The cost in billionths of a dollar; `None` if it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano: Option<i64>,
}

/// One candidate for a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// The name of the upstream, with the model if that differs.
    pub candidate: String,
    /// Why it was skipped; `None` if it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<String>,
}

/// The position up to which a journal is stored in the database. It is stored in the same
/// transaction as the entries before it, so that no entry is stored twice after a restart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JournalPosition {
    /// The journal: one per instance.
    pub journal: String,
    /// The number of the segment.
    pub segment: u64,
    /// The bytes of the segment that are stored.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as version 0.1 wrote it.
    const OLD: &str = r#"{"id":"019ad0a1-0000-7000-8000-000000000001","request_id":"r","started_us":1,
        "service_key":1,"service_key_name":"app","owner":1,"method":"POST","path":"/v1/messages",
        "status":200,"outcome":"completed","bytes_in":1,"bytes_out":2,"latency_us":3,"streamed":false,
        "usage":{"input":7},"usage_source":"provider",
        "attempts":[{"upstream":1,"upstream_name":"up","started_us":0,"duration_us":1,"result":"answered"}]}"#;

    #[test]
    fn records_of_earlier_versions_are_read() {
        for (word, source) in [
            ("provider", UsageSource::Reported),
            ("counted", UsageSource::Counted),
            ("none", UsageSource::Nothing),
        ] {
            let text = OLD.replace("\"provider\"", &format!("\"{word}\""));
            let entry: LogEntry = serde_json::from_str(&text).unwrap();
            assert_eq!(entry.usage_source, source);
            assert_eq!((entry.usage.input, entry.price_version), (7, None));
            assert!(entry.origin.is_unknown() && entry.served.is_unknown());
            let attempt = &entry.attempts[0];
            assert!(attempt.usage.is_nothing() && attempt.usage_source.is_nothing());
        }
    }

    #[test]
    fn what_is_not_known_takes_no_room_in_a_record() {
        let entry: LogEntry = serde_json::from_str(OLD).unwrap();
        let written = serde_json::to_string(&entry).unwrap();
        for name in ["origin", "served", "price_version", "cost_nano", "provider_request_id"] {
            assert!(!written.contains(name), "{written}");
        }
    }
}
