//! What rules are tested against: the attempts of past calls, and what was recorded of answers.

use std::collections::HashMap;

use entity::{recorded_bodies, request_logs};
use request_logs::Column;
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::{
    PastCall, Result, Store,
    paging::{self, column},
};

/// Most calls of one page.
const PAGE_MAX: u64 = 2000;

impl Store {
    /// A page of past calls, newest first: not before `from_us`, and older than `last` where that
    /// is given. The page after the last is empty.
    pub async fn past_calls(&self, from_us: i64, last: Option<&PastCall>) -> Result<Vec<PastCall>> {
        let mut wanted = request_logs::Entity::find()
            .select_only()
            .columns([Column::Id, Column::StartedUs, Column::Attempts])
            .filter(Column::StartedUs.gte(from_us));
        if let Some(last) = last {
            let at = Some((column(Column::StartedUs), last.started_us.into()));
            let id = (column(Column::Id), last.id.into());
            wanted = wanted.filter(paging::behind(at, id, &Order::Desc));
        }
        let rows: Vec<(Uuid, i64, String)> = wanted
            .order_by_desc(Column::StartedUs)
            .order_by_desc(Column::Id)
            .limit(PAGE_MAX)
            .into_tuple()
            .all(&self.0.db.reader().await?)
            .await?;
        let call = |(id, started_us, attempts): (Uuid, i64, String)| PastCall {
            id,
            started_us,
            attempts: serde_json::from_str(&attempts).unwrap_or_default(),
        };
        Ok(rows.into_iter().map(call).collect())
    }

    /// What was recorded of the answers to these calls.
    pub async fn recorded_answers(&self, of: &[Uuid]) -> Result<HashMap<Uuid, Vec<u8>>> {
        let db = self.0.db.reader().await?;
        let mut answers = HashMap::new();
        for ids in of.chunks(500) {
            let rows: Vec<(Uuid, Vec<u8>)> = recorded_bodies::Entity::find()
                .select_only()
                .columns([recorded_bodies::Column::LogId, recorded_bodies::Column::Bytes])
                .filter(recorded_bodies::Column::LogId.is_in(ids.iter().copied()))
                .filter(recorded_bodies::Column::Answer.eq(true))
                .into_tuple()
                .all(&db)
                .await?;
            answers.extend(rows);
        }
        Ok(answers)
    }
}
