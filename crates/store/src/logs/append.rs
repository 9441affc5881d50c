//! Moves batches in. The entries, the sums they raise and the journal's position go together in
//! one transaction, and sums are raised only for entries that were not there before. So a batch
//! may be given again after any kind of accident.

use std::{collections::HashSet, sync::LazyLock};

use domain::log::LogEntry;
use entity::{journal_positions, recorded_bodies};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, QueryTrait, sea_query::OnConflict};
use uuid::Uuid;

use super::{convert, names, sessions::SessionSums};
use crate::{
    JournalPosition, RecordedBody, Result, Store,
    bulk::{Bulk, Cell, Insert, Kind},
    count, now_us,
    statistics::{self, Fold},
    uncount,
};

/// The counter of the entries in the order of their arrival.
pub(super) const ARRIVALS: &str = "log_arrivals";

impl Store {
    /// Moves a batch of log entries in, each exactly once however often it is given, raises the
    /// statistics by those that are new, and remembers the journal's position: all in one
    /// transaction. Returns how many were new.
    pub async fn append_log(&self, batch: &[LogEntry], position: JournalPosition) -> Result<u64> {
        let now = now_us();
        let mut tx = self.0.db.bulk().await?;
        let generation = self.0.db.generation();
        // In order of ids, so that two instances with the same entries wait for each other in the
        // same order.
        let mut batch: Vec<&LogEntry> = batch.iter().collect();
        batch.sort_unstable_by_key(|entry| entry.id);
        let stored = insert(&mut tx, &batch, now).await?;
        let labels = self.0.labels.resolve(&mut tx, generation, &stored).await?;
        let mut fold = Fold::default();
        stored.iter().for_each(|entry| fold.add(entry, &labels));
        statistics::write(&mut tx, &fold).await?;
        let mut sessions = SessionSums::default();
        stored.iter().for_each(|entry| sessions.add(entry));
        sessions.store(&mut tx).await?;
        let names = self.0.names.news(generation, &batch);
        names::store(&mut tx, &names).await?;
        let JournalPosition { journal, segment, offset } = position;
        let position =
            [Cell::Text(journal.into()), count(segment).into(), count(offset).into(), now.into()];
        tx.insert(&POSITION, position.into()).await?;
        tx.commit().await?;
        self.0.names.note(generation, &names);
        drop(fold);
        self.0.labels.note(generation, labels);
        Ok(stored.len() as u64)
    }

    /// How far this journal was moved in.
    pub async fn journal_position(&self, journal: &str) -> Result<Option<JournalPosition>> {
        let db = self.0.db.reader().await?;
        let row = journal_positions::Entity::find_by_id(journal).one(&db).await?;
        Ok(row.map(|row| JournalPosition {
            journal: row.journal,
            segment: uncount(row.segment),
            offset: uncount(row.position),
        }))
    }

    /// Stores recorded bodies; one that is there already stays as it is.
    pub async fn append_bodies(&self, bodies: Vec<RecordedBody>) -> Result<()> {
        let now = now_us();
        let tx = self.0.db.write().await?;
        for body in bodies {
            let row = recorded_bodies::ActiveModel {
                log_id: Set(body.log),
                answer: Set(body.answer),
                bytes: Set(body.bytes),
                cut: Set(body.cut),
                stored_us: Set(now),
            };
            let key = [recorded_bodies::Column::LogId, recorded_bodies::Column::Answer];
            let again = OnConflict::columns(key).do_nothing().to_owned();
            let insert = recorded_bodies::Entity::insert(row).on_conflict(again);
            tx.execute(&insert.into_query()).await?;
        }
        tx.commit().await
    }
}

/// Entries, of which those that are there already stay as they are.
static ENTRIES: LazyLock<Insert> =
    LazyLock::new(|| Insert::new("request_logs", &convert::COLUMNS, "ON CONFLICT (id) DO NOTHING"));

/// How far a journal was moved in.
static POSITION: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "journal_positions",
        &[
            ("journal", Kind::Text),
            ("segment", Kind::Big),
            ("position", Kind::Big),
            ("updated_us", Kind::Big),
        ],
        "ON CONFLICT (journal) DO UPDATE SET segment = excluded.segment, \
         position = excluded.position, updated_us = excluded.updated_us",
    )
});

/// Inserts entries and returns those that were not there, each once.
async fn insert<'a>(
    tx: &mut Bulk,
    entries: &[&'a LogEntry],
    now: i64,
) -> Result<Vec<&'a LogEntry>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    // Until the transaction ends nobody else gets numbers: they become visible in their order.
    let first = tx.numbers(ARRIVALS, entries.len()).await?;
    let last = first + count(entries.len() as u64) - 1;
    let mut rows = Vec::with_capacity(entries.len() * convert::COLUMNS.len());
    for (arrival, entry) in (first..).zip(entries) {
        convert::write(entry, now, arrival, &mut rows);
    }
    if tx.insert(&ENTRIES, rows).await? == entries.len() as u64 {
        return Ok(entries.to_vec());
    }
    // Numbers are given once, so they tell which of the entries are of this transaction.
    let new = "SELECT id FROM request_logs WHERE arrival BETWEEN $1 AND $2";
    let mut new: HashSet<Uuid> = tx.ask(new, &[first, last]).await?.into_iter().collect();
    // `remove`: an entry that stands twice in a batch counts once.
    Ok(entries.iter().copied().filter(|entry| new.remove(&entry.id)).collect())
}
