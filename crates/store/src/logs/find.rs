//! Finds log entries: in one of several orders, page by page.

use entity::{id_counters, recorded_bodies, request_logs};
use request_logs::Column;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, ExprTrait, Order, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{append::ARRIVALS, convert};
use crate::{
    Listed, LogFilter, LogOrder, LogRow, Page, RecordedBody, Result, StatusClass, Store,
    StoreError,
    paging::{self, column},
};

impl Store {
    /// A page of log entries.
    pub async fn log_entries(&self, filter: LogFilter, page: Page) -> Result<Listed<LogRow>> {
        let order = filter.order;
        let mut wanted = conditions(&filter);
        if let Some(owner) = page.owner {
            wanted = wanted.add(Column::OwnerId.eq(owner.0));
        }
        if let Some(text) = page.search.as_deref().filter(|text| !text.is_empty()) {
            let mut anywhere = Condition::any();
            for column in [Column::ModelAsked, Column::ModelUsed, Column::Path, Column::RequestId] {
                anywhere = anywhere.add(paging::contains(column, text)?);
            }
            wanted = wanted.add(anywhere);
        }
        let after = page.cursor.as_deref().map(|cursor| Place::read(cursor, order)).transpose()?;
        let direction = direction(order);
        if let Some(Place { value, id }) = after {
            let at = Some((sorted_by(order), value.into()));
            wanted = wanted.add(paging::behind(at, (column(Column::Id), id.into()), &direction));
        }
        let limit = page.rows();
        let mut rows = request_logs::Entity::find()
            .filter(wanted)
            .order_by(sorted_by(order), direction.clone())
            .order_by(Column::Id, direction)
            .limit(limit + 1)
            .all(&self.0.db.reader().await?)
            .await?;
        let more = rows.len() as u64 > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let last = rows.last().map(|row| Place::of(row, order));
        let next = match order {
            LogOrder::Arrival => Some(match last {
                Some(last) => last,
                None => self.reached(after).await?,
            }),
            _ => last.filter(|_| more),
        };
        let next_cursor = next.map(|place| place.write(order));
        Ok(Listed { items: rows.into_iter().map(convert::read).collect(), next_cursor })
    }

    /// Where to read on when nothing has arrived after `place`.
    async fn reached(&self, place: Option<Place>) -> Result<Place> {
        let Some(place) = place else { return Ok(Place { value: 0, id: Uuid::nil() }) };
        let db = self.0.db.reader().await?;
        let counter = id_counters::Entity::find_by_id(ARRIVALS).one(&db).await?;
        if place.value > counter.map_or(0, |counter| counter.last) {
            // An older state of the database was restored: its next entries get numbers that
            // this cursor has passed.
            return Err(StoreError::fault("cursor", "is ahead of the log; begin without one"));
        }
        Ok(place)
    }

    /// One log entry.
    pub async fn log_entry(&self, id: Uuid) -> Result<LogRow> {
        let row = request_logs::Entity::find_by_id(id).one(&self.0.db.reader().await?).await?;
        row.map(convert::read).ok_or(StoreError::NotFound("log entry"))
    }

    /// The recorded bodies of a log entry: the request's, then the answer's.
    pub async fn recorded_bodies(&self, id: Uuid) -> Result<Vec<RecordedBody>> {
        let rows = recorded_bodies::Entity::find()
            .filter(recorded_bodies::Column::LogId.eq(id))
            .order_by_asc(recorded_bodies::Column::Answer)
            .all(&self.0.db.reader().await?)
            .await?;
        let body = |row: recorded_bodies::Model| RecordedBody {
            log: row.log_id,
            answer: row.answer,
            bytes: row.bytes,
            cut: row.cut,
        };
        Ok(rows.into_iter().map(body).collect())
    }
}

