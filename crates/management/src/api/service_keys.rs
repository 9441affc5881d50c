//! `/api/admin/service-keys`: the keys we give to callers. A key is shown once, when it is made.

use std::time::Duration;

use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::{Faults, ServiceKeyId, UpstreamId, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use store::Stored;
use utoipa::ToSchema;

use super::{
    Created,
    access::{Hours, Network},
    values::all,
};
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, patch::Patch},
    listing::{ListOf, PageQuery, TaggedQuery},
    permit::{ManageServiceKeys, ReadServiceKeys, With},
    resource::{bodies, created, set, version},
};

/// A service key, masked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServiceKey {
    /// Its id.
    id: i64,
    /// Whose it is: it never reaches more than its owner does.
    owner_id: i64,
    /// What people call it.
    name: String,
    /// What people see of it.
    #[schema(example = "tg-4fGh2kLm-…Ab1x")]
    mask: String,
    /// Whether it may be used.
    enabled: bool,
    /// From when on it is no longer accepted.
    expires_at: Option<DateTime<Utc>>,
    /// The only upstreams it may reach; empty means all that its owner may.
    allowed_upstreams: Vec<i64>,
    /// The only models it may ask for, each by its name or by how names begin and `*` (`gpt-*`);
    /// empty means any.
    allowed_models: Vec<String>,
    /// The only networks from which it is accepted; empty means any.
    allowed_ips: Vec<Network>,
    /// The only HTTP methods; empty means any.
    allowed_methods: Vec<String>,
    /// The only times; empty means always.
    allowed_hours: Vec<Hours>,
    /// Labels by which people find it.
    tags: Vec<String>,
    /// Until when the key before the last rotation is accepted yet.
    previous_until: Option<DateTime<Utc>>,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

/// A service key just made, with the key itself: it is never shown again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MintedServiceKey {
    /// The key. Keep it: it is shown this once.
    #[serde(serialize_with = "in_clear")]
    #[schema(value_type = String, example = "tg-…")]
    key: SecretString,
    #[serde(flatten)]
    service_key: ServiceKey,
}

bodies! {
    /// A service key to be made.
    #[schema(example = json!({"name": "my app"}))]
    new NewServiceKey {
        /// What people call it, 1 to 128 bytes.
        name: String,
    }

    /// What to change of a service key, as a JSON merge patch (RFC 7396): what is not given stays;
    /// `null` puts a field back to what it is usually.
    #[schema(example = json!({"name": "my app", "allowed_models": ["gpt-*"]}))]
    edit EditServiceKey {
        /// Another name.
        name: Option<String>,
    }

    both {
        /// Whether it may be used; it may when nothing is said.
        enabled: bool,
        /// The ids of the upstreams that it may reach; empty means all.
        allowed_upstreams: Vec<i64>,
        /// Names, or how names begin and one `*` last: `gpt-*`.
        allowed_models: Vec<String>,
        /// The networks that it may be used from; empty means all.
        allowed_ips: Vec<Network>,
        /// In capitals.
        allowed_methods: Vec<String>,
        /// The hours at which it may be used; empty means all.
        allowed_hours: Vec<Hours>,
        /// Labels by which people find it, all of them: at most 16, each of 1 to 32 small letters,
        /// digits or any of `-_.:/`.
        tags: Vec<String>,
    }

    nullable {
        /// From when on it may not be used any more; never where it is `null`.
        expires_at: DateTime<Utc>,
    }
}

/// How a service key is rotated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"grace_seconds": 86400}))]
pub(crate) struct RotateServiceKey {
    /// How long the old key is accepted yet; at most 90 days.
    #[serde(default = "a_day")]
    #[schema(default = 86400)]
    grace_seconds: u64,
}

/// Longest grace time.
pub(crate) const GRACE_MAX: u64 = 90 * 86_400;

const fn a_day() -> u64 {
    86_400
}

impl Input for RotateServiceKey {
    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.grace_seconds > GRACE_MAX {
            faults.add("grace_seconds", format!("must be at most {GRACE_MAX}"));
        }
        faults
    }
}

