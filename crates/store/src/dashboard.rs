//! Numbers over a time range, from the hourly statistics: what is asked costs the same whether
//! ten calls were made or ten million.

use std::collections::HashMap;

use domain::{KeyState, UserId};
use entity::{latency_statistics, provider_keys, service_keys, upstreams, usage_statistics};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{Alias, Expr, ExprTrait, Func, Order, SimpleExpr},
};
use usage_statistics::Column;

use crate::{
    Dashboard, Hour, KeyCounts, Result, Share, Store, StoreError, TimeRange, Totals,
    link::Transaction,
    logs::{self, Named, class_bounds, hour_of},
    moment, uncount,
};

/// Longest range: ten years of hours.
const HOURS_MAX: i64 = 24 * 3660;

/// One row of sums.
#[derive(Debug, Default, FromQueryResult)]
struct Sums {
    requests: i64,
    errors: i64,
    input_tokens: i64,
    cached_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    cost_nano: i64,
    latency_us: i64,
}

impl Store {
    /// What happened in `range`: everywhere, or with the service keys of one user.
    pub async fn dashboard(&self, range: TimeRange, owner: Option<UserId>) -> Result<Dashboard> {
        let hour = 3_600_000_000;
        let from = hour_of(range.from.timestamp_micros());
        let to = hour_of(range.to.timestamp_micros().saturating_add(hour - 1));
        if to <= from || (to - from) / hour > HOURS_MAX {
            return Err(StoreError::fault("to", "must be after `from`, by ten years at most"));
        }
        let wanted = Condition::all()
            .add(Column::HourUs.gte(from))
            .add(Column::HourUs.lt(to))
            .add_option(owner.map(|id| Column::OwnerId.eq(id.0)));
        let usage = usage_statistics::Entity::find().filter(wanted);
        let tx = self.0.db.read().await?;
        let (latency_p50_us, latency_p95_us) = quantiles(&tx, from, to, owner).await?;
        let dashboard = Dashboard {
            range: TimeRange { from: moment(from), to: moment(to) },
            totals: totals(&tx, &usage).await?,
            latency_p50_us,
            latency_p95_us,
            upstreams: shares(&tx, &usage, Column::UpstreamId).await?,
            provider_keys: shares(&tx, &usage, Column::ProviderKeyId).await?,
            service_keys: shares(&tx, &usage, Column::ServiceKeyId).await?,
            models: models(&tx, &usage).await?,
            hours: hours(&tx, &usage).await?,
            upstream_count: upstreams::Entity::find().count(&tx).await?,
            service_key_count: service_keys::Entity::find().count(&tx).await?,
            key_counts: key_counts(&tx).await?,
        };
        tx.commit().await?;
        Ok(dashboard)
    }
}

type Usage = Select<usage_statistics::Entity>;

/// `usage` with its sums as columns. Sums of integers are wider in PostgreSQL; they are brought
/// back to what a column can hold.
fn summed(usage: &Usage) -> Usage {
    let mut select = usage.clone().select_only();
    for (column, name) in [
        (Column::Requests, "requests"),
        (Column::Errors, "errors"),
        (Column::InputTokens, "input_tokens"),
        (Column::CachedTokens, "cached_tokens"),
        (Column::OutputTokens, "output_tokens"),
        (Column::ReasoningTokens, "reasoning_tokens"),
        (Column::CostNano, "cost_nano"),
        (Column::LatencyUs, "latency_us"),
    ] {
        select = select.column_as(sum(column), name);
    }
    select
}

fn sum(column: impl ColumnTrait) -> SimpleExpr {
    let sum =
        Expr::expr(Func::sum(Expr::col(column.as_column_ref()))).cast_as(Alias::new("bigint"));
    Expr::expr(Func::coalesce([sum, Expr::value(0_i64)])).cast_as(Alias::new("bigint"))
}

async fn totals(tx: &Transaction, usage: &Usage) -> Result<Totals> {
    let sums = summed(usage).into_model::<Sums>().one(tx).await?;
    Ok(sums.unwrap_or_default().into())
}

/// The busiest ids of one kind, with what they are called; what was deleted keeps its last name.
async fn shares(tx: &Transaction, usage: &Usage, by: Column) -> Result<Vec<Share>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: i64,
        #[sea_orm(nested)]
        sums: Sums,
    }
    let busiest = summed(usage)
        .column_as(by, "id")
        .group_by(by)
        .order_by(sum(Column::Requests), Order::Desc)
        .order_by_asc(by)
        .limit(Dashboard::SHARES_MAX);
    let rows = busiest.into_model::<Row>().all(tx).await?;
    let names = names(tx, by, rows.iter().map(|row| row.id).collect()).await?;
    let share = |row: Row| Share {
        id: Some(row.id).filter(|id| *id != 0),
        name: names.get(&row.id).cloned(),
        totals: row.sums.into(),
    };
    Ok(rows.into_iter().map(share).collect())
}