fn conditions(filter: &LogFilter) -> Condition {
    Condition::all()
        .add_option(filter.from.map(|at| Column::StartedUs.gte(at.timestamp_micros())))
        .add_option(filter.to.map(|at| Column::StartedUs.lt(at.timestamp_micros())))
        .add_option(filter.ended_from.map(|at| ended().gte(at.timestamp_micros())))
        .add_option(filter.ended_to.map(|at| ended().lt(at.timestamp_micros())))
        .add_option(filter.upstream.map(|id| Column::UpstreamId.eq(id.0)))
        .add_option(filter.provider_key.map(|id| Column::ProviderKeyId.eq(id.0)))
        .add_option(filter.service_key.map(|id| Column::ServiceKeyId.eq(id.0)))
        .add_option(filter.owner.map(|id| Column::OwnerId.eq(id.0)))
        .add_option(filter.model.as_ref().map(|model| {
            Condition::any()
                .add(Column::ModelUsed.eq(model.as_str()))
                .add(Column::ModelAsked.eq(model.as_str()))
        }))
        .add_option(filter.status.map(|class| match class {
            StatusClass::Exactly(status) => {
                Condition::all().add(Column::Status.eq(i32::from(status)))
            }
            StatusClass::Hundred(hundred) => {
                let from = i32::from(hundred) * 100;
                Condition::all().add(Column::Status.between(from, from + 99))
            }
            StatusClass::Errors => Condition::all().add(Column::Failed.eq(true)),
        }))
        .add_option(filter.outcome.map(|outcome| Column::Outcome.eq(outcome.as_str())))
        .add_option(filter.request_id.as_ref().map(|id| Column::RequestId.eq(id.as_str())))
        .add_option(filter.session.as_ref().map(|id| Column::Session.eq(id.as_str())))
        .add_option(
            filter.provider_request_id.as_ref().map(|id| Column::ProviderRequestId.eq(id.as_str())),
        )
}

/// Where a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// What the order sorts by.
    value: i64,
    id: Uuid,
}

impl Place {
    fn of(row: &request_logs::Model, order: LogOrder) -> Self {
        let value = match order {
            LogOrder::Newest => row.started_us,
            LogOrder::LatestEnd | LogOrder::EarliestEnd => {
                row.started_us.saturating_add(row.latency_us)
            }
            LogOrder::Arrival => row.arrival,
        };
        Self { value, id: row.id }
    }

    fn write(self, order: LogOrder) -> String {
        format!("{}{}.{}", mark(order), self.value, self.id.simple())
    }

    fn read(text: &str, order: LogOrder) -> Result<Self> {
        let rest = text.strip_prefix(mark(order)).ok_or_else(paging::bad_cursor)?;
        let (value, id) = rest.split_once('.').ok_or_else(paging::bad_cursor)?;
        let value = value.parse().map_err(|_| paging::bad_cursor())?;
        Ok(Self { value, id: Uuid::parse_str(id).map_err(|_| paging::bad_cursor())? })
    }
}

/// What the cursors of an order begin with: one is never taken for that of another order.
fn mark(order: LogOrder) -> &'static str {
    match order {
        LogOrder::Newest => "",
        LogOrder::LatestEnd => "l",
        LogOrder::EarliestEnd => "e",
        LogOrder::Arrival => "a",
    }
}

fn direction(order: LogOrder) -> Order {
    match order {
        LogOrder::Newest | LogOrder::LatestEnd => Order::Desc,
        LogOrder::EarliestEnd | LogOrder::Arrival => Order::Asc,
    }
}

/// What an order sorts by; each has an index.
fn sorted_by(order: LogOrder) -> Expr {
    match order {
        LogOrder::Newest => column(Column::StartedUs),
        LogOrder::LatestEnd | LogOrder::EarliestEnd => ended(),
        LogOrder::Arrival => column(Column::Arrival),
    }
}

/// When a call ended, as it is indexed.
fn ended() -> Expr {
    column(Column::StartedUs).add(column(Column::LatencyUs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_order_only() {
        let orders =
            [LogOrder::Newest, LogOrder::LatestEnd, LogOrder::EarliestEnd, LogOrder::Arrival];
        let place = Place { value: -7, id: Uuid::from_u128(9) };
        for from in orders {
            for to in orders {
                let read = Place::read(&place.write(from), to);
                assert_eq!(read.ok(), (from == to).then_some(place), "{from:?} {to:?}");
            }
        }
    }
}
