//! What conversion stands on: what is known of models, how an upstream's paths are built, whether
//! a route's calls may be converted. Defaults are what was so before, also for an older program
//! that writes rows without these columns.

use sea_orm_migration::{prelude::*, schema::*};

/// Adds these columns.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            ("upstreams", text_null("preset")),
            ("upstreams", text("paths").default("versioned").take()),
            ("upstreams", text("query").default("[]").take()),
            ("upstreams", text("model_profiles").default("[]").take()),
            ("upstreams", boolean("ask_usage").default(true).take()),
            ("routes", text("conversion").default("allow").take()),
            ("route_targets", text_null("dialect")),
            ("route_targets", text_null("profile")),
        ];
        // SQLite adds one column at a time.
        for (table, column) in columns {
            manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
        }
        Ok(())
    }
}
