//! A pool of PostgreSQL connections that never waits for long.

use std::str::FromStr;

use sea_orm::{
    DatabaseConnection, SqlxPostgresConnector,
    sqlx::{
        ConnectOptions,
        postgres::{PgConnectOptions, PgPoolOptions},
    },
};

use crate::{Result, Settings, StoreError};

/// Opens the pool; the first connection is made now, so that a wrong address is told at once.
pub(crate) async fn connect(settings: &Settings) -> Result<DatabaseConnection> {
    let options = PgConnectOptions::from_str(&settings.url)
        .map_err(|_| StoreError::Unusable("the address of PostgreSQL cannot be read".into()))?
        .application_name("tollgate")
        .options([
            ("statement_timeout", format!("{}ms", settings.statement_timeout.as_millis())),
            ("lock_timeout", format!("{}ms", settings.patience.as_millis())),
            ("idle_in_transaction_session_timeout", "60s".to_owned()),
        ])
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections.max(2))
        .acquire_timeout(settings.patience)
        .connect_with(options)
        .await?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}
