//! Labels of upstreams and keys.

use sea_orm_migration::{prelude::*, schema::*};

/// Adds this column.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["upstreams", "provider_keys", "service_keys"] {
            let column = text("tags").default("[]").take();
            let table = Table::alter().table(table).add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
