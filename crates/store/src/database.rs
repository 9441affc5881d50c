//! The connections: one writer and some readers of an SQLite file, or a pool of PostgreSQL.
//!
//! SQLite allows one writer at a time. Ours is a pool of one connection whose transactions begin
//! with `BEGIN IMMEDIATE`: writers of this process queue for it and never meet in the file, and
//! another process is waited for. So "database is locked" cannot happen short of a process that
//! keeps its lock for longer than we are patient.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use migration::{Migrator, MigratorTrait};
use parking_lot::RwLock;
use sea_orm::{ConnectionTrait, DbBackend};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::{
    Result, Settings, StoreError,
    bulk::Bulk,
    link::{Link, Transaction},
    postgres,
    sqlite::{self, identity},
};

/// The open database. When its file is replaced (a backup was restored), it is opened anew.
#[derive(Debug)]
pub(crate) struct Database {
    settings: Settings,
    /// Where the file is; none for PostgreSQL.
    file: Option<PathBuf>,
    pools: RwLock<Arc<Pools>>,
    reopening: tokio::sync::Mutex<()>,
    generation: AtomicU64,
}

#[derive(Debug, Clone)]
pub(crate) struct Pools {
    pub(crate) write: Link,
    pub(crate) read: Link,
    /// Device and inode of the file that was opened; none once it was closed.
    identity: Option<(u64, u64)>,
    /// The same of its write-ahead log.
    log: Option<(u64, u64)>,
}

impl Database {
    pub(crate) async fn open(settings: Settings) -> Result<Self> {
        let file = sqlite::file_of(&settings.url)?;
        let pools = connect(&settings, file.as_ref(), true).await?;
        Ok(Self {
            settings,
            file,
            pools: RwLock::new(Arc::new(pools)),
            reopening: tokio::sync::Mutex::new(()),
            generation: AtomicU64::new(0),
        })
    }

    /// Grows when the file was replaced: nothing that was read before holds any longer.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// The connections, opened anew if the file is another than before.
    pub(crate) async fn pools(&self) -> Result<Arc<Pools>> {
        let pools = self.pools.read().clone();
        let Some(file) = &self.file else { return Ok(pools) };
        match identity(file) {
            Some(now) if Some(now) == pools.identity => Ok(pools),
            Some(_) => self.reopen(file).await,
            None => Err(StoreError::Unavailable("the database file is gone".into())),
        }
    }

    async fn reopen(&self, file: &PathBuf) -> Result<Arc<Pools>> {
        let _one = self.reopening.lock().await;
        let old = self.pools.read().clone();
        if identity(file) == old.identity {
            return Ok(old);
        }
        warn!("the database file was replaced, opening it anew");
        let _one_process = sqlite::lock(file, ".reopening")?;
        if timeout(self.settings.patience, old.shut()).await.is_err() {
            return Err(StoreError::Unavailable("the old database file is still in use".into()));
        }
        let closed = Pools { identity: None, ..Pools::clone(&old) };
        *self.pools.write() = Arc::new(closed);
        // SQLite leaves the log of a file that is no longer there. Opened beside another file it
        // would be played into that one.
        if let Some(log) = old.log.filter(|log| Some(*log) == sqlite::log_identity(file)) {
            warn!(inode = log.1, "removing the write-ahead log of the file before");
            sqlite::remove_log(file)?;
        }
        let pools = match connect(&self.settings, Some(file), false).await {
            Ok(pools) => Arc::new(pools),
            Err(StoreError::Unusable(why)) => return Err(StoreError::Unavailable(why)),
            Err(other) => return Err(other),
        };
        *self.pools.write() = pools.clone();
        self.generation.fetch_add(1, Ordering::Release);
        Ok(pools)
    }

    /// A connection for single reading statements.
    pub(crate) async fn reader(&self) -> Result<Link> {
        Ok(self.pools().await?.read.clone())
    }

    /// The connection for single statements that are no part of a transaction.
    pub(crate) async fn writer(&self) -> Result<Link> {
        Ok(self.pools().await?.write.clone())
    }

    /// A reading transaction: all its statements see the same moment.
    pub(crate) async fn read(&self) -> Result<Transaction> {
        self.reader().await?.read().await
    }

