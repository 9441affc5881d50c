//! Limits on what callers may use: how they lie in their table, and what is checked of them.

use std::{str::FromStr, time::Duration};

use domain::{
    Algorithm, Faults, Limit, LimitId, Period, Scope, ServiceKeyId, Unit, UpstreamId, UserId,
};
use entity::{limits, service_keys, upstreams, users};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};

use crate::{
    Kind, LimitFilter, Page, Result, Store, change::Change, count, paging::Stamp,
    resource::Resource, uncount,
};

impl Resource for Limit {
    const KIND: Kind = Kind::Limit;
    type Id = LimitId;
    type Filter = LimitFilter;
    type Extra = ();
    type Entity = limits::Entity;
    type Model = limits::Model;
    type Parts = ();

    fn id(&self) -> LimitId {
        self.id
    }

    fn owner(&self) -> UserId {
        self.owner
    }

    fn identify(&mut self, id: LimitId, owner: UserId) {
        (self.id, self.owner) = (id, owner);
    }

    fn faults(&self) -> Faults {
        Limit::faults(self)
    }

    /// There must be somebody to hold to it.
    async fn check(&self, _: Option<&Self>, change: &Change<'_>) -> Result<Faults> {
        let mut faults = Faults::default();
        let tx = change.tx();
        let (there, what) = match &self.scope {
            Scope::ServiceKey(Some(id)) => {
                (service_keys::Entity::find_by_id(id.0).one(tx).await?.is_some(), "service key")
            }
            Scope::User(Some(id)) => {
                (users::Entity::find_by_id(id.0).one(tx).await?.is_some(), "user")
            }
            Scope::Upstream(Some(id)) => {
                (upstreams::Entity::find_by_id(id.0).one(tx).await?.is_some(), "upstream")
            }
            _ => (true, ""),
        };
        if !there {
            faults.add("scope_id", format!("there is no such {what}"));
        }
        Ok(faults)
    }

    fn read(row: limits::Model, (): ()) -> Result<(Self, Faults), Faults> {
        Ok((read(row)?, Faults::default()))
    }

    fn write(&self, _: Option<&limits::Model>, stamp: Stamp, _: &Change<'_>) -> limits::Model {
        write(self, stamp)
    }

    /// Those that the user, or one of their service keys, is held to by name.
    fn seen_by(UserId(user): UserId) -> Condition {
        let own_keys = Query::select()
            .expr(Expr::col(service_keys::Column::Id).cast_as("text"))
            .from(service_keys::Entity)
            .and_where(service_keys::Column::OwnerId.eq(user))
            .to_owned();
        let of_key = Condition::all()
            .add(limits::Column::Scope.eq(Scope::ServiceKey(None).as_str()))
            .add(limits::Column::ScopeId.in_subquery(own_keys));
        let of_user = Condition::all()
            .add(limits::Column::Scope.eq(Scope::User(None).as_str()))
            .add(limits::Column::ScopeId.eq(user.to_string()));
        Condition::any().add(of_key).add(of_user)
    }

    fn wanted(filter: &LimitFilter, _: &mut Page, _: &Store) -> Result<Condition> {
        let scope_id = filter.scope_id.as_ref();
        Ok(Condition::all()
            .add_option(filter.scope.map(|scope| limits::Column::Scope.eq(scope)))
            .add_option(scope_id.map(|id| limits::Column::ScopeId.eq(id.as_str()))))
    }
}

/// Deletes the limits of things that are being deleted: what comes later must not inherit them.
pub(crate) async fn delete_of(change: &Change<'_>, scope: &Scope, ids: &[i64]) -> Result<()> {
    for ids in ids.chunks(1000) {
        let of = Condition::all()
            .add(limits::Column::Scope.eq(scope.as_str()))
            .add(limits::Column::ScopeId.is_in(ids.iter().map(i64::to_string)));
        let gone = limits::Entity::find().select_only().column(limits::Column::Id);
        let gone: Vec<i64> = gone.filter(of.clone()).into_tuple().all(change.tx()).await?;
        if !gone.is_empty() {
            limits::Entity::delete_many().filter(of).exec(change.tx()).await?;
            change.bury(Kind::Limit, gone).await?;
        }
    }
    Ok(())
}

