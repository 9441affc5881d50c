//! Log entries as they are asked for and read.

use chrono::{DateTime, Utc};
use domain::{
    ProviderKeyId, ServiceKeyId, UpstreamId, UserId,
    log::{Attempt, LogEntry, Outcome},
};
use uuid::Uuid;

pub use domain::log::JournalPosition;

/// From (inclusive) to (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The first moment.
    pub from: DateTime<Utc>,
    /// The moment after the last.
    pub to: DateTime<Utc>,
}

/// Which log entries are wanted, and in which order; `None` wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Admitted not before.
    pub from: Option<DateTime<Utc>>,
    /// Admitted before.
    pub to: Option<DateTime<Utc>>,
    /// Ended not before.
    pub ended_from: Option<DateTime<Utc>>,
    /// Ended before.
    pub ended_to: Option<DateTime<Utc>>,
    /// Answered by, or last tried at.
    pub upstream: Option<UpstreamId>,
    /// With this provider key.
    pub provider_key: Option<ProviderKeyId>,
    /// Asked with this service key.
    pub service_key: Option<ServiceKeyId>,
    /// Asked with a service key of this user.
    pub owner: Option<UserId>,
    /// This model, as asked for or as used.
    pub model: Option<String>,
    /// Statuses of this class.
    pub status: Option<StatusClass>,
    /// Ended so.
    pub outcome: Option<Outcome>,
    /// The answer's `x-request-id`.
    pub request_id: Option<String>,
    /// The client's session.
    pub session: Option<String>,
    /// The provider's own id of the request, of the last attempt that has one.
    pub provider_request_id: Option<String>,
    /// In which order.
    pub order: LogOrder,
}

/// The order of log entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogOrder {
    /// By their admission, the newest first.
    #[default]
    Newest,
    /// By the end of the call, the latest first.
    LatestEnd,
    /// By the end of the call, the earliest first.
    EarliestEnd,
    /// As they came into the database, the first first. Who reads on from the cursor of the page
    /// before misses no entry and gets none twice, also of entries that several instances write
    /// at once and of those that come late; so each page has a cursor, an empty one too.
    Arrival,
}

/// A class of statuses, or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusClass {
    /// Exactly this one; 0 where nothing was answered.
    Exactly(u16),
    /// `2` for 200 to 299, and so on.
    Hundred(u8),
    /// Calls that count as errors in statistics: those with a status of 400 and above, and those that
    /// did not end well; not those whose client left first.
    Errors,
}

/// A log entry as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// The entry.
    pub entry: LogEntry,
    /// When the database got it.
    pub stored_at: DateTime<Utc>,
}

/// What a rule that is tested against the past is shown of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct PastCall {
    /// Its log entry.
    pub id: Uuid,
    /// When it was admitted, in microseconds since 1970.
    pub started_us: i64,
    /// Every try at a provider, in order; what each used need not be there.
    pub attempts: Vec<Attempt>,
}

/// A recorded body; kept apart from the log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedBody {
    /// Of which log entry.
    pub log: Uuid,
    /// Whether it is the answer's; the request's otherwise.
    pub answer: bool,
    /// The bytes, capped and masked before they came here.
    pub bytes: Vec<u8>,
    /// Whether it was longer.
    pub cut: bool,
}
