//! Folds a batch of entries in memory, so that each row of sums is raised once for the batch.

use std::collections::HashMap;

use domain::{
    ProviderKeyId, UpstreamId,
    log::{LogEntry, Usage},
};
use foldhash::quality::RandomState;

use super::{
    dimensions::{Breakdown, SUMMED_MAX, class},
    labels::Resolved,
    quantile::class_of,
};
use crate::{Grain, count};

/// The row that is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) breakdown: Breakdown,
    pub(super) bucket: i64,
    pub(super) owner: i64,
    pub(super) key: i64,
    pub(super) upstream: i64,
    /// A place in [`Fold::labels`].
    pub(super) label: usize,
    pub(super) class: i64,
}

/// What is added to a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) requests: i64,
    pub(super) errors: i64,
    /// Requests that used something whose price is not known.
    pub(super) unpriced: i64,
    pub(super) input: i64,
    pub(super) cached: i64,
    pub(super) cache_written: i64,
    pub(super) output: i64,
    pub(super) reasoning: i64,
    pub(super) cost_nano: i64,
    pub(super) latency_us: i64,
}

pub(super) type Rows<T> = HashMap<Key, T, RandomState>;

/// What a batch adds to the roll-ups, by the minute.
#[derive(Debug, Default)]
pub(crate) struct Fold<'a> {
    pub(super) labels: Vec<&'a str>,
    places: HashMap<&'a str, usize, RandomState>,
    pub(super) usage: Rows<Sums>,
    pub(super) latency: Rows<i64>,
}

/// An upstream and a provider key of it.
type Place = (Option<UpstreamId>, Option<ProviderKeyId>);

impl<'a> Fold<'a> {
    /// Counts a call where it was answered, or tried last; what other attempts used and cost counts
    /// at their own upstream and key.
    pub(crate) fn add(&mut self, entry: &'a LogEntry, labels: &'a Resolved) {
        let (mut usage, mut cost) = (entry.usage, entry.cost_nano.unwrap_or_default());
        let last = (entry.upstream, entry.provider_key);
        let model = self.place(labels.model(entry));
        for attempt in &entry.attempts {
            let place = (Some(attempt.upstream), attempt.provider_key);
            let paid = attempt.cost_nano.unwrap_or_default();
            if place == last || (attempt.usage.is_nothing() && paid == 0) {
                continue;
            }
            (usage, cost) = (usage.minus(&attempt.usage), cost.saturating_sub(paid));
            self.raise(entry, place, model, &Sums::of(&attempt.usage, paid));
        }
        let mut sums = Sums::of(&usage, cost);
        sums.requests = 1;
        sums.errors = i64::from(entry.failed());
        sums.unpriced = i64::from(entry.cost_nano.is_none() && !entry.usage.is_nothing());
        sums.latency_us = count(Ord::min(entry.latency_us, SUMMED_MAX));
        self.raise(entry, last, model, &sums);
        self.tags(entry, labels, &sums);
        let class = i64::from(class_of(entry.latency_us));
        for breakdown in [Breakdown::All, Breakdown::Callers] {
            let key = Key { class, ..key(breakdown, entry, last, model) };
            *self.latency.entry(key).or_default() += 1;
        }
    }

    fn raise(&mut self, entry: &LogEntry, place: Place, model: usize, sums: &Sums) {
        for breakdown in [Breakdown::All, Breakdown::Callers, Breakdown::Keys] {
            self.usage.entry(key(breakdown, entry, place, model)).or_default().add(sums);
        }
    }

    /// Counts the whole call, with the usage of all attempts, for each of its tags.
    fn tags(&mut self, entry: &'a LogEntry, labels: &'a Resolved, last: &Sums) {
        if entry.metadata.is_empty() {
            return;
        }
        let whole = Sums::of(&entry.usage, entry.cost_nano.unwrap_or_default());
        let Sums { requests, errors, unpriced, latency_us, .. } = *last;
        let sums = Sums { requests, errors, unpriced, latency_us, ..whole };
        for tag in labels.tags(entry) {
            let label = self.place(tag);
            let key = Key { upstream: 0, ..key(Breakdown::Tags, entry, (None, None), label) };
            self.usage.entry(key).or_default().add(&sums);
        }
    }

    fn place(&mut self, label: &'a str) -> usize {
        *self.places.entry(label).or_insert_with(|| {
            self.labels.push(label);
            self.labels.len() - 1
        })
    }
}

/// The row of an entry in a breakdown, in the bucket of its minute.
fn key(
    breakdown: Breakdown,
    entry: &LogEntry,
    (upstream, provider_key): Place,
    label: usize,
) -> Key {
    let (owner, key) = match breakdown {
        Breakdown::All => (0, 0),
        Breakdown::Callers | Breakdown::Tags => (entry.owner.0, entry.service_key.0),
        Breakdown::Keys => (entry.owner.0, provider_key.map_or(0, |id| id.0)),
    };
    Key {
        breakdown,
        bucket: Grain::Minute.floor(entry.started_us),
        owner,
        key,
        upstream: upstream.map_or(0, |id| id.0),
        label,
        class: class(entry),
    }
}

impl Sums {
    /// What was used and what it cost: no number that was made up can overflow a column and thereby
    /// keep its batch out for ever.
    fn of(usage: &Usage, cost_nano: i64) -> Self {
        let most = count(SUMMED_MAX);
        let believed = |tokens: u64| count(Ord::min(tokens, SUMMED_MAX));
        Self {
            input: believed(usage.input),
            cached: believed(usage.cached),
            cache_written: believed(usage.cache_written),
            output: believed(usage.output),
            reasoning: believed(usage.reasoning),
            cost_nano: cost_nano.clamp(-most, most),
            ..Self::default()
        }
    }

    fn add(&mut self, other: &Sums) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.unpriced += other.unpriced;
        self.input += other.input;
        self.cached += other.cached;
        self.cache_written += other.cache_written;
        self.output += other.output;
        self.reasoning += other.reasoning;
        self.cost_nano += other.cost_nano;
        self.latency_us += other.latency_us;
    }
}

/// Sums of longer buckets.
pub(super) trait Coarser {
    /// The same rows by `grain`.
    fn coarser(&self, grain: Grain) -> Self;
}

impl Coarser for Rows<Sums> {
    fn coarser(&self, grain: Grain) -> Self {
        let mut rows = Self::default();
        for (key, sums) in self {
            let key = Key { bucket: grain.floor(key.bucket), ..*key };
            rows.entry(key).or_default().add(sums);
        }
        rows
    }
}

impl Coarser for Rows<i64> {
    fn coarser(&self, grain: Grain) -> Self {
        let mut rows = Self::default();
        for (key, calls) in self {
            *rows.entry(Key { bucket: grain.floor(key.bucket), ..*key }).or_default() += calls;
        }
        rows
    }
}
