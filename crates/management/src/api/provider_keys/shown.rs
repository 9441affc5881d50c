//! How a provider key is shown: what is stored of it, with what is known of it now.

use std::mem;

use chrono::{DateTime, Utc};
use domain::{BreakerState, KeyStatus, Standing, live::KeyReport};
use serde::{Deserialize, Serialize};
use store::{MaskedKey, Stored};
use utoipa::ToSchema;

use crate::{
    api::{evidence::Evidence, quotas::QuotaUse, values::milliseconds},
    app::Management,
};

/// A provider key, masked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderKey {
    /// Its id.
    id: i64,
    /// Whose pool it is in.
    upstream_id: i64,
    /// Who entered it.
    owner_id: i64,
    /// What people call it.
    name: String,
    /// What people see of the secret.
    #[schema(example = "sk-…abcd")]
    mask: String,
    /// Its state now: for all models, or for the model for which it is unusable the longest.
    state: KeyStateNow,
    /// When that ends by itself, where it does.
    until: Option<DateTime<Utc>>,
    /// Why it stands so: the class of a failure, `rule`, `quota`, `group`, `person`, `probe`.
    reason: Option<String>,
    /// What that was concluded from.
    evidence: Option<Evidence>,
    /// Since when it stands so.
    since: Option<DateTime<Utc>>,
    /// The models for which it stands worse than for the others.
    models: Vec<ModelState>,
    /// Its circuit breaker; `null` where no data plane runs here.
    breaker: Option<Breaker>,
    /// Calls that it answers now.
    in_flight: Option<u32>,
    /// Which part of its last calls was answered, 0 to 1.
    success_rate: Option<f64>,
    /// The moving peak of its time to the first byte.
    latency_ms: Option<f64>,
    /// Its share under `weighted`.
    weight: u32,
    /// Whether its quota counts.
    enable_quota: bool,
    /// How many requests it may make a day.
    quota_total: Option<u64>,
    /// Everything it may use, the short form and what its pool gives to all included.
    quotas: Vec<QuotaUse>,
    /// Keys of one account or project share limits: they name the same group.
    quota_group: Option<String>,
    /// When a person last said that it is to be used: what was concluded before that is void.
    cleared_at: Option<DateTime<Utc>>,
    /// A remark.
    note: String,
    /// Labels by which people find it.
    tags: Vec<String>,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

/// How a provider key stands. The last two end by a person only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyStateNow {
    Active,
    Cooling,
    Exhausted,
    DisabledAuto,
    DisabledManual,
    Banned,
}

/// How a provider key stands for one model.
#[derive(Debug, Serialize, ToSchema)]
struct ModelState {
    /// The model.
    model: String,
    /// How the key stands for it.
    state: KeyStateNow,
    /// When that ends by itself, where it does.
    until: Option<DateTime<Utc>>,
    /// Why it stands so: the class of a failure, `rule`, `quota`, `group`, `person`, `probe`.
    reason: String,
    /// What that was concluded from.
    evidence: Evidence,
    /// Since when it stands so.
    since: DateTime<Utc>,
}

/// A circuit breaker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Breaker {
    /// `closed`, `open` or `half_open`.
    state: &'static str,
    /// Until when it is open.
    until: Option<DateTime<Utc>>,
}

impl From<BreakerState> for Breaker {
    fn from(state: BreakerState) -> Self {
        let until = match state {
            BreakerState::Open(until) => Some(until),
            BreakerState::Closed | BreakerState::HalfOpen => None,
        };
        Self { state: state.as_str(), until }
    }
}

impl KeyStateNow {
    /// What people must have decided of a key that stands so; none where that does not follow.
    pub(crate) fn decided(self) -> Option<domain::KeyState> {
        match self {
            Self::Active | Self::Cooling | Self::Exhausted | Self::DisabledAuto => {
                Some(domain::KeyState::Active)
            }
            Self::DisabledManual => Some(domain::KeyState::Disabled),
            Self::Banned => None,
        }
    }
}

impl KeyStateNow {
    /// The name of the status that must be kept or decided of a key that stands so, where columns do
    /// not say it alone and few keys are expected to.
    pub(super) fn found(self) -> Option<&'static str> {
        match self {
            Self::Cooling => Some("cooling"),
            Self::Exhausted => Some("exhausted"),
            Self::DisabledAuto => Some("disabled_auto"),
            Self::Banned => Some("banned"),
            Self::Active | Self::DisabledManual => None,
        }
    }
}

impl From<KeyStatus> for KeyStateNow {
    fn from(status: KeyStatus) -> Self {
        match status {
            KeyStatus::Active => Self::Active,
            KeyStatus::Cooling(_) => Self::Cooling,
            KeyStatus::Exhausted(_) => Self::Exhausted,
            KeyStatus::DisabledAuto(_) => Self::DisabledAuto,
            KeyStatus::DisabledManual => Self::DisabledManual,
            KeyStatus::Banned => Self::Banned,
        }
    }
}

/// How a provider key stands now, as far as anybody knows.
pub(super) struct Stands {
    pub(super) state: KeyStateNow,
    /// What was found of it for all models.
    standing: Option<Standing>,
    /// What was found of it for single models.
    models: Vec<(String, Standing)>,
    /// What else the data plane says of it.
    report: Option<KeyReport>,
}

