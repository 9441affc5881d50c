//! Quotas of provider keys per period, and limits that a provider sets per minute or day. A key
//! without quota leaves the pool until the next period; a key at a limit is skipped until it has
//! capacity again.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{Faults, Period, Unit, model_pattern};

/// An amount of a unit in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quota {
    /// The unit; not `concurrency`.
    pub unit: Unit,
    /// The period.
    pub period: Period,
    /// The amount; money in billionths of a dollar.
    pub limit: u64,
    /// The time zone of the period; that of the upstream if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Tz>,
}

impl Quota {
    /// Most quotas of one key.
    pub const PER_KEY_MAX: usize = 8;

    /// Returns a quota of requests per day.
    pub fn requests_a_day(limit: u64) -> Self {
        Self { unit: Unit::Requests, period: Period::Day, limit, timezone: None }
    }

    /// Returns the invalid fields of a list of quotas; paths begin with the index (`[2].unit`).
    pub fn faults(quotas: &[Quota]) -> Faults {
        let mut faults = Faults::default();
        if quotas.len() > Self::PER_KEY_MAX {
            faults.add("", format!("must be at most {}", Self::PER_KEY_MAX));
        }
        for (i, quota) in quotas.iter().enumerate() {
            if quota.unit == Unit::Concurrency {
                faults.add(format!("[{i}].unit"), "calls at once have no period; use `key_limits`");
            }
            if i64::try_from(quota.limit).is_err() {
                faults.add(format!("[{i}].limit"), "is too large");
            }
            let same = |other: &Quota| (other.unit, other.period) == (quota.unit, quota.period);
            if quotas[..i].iter().any(same) {
                faults.add(format!("[{i}]"), "is given twice");
            }
        }
        faults
    }
}

/// A limit that a provider sets for each key or quota group: concurrent calls, or an amount per
/// sliding minute or day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLimit {
    /// The pattern of the models; all models together if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The calls that count together.
    #[serde(default)]
    pub per: Sharing,
    /// The unit.
    pub unit: Unit,
    /// The window; `None` for `concurrency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The amount.
    pub limit: u64,
}

/// The calls that count together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Each key separately.
    #[default]
    Key,
    /// All keys of one quota group together; a key without a group separately.
    Group,
}

/// The window of a [`KeyLimit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// 60 seconds.
    Minute,
    /// 24 hours.
    Day,
}

impl KeyLimit {
    /// Most limits of one pool.
    pub const PER_POOL_MAX: usize = 32;

    /// Returns the invalid fields of a list of limits; paths begin with the index.
    pub fn faults(limits: &[KeyLimit]) -> Faults {
        let mut faults = Faults::default();
        if limits.len() > Self::PER_POOL_MAX {
            faults.add("", format!("must be at most {}", Self::PER_POOL_MAX));
        }
        for (i, limit) in limits.iter().enumerate() {
            match (limit.unit, limit.window) {
                (Unit::Cost, _) => {
                    faults.add(format!("[{i}].unit"), "money is a matter of `quotas`");
                }
                (Unit::Concurrency, Some(_)) => {
                    faults.add(format!("[{i}].window"), "calls at once have no window");
                }
                (Unit::Concurrency, None) | (_, Some(_)) => {}
                (_, None) => faults.add(format!("[{i}].window"), "must be minute or day"),
            }
            if limit.limit == 0 || i64::try_from(limit.limit).is_err() {
                faults.add(format!("[{i}].limit"), "must be at least 1");
            }
            if let Some(words) = limit.model.as_deref().and_then(model_pattern::fault) {
                faults.add(format!("[{i}].model"), words);
            }
        }
        faults
    }

    /// Whether calls of `model` count.
    pub fn concerns(&self, model: Option<&str>) -> bool {
        let Some(pattern) = self.model.as_deref() else { return true };
        let Some(model) = model else { return false };
        model_pattern::fits(pattern, model)
    }
}
