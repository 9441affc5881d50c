//! How a provider key came to stand as it does.

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use store::{MaskedKey, TransitionRow};
use utoipa::ToSchema;

use super::KeyStateNow;
use crate::{
    api::evidence::Evidence,
    app::Management,
    error::ApiError,
    input::{Id, Query},
    listing::{ListOf, PageQuery},
    permit::{ReadProviderKeys, With},
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
