//! Moves the counts of refused service keys from the running data plane to the database.

use std::{sync::Arc, time::Duration};

use domain::RefusedKey;
use proxy::Gateway;
use store::Store;
use tokio::sync::watch;

use super::Backoff;

/// The interval of moving the counts.
const EVERY: Duration = Duration::from_secs(2);

/// Moves the counts as long as the process lives; when `ending` is set, once more.
pub(crate) async fn run(gateway: Arc<Gateway>, store: Store, mut ending: watch::Receiver<bool>) {
    let mut backoff = Backoff::new("counts of refused service keys cannot be stored");
    let mut moving: Vec<RefusedKey> = Vec::new();
    let mut pause = EVERY;
    loop {
        let over = tokio::select! {
            () = tokio::time::sleep(pause) => false,
            _ = ending.wait_for(|ending| *ending) => true,
        };
        if moving.is_empty() {
            // Counts are taken only when they can be stored: the data plane bounds what waits.
            moving = gateway.refused_keys();
        }
        pause = EVERY;
        if !moving.is_empty() {
            match store.add_refused_keys(&moving).await {
                Ok(()) => {
                    backoff.worked("counts of refused service keys are stored again");
                    moving.clear();
                }
                Err(error) => pause = EVERY + backoff.failed(&error),
            }
        }
        if over {
            return;
        }
    }
}
