//! How configuration changes: the revision, ids, tombstones, the audit trail.

use sea_orm_migration::{prelude::*, schema::*};

use crate::index;

/// Makes these tables.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(revision()).await?;
        manager.create_table(id_counters()).await?;
        manager.create_table(tombstones()).await?;
        manager.create_index(index("tombstones", &["revision"])).await?;
        manager.create_table(audit()).await?;
        manager.create_index(index("audit", &["subject", "subject_id"])).await?;
        manager.create_table(master_key_check()).await?;
        // The one row of its kind; opening a change locks and raises it.
        let mut first = Query::insert();
        first.into_table("revision").columns(["id", "revision"]).values_panic([1.into(), 0.into()]);
        manager.execute(first.to_owned()).await
    }
}

fn revision() -> TableCreateStatement {
    Table::create()
        .table("revision")
        .col(big_integer("id").primary_key())
        .col(big_integer("revision"))
        .to_owned()
}

fn id_counters() -> TableCreateStatement {
    Table::create()
        .table("id_counters")
        .col(text("name").primary_key())
        .col(big_integer("last"))
        .to_owned()
}

fn tombstones() -> TableCreateStatement {
    Table::create()
        .table("tombstones")
        .col(text("kind"))
        .col(big_integer("id"))
        .col(big_integer("revision"))
        .primary_key(Index::create().col("kind").col("id"))
        .to_owned()
}

fn audit() -> TableCreateStatement {
    Table::create()
        .table("audit")
        .col(big_integer("id").primary_key())
        .col(big_integer("at_us"))
        .col(big_integer_null("user_id"))
        .col(text("actor"))
        .col(text_null("ip"))
        .col(text("action"))
        .col(text("subject"))
        .col(big_integer_null("subject_id"))
        .col(text("detail"))
        .col(blob("link"))
        .to_owned()
}

fn master_key_check() -> TableCreateStatement {
    Table::create()
        .table("master_key_check")
        .col(big_integer("id").primary_key())
        .col(text("sealed"))
        .to_owned()
}
