//! The log entry: what one admitted call did. It is written to the journal by the data plane and
//! to the database by the tasks; its serde form is the journal's and nobody else's.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Dialect, ErrorClass, ProviderKeyId, RuleId, ServiceKeyId, UpstreamId, UserId};

/// What one admitted call did, tokens and attempts included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Made at admission (UUIDv7); two entries never share it.
    pub id: Uuid,
    /// The `x-request-id` of the answer; a client may choose it, so it may repeat.
    pub request_id: String,
    /// When the call was admitted, in microseconds since 1970.
    pub started_us: i64,
    /// The service key that was shown.
    pub service_key: ServiceKeyId,
    /// What that key was called then.
    pub service_key_name: String,
    /// Who owns that key.
    pub owner: UserId,
    /// Where the answer came from, or the last attempt went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamId>,
    /// What that upstream was called then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_name: Option<String>,
    /// The provider key of that attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key: Option<ProviderKeyId>,
    /// What that provider key was called then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key_name: Option<String>,
    /// The model that the client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_asked: Option<String>,
    /// The model that the provider was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_used: Option<String>,
    /// The dialect that the client spoke; none on `/proxy/…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// The HTTP method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The status that went to the client; 0 when none did.
    pub status: u16,
    /// How the call ended.
    pub outcome: Outcome,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From admission to the end, in microseconds.
    pub latency_us: u64,
    /// From admission to the first byte of the answer, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// Whether the answer was an event stream.
    pub streamed: bool,
    /// Tokens.
    pub usage: Usage,
    /// Who counted them.
    pub usage_source: UsageSource,
    /// What it cost in billionths of a dollar, where a price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano: Option<i64>,
    /// Every try at a provider, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// What went wrong, in words without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The client's address, masked as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// Who could have answered, and why each was passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decision: Vec<Considered>,
    /// What rules marked it with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// How long it waited in line, in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_us: u64,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole answer went out.
    Completed,
    /// We said no before any provider was asked.
    Refused,
    /// Providers were asked and none answered well.
    Failed,
    /// The provider broke off in the middle of its answer.
    UpstreamBroke,
    /// The client left first.
    ClientGone,
    /// A deadline passed.
    TimedOut,
    /// What the call was let in by was withdrawn while it ran: its service key, its upstream or its
    /// provider key.
    Revoked,
    /// The process ended first; what is known is from the intent.
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

/// Tokens of one call. `cached`, `cache_written` and `input_audio` are parts of `input`;
/// `reasoning` and `output_audio` are parts of `output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All tokens that went in.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input: u64,
    /// Those read from the provider's prompt cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Those written to the provider's prompt cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_written: u64,
    /// Those that were audio.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input_audio: u64,
    /// All tokens that came out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output: u64,
    /// Those spent on reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    /// Those that were audio.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output_audio: u64,
}

impl Usage {
    /// More of anything no call uses: what a provider makes up beyond it is not believed.
    pub const MAX: u64 = 1 << 40;

    /// The same, with every number within [`Usage::MAX`].
    #[must_use]
    pub fn believed(self) -> Usage {
        let most = |tokens: u64| tokens.min(Self::MAX);
        Usage {
            input: most(self.input),
            cached: most(self.cached),
            cache_written: most(self.cache_written),
            input_audio: most(self.input_audio),
            output: most(self.output),
            reasoning: most(self.reasoning),
            output_audio: most(self.output_audio),
        }
    }
}

/// What is nothing need not be written.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Who counted the tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The provider, in its answer.
    Provider,
    /// The gateway, from what passed.
    Counted,
    /// Nobody: there was nothing to count.
    #[default]
    None,
}

impl UsageSource {
    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            UsageSource::Provider => "provider",
            UsageSource::Counted => "counted",
            UsageSource::None => "none",
        }
    }
}

/// One try at one target with one provider key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Where it went.
    pub upstream: UpstreamId,
    /// What that upstream was called then.
    pub upstream_name: String,
    /// With which key; none where the upstream has no keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key: Option<ProviderKeyId>,
    /// What that key was called then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key_name: Option<String>,
    /// When it began, in microseconds after the call.
    pub started_us: u64,
    /// How long it took to answer or fail, in microseconds.
    pub duration_us: u64,
    /// The provider's status, where one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How it ended: `answered`, or why it did not count as an answer (`connect`, `tls`,
    /// `timeout`, `rate_limited`, `auth`, `server_fault`, `stream_error`, `empty`, `reset`,
    /// `client_gone`).
    pub result: String,
    /// The class of the failure, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// The rules that fired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleId>,
}

/// One place that could have answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// The place: an upstream's name, with the model where that differs.
    pub candidate: String,
    /// Why it was passed over; none where it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<String>,
}

/// How far a journal has been brought into the database. It is stored in the same transaction as
/// the entries before it, so that nothing is written twice after a restart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JournalPosition {
    /// Which journal: one per instance.
    pub journal: String,
    /// The number of the segment.
    pub segment: u64,
    /// Bytes of that segment that are done with.
    pub offset: u64,
}
