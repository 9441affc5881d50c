//! What a log entry says about the client, the provider's answer and the price.

use sea_orm_migration::{prelude::*, schema::*};

/// Adds these columns, and indexes for the two that calls are looked up by.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            text_null("session"),
            text_null("parent_session"),
            text_null("agent"),
            text_null("parent_agent"),
            text_null("client_program"),
            text_null("client_version"),
            text_null("model_served"),
            text_null("service_tier"),
            text_null("provider_request_id"),
            text_null("usage_reported"),
            big_integer_null("price_version"),
            big_integer_null("characters"),
            big_integer_null("images"),
            big_integer_null("duration_ms"),
        ];
        // SQLite adds one column in a statement.
        for column in columns {
            let table = Table::alter().table("request_logs").add_column(column).take();
            manager.alter_table(table).await?;
        }
        // Most entries of most users have no session: the index holds only those that have one.
        for columns in [&["session", "started_us"][..], &["provider_request_id"]] {
            let mut index = crate::index("request_logs", columns);
            manager
                .create_index(index.and_where(Expr::col(columns[0]).is_not_null()).take())
                .await?;
        }
        Ok(())
    }
}