fn write(limit: &Limit, stamp: Stamp) -> limits::Model {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let scope_id = match &limit.scope {
        Scope::Global => None,
        Scope::Ip(net) => net.map(|net| net.to_string()),
        Scope::User(id) => id.map(|id| id.to_string()),
        Scope::ServiceKey(id) => id.map(|id| id.to_string()),
        Scope::Model(model) => model.clone(),
        Scope::Upstream(id) => id.map(|id| id.to_string()),
    };
    let (mut window, mut capacity, mut stretch, mut zone) = (None, None, None, None);
    match limit.algorithm {
        Algorithm::TokenBucket { window: time, burst } => {
            (window, capacity) = (Some(ms(time)), burst.map(count));
        }
        Algorithm::SlidingWindow { window: time } => window = Some(ms(time)),
        Algorithm::Concurrency => {}
        Algorithm::Calendar { period, timezone } => {
            (stretch, zone) = (Some(period.to_string()), timezone.map(|zone| zone.to_string()));
        }
    }
    limits::Model {
        id: limit.id.0,
        owner_id: limit.owner.0,
        name: limit.name.clone(),
        scope: limit.scope.to_string(),
        scope_id,
        unit: limit.unit.to_string(),
        algorithm: limit.algorithm.as_str().to_owned(),
        limit_amount: count(limit.limit),
        window_ms: window,
        burst: capacity,
        period: stretch,
        timezone: zone,
        alert_percent: limit.alert_percent.map(i64::from),
        enabled: limit.enabled,
        created_us: stamp.created_us,
        updated_us: stamp.updated_us,
        revision: stamp.revision,
    }
}

/// The limit of a row, or the columns that this program cannot read. A limit that cannot be read
/// must not be taken for none.
pub(crate) fn read(row: limits::Model) -> Result<Limit, Faults> {
    let mut faults = Faults::default();
    let scope = scope(&row);
    let unit = Unit::from_str(&row.unit).ok();
    let algorithm = algorithm(&row);
    for (field, known) in
        [("scope", scope.is_some()), ("unit", unit.is_some()), ("algorithm", algorithm.is_some())]
    {
        if !known {
            faults.add(field, "cannot be read by this version");
        }
    }
    let limit = (|| {
        Some(Limit {
            id: LimitId(row.id),
            owner: UserId(row.owner_id),
            scope: scope?,
            unit: unit?,
            algorithm: algorithm?,
            limit: uncount(row.limit_amount),
            alert_percent: row.alert_percent.and_then(|percent| u8::try_from(percent).ok()),
            enabled: row.enabled,
            name: row.name,
        })
    })();
    limit.ok_or(faults)
}

fn scope(row: &limits::Model) -> Option<Scope> {
    let text = row.scope_id.as_deref();
    let id = || text.map(str::parse::<i64>).transpose().ok();
    Some(match row.scope.as_str() {
        "global" => Scope::Global,
        "ip" => Scope::Ip(text.map(str::parse).transpose().ok()?),
        "user" => Scope::User(id()?.map(UserId)),
        "service_key" => Scope::ServiceKey(id()?.map(ServiceKeyId)),
        "model" => Scope::Model(row.scope_id.clone()),
        "upstream" => Scope::Upstream(id()?.map(UpstreamId)),
        _ => return None,
    })
}

fn algorithm(row: &limits::Model) -> Option<Algorithm> {
    let window = || row.window_ms.map(|ms| Duration::from_millis(uncount(ms)));
    Some(match row.algorithm.as_str() {
        "token_bucket" => {
            Algorithm::TokenBucket { window: window()?, burst: row.burst.map(uncount) }
        }
        "sliding_window" => Algorithm::SlidingWindow { window: window()? },
        "concurrency" => Algorithm::Concurrency,
        "calendar" => Algorithm::Calendar {
            period: Period::from_str(row.period.as_deref()?).ok()?,
            timezone: row.timezone.as_deref().map(str::parse).transpose().ok()?,
        },
        _ => return None,
    })
}
