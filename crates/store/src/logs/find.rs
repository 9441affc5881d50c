//! Finds log entries: in one of several orders, page by page.

use entity::{id_counters, recorded_bodies, request_logs};
use request_logs::Column;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, ExprTrait, Order, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{
    append::ARRIVALS,
    conditions::{self, Conditions, ended},
    convert,
};
use crate::{
    Listed, LogFilter, LogOrder, LogRow, Page, RecordedBody, Result, Store, StoreError,
    paging::{self, column},
};

impl Store {
    /// Most log entries that are looked at for one page.
    pub const LOGS_LOOKED_AT: u64 = 20_000;

    /// A page of log entries. What no index answers is looked for among the next
    /// [`Store::LOGS_LOOKED_AT`] entries in order; where they are not the last, a page that is not
    /// full has a cursor to go on from.
    pub async fn log_entries(&self, filter: LogFilter, page: Page) -> Result<Listed<LogRow>> {
        let order = filter.order;
        let Conditions { mut indexed, mut others, .. } = conditions::split(&filter, page.owner);
        if let Some(text) = page.search.as_deref().filter(|text| !text.is_empty()) {
            let mut anywhere = Condition::any();
            for column in [Column::ModelAsked, Column::ModelUsed, Column::Path, Column::RequestId] {
                anywhere = anywhere.add(paging::contains(column, text)?);
            }
            others = others.add(anywhere);
        }
        let after = page.cursor.as_deref().map(|cursor| Place::read(cursor, order)).transpose()?;
        let direction = direction(order);
        if let Some(place) = after {
            indexed = indexed.add(place.behind(order));
        }
        let edge = match others.is_empty() {
            true => None,
            false => self.edge(&indexed, order).await?,
        };
        let within = edge.map(|edge| edge.up_to(order));
        let wanted = indexed.add(others).add_option(within);
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
        // What was looked at and is not wanted is passed by, in every order.
        let next = edge.filter(|_| !more).or(next);
        let next_cursor = next.map(|place| place.write(order));
        Ok(Listed { items: rows.into_iter().map(convert::read).collect(), next_cursor })
    }

    /// The end of what is looked at for one page of what these conditions mean; none where all of it
    /// is. It is read from the index alone, so it is behind all entries of its moment.
    async fn edge(&self, indexed: &Condition, order: LogOrder) -> Result<Option<Place>> {
        let edge = request_logs::Entity::find()
            .select_only()
            .expr(sorted_by(order))
            .filter(indexed.clone())
            .order_by(sorted_by(order), direction(order))
            .limit(1)
            .offset(Self::LOGS_LOOKED_AT - 1);
        let edge: Option<i64> = edge.into_tuple().one(&self.0.db.reader().await?).await?;
        let id = match direction(order) {
            Order::Desc => Uuid::nil(),
            _ => Uuid::max(),
        };
        Ok(edge.map(|value| Place { value, id }))
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

    /// What comes after it in this order.
    fn behind(self, order: LogOrder) -> Condition {
        let at = Some((sorted_by(order), self.value.into()));
        paging::behind(at, (column(Column::Id), self.id.into()), &direction(order))
    }

    /// What comes before its moment in this order, and at it.
    fn up_to(self, order: LogOrder) -> Condition {
        let of = sorted_by(order);
        Condition::all().add(match direction(order) {
            Order::Desc => of.gte(self.value),
            _ => of.lte(self.value),
        })
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
