//! What a key of a pool may use and with whom it shares, by what a key that is entered twice is
//! recognised, from where a service key is accepted and what it was before it was rotated, how a
//! route chooses among its targets, and which calls it takes by what they are like. Defaults are
//! what was so before.

use sea_orm_migration::{prelude::*, schema::*};

use crate::index;

/// Adds these columns.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            ("provider_keys", text("quotas").default("[]").take()),
            ("provider_keys", text_null("quota_group")),
            ("provider_keys", big_integer_null("cleared_us")),
            ("provider_keys", text_null("fingerprint")),
            ("service_keys", text("access").default("{}").take()),
            ("service_keys", text_null("previous_public_id")),
            ("service_keys", blob_null("previous_digest")),
            ("service_keys", big_integer_null("previous_until_us")),
            ("routes", text("strategy").default("weighted").take()),
            ("routes", text_null("sticky")),
            ("routes", text_null("matching")),
        ];
        // SQLite adds one column at a time.
        for (table, column) in columns {
            manager.alter_table(Table::alter().table(table).add_column(column).take()).await?;
        }
        for columns in [["upstream_id", "fingerprint"], ["upstream_id", "quota_group"]] {
            manager.create_index(index("provider_keys", &columns)).await?;
        }
        Ok(())
    }
}
