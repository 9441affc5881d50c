//! `/api/admin/limits`: how much callers may use.

mod terms;

use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::{Faults, LimitId, UserId, live::LimitUse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{LimitFilter, Stored};
use utoipa::{IntoParams, ToSchema};

use self::terms::{Algorithm, ScopeId, ScopeName, Stretch, Terms, filtered};
use super::{
    Created,
    amounts::{self, Amount},
};
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, nullable, patch::Patch},
    listing::{ListOf, ListQuery, Order, PageQuery},
    permit::{ManageRules, ReadServiceKeys, With},
    resource::{set, version},
    words::{Period, Unit},
};

/// Most subjects of one limit whose use is shown.
const USES_MAX: usize = 100;

/// How much may be used, by whom.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Limit {
    /// Its id.
    id: i64,
    /// Who made it.
    owner_id: i64,
    /// What people call it; may be empty.
    name: String,
    /// Whose calls count together.
    scope: ScopeName,
    /// Who exactly; with `null` each has a count of their own.
    scope_id: Option<ScopeId>,
    /// What is counted.
    unit: Unit,
    /// How it is counted.
    algorithm: Algorithm,
    /// Dollars where the unit is `cost`.
    #[schema(value_type = Amount)]
    limit: Value,
    /// Of `token_bucket` and `sliding_window`.
    window: Option<Stretch>,
    /// Of `token_bucket`: how much it holds; the limit where nothing is said.
    #[schema(value_type = Option<Amount>)]
    burst: Option<Value>,
    /// Of `calendar`.
    period: Option<Period>,
    /// Of `calendar`: by the clock of which zone; the gateway's where nothing is said.
    #[schema(example = "Asia/Shanghai")]
    timezone: Option<String>,
    /// Of `calendar`: from how many percent used an alert is raised; `null` for never.
    #[schema(minimum = 1, maximum = 100)]
    alert_percent: Option<u8>,
    /// Whether it is in use.
    enabled: bool,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

/// A limit, and how much of it is used now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitInUse {
    #[serde(flatten)]
    limit: Limit,
    /// Who used most of it, as far as this data plane knows; at most 100.
    r#use: Vec<Use>,
}

/// How much somebody used of a limit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Use {
    /// The id, address or model that is counted by; `all` where everybody counts together.
    subject: String,
    /// What is reserved for calls under way included.
    #[schema(value_type = Amount)]
    used: Value,
    /// When the use falls below the limit again, or the period ends.
    resets_at: Option<DateTime<Utc>>,
}

/// A limit to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "scope": "service_key", "scope_id": 1, "unit": "requests",
    "algorithm": "sliding_window", "limit": 50, "window": "1h",
}))]
pub(crate) struct NewLimit {
    /// What people call it, at most 128 bytes.
    name: Option<String>,
    /// Whose calls count together.
    scope: ScopeName,
    /// An id, a network or address, a model; none for each.
    scope_id: Option<ScopeId>,
    /// What is counted.
    unit: Unit,
    /// `calendar` when not given and a period is, `concurrency` for that unit.
    algorithm: Option<Algorithm>,
    /// Dollars where the unit is `cost`.
    limit: Amount,
    /// Of `token_bucket` and `sliding_window`.
    window: Option<Stretch>,
    /// Of `token_bucket`.
    burst: Option<Amount>,
    /// Of `calendar`: a budget, where the unit is `cost`.
    period: Option<Period>,
    /// Of `calendar`.
    timezone: Option<String>,
    /// Of `calendar`: from how many percent used an alert is raised; `null` for never, 80 when not
    /// given.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 100)]
    alert_percent: Option<Option<u8>>,
    /// Whether it is in use; true when not given.
    enabled: Option<bool>,
}

/// What to change of a limit, as a JSON merge patch (RFC 7396): what is not given stays; `null` puts a
/// field back to what it is usually.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"limit": 100}))]
pub(crate) struct EditLimit {
    /// Another name.
    name: Option<String>,
    /// Whose calls count together.
    scope: Option<ScopeName>,
    /// `null` for each. Required with another scope.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ScopeId>)]
    scope_id: Option<Option<ScopeId>>,
    /// What is counted.
    unit: Option<Unit>,
    /// `null` for what follows from unit and period.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Algorithm>)]
    algorithm: Option<Option<Algorithm>>,
    /// How much may be used. Dollars where the unit is `cost`.
    limit: Option<Amount>,
    /// Of `token_bucket` and `sliding_window`: the length of the window.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Stretch>)]
    window: Option<Option<Stretch>>,
    /// `null` for as much as the limit.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Amount>)]
    burst: Option<Option<Amount>>,
    /// Of `calendar`: the period.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Period>)]
    period: Option<Option<Period>>,
    /// `null` for that of the gateway.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    timezone: Option<Option<String>>,
    /// `null` for never.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 100)]
    alert_percent: Option<Option<u8>>,
    /// Whether it is in use.
    enabled: Option<bool>,
}

