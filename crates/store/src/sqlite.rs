//! An SQLite file: opened in one way only, and checked to be what it should be.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, SqlxSqliteConnector, Statement,
    sqlx::{
        self, ConnectOptions, Connection, Row,
        sqlite::{
            SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode,
            SqlitePoolOptions, SqliteSynchronous,
        },
    },
};
use tracing::{error, info, warn};

use crate::{Result, Settings, StoreError, link::Link};

/// Older libraries can damage a file when its write-ahead log is reset.
const OLDEST: (u32, u32, u32) = (3, 51, 3);
/// Past this size what grows with the calls is not checked: it would keep the disk busy for long.
const CHECKED_UP_TO: u64 = 4 << 30;
/// Tables that grow with the calls. After a crash they are checked while calls are served, so that
/// the start takes as long after a year as on the first day.
const GROWING: [&str; 12] = [
    "request_logs",
    "recorded_bodies",
    "usage_rollups",
    "latency_rollups",
    "rollup_labels",
    "key_transitions",
    "rule_triggers",
    "alerts",
    "audit",
    "stored_objects",
    "task_runs",
    "tombstones",
];
const PAGE: u64 = 4096;
/// Most memory for pages of the connection that writes: 16 MiB, in negative KiB.
const WRITER_CACHE: &str = "-16384";
/// Rows that wait for who reads them; each time the queue was empty costs two threads a switch.
const ROWS: usize = 1000;

/// The file that `url` names; none when it is PostgreSQL's.
pub(crate) fn file_of(url: &str) -> Result<Option<PathBuf>> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(None);
    }
    let path = url.strip_prefix("sqlite:").map_or(url, |rest| rest.trim_start_matches("//"));
    let path = path.split('?').next().unwrap_or_default();
    // `sqlite:///absolute` loses all its slashes above; one belongs to the path.
    let rooted =
        url.starts_with("sqlite:/") && url.trim_start_matches("sqlite:").starts_with("///");
    let path = if rooted { format!("/{}", path.trim_start_matches('/')) } else { path.to_owned() };
    if path.is_empty() || path == ":memory:" || path.contains("://") {
        return Err(StoreError::Unusable(
            "the address must be sqlite:// with a file, or postgres://".into(),
        ));
    }
    Ok(Some(path.into()))
}

/// Opens the writer and the readers.
pub(crate) async fn connect(
    settings: &Settings,
    file: &Path,
    create: bool,
) -> Result<(Link, Link)> {
    if create {
        make(file)?;
    }
    let unclean = has_log(file);
    let options = options(settings, file);
    let patience = settings.patience;
    // Many rows of one change fit into the memory of the writer, so that their pages are written once.
    let mut writing =
        options.clone().pragma("cache_size", WRITER_CACHE).pragma("temp_store", "MEMORY");
    if fs::metadata(file).is_ok_and(|meta| meta.len() == 0) {
        // Only a file that holds nothing yet heeds this, and saying it takes the lock of a writer.
        writing = writing.auto_vacuum(SqliteAutoVacuum::Incremental);
    }
    let write = pool(1, patience).connect_with(writing).await.map_err(unusable)?;
    if unclean {
        check(&write, file).await?;
    }
    let read = pool(settings.max_connections.max(1), patience)
        .connect_with(options.pragma("query_only", "ON"))
        .await
        .map_err(unusable)?;
    if unclean {
        tokio::spawn(check_growing(read.clone(), file.to_owned()));
    }
    let link = |pool| Link::embedded(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool));
    Ok((link(write), link(read)))
}

/// Empties the write-ahead log into the file, so that the file alone holds everything. False where
/// another process reads from the log.
pub(crate) async fn checkpoint(writer: &Link) -> Result<bool> {
    let backend = writer.get_database_backend();
    let statement = Statement::from_string(backend, "PRAGMA wal_checkpoint(TRUNCATE)");
    let row = writer.query_one_raw(statement).await?;
    let busy: Option<i32> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(busy == Some(0))
}

fn options(settings: &Settings, file: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .busy_timeout(settings.patience)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("mmap_size", "0")
        .pragma("trusted_schema", "OFF")
        .pragma("journal_size_limit", "67108864")
        .row_buffer_size(ROWS)
        .disable_statement_logging();
    match settings.max_size {
        Some(bytes) => options.pragma("max_page_count", (bytes / PAGE).max(1).to_string()),
        None => options,
    }
}

fn pool(connections: u32, patience: Duration) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|connection, _| Box::pin(verify(connection)))
        .before_acquire(|connection, _| Box::pin(at_rest(connection)))
}

/// Whether a connection may be used again. After a commit that failed, by an error of the disk,
/// it counts a transaction that SQLite has ended by itself: those that follow would only seem to
/// be committed. Such a connection is closed and another takes its place.
async fn at_rest(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A rollback that was left to be done is done before the ping.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Makes an empty file that only we may read, where there is none.
fn make(file: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(_) => {
            info!(file = %file.display(), "made a new database");
            Ok(())
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(StoreError::Unusable(format!("{} cannot be made: {e}", file.display()))),
    }
}

/// What was asked for is not always what is: on some file systems there is no write-ahead log.
async fn verify(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let row = sqlx::query("SELECT sqlite_version()").fetch_one(&mut *connection).await?;
    let version: String = row.try_get(0)?;
    if parse(&version) < OLDEST {
        return refuse(format!("SQLite {version} can damage files; 3.51.3 or newer is needed"));
    }
    for (pragma, wanted) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
        let statement = sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"));
        let row = sqlx::query(statement).fetch_one(&mut *connection).await?;
        let value: String = row.try_get_unchecked(0)?;
        if value != wanted {
            return refuse(format!("its {pragma} stays `{value}` instead of `{wanted}`"));
        }
    }
    Ok(())
}

