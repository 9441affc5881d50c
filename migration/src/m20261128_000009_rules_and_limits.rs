//! Rules that say all that a rule can say, and limits for callers.
//!
//! The table of rules is made anew: no program before this one wrote or read a row of it.

use sea_orm_migration::{prelude::*, schema::*};

use crate::{index, unique};

/// Makes these tables.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("rules").take()).await?;
        manager.create_table(rules()).await?;
        manager.create_index(unique("rules", &["upstream_id", "name"])).await?;
        // What has no upstream is never the same as another in an index over the upstream.
        let of_all = "CREATE UNIQUE INDEX uq_rules_name ON rules (name) WHERE upstream_id IS NULL";
        manager.get_connection().execute_unprepared(of_all).await?;
        manager.create_index(index("rules", &["revision"])).await?;
        manager.create_table(limits()).await?;
        manager.create_index(index("limits", &["revision"])).await?;
        manager.create_index(index("limits", &["scope", "scope_id"])).await?;
        Ok(())
    }
}

fn rules() -> TableCreateStatement {
    Table::create()
        .table("rules")
        .col(big_integer("id").primary_key())
        .col(big_integer_null("upstream_id"))
        .col(big_integer("owner_id"))
        .col(text("name"))
        .col(text("conditions"))
        .col(text_null("threshold"))
        .col(text("actions"))
        .col(big_integer_null("auto_enable_delay_ms"))
        .col(big_integer("cool_down_ms"))
        .col(integer("priority"))
        .col(boolean("stops"))
        .col(boolean("shadow"))
        .col(boolean("enabled"))
        .col(big_integer("version"))
        .col(big_integer("created_us"))
        .col(big_integer("updated_us"))
        .col(big_integer("revision"))
        .foreign_key(
            ForeignKey::create()
                .from("rules", "upstream_id")
                .to("upstreams", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

fn limits() -> TableCreateStatement {
    Table::create()
        .table("limits")
        .col(big_integer("id").primary_key())
        .col(big_integer("owner_id"))
        .col(text("name"))
        .col(text("scope"))
        .col(text_null("scope_id"))
        .col(text("unit"))
        .col(text("algorithm"))
        .col(big_integer("limit_amount"))
        .col(big_integer_null("window_ms"))
        .col(big_integer_null("burst"))
        .col(text_null("period"))
        .col(text_null("timezone"))
        .col(boolean("enabled"))
        .col(big_integer("created_us"))
        .col(big_integer("updated_us"))
        .col(big_integer("revision"))
        .to_owned()
}