/// Service keys, a page at a time.
#[utoipa::path(get, path = "/api/admin/service-keys", tag = "service keys", params(TaggedQuery),
    responses((status = 200, description = "A page of service keys", body = ListOf<ServiceKey>)))]
pub(crate) async fn list_service_keys(
    actor: With<ReadServiceKeys>,
    State(app): State<Management>,
    Query(query): Query<TaggedQuery>,
) -> Result<Answer<ListOf<ServiceKey>>, ApiError> {
    let (filter, page) = query.split()?;
    app.list(&actor, &filter, page).await
}

/// Make a service key. The answer is the only one that ever shows it.
#[utoipa::path(post, path = "/api/admin/service-keys", tag = "service keys", request_body = NewServiceKey,
    responses((status = 201, description = "The service key was created; its secret is shown this once", body = MintedServiceKey)))]
pub(crate) async fn create_service_key(
    actor: With<ManageServiceKeys>,
    State(app): State<Management>,
    Json(new): Json<NewServiceKey>,
) -> Result<Created<MintedServiceKey>, ApiError> {
    let minted = app.service_keys.mint();
    let ((name,), edit) = new.split();
    let fresh = |id, owner| {
        let (public_id, last_four) = (minted.public_id, minted.last_four);
        domain::ServiceKey::new(id, owner, name, public_id, minted.digest, last_four)
    };
    let made = app.store.create(&actor, fresh, |key| edit.apply(key)).await?;
    let id = made.value.id;
    let shown = MintedServiceKey { key: minted.key, service_key: made.into() };
    Ok(created::<domain::ServiceKey, _>(id, shown))
}

/// One service key.
#[utoipa::path(get, path = "/api/admin/service-keys/{id}", tag = "service keys", params(("id" = i64, Path, description = "The id of the service key")),
    responses((status = 200, description = "The service key", body = ServiceKey)))]
pub(crate) async fn read_service_key(
    actor: With<ReadServiceKeys>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<ServiceKey>, ApiError> {
    Ok(Answer(app.get(&actor, id).await?.into()))
}

/// Change a service key.
#[utoipa::path(patch, path = "/api/admin/service-keys/{id}", tag = "service keys", params(("id" = i64, Path, description = "The id of the service key")),
    request_body(content((EditServiceKey = "application/json"), (EditServiceKey = "application/merge-patch+json"))),
    responses((status = 200, description = "The service key", body = ServiceKey)))]
pub(crate) async fn edit_service_key(
    actor: With<ManageServiceKeys>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
    patch: Patch<EditServiceKey>,
) -> Result<Answer<ServiceKey>, ApiError> {
    // No field is an object: what the patch comes to does not hang on what the key is now.
    let edit = patch.onto(&Value::Null, &usual()).map_err(ApiError::Invalid)?;
    app.edit(&actor, &if_match, id, |key| edit.apply(key)).await
}

/// Put a new key in the place of a service key. The answer is the only one that ever shows it; the
/// old key is accepted for the grace time yet.
#[utoipa::path(post, path = "/api/admin/service-keys/{id}/rotate", tag = "service keys", params(("id" = i64, Path, description = "The id of the service key")),
    request_body = RotateServiceKey,
    responses((status = 200, description = "The service key with its new secret, which is shown this once", body = MintedServiceKey)))]
pub(crate) async fn rotate_service_key(
    actor: With<ManageServiceKeys>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
    Json(rotate): Json<RotateServiceKey>,
) -> Result<Answer<MintedServiceKey>, ApiError> {
    rotate.faults().none_or(()).map_err(ApiError::Invalid)?;
    let (id, minted) = (ServiceKeyId(id), app.service_keys.mint());
    let new = store::RotatedServiceKey {
        public_id: minted.public_id,
        digest: minted.digest,
        last_four: minted.last_four,
        grace: Duration::from_secs(rotate.grace_seconds),
    };
    let rotated = if_match.on(&app.store).rotate_service_key(&actor, id, new).await?;
    Ok(Answer(MintedServiceKey { key: minted.key, service_key: rotated.into() }))
}

