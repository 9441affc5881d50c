//! In which order log entries came, and when their calls ended.

use sea_orm_migration::{prelude::*, schema::*};

use crate::index;

/// Makes the column and the indexes.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Entries from before have no number: they come first, in the order of their ids.
        let arrival = big_integer("arrival").default(0).take();
        let table = Table::alter().table("request_logs").add_column(arrival).take();
        manager.alter_table(table).await?;
        manager.create_index(index("request_logs", &["arrival", "id"])).await?;
        let db = manager.get_connection();
        // A number that was made up must not overflow the sum that is indexed.
        db.execute_unprepared(
            "UPDATE request_logs SET latency_us = 1099511627776 WHERE latency_us > 1099511627776",
        )
        .await?;
        db.execute_unprepared(
            "CREATE INDEX ix_request_logs_ended_id ON request_logs ((started_us + latency_us), id)",
        )
        .await?;
        Ok(())
    }
}
