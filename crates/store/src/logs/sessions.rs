//! The sums of sessions of client programs: raised together with the log entries that they sum up, so
//! that a list of sessions reads no log entries. Entries without a session cost nothing here.

use std::{collections::BTreeMap, sync::LazyLock};

use domain::log::{LogEntry, Outcome};
use entity::{agent_session_parts, agent_sessions};

use crate::{
    Result,
    bulk::{Bulk, Cell, Insert, Kind},
    count,
    statistics::SUMMED_MAX,
    text::clean,
};

/// The counter of the ids of sessions.
const COUNTER: &str = "agent_sessions";

/// What a batch adds. In order of keys, so that two instances that add at once lock rows in the same
/// order.
#[derive(Default)]
pub(super) struct SessionSums {
    sessions: BTreeMap<(i64, String), agent_sessions::Model>,
    parts: BTreeMap<(i64, String, String, String), agent_session_parts::Model>,
}

/// What both tables sum.
struct Added {
    first_us: i64,
    last_us: i64,
    errors: i64,
    tokens: [i64; 4],
    cost_nano: i64,
    unpriced: i64,
}

macro_rules! raise {
    ($row:expr, $added:expr) => {{
        let (row, added): (_, &Added) = ($row, $added);
        row.first_us = row.first_us.min(added.first_us);
        row.last_us = row.last_us.max(added.last_us);
        row.calls += 1;
        row.errors += added.errors;
        row.input_tokens += added.tokens[0];
        row.cached_tokens += added.tokens[1];
        row.cache_written_tokens += added.tokens[2];
        row.output_tokens += added.tokens[3];
        row.cost_nano += added.cost_nano;
        row.unpriced += added.unpriced;
    }};
}

/// The cells of what both tables sum, in the order of their last columns.
macro_rules! sums {
    ($row:expr) => {
        [
            $row.first_us,
            $row.last_us,
            $row.calls,
            $row.errors,
            $row.input_tokens,
            $row.cached_tokens,
            $row.cache_written_tokens,
            $row.output_tokens,
            $row.cost_nano,
            $row.unpriced,
        ]
        .map(Cell::Int)
    };
}

impl SessionSums {
    /// Counts a call that was not entered before.
    pub(super) fn add(&mut self, entry: &LogEntry) {
        let Some(session) = entry.origin.session.as_deref().map(clean) else { return };
        let failed = entry.failed();
        let text = |text: &Option<String>| text.as_deref().map(clean);
        let amount = |value: u64| count(value.min(SUMMED_MAX));
        let usage = &entry.usage;
        let unpriced = entry.cost_nano.is_none() && !usage.is_nothing();
        let added = Added {
            first_us: entry.started_us,
            last_us: entry.started_us.saturating_add(amount(entry.latency_us)),
            errors: i64::from(failed),
            tokens: [usage.input, usage.cached, usage.cache_written, usage.output].map(amount),
            cost_nano: entry
                .cost_nano
                .unwrap_or_default()
                .clamp(-count(SUMMED_MAX), count(SUMMED_MAX)),
            unpriced: i64::from(unpriced),
        };
        let owner = entry.owner.0;
        let answered = entry.outcome == Outcome::Completed && !failed;
        let row = self.sessions.entry((owner, session.clone())).or_insert_with(|| {
            agent_sessions::Model {
                id: 0,
                owner_id: owner,
                session: session.clone(),
                parent_session: None,
                service_key_id: entry.service_key.0,
                client_program: None,
                client_version: None,
                first_us: added.first_us,
                last_us: added.last_us,
                calls: 0,
                turns: 0,
                errors: 0,
                input_tokens: 0,
                cached_tokens: 0,
                cache_written_tokens: 0,
                output_tokens: 0,
                cost_nano: 0,
                unpriced: 0,
            }
        });
        raise!(&mut *row, &added);
        row.turns += i64::from(answered && entry.origin.agent.is_none());
        row.service_key_id = entry.service_key.0;
        row.parent_session = text(&entry.origin.parent_session).or(row.parent_session.take());
        row.client_program = text(&entry.origin.program).or(row.client_program.take());
        row.client_version = text(&entry.origin.version).or(row.client_version.take());

        let agent = text(&entry.origin.agent).unwrap_or_default();
        let model = entry.model_used.as_deref().or(entry.model_asked.as_deref());
        let model = model.map(clean).unwrap_or_default();
        let key = (owner, session.clone(), agent.clone(), model.clone());
        let part = self.parts.entry(key).or_insert_with(|| agent_session_parts::Model {
            owner_id: owner,
            session,
            agent,
            model,
            parent_agent: None,
            first_us: added.first_us,
            last_us: added.last_us,
            calls: 0,
            errors: 0,
            input_tokens: 0,
            cached_tokens: 0,
            cache_written_tokens: 0,
            output_tokens: 0,
            cost_nano: 0,
            unpriced: 0,
        });
        raise!(&mut *part, &added);
        part.parent_agent = text(&entry.origin.parent_agent).or(part.parent_agent.take());
    }

