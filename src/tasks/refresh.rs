//! Brings every change of the catalog to the data plane: at once for changes of this process or
//! announced by another instance, and within a quarter of a second in any case.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use cluster::Cluster;
use domain::{Revision, Snapshot};
use proxy::Gateway;
use store::Store;

use super::{Backoff, keep_events};

/// The interval of reading the revision: a lost notice costs no more than this.
const LOOK: Duration = Duration::from_millis(250);

/// Loads and compiles the stored configuration, also for the first snapshot.
pub(crate) async fn snapshot(store: &Store) -> anyhow::Result<Snapshot> {
    let catalog = store.load_catalog().await?;
    Ok(Snapshot::compile(&catalog)?)
}

/// Keeps the data plane current as long as the process lives.
pub(crate) async fn run(
    gateway: Arc<Gateway>,
    store: Store,
    cluster: Cluster,
    mut served: Revision,
) {
    let (mut committed, mut announced) = (store.committed(), cluster.announced());
    let mut backoff =
        Backoff::new("the configuration cannot be read; the data plane keeps what it has");
    let mut seeding =
        Backoff::new("what was used of new limits cannot be read; they count from now");
    // The time of new limits without known earlier use, and the time of the next query for it.
    let (mut unseeded_us, mut seed_at) = (None, Instant::now());
    loop {
        // Whatever the reason for waking up, the revision is read: that is cheap and sees every
        // writer.
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            Ok(()) = committed.changed() => {}
            Ok(()) = announced.changed() => {}
        }
        match refresh(&gateway, &store, served).await {
            Ok(new) => {
                if let Some((revision, installed_us)) = new {
                    served = revision;
                    unseeded_us.get_or_insert(installed_us);
                }
                backoff.worked("the configuration can be read again");
            }
            Err(error) => {
                tokio::time::sleep(backoff.failed(&error)).await;
                continue;
            }
        }
        // New counters need their earlier use, and delay nothing else.
        let Some(until_us) = unseeded_us.filter(|_| Instant::now() >= seed_at) else { continue };
        match keep_events::seed(&gateway, &store, until_us).await {
            Ok(()) => {
                unseeded_us = None;
                seeding.worked("what was used of new limits can be read again");
            }
            Err(error) => seed_at = Instant::now() + seeding.failed(&error),
        }
    }
}

/// Installs the newest revision if it is new; returns it and the time since which it is served.
async fn refresh(
    gateway: &Gateway,
    store: &Store,
    served: Revision,
) -> anyhow::Result<Option<(Revision, i64)>> {
    let revision = store.revision().await?;
    if revision == served {
        gateway.confirm();
        return Ok(None);
    }
    let snapshot = snapshot(store).await?;
    let revision = snapshot.revision;
    let installed_us = Utc::now().timestamp_micros();
    gateway.install(snapshot);
    tracing::info!(revision = revision.0, "the data plane serves revision {revision}");
    Ok(Some((revision, installed_us)))
}

/// Announces each change of this process to the other instances.
pub(crate) async fn announce(store: Store, cluster: Cluster) {
    let mut committed = store.committed();
    while committed.changed().await.is_ok() {
        let revision = *committed.borrow_and_update();
        if let Err(error) = cluster.announce(revision).await {
            // They read the revision themselves a moment later.
            tracing::debug!(%error, revision = revision.0, "a change could not be announced");
        }
    }
}
