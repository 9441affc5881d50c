//! Where calls go: upstreams, provider keys, rules.

use sea_orm_migration::{prelude::*, schema::*};

use crate::{index, unique};

/// Makes these tables.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(upstreams()).await?;
        manager.create_index(unique("upstreams", &["name"])).await?;
        manager.create_index(index("upstreams", &["revision"])).await?;
        manager.create_table(provider_keys()).await?;
        manager.create_index(unique("provider_keys", &["upstream_id", "name"])).await?;
        manager.create_index(index("provider_keys", &["revision"])).await?;
        manager.create_index(index("provider_keys", &["upstream_id", "id"])).await?;
        manager.create_table(rules()).await?;
        manager.create_index(unique("rules", &["upstream_id", "name"])).await?;
        manager.create_index(index("rules", &["revision"])).await?;
        Ok(())
    }
}

fn upstreams() -> TableCreateStatement {
    Table::create()
        .table("upstreams")
        .col(big_integer("id").primary_key())
        .col(big_integer("owner_id"))
        .col(text("name"))
        .col(text("provider"))
        .col(text("base_url"))
        .col(text("dialects"))
        .col(text("models"))
        .col(boolean("enabled"))
        .col(text("strategy"))
        .col(integer("retry_count"))
        .col(big_integer("connect_timeout_ms"))
        .col(big_integer("first_byte_timeout_ms"))
        .col(big_integer("idle_timeout_ms"))
        .col(big_integer("total_timeout_ms"))
        .col(text("key_placement"))
        .col(text("header_policy"))
        .col(text("header_rules"))
        .col(boolean("record_bodies"))
        .col(big_integer("created_us"))
        .col(big_integer("updated_us"))
        .col(big_integer("revision"))
        .to_owned()
}

fn provider_keys() -> TableCreateStatement {
    Table::create()
        .table("provider_keys")
        .col(big_integer("id").primary_key())
        .col(big_integer("upstream_id"))
        .col(big_integer("owner_id"))
        .col(text("name"))
        .col(text("secret"))
        .col(text("mask"))
        .col(text("state"))
        .col(integer("weight"))
        .col(boolean("enable_quota"))
        .col(big_integer_null("quota_total"))
        .col(text("note"))
        .col(big_integer("created_us"))
        .col(big_integer("updated_us"))
        .col(big_integer("revision"))
        .foreign_key(
            ForeignKey::create()
                .from("provider_keys", "upstream_id")
                .to("upstreams", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

fn rules() -> TableCreateStatement {
    Table::create()
        .table("rules")
        .col(big_integer("id").primary_key())
        .col(big_integer("upstream_id"))
        .col(big_integer("owner_id"))
        .col(text("name"))
        .col(text("conditions"))
        .col(text("actions"))
        .col(big_integer_null("auto_enable_delay_hours"))
        .col(boolean("enabled"))
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
