//! What upstreams and keys were called when they were last used: statistics outlive them.

use sea_orm_migration::{prelude::*, schema::*};

/// Makes this table.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("statistics_names")
            .col(text("kind"))
            .col(big_integer("id"))
            .col(text("name"))
            .primary_key(Index::create().col("kind").col("id"))
            .to_owned();
        manager.create_table(table).await?;
        let db = manager.get_connection();
        for kind in ["upstream", "provider_key", "service_key"] {
            let sql = format!(
                "INSERT INTO statistics_names (kind, id, name) SELECT '{kind}', id, name FROM {kind}s"
            );
            db.execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}
