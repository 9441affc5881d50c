//! A pool of PostgreSQL connections that never waits for long.
//!
//! A connection that died silently is found out before it is used again: whatever has been idle
//! is tested first, and so is whatever comes back to the pool after its statement was given up.

use std::{str::FromStr, time::Duration};

use sea_orm::{
    SqlxPostgresConnector,
    sqlx::{
        self, ConnectOptions, Connection,
        postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
    },
};
use tokio::time::timeout;

use crate::{
    Result, Settings, StoreError,
    link::{Link, Server},
};

/// A connection that was idle for longer is tested before it is used.
const FRESH: Duration = Duration::from_secs(1);

/// Opens the pool; the first connection is made now, so that a wrong address is told at once.
pub(crate) async fn connect(settings: &Settings) -> Result<Link> {
    let options = PgConnectOptions::from_str(&settings.url)
        .map_err(|_| StoreError::Unusable("the address of PostgreSQL cannot be read".into()))?
        .application_name("tollgate")
        .options([
            ("statement_timeout", format!("{}ms", settings.statement_timeout.as_millis())),
            ("lock_timeout", format!("{}ms", settings.patience.as_millis())),
            ("idle_in_transaction_session_timeout", "60s".to_owned()),
            // So that the server, too, lets go of a connection whose other end is gone.
            ("tcp_keepalives_idle", "30".to_owned()),
            ("tcp_keepalives_interval", "10".to_owned()),
        ])
        .disable_statement_logging();
    let server = server(settings, &options);
    // A quarter, so that there is time left for another connection.
    let test = settings.patience / 4;
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections.max(2))
        .acquire_timeout(settings.patience)
        .test_before_acquire(false)
        .before_acquire(move |connection, about| {
            Box::pin(async move {
                if about.idle_for > FRESH { answers(connection, test).await } else { Ok(true) }
            })
        })
        .after_release(move |connection, _| Box::pin(answers(connection, test)))
        .connect_with(options)
        .await;
    let pool = match pool {
        Err(sqlx::Error::PoolTimedOut) => {
            return Err(StoreError::Unavailable(server.no_connection().await));
        }
        pool => pool?,
    };
    Ok(Link::remote(SqlxPostgresConnector::from_sqlx_postgres_pool(pool), server))
}

fn server(settings: &Settings, options: &PgConnectOptions) -> Server {
    let socket = options.get_socket().map(|path| path.display().to_string());
    let host = options.get_host().to_owned();
    Server {
        port: options.get_port(),
        local: socket.is_some() || host.starts_with('/'),
        host: socket.unwrap_or(host),
        // The server ends its statement first, where it can still be heard.
        deadline: settings.statement_timeout + settings.patience,
    }
}

/// Whether the other end is there; an error closes the connection at once.
async fn answers(connection: &mut PgConnection, within: Duration) -> Result<bool, sqlx::Error> {
    match timeout(within, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(late) => Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, late))),
    }
}
