//! What calls did: log entries, bodies, statistics, journal positions.

use sea_orm_migration::{prelude::*, schema::*};

use crate::index;

/// Makes these tables.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(request_logs()).await?;
        manager.create_index(index("request_logs", &["started_us", "id"])).await?;
        manager.create_index(index("request_logs", &["upstream_id", "started_us"])).await?;
        manager.create_index(index("request_logs", &["provider_key_id", "started_us"])).await?;
        manager.create_index(index("request_logs", &["service_key_id", "started_us"])).await?;
        manager.create_index(index("request_logs", &["owner_id", "started_us"])).await?;
        manager.create_index(index("request_logs", &["request_id"])).await?;
        manager.create_table(recorded_bodies()).await?;
        manager.create_index(index("recorded_bodies", &["stored_us"])).await?;
        manager.create_table(journal_positions()).await?;
        manager.create_table(usage_statistics()).await?;
        manager.create_table(latency_statistics()).await?;
        Ok(())
    }
}

fn request_logs() -> TableCreateStatement {
    Table::create()
        .table("request_logs")
        .col(uuid("id").primary_key())
        .col(text("request_id"))
        .col(big_integer("started_us"))
        .col(big_integer("service_key_id"))
        .col(text("service_key_name"))
        .col(big_integer("owner_id"))
        .col(big_integer_null("upstream_id"))
        .col(text_null("upstream_name"))
        .col(big_integer_null("provider_key_id"))
        .col(text_null("provider_key_name"))
        .col(text_null("model_asked"))
        .col(text_null("model_used"))
        .col(text_null("dialect"))
        .col(text("method"))
        .col(text("path"))
        .col(integer("status"))
        .col(text("outcome"))
        .col(boolean("failed"))
        .col(big_integer("bytes_in"))
        .col(big_integer("bytes_out"))
        .col(big_integer("latency_us"))
        .col(big_integer_null("first_byte_us"))
        .col(boolean("streamed"))
        .col(big_integer("input_tokens"))
        .col(big_integer("cached_tokens"))
        .col(big_integer("cache_written_tokens"))
        .col(big_integer("input_audio_tokens"))
        .col(big_integer("output_tokens"))
        .col(big_integer("reasoning_tokens"))
        .col(big_integer("output_audio_tokens"))
        .col(text("usage_source"))
        .col(big_integer_null("cost_nano"))
        .col(text("attempts"))
        .col(text_null("error"))
        .col(text_null("client_ip"))
        .col(text("decision"))
        .col(big_integer("stored_us"))
        .to_owned()
}

fn recorded_bodies() -> TableCreateStatement {
    Table::create()
        .table("recorded_bodies")
        .col(uuid("log_id"))
        .col(boolean("answer"))
        .col(blob("bytes"))
        .col(boolean("cut"))
        .col(big_integer("stored_us"))
        .primary_key(Index::create().col("log_id").col("answer"))
        .to_owned()
}

fn journal_positions() -> TableCreateStatement {
    Table::create()
        .table("journal_positions")
        .col(text("journal").primary_key())
        .col(big_integer("segment"))
        .col(big_integer("position"))
        .col(big_integer("updated_us"))
        .to_owned()
}

fn usage_statistics() -> TableCreateStatement {
    Table::create()
        .table("usage_statistics")
        .col(big_integer("hour_us"))
        .col(big_integer("upstream_id"))
        .col(big_integer("provider_key_id"))
        .col(big_integer("service_key_id"))
        .col(text("model"))
        .col(big_integer("owner_id"))
        .col(big_integer("requests"))
        .col(big_integer("errors"))
        .col(big_integer("input_tokens"))
        .col(big_integer("cached_tokens"))
        .col(big_integer("cache_written_tokens"))
        .col(big_integer("output_tokens"))
        .col(big_integer("reasoning_tokens"))
        .col(big_integer("cost_nano"))
        .col(big_integer("latency_us"))
        .primary_key(
            Index::create()
                .col("hour_us")
                .col("upstream_id")
                .col("provider_key_id")
                .col("service_key_id")
                .col("model"),
        )
        .to_owned()
}

fn latency_statistics() -> TableCreateStatement {
    Table::create()
        .table("latency_statistics")
        .col(big_integer("hour_us"))
        .col(big_integer("owner_id"))
        .col(big_integer("upstream_id"))
        .col(integer("class"))
        .col(big_integer("requests"))
        .primary_key(Index::create().col("hour_us").col("owner_id").col("upstream_id").col("class"))
        .to_owned()
}
