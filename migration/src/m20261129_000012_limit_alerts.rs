//! From which part of a budget used people are told.

use sea_orm_migration::{prelude::*, schema::*};

/// Adds this column.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let percent = big_integer_null("alert_percent");
        let table = Table::alter().table("limits").add_column(percent).take();
        manager.alter_table(table).await
    }
}
