//! Answers questions about ranges of time from the roll-ups.

use std::collections::HashMap;

use domain::UserId;
use foldhash::quality::RandomState;
use sea_orm::{ConnectionTrait, QueryResult, Statement, Value as Bound};

use super::{
    dimensions::{Breakdown, OTHER, outcome_code, outcome_of},
    plan::{Segment, floors, plan},
};
use crate::{
    Dimension, Grain, Group, Latencies, Result, Statistics, StatsFilter, StatsQuestion, Store,
    StoreError, TimeRange, Totals, Value, link::Transaction, moment, uncount,
};

/// Longest range: ten years.
const LONGEST_US: i64 = 3660 * Grain::Day.us();
/// Most rows of one statement: latencies have several for each group.
const ROWS_MAX: usize = StatsQuestion::GROUPS_MAX * 10;
/// Most buckets of one answer.
const BUCKETS_MAX: i64 = 11_000;

/// The sums of a row, in the order in which they are read.
const SUMS: [&str; 10] = [
    "requests",
    "errors",
    "unpriced",
    "input_tokens",
    "cached_tokens",
    "cache_written_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nano",
    "latency_us",
];

/// When a group is, and its values.
type Place = (i64, Vec<Value>);
type Groups<T> = HashMap<Place, T, RandomState>;

impl Store {
    /// Answers a question: about everybody's calls, or about those of one owner.
    ///
    /// # Errors
    /// Names the fields of a question that cannot be answered: a range that is empty or too long,
    /// dimensions that are not kept together, an answer that would be too large.
    pub async fn statistics(
        &self,
        question: &StatsQuestion,
        owner: Option<UserId>,
    ) -> Result<Statistics> {
        let breakdown = breakdown(question, owner)?;
        let tx = self.0.db.read().await?;
        let segments = segments(&tx, question, Grain::Minute).await?;
        let sums = SUMS.map(|sum| format!("CAST(SUM({sum}) AS BIGINT)")).join(", ");
        let mut groups: Groups<[i64; SUMS.len()]> = Groups::default();
        for segment in &segments {
            let ask = Ask { table: "usage_rollups", sums: &sums, breakdown, owner };
            for row in ask.rows(&tx, question, segment).await? {
                let found = groups.entry(place(&row, question)?).or_default();
                for (at, sum) in found.iter_mut().enumerate() {
                    *sum = sum.saturating_add(row.try_get_by_index::<i64>(3 + at)?);
                }
                few(groups.len())?;
            }
        }
        tx.commit().await?;
        let mut groups: Vec<Group> = groups
            .into_iter()
            .map(|((at, values), sums)| {
                let at = question.every.map(|_| moment(at));
                Group { at, values, totals: totals(&sums) }
            })
            .collect();
        groups.sort_unstable_by(|a, b| {
            let busiest = b.totals.requests.cmp(&a.totals.requests);
            a.at.cmp(&b.at).then(busiest).then_with(|| a.values.cmp(&b.values))
        });
        Ok(Statistics { range: covered(&segments, question.range), groups })
    }

    /// How the latencies of calls are distributed: those of everybody, or of one owner.
    ///
    /// # Errors
    /// As [`Store::statistics`]; latencies are kept by owner, service key, upstream and model.
    pub async fn latencies(
        &self,
        question: &StatsQuestion,
        owner: Option<UserId>,
    ) -> Result<(TimeRange, Vec<Latencies>)> {
        let breakdown = match breakdown(question, owner)? {
            kept @ (Breakdown::All | Breakdown::Callers) => kept,
            Breakdown::Keys | Breakdown::Tags => return Err(no_latency()),
        };
        let filter = &question.filter;
        let by_end =
            question.by.iter().any(|by| matches!(by, Dimension::Status | Dimension::Outcome));
        if by_end || filter.status.is_some() || filter.outcome.is_some() {
            return Err(no_latency());
        }
        let finest = if breakdown == Breakdown::All { Grain::Minute } else { Grain::Hour };
        let tx = self.0.db.read().await?;
        let segments = segments(&tx, question, finest).await?;
        let mut groups: Groups<HashMap<i32, u64>> = Groups::default();
        for segment in &segments {
            let sums = "class, CAST(SUM(requests) AS BIGINT)";
            let ask = Ask { table: "latency_rollups", sums, breakdown, owner };
            for row in ask.rows(&tx, question, segment).await? {
                let classes = groups.entry(place(&row, question)?).or_default();
                let calls = uncount(row.try_get_by_index(4)?);
                *classes.entry(row.try_get_by_index(3)?).or_default() += calls;
                few(groups.len())?;
            }
        }
        tx.commit().await?;
        let mut all: Vec<Latencies> = groups
            .into_iter()
            .map(|((at, values), classes)| {
                let mut classes: Vec<_> = classes.into_iter().collect();
                classes.sort_unstable();
                Latencies { at: question.every.map(|_| moment(at)), values, classes }
            })
            .collect();
        all.sort_unstable_by(|a, b| {
            let busiest = b.calls().cmp(&a.calls());
            a.at.cmp(&b.at).then(busiest).then_with(|| a.values.cmp(&b.values))
        });
        Ok((covered(&segments, question.range), all))
    }
}

