//! What resources were like after each change.

use sea_orm_migration::{prelude::*, schema::*};

/// Makes this table.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("history")
            .col(text("kind"))
            .col(big_integer("id"))
            .col(big_integer("revision"))
            .col(big_integer("at_us"))
            .col(text("actor"))
            .col(text("action"))
            .col(text_null("columns"))
            .primary_key(Index::create().col("kind").col("id").col("revision"))
            .to_owned();
        manager.create_table(table).await?;
        let mut by_age = Index::create();
        by_age.name("ix_history_at_us").table("history").col("at_us");
        manager.create_index(by_age).await
    }
}
