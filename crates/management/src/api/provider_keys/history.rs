//! How a provider key came to stand as it does, and what it was like before.

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use store::{MaskedKey, Stored, TransitionRow};
use utoipa::ToSchema;

use super::KeyStateNow;
use crate::{
    api::{evidence::Evidence, quotas::Quota, values::all},
    app::Management,
    error::ApiError,
    input::{Id, Query},
    listing::{ListOf, PageQuery},
    permit::{ReadProviderKeys, With},
    resource::version,
    words::KeyState,
};

/// A step of a provider key from one state to another.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyTransition {
    /// Its number; it grows with time.
    id: i64,
    /// The provider key.
    key_id: i64,
    /// Whose pool it was in.
    upstream_id: i64,
    /// For which model only; `null` for all.
    model: Option<String>,
    /// How it stood before.
    #[schema(value_type = KeyStateNow)]
    from: String,
    /// How it stood since.
    #[schema(value_type = KeyStateNow)]
    to: String,
    /// When that was to end by itself, where it did.
    until: Option<DateTime<Utc>>,
    /// Why: the class of a failure, `rule`, `quota`, `group`, `person`, `probe`, `trial`, `expired`.
    reason: String,
    /// What it was concluded from.
    evidence: Evidence,
    /// Who did it: `gateway`, `rule`, or a person's name.
    actor: String,
    /// When it happened.
    at: DateTime<Utc>,
}

/// The steps of a provider key from one state to another, the newest first.
#[utoipa::path(get, path = "/api/admin/keys/{id}/transitions", tag = "provider keys",
    params(("id" = i64, Path, description = "The id of the provider key"), PageQuery),
    responses((status = 200, description = "A page of transitions", body = ListOf<KeyTransition>)))]
pub(crate) async fn list_key_transitions(
    actor: With<ReadProviderKeys>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<KeyTransition>>, ApiError> {
    let page = query.page()?;
    let key = app.get::<MaskedKey>(&actor, id).await?.value.id;
    let steps = app.store.transitions(key, page).await?;
    Ok(Answer(ListOf::of(steps, KeyTransition::from)))
}

impl From<TransitionRow> for KeyTransition {
    fn from(row: TransitionRow) -> Self {
        Self {
            id: row.id,
            key_id: row.key.0,
            upstream_id: row.upstream.0,
            model: row.model,
            from: row.from,
            to: row.to,
            until: row.until,
            reason: row.reason,
            evidence: row.evidence.into(),
            actor: row.actor,
            at: row.at,
        }
    }
}

/// A provider key as it was, masked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoredProviderKey {
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
    /// What people decided about it.
    state: KeyState,
    /// Its share under `weighted`.
    weight: u32,
    /// Whether its quota counts.
    enable_quota: bool,
    /// How many requests it may make a day.
    quota_total: Option<u64>,
    /// What else it may use.
    quotas: Vec<Quota>,
    /// Keys of one account or project share limits: they name the same group.
    quota_group: Option<String>,
    /// A remark.
    note: String,
    /// Labels by which people find it.
    tags: Vec<String>,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was changed.
    updated_at: DateTime<Utc>,
}

impl From<Stored<MaskedKey>> for StoredProviderKey {
    fn from(stored: Stored<MaskedKey>) -> Self {
        let key = stored.value;
        Self {
            id: key.id.0,
            upstream_id: key.upstream.0,
            owner_id: key.owner.0,
            name: key.name,
            mask: key.mask,
            state: key.state.into(),
            weight: key.weight,
            enable_quota: key.enable_quota,
            quota_total: key.quota_total,
            quotas: all(key.quotas),
            quota_group: key.group,
            note: key.note,
            tags: key.tags,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

version!(ProviderKeyVersion of StoredProviderKey);

/// What a provider key was like after each of its changes, the newest first: of the last 365 days, those of deleted
/// ones too for who sees everything. A change of more than 1,000 at once leaves no version of each.
#[utoipa::path(get, path = "/api/admin/keys/{id}/history", tag = "provider keys",
    params(("id" = i64, Path, description = "The id of the provider key"), PageQuery),
    responses((status = 200, description = "A page of versions", body = ListOf<ProviderKeyVersion>)))]
pub(crate) async fn provider_key_history(
    actor: With<ReadProviderKeys>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<ProviderKeyVersion>>, ApiError> {
    app.history::<MaskedKey, _>(&actor, id, query).await
}
