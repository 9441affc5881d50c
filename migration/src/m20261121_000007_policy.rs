//! How the pool of an upstream is used: one column, as it is read as a whole or not at all. What a
//! stored policy does not say has its default.

use sea_orm_migration::{prelude::*, schema::*};

/// Adds the column.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let policy = text("policy").default("{}").take();
        manager.alter_table(Table::alter().table("upstreams").add_column(policy).take()).await
    }
}
