//! `/api/admin/keys`: provider keys. A secret goes in and never comes out.

mod export;
mod formula;
mod history;
mod import;
mod many;
mod parse;
mod shown;

pub(crate) use export::*;
pub(crate) use history::*;
pub(crate) use import::*;
pub(crate) use many::*;
pub(crate) use shown::*;

use axum::{Json as Answer, extract::State, http::StatusCode};
use domain::{Faults, ProviderKeyId, UpstreamId, UserId};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{Created, quotas::Quota, values::all, visible};
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, nullable, patch::Patch},
    listing::{ListOf, ListQuery, Order},
    permit::{ManageProviderKeys, ReadProviderKeys, With},
    words::KeyState,
};

/// A provider key to be entered into the pool of an upstream.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "upstream_id": 1, "name": "Key 1", "key_value": "sk-xxxxx",
    "enable_quota": true, "quota_total": 1000,
}))]
pub(crate) struct NewProviderKey {
    /// The upstream whose pool gets it.
    upstream_id: i64,
    /// Unique in the pool.
    name: String,
    /// The secret; it is never shown again.
    #[schema(value_type = String)]
    key_value: SecretString,
    /// What people decide about it; `active` when not given.
    state: Option<KeyState>,
    /// 1 to 1000.
    weight: Option<u32>,
    /// Whether `quota_total` counts.
    #[serde(default)]
    enable_quota: bool,
    /// How many requests it may make a day.
    quota_total: Option<u64>,
    /// What else it may use, at most 8.
    #[serde(default)]
    quotas: Vec<Quota>,
    /// Keys of one account or project share limits: they name the same group.
    quota_group: Option<String>,
    /// A remark, at most 2000 bytes.
    #[serde(default)]
    note: String,
}

/// What to change of a provider key, as a JSON merge patch (RFC 7396): what is not given stays;
/// `null` puts a field back to what it is usually.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"weight": 5, "note": "of the team account"}))]
pub(crate) struct EditProviderKey {
    /// Another name, unique in the pool.
    name: Option<String>,
    /// Another secret in place of the old one.
    #[schema(value_type = Option<String>)]
    key_value: Option<SecretString>,
    /// What people decide about it. `active` also takes back what was concluded of it.
    state: Option<KeyState>,
    /// Its share under `weighted`, 1 to 1000.
    weight: Option<u32>,
    /// Whether `quota_total` counts.
    enable_quota: Option<bool>,
    /// `null` forgets the number.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>)]
    quota_total: Option<Option<u64>>,
    /// All other quotas anew.
    quotas: Option<Vec<Quota>>,
    /// `null` takes it out of its group.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    quota_group: Option<Option<String>>,
    /// A remark, at most 2000 bytes.
    note: Option<String>,
}

/// Which provider keys are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderKeysQuery {
    /// Only the pool of this upstream.
    upstream_id: Option<i64>,
    /// Only keys that stand so now.
    #[param(inline)]
    state: Option<KeyStateNow>,
    /// Only this quota group.
    quota_group: Option<String>,
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// Only keys with these characters in their name, whose value ends so as far as the mask shows
    /// it, or whose whole value this is. Ask for whole values with `POST /api/admin/keys/bulk`
    /// (`values`, `dry_run`): addresses stand in logs.
    search: Option<String>,
    /// The order; `-` in front turns it round.
    #[param(inline)]
    sort: Option<Order>,
}

/// Provider keys, a page at a time.
///
/// At most 5,000 keys are looked at for one page: where few of them stand as is asked for, a page can
/// be short, or empty, and still have a `next_cursor` to go on from.
#[utoipa::path(get, path = "/api/admin/keys", tag = "provider keys", params(ProviderKeysQuery),
    responses((status = 200, description = "A page of provider keys", body = ListOf<ProviderKey>)))]
pub(crate) async fn list_provider_keys(
    actor: With<ReadProviderKeys>,
    State(app): State<Management>,
    Query(query): Query<ProviderKeysQuery>,
) -> Result<Answer<ListOf<ProviderKey>>, ApiError> {
    let ProviderKeysQuery { upstream_id, state, quota_group, cursor, limit, search, sort } = query;
    let page = ListQuery { cursor, limit, search, sort }.page(actor.confined_to())?;
    let filter = KeyFilter { upstream_id, state, quota_group, search: None };
    let keep = |key: &_| state.is_none_or(|state| app.stands(key).state == state);
    let mut filter = filter.stored(None);
    filter.ids = app.standing_so(state).await?;
    let rows = app.store.provider_keys_that(&filter, page, keep).await?;
    Ok(Answer(ListOf::of(rows, |key| app.shown(key))))
}

/// Enter a provider key. Refused where the pool has its value already.
#[utoipa::path(post, path = "/api/admin/keys", tag = "provider keys", request_body = NewProviderKey,
    responses((status = 201, description = "The provider key was created", body = ProviderKey)))]
