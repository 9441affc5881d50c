//! Which key made a file, a batch or a response that a provider keeps.

use sea_orm_migration::{prelude::*, schema::*};

use crate::index;

/// Makes this table.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("stored_objects")
            .col(text("id").primary_key())
            .col(big_integer("upstream_id"))
            .col(big_integer("key_id"))
            .col(big_integer("at_us"))
            .col(text("origin"))
            .col(big_integer("seq"))
            .take();
        manager.create_table(table).await?;
        manager.create_index(index("stored_objects", &["seq"])).await
    }
}
