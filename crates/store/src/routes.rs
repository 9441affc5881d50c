//! Routes: made, changed, read, deleted.

use std::{collections::BTreeMap, str::FromStr};

use auth::Actor;
use domain::{
    Conversion, Dialect, Faults, Matching, ModelProfile, Revision, Route, RouteId, Strategy,
    Target, UpstreamId, UserId, policy::Sticky,
};
use entity::{route_targets, routes};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QueryOrder,
};
use serde::Serialize;

use crate::{
    Listed, NewRoute, Page, Result, RouteEdit, RouteRow, Store, StoreError,
    change::{Change, What},
    json, moment, paging,
};

const KIND: &str = "route";

/// A route as the audit trail tells it: the row and its targets.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    row: &'a routes::Model,
    targets: Vec<String>,
}

impl Store {
    /// Makes a route.
    pub async fn create_route(&self, by: &Actor, new: NewRoute) -> Result<RouteId> {
        let change = self.begin(by).await?;
        let row = routes::Model {
            owner_id: change.owner(new.owner).await?,
            id: change.ids("routes", 1).await?,
            name: new.name,
            enabled: new.enabled.unwrap_or(true),
            conversion: new.conversion.unwrap_or_default().to_string(),
            strategy: new.strategy.unwrap_or(Strategy::Weighted).to_string(),
            sticky: new.sticky.as_ref().map(json),
            matching: new.matching.as_ref().map(json),
            created_us: change.now_us,
            updated_us: change.now_us,
            revision: change.revision,
        };
        let active: routes::ActiveModel = row.clone().into();
        routes::Entity::insert(active.reset_all()).exec_without_returning(change.tx()).await?;
        aim(&change, row.id, &new.targets).await?;
        change.commit(What::created(KIND, row.id, &told(&row, &new.targets))).await?;
        Ok(RouteId(row.id))
    }

    /// Changes what `edit` names and leaves the rest. It is asked inside the change, with the route
    /// as it is then. What of it cannot be read is as usual for `edit`: it is mended by a new value,
    /// else the catalog tells of it.
    pub async fn edit_route(
        &self,
        by: &Actor,
        id: RouteId,
        edit: impl FnOnce(&Route) -> Result<RouteEdit, Faults> + Send,
    ) -> Result<Revision> {
        let change = self.begin(by).await?;
        let before = find(&change, id).await?;
        let old = targets(change.tx(), &[id.0]).await?.remove(&id.0).unwrap_or_default();
        let (route, _) = readable(&before, old);
        let edit = edit(&route)?;
        let old = route.targets;
        let mut row = before.clone();
        if let Some(name) = edit.name {
            row.name = name;
        }
        if let Some(enabled) = edit.enabled {
            row.enabled = enabled;
        }
        if let Some(conversion) = edit.conversion {
            row.conversion = conversion.to_string();
        }
        if let Some(strategy) = edit.strategy {
            row.strategy = strategy.to_string();
        }
        if let Some(sticky) = &edit.sticky {
            row.sticky = sticky.as_ref().map(json);
        }
        if let Some(matching) = &edit.matching {
            row.matching = matching.as_ref().map(json);
        }
        row.updated_us = change.now_us;
        row.revision = change.revision;
        let active: routes::ActiveModel = row.clone().into();
        active.reset_all().update(change.tx()).await?;
        if let Some(targets) = &edit.targets {
            let of = route_targets::Column::RouteId.eq(id.0);
            route_targets::Entity::delete_many().filter(of).exec(change.tx()).await?;
            aim(&change, id.0, targets).await?;
        }
        let new = edit.targets.as_ref().unwrap_or(&old);
        let (before, after) = (told(&before, &old), told(&row, new));
        let what = What::edited(KIND, id.0, &before, &after, None);
        change.commit(what).await
    }

    /// Deletes a route.
    pub async fn delete_route(&self, by: &Actor, id: RouteId) -> Result<Revision> {
        let change = self.begin(by).await?;
        let row = find(&change, id).await?;
        routes::Entity::delete_by_id(id.0).exec(change.tx()).await?;
        change.bury("routes", [id.0]).await?;
        change.commit(What::deleted(KIND, id.0, &row)).await
    }

    /// One route with its targets.
    pub async fn route(&self, id: RouteId) -> Result<RouteRow> {
        let db = self.0.db.reader().await?;
        let row = routes::Entity::find_by_id(id.0).one(&db).await?;
        let rows = whole(vec![row.ok_or(StoreError::NotFound(KIND))?], &db).await?;
        rows.into_iter().next().ok_or(StoreError::NotFound(KIND))
    }

    /// A page of routes.
    pub async fn routes(&self, page: Page) -> Result<Listed<RouteRow>> {
        let db = self.0.db.reader().await?;
        let (rows, next_cursor) = paging::page(routes::Entity::find(), &page, &db).await?;
        Ok(Listed { items: whole(rows, &db).await?, next_cursor })
    }
}

