//! Calls with service keys that are not accepted, counted together.

use sea_orm_migration::{prelude::*, schema::*};

use crate::{index, unique};

/// Makes this table.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("refused_keys")
            .col(big_integer("id").primary_key())
            .col(text("address"))
            .col(text("key_id"))
            .col(text("fault"))
            .col(big_integer("count"))
            .col(big_integer("first_us"))
            .col(big_integer("last_us"))
            .to_owned();
        manager.create_table(table).await?;
        manager.create_index(unique("refused_keys", &["address", "key_id", "fault"])).await?;
        manager.create_index(index("refused_keys", &["last_us", "id"])).await
    }
}
