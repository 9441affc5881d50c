//! What the running gateway tells: how keys and breakers stand and how they came to, rules that
//! fired, alerts, and the runs of tasks. And what rules and lines add to a log entry.

use sea_orm_migration::{prelude::*, schema::*};

use crate::index;

/// Makes these tables.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(key_standings()).await?;
        manager.create_index(index("key_standings", &["seq"])).await?;
        manager.create_table(key_transitions()).await?;
        manager.create_index(index("key_transitions", &["key_id", "id"])).await?;
        manager.create_index(index("key_transitions", &["at_us"])).await?;
        manager.create_table(breakers()).await?;
        manager.create_index(index("breakers", &["seq"])).await?;
        manager.create_table(rule_triggers()).await?;
        manager.create_index(index("rule_triggers", &["rule_id", "id"])).await?;
        manager.create_index(index("rule_triggers", &["upstream_id", "id"])).await?;
        manager.create_index(index("rule_triggers", &["key_id", "id"])).await?;
        manager.create_index(index("rule_triggers", &["log_id"])).await?;
        manager.create_index(index("rule_triggers", &["at_us"])).await?;
        manager.create_table(alerts()).await?;
        manager.create_index(index("alerts", &["grp", "state"])).await?;
        manager.create_index(index("alerts", &["state", "id"])).await?;
        manager.create_index(index("alerts", &["upstream_id", "id"])).await?;
        manager.create_table(task_runs()).await?;
        manager.create_table(task_state()).await?;
        // SQLite adds one column at a time.
        let tags = text("tags").default("[]").take();
        let waited = big_integer("waited_us").default(0).take();
        for column in [tags, waited] {
            let table = Table::alter().table("request_logs").add_column(column).take();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}

fn key_standings() -> TableCreateStatement {
    Table::create()
        .table("key_standings")
        .col(big_integer("key_id"))
        .col(text("model"))
        .col(big_integer("upstream_id"))
        .col(text("state"))
        .col(big_integer_null("until_us"))
        .col(text("reason"))
        .col(text("evidence"))
        .col(big_integer("since_us"))
        .col(big_integer("strikes"))
        .col(text("origin"))
        .col(big_integer("seq"))
        .primary_key(Index::create().col("key_id").col("model"))
        .to_owned()
}

fn key_transitions() -> TableCreateStatement {
    Table::create()
        .table("key_transitions")
        .col(big_integer("id").primary_key())
        .col(big_integer("key_id"))
        .col(big_integer("upstream_id"))
        .col(text_null("model"))
        .col(text("from_state"))
        .col(text("to_state"))
        .col(big_integer_null("until_us"))
        .col(text("reason"))
        .col(text("evidence"))
        .col(text("actor"))
        .col(big_integer("at_us"))
        .to_owned()
}

fn breakers() -> TableCreateStatement {
    Table::create()
        .table("breakers")
        .col(big_integer("upstream_id"))
        .col(big_integer("key_id"))
        .col(text("model"))
        .col(text("state"))
        .col(big_integer_null("until_us"))
        .col(big_integer("openings"))
        .col(big_integer("at_us"))
        .col(text("words"))
        .col(text("origin"))
        .col(big_integer("seq"))
        .primary_key(Index::create().col("upstream_id").col("key_id").col("model"))
        .to_owned()
}

fn rule_triggers() -> TableCreateStatement {
    Table::create()
        .table("rule_triggers")
        .col(big_integer("id").primary_key())
        .col(big_integer("rule_id"))
        .col(big_integer("rule_version"))
        .col(big_integer("upstream_id"))
        .col(big_integer_null("key_id"))
        .col(text_null("model"))
        .col(uuid("log_id"))
        .col(big_integer("at_us"))
        .col(boolean("shadow"))
        .col(text("actions"))
        .col(big_integer_null("until_us"))
        .col(text("evidence"))
        .to_owned()
}

fn alerts() -> TableCreateStatement {
    Table::create()
        .table("alerts")
        .col(big_integer("id").primary_key())
        .col(text("grp"))
        .col(text("state"))
        .col(text("severity"))
        .col(text("title"))
        .col(text("words"))
        .col(big_integer_null("upstream_id"))
        .col(big_integer_null("key_id"))
        .col(big_integer_null("rule_id"))
        .col(big_integer("count"))
        .col(big_integer("first_us"))
        .col(big_integer("last_us"))
        .col(text_null("acknowledged_by"))
        .col(big_integer_null("acknowledged_us"))
        .col(text_null("resolved_by"))
        .col(big_integer_null("resolved_us"))
        .to_owned()
}

fn task_runs() -> TableCreateStatement {
    Table::create()
        .table("task_runs")
        .col(text("task"))
        .col(big_integer("started_us"))
        .col(big_integer("ended_us"))
        .col(text("result"))
        .col(text("words"))
        .primary_key(Index::create().col("task").col("started_us"))
        .to_owned()
}

fn task_state() -> TableCreateStatement {
    Table::create()
        .table("task_state")
        .col(text("task").primary_key())
        .col(text_null("schedule"))
        .col(text_null("timezone"))
        .col(big_integer_null("next_us"))
        .col(big_integer_null("last_due_us"))
        .col(big_integer_null("requested_us"))
        .col(text_null("holder"))
        .col(big_integer_null("lease_until_us"))
        .to_owned()
}
