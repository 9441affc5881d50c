//! Limits of callers: concurrent calls, amounts per time window, amounts per calendar period.

use std::{fmt, time::Duration};

use chrono_tz::Tz;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Faults, LimitId, Period, ServiceKeyId, Unit, UpstreamId, UserId};

/// A limit of callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Its id.
    pub id: LimitId,
    /// Who made it.
    pub owner: UserId,
    /// The name for people; may be empty.
    pub name: String,
    /// The scope.
    pub scope: Scope,
    /// The unit.
    pub unit: Unit,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The amount; money in billionths of a dollar.
    pub limit: u64,
    /// The used part, in percent, from which an alert is raised; none if `None`. Only for calendar
    /// periods.
    pub alert_percent: Option<u8>,
    /// Whether the limit is enforced.
    pub enabled: bool,
}

/// The scope of a limit. Without a subject, everybody has a separate count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", content = "id", rename_all = "snake_case")]
pub enum Scope {
    /// All calls.
    Global,
    /// The addresses of one network together, or each address.
    Ip(Option<IpNet>),
    /// The service keys of one user, or of each user.
    User(Option<UserId>),
    /// One service key, or each.
    ServiceKey(Option<ServiceKeyId>),
    /// One model by the requested name, or each.
    Model(Option<String>),
    /// One upstream, or each.
    Upstream(Option<UpstreamId>),
}

impl Scope {
    /// The name in the API and in columns.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Scope::Global => "global",
            Scope::Ip(_) => "ip",
            Scope::User(_) => "user",
            Scope::ServiceKey(_) => "service_key",
            Scope::Model(_) => "model",
            Scope::Upstream(_) => "upstream",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The counting algorithm of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename_all = "snake_case")]
pub enum Algorithm {
    /// A bucket of size `burst` that is refilled at the rate of the limit per window.
    TokenBucket {
        /// The time in which the limit is refilled.
        window: Duration,
        /// The size of the bucket; the limit if `None`.
        #[serde(default)]
        burst: Option<u64>,
    },
    /// The use within the sliding window, at every moment.
    SlidingWindow {
        /// The length of the window.
        window: Duration,
    },
    /// The number of concurrent calls; only for [`Unit::Concurrency`].
    Concurrency,
    /// The use since the beginning of the calendar period.
    Calendar {
        /// The period.
        period: Period,
        /// The time zone; the gateway's if `None`.
        #[serde(default)]
        timezone: Option<Tz>,
    },
}

impl Algorithm {
    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::TokenBucket { .. } => "token_bucket",
            Algorithm::SlidingWindow { .. } => "sliding_window",
            Algorithm::Concurrency => "concurrency",
            Algorithm::Calendar { .. } => "calendar",
        }
    }
}

impl Limit {
    /// The shortest and the longest window.
    pub const WINDOW: (Duration, Duration) =
        (Duration::from_secs(1), Duration::from_secs(31 * 86_400));
    /// The default of `alert_percent` for periods.
    pub const ALERT_PERCENT: u8 = 80;

    /// Returns the amount that may be used at once: the limit, or the size of the bucket.
    pub fn holds(&self) -> u64 {
        match self.algorithm {
            Algorithm::TokenBucket { burst: Some(burst), .. } => burst,
            _ => self.limit,
        }
    }

    /// Returns every invalid field.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.name.len() > 128 {
            faults.add("name", "must be at most 128 bytes");
        }
        if i64::try_from(self.limit).is_err() {
            faults.add("limit", "is too large");
        }
        if matches!(self.algorithm, Algorithm::Concurrency) != (self.unit == Unit::Concurrency) {
            faults.add("algorithm", "calls at once go with the unit concurrency, and only with it");
        }
        if let Algorithm::TokenBucket { window, .. } | Algorithm::SlidingWindow { window } =
            self.algorithm
            && !(Self::WINDOW.0..=Self::WINDOW.1).contains(&window)
        {
            faults.add("window", "must be 1 s to 31 d");
        }
        if let Algorithm::TokenBucket { burst: Some(burst), .. } = self.algorithm
            && (burst == 0 || i64::try_from(burst).is_err())
        {
            faults.add("burst", "must be at least 1");
        }
        if let Some(percent) = self.alert_percent {
            if !matches!(self.algorithm, Algorithm::Calendar { .. }) {
                faults.add("alert_percent", "goes with calendar only");
            }
            if !(1..=100).contains(&percent) {
                faults.add("alert_percent", "must be 1 to 100");
            }
        }
        if let Scope::Model(Some(model)) = &self.scope
            && (model.is_empty() || model.len() > 256)
        {
            faults.add("scope_id", "must be 1 to 256 bytes");
        }
        faults
    }
}