fn no_latency() -> StoreError {
    StoreError::fault("by", "latencies are kept by user, service key, upstream and model only")
}

fn few(groups: usize) -> Result<()> {
    if groups > StatsQuestion::GROUPS_MAX { Err(too_many()) } else { Ok(()) }
}

fn too_many() -> StoreError {
    let most = StatsQuestion::GROUPS_MAX;
    StoreError::fault("by", format!("makes more than {most} groups; filter, or ask for less"))
}

/// The rows that answer a question.
async fn segments(
    tx: &Transaction,
    question: &StatsQuestion,
    finest: Grain,
) -> Result<Vec<Segment>> {
    let (from, to) = (question.range.from.timestamp_micros(), question.range.to.timestamp_micros());
    if to <= from || to.saturating_sub(from) > LONGEST_US {
        return Err(StoreError::fault("to", "must be after `from`, by ten years at most"));
    }
    let every = question.every;
    if every.is_some_and(|every| (to - from) / every.us() > BUCKETS_MAX) {
        let words = format!("makes more than {BUCKETS_MAX} buckets; ask for longer ones");
        return Err(StoreError::fault("interval", words));
    }
    let finest = every.map_or(finest, |every| Ord::max(every, finest));
    let coarsest = every.map_or(Grain::Day, |every| Ord::max(every, finest));
    Ok(plan(from, to, finest, coarsest, floors(tx).await?))
}

fn covered(segments: &[Segment], asked: TimeRange) -> TimeRange {
    match (segments.first(), segments.last()) {
        (Some(first), Some(last)) => TimeRange { from: moment(first.from), to: moment(last.to) },
        _ => asked,
    }
}

/// The set of rows that knows all the dimensions of a question.
fn breakdown(question: &StatsQuestion, owner: Option<UserId>) -> Result<Breakdown> {
    let StatsQuestion { by, filter, .. } = question;
    if by.len() > StatsQuestion::DIMENSIONS_MAX {
        let most = StatsQuestion::DIMENSIONS_MAX;
        return Err(StoreError::fault("by", format!("must be at most {most} dimensions")));
    }
    let has = |wanted: fn(&Dimension) -> bool| by.iter().any(wanted);
    let service_key = filter.service_key.is_some() || has(|by| *by == Dimension::ServiceKey);
    let provider_key = filter.provider_key.is_some() || has(|by| *by == Dimension::ProviderKey);
    let user = filter.user.is_some() || owner.is_some() || has(|by| *by == Dimension::User);
    let tags = by.iter().filter(|by| matches!(by, Dimension::Tag(_))).count();
    let place = has(|by| matches!(by, Dimension::Upstream | Dimension::Model))
        || filter.upstream.is_some()
        || filter.model.is_some();
    if tags > 0 || filter.tag.is_some() {
        if tags > 1 || (tags == 1 && filter.tag.is_some()) {
            return Err(StoreError::fault("by", "only one tag can be asked about at once"));
        }
        if provider_key || place {
            let words = "tags are kept by user, service key, status and outcome only";
            return Err(StoreError::fault("by", words));
        }
        return Ok(Breakdown::Tags);
    }
    match (service_key, provider_key) {
        (true, true) => Err(StoreError::fault(
            "by",
            "service keys and provider keys are not kept together; ask about one of them, or read \
             the log entries",
        )),
        (true, false) => Ok(Breakdown::Callers),
        (false, true) => Ok(Breakdown::Keys),
        (false, false) if user => Ok(Breakdown::Callers),
        (false, false) => Ok(Breakdown::All),
    }
}

/// One statement about one segment.
struct Ask<'a> {
    table: &'static str,
    /// What is read behind the group: with `class` in it, it is grouped by that too.
    sums: &'a str,
    breakdown: Breakdown,
    owner: Option<UserId>,
}

