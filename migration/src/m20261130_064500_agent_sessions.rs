//! Sessions of client programs: their sums, and those of their agents and models.

use sea_orm_migration::{prelude::*, schema::*};

/// Makes these tables, and fills them from the log entries that there are.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut sessions = Table::create()
            .table("agent_sessions")
            .col(big_integer("id").primary_key())
            .col(big_integer("owner_id"))
            .col(text("session"))
            .col(text_null("parent_session"))
            .col(big_integer("service_key_id"))
            .col(text_null("client_program"))
            .col(text_null("client_version"))
            .to_owned();
        let mut parts = Table::create()
            .table("agent_session_parts")
            .col(big_integer("owner_id"))
            .col(text("session"))
            .col(text("agent"))
            .col(text("model"))
            .col(text_null("parent_agent"))
            .primary_key(Index::create().col("owner_id").col("session").col("agent").col("model"))
            .to_owned();
        for sum in SUMS {
            sessions.col(big_integer(sum));
            parts.col(big_integer(sum));
        }
        sessions.col(big_integer("turns"));
        manager.create_table(sessions).await?;
        manager.create_table(parts).await?;
        for columns in [
            &["last_us", "id"][..],
            &["owner_id", "last_us", "id"],
            &["owner_id", "parent_session"],
        ] {
            manager.create_index(index("agent_sessions", columns)).await?;
        }
        let mut only = index("agent_sessions", &["owner_id", "session"]);
        only.name("uq_agent_sessions_owner_id_session").unique();
        manager.create_index(only).await?;
        manager.create_index(index("agent_session_parts", &["last_us"])).await?;
        for sql in [FILL_SESSIONS, FILL_PARTS, FILL_COUNTER] {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

/// An index over `columns`, named after them.
fn index(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("ix_{table}_{}", columns.join("_"))).table(table);
    for column in columns {
        index.col(*column);
    }
    index
}

/// What is summed, in both tables.
const SUMS: [&str; 10] = [
    "first_us",
    "last_us",
    "calls",
    "errors",
    "input_tokens",
    "cached_tokens",
    "cache_written_tokens",
    "output_tokens",
    "cost_nano",
    "unpriced",
];

const FILL_SESSIONS: &str = "INSERT INTO agent_sessions (id, owner_id, session, parent_session, \
    service_key_id, client_program, client_version, first_us, last_us, calls, errors, \
    input_tokens, cached_tokens, cache_written_tokens, output_tokens, cost_nano, unpriced, turns) \
    SELECT ROW_NUMBER() OVER (ORDER BY MIN(started_us)), owner_id, session, MAX(parent_session), \
    MAX(service_key_id), MAX(client_program), MAX(client_version), MIN(started_us), \
    MAX(started_us + latency_us), COUNT(*), SUM(CASE WHEN failed THEN 1 ELSE 0 END), \
    CAST(SUM(input_tokens) AS BIGINT), CAST(SUM(cached_tokens) AS BIGINT), \
    CAST(SUM(cache_written_tokens) AS BIGINT), CAST(SUM(output_tokens) AS BIGINT), \
    CAST(SUM(COALESCE(cost_nano, 0)) AS BIGINT), \
    SUM(CASE WHEN cost_nano IS NULL AND input_tokens + output_tokens > 0 THEN 1 ELSE 0 END), \
    SUM(CASE WHEN agent IS NULL AND outcome = 'completed' AND status < 400 THEN 1 ELSE 0 END) \
    FROM request_logs WHERE session IS NOT NULL GROUP BY owner_id, session";

const FILL_PARTS: &str = "INSERT INTO agent_session_parts (owner_id, session, agent, model, \
    parent_agent, first_us, last_us, calls, errors, input_tokens, cached_tokens, \
    cache_written_tokens, output_tokens, cost_nano, unpriced) \
    SELECT owner_id, session, COALESCE(agent, ''), COALESCE(model_used, model_asked, ''), \
    MAX(parent_agent), MIN(started_us), MAX(started_us + latency_us), COUNT(*), \
    SUM(CASE WHEN failed THEN 1 ELSE 0 END), \
    CAST(SUM(input_tokens) AS BIGINT), CAST(SUM(cached_tokens) AS BIGINT), \
    CAST(SUM(cache_written_tokens) AS BIGINT), CAST(SUM(output_tokens) AS BIGINT), \
    CAST(SUM(COALESCE(cost_nano, 0)) AS BIGINT), \
    SUM(CASE WHEN cost_nano IS NULL AND input_tokens + output_tokens > 0 THEN 1 ELSE 0 END) \
    FROM request_logs WHERE session IS NOT NULL \
    GROUP BY owner_id, session, COALESCE(agent, ''), COALESCE(model_used, model_asked, '')";

const FILL_COUNTER: &str = "INSERT INTO id_counters (name, last) \
    SELECT 'agent_sessions', MAX(id) FROM agent_sessions HAVING MAX(id) IS NOT NULL";
