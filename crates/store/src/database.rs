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
};

use migration::{Migrator, MigratorTrait};
use parking_lot::RwLock;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    IsolationLevel, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tracing::{info, warn};

use crate::{
    Result, Settings, StoreError, postgres,
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
    pub(crate) write: DatabaseConnection,
    pub(crate) read: DatabaseConnection,
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
        let closing = tokio::time::timeout(self.settings.patience, old.close());
        if closing.await.is_err() {
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
    pub(crate) async fn reader(&self) -> Result<DatabaseConnection> {
        Ok(self.pools().await?.read.clone())
    }

    /// The connection for single statements that are no part of a transaction.
    pub(crate) async fn writer(&self) -> Result<DatabaseConnection> {
        Ok(self.pools().await?.write.clone())
    }

    /// A reading transaction: all its statements see the same moment.
    pub(crate) async fn read(&self) -> Result<DatabaseTransaction> {
        let reader = self.reader().await?;
        let started = match reader.get_database_backend() {
            DbBackend::Sqlite => reader.begin().await,
            _ => {
                let (level, mode) = (IsolationLevel::RepeatableRead, AccessMode::ReadOnly);
                reader.begin_with_config(Some(level), Some(mode)).await
            }
        };
        Ok(started?)
    }

    /// A writing transaction.
    pub(crate) async fn write(&self) -> Result<DatabaseTransaction> {
        begin(&self.pools().await?.write).await
    }

    pub(crate) async fn close(&self) {
        let pools = self.pools.read().clone();
        pools.close().await;
    }
}

impl Pools {
    /// Readers first: the last connection to go empties the write-ahead log into the file, which
    /// only the writer may.
    async fn close(&self) {
        for connection in [&self.read, &self.write] {
            if let Err(error) = connection.close_by_ref().await {
                warn!(%error, "a database connection did not close in order");
            }
        }
    }
}

async fn begin(writer: &DatabaseConnection) -> Result<DatabaseTransaction> {
    let options = TransactionOptions {
        sqlite_transaction_mode: match writer.get_database_backend() {
            DbBackend::Sqlite => Some(SqliteTransactionMode::Immediate),
            _ => None,
        },
        ..TransactionOptions::default()
    };
    Ok(writer.begin_with_options(options).await?)
}

async fn connect(settings: &Settings, file: Option<&PathBuf>, create: bool) -> Result<Pools> {
    let (write, read) = match file {
        Some(path) => sqlite::connect(settings, path, create).await?,
        None => {
            let pool = postgres::connect(settings).await?;
            (pool.clone(), pool)
        }
    };
    migrate(&write).await?;
    let (identity, log) = match file {
        Some(path) => (identity(path), sqlite::log_identity(path)),
        None => (None, None),
    };
    Ok(Pools { write, read, identity, log })
}

/// Brings the tables up to date, all of it or nothing. Of several processes that start at once,
/// one does it and the others wait.
async fn migrate(writer: &DatabaseConnection) -> Result<()> {
    let tx = begin(writer).await?;
    alone(&tx).await?;
    let pending = match Migrator::get_pending_migrations(&tx).await {
        Ok(pending) => pending.len(),
        // An older program after a rollback: migrations only add, so what it knows is there.
        Err(DbErr::Custom(unknown)) => {
            warn!(%unknown, "the database was used by a newer version of this program");
            return Ok(tx.rollback().await?);
        }
        Err(other) => return Err(other.into()),
    };
    if pending > 0 {
        Migrator::up(&tx, None).await?;
        info!(pending, "brought the tables of the database up to date");
    }
    Ok(tx.commit().await?)
}

/// Waits until no other process is opening this database. SQLite has one writer anyway.
pub(crate) async fn alone(tx: &DatabaseTransaction) -> Result<()> {
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
        tx.execute_unprepared("SET LOCAL lock_timeout = 0").await?;
        tx.execute_unprepared("SELECT pg_advisory_xact_lock(7305412096214721)").await?;
    }
    Ok(())
}
