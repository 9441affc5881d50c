//! `/api/admin/keys`: provider keys. A secret goes in and never comes out.

mod defaults;
mod export;
pub(crate) mod formula;
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
use chrono::Utc;
use domain::{Faults, ProviderKeyId, UpstreamId, UserId};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{MaskedKey, Store};
use utoipa::IntoParams;

use super::{Created, quotas::Quota, values::all};
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, patch::Patch},
    listing::{ListOf, ListQuery, Order},
    permit::{ManageProviderKeys, ReadProviderKeys, With},
    resource::{bodies, created, set},
    words::KeyState,
};

bodies! {
    /// A provider key to be entered into the pool of an upstream.
    #[schema(example = json!({
        "upstream_id": 1, "name": "Key 1", "key_value": "sk-xxxxx",
        "enable_quota": true, "quota_total": 1000,
    }))]
    new NewProviderKey {
        /// The upstream whose pool gets it.
        upstream_id: i64,
        /// Unique in the pool.
        name: String,
        /// The secret; it is never shown again.
        #[schema(value_type = String)]
        key_value: SecretString,
    }

    /// What to change of a provider key, as a JSON merge patch (RFC 7396): what is not given stays;
    /// `null` puts a field back to what it is usually.
    #[schema(example = json!({"weight": 5, "note": "of the team account"}))]
    edit EditProviderKey {
        /// Another name, unique in the pool.
        name: Option<String>,
        /// Another secret in place of the old one.
        #[schema(value_type = Option<String>)]
        key_value: Option<SecretString>,
    }

    both {
        /// What people decide about it; `active` when nothing is said. In an edit, `active` also takes
        /// back what was concluded of it.
        state: KeyState,
        /// Its share under `weighted`, 1 to 1000; 1 when nothing is said.
        weight: u32,
        /// Whether `quota_total` counts.
        enable_quota: bool,
        /// What else it may use, at most 8.
        quotas: Vec<Quota>,
        /// A remark, at most 2000 bytes.
        note: String,
        /// Labels by which people find it, all of them: at most 16, each of 1 to 32 small letters,
        /// digits or any of `-_.:/`.
        tags: Vec<String>,
    }

    nullable {
        /// How many requests it may make a day; `null` for no number.
        quota_total: u64,
        /// Keys of one account or project share limits: they name the same group; `null` for none.
        quota_group: String,
    }
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
    /// Only keys with this tag.
    tag: Option<String>,
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
    let ProviderKeysQuery { upstream_id, state, quota_group, tag, cursor, limit, search, sort } =
        query;
    let page = ListQuery { cursor, limit, search, sort }.page()?;
    let filter = KeyFilter { upstream_id, state, quota_group, tag, search: None };
    let keep = |key: &_| state.is_none_or(|state| app.stands(key).state == state);
    let mut filter = filter.stored();
    filter.ids = app.standing_so(state).await?;
    let (view, most) = (app.store.seen_by(&actor), Store::KEYS_LOOKED_AT);
    let rows = view.list_that::<MaskedKey>(&filter, page, most, keep).await?;
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
    let ((upstream, name, secret), edit) = new.split();
    let fresh = |id, owner| MaskedKey::new(id, owner, UpstreamId(upstream), name, secret);
    let edit = |key: &mut MaskedKey| {
        edit.apply(key)?;
        // Nothing was concluded of a new key.
        key.cleared_at = None;
        Ok(())
    };
    let made = app.store.create(&actor, fresh, edit).await?;
    Ok(created::<MaskedKey, _>(made.value.id, app.shown(made)))
}

/// One provider key.
#[utoipa::path(get, path = "/api/admin/keys/{id}", tag = "provider keys", params(("id" = i64, Path, description = "The id of the provider key")),
    responses((status = 200, description = "The provider key", body = ProviderKey)))]
pub(crate) async fn read_provider_key(
    actor: With<ReadProviderKeys>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<ProviderKey>, ApiError> {
    Ok(Answer(app.shown(app.get(&actor, id).await?)))
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
    // No field is an object: what the patch comes to does not hang on what the key is now.
    let edit = patch.onto(&Value::Null, &usual()).map_err(ApiError::Invalid)?;
    let (store, id) = (if_match.on(&app.store), ProviderKeyId(id));
    Ok(Answer(app.shown(store.edit(&actor, id, |key| edit.apply(key)).await?)))
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
    app.delete::<MaskedKey>(&actor, &if_match, id).await
}

/// What a patch finds in the place of what it removes.
fn usual() -> Value {
    json!({
        "state": "active", "weight": 1, "enable_quota": false, "quota_total": null, "quotas": [],
        "quota_group": null, "note": "", "tags": [],
    })
}

impl EditProviderKey {
    /// Puts what is given in the place of what was.
    fn apply(self, key: &mut MaskedKey) -> Result<(), Faults> {
        set(&mut key.name, self.name);
        if self.key_value.is_some() {
            key.secret = self.key_value;
        }
        if let Some(state) = self.state {
            key.decide(state.into(), Utc::now());
        }
        set(&mut key.weight, self.weight);
        set(&mut key.enable_quota, self.enable_quota);
        set(&mut key.quota_total, self.quota_total);
        set(&mut key.quotas, self.quotas.map(all));
        set(&mut key.group, self.quota_group);
        set(&mut key.note, self.note);
        set(&mut key.tags, self.tags);
        Ok(())
    }

    /// What is wrong with a provider key that is edited so.
    fn judged(self, name: String, secret: SecretString) -> Faults {
        let (id, owner, upstream) = (ProviderKeyId(0), UserId(0), UpstreamId(0));
        let mut key = MaskedKey::new(id, owner, upstream, name, secret);
        self.apply(&mut key).err().unwrap_or_else(|| key.faults())
    }
}

impl Input for NewProviderKey {
    fn faults(&self) -> Faults {
        let ((_, name, secret), edit) = self.clone().split();
        edit.judged(name, secret)
    }
}

impl Input for EditProviderKey {
    const NULLABLE: Option<&'static [&'static str]> = Some(&["quota_total", "quota_group"]);
    const REQUIRED: &'static [&'static str] = &["name", "key_value"];

    fn faults(&self) -> Faults {
        self.clone().judged("name".to_owned(), "secret".into())
    }
}