/// Which limits are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsQuery {
    /// Only limits of this scope.
    #[param(inline)]
    scope: Option<ScopeName>,
    /// Only those of this id, network or model.
    scope_id: Option<ScopeId>,
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// Only limits with these characters in their name.
    search: Option<String>,
    /// The order; `-` in front turns it round.
    #[param(inline)]
    sort: Option<Order>,
}

/// Limits, a page at a time. Who sees only their own sees those that they or their keys are held
/// to by name.
#[utoipa::path(get, path = "/api/admin/limits", tag = "limits", params(LimitsQuery),
    responses((status = 200, description = "A page of limits", body = ListOf<Limit>)))]
pub(crate) async fn list_limits(
    actor: With<ReadServiceKeys>,
    State(app): State<Management>,
    Query(query): Query<LimitsQuery>,
) -> Result<Answer<ListOf<Limit>>, ApiError> {
    let LimitsQuery { scope, scope_id, cursor, limit, search, sort } = query;
    let scope_id = scope_id.map(|id| filtered(scope, &id));
    let filter = LimitFilter { scope: scope.map(ScopeName::as_str), scope_id };
    let page = ListQuery { cursor, limit, search, sort }.page()?;
    app.list(&actor, &filter, page).await
}

/// Make a limit. It holds within a second.
#[utoipa::path(post, path = "/api/admin/limits", tag = "limits", request_body = NewLimit,
    responses((status = 201, description = "The limit was created", body = Limit)))]
pub(crate) async fn create_limit(
    actor: With<ManageRules>,
    State(app): State<Management>,
    Json(new): Json<NewLimit>,
) -> Result<Created<Limit>, ApiError> {
    app.create(&actor, fresh, |limit| new.apply(limit)).await
}

/// One limit, and how much of it is used.
#[utoipa::path(get, path = "/api/admin/limits/{id}", tag = "limits", params(("id" = i64, Path, description = "The id of the limit")),
    responses((status = 200, description = "The limit and how much of it is used", body = LimitInUse)))]
pub(crate) async fn read_limit(
    actor: With<ReadServiceKeys>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<LimitInUse>, ApiError> {
    let row: Stored<domain::Limit> = app.get(&actor, id).await?;
    let unit = row.value.unit;
    let used = app.live.as_ref().map(|live| live.limit(LimitId(id), USES_MAX));
    let shown = |used: LimitUse| Use {
        subject: used.subject,
        used: amounts::shown(unit, used.used),
        resets_at: used.resets_at,
    };
    let r#use = used.unwrap_or_default().into_iter().map(shown).collect();
    Ok(Answer(LimitInUse { limit: row.into(), r#use }))
}

/// Change a limit. What was counted by it stays counted, as long as scope, unit and algorithm do.
#[utoipa::path(patch, path = "/api/admin/limits/{id}", tag = "limits", params(("id" = i64, Path, description = "The id of the limit")),
    request_body(content((EditLimit = "application/json"), (EditLimit = "application/merge-patch+json"))),
    responses((status = 200, description = "The limit", body = Limit)))]
pub(crate) async fn edit_limit(
    actor: With<ManageRules>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
    patch: Patch<EditLimit>,
) -> Result<Answer<Limit>, ApiError> {
    // No field is an object: what the patch comes to does not hang on what the limit is now.
    let edit = patch.onto(&Value::Null, &usual()).map_err(ApiError::Invalid)?;
    app.edit(&actor, &if_match, id, |limit| edit.apply(limit)).await
}

/// Delete a limit. It holds no longer within a second.
#[utoipa::path(delete, path = "/api/admin/limits/{id}", tag = "limits", params(("id" = i64, Path, description = "The id of the limit")),
    responses((status = 204, description = "The limit was deleted")))]
pub(crate) async fn delete_limit(
    actor: With<ManageRules>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    app.delete::<domain::Limit>(&actor, &if_match, id).await
}

version!(LimitVersion of Limit);

/// What a limit was like after each of its changes, the newest first: of the last 365 days, those of deleted
/// ones too for who sees everything. A change of more than 1,000 at once leaves no version of each.
#[utoipa::path(get, path = "/api/admin/limits/{id}/history", tag = "limits",
    params(("id" = i64, Path, description = "The id of the limit"), PageQuery),
    responses((status = 200, description = "A page of versions", body = ListOf<LimitVersion>)))]