pub(crate) async fn create_provider_key(
    actor: With<ManageProviderKeys>,
    State(app): State<Management>,
    Json(new): Json<NewProviderKey>,
) -> Result<Created<ProviderKey>, ApiError> {
    let id = app.store.create_provider_key(&actor, new.into()).await?;
    let made = app.show(app.store.provider_key(id).await?).await?;
    Ok(Created::at(format!("/api/admin/keys/{id}"), made))
}

/// One provider key.
#[utoipa::path(get, path = "/api/admin/keys/{id}", tag = "provider keys", params(("id" = i64, Path, description = "The id of the provider key")),
    responses((status = 200, description = "The provider key", body = ProviderKey)))]
pub(crate) async fn read_provider_key(
    actor: With<ReadProviderKeys>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<ProviderKey>, ApiError> {
    let row = app.store.provider_key(ProviderKeyId(id)).await?;
    Ok(Answer(app.show(visible(&actor, row.owner, "provider key", row)?).await?))
}

/// Change a provider key.
#[utoipa::path(patch, path = "/api/admin/keys/{id}", tag = "provider keys", params(("id" = i64, Path, description = "The id of the provider key")),
    request_body(content((EditProviderKey = "application/json"), (EditProviderKey = "application/merge-patch+json"))),
    responses((status = 200, description = "The provider key", body = ProviderKey)))]
pub(crate) async fn edit_provider_key(
    actor: With<ManageProviderKeys>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
    patch: Patch<EditProviderKey>,
) -> Result<Answer<ProviderKey>, ApiError> {
    let id = ProviderKeyId(id);
    // No field is an object: what the patch comes to does not hang on what the key is now.
    let edit = patch.onto(&Value::Null, &usual()).map_err(ApiError::Invalid)?;
    if_match.on(&app.store).edit_provider_key(&actor, id, edit.into()).await?;
    Ok(Answer(app.show(app.store.provider_key(id).await?).await?))
}

/// Delete a provider key.
#[utoipa::path(delete, path = "/api/admin/keys/{id}", tag = "provider keys", params(("id" = i64, Path, description = "The id of the provider key")),
    responses((status = 204, description = "The provider key was deleted")))]
pub(crate) async fn delete_provider_key(
    actor: With<ManageProviderKeys>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    if_match.on(&app.store).delete_provider_key(&actor, ProviderKeyId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a patch finds in the place of what it removes.
fn usual() -> Value {
    json!({
        "state": "active", "weight": 1, "enable_quota": false, "quota_total": null, "quotas": [],
        "quota_group": null, "note": "",
    })
}

impl Input for NewProviderKey {
    fn faults(&self) -> Faults {
        judged(Some(&self.name), Some(&self.key_value), self.weight, &self.quotas)
    }
}

impl Input for EditProviderKey {
    const NULLABLE: Option<&'static [&'static str]> = Some(&["quota_total", "quota_group"]);
    const REQUIRED: &'static [&'static str] = &["name", "key_value"];

    fn faults(&self) -> Faults {
        let quotas = self.quotas.as_deref().unwrap_or_default();
        judged(self.name.as_deref(), self.key_value.as_ref(), self.weight, quotas)
    }
}

/// What is wrong with a provider key of which this was told.
fn judged(
    name: Option<&str>,
    secret: Option<&SecretString>,
    weight: Option<u32>,
    quotas: &[Quota],
) -> Faults {
    let key = domain::ProviderKey {
        id: ProviderKeyId(0),
        upstream: UpstreamId(0),
        owner: UserId(0),
        name: name.unwrap_or("name").to_owned(),
        secret: secret.cloned().unwrap_or_else(|| "secret".into()),
        state: domain::KeyState::Active,
        weight: weight.unwrap_or(1),
        quotas: all(quotas.to_vec()),
        group: None,
        cleared_at: None,
    };
    key.faults()
}

impl From<NewProviderKey> for store::NewProviderKey {
    fn from(new: NewProviderKey) -> Self {
        Self {
            upstream: UpstreamId(new.upstream_id),
            name: new.name,
            secret: new.key_value,
            state: new.state.map(Into::into),
            weight: new.weight,
            enable_quota: new.enable_quota,
            quota_total: new.quota_total,
            quotas: all(new.quotas),
            group: new.quota_group,
            note: new.note,
            owner: None,
        }
    }
}

impl From<EditProviderKey> for store::ProviderKeyEdit {
    fn from(edit: EditProviderKey) -> Self {
        Self {
            name: edit.name,
            secret: edit.key_value,
            state: edit.state.map(Into::into),
            weight: edit.weight,
            enable_quota: edit.enable_quota,
            quota_total: edit.quota_total,
            quotas: edit.quotas.map(all),
            group: edit.quota_group,
            note: edit.note,
        }
    }
}
