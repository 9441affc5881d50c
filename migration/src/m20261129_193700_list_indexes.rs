//! Indexes for what lists are filtered and sorted by, so that no list walks all rows.

use sea_orm_migration::prelude::*;

use crate::index;

/// Makes the indexes.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let of_keys: [&[&str]; 7] = [
            &["fingerprint"],
            &["owner_id", "id"],
            &["state", "id"],
            &["upstream_id", "state", "id"],
            &["quota_group", "id"],
            &["name", "id"],
            &["updated_us", "id"],
        ];
        for columns in of_keys {
            manager.create_index(index("provider_keys", columns)).await?;
        }
        for columns in [["name", "id"], ["updated_us", "id"]] {
            manager.create_index(index("service_keys", &columns)).await?;
        }
        manager.create_index(index("key_standings", &["state", "until_us"])).await?;
        // Failed calls are few among many: only they are in these.
        let db = manager.get_connection();
        db.execute_unprepared(
            "CREATE INDEX ix_request_logs_failed_started ON request_logs (started_us, id) \
             WHERE failed",
        )
        .await?;
        db.execute_unprepared(
            "CREATE INDEX ix_request_logs_failed_arrival ON request_logs (arrival, id) WHERE failed",
        )
        .await?;
        Ok(())
    }
}
