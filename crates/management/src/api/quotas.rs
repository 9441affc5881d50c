//! Quotas of provider keys, as the API spells them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::{
    amounts::{self, Amount},
    values::Zone,
};
use crate::words::{Period, Unit};

/// So much of a unit in each period.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "SaidQuota")]
#[schema(example = json!({"unit": "tokens", "period": "month", "limit": 1_000_000}))]
pub(crate) struct Quota {
    /// Not `concurrency`.
    unit: Unit,
    /// The period.
    period: Period,
    /// How much; of `cost`, dollars as decimal text, to the billionth.
    #[schema(value_type = Amount)]
    limit: Much,
    /// By the clock of which zone a period begins; that of the upstream where none is named.
    #[schema(required = false)]
    timezone: Option<Zone>,
}

/// A quota as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidQuota {
    unit: Unit,
    period: Period,
    limit: Amount,
    #[serde(default)]
    timezone: Option<Zone>,
}

/// How much of a unit, shown in dollars where it is money.
#[derive(Debug, Clone, Copy)]
struct Much {
    unit: domain::Unit,
    value: u64,
}

impl Serialize for Much {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        amounts::shown(self.unit, self.value).serialize(serializer)
    }
}

impl TryFrom<SaidQuota> for Quota {
    type Error = String;

    fn try_from(said: SaidQuota) -> Result<Self, String> {
        let SaidQuota { unit, period, limit, timezone } = said;
        let value = limit.read(unit.into()).map_err(|words| format!("`limit` {words}"))?;
        Ok(Self { unit, period, limit: Much { unit: unit.into(), value }, timezone })
    }
}

/// A quota, and how much of it is used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuotaUse {
    /// What is counted.
    unit: Unit,
    /// The period.
    period: Period,
    /// How much; of `cost`, dollars.
    #[schema(value_type = Amount)]
    limit: Much,
    /// By the clock of which zone a period begins; `null` for that of the upstream.
    timezone: Option<Zone>,
    /// How much is used, what is reserved for calls under way included; `null` where no data plane
    /// runs here.
    #[schema(value_type = Option<Amount>)]
    used: Option<Much>,
    /// When it starts anew.
    resets_at: Option<DateTime<Utc>>,
}

impl QuotaUse {
    /// A quota of whose use nothing is known here.
    pub(crate) fn unknown(quota: domain::Quota) -> Self {
        let Quota { unit, period, limit, timezone } = quota.into();
        Self { unit, period, limit, timezone, used: None, resets_at: None }
    }
}

impl From<domain::live::QuotaUse> for QuotaUse {
    fn from(told: domain::live::QuotaUse) -> Self {
        Self {
            used: Some(Much { unit: told.quota.unit, value: told.used }),
            resets_at: told.resets_at,
            ..Self::unknown(told.quota)
        }
    }
}

impl From<domain::Quota> for Quota {
    fn from(quota: domain::Quota) -> Self {
        Self {
            unit: quota.unit.into(),
            period: quota.period.into(),
            limit: Much { unit: quota.unit, value: quota.limit },
            timezone: quota.timezone.map(Zone),
        }
    }
}

impl From<Quota> for domain::Quota {
    fn from(quota: Quota) -> Self {
        Self {
            unit: quota.unit.into(),
            period: quota.period.into(),
            limit: quota.limit.value,
            timezone: quota.timezone.map(|zone| zone.0),
        }
    }
}
