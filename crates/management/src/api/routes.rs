//! `/api/admin/routes`: model names and who could answer them.

use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::{Faults, RouteId, UpstreamId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::RouteRow;
use utoipa::ToSchema;

use super::{
    Created, matching::Matching, profiles::ModelProfile, sticky::Sticky, values::all, visible,
};
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, nullable, patch::Patch},
    listing::{ListOf, ListQuery},
    permit::{ManageUpstreams, ReadUpstreams, With},
    words::{Conversion, Dialect, Strategy},
};

/// A model name and its targets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Route {
    /// Its id.
    id: i64,
    /// Who made it.
    owner_id: i64,
    /// The model name that callers ask for.
    name: String,
    /// Whether it is in use.
    enabled: bool,
    /// Whether calls may be converted to another dialect.
    conversion: Conversion,
    /// How one of the targets of equal priority is chosen.
    strategy: Strategy,
    /// What keeps calls that belong together with one target.
    sticky: Option<Sticky>,
    /// Which calls it takes besides those that ask for its name.
    matching: Option<Matching>,
    /// Who could answer.
    targets: Vec<Target>,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

/// One place that could answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// The upstream that is asked.
    upstream_id: i64,
    /// The model to ask there; `null` keeps the name that was asked for.
    model: Option<String>,
    /// Its share among targets of equal priority, 1 to 1000.
    #[serde(default = "one")]
    #[schema(default = 1)]
    weight: u32,
    /// Lower is tried first; the others follow when it fails. At most 1,000,000,000.
    #[serde(default)]
    priority: u32,
    /// The one of the upstream's dialects that is spoken to this target, whatever the client
    /// speaks; `null` leaves the choice to the call.
    dialect: Option<Dialect>,
    /// What is known of the model behind this target; it wins over what the upstream says.
    profile: Option<ModelProfile>,
}

/// A route to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "fast", "targets": [{"upstream_id": 1, "model": "gpt-5-mini"}]}))]
pub(crate) struct NewRoute {
    /// Unique.
    name: String,
    /// Whether it is in use; true when not given.
    enabled: Option<bool>,
    /// `allow` when not given.
    conversion: Option<Conversion>,
    /// `weighted` when not given.
    strategy: Option<Strategy>,
    /// What keeps calls that belong together with one target.
    sticky: Option<Sticky>,
    /// Which calls it takes besides those that ask for its name; none when not given.
    matching: Option<Matching>,
    /// 1 to 64.
    targets: Vec<Target>,
}

/// What to change of a route, as a JSON merge patch (RFC 7396): what is not given stays, in objects
/// too; `null` puts a field back to what it is usually.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"enabled": false}))]
pub(crate) struct EditRoute {
    /// Another model name.
    name: Option<String>,
    /// Whether it is in use.
    enabled: Option<bool>,
    /// Whether calls may be converted to another dialect.
    conversion: Option<Conversion>,
    /// How a target is chosen among those of one priority.
    strategy: Option<Strategy>,
    /// `null` lets go of it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Sticky>)]
    sticky: Option<Option<Sticky>>,
    /// `null` leaves only the calls that ask for its name.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Matching>)]
    matching: Option<Option<Matching>>,
    /// All targets anew.
    targets: Option<Vec<Target>>,
}

/// Routes, a page at a time.
#[utoipa::path(get, path = "/api/admin/routes", tag = "routes", params(ListQuery),
    responses((status = 200, description = "A page of routes", body = ListOf<Route>)))]
pub(crate) async fn list_routes(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Query(query): Query<ListQuery>,
) -> Result<Answer<ListOf<Route>>, ApiError> {
    let page = app.store.routes(query.page(actor.confined_to())?).await?;
    Ok(Answer(ListOf::of(page, Route::from)))
}

/// Make a route.
#[utoipa::path(post, path = "/api/admin/routes", tag = "routes", request_body = NewRoute,
    responses((status = 201, description = "The route was created", body = Route)))]
pub(crate) async fn create_route(
    actor: With<ManageUpstreams>,
    State(app): State<Management>,
    Json(new): Json<NewRoute>,
) -> Result<Created<Route>, ApiError> {
    let targets = new.targets.into_iter().map(Into::into).collect();
    let conversion = new.conversion.map(Into::into);
    let new = store::NewRoute {
        name: new.name,
        enabled: new.enabled,
        conversion,
        strategy: new.strategy.map(Into::into),
        sticky: new.sticky.map(Into::into),
        matching: new.matching.map(Into::into),
        targets,
        owner: None,
    };
    let id = app.store.create_route(&actor, new).await?;
    let made = app.store.route(id).await?.into();
    Ok(Created::at(format!("/api/admin/routes/{id}"), made))
}

/// One route.
#[utoipa::path(get, path = "/api/admin/routes/{id}", tag = "routes", params(("id" = i64, Path, description = "The id of the route")),
    responses((status = 200, description = "The route", body = Route)))]
