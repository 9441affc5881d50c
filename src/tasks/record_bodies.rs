//! Stores recorded bodies in the database, masked, with best effort: bodies that cannot be stored
//! are dropped, which is logged once.

use proxy::{Recorded, Sample};
use store::{RecordedBody, Store};
use tokio::sync::{mpsc, watch};

use super::Backoff;
use crate::telemetry;

/// Most calls of one transaction.
const BATCH: usize = 32;

/// Stores recorded bodies as long as the process lives.
pub(crate) async fn run(
    mut queue: mpsc::Receiver<Recorded>,
    store: Store,
    mut ending: watch::Receiver<bool>,
) {
    let mut backoff = Backoff::new("recorded bodies cannot be stored and are dropped");
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let taken = tokio::select! {
            taken = queue.recv_many(&mut batch, BATCH) => taken,
            _ = ending.wait_for(|ending| *ending) => return,
        };
        if taken == 0 {
            return;
        }
        let bodies = batch.drain(..).flat_map(bodies).collect();
        match store.append_bodies(bodies).await {
            Ok(()) => backoff.worked("recorded bodies are stored again"),
            Err(error) => drop(backoff.failed(&error)),
        }
    }
}

fn bodies(recorded: Recorded) -> impl Iterator<Item = RecordedBody> {
    let Recorded { log, request, answer } = recorded;
    [(false, request), (true, answer)].into_iter().map(move |(answer, Sample { bytes, cut })| {
        RecordedBody { log, answer, bytes: telemetry::masked(&bytes), cut }
    })
}