    /// A writing transaction.
    pub(crate) async fn write(&self) -> Result<Transaction> {
        self.pools().await?.write.write().await
    }

    /// A writing transaction of statements that are built by hand.
    pub(crate) async fn bulk(&self) -> Result<Bulk> {
        self.pools().await?.write.bulk().await
    }

    /// A writing transaction that waits until no other process is opening this database.
    pub(crate) async fn opening(&self) -> Result<Transaction> {
        let tx = self.pools().await?.write.write_patiently().await?;
        alone(&tx).await?;
        Ok(tx)
    }

    /// Empties the write-ahead log into the file and closes all connections. A process that holds
    /// a connection for longer than our patience leaves the log behind.
    pub(crate) async fn close(&self) {
        let pools = self.pools.read().clone();
        pools.close(self.settings.patience).await;
    }
}

impl Pools {
    /// Closes connections to a file that is no longer there.
    async fn shut(&self) {
        for connections in [&self.read, &self.write] {
            if let Err(error) = connections.raw().close_by_ref().await {
                warn!(%error, "a database connection did not close in order");
            }
        }
    }

    /// Readers first: the log can be emptied into the file only when nobody reads from it.
    async fn close(&self, patience: Duration) {
        close(&self.read, patience).await;
        if self.identity.is_some() {
            match timeout(patience, sqlite::checkpoint(&self.write)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    info!("another process has the database open and keeps its write-ahead log");
                }
                Ok(Err(error)) => warn!(%error, "the write-ahead log stays beside the database"),
                Err(_) => warn!("the write-ahead log stays beside the database: it is in use"),
            }
        }
        close(&self.write, patience).await;
    }
}

async fn close(connections: &Link, patience: Duration) {
    match timeout(patience, connections.raw().close_by_ref()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "a database connection did not close in order"),
        Err(_) => warn!("a database connection is still in use and was not closed in order"),
    }
}

async fn connect(settings: &Settings, file: Option<&PathBuf>, create: bool) -> Result<Pools> {
    let (write, read) = match file {
        Some(path) => sqlite::connect(settings, path, create).await?,
        None => {
            let pool = postgres::connect(settings).await?;
            (pool.clone(), pool)
        }
    };
    let (identity, log) = match file {
        Some(path) => (identity(path), sqlite::log_identity(path)),
        None => (None, None),
    };
    let pools = Pools { write, read, identity, log };
    match migrate(&pools.write, settings.allow_newer).await {
        Ok(()) => Ok(pools),
        Err(error) => {
            pools.close(settings.patience).await;
            Err(error)
        }
    }
}

/// Brings the tables up to date, all of it or nothing. Of several processes that start at once,
/// one does it and the others wait.
async fn migrate(writer: &Link, allow_newer: bool) -> Result<()> {
    let tx = writer.write_patiently().await?;
    alone(&tx).await?;
    let newer = newer(&tx).await?;
    if let Some(newest) = newer.last() {
        // Migrations only add, so what this program knows is there; but rows of the newer one may
        // mean what this one does not understand.
        if !allow_newer {
            return Err(StoreError::Unusable(format!(
                "a newer version of this program has changed its tables ({newest}); use that \
                 version, or set database.allow_newer to go on with this one"
            )));
        }
        warn!(newest, "the database was used by a newer version of this program");
        return tx.rollback().await;
    }
    let pending = Migrator::get_pending_migrations(&tx).await?.len();
    if pending > 0 {
        Migrator::up(tx.raw(), None).await?;
        info!(pending, "brought the tables of the database up to date");
    }
    tx.commit().await
}

/// The migrations that a database has and this program does not know, oldest first.
pub(crate) async fn newer(db: &impl ConnectionTrait) -> Result<Vec<String>> {
    let known = Migrator::migrations();
    let applied = Migrator::get_migration_models(db).await?;
    let unknown = applied.into_iter().map(|row| row.version);
    Ok(unknown.filter(|name| known.iter().all(|m| m.name() != name)).collect())
}

/// Waits until no other process is opening this database. SQLite has one writer anyway.
async fn alone(tx: &Transaction) -> Result<()> {
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
        tx.execute_unprepared("SET LOCAL lock_timeout = 0").await?;
        tx.execute_unprepared("SELECT pg_advisory_xact_lock(7305412096214721)").await?;
    }
    Ok(())
}
