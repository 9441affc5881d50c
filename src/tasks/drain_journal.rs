//! Brings log entries from the journal to the database, in batches, each exactly once. While the
//! database is away they wait; nothing is ever dropped.

use std::time::Duration;

use proxy::journal::{Batch, Drain};
use store::Store;
use tokio::sync::watch;

use super::Backoff;

/// Most entries of one transaction: many entries share their rows of statistics.
const BATCH: usize = 4000;
/// After a batch of this size there is load, and the next one is gathered for a while: entries
/// cost less in company. Otherwise an entry is in the database at once.
const LOAD: usize = 200;
const GATHER: Duration = Duration::from_millis(500);
/// How long a statement that is in flight may take when the process ends.
const LAST_STATEMENT: Duration = Duration::from_secs(1);

/// Brings entries over for as long as the process lives; when `ending` says so, brings what is
/// there and returns.
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

/// Brings over what is there now; where the database does not take it, the journal keeps it.
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

/// Commits a batch, however long the database is away; false when the process ends first. A
/// statement that is in flight then has a moment to end: on a connection that is dead it never would.
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
    // An error means that the front door is gone, which is the end as well.
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
                        // Harmless: entries that are there already are not inserted again.
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
