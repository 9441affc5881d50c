//! What a provider key may use: quotas a period, and limits that a provider sets for a minute or
//! a day. A key that is out of its quota leaves the pool until the next period; one that is at a
//! limit is passed over until there is room.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{Faults, Period, Unit, model_pattern};

/// So much of a unit in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quota {
    /// What is counted; not `concurrency`.
    pub unit: Unit,
    /// Over which stretch of the calendar.
    pub period: Period,
    /// How much; money in billionths of a dollar.
    pub limit: u64,
    /// By the clock of which zone a period begins; that of the upstream where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Tz>,
}

impl Quota {
    /// Most quotas of one key.
    pub const PER_KEY_MAX: usize = 8;

    /// The short form: so many requests a day.
    pub fn requests_a_day(limit: u64) -> Self {
        Self { unit: Unit::Requests, period: Period::Day, limit, timezone: None }
    }

    /// What is wrong with a list of quotas; field paths begin with the place in it (`[2].unit`).
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

/// What a provider allows each key, or each group of keys, at once or in a minute or a day. Minutes
/// and days slide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLimit {
    /// For which models (a name, or its beginning and `*`); all together where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whose calls count together.
    #[serde(default)]
    pub per: Sharing,
    /// What is counted.
    pub unit: Unit,
    /// Over how long; none for `concurrency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How much.
    pub limit: u64,
}

/// Whose calls count together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Those of one key.
    #[default]
    Key,
    /// Those of all keys of one quota group; a key without a group is one by itself.
    Group,
}

/// How long the window of a [`KeyLimit`] is.
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

    /// What is wrong with a list of limits; field paths begin with the place in it.
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

    /// Whether calls for `model` count.
    pub fn concerns(&self, model: Option<&str>) -> bool {
        let Some(pattern) = self.model.as_deref() else { return true };
        let Some(model) = model else { return false };
        model_pattern::fits(pattern, model)
    }
}