    /// Adds it to what is stored.
    pub(super) async fn store(self, tx: &mut Bulk) -> Result<()> {
        if self.sessions.is_empty() {
            return Ok(());
        }
        let first = tx.numbers(COUNTER, self.sessions.len()).await?;
        let cells = (first..).zip(self.sessions.into_values()).flat_map(|(id, row)| {
            let key = [
                id.into(),
                row.owner_id.into(),
                Cell::Text(row.session.into()),
                Cell::maybe(row.parent_session),
                row.service_key_id.into(),
                Cell::maybe(row.client_program),
                Cell::maybe(row.client_version),
                row.turns.into(),
            ];
            key.into_iter().chain(sums!(row))
        });
        tx.insert(&SESSIONS, cells.collect()).await?;
        let cells = self.parts.into_values().flat_map(|row| {
            let key = [
                row.owner_id.into(),
                Cell::Text(row.session.into()),
                Cell::Text(row.agent.into()),
                Cell::Text(row.model.into()),
                Cell::maybe(row.parent_agent),
            ];
            key.into_iter().chain(sums!(row))
        });
        tx.insert(&PARTS, cells.collect()).await?;
        Ok(())
    }
}

static SESSIONS: LazyLock<Insert> = LazyLock::new(|| {
    let known = on_conflict(
        "agent_sessions",
        "owner_id, session",
        &["turns"],
        &["parent_session", "client_program", "client_version", "service_key_id"],
    );
    Insert::new(
        "agent_sessions",
        &[
            ("id", Kind::Big),
            ("owner_id", Kind::Big),
            ("session", Kind::Text),
            ("parent_session", Kind::Text),
            ("service_key_id", Kind::Big),
            ("client_program", Kind::Text),
            ("client_version", Kind::Text),
            ("turns", Kind::Big),
            ("first_us", Kind::Big),
            ("last_us", Kind::Big),
            ("calls", Kind::Big),
            ("errors", Kind::Big),
            ("input_tokens", Kind::Big),
            ("cached_tokens", Kind::Big),
            ("cache_written_tokens", Kind::Big),
            ("output_tokens", Kind::Big),
            ("cost_nano", Kind::Big),
            ("unpriced", Kind::Big),
        ],
        known,
    )
});

static PARTS: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "agent_session_parts",
        &[
            ("owner_id", Kind::Big),
            ("session", Kind::Text),
            ("agent", Kind::Text),
            ("model", Kind::Text),
            ("parent_agent", Kind::Text),
            ("first_us", Kind::Big),
            ("last_us", Kind::Big),
            ("calls", Kind::Big),
            ("errors", Kind::Big),
            ("input_tokens", Kind::Big),
            ("cached_tokens", Kind::Big),
            ("cache_written_tokens", Kind::Big),
            ("output_tokens", Kind::Big),
            ("cost_nano", Kind::Big),
            ("unpriced", Kind::Big),
        ],
        on_conflict(
            "agent_session_parts",
            "owner_id, session, agent, model",
            &[],
            &["parent_agent"],
        ),
    )
});

/// Sums that both tables have.
const SUMS: [&str; 8] = [
    "calls",
    "errors",
    "input_tokens",
    "cached_tokens",
    "cache_written_tokens",
    "output_tokens",
    "cost_nano",
    "unpriced",
];

/// Adds to a row that is there: sums grow, the span widens, and of other columns the later value
/// counts, where there is one.
fn on_conflict(table: &str, key: &str, more: &[&str], latest: &[&str]) -> String {
    let grow = SUMS.iter().chain(more).map(|of| format!("{of} = {table}.{of} + excluded.{of}"));
    let known = latest.iter().map(|of| format!("{of} = COALESCE(excluded.{of}, {table}.{of})"));
    let choose = |of: &str, sign: &str| {
        format!(
            "{of} = CASE WHEN excluded.{of} {sign} {table}.{of} THEN excluded.{of} ELSE {table}.{of} END"
        )
    };
    let span = [choose("first_us", "<"), choose("last_us", ">")];
    let set: Vec<String> = grow.chain(known).chain(span).collect();
    format!("ON CONFLICT ({key}) DO UPDATE SET {}", set.join(", "))
}
