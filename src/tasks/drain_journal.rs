//! Moves log entries from the journal to the database, in batches, each exactly once. While the
//! database is unavailable they stay in the journal; none is dropped.

use std::time::Duration;

use proxy::journal::{Batch, Drain};
use store::Store;
use tokio::sync::watch;

use super::Backoff;

/// Most entries of one transaction: many entries share their rows of statistics.
const BATCH: usize = 4000;
/// A batch of this size means load: the next one is collected for a while, because batches cost
/// less. Otherwise an entry is stored at once.
const LOAD: usize = 200;
const GATHER: Duration = Duration::from_millis(500);
/// The time for a running statement when the process ends.
const LAST_STATEMENT: Duration = Duration::from_secs(1);

/// Moves entries as long as the process lives; when `ending` is set, moves what is left and
/// returns.
pub(crate) async fn run(mut drain: Drain, store: Store, mut ending: watch::Receiver<bool>) {
    skip_what_is_there(&mut drain, &store, &mut ending).await;
    loop {
        let batch = tokio::select! {
            batch = drain.next_batch(BATCH) => batch,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        match batch {
            Ok(batch) => {
                let load = batch.entries.len() >= LOAD;
                if !commit(&mut drain, &store, &batch, &mut ending).await {
                    // The same batch once more: what is asked for next comes after it.
                    if store_once(&mut drain, &store, &batch).await.is_err() {
                        return;
                    }
                    break;
                }
                if load {
                    tokio::select! {
                        () = tokio::time::sleep(GATHER) => {}
                        _ = ending.wait_for(|ending| *ending) => break,
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "the journal cannot be read");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    bring_over(&mut drain, &store).await;
}

/// Moves the entries that are there now; if the database fails, the journal keeps them.
pub(crate) async fn bring_over(drain: &mut Drain, store: &Store) {
    while let Ok(Some(batch)) = drain.batch_now(BATCH) {
        if store_once(drain, store, &batch).await.is_err() {
            return;
        }
    }
}

async fn store_once(drain: &mut Drain, store: &Store, batch: &Batch) -> store::Result<()> {
    store.append_log(&batch.entries, batch.position.clone()).await?;
    drain.release(batch);
    Ok(())
}

/// Commits a batch, however long the database is unavailable; returns false if the process ends
/// first. A running statement then has a moment to finish: on a dead connection it never would.
async fn commit(
    drain: &mut Drain,
    store: &Store,
    batch: &Batch,
    ending: &mut watch::Receiver<bool>,
) -> bool {
    let mut backoff = Backoff::new("log entries cannot be stored and wait in the journal");
    loop {
        let stored = tokio::select! {
            stored = store_once(drain, store, batch) => stored,
            () = overdue(ending) => return false,
        };
        let Err(error) = stored else { break };
        let pause = backoff.failed(&error);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = ending.wait_for(|ending| *ending) => return false,
        }
    }
    backoff.worked("log entries are stored again");
    true
}

/// Waits until the process has been ending for a moment.
async fn overdue(ending: &mut watch::Receiver<bool>) {
    // An error means that the binary is ending as well.
    let _ = ending.wait_for(|ending| *ending).await;
    tokio::time::sleep(LAST_STATEMENT).await;
}

async fn skip_what_is_there(drain: &mut Drain, store: &Store, ending: &mut watch::Receiver<bool>) {
    let mut backoff = Backoff::new("the positions of the journals cannot be read");
    for journal in drain.journals() {
        loop {
            match store.journal_position(&journal).await {
                Ok(Some(position)) => {
                    if let Err(error) = drain.skip_to(&position) {
                        // Harmless: stored entries are not inserted again.
                        tracing::warn!(%error, journal, "the journal is read from its beginning");
                    }
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    let pause = backoff.failed(&error);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = ending.wait_for(|ending| *ending) => return,
                    }
                }
            }
        }
    }
}
