//! Roll-ups of log entries by minute, hour and day; the caller's own tags of a call; smaller
//! indexes of the log.
//!
//! What `usage_statistics` and `latency_statistics` hold is copied. The tables stay for a program
//! of an earlier version; nothing is written to them any more.

use sea_orm_migration::{
    prelude::*,
    schema::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

/// Makes the tables and fills them from the sums that there are.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const USAGE: &str = "CREATE TABLE usage_rollups (grain integer NOT NULL, breakdown integer NOT NULL, \
    bucket_us bigint NOT NULL, owner_id bigint NOT NULL, key_id bigint NOT NULL, \
    upstream_id bigint NOT NULL, label text NOT NULL, class integer NOT NULL, \
    requests bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL, \
    input_tokens bigint NOT NULL, cached_tokens bigint NOT NULL, \
    cache_written_tokens bigint NOT NULL, output_tokens bigint NOT NULL, \
    reasoning_tokens bigint NOT NULL, cost_nano bigint NOT NULL, latency_us bigint NOT NULL, \
    PRIMARY KEY (grain, breakdown, bucket_us, owner_id, key_id, upstream_id, label, class))";

const LATENCY: &str = "CREATE TABLE latency_rollups (grain integer NOT NULL, \
    breakdown integer NOT NULL, bucket_us bigint NOT NULL, owner_id bigint NOT NULL, \
    key_id bigint NOT NULL, upstream_id bigint NOT NULL, label text NOT NULL, \
    class integer NOT NULL, requests bigint NOT NULL, \
    PRIMARY KEY (grain, breakdown, bucket_us, owner_id, key_id, upstream_id, label, class))";

/// A table whose rows lie in the order of their key: half the space in SQLite, where they would
/// otherwise lie beside it.
fn clustered(sql: &str, backend: DbBackend) -> String {
    match backend {
        DbBackend::Sqlite => format!("{sql} WITHOUT ROWID"),
        _ => sql.to_owned(),
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let backend = manager.get_database_backend();
        db.execute_unprepared(&clustered(USAGE, backend)).await?;
        db.execute_unprepared(&clustered(LATENCY, backend)).await?;
        let labels = Table::create()
            .table("rollup_labels")
            .col(big_integer("day_us"))
            .col(text("kind"))
            .col(text("label"))
            .primary_key(Index::create().col("day_us").col("kind").col("label"))
            .to_owned();
        manager.create_table(labels).await?;
        let floors = Table::create()
            .table("rollup_floors")
            .col(integer("grain").primary_key())
            .col(big_integer("from_us"))
            .to_owned();
        manager.create_table(floors).await?;
        let metadata =
            Table::alter().table("request_logs").add_column(text_null("metadata")).take();
        manager.alter_table(metadata).await?;
        for sql in copies() {
            db.execute_unprepared(&sql).await?;
        }
        // The id is not in these any more: entries of one microsecond are few, and sorting them
        // costs less than 16 bytes of every entry. Upstreams are too few for an index.
        for sql in [
            "DROP INDEX ix_request_logs_started_us_id",
            "DROP INDEX ix_request_logs_ended_id",
            "DROP INDEX ix_request_logs_arrival_id",
            "DROP INDEX ix_request_logs_upstream_id_started_us",
            "CREATE INDEX ix_request_logs_started_us ON request_logs (started_us)",
            "CREATE INDEX ix_request_logs_ended ON request_logs ((started_us + latency_us))",
            "CREATE INDEX ix_request_logs_arrival ON request_logs (arrival)",
        ] {
            db.execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

/// Copies the hourly sums into each breakdown, by hour and by day. Of the old sums only the number
/// of errors is known, not which: errors are counted as class 20, "failed without a status".
fn copies() -> Vec<String> {
    let mut copies = Vec::new();
    for (grain, bucket) in [(1, "hour_us"), (2, "hour_us - hour_us % 86400000000")] {
        for (breakdown, owner, key) in [
            (0, "CAST(0 AS BIGINT)", "CAST(0 AS BIGINT)"),
            (1, "owner_id", "service_key_id"),
            (2, "owner_id", "provider_key_id"),
        ] {
            let of = format!("{bucket}, {owner}, {key}, upstream_id, model");
            copies.push(format!(
                "INSERT INTO usage_rollups SELECT {grain}, {breakdown}, {of}, 2, \
                 CAST(SUM(requests - errors) AS BIGINT), 0, 0, \
                 CAST(SUM(input_tokens) AS BIGINT), CAST(SUM(cached_tokens) AS BIGINT), \
                 CAST(SUM(cache_written_tokens) AS BIGINT), CAST(SUM(output_tokens) AS BIGINT), \
                 CAST(SUM(reasoning_tokens) AS BIGINT), CAST(SUM(cost_nano) AS BIGINT), \
                 CAST(SUM(latency_us) AS BIGINT) FROM usage_statistics GROUP BY {of}"
            ));
            copies.push(format!(
                "INSERT INTO usage_rollups SELECT {grain}, {breakdown}, {of}, 20, \
                 CAST(SUM(errors) AS BIGINT), CAST(SUM(errors) AS BIGINT), 0, 0, 0, 0, 0, 0, 0, 0 \
                 FROM usage_statistics WHERE errors > 0 GROUP BY {of}"
            ));
        }
        for (breakdown, owner) in [(0, "CAST(0 AS BIGINT)"), (1, "owner_id")] {
            let of = format!("{bucket}, {owner}, CAST(0 AS BIGINT), upstream_id");
            copies.push(format!(
                "INSERT INTO latency_rollups SELECT {grain}, {breakdown}, {of}, '', class, \
                 CAST(SUM(requests) AS BIGINT) FROM latency_statistics \
                 GROUP BY {bucket}, {owner}, upstream_id, class"
            ));
        }
    }
    copies
}
