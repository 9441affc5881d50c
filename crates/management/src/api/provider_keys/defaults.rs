//! What holds for every key of a list that is imported.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::{api::quotas::Quota, words::KeyState};

/// What is so of every key of a list.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defaults {
    /// The state of each key.
    pub(super) state: Option<KeyState>,
    /// The share of each key under `weighted`, 1 to 1000; 1 when not given.
    pub(super) weight: Option<u32>,
    /// The quota group of each key.
    pub(super) quota_group: Option<String>,
    /// The quotas of each key.
    pub(super) quotas: Option<Vec<Quota>>,
    /// Whether `quota_total` counts.
    pub(super) enable_quota: Option<bool>,
    /// How many requests each may make a day.
    pub(super) quota_total: Option<u64>,
}

impl Defaults {
    /// How many requests each key may make a day, where that counts.
    pub(super) fn quota_total(&self) -> Option<u64> {
        self.quota_total.filter(|_| self.enable_quota != Some(false))
    }
}
