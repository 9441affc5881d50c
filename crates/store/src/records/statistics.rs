//! What is asked of statistics, and what they answer.

use chrono::{DateTime, Utc};
use domain::{ProviderKeyId, ServiceKeyId, UpstreamId, UserId, log::Outcome};

use super::{TimeRange, Totals};

/// Microseconds of a minute, an hour and a day.
const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// The length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day of UTC.
    Day,
}

impl Grain {
    /// All of them, the finest first.
    pub const ALL: [Grain; 3] = [Grain::Minute, Grain::Hour, Grain::Day];

    /// The value of the column `grain`.
    pub(crate) const fn code(self) -> i64 {
        match self {
            Grain::Minute => 0,
            Grain::Hour => 1,
            Grain::Day => 2,
        }
    }

    /// Its length in microseconds.
    pub(crate) const fn us(self) -> i64 {
        match self {
            Grain::Minute => MINUTE_US,
            Grain::Hour => HOUR_US,
            Grain::Day => DAY_US,
        }
    }

    /// The beginning of the bucket that holds a moment.
    pub(crate) const fn floor(self, us: i64) -> i64 {
        us - us.rem_euclid(self.us())
    }

    /// The first beginning of a bucket that is not before a moment.
    pub(crate) const fn ceil(self, us: i64) -> i64 {
        self.floor(us.saturating_add(self.us() - 1))
    }
}

/// By what sums are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The owner of the service key, at the time of the call.
    User,
    /// The service key.
    ServiceKey,
    /// The upstream of the last attempt.
    Upstream,
    /// The provider key of the last attempt.
    ProviderKey,
    /// The model as used; as requested where no upstream was asked.
    Model,
    /// The hundred of the status: 2 for 200 to 299; 0 where none was sent.
    Status,
    /// How the call ended.
    Outcome,
    /// The caller's own tag with this key. Calls without it are not counted.
    Tag(String),
}

/// Which calls are counted; `None` counts all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatsFilter {
    /// Of this owner.
    pub user: Option<UserId>,
    /// With this service key.
    pub service_key: Option<ServiceKeyId>,
    /// At this upstream.
    pub upstream: Option<UpstreamId>,
    /// With this provider key.
    pub provider_key: Option<ProviderKeyId>,
    /// Of this model.
    pub model: Option<String>,
    /// With a status of this hundred.
    pub status: Option<u8>,
    /// That ended so.
    pub outcome: Option<Outcome>,
    /// With this tag of the caller's own: its key and its value.
    pub tag: Option<(String, String)>,
}

/// A question about a range of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsQuestion {
    /// The range; it is widened to whole buckets of the finest grain that is kept.
    pub range: TimeRange,
    /// Told apart by these, at most [`StatsQuestion::DIMENSIONS_MAX`].
    pub by: Vec<Dimension>,
    /// Of these calls.
    pub filter: StatsFilter,
    /// The longest bucket that tells when calls were; `None` tells it not.
    pub every: Option<Grain>,
}

impl StatsQuestion {
    /// Most dimensions of one question.
    pub const DIMENSIONS_MAX: usize = 2;
    /// Most groups of one answer.
    pub const GROUPS_MAX: usize = 100_000;
}

/// The value of a dimension.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A user, a key or an upstream; 0 for calls that reached none.
    Id(i64),
    /// A model, or the value of a tag.
    Text(String),
    /// The hundred of a status.
    Status(u8),
    /// How calls ended, by the name in the API.
    Outcome(&'static str),
    /// What did not fit into the bounds.
    Other,
}

/// The sums of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// When the bucket of these calls began, where that was asked for.
    pub at: Option<DateTime<Utc>>,
    /// The value of each dimension that was asked for, in that order.
    pub values: Vec<Value>,
    /// The sums.
    pub totals: Totals,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The range that is covered.
    pub range: TimeRange,
    /// The groups: by time, the busiest first.
    pub groups: Vec<Group>,
}

/// How latencies are distributed in one group.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies {
    /// When the bucket of these calls began, where that was asked for.
    pub at: Option<DateTime<Utc>>,
    /// The value of each dimension that was asked for, in that order.
    pub values: Vec<Value>,
    /// The calls by class of latency, in order.
    pub classes: Vec<(i32, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_at_their_grain_also_before_1970() {
        for (grain, us, floor, ceil) in [
            (Grain::Hour, HOUR_US + 1, HOUR_US, 2 * HOUR_US),
            (Grain::Hour, HOUR_US, HOUR_US, HOUR_US),
            (Grain::Hour, -1, -HOUR_US, 0),
            (Grain::Minute, MINUTE_US - 1, 0, MINUTE_US),
            (Grain::Day, 5, 0, DAY_US),
        ] {
            assert_eq!((grain.floor(us), grain.ceil(us)), (floor, ceil), "{grain:?} {us}");
        }
    }
}
