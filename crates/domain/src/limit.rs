//! A limit: how much callers may use, at once, in a window of time, or in a period of the calendar.

use std::{fmt, time::Duration};

use chrono_tz::Tz;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Faults, LimitId, Period, ServiceKeyId, Unit, UpstreamId, UserId};

/// How much may be used, by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Its id.
    pub id: LimitId,
    /// Who made it.
    pub owner: UserId,
    /// What people call it; may be empty.
    pub name: String,
    /// Whose use counts together.
    pub scope: Scope,
    /// What is counted.
    pub unit: Unit,
    /// How it is counted.
    pub algorithm: Algorithm,
    /// How much; money in billionths of a dollar.
    pub limit: u64,
    /// From which part of it used people are told, in percent; never where nothing is said. Only of
    /// periods of the calendar.
    pub alert_percent: Option<u8>,
    /// Whether it holds.
    pub enabled: bool,
}

/// Whose use counts together. Where nobody is named, everybody has a count of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", content = "id", rename_all = "snake_case")]
pub enum Scope {
    /// All calls.
    Global,
    /// The addresses of one network, or each address by itself.
    Ip(Option<IpNet>),
    /// The service keys of one user, or those of each.
    User(Option<UserId>),
    /// One service key, or each.
    ServiceKey(Option<ServiceKeyId>),
    /// One model by the name that is asked for, or each.
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

/// How use is counted against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename_all = "snake_case")]
pub enum Algorithm {
    /// A bucket of `burst` that fills up at the rate of the limit in each window.
    TokenBucket {
        /// How long it takes to fill up by the limit.
        window: Duration,
        /// How much it holds; the limit where nothing is said.
        #[serde(default)]
        burst: Option<u64>,
    },
    /// The use of the last so much time, at every moment.
    SlidingWindow {
        /// How much time.
        window: Duration,
    },
    /// What is going on at the same time; only for [`Unit::Concurrency`].
    Concurrency,
    /// The use since the period of the calendar began.
    Calendar {
        /// Which period.
        period: Period,
        /// By the clock of which zone; the gateway's where none is named.
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
    /// From which part used people are told of a period, where nobody says otherwise.
    pub const ALERT_PERCENT: u8 = 80;

    /// How much may be used at once: the limit, or what the bucket holds.
    pub fn holds(&self) -> u64 {
        match self.algorithm {
            Algorithm::TokenBucket { burst: Some(burst), .. } => burst,
            _ => self.limit,
        }
    }

    /// Everything about it that could not be served.
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
