//! Routes: how they and their targets lie in tables.

use std::{collections::BTreeMap, str::FromStr};

use domain::{
    Conversion, Dialect, Faults, Matching, ModelProfile, Route, RouteId, Strategy, Target,
    UpstreamId, UserId, policy::Sticky,
};
use entity::{route_targets, routes};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Kind, Page, Result, Store,
    change::{Change, fields},
    json,
    paging::Stamp,
    resource::{EditOptions, Resource},
};

impl Resource for Route {
    const KIND: Kind = Kind::Route;
    const COMPILED: bool = true;
    type Id = RouteId;
    type Filter = ();
    type Extra = ();
    type Entity = routes::Entity;
    type Model = routes::Model;
    type Parts = Vec<route_targets::Model>;

    fn id(&self) -> RouteId {
        self.id
    }

    fn owner(&self) -> UserId {
        self.owner
    }

    fn identify(&mut self, id: RouteId, owner: UserId) {
        (self.id, self.owner) = (id, owner);
    }

    fn faults(&self) -> Faults {
        Route::faults(self)
    }

    async fn check(&self, _: Option<&Self>, _: &Change<'_>) -> Result<Faults> {
        Ok(Faults::default())
    }

    async fn parts(
        ids: &[i64],
        db: &impl ConnectionTrait,
    ) -> Result<BTreeMap<i64, Vec<route_targets::Model>>> {
        targets(db, ids).await
    }

    /// What of it cannot be read is as usual: an edit mends it by another value.
    fn read(
        row: routes::Model,
        targets: Vec<route_targets::Model>,
    ) -> Result<(Self, Faults), Faults> {
        Ok(readable(&row, targets))
    }

    fn revive(columns: &str) -> serde_json::Result<(routes::Model, Vec<route_targets::Model>)> {
        let whole: Whole = serde_json::from_str(columns)?;
        Ok((whole.row, whole.targets))
    }

    fn write(&self, _: Option<&routes::Model>, stamp: Stamp, _: &Change<'_>) -> routes::Model {
        routes::Model {
            id: self.id.0,
            owner_id: self.owner.0,
            name: self.name.clone(),
            enabled: self.enabled,
            conversion: self.conversion.to_string(),
            strategy: self.strategy.to_string(),
            sticky: self.sticky.as_ref().map(json),
            matching: self.matching.as_ref().map(json),
            created_us: stamp.created_us,
            updated_us: stamp.updated_us,
            revision: stamp.revision,
        }
    }

    async fn saved(
        &self,
        before: Option<&Self>,
        _: EditOptions,
        change: &Change<'_>,
    ) -> Result<()> {
        match before {
            Some(before) if before.targets == self.targets => return Ok(()),
            Some(_) => {
                let of = route_targets::Column::RouteId.eq(self.id.0);
                route_targets::Entity::delete_many().filter(of).exec(change.tx()).await?;
            }
            None => {}
        }
        aim(change, self.id.0, &self.targets).await
    }

    fn told(&self, row: &routes::Model) -> Map<String, Value> {
        let mut told = fields(row);
        let targets: Vec<String> = self.targets.iter().map(target).collect();
        told.insert("targets".into(), targets.into());
        told
    }

    fn wanted((): &(), _: &mut Page, _: &Store) -> Result<Condition> {
        Ok(Condition::all())
    }
}

/// A route with its targets, as the history has it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Whole {
    #[serde(flatten)]
    pub(crate) row: routes::Model,
    pub(crate) targets: Vec<route_targets::Model>,
}

/// A target as the audit trail tells it.
fn target(t: &Target) -> String {
    let model = t.model.as_deref().unwrap_or("*");
    let mut told = format!("{}/{model} weight {} priority {}", t.upstream, t.weight, t.priority);
    if let Some(dialect) = t.dialect {
        told += &format!(" dialect {dialect}");
    }
    if let Some(profile) = t.profile {
        told += &format!(" profile {}", json(&profile));
    }
    told
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
