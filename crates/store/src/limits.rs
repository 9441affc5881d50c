//! Limits on what callers may use: made, changed, read, deleted.

use std::{str::FromStr, time::Duration};

use auth::Actor;
use domain::{
    Algorithm, Faults, Limit, LimitId, Period, Revision, Scope, ServiceKeyId, Unit, UpstreamId,
    UserId,
};
use entity::{limits, service_keys, upstreams, users};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};

use crate::{
    LimitFilter, LimitRow, Listed, NewLimit, Page, Result, Store, StoreError,
    change::{Change, What},
    count, moment, paging, uncount,
};

const KIND: &str = "limit";

impl Store {
    /// Makes a limit.
    pub async fn create_limit(&self, by: &Actor, new: NewLimit) -> Result<LimitId> {
        let change = self.begin(by).await?;
        let limit = Limit {
            owner: UserId(change.owner(new.owner).await?),
            id: LimitId(change.ids("limits", 1).await?),
            name: new.name,
            scope: new.scope,
            unit: new.unit,
            algorithm: new.algorithm,
            limit: new.limit,
            alert_percent: new.alert_percent,
            enabled: new.enabled,
        };
        sound(&change, &limit).await?;
        let row = write(&limit, &change, change.now_us);
        let active: limits::ActiveModel = row.clone().into();
        limits::Entity::insert(active.reset_all()).exec_without_returning(change.tx()).await?;
        change.commit(What::created(KIND, row.id, &row)).await?;
        Ok(LimitId(row.id))
    }

    /// Changes a limit as `edit` does; what it refuses is not kept.
    pub async fn edit_limit(
        &self,
        by: &Actor,
        id: LimitId,
        edit: impl FnOnce(&mut Limit) -> Result<(), Faults> + Send,
    ) -> Result<Revision> {
        let change = self.begin(by).await?;
        let before = find(&change, id).await?;
        let mut limit = read(before.clone())?;
        let owner = limit.owner;
        edit(&mut limit)?;
        (limit.id, limit.owner) = (id, owner);
        sound(&change, &limit).await?;
        let row = write(&limit, &change, before.created_us);
        let active: limits::ActiveModel = row.clone().into();
        active.reset_all().update(change.tx()).await?;
        change.commit(What::edited(KIND, id.0, &before, &row, None)).await
    }

    /// Deletes a limit.
    pub async fn delete_limit(&self, by: &Actor, id: LimitId) -> Result<Revision> {
        let change = self.begin(by).await?;
        let row = find(&change, id).await?;
        limits::Entity::delete_by_id(id.0).exec(change.tx()).await?;
        change.bury("limits", [id.0]).await?;
        change.commit(What::deleted(KIND, id.0, &row)).await
    }

    /// One limit, if it is one that `filter` wants.
    pub async fn limit(&self, id: LimitId, filter: &LimitFilter) -> Result<LimitRow> {
        let wanted = limits::Entity::find_by_id(id.0).filter(conditions(filter));
        let row = wanted.one(&self.0.db.reader().await?).await?;
        stamped(row.ok_or(StoreError::NotFound(KIND))?)
    }

    /// A page of limits.
    pub async fn limits(&self, filter: LimitFilter, page: Page) -> Result<Listed<LimitRow>> {
        let wanted = limits::Entity::find().filter(conditions(&filter));
        let db = self.0.db.reader().await?;
        let (rows, next_cursor) = paging::page(wanted, &page, &db).await?;
        Ok(Listed { items: rows.into_iter().map(stamped).collect::<Result<_>>()?, next_cursor })
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
            change.bury("limits", gone).await?;
        }
    }
    Ok(())
}

fn conditions(filter: &LimitFilter) -> Condition {
    let about = filter.about.map(|UserId(user)| {
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
    });
    Condition::all()
        .add_option(filter.scope.map(|scope| limits::Column::Scope.eq(scope)))
        .add_option(filter.scope_id.as_ref().map(|id| limits::Column::ScopeId.eq(id.as_str())))
        .add_option(about)
}

/// A limit is only kept if it can be counted, and if there is somebody to hold to it.
async fn sound(change: &Change<'_>, limit: &Limit) -> Result<()> {
    let mut faults = limit.faults();
    let tx = change.tx();
    let (there, what) = match &limit.scope {
        Scope::ServiceKey(Some(id)) => {
            (service_keys::Entity::find_by_id(id.0).one(tx).await?.is_some(), "service key")
        }
        Scope::User(Some(id)) => (users::Entity::find_by_id(id.0).one(tx).await?.is_some(), "user"),
        Scope::Upstream(Some(id)) => {
            (upstreams::Entity::find_by_id(id.0).one(tx).await?.is_some(), "upstream")
        }
        _ => (true, ""),
    };
    if !there {
        faults.add("scope_id", format!("there is no such {what}"));
    }
    Ok(faults.none_or(())?)
}

async fn find(change: &Change<'_>, id: LimitId) -> Result<limits::Model> {
    let row = limits::Entity::find_by_id(id.0).one(change.tx()).await?;
    let row = row.ok_or(StoreError::NotFound(KIND))?;
    change.owned(row.owner_id, KIND)?;
    change.expects(row.updated_us)?;
    Ok(row)
}

fn write(limit: &Limit, change: &Change<'_>, created_us: i64) -> limits::Model {
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
        created_us,
        updated_us: change.now_us,
        revision: change.revision,
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

fn stamped(row: limits::Model) -> Result<LimitRow> {
    let (created_at, updated_at) = (moment(row.created_us), moment(row.updated_us));
    Ok(LimitRow { limit: read(row)?, created_at, updated_at })
}