async fn names(
    tx: &impl ConnectionTrait,
    by: Column,
    ids: Vec<i64>,
) -> Result<HashMap<i64, String>> {
    macro_rules! names_of {
        ($table:ident) => {
            $table::Entity::find()
                .select_only()
                .columns([$table::Column::Id, $table::Column::Name])
                .filter($table::Column::Id.is_in(ids))
                .into_tuple::<(i64, String)>()
                .all(tx)
                .await?
        };
    }
    let wanted = ids.clone();
    let (kind, names) = match by {
        Column::UpstreamId => (Named::Upstream, names_of!(upstreams)),
        Column::ProviderKeyId => (Named::ProviderKey, names_of!(provider_keys)),
        _ => (Named::ServiceKey, names_of!(service_keys)),
    };
    let mut names: HashMap<i64, String> = names.into_iter().collect();
    let deleted = wanted.into_iter().filter(|id| *id != 0 && !names.contains_key(id));
    let deleted: Vec<i64> = deleted.collect();
    if !deleted.is_empty() {
        names.extend(logs::last_names(tx, kind, deleted).await?);
    }
    Ok(names)
}

async fn models(tx: &Transaction, usage: &Usage) -> Result<Vec<Share>> {
    #[derive(FromQueryResult)]
    struct Row {
        model: String,
        #[sea_orm(nested)]
        sums: Sums,
    }
    let busiest = summed(usage)
        .column(Column::Model)
        .group_by(Column::Model)
        .order_by(sum(Column::Requests), Order::Desc)
        .order_by_asc(Column::Model)
        .limit(Dashboard::SHARES_MAX);
    let share = |row: Row| Share {
        id: None,
        name: Some(row.model).filter(|model| !model.is_empty()),
        totals: row.sums.into(),
    };
    Ok(busiest.into_model::<Row>().all(tx).await?.into_iter().map(share).collect())
}

async fn hours(tx: &Transaction, usage: &Usage) -> Result<Vec<Hour>> {
    #[derive(FromQueryResult)]
    struct Row {
        hour_us: i64,
        #[sea_orm(nested)]
        sums: Sums,
    }
    let by_hour = summed(usage).column(Column::HourUs).group_by(Column::HourUs);
    let rows = by_hour.order_by_asc(Column::HourUs).into_model::<Row>().all(tx).await?;
    let hour = |row: Row| Hour { at: moment(row.hour_us), totals: row.sums.into() };
    Ok(rows.into_iter().map(hour).collect())
}

/// The latencies below which half and nineteen twentieths of the calls lie.
async fn quantiles(
    tx: &Transaction,
    from: i64,
    to: i64,
    owner: Option<UserId>,
) -> Result<(Option<u64>, Option<u64>)> {
    use latency_statistics::Column;
    let wanted = Condition::all()
        .add(Column::HourUs.gte(from))
        .add(Column::HourUs.lt(to))
        .add_option(owner.map(|id| Column::OwnerId.eq(id.0)));
    let classes: Vec<(i32, i64)> = latency_statistics::Entity::find()
        .select_only()
        .column(Column::Class)
        .column_as(sum(Column::Requests), "calls")
        .filter(wanted)
        .group_by(Column::Class)
        .order_by_asc(Column::Class)
        .into_tuple()
        .all(tx)
        .await?;
    let classes: Vec<_> = classes.into_iter().map(|(c, n)| (c, uncount(n))).collect();
    Ok((quantile(&classes, 50), quantile(&classes, 95)))
}

/// The latency that this percentage of calls does not exceed: within its class in proportion.
fn quantile(classes: &[(i32, u64)], percent: u64) -> Option<u64> {
    let all: u64 = classes.iter().map(|(_, calls)| calls).sum();
    let wanted = (all * percent).div_ceil(100);
    let mut before = 0;
    for (class, calls) in classes {
        if *calls > 0 && before + calls >= wanted {
            let (low, high) = class_bounds(*class);
            let part = u128::from(high - low) * u128::from(wanted - before) / u128::from(*calls);
            return Some(low + u64::try_from(part).unwrap_or_default());
        }
        before += calls;
    }
    None
}

async fn key_counts(tx: &Transaction) -> Result<KeyCounts> {
    let rows: Vec<(String, i64)> = provider_keys::Entity::find()
        .select_only()
        .column(provider_keys::Column::State)
        .column_as(provider_keys::Column::Id.count(), "keys")
        .group_by(provider_keys::Column::State)
        .into_tuple()
        .all(tx)
        .await?;
    let mut counts = KeyCounts::default();
    for (state, keys) in rows {
        match state.parse() {
            Ok(KeyState::Active) => counts.active = uncount(keys),
            Ok(KeyState::Disabled) => counts.disabled = uncount(keys),
            Ok(KeyState::Banned) => counts.banned = uncount(keys),
            Err(_) => {}
        }
    }
    Ok(counts)
}

impl From<Sums> for Totals {
    fn from(sums: Sums) -> Self {
        Self {
            requests: uncount(sums.requests),
            errors: uncount(sums.errors),
            input_tokens: uncount(sums.input_tokens),
            cached_tokens: uncount(sums.cached_tokens),
            output_tokens: uncount(sums.output_tokens),
            reasoning_tokens: uncount(sums.reasoning_tokens),
            cost_nano: sums.cost_nano,
            latency_us: uncount(sums.latency_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_the_class_that_holds_it() {
        let classes = [(50, 50), (60, 45), (100, 5)];
        let within = |class, value: Option<u64>| {
            let (low, high) = class_bounds(class);
            value.is_some_and(|v| (low..=high).contains(&v))
        };
        assert!(within(50, quantile(&classes, 50)));
        assert!(within(60, quantile(&classes, 95)));
        assert!(within(100, quantile(&classes, 100)));
        assert_eq!(quantile(&[], 50), None);
    }
}
