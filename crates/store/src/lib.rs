//! Everything that outlives the process: configuration, users, log entries, statistics, the
//! audit trail. Nobody else opens a database, and no database error leaves this crate.
//!
//! What is not here: counting for limits (`cluster`), the state of running keys (`proxy::health`)
//! and the journal (`proxy::journal`), whose entries come here in batches.
//!
//! Moments are stored as microseconds since 1970 and money as billionths of a dollar, both as
//! plain integers: SQLite has no type for either, and so both databases compare, sum and page
//! alike.

mod alerts;
mod audit;
mod breakers;
mod bulk;
mod catalog;
mod change;
mod columns;
mod dashboard;
mod database;
mod error;
mod grants;
mod history;
mod kind;
mod limits;
mod link;
mod loaded;
mod logs;
mod migrations;
mod open_sessions;
mod options;
mod paging;
mod postgres;
mod provider_keys;
mod records;
mod refused_keys;
mod resource;
mod retention;
mod roles;
mod routes;
mod rules;
mod running;
mod seeds;
mod service_keys;
mod sessions;
mod settings;
mod setup;
mod sqlite;
mod standings;
mod statistics;
mod stored_objects;
mod tasks;
mod text;
mod touched;
mod triggers;
mod trouble;
mod upstreams;
mod users;
mod view;

use std::{
    fs::File,
    sync::{Arc, atomic::AtomicU64},
};

use auth::{AuditChain, Fingerprints, MasterKey, Place, Sealer};
use chrono::{DateTime, Utc};
use domain::{OutboundPolicy, Revision};
use entity::{master_key_check, provider_keys as provider_keys_table};
use sea_orm::{ActiveValue::Set, EntityTrait, PaginatorTrait};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use uuid::Uuid;

use database::Database;
use link::Transaction;
use loaded::Loaded;

pub use audit::AuditEvent;
pub use error::{Result, StoreError};
pub use history::Version;
pub use kind::Kind;
pub use migrations::{Migration, migrations};
pub use options::ChangeOptions;
pub use records::*;
pub use resource::{EditOptions, Resource, Stored};
pub use settings::Settings;
pub use view::View;

/// The one database, opened. Clones share it.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>, Arc<ChangeOptions>);

#[derive(Debug)]
struct Inner {
    db: Database,
    sealer: Sealer,
    fingerprints: Fingerprints,
    chain: AuditChain,
    outbound: OutboundPolicy,
    loaded: parking_lot::Mutex<Loaded>,
    loading: tokio::sync::Mutex<()>,
    /// Held by a change from its commit until its catalog is kept.
    committing: tokio::sync::RwLock<()>,
    rows_loaded: AtomicU64,
    names: logs::StoredNames,
    labels: statistics::Labels,
    committed: watch::Sender<Revision>,
    /// Names this process in what it writes, so that it is not told its own news.
    origin: String,
}

/// The right to be the only data plane on an SQLite file; gone when dropped.
#[derive(Debug)]
pub struct DataPlaneClaim {
    _lock: Option<File>,
}

impl Store {
    /// Opens the database: makes it where it is missing, brings its tables up to date, and checks
    /// that it is sound and sealed with this master key.
    pub async fn open(
        settings: Settings,
        master: &MasterKey,
        outbound: OutboundPolicy,
    ) -> Result<Store> {
        let db = Database::open(settings).await?;
        let sealer = master.sealer();
        let revision = match prepare(&db, &sealer).await {
            Ok(revision) => revision,
            Err(error) => {
                db.close().await;
                return Err(error);
            }
        };
        Ok(Store(
            Arc::new(Inner {
                db,
                sealer,
                fingerprints: master.fingerprints(),
                chain: master.audit_chain(),
                outbound,
                loaded: parking_lot::Mutex::new(Loaded::nothing()),
                loading: tokio::sync::Mutex::new(()),
                committing: tokio::sync::RwLock::new(()),
                rows_loaded: AtomicU64::new(0),
                names: logs::StoredNames::default(),
                labels: statistics::Labels::default(),
                committed: watch::Sender::new(revision),
                origin: Uuid::new_v4().simple().to_string(),
            }),
            Arc::default(),
        ))
    }

    /// Whether a database holds the value that its master key is checked with: no other key can be
    /// given to it. A database that is not there yet holds none.
    pub async fn is_sealed(settings: &Settings) -> Result<bool> {
        let file = sqlite::file_of(&settings.url)?;
        if file.is_some_and(|file| std::fs::metadata(file).map_or(true, |meta| meta.len() == 0)) {
            return Ok(false);
        }
        let db = Database::open(settings.clone()).await?;
        let found = async {
            let row = master_key_check::Entity::find_by_id(1).one(&db.reader().await?).await?;
            Ok(row.is_some())
        };
        let found = found.await;
        db.close().await;
        found
    }

    /// Wakes with every change that this process commits.
    pub fn committed(&self) -> watch::Receiver<Revision> {
        self.0.committed.subscribe()
    }

    /// Claims to be the data plane on this database. Refused while another process is it on the
    /// same SQLite file: the two would count limits and rest keys without each other. Any number
    /// may work on PostgreSQL.
    pub fn claim_data_plane(&self) -> Result<DataPlaneClaim> {
        let Some(file) = self.0.db.file() else { return Ok(DataPlaneClaim { _lock: None }) };
        let lock = sqlite::lock(file, ".data-plane").map_err(|_| {
            StoreError::Unusable(
                "another data plane works on this SQLite file; several need PostgreSQL".into(),
            )
        })?;
        Ok(DataPlaneClaim { _lock: Some(lock) })
    }

    /// Closes all connections. An SQLite file holds everything afterwards: it may be copied, and
    /// nothing is left to recover at the next start.
    pub async fn close(&self) {
        self.0.db.close().await;
    }
}

/// Checks the master key, of several processes that start at once one after the other; says which
/// revision there is.
async fn prepare(db: &Database, sealer: &Sealer) -> Result<Revision> {
    let tx = db.opening().await?;
    check_master_key(&tx, sealer).await?;
    grants::write_built_in(&tx, now_us()).await?;
    let revision = loaded::revision(&tx).await?;
    tx.commit().await?;
    Ok(revision)
}

/// What a right master key opens.
const CHECK: &str = "tollgate";
const CHECK_PLACE: Place<'static> =
    Place { table: "master_key_check", column: "sealed", row: 1, owner: 0 };

async fn check_master_key(tx: &Transaction, sealer: &Sealer) -> Result<()> {
    if let Some(row) = master_key_check::Entity::find_by_id(1).one(tx).await? {
        return match sealer.open(&CHECK_PLACE, &row.sealed) {
            Ok(text) if text.expose_secret() == CHECK => Ok(()),
            _ => Err(StoreError::WrongMasterKey),
        };
    }
    if provider_keys_table::Entity::find().count(tx).await? > 0 {
        return Err(StoreError::Unusable(
            "it holds sealed secrets but not the value to check the master key with".into(),
        ));
    }
    let row = master_key_check::ActiveModel {
        id: Set(1),
        sealed: Set(sealer.seal(&CHECK_PLACE, CHECK.as_bytes())),
    };
    master_key_check::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// Columns with a list hold it as JSON.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("lists of plain values have a JSON form")
}

fn now_us() -> i64 {
    Utc::now().timestamp_micros()
}

/// A moment as it lies in a column, in the years that it can be in.
fn moment(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// A count as a column holds it.
fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count as it came from a column.
fn uncount(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
