//! Raises the rows of roll-ups by what a batch adds.

use std::{borrow::Cow, cmp::Ordering, sync::LazyLock};

use super::{
    dimensions::Breakdown,
    fold::{Coarser, Fold, Key, Rows, Sums},
};
use crate::{
    Grain, Result,
    bulk::{Bulk, Cell, Insert, Kind},
};

/// The key of a row, in both tables.
const KEY: &str = "grain, breakdown, bucket_us, owner_id, key_id, upstream_id, label, class";

const USAGE_COLUMNS: [(&str, Kind); 18] = [
    ("grain", Kind::Int),
    ("breakdown", Kind::Int),
    ("bucket_us", Kind::Big),
    ("owner_id", Kind::Big),
    ("key_id", Kind::Big),
    ("upstream_id", Kind::Big),
    ("label", Kind::Text),
    ("class", Kind::Int),
    ("requests", Kind::Big),
    ("errors", Kind::Big),
    ("unpriced", Kind::Big),
    ("input_tokens", Kind::Big),
    ("cached_tokens", Kind::Big),
    ("cache_written_tokens", Kind::Big),
    ("output_tokens", Kind::Big),
    ("reasoning_tokens", Kind::Big),
    ("cost_nano", Kind::Big),
    ("latency_us", Kind::Big),
];

const LATENCY_COLUMNS: [(&str, Kind); 9] = [
    ("grain", Kind::Int),
    ("breakdown", Kind::Int),
    ("bucket_us", Kind::Big),
    ("owner_id", Kind::Big),
    ("key_id", Kind::Big),
    ("upstream_id", Kind::Big),
    ("label", Kind::Text),
    ("class", Kind::Int),
    ("requests", Kind::Big),
];

/// The first columns of both are the key.
const KEY_COLUMNS: usize = 8;

static USAGE: LazyLock<Insert> = LazyLock::new(|| raising("usage_rollups", &USAGE_COLUMNS));
static LATENCY: LazyLock<Insert> = LazyLock::new(|| raising("latency_rollups", &LATENCY_COLUMNS));

/// Inserts rows, or adds their sums to those that are there.
fn raising(table: &'static str, columns: &'static [(&'static str, Kind)]) -> Insert {
    let raised: Vec<String> = columns[KEY_COLUMNS..]
        .iter()
        .map(|(sum, _)| format!("{sum} = {table}.{sum} + excluded.{sum}"))
        .collect();
    let raised = raised.join(", ");
    Insert::new(table, columns, format!("ON CONFLICT ({KEY}) DO UPDATE SET {raised}"))
}

/// Raises the sums of each grain, those of all grains with one statement a table.
pub(crate) async fn write(tx: &mut Bulk, fold: &Fold<'_>) -> Result<()> {
    let (mut usage, mut latency) = (Cow::Borrowed(&fold.usage), Cow::Borrowed(&fold.latency));
    let (mut usage_cells, mut latency_cells) = (Vec::new(), Vec::new());
    for grain in Grain::ALL {
        if grain != Grain::Minute {
            usage = Cow::Owned(usage.coarser(grain));
            latency = Cow::Owned(latency.coarser(grain));
        }
        for (key, sums) in sorted(fold, &usage) {
            head(&mut usage_cells, fold, grain, key);
            usage_cells.extend(values(sums).map(Cell::Int));
        }
        // Of single callers latencies by the minute would be a row for nearly every call.
        let kept = |key: &Key| grain != Grain::Minute || key.breakdown == Breakdown::All;
        for (key, calls) in sorted(fold, &latency).into_iter().filter(|(key, _)| kept(key)) {
            head(&mut latency_cells, fold, grain, key);
            latency_cells.push(Cell::Int(*calls));
        }
    }
    tx.insert(&USAGE, usage_cells).await?;
    tx.insert(&LATENCY, latency_cells).await?;
    Ok(())
}

fn values(sums: &Sums) -> [i64; 10] {
    [
        sums.requests,
        sums.errors,
        sums.unpriced,
        sums.input,
        sums.cached,
        sums.cache_written,
        sums.output,
        sums.reasoning,
        sums.cost_nano,
        sums.latency_us,
    ]
}

/// The columns of the key.
fn head<'a>(cells: &mut Vec<Cell<'a>>, fold: &Fold<'a>, grain: Grain, key: &Key) {
    cells.extend([
        Cell::Int(grain.code()),
        Cell::Int(key.breakdown.code()),
        Cell::Int(key.bucket),
        Cell::Int(key.owner),
        Cell::Int(key.key),
        Cell::Int(key.upstream),
        fold.labels[key.label].into(),
        Cell::Int(key.class),
    ]);
}

/// Rows in the order of their keys: neighbours lie on one page of the table.
fn sorted<'r, T>(fold: &Fold<'_>, rows: &'r Rows<T>) -> Vec<(&'r Key, &'r T)> {
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_unstable_by(|(a, _), (b, _)| order(fold, a, b));
    sorted
}

fn order(fold: &Fold<'_>, a: &Key, b: &Key) -> Ordering {
    let numbers = |key: &Key| (key.breakdown, key.bucket, key.owner, key.key, key.upstream);
    numbers(a)
        .cmp(&numbers(b))
        .then_with(|| fold.labels[a.label].cmp(fold.labels[b.label]))
        .then_with(|| a.class.cmp(&b.class))
}