pub(crate) async fn limit_history(
    actor: With<ReadServiceKeys>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<LimitVersion>>, ApiError> {
    app.history::<domain::Limit, _>(&actor, id, query).await
}

/// What a patch finds in the place of what it removes.
fn usual() -> Value {
    json!({
        "name": "", "scope_id": null, "algorithm": null, "window": null, "burst": null,
        "period": null, "timezone": null, "alert_percent": null, "enabled": true,
    })
}

/// A limit of which nothing was said.
fn fresh(id: LimitId, owner: UserId) -> domain::Limit {
    domain::Limit {
        id,
        owner,
        name: String::new(),
        scope: domain::Scope::Global,
        unit: domain::Unit::Concurrency,
        algorithm: domain::Algorithm::Concurrency,
        limit: 0,
        alert_percent: None,
        enabled: true,
    }
}

/// Puts what was read in the place of what was.
fn put(
    limit: &mut domain::Limit,
    terms: &Terms,
    name: Option<String>,
    enabled: Option<bool>,
) -> Result<(), Faults> {
    let known = terms.read()?;
    limit.scope = known.scope;
    limit.unit = known.unit;
    limit.algorithm = known.algorithm;
    limit.limit = known.limit;
    limit.alert_percent = known.alert_percent;
    set(&mut limit.name, name);
    set(&mut limit.enabled, enabled);
    Ok(())
}

impl NewLimit {
    fn apply(self, limit: &mut domain::Limit) -> Result<(), Faults> {
        put(limit, &self.terms(), self.name, self.enabled)
    }

    fn terms(&self) -> Terms {
        Terms {
            scope: self.scope,
            scope_id: self.scope_id.clone(),
            unit: self.unit,
            algorithm: self.algorithm,
            limit: self.limit.clone(),
            window: self.window,
            burst: self.burst.clone(),
            period: self.period,
            timezone: self.timezone.clone(),
            alert_percent: self.alert_percent,
        }
    }
}

impl EditLimit {
    /// Puts what is given in the place of what was.
    fn apply(self, limit: &mut domain::Limit) -> Result<(), Faults> {
        let mut terms = Terms::of(limit);
        if let Some(unit) = self.unit
            && (unit == Unit::Cost) != (terms.unit == Unit::Cost)
            && self.limit.is_none()
        {
            let mut faults = Faults::default();
            faults.add("limit", "is required with this other unit");
            return Err(faults);
        }
        match (self.algorithm, self.period) {
            (Some(Some(algorithm)), _) => terms.count_by(algorithm),
            (Some(None), _) => terms.algorithm = None,
            (None, Some(Some(_))) => terms.count_by(Algorithm::Calendar),
            (None, _) => {}
        }
        if let Some(scope) = self.scope.filter(|scope| *scope != terms.scope) {
            if self.scope_id.is_none() {
                // What held for one must not come to hold for each unsaid.
                let mut faults = Faults::default();
                faults.add("scope_id", "is required with this other scope; `null` for each");
                return Err(faults);
            }
            terms.scope = scope;
        }
        terms.scope_id = self.scope_id.unwrap_or(terms.scope_id);
        terms.unit = self.unit.unwrap_or(terms.unit);
        terms.limit = self.limit.unwrap_or(terms.limit);
        terms.window = self.window.unwrap_or(terms.window);
        terms.burst = self.burst.unwrap_or(terms.burst);
        terms.period = self.period.unwrap_or(terms.period);
        terms.timezone = self.timezone.unwrap_or(terms.timezone);
        terms.alert_percent = self.alert_percent.or(terms.alert_percent);
        put(limit, &terms, self.name, self.enabled)
    }
}

impl Input for NewLimit {
    fn faults(&self) -> Faults {
        self.terms().read().err().unwrap_or_default()
    }
}

impl Input for EditLimit {
    const NULLABLE: Option<&'static [&'static str]> =
        Some(&["scope_id", "algorithm", "window", "burst", "period", "timezone", "alert_percent"]);
    const REQUIRED: &'static [&'static str] = &["scope", "unit", "limit"];
}

impl From<Stored<domain::Limit>> for Limit {
    fn from(row: Stored<domain::Limit>) -> Self {
        let terms = Terms::of(&row.value);
        let limit = row.value;
        let burst = match limit.algorithm {
            domain::Algorithm::TokenBucket { burst, .. } => burst,
            _ => None,
        };
        Self {
            id: limit.id.0,
            owner_id: limit.owner.0,
            scope: terms.scope,
            scope_id: terms.scope_id,
            unit: terms.unit,
            algorithm: Algorithm::from(limit.algorithm),
            limit: amounts::shown(limit.unit, limit.limit),
            window: terms.window,
            burst: burst.map(|burst| amounts::shown(limit.unit, burst)),
            period: terms.period,
            timezone: terms.timezone,
            alert_percent: limit.alert_percent,
            enabled: limit.enabled,
            name: limit.name,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
