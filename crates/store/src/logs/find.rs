//! Finds log entries: newest first, page by page.

use entity::{recorded_bodies, request_logs};
use request_logs::Column;
use sea_orm::{ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::convert;
use crate::{
    Listed, LogFilter, LogRow, Page, RecordedBody, Result, StatusClass, Store, StoreError, paging,
};

impl Store {
    /// A page of log entries, newest first.
    pub async fn log_entries(&self, filter: LogFilter, page: Page) -> Result<Listed<LogRow>> {
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
        if let Some(cursor) = &page.cursor {
            let (at, id) = read_cursor(cursor)?;
            let at = Some((Column::StartedUs, at.into()));
            wanted = wanted.add(paging::behind(at, (Column::Id, id.into()), &Order::Desc));
        }
        let limit = page.rows();
        let mut rows = request_logs::Entity::find()
            .filter(wanted)
            .order_by_desc(Column::StartedUs)
            .order_by_desc(Column::Id)
            .limit(limit + 1)
            .all(&self.0.db.reader().await?)
            .await?;
        let more = rows.len() as u64 > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|row| format!("{}.{}", row.started_us, row.id.simple()));
        Ok(Listed { items: rows.into_iter().map(convert::read).collect(), next_cursor })
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
}

fn read_cursor(text: &str) -> Result<(i64, Uuid)> {
    let (at, id) = text.split_once('.').ok_or_else(paging::bad_cursor)?;
    let at = at.parse().map_err(|_| paging::bad_cursor())?;
    Ok((at, Uuid::parse_str(id).map_err(|_| paging::bad_cursor())?))
}
