//! Settings of the store, made by the binary from the start-up configuration.

use std::time::Duration;

/// Which database, and how patient to be with it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `sqlite:///path/to/tollgate.db` (or a bare path), or `postgres://user@host/database`.
    pub url: String,
    /// Most connections: of PostgreSQL altogether, of SQLite for reading (there is one writer).
    pub max_connections: u32,
    /// How long to wait for a connection, or for another process that is writing.
    pub patience: Duration,
    /// How long one statement may take (PostgreSQL). When the server has not answered our patience
    /// after that, the connection is given up.
    pub statement_timeout: Duration,
    /// Whether a database is opened that a newer version of this program has changed.
    pub allow_newer: bool,
    /// How large an SQLite file may grow, in bytes; past it the store is unavailable for writing.
    pub max_size: Option<u64>,
}

impl Settings {
    /// The usual settings for the database at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 8,
            patience: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
            allow_newer: false,
            max_size: None,
        }
    }
}
