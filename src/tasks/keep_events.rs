//! Stores events of keys, breakers, rules and stored objects, and brings those of other instances
//! to the data plane within a second.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use domain::Event;
use proxy::Gateway;
use store::Store;
use tokio::sync::{mpsc, watch};

use super::Backoff;

/// Most events of one transaction.
const BATCH: usize = 1000;
/// The time for collecting events, which come in bursts and cost less in batches.
const GATHER: Duration = Duration::from_millis(100);
/// The interval of reading events of other instances.
const LOOK: Duration = Duration::from_millis(500);
/// Most events that are read at once.
const PORTION: u64 = 5000;

/// The position of reading events of other instances.
#[derive(Debug, Default)]
pub(crate) struct Known {
    standings: i64,
    breakers: i64,
    objects: i64,
}

/// Restores the states of keys and breakers and the use of quotas and budgets from before this
/// process.
pub(crate) async fn restore(gateway: &Gateway, store: &Store) -> anyhow::Result<Known> {
    let objects = store.newest_stored_objects(Gateway::ORIGINS_MAX).await?;
    let mut known = Known { objects, ..Known::default() };
    learn(gateway, store, &mut known).await?;
    seed(gateway, store, Utc::now().timestamp_micros()).await?;
    Ok(known)
}

/// Adds the use before `until_us` to quotas and budgets that are counted from now on.
pub(crate) async fn seed(gateway: &Gateway, store: &Store, until_us: i64) -> store::Result<()> {
    let questions = gateway.seed_questions();
    if !questions.is_empty() {
        let seeds = store.used(&questions, until_us).await?;
        gateway.seed(questions, seeds);
    }
    Ok(())
}

/// Brings events of other instances as long as the process lives.
pub(crate) async fn share(gateway: Arc<Gateway>, store: Store, mut known: Known) {
    let mut backoff = Backoff::new("what other instances found of keys cannot be read");
    loop {
        tokio::time::sleep(LOOK).await;
        match learn(&gateway, &store, &mut known).await {
            Ok(()) => backoff.worked("what other instances found of keys can be read again"),
            Err(error) => tokio::time::sleep(backoff.failed(&error)).await,
        }
    }
}

async fn learn(gateway: &Gateway, store: &Store, known: &mut Known) -> store::Result<()> {
    let standings = |after| store.standings_since(after, PORTION);
    read_on(&mut known.standings, standings, |some| gateway.restore(some)).await?;
    let breakers = |after| store.breakers_since(after, PORTION);
    read_on(&mut known.breakers, breakers, |some| gateway.restore_breakers(some)).await?;
    let objects = |after| store.stored_objects_since(after, PORTION);
    read_on(&mut known.objects, objects, |some| gateway.restore_origins(some)).await
}

/// Reads everything after a number, in portions.
async fn read_on<T, F: Future<Output = store::Result<(Vec<T>, i64)>>>(
    known: &mut i64,
    after: impl Fn(i64) -> F,
    take: impl Fn(Vec<T>),
) -> store::Result<()> {
    loop {
        let (some, last) = after(*known).await?;
        let more = some.len() as u64 == PORTION;
        take(some);
        *known = last;
        if !more {
            return Ok(());
        }
    }
}

/// Stores events as long as the process lives; when `ending` is set, stores what is left.
pub(crate) async fn run(
    mut events: mpsc::Receiver<Event>,
    store: Store,
    mut ending: watch::Receiver<bool>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            taken = events.recv_many(&mut batch, BATCH) => {
                if taken == 0 {
                    return;
                }
            }
            _ = ending.wait_for(|ending| *ending) => break,
        }
        if !keep(&store, &batch, &mut ending).await {
            return;
        }
        if batch.len() > 1 {
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                _ = ending.wait_for(|ending| *ending) => {}
            }
        }
        batch.clear();
    }
    while let Ok(event) = events.try_recv() {
        batch.push(event);
    }
    if let Err(error) = store.keep_events(&batch).await {
        tracing::error!(%error, "{} events of keys and rules are lost", batch.len());
    }
}

/// Stores a batch, however long the database is unavailable; returns false if the process ends
/// first.
async fn keep(store: &Store, batch: &[Event], ending: &mut watch::Receiver<bool>) -> bool {
    let mut backoff = Backoff::new("events of keys and rules cannot be stored and wait in memory");
    while let Err(error) = store.keep_events(batch).await {
        let pause = backoff.failed(&error);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = ending.wait_for(|ending| *ending) => return false,
        }
    }
    backoff.worked("events of keys and rules are stored again");
    true
}