pub(crate) async fn read_route(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<Route>, ApiError> {
    let row = app.store.route(RouteId(id)).await?;
    Ok(Answer(visible(&actor, row.route.owner, "route", row)?.into()))
}

/// Change a route.
#[utoipa::path(patch, path = "/api/admin/routes/{id}", tag = "routes", params(("id" = i64, Path, description = "The id of the route")),
    request_body(content((EditRoute = "application/json"), (EditRoute = "application/merge-patch+json"))),
    responses((status = 200, description = "The route", body = Route)))]
pub(crate) async fn edit_route(
    actor: With<ManageUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
    patch: Patch<EditRoute>,
) -> Result<Answer<Route>, ApiError> {
    let id = RouteId(id);
    let edit = |now: &domain::Route| Ok(patch.onto(&shown(now), &usual())?.into());
    if_match.on(&app.store).edit_route(&actor, id, edit).await?;
    Ok(Answer(app.store.route(id).await?.into()))
}

/// Delete a route.
#[utoipa::path(delete, path = "/api/admin/routes/{id}", tag = "routes", params(("id" = i64, Path, description = "The id of the route")),
    responses((status = 204, description = "The route was deleted")))]
pub(crate) async fn delete_route(
    actor: With<ManageUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    if_match.on(&app.store).delete_route(&actor, RouteId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A route as a patch sees it.
fn shown(route: &domain::Route) -> Route {
    let time = DateTime::UNIX_EPOCH;
    RouteRow { route: route.clone(), created_at: time, updated_at: time }.into()
}

/// What a patch finds in the place of what it removes.
fn usual() -> Value {
    json!({
        "enabled": true, "conversion": "allow", "strategy": "weighted", "sticky": null,
        "matching": null,
    })
}

impl From<EditRoute> for store::RouteEdit {
    fn from(edit: EditRoute) -> Self {
        Self {
            name: edit.name,
            enabled: edit.enabled,
            conversion: edit.conversion.map(Into::into),
            strategy: edit.strategy.map(Into::into),
            sticky: edit.sticky.map(|sticky| sticky.map(Into::into)),
            matching: edit.matching.map(|matching| matching.map(Into::into)),
            targets: edit.targets.map(all),
        }
    }
}

const fn one() -> u32 {
    1
}

impl Input for NewRoute {
    fn faults(&self) -> Faults {
        let mut faults = judged(Some(&self.name), Some(&self.targets), self.sticky.as_ref());
        faults.0.extend(self.matching.iter().flat_map(|matching| matching.faults().0));
        faults
    }
}

impl Input for EditRoute {
    const NULLABLE: Option<&'static [&'static str]> = Some(&["sticky", "matching"]);
    const REQUIRED: &'static [&'static str] = &["name", "targets"];

    fn faults(&self) -> Faults {
        let sticky = self.sticky.iter().flatten().next();
        let mut faults = judged(self.name.as_deref(), self.targets.as_deref(), sticky);
        faults.0.extend(self.matching.iter().flatten().flat_map(|matching| matching.faults().0));
        faults
    }
}

/// What is wrong with a route of which this was told.
fn judged(name: Option<&str>, targets: Option<&[Target]>, sticky: Option<&Sticky>) -> Faults {
    let some = || vec![domain::Target::of(UpstreamId(0))];
    let given = |targets: &[Target]| targets.iter().cloned().map(Into::into).collect();
    let route = domain::Route {
        id: RouteId(0),
        owner: UserId(0),
        name: name.unwrap_or("name").to_owned(),
        enabled: true,
        conversion: domain::Conversion::Allow,
        strategy: domain::Strategy::Weighted,
        sticky: sticky.cloned().map(Into::into),
        matching: None,
        targets: targets.map_or_else(some, given),
    };
    route.faults()
}

impl From<RouteRow> for Route {
    fn from(row: RouteRow) -> Self {
        let route = row.route;
        Self {
            id: route.id.0,
            owner_id: route.owner.0,
            name: route.name,
            enabled: route.enabled,
            conversion: route.conversion.into(),
            strategy: route.strategy.into(),
            sticky: route.sticky.map(Into::into),
            matching: route.matching.map(Into::into),
            targets: route.targets.into_iter().map(Target::from).collect(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<domain::Target> for Target {
    fn from(target: domain::Target) -> Self {
        Self {
            upstream_id: target.upstream.0,
            model: target.model,
            weight: target.weight,
            priority: target.priority,
            dialect: target.dialect.map(Into::into),
            profile: target.profile.map(Into::into),
        }
    }
}

impl From<Target> for domain::Target {
    fn from(target: Target) -> Self {
        Self {
            upstream: UpstreamId(target.upstream_id),
            model: target.model,
            weight: target.weight,
            priority: target.priority,
            dialect: target.dialect.map(Into::into),
            profile: target.profile.map(Into::into),
        }
    }
}
