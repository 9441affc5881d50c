//! The heads of log entries in the order of their arrival, for those who watch calls as they end. A head
//! has what a line of a list shows; the rest is read with the entry.

use domain::{ServiceKeyId, UpstreamId, UserId};
use entity::{id_counters, request_logs};
use request_logs::Column;
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

use super::append::ARRIVALS;
use crate::{ArrivedCall, Result, Store, moment, uncount};

/// The columns of a head.
#[derive(FromQueryResult)]
struct Head {
    arrival: i64,
    id: uuid::Uuid,
    started_us: i64,
    latency_us: i64,
    first_byte_us: Option<i64>,
    service_key_id: i64,
    service_key_name: String,
    owner_id: i64,
    upstream_id: Option<i64>,
    upstream_name: Option<String>,
    provider_key_name: Option<String>,
    model_asked: Option<String>,
    model_used: Option<String>,
    path: String,
    status: i32,
    outcome: String,
    failed: bool,
    input_tokens: i64,
    cached_tokens: i64,
    output_tokens: i64,
    cost_nano: Option<i64>,
    session: Option<String>,
    client_program: Option<String>,
}

/// What is read of each entry.
const COLUMNS: [Column; 23] = [
    Column::Arrival,
    Column::Id,
    Column::StartedUs,
    Column::LatencyUs,
    Column::FirstByteUs,
    Column::ServiceKeyId,
    Column::ServiceKeyName,
    Column::OwnerId,
    Column::UpstreamId,
    Column::UpstreamName,
    Column::ProviderKeyName,
    Column::ModelAsked,
    Column::ModelUsed,
    Column::Path,
    Column::Status,
    Column::Outcome,
    Column::Failed,
    Column::InputTokens,
    Column::CachedTokens,
    Column::OutputTokens,
    Column::CostNano,
    Column::Session,
    Column::ClientProgram,
];

impl Store {
    /// The place in the order of arrival of the last entry that was stored; 0 before the first.
    ///
    /// # Errors
    ///
    /// Returns an error if the database is not available.
    pub async fn last_arrival(&self) -> Result<i64> {
        let db = self.0.db.reader().await?;
        let counter = id_counters::Entity::find_by_id(ARRIVALS).one(&db).await?;
        Ok(counter.map_or(0, |counter| counter.last))
    }

    /// The heads of the entries that arrived after the place `after`, the first first, at most `most`.
    ///
    /// # Errors
    ///
    /// Returns an error if the database is not available.
    pub async fn arrived(&self, after: i64, most: u64) -> Result<Vec<ArrivedCall>> {
        let rows = request_logs::Entity::find()
            .select_only()
            .columns(COLUMNS)
            .filter(Column::Arrival.gt(after))
            .order_by_asc(Column::Arrival)
            .limit(most)
            .into_model::<Head>()
            .all(&self.0.db.reader().await?)
            .await?;
        Ok(rows.into_iter().map(read).collect())
    }
}

fn read(row: Head) -> ArrivedCall {
    ArrivedCall {
        arrival: row.arrival,
        id: row.id,
        started_at: moment(row.started_us),
        latency_us: uncount(row.latency_us),
        first_byte_us: row.first_byte_us.map(uncount),
        service_key: ServiceKeyId(row.service_key_id),
        service_key_name: row.service_key_name,
        owner: UserId(row.owner_id),
        upstream: row.upstream_id.map(UpstreamId),
        upstream_name: row.upstream_name,
        provider_key_name: row.provider_key_name,
        model: row.model_used.or(row.model_asked),
        path: row.path,
        status: u16::try_from(row.status).unwrap_or_default(),
        outcome: row.outcome,
        failed: row.failed,
        input: uncount(row.input_tokens),
        cached: uncount(row.cached_tokens),
        output: uncount(row.output_tokens),
        cost_nano: row.cost_nano,
        session: row.session,
        program: row.client_program,
    }
}
