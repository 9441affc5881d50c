//! Everything that outlives the process: configuration, users, log entries, statistics, the
//! audit trail. Nobody else opens a database, and no database error leaves this crate.
//!
//! What is not here: counting for limits (`cluster`), the state of running keys (`proxy::health`)
//! and the journal (`proxy::journal`), whose entries come here in batches.

mod audit;
mod catalog;
mod dashboard;
mod error;
mod logs;
mod provider_keys;
mod records;
mod routes;
mod service_keys;
mod sessions;
mod settings;
mod setup;
mod upstreams;
mod users;

pub use error::{Result, StoreError};
pub use records::*;
pub use settings::Settings;

use auth::*;
use chrono::{DateTime, Utc};
use domain::{log::LogEntry, *};
use std::sync::Arc;
use uuid::Uuid;

/// The one database, opened. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    committed: tokio::sync::watch::Sender<Revision>,
}

impl Store {
    /// Opens the database: makes it where it is missing, brings its tables up to date, and checks
    /// that it is sound and sealed with this master key.
    pub async fn open(
        settings: Settings,
        master: &MasterKey,
        outbound: OutboundPolicy,
    ) -> Result<Store> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Wakes with every change that this process commits.
    pub fn committed(&self) -> tokio::sync::watch::Receiver<Revision> {
        self.committed.subscribe()
    }

    /// Closes all connections, so that nothing is left to recover at the next start.
    pub async fn close(&self) {}
}
