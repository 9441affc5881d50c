//! What the audit trail tells of a row besides, and one row for each change of the configuration.

use sea_orm_migration::{prelude::*, schema::*};

/// Adds these columns and this table.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            text_null("name"),
            text_null("result"),
            text_null("comment"),
            big_integer_null("revision"),
        ] {
            let table = Table::alter().table("audit").add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        manager.create_table(revisions()).await?;
        for (table, column) in [
            ("audit", "at_us"),
            ("audit", "user_id"),
            ("audit", "action"),
            ("revisions", "at_us"),
            ("history", "revision"),
        ] {
            let mut index = Index::create();
            index.name(format!("ix_{table}_{column}")).table(table).col(column);
            manager.create_index(index).await?;
        }
        // Of changes before there was this table, the versions that they left say what is known.
        let sql = "INSERT INTO revisions (revision, at_us, actor, action, objects) \
                   SELECT revision, MAX(at_us), MAX(actor), MAX(action), COUNT(*) \
                   FROM history GROUP BY revision";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}

fn revisions() -> TableCreateStatement {
    Table::create()
        .table("revisions")
        .col(big_integer("revision").primary_key())
        .col(big_integer("at_us"))
        .col(big_integer_null("user_id"))
        .col(text("actor"))
        .col(text_null("ip"))
        .col(text("action"))
        .col(text_null("kind"))
        .col(big_integer_null("object_id"))
        .col(text_null("name"))
        .col(text_null("comment"))
        .col(big_integer("objects"))
        .to_owned()
}