impl Management {
    /// How a key stands now. What a person decided comes first; then what the data plane says,
    /// and where it does not have the key, what is kept.
    pub(super) fn stands(&self, key: &Stored<MaskedKey>) -> Stands {
        let row = &key.value;
        let mut report = self.live.as_ref().and_then(|live| live.key(row.upstream, row.id));
        let (standing, mut models) = match &mut report {
            Some(report) => (report.standing.take(), mem::take(&mut report.models)),
            None => kept(key),
        };
        // The data plane hears of what a person did a moment later.
        let holds = |it: &Standing| row.cleared_at.is_none_or(|cleared| it.since > cleared);
        let standing = standing.filter(holds);
        models.retain(|(_, standing)| holds(standing));
        let now = Utc::now();
        let usable = row.state == domain::KeyState::Active;
        let state = match row.state {
            domain::KeyState::Active => match standing.as_ref().map(|it| it.status.at(now)) {
                // That was before a person took it back.
                None | Some(KeyStatus::DisabledManual) => KeyStateNow::Active,
                Some(status) => status.into(),
            },
            domain::KeyState::Disabled => KeyStateNow::DisabledManual,
            domain::KeyState::Banned => KeyStateNow::Banned,
        };
        // What else was found of it is not why it stands so.
        let standing = standing.filter(|it| KeyStateNow::from(it.status.at(now)) == state);
        let worst = worst(&models, now).filter(|_| state == KeyStateNow::Active && usable);
        match worst {
            Some(worst) => {
                let state = worst.status.at(now).into();
                Stands { state, standing: Some(worst), models, report }
            }
            None => Stands { state, standing, models, report },
        }
    }

    /// A key with what is known of it now.
    pub(super) fn shown(&self, key: Stored<MaskedKey>) -> ProviderKey {
        let Stands { state, standing, models, report } = self.stands(&key);
        let (row, created_at, updated_at) = (key.value, key.created_at, key.updated_at);
        let standing = standing.filter(|_| state != KeyStateNow::Active);
        let usable = row.state == domain::KeyState::Active;
        let models = if usable { worse(models) } else { Vec::new() };
        let live = report.as_ref();
        ProviderKey {
            id: row.id.0,
            upstream_id: row.upstream.0,
            owner_id: row.owner.0,
            state,
            until: standing.as_ref().and_then(|it| it.status.until()),
            reason: standing.as_ref().map(|it| it.reason.clone()),
            since: standing.as_ref().map(|it| it.since),
            evidence: standing.map(|it| it.evidence.into()),
            models,
            breaker: live.map(|it| it.breaker.into()),
            in_flight: live.map(|it| it.in_flight),
            success_rate: live.and_then(|it| it.success_permille).map(rate),
            latency_ms: live.and_then(|it| it.latency).map(milliseconds),
            quotas: uses(&row, report),
            name: row.name,
            mask: row.mask,
            weight: row.weight,
            enable_quota: row.enable_quota,
            quota_total: row.quota_total,
            quota_group: row.group,
            cleared_at: row.cleared_at,
            note: row.note,
            tags: row.tags,
            created_at,
            updated_at,
        }
    }
}

/// What is kept of how a key stands: for all models, and for single ones.
fn kept(key: &Stored<MaskedKey>) -> (Option<Standing>, Vec<(String, Standing)>) {
    let (mut whole, mut models) = (None, Vec::new());
    for kept in &key.extra {
        match &kept.model {
            None => whole = Some(kept.standing.clone()),
            Some(model) => models.push((model.clone(), kept.standing.clone())),
        }
    }
    (whole, models)
}

/// How a key stands for the model for which it is out the longest.
fn worst(models: &[(String, Standing)], now: DateTime<Utc>) -> Option<Standing> {
    let out = models.iter().map(|(_, standing)| standing);
    let out = out.filter(|standing| standing.status.at(now) != KeyStatus::Active);
    out.max_by_key(|standing| standing.status.until()).cloned()
}

/// A share of a thousand as a number from 0 to 1.
pub(crate) fn rate(permille: u32) -> f64 {
    f64::from(permille) / 1000.0
}

fn worse(models: Vec<(String, Standing)>) -> Vec<ModelState> {
    let now = Utc::now();
    let shown = |(model, standing): (String, Standing)| ModelState {
        model,
        state: standing.status.at(now).into(),
        until: standing.status.until(),
        reason: standing.reason,
        evidence: standing.evidence.into(),
        since: standing.since,
    };
    models.into_iter().map(shown).filter(|it| it.state != KeyStateNow::Active).collect()
}

/// What a key may use: as the data plane counts it, or as far as the key itself says.
fn uses(row: &MaskedKey, report: Option<KeyReport>) -> Vec<QuotaUse> {
    if let Some(report) = report.filter(|report| !report.quotas.is_empty()) {
        return report.quotas.into_iter().map(Into::into).collect();
    }
    let short = row.quota_total.filter(|_| row.enable_quota).map(domain::Quota::requests_a_day);
    row.quotas.iter().copied().chain(short).map(QuotaUse::unknown).collect()
}
