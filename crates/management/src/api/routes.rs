//! `/api/admin/routes`: model names and who could answer them.

use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::{Faults, RouteId, UpstreamId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Stored;
use utoipa::ToSchema;

use super::{Created, matching::Matching, profiles::ModelProfile, sticky::Sticky, values::all};
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, patch::Patch},
    listing::{ListOf, ListQuery, PageQuery},
    permit::{ManageUpstreams, ReadUpstreams, With},
    resource::{bodies, set, version},
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

bodies! {
    /// A route to be made.
    #[schema(example = json!({"name": "fast", "targets": [{"upstream_id": 1, "model": "gpt-5-mini"}]}))]
    new NewRoute {
        /// Unique.
        name: String,
        /// 1 to 64.
        targets: Vec<Target>,
    }

    /// What to change of a route, as a JSON merge patch (RFC 7396): what is not given stays, in
    /// objects too; `null` puts a field back to what it is usually.
    #[schema(example = json!({"enabled": false}))]
    edit EditRoute {
        /// Another model name.
        name: Option<String>,
        /// All targets anew.
        targets: Option<Vec<Target>>,
    }

    both {
        /// Whether it is in use; it is when nothing is said.
        enabled: bool,
        /// Whether calls may be converted to another dialect; `allow` when nothing is said.
        conversion: Conversion,
        /// How one of the targets of equal priority is chosen; `weighted` when nothing is said.
        strategy: Strategy,
    }

    nullable {
        /// What keeps calls that belong together with one target; nothing where it is `null`.
        sticky: Sticky,
        /// Which calls it takes besides those that ask for its name; none where it is `null`.
        matching: Matching,
    }
}

/// Routes, a page at a time.
#[utoipa::path(get, path = "/api/admin/routes", tag = "routes", params(ListQuery),
    responses((status = 200, description = "A page of routes", body = ListOf<Route>)))]
pub(crate) async fn list_routes(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Query(query): Query<ListQuery>,
) -> Result<Answer<ListOf<Route>>, ApiError> {
    app.list(&actor, &(), query.page()?).await
}

/// Make a route.
#[utoipa::path(post, path = "/api/admin/routes", tag = "routes", request_body = NewRoute,
    responses((status = 201, description = "The route was created", body = Route)))]
pub(crate) async fn create_route(
    actor: With<ManageUpstreams>,
    State(app): State<Management>,
    Json(new): Json<NewRoute>,
) -> Result<Created<Route>, ApiError> {
    let ((name, targets), edit) = new.split();
    let fresh = |id, owner| domain::Route::new(id, owner, name, all(targets));
    app.create(&actor, fresh, |route| edit.apply(route)).await
}

/// One route.
#[utoipa::path(get, path = "/api/admin/routes/{id}", tag = "routes", params(("id" = i64, Path, description = "The id of the route")),
    responses((status = 200, description = "The route", body = Route)))]
pub(crate) async fn read_route(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<Route>, ApiError> {
    Ok(Answer(app.get(&actor, id).await?.into()))
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
    let edit = |now: &mut domain::Route| patch.onto(&shown(now), &usual())?.apply(now);
    app.edit(&actor, &if_match, id, edit).await
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
    app.delete::<domain::Route>(&actor, &if_match, id).await
}

version!(RouteVersion of Route);

/// What a route was like after each of its changes, the newest first: of the last 365 days, those of deleted
/// ones too for who sees everything. A change of more than 1,000 at once leaves no version of each.
#[utoipa::path(get, path = "/api/admin/routes/{id}/history", tag = "routes",
    params(("id" = i64, Path, description = "The id of the route"), PageQuery),
    responses((status = 200, description = "A page of versions", body = ListOf<RouteVersion>)))]
pub(crate) async fn route_history(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<RouteVersion>>, ApiError> {
    app.history::<domain::Route, _>(&actor, id, query).await
}

/// A route as a patch sees it.
fn shown(route: &domain::Route) -> Route {
    Stored::new(route.clone()).into()
}

/// What a patch finds in the place of what it removes.
fn usual() -> Value {
    json!({
        "enabled": true, "conversion": "allow", "strategy": "weighted", "sticky": null,
        "matching": null,
    })
}

impl EditRoute {
    /// Puts what is given in the place of what was.
    fn apply(self, route: &mut domain::Route) -> Result<(), Faults> {
        set(&mut route.name, self.name);
        set(&mut route.enabled, self.enabled);
        set(&mut route.conversion, self.conversion);
        set(&mut route.strategy, self.strategy);
        set(&mut route.sticky, self.sticky.map(|sticky| sticky.map(Into::into)));
        set(&mut route.matching, self.matching.map(|matching| matching.map(Into::into)));
        set(&mut route.targets, self.targets.map(all));
        Ok(())
    }
}

const fn one() -> u32 {
    1
}

impl Input for NewRoute {
    fn faults(&self) -> Faults {
        let ((name, targets), edit) = self.clone().split();
        judged(domain::Route::new(RouteId(0), UserId(0), name, all(targets)), edit)
    }
}

impl Input for EditRoute {
    const NULLABLE: Option<&'static [&'static str]> = Some(&["sticky", "matching"]);
    const REQUIRED: &'static [&'static str] = &["name", "targets"];

    fn faults(&self) -> Faults {
        let some = vec![domain::Target::of(UpstreamId(0))];
        judged(domain::Route::new(RouteId(0), UserId(0), "name", some), self.clone())
    }
}

/// What is wrong with a route that is edited so.
fn judged(mut route: domain::Route, edit: EditRoute) -> Faults {
    let matching = edit.matching.clone();
    let mut faults = edit.apply(&mut route).err().unwrap_or_default();
    route.matching = None;
    faults.0.extend(route.faults().0);
    faults.0.extend(matching.iter().flatten().flat_map(|matching| matching.faults().0));
    faults
}

impl From<Stored<domain::Route>> for Route {
    fn from(row: Stored<domain::Route>) -> Self {
        let route = row.value;
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
