//! Who calls and what for: service keys, routes.

use sea_orm_migration::{prelude::*, schema::*};

use crate::{index, unique};

/// Makes these tables.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(service_keys()).await?;
        manager.create_index(unique("service_keys", &["public_id"])).await?;
        manager.create_index(index("service_keys", &["revision"])).await?;
        manager.create_index(index("service_keys", &["owner_id"])).await?;
        manager.create_table(routes()).await?;
        manager.create_index(unique("routes", &["name"])).await?;
        manager.create_index(index("routes", &["revision"])).await?;
        manager.create_table(route_targets()).await?;
        Ok(())
    }
}

fn service_keys() -> TableCreateStatement {
    Table::create()
        .table("service_keys")
        .col(big_integer("id").primary_key())
        .col(big_integer("owner_id"))
        .col(text("name"))
        .col(text("public_id"))
        .col(blob("digest"))
        .col(text("last_four"))
        .col(boolean("enabled"))
        .col(big_integer_null("expires_us"))
        .col(text("allowed_upstreams"))
        .col(text("allowed_models"))
        .col(big_integer("created_us"))
        .col(big_integer("updated_us"))
        .col(big_integer("revision"))
        .to_owned()
}

fn routes() -> TableCreateStatement {
    Table::create()
        .table("routes")
        .col(big_integer("id").primary_key())
        .col(big_integer("owner_id"))
        .col(text("name"))
        .col(boolean("enabled"))
        .col(big_integer("created_us"))
        .col(big_integer("updated_us"))
        .col(big_integer("revision"))
        .to_owned()
}

fn route_targets() -> TableCreateStatement {
    Table::create()
        .table("route_targets")
        .col(big_integer("route_id"))
        .col(integer("position"))
        .col(big_integer("upstream_id"))
        .col(text_null("model"))
        .col(integer("weight"))
        .col(integer("priority"))
        .primary_key(Index::create().col("route_id").col("position"))
        .foreign_key(
            ForeignKey::create()
                .from("route_targets", "route_id")
                .to("routes", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}
