//! Moves batches in. The entries, the sums they raise and the journal's position go together in
//! one transaction, and sums are raised only for entries that were not there before. So a batch
//! may be given again after any kind of accident.

use std::collections::{BTreeMap, HashSet};

use domain::{
    ProviderKeyId, UpstreamId,
    log::{LogEntry, Outcome, Usage},
};
use entity::{
    journal_positions, latency_statistics, recorded_bodies, request_logs, usage_statistics,
};
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, EntityTrait, ExprTrait, IdenStatic, QueryTrait,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::{bulk, convert, names, sessions::SessionSums};
use crate::{
    JournalPosition, RecordedBody, Result, Store, change::numbers, count, link::Transaction,
    now_us, uncount,
};

/// Most rows of one statement: SQLite takes at most 32,766 values.
const ROWS: usize = 512;
/// Statuses from here on are errors.
const FAILED_FROM: u16 = 400;
/// What one entry may add to a sum: no number that was made up can overflow a column and thereby
/// keep its batch out for ever. A million tokens cost less than this, a day is shorter.
pub(crate) const SUMMED_MAX: u64 = Usage::MAX;
/// The counter of the entries in the order of their arrival.
pub(super) const ARRIVALS: &str = "log_arrivals";
const HOUR_US: i64 = 3_600_000_000;
/// Classes of latency in an octave.
const CLASSES: f64 = 5.0;

impl Store {
    /// Moves a batch of log entries in, each exactly once however often it is given, raises the
    /// statistics by those that are new, and remembers the journal's position: all in one
    /// transaction. Returns how many were new.
    pub async fn append_log(&self, batch: &[LogEntry], position: JournalPosition) -> Result<u64> {
        let now = now_us();
        let tx = self.0.db.write().await?;
        let generation = self.0.db.generation();
        let (mut sums, mut sessions) = (Sums::default(), SessionSums::default());
        let mut new = 0;
        // In order of ids, so that two instances with the same entries wait for each other in the
        // same order.
        let mut batch: Vec<&LogEntry> = batch.iter().collect();
        batch.sort_unstable_by_key(|entry| entry.id);
        // Until the transaction ends nobody else gets numbers: they become visible in their order.
        let mut arrival = match batch.len() {
            0 => 0,
            len => numbers(&tx, ARRIVALS, len).await?,
        };
        for entries in even(&batch) {
            let mut stored = insert(&tx, entries, now, arrival).await?;
            arrival += count(entries.len() as u64);
            // `remove`: an entry that stands twice in a batch counts once.
            for entry in entries.iter().filter(|entry| stored.remove(&entry.id)) {
                sums.add(entry);
                sessions.add(entry, failed(entry));
                new += 1;
            }
        }
        sums.store(&tx).await?;
        sessions.store(&tx).await?;
        let names = self.0.names.news(generation, &batch);
        names::store(&tx, &names).await?;
        remember(&tx, position, now).await?;
        tx.commit().await?;
        self.0.names.note(generation, &names);
        Ok(new)
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

/// Parts whose lengths are powers of two: a statement is prepared for each length once, and there
/// are only ten.
fn even<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let largest = 1 << rows.len().checked_ilog2()?;
        let (part, rest) = rows.split_at(Ord::min(largest, ROWS));
        rows = rest;
        Some(part)
    })
}