fn told<'a>(row: &'a routes::Model, targets: &[Target]) -> Told<'a> {
    let target = |t: &Target| {
        let model = t.model.as_deref().unwrap_or("*");
        let mut told =
            format!("{}/{model} weight {} priority {}", t.upstream, t.weight, t.priority);
        if let Some(dialect) = t.dialect {
            told += &format!(" dialect {dialect}");
        }
        if let Some(profile) = t.profile {
            told += &format!(" profile {}", json(&profile));
        }
        told
    };
    Told { row, targets: targets.iter().map(target).collect() }
}

/// Stores the targets of a route. Too many are not stored at all: the compiler sees that they are.
async fn aim(change: &Change<'_>, route: i64, targets: &[Target]) -> Result<()> {
    let kept = &targets[..targets.len().min(Route::TARGETS_MAX + 1)];
    if kept.is_empty() {
        return Ok(());
    }
    let rows = (0..).zip(kept).map(|(position, target)| route_targets::ActiveModel {
        route_id: Set(route),
        position: Set(position),
        upstream_id: Set(target.upstream.0),
        model: Set(target.model.clone()),
        weight: Set(i32::try_from(target.weight).unwrap_or(i32::MAX)),
        priority: Set(i32::try_from(target.priority).unwrap_or(i32::MAX)),
        dialect: Set(target.dialect.map(|dialect| dialect.to_string())),
        profile: Set(target.profile.map(|profile| json(&profile))),
    });
    route_targets::Entity::insert_many(rows).exec_without_returning(change.tx()).await?;
    Ok(())
}

async fn find(change: &Change<'_>, id: RouteId) -> Result<routes::Model> {
    let row = routes::Entity::find_by_id(id.0).one(change.tx()).await?;
    let row = row.ok_or(StoreError::NotFound(KIND))?;
    change.owned(row.owner_id, KIND)?;
    change.expects(row.updated_us)?;
    Ok(row)
}

/// The targets of routes, with one query.
pub(crate) async fn targets(
    db: &impl ConnectionTrait,
    of: &[i64],
) -> Result<BTreeMap<i64, Vec<route_targets::Model>>> {
    let mut targets = BTreeMap::<i64, Vec<_>>::new();
    for ids in of.chunks(1000) {
        let rows = route_targets::Entity::find()
            .filter(route_targets::Column::RouteId.is_in(ids.iter().copied()))
            .order_by_asc(route_targets::Column::Position);
        for target in rows.all(db).await? {
            targets.entry(target.route_id).or_default().push(target);
        }
    }
    Ok(targets)
}

/// The route of a row and its targets, which are in order, or the columns that this program cannot
/// read.
pub(crate) fn read(
    row: &routes::Model,
    targets: Vec<route_targets::Model>,
) -> Result<Route, Faults> {
    let (route, faults) = readable(row, targets);
    faults.none_or(route)
}

/// The route of a row as far as this program can read it, and the columns that it cannot.
fn readable(row: &routes::Model, targets: Vec<route_targets::Model>) -> (Route, Faults) {
    let mut faults = Faults::default();
    let conversion = Conversion::from_str(&row.conversion);
    let conversion = conversion.map_err(|fault| faults.0.push(fault)).unwrap_or_default();
    let strategy = Strategy::from_str(&row.strategy);
    let strategy = strategy.map_err(|fault| faults.0.push(fault)).unwrap_or(Strategy::Weighted);
    let sticky = row.sticky.as_deref().map(serde_json::from_str::<Sticky>).transpose();
    let sticky = sticky.unwrap_or_else(|_| {
        faults.add("sticky", "cannot be read by this version");
        None
    });
    let matching = row.matching.as_deref().map(serde_json::from_str::<Matching>).transpose();
    let matching = matching.unwrap_or_else(|_| {
        faults.add("matching", "cannot be read by this version");
        None
    });
    let mut read = Vec::with_capacity(targets.len());
    for (i, target) in targets.into_iter().enumerate() {
        let mut blame = |field: &str| {
            faults.add(format!("targets[{i}].{field}"), "cannot be read by this version");
        };
        let dialect = target.dialect.as_deref().map(Dialect::from_str).transpose();
        let profile = target.profile.as_deref().map(serde_json::from_str::<ModelProfile>);
        read.push(Target {
            upstream: UpstreamId(target.upstream_id),
            model: target.model,
            weight: u32::try_from(target.weight).unwrap_or_default(),
            priority: u32::try_from(target.priority).unwrap_or_default(),
            dialect: dialect.map_err(|_| blame("dialect")).unwrap_or_default(),
            profile: profile.transpose().map_err(|_| blame("profile")).unwrap_or_default(),
        });
    }
    let route = Route {
        id: RouteId(row.id),
        owner: UserId(row.owner_id),
        name: row.name.clone(),
        enabled: row.enabled,
        conversion,
        strategy,
        sticky,
        matching,
        targets: read,
    };
    (route, faults)
}

async fn whole(rows: Vec<routes::Model>, db: &impl ConnectionTrait) -> Result<Vec<RouteRow>> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let mut targets = targets(db, &ids).await?;
    let whole = |row: routes::Model| {
        Ok(RouteRow {
            route: read(&row, targets.remove(&row.id).unwrap_or_default())?,
            created_at: moment(row.created_us),
            updated_at: moment(row.updated_us),
        })
    };
    rows.into_iter().map(whole).collect()
}
