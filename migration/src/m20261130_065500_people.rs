//! What people say of themselves, from where they sign in, and roles that administrators define.

use sea_orm_migration::{prelude::*, schema::*};

/// Adds these columns.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// When the roles that are built in are said to have been made, in microseconds since 1970.
const BUILT_IN_US: i64 = 1_795_996_800_000_000;
/// The ids up to this one are those of roles that are built in.
const BUILT_IN_IDS: i64 = 100;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            ("users", text_null("display_name").take()),
            ("users", text_null("language").take()),
            ("sessions", text_null("address").take()),
            ("sessions", text_null("client").take()),
            ("sessions", big_integer("seen_us").default(0).take()),
            ("roles", big_integer("id").default(0).take()),
            ("roles", text("description").default("").take()),
            ("roles", text("data_scope").default("own").take()),
            ("roles", big_integer("created_us").default(BUILT_IN_US).take()),
            ("roles", big_integer("updated_us").default(BUILT_IN_US).take()),
            ("roles", big_integer("revision").default(0).take()),
        ];
        for (table, column) in columns {
            let table = Table::alter().table(table).add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        let mut ids = Query::insert();
        ids.into_table("id_counters").columns(["name", "last"]);
        ids.values_panic(["roles".into(), BUILT_IN_IDS.into()]);
        manager.execute(ids).await
    }
}
