//! What is only kept for a time: taken away in small batches, so that nobody waits for it, and the
//! room given back. How long things are kept is not known here.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TryGetable, Value};

use crate::{Aged, Grain, LogSize, Result, Store, statistics::Breakdown, uncount};

/// Buckets of roll-ups that are taken away at a time.
const BUCKETS: i64 = 10;
/// Bytes of a log entry that are not text of varying length, indexes included.
const ENTRY_FIXED: u64 = 900;
/// Pages of an SQLite file that are given back at a time.
const PAGES: u32 = 2000;

impl Store {
    /// Takes away at most `most` of what is older than `before`, the oldest first; returns how
    /// many.
    pub async fn delete_old(&self, kind: Aged, before: DateTime<Utc>, most: u64) -> Result<u64> {
        let Table { name, key, at, only } = table(kind);
        let sql = format!(
            "DELETE FROM {name} WHERE ({key}) IN (SELECT {key} FROM {name} WHERE {at} < $1 \
             AND {only} ORDER BY {at} LIMIT $2)"
        );
        self.delete_rows(&sql, vec![before.timestamp_micros().into(), crate::count(most).into()])
            .await
    }

    /// Takes away the oldest `most`, however old; returns how many.
    pub async fn delete_oldest(&self, kind: Aged, most: u64) -> Result<u64> {
        self.delete_old(kind, DateTime::<Utc>::MAX_UTC, most).await
    }

    /// How much room log entries and bodies take, about: the text of the newest entries stands for
    /// all. What a database holds on the disk says nothing, as it keeps what was deleted for what
    /// is to come.
    pub async fn log_size(&self) -> Result<LogSize> {
        let text = "SELECT COALESCE(CAST(AVG(LENGTH(attempts) + LENGTH(decision) + LENGTH(path) \
                    + LENGTH(request_id) + COALESCE(LENGTH(error), 0)) AS BIGINT), 0) FROM \
                    (SELECT * FROM request_logs ORDER BY started_us DESC LIMIT 1000) AS newest";
        let bytes = "SELECT CAST(COALESCE(SUM(LENGTH(bytes)), 0) AS BIGINT) FROM recorded_bodies";
        Ok(LogSize {
            entries: uncount(self.single("SELECT COUNT(*) FROM request_logs").await?),
            entry_bytes: ENTRY_FIXED + uncount(self.single(text).await?),
            bodies: uncount(self.single("SELECT COUNT(*) FROM recorded_bodies").await?),
            body_bytes: uncount(self.single(bytes).await?),
        })
    }

    /// Gives the room of what was deleted back to the disk, a part at a time; true while there is
    /// more. PostgreSQL does so by itself; so does not an SQLite file from before it could.
    pub async fn give_back(&self) -> Result<bool> {
        let writer = self.0.db.writer().await?;
        if writer.get_database_backend() != DbBackend::Sqlite {
            return Ok(false);
        }
        const INCREMENTAL: i64 = 2;
        if self.single::<i64>("SELECT auto_vacuum FROM pragma_auto_vacuum").await? != INCREMENTAL {
            writer.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await?;
            return Ok(false);
        }
        // The statement frees a page each time it is stepped, so it is run to its end.
        let sql = format!("PRAGMA incremental_vacuum({PAGES})");
        writer.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        let free = "SELECT freelist_count FROM pragma_freelist_count";
        let more = self.single::<i64>(free).await? > 0;
        if !more {
            writer.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await?;
        }
        Ok(more)
    }

    /// Takes away the roll-ups of a grain from before the day of `before`; true while there is
    /// more. Those of longer buckets say the same, so that nothing that was used is forgotten;
    /// days are never taken away.
    pub async fn trim_rollups(&self, grain: Grain, before: DateTime<Utc>) -> Result<bool> {
        if grain == Grain::Day {
            return Ok(false);
        }
        let before = Grain::Day.floor(before.timestamp_micros());
        let tx = self.0.db.write().await?;
        let backend = tx.get_database_backend();
        let code = grain.code();
        let run = async |sql: String, values: Vec<Value>| {
            tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await
        };
        // Whoever asks from now on does not look for them.
        let floor = format!(
            "INSERT INTO rollup_floors (grain, from_us) VALUES ({code}, $1) ON CONFLICT (grain) \
             DO UPDATE SET from_us = excluded.from_us WHERE rollup_floors.from_us < excluded.from_us"
        );
        run(floor, vec![before.into()]).await?;
        let mut gone = 0;
        for table in ["usage_rollups", "latency_rollups"] {
            for breakdown in Breakdown::ALL.map(Breakdown::code) {
                let first = format!(
                    "SELECT MIN(bucket_us) FROM {table} WHERE grain = {code} \
                     AND breakdown = {breakdown}"
                );
                let first = Statement::from_string(backend, first);
                let first = tx.query_one_raw(first).await?;
                let first = first.map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose()?;
                let Some(first) = first.flatten().filter(|first| *first < before) else { continue };
                let sql = format!(
                    "DELETE FROM {table} WHERE grain = {code} AND breakdown = {breakdown} \
                     AND bucket_us >= $1 AND bucket_us < $2"
                );
                let to = first.saturating_add(grain.us() * BUCKETS).min(before);
                gone += run(sql, vec![first.into(), to.into()]).await?.rows_affected();
            }
        }
        if grain == Grain::Minute {
            let labels = "DELETE FROM rollup_labels WHERE day_us < $1".to_owned();
            run(labels, vec![before.into()]).await?;
        }
        tx.commit().await?;
        Ok(gone > 0)
    }

    pub(crate) async fn delete_rows(&self, sql: &str, values: Vec<Value>) -> Result<u64> {
        let tx = self.0.db.write().await?;
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let deleted = tx.execute_raw(statement).await?.rows_affected();
        tx.commit().await?;
        Ok(deleted)
    }

    /// The one value that a question has for an answer.
    async fn single<T: TryGetable + Default>(&self, sql: &str) -> Result<T> {
        let db = self.0.db.reader().await?;
        let statement = Statement::from_string(db.get_database_backend(), sql);
        let row = db.query_one_raw(statement).await?;
        Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
    }
}

/// Where a kind of thing lies, and since when.
struct Table {
    name: &'static str,
    key: &'static str,
    at: &'static str,
    /// Which rows may go.
    only: &'static str,
}

fn table(kind: Aged) -> Table {
    let (name, key, at, only) = match kind {
        Aged::LogEntries => ("request_logs", "id", "started_us", "1 = 1"),
        Aged::Bodies => ("recorded_bodies", "log_id, answer", "stored_us", "1 = 1"),
        Aged::Transitions => ("key_transitions", "id", "at_us", "1 = 1"),
        Aged::Triggers => ("rule_triggers", "id", "at_us", "1 = 1"),
        Aged::Alerts => ("alerts", "id", "resolved_us", "state = 'resolved'"),
        Aged::Standings => ("key_standings", "key_id, model", "since_us", "state = 'active'"),
        Aged::History => ("history", "kind, id, revision", "at_us", "1 = 1"),
        Aged::AgentSessions => ("agent_sessions", "id", "last_us", "1 = 1"),
        Aged::AgentSessionParts => {
            ("agent_session_parts", "owner_id, session, agent, model", "last_us", "1 = 1")
        }
        Aged::Breakers => ("breakers", "upstream_id, key_id, model", "at_us", "state = 'closed'"),
    };
    Table { name, key, at, only }
}
