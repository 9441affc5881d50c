//! A connection or a transaction whose statements each have a deadline of our own.
//!
//! A PostgreSQL server ends slow statements by itself, but a connection that dies silently never
//! reports anything: without a deadline here, its statement would wait until the process ends. An
//! embedded database has no network in between and needs no deadline.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    ExecResult, IsolationLevel, QueryResult, RuntimeErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait, sqlx,
};
use tokio::{net::TcpStream, time::timeout};

use crate::{Result, StoreError, bulk::Bulk};

/// How long it may take to find out why no connection can be made.
const PROBE: Duration = Duration::from_millis(250);

/// Where the server is and how long it may take; nothing of this for an embedded database.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether it is reached through a socket in the file system.
    pub(crate) local: bool,
    /// How long one statement may take, the way there and back included.
    pub(crate) deadline: Duration,
}

/// A pool of connections, or a transaction on one of them.
#[derive(Debug, Clone)]
pub(crate) struct Timed<C> {
    inner: C,
    server: Option<Arc<Server>>,
}

/// A pool of connections.
pub(crate) type Link = Timed<DatabaseConnection>;
/// A transaction. Rolled back when it is dropped.
pub(crate) type Transaction = Timed<DatabaseTransaction>;

impl Link {
    pub(crate) fn embedded(inner: DatabaseConnection) -> Self {
        Self { inner, server: None }
    }

    pub(crate) fn remote(inner: DatabaseConnection, server: Server) -> Self {
        Self { inner, server: Some(Arc::new(server)) }
    }

    /// The connections themselves, for those who bring the tables up to date: they wait for other
    /// instances for as long as it takes.
    pub(crate) fn raw(&self) -> &DatabaseConnection {
        &self.inner
    }

    /// Begins a reading transaction: all its statements see the same moment.
    pub(crate) async fn read(&self) -> Result<Transaction> {
        let begun = match self.get_database_backend() {
            DbBackend::Sqlite => self.timed(self.inner.begin()).await,
            _ => {
                let (level, mode) = (IsolationLevel::RepeatableRead, AccessMode::ReadOnly);
                self.timed(self.inner.begin_with_config(Some(level), Some(mode))).await
            }
        };
        Ok(Timed { inner: begun?, server: self.server.clone() })
    }

    /// Begins a writing transaction.
    pub(crate) async fn write(&self) -> Result<Transaction> {
        let begun = self.timed(self.inner.begin_with_options(self.writing())).await?;
        Ok(Timed { inner: begun, server: self.server.clone() })
    }

    /// Begins a writing transaction of statements that are built by hand.
    pub(crate) async fn bulk(&self) -> Result<Bulk> {
        let Some(server) = &self.server else {
            let begun = self.inner.get_sqlite_connection_pool().begin_with("BEGIN IMMEDIATE");
            return Ok(Bulk::Sqlite(begun.await?));
        };
        let begun = self.inner.get_postgres_connection_pool().begin();
        match timeout(server.deadline, begun).await {
            Ok(Ok(begun)) => Ok(Bulk::Postgres(begun, server.deadline)),
            Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => {
                Err(StoreError::Unavailable(server.no_connection().await))
            }
            Ok(Err(error)) => Err(error.into()),
        }
    }

    /// Begins a writing transaction whose statements have no deadline.
    pub(crate) async fn write_patiently(&self) -> Result<Transaction> {
        let begun = self.timed(self.inner.begin_with_options(self.writing())).await?;
        Ok(Timed { inner: begun, server: None })
    }

    fn writing(&self) -> TransactionOptions {
        TransactionOptions {
            sqlite_transaction_mode: match self.get_database_backend() {
                DbBackend::Sqlite => Some(SqliteTransactionMode::Immediate),
                _ => None,
            },
            ..TransactionOptions::default()
        }
    }
}

impl Transaction {
    /// The transaction itself, for migrations.
    pub(crate) fn raw(&self) -> &DatabaseTransaction {
        &self.inner
    }

    /// Keeps what was done. After an error nobody knows whether it was kept.
    pub(crate) async fn commit(self) -> Result<()> {
        let Self { inner, server } = self;
        Ok(timed(server.as_deref(), inner.commit()).await?)
    }

    /// Takes back what was done.
    pub(crate) async fn rollback(self) -> Result<()> {
        let Self { inner, server } = self;
        Ok(timed(server.as_deref(), inner.rollback()).await?)
    }
}

impl<C> Timed<C> {
    async fn timed<T>(&self, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        timed(self.server.as_deref(), work).await
    }
}

/// Waits for `work` no longer than the server may take. Work that is given up is dropped, and its
/// connection is then tested before it is used again.
async fn timed<T>(
    server: Option<&Server>,
    work: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    let Some(server) = server else { return work.await };
    match timeout(server.deadline, work).await {
        Ok(Err(DbErr::ConnectionAcquire(_))) => Err(failed(server.no_connection().await)),
        Ok(done) => done,
        Err(_) => Err(failed(format!(
            "{} did not answer within {:?}; the connection is given up",
            server.place(),
            server.deadline
        ))),
    }
}

fn failed(words: String) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(words))
}

impl Server {
    /// Host and port, as an operator knows them.
    fn place(&self) -> String {
        if self.local { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Why no connection came free, as far as can be found out.
    pub(crate) async fn no_connection(&self) -> String {
        let place = self.place();
        if self.local {
            return format!("no connection to {place} came free");
        }
        match timeout(PROBE, TcpStream::connect((self.host.as_str(), self.port))).await {
            Ok(Ok(_)) => format!("no connection to {place} came free, though it can be reached"),
            Ok(Err(cause)) => format!("no connection to {place}: {cause}"),
            Err(_) => format!("no connection to {place}: it does not answer"),
        }
    }
}

#[async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Timed<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.timed(self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.timed(self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.timed(self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.timed(self.inner.query_all_raw(statement)).await
    }

    fn support_returning(&self) -> bool {
        self.inner.support_returning()
    }
}