/// Delete a service key. It is refused within a second.
#[utoipa::path(delete, path = "/api/admin/service-keys/{id}", tag = "service keys", params(("id" = i64, Path, description = "The id of the service key")),
    responses((status = 204, description = "The service key was deleted")))]
pub(crate) async fn delete_service_key(
    actor: With<ManageServiceKeys>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    app.delete::<domain::ServiceKey>(&actor, &if_match, id).await
}

version!(ServiceKeyVersion of ServiceKey);

/// What a service key was like after each of its changes, the newest first: of the last 365 days, those of deleted
/// ones too for who sees everything. A change of more than 1,000 at once leaves no version of each.
#[utoipa::path(get, path = "/api/admin/service-keys/{id}/history", tag = "service keys",
    params(("id" = i64, Path, description = "The id of the service key"), PageQuery),
    responses((status = 200, description = "A page of versions", body = ListOf<ServiceKeyVersion>)))]
pub(crate) async fn service_key_history(
    actor: With<ReadServiceKeys>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<ServiceKeyVersion>>, ApiError> {
    app.history::<domain::ServiceKey, _>(&actor, id, query).await
}

/// What a patch finds in the place of what it removes.
fn usual() -> Value {
    json!({
        "enabled": true, "expires_at": null, "allowed_upstreams": [], "allowed_models": [],
        "allowed_ips": [], "allowed_methods": [], "allowed_hours": [], "tags": [],
    })
}

fn in_clear<S: Serializer>(key: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose_secret())
}

impl From<Stored<domain::ServiceKey>> for ServiceKey {
    fn from(row: Stored<domain::ServiceKey>) -> Self {
        let key = row.value;
        Self {
            id: key.id.0,
            owner_id: key.owner.0,
            mask: format!("tg-{}-…{}", key.public_id, key.last_four),
            name: key.name,
            enabled: key.enabled,
            expires_at: key.expires_at,
            allowed_upstreams: key.allowed_upstreams.into_iter().map(|id| id.0).collect(),
            allowed_models: key.allowed_models,
            allowed_ips: all(key.access.ips),
            allowed_methods: key.access.methods,
            allowed_hours: all(key.access.hours),
            tags: key.tags,
            previous_until: key
                .previous
                .map(|previous| previous.until)
                .filter(|until| *until > Utc::now()),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl EditServiceKey {
    /// Puts what is given in the place of what was.
    fn apply(self, key: &mut domain::ServiceKey) -> Result<(), Faults> {
        let upstreams = |ids: Vec<i64>| ids.into_iter().map(UpstreamId).collect::<Vec<_>>();
        set(&mut key.name, self.name);
        set(&mut key.enabled, self.enabled);
        set(&mut key.expires_at, self.expires_at);
        set(&mut key.allowed_upstreams, self.allowed_upstreams.map(upstreams));
        set(&mut key.allowed_models, self.allowed_models);
        set(&mut key.access.ips, self.allowed_ips.map(all));
        set(&mut key.access.methods, self.allowed_methods);
        set(&mut key.access.hours, self.allowed_hours.map(all));
        set(&mut key.tags, self.tags);
        Ok(())
    }

    /// What is wrong with a service key of this name that is edited so.
    fn judged(self, name: String) -> Faults {
        let text = String::new;
        let (id, owner) = (ServiceKeyId(0), UserId(0));
        let mut key = domain::ServiceKey::new(id, owner, name, text(), [0; 32], text());
        self.apply(&mut key).err().unwrap_or_else(|| key.faults())
    }
}

impl Input for NewServiceKey {
    fn faults(&self) -> Faults {
        let ((name,), edit) = self.clone().split();
        edit.judged(name)
    }
}

impl Input for EditServiceKey {
    const NULLABLE: Option<&'static [&'static str]> = Some(&["expires_at"]);
    const REQUIRED: &'static [&'static str] = &["name"];

    fn faults(&self) -> Faults {
        self.clone().judged("name".to_owned())
    }
}
