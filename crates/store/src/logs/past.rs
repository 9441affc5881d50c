//! What rules are tested against: the attempts of past calls, and what was recorded of answers.

use std::collections::HashMap;

use domain::{ProviderKeyId, UpstreamId};
use entity::{recorded_bodies, request_logs};
use request_logs::Column;
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::attempts::{self, Repeated};
use crate::{
    PastCall, Result, Store,
    paging::{self, column},
};

/// Most calls of one page.
const PAGE_MAX: u64 = 2000;

/// The id, the start and the attempts of a call, and where it went.
type Row = (Uuid, i64, String, Option<i64>, Option<String>, Option<i64>, Option<String>);

fn call((id, started_us, attempts, upstream, upstream_name, key, key_name): Row) -> PastCall {
    // Rules are not asked about what an attempt used.
    let attempts = attempts::read(&attempts, || Repeated {
        upstream: upstream.map(UpstreamId).zip(upstream_name),
        provider_key: key.map(ProviderKeyId).zip(key_name),
        ..Repeated::default()
    });
    PastCall { id, started_us, attempts }
}

impl Store {
    /// A page of past calls, newest first: not before `from_us`, and older than `last` where that
    /// is given. The page after the last is empty.
    pub async fn past_calls(&self, from_us: i64, last: Option<&PastCall>) -> Result<Vec<PastCall>> {
        let mut wanted = request_logs::Entity::find()
            .select_only()
            .columns([Column::Id, Column::StartedUs, Column::Attempts])
            .columns([Column::UpstreamId, Column::UpstreamName])
            .columns([Column::ProviderKeyId, Column::ProviderKeyName])
            .filter(Column::StartedUs.gte(from_us));
        if let Some(last) = last {
            let at = Some((column(Column::StartedUs), last.started_us.into()));
            let id = (column(Column::Id), last.id.into());
            wanted = wanted.filter(paging::behind(at, id, &Order::Desc));
        }
        let rows: Vec<Row> = wanted
            .order_by_desc(Column::StartedUs)
            .order_by_desc(Column::Id)
            .limit(PAGE_MAX)
            .into_tuple()
            .all(&self.0.db.reader().await?)
            .await?;
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