impl Ask<'_> {
    async fn rows(
        &self,
        tx: &Transaction,
        question: &StatsQuestion,
        segment: &Segment,
    ) -> Result<Vec<QueryResult>> {
        let Ask { table, sums, .. } = self;
        let mut values: Vec<Bound> = vec![segment.from.into(), segment.to.into()];
        let at = match question.every {
            Some(_) => "bucket_us",
            None => "CAST(0 AS BIGINT)",
        };
        let mut conditions = String::new();
        let dimensions: Vec<String> = (0..StatsQuestion::DIMENSIONS_MAX)
            .map(|place| match question.by.get(place) {
                Some(by) => column(by, &mut conditions, &mut values),
                None => "''".to_owned(),
            })
            .collect();
        self.filter(&question.filter, &mut conditions, &mut values);
        let class = if sums.starts_with("class") { ", class" } else { "" };
        let sql = format!(
            "SELECT {at}, {}, {sums} FROM {table} WHERE grain = {} AND breakdown = {} \
             AND bucket_us >= $1 AND bucket_us < $2{conditions} GROUP BY 1, 2, 3{class} LIMIT {}",
            dimensions.join(", "),
            segment.grain.code(),
            self.breakdown.code(),
            // One more tells that there are more: a part of them would be a wrong sum.
            ROWS_MAX + 1,
        );
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let rows = tx.query_all_raw(statement).await?;
        if rows.len() > ROWS_MAX { Err(too_many()) } else { Ok(rows) }
    }

    fn filter(&self, filter: &StatsFilter, conditions: &mut String, values: &mut Vec<Bound>) {
        for (column, id) in [
            ("owner_id", self.owner.map(|id| id.0)),
            ("owner_id", filter.user.map(|id| id.0)),
            ("key_id", filter.service_key.map(|id| id.0)),
            ("key_id", filter.provider_key.map(|id| id.0)),
            ("upstream_id", filter.upstream.map(|id| id.0)),
            ("class % 10", filter.status.map(i64::from)),
            ("class / 10", filter.outcome.map(outcome_code)),
        ] {
            if let Some(id) = id {
                conditions.push_str(&format!(" AND {column} = {id}"));
            }
        }
        let tag = filter.tag.as_ref().map(|(key, value)| format!("{key}={value}"));
        for label in [filter.model.clone(), tag].into_iter().flatten() {
            values.push(crate::text::clean(&label).into());
            conditions.push_str(&format!(" AND label = ${}", values.len()));
        }
    }
}

/// The value of a dimension as text, and what it takes to be asked about.
fn column(by: &Dimension, conditions: &mut String, values: &mut Vec<Bound>) -> String {
    let of = match by {
        Dimension::User => "owner_id",
        Dimension::ServiceKey | Dimension::ProviderKey => "key_id",
        Dimension::Upstream => "upstream_id",
        Dimension::Model => return "label".to_owned(),
        Dimension::Status => "class % 10",
        Dimension::Outcome => "class / 10",
        Dimension::Tag(key) => {
            let key = crate::text::clean(&format!("{key}="));
            let letters = key.chars().count();
            values.push(key.into());
            conditions.push_str(&format!(" AND substr(label, 1, {letters}) = ${}", values.len()));
            return format!("substr(label, {})", letters + 1);
        }
    };
    format!("CAST({of} AS TEXT)")
}

/// Which group a row belongs to.
fn place(row: &QueryResult, question: &StatsQuestion) -> Result<Place> {
    let mut values = Vec::with_capacity(question.by.len());
    for (at, by) in question.by.iter().enumerate() {
        let text: String = row.try_get_by_index(1 + at)?;
        let number = || text.parse::<i64>().unwrap_or_default();
        values.push(match by {
            Dimension::Model | Dimension::Tag(_) if text == OTHER => Value::Other,
            Dimension::Model | Dimension::Tag(_) => Value::Text(text),
            Dimension::Status => Value::Status(u8::try_from(number()).unwrap_or_default()),
            Dimension::Outcome => Value::Outcome(outcome_of(number()).as_str()),
            _ => Value::Id(number()),
        });
    }
    Ok((row.try_get_by_index(0)?, values))
}

fn totals(sums: &[i64; SUMS.len()]) -> Totals {
    let [requests, errors, unpriced, input, cached, written, output, reasoning, cost, latency] =
        *sums;
    Totals {
        requests: uncount(requests),
        errors: uncount(errors),
        unpriced: uncount(unpriced),
        input_tokens: uncount(input),
        cached_tokens: uncount(cached),
        cache_written_tokens: uncount(written),
        output_tokens: uncount(output),
        reasoning_tokens: uncount(reasoning),
        cost_nano: cost,
        latency_us: uncount(latency),
    }
}