fn refuse<T>(words: String) -> Result<T, sqlx::Error> {
    Err(sqlx::Error::Configuration(words.into()))
}

fn parse(version: &str) -> (u32, u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

/// After an end that was not in order the configuration is checked before anything is written.
async fn check(writer: &sqlx::SqlitePool, file: &Path) -> Result<()> {
    info!("the database is still open elsewhere, or its last end was not in order; checking it");
    let rows = sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table'");
    let rows = rows.fetch_all(writer).await.map_err(unusable)?;
    for row in rows {
        let table: String = row.try_get(0)?;
        if GROWING.contains(&table.as_str()) || table.starts_with("sqlite_") {
            continue;
        }
        if let Some(found) = damage(writer, &table).await? {
            let file = file.display();
            let words = format!("{file} is damaged and was left as it is: {found}");
            return Err(StoreError::Unusable(words));
        }
    }
    Ok(())
}

/// Checks what grows with the calls. Reports damage and does nothing about it: what can be read
/// still is, and a restored backup takes effect without a restart.
async fn check_growing(reader: sqlx::SqlitePool, file: PathBuf) {
    let size = fs::metadata(&file).map_or(0, |meta| meta.len());
    if size > CHECKED_UP_TO {
        warn!(size, "the last end was not in order; the log is too large to be checked");
        return;
    }
    for table in GROWING {
        match damage(&reader, table).await {
            Ok(None) => {}
            Ok(Some(found)) => {
                let file = file.display();
                error!("{file} is damaged in the table {table}: {found}; restore a backup");
            }
            // It was closed or replaced meanwhile, or is not there yet.
            Err(_) => return,
        }
    }
}

/// What is wrong with a table and its indexes, if anything is.
async fn damage(pool: &sqlx::SqlitePool, table: &str) -> Result<Option<String>> {
    let statement = sqlx::AssertSqlSafe(format!("PRAGMA quick_check(\"{table}\")"));
    let row = match sqlx::query(statement).fetch_one(pool).await {
        Ok(row) => row,
        // Damage that keeps the check itself from going on.
        Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("11") => {
            return Ok(Some(e.message().to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let found: String = row.try_get(0)?;
    Ok((found != "ok").then_some(found))
}

/// At opening, a file that is no database is not something to wait for.
fn unusable(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(e) if matches!(e.code().as_deref(), Some("26" | "11")) => {
            StoreError::Unusable(e.message().to_owned())
        }
        _ => error.into(),
    }
}

/// Locks a file beside the database until it is dropped, if no other process has.
pub(crate) fn lock(file: &Path, suffix: &str) -> Result<fs::File> {
    let path = beside(file, suffix);
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let lock = made
        .map_err(|e| StoreError::Unavailable(format!("{} cannot be made: {e}", path.display())))?;
    let locked = lock.try_lock().map(|()| lock);
    locked.map_err(|_| StoreError::Unavailable(format!("{} is locked", path.display())))
}

/// Device and inode of a file.
pub(crate) fn identity(file: &Path) -> Option<(u64, u64)> {
    fs::metadata(file).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// The same of the write-ahead log of a database.
pub(crate) fn log_identity(file: &Path) -> Option<(u64, u64)> {
    identity(&beside(file, "-wal"))
}

/// Takes a write-ahead log and its index away.
pub(crate) fn remove_log(file: &Path) -> Result<()> {
    for suffix in ["-wal", "-shm"] {
        match fs::remove_file(beside(file, suffix)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Unavailable(format!("an old log stays: {e}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether there is a write-ahead log that was not emptied into the file.
fn has_log(file: &Path) -> bool {
    fs::metadata(beside(file, "-wal")).is_ok_and(|wal| wal.len() > 0)
}

/// The path of a file that stands beside the database.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_file_or_postgresql() {
        for (url, file) in [
            ("sqlite:///var/lib/tollgate.db", Some("/var/lib/tollgate.db")),
            ("sqlite://tollgate.db?mode=rwc", Some("tollgate.db")),
            ("sqlite:tollgate.db", Some("tollgate.db")),
            ("/var/lib/tollgate.db", Some("/var/lib/tollgate.db")),
            ("postgres://u@h/d", None),
            ("postgresql://u@h/d", None),
        ] {
            assert_eq!(file_of(url).unwrap(), file.map(PathBuf::from), "{url}");
        }
        for url in ["", "sqlite::memory:", "mysql://u@h/d"] {
            assert!(file_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(parse("3.51.3") >= OLDEST);
        assert!(parse("3.100.0") > OLDEST);
        assert!(parse("3.9.9") < OLDEST);
    }
}