/// Inserts entries, numbered from `arrival` on, and returns the ids of those that were not there.
async fn insert(
    tx: &Transaction,
    entries: &[&LogEntry],
    now: i64,
    arrival: i64,
) -> Result<HashSet<Uuid>> {
    let row = |(place, entry): (usize, &&LogEntry)| {
        convert::write(entry, now, arrival + count(place as u64))
    };
    let rows = entries.iter().enumerate().map(row);
    let known = "ON CONFLICT (id) DO NOTHING RETURNING id";
    let stored = bulk::insert::<request_logs::Entity>(tx, rows, known).await?;
    Ok(stored.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}

async fn remember(tx: &Transaction, position: JournalPosition, now: i64) -> Result<()> {
    let row = journal_positions::ActiveModel {
        journal: Set(position.journal),
        segment: Set(count(position.segment)),
        position: Set(count(position.offset)),
        updated_us: Set(now),
    };
    let again = OnConflict::column(journal_positions::Column::Journal)
        .update_columns([
            journal_positions::Column::Segment,
            journal_positions::Column::Position,
            journal_positions::Column::UpdatedUs,
        ])
        .to_owned();
    let insert = journal_positions::Entity::insert(row).on_conflict(again);
    insert.exec_without_returning(tx).await?;
    Ok(())
}

/// What a batch adds to the statistics. In order of keys, so that two instances that add at once
/// lock rows in the same order.
#[derive(Default)]
struct Sums {
    usage: BTreeMap<(i64, i64, i64, i64, String), usage_statistics::Model>,
    latency: BTreeMap<(i64, i64, i64, i32), i64>,
}

impl Sums {
    /// Counts the call where it was answered, or tried last; what other attempts used and cost
    /// counts at their own upstream and key.
    fn add(&mut self, entry: &LogEntry) {
        let hour = hour_of(entry.started_us);
        let (mut usage, mut cost) = (entry.usage, entry.cost_nano.unwrap_or_default());
        let last = (entry.upstream, entry.provider_key);
        for attempt in &entry.attempts {
            let place = (Some(attempt.upstream), attempt.provider_key);
            let paid = attempt.cost_nano.unwrap_or_default();
            if place == last || (attempt.usage.is_nothing() && paid == 0) {
                continue;
            }
            (usage, cost) = (usage.minus(&attempt.usage), cost.saturating_sub(paid));
            self.sum(entry, place).raise(&attempt.usage, paid);
        }
        let sum = self.sum(entry, last);
        sum.raise(&usage, cost);
        sum.requests += 1;
        sum.errors += i64::from(failed(entry));
        sum.latency_us += count(Ord::min(entry.latency_us, SUMMED_MAX));
        let upstream = entry.upstream.map_or(0, |id| id.0);
        let class = class_of(entry.latency_us);
        *self.latency.entry((hour, entry.owner.0, upstream, class)).or_default() += 1;
    }

    /// The row of this call for an upstream and a key of it.
    fn sum(
        &mut self,
        entry: &LogEntry,
        (upstream, provider_key): (Option<UpstreamId>, Option<ProviderKeyId>),
    ) -> &mut usage_statistics::Model {
        let hour = hour_of(entry.started_us);
        let upstream = upstream.map_or(0, |id| id.0);
        let provider_key = provider_key.map_or(0, |id| id.0);
        let service_key = entry.service_key.0;
        let model = entry.model_used.as_ref().or(entry.model_asked.as_ref());
        let model = model.map(|model| crate::text::clean(model)).unwrap_or_default();
        let key = (hour, upstream, provider_key, service_key, model.clone());
        self.usage.entry(key).or_insert_with(|| usage_statistics::Model {
            hour_us: hour,
            upstream_id: upstream,
            provider_key_id: provider_key,
            service_key_id: service_key,
            model,
            owner_id: entry.owner.0,
            requests: 0,
            errors: 0,
            input_tokens: 0,
            cached_tokens: 0,
            cache_written_tokens: 0,
            output_tokens: 0,
            reasoning_tokens: 0,
            cost_nano: 0,
            latency_us: 0,
        })
    }

    async fn store(self, tx: &Transaction) -> Result<()> {
        let usage: Vec<_> = self.usage.into_values().collect();
        for sums in even(&usage) {
            let rows = sums.iter().cloned();
            bulk::insert::<usage_statistics::Entity>(tx, rows, &raise_usage()).await?;
        }
        let latency: Vec<_> = self.latency.into_iter().collect();
        for sums in even(&latency) {
            let rows = sums.iter().map(|((hour, owner, upstream, class), requests)| {
                latency_statistics::ActiveModel {
                    hour_us: Set(*hour),
                    owner_id: Set(*owner),
                    upstream_id: Set(*upstream),
                    class: Set(*class),
                    requests: Set(*requests),
                }
            });
            let insert = latency_statistics::Entity::insert_many(rows).on_conflict(raise_latency());
            insert.exec_without_returning(tx).await?;
        }
        Ok(())
    }
}

/// A row of sums that grows.
trait Raise {
    /// Adds what was used and what it cost.
    fn raise(&mut self, usage: &Usage, cost_nano: i64);
}

impl Raise for usage_statistics::Model {
    fn raise(&mut self, usage: &Usage, cost_nano: i64) {
        for (sum, value) in [
            (&mut self.input_tokens, usage.input),
            (&mut self.cached_tokens, usage.cached),
            (&mut self.cache_written_tokens, usage.cache_written),
            (&mut self.output_tokens, usage.output),
            (&mut self.reasoning_tokens, usage.reasoning),
        ] {
            *sum += count(Ord::min(value, SUMMED_MAX));
        }
        self.cost_nano += Ord::clamp(cost_nano, -count(SUMMED_MAX), count(SUMMED_MAX));
    }
}

/// Adds to a row of sums that is there already.
fn raise_usage() -> String {
    use usage_statistics::Column;
    let sums = [
        Column::Requests,
        Column::Errors,
        Column::InputTokens,
        Column::CachedTokens,
        Column::CacheWrittenTokens,
        Column::OutputTokens,
        Column::ReasoningTokens,
        Column::CostNano,
        Column::LatencyUs,
    ];
    let raised = sums.map(|sum| {
        let sum = sum.as_str();
        format!("{sum} = usage_statistics.{sum} + excluded.{sum}")
    });
    format!(
        "ON CONFLICT (hour_us, upstream_id, provider_key_id, service_key_id, model) DO UPDATE SET {}",
        raised.join(", ")
    )
}

fn raise_latency() -> OnConflict {
    use latency_statistics::Column;
    let stored = Expr::col((latency_statistics::Entity, Column::Requests));
    OnConflict::columns([Column::HourUs, Column::OwnerId, Column::UpstreamId, Column::Class])
        .value(Column::Requests, stored.add(Expr::col(("excluded", Column::Requests))))
        .to_owned()
}

/// Whether an entry counts as an error. That a client left is not one.
pub(super) fn failed(entry: &LogEntry) -> bool {
    match entry.outcome {
        Outcome::ClientGone => false,
        Outcome::Completed => entry.status >= FAILED_FROM,
        _ => true,
    }
}

/// The hour in which a moment is.
pub(crate) fn hour_of(us: i64) -> i64 {
    us - us.rem_euclid(HOUR_US)
}

/// The class of a latency: a fifth of an octave of microseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "at most 320")]
fn class_of(latency_us: u64) -> i32 {
    ((Ord::max(latency_us, 1) as f64).log2() * CLASSES).floor() as i32
}

/// Between which latencies a class lies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 2 to the 64")]
pub(crate) fn class_bounds(class: i32) -> (u64, u64) {
    let bound = |class: i32| (f64::from(class) / CLASSES).exp2() as u64;
    (bound(class), bound(class + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_lies_within_its_class() {
        for latency in [1, 2, 3, 999, 1000, 150_000, 1_234_567, 3_600_000_000] {
            let (low, high) = class_bounds(class_of(latency));
            assert!(low <= latency && latency <= high, "{low} {latency} {high}");
        }
    }

    #[test]
    fn rows_are_parted_without_loss_into_few_lengths() {
        for len in [0, 1, 2, 3, 511, 512, 513, 1300] {
            let rows: Vec<_> = (0..len).collect();
            let parts: Vec<_> = even(&rows).collect();
            assert_eq!(parts.concat(), rows);
            assert!(parts.iter().all(|p| p.len().is_power_of_two() && p.len() <= ROWS));
        }
    }

    #[test]
    fn hours_begin_at_the_hour_also_before_1970() {
        assert_eq!(hour_of(3_600_000_001), 3_600_000_000);
        assert_eq!(hour_of(3_599_999_999), 0);
        assert_eq!(hour_of(-1), -3_600_000_000);
    }
}
