//! `/api/admin/logs`: what each admitted call did.

use auth::Actor;
use axum::{
    Json as Answer,
    extract::{Path, State, rejection::PathRejection},
};
use chrono::{DateTime, Utc};
use domain::{Faults, ProviderKeyId, ServiceKeyId, UpstreamId, UserId, log};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{AuditEvent, LogFilter, LogOrder, LogRow, Page, RecordedBody, StatusClass};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{money::Cost, rules::triggers::RuleTrigger};
use crate::{
    app::Management,
    error::ApiError,
    input::Query,
    listing::{ListOf, ListQuery},
    permit::{ReadBodies, ReadLogs, With},
    words::{Dialect, ErrorClass, Outcome, UsageSource},
};

/// What one admitted call did. Times are in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogEntry {
    /// Its id; that of the call.
    id: Uuid,
    /// The `x-request-id` of the answer.
    request_id: String,
    /// When the call was admitted.
    started_at: DateTime<Utc>,
    /// When it ended.
    ended_at: DateTime<Utc>,
    /// When the entry came into the database.
    stored_at: DateTime<Utc>,
    /// The service key that the call was made with.
    service_key_id: i64,
    /// What that key was called then.
    service_key_name: String,
    /// The user who owns that key.
    owner_id: i64,
    /// Where the answer came from, or the last attempt went.
    upstream_id: Option<i64>,
    /// What that upstream was called then.
    upstream: Option<String>,
    /// The provider key of that attempt.
    provider_key_id: Option<i64>,
    /// What that provider key was called then.
    provider_key: Option<String>,
    /// The model that the client asked for.
    model_asked: Option<String>,
    /// The model that the last attempt went to.
    model_used: Option<String>,
    /// The dialect that the client spoke; none on `/proxy/…`.
    dialect: Option<Dialect>,
    /// The method of the request.
    method: String,
    /// The path of the request, without its query.
    path: String,
    /// The status that went to the client; 0 when none did.
    status: u16,
    /// How the call ended.
    outcome: Outcome,
    /// Bytes of the request's body.
    bytes_in: u64,
    /// Bytes of the answer's body.
    bytes_out: u64,
    /// From admission to the end of the answer, in milliseconds.
    latency_ms: f64,
    /// To the first byte of the answer.
    first_byte_ms: Option<f64>,
    /// Whether the answer was an event stream.
    streamed: bool,
    /// What it used: the sum over the attempts.
    usage: Usage,
    /// How it is known what it used.
    usage_source: UsageSource,
    /// What it cost in dollars: the sum over the attempts; `null` where that is not known.
    cost: Option<Cost>,
    /// The configuration revision whose prices `cost` follows.
    price_version: Option<i64>,
    /// The client's session, as its own headers say.
    session: Option<String>,
    /// The session that started `session`.
    parent_session: Option<String>,
    /// The agent within the session; `null` for the main one.
    agent: Option<String>,
    /// The agent that started `agent`.
    parent_agent: Option<String>,
    /// The client program, by its `user-agent`.
    #[schema(example = "claude-code")]
    client_program: Option<String>,
    /// The version of the client program.
    client_version: Option<String>,
    /// The model that answered, by the provider's own name.
    model_served: Option<String>,
    /// The service tier that the provider applied.
    #[schema(example = "default")]
    service_tier: Option<String>,
    /// The provider's own id of the request: that of the last attempt that has one.
    provider_request_id: Option<String>,
    /// The provider's usage numbers as it wrote them.
    #[schema(value_type = Option<Object>)]
    usage_reported: Option<Value>,
    /// Every try at a provider, in order.
    attempts: Vec<Attempt>,
    /// Why it failed, where it did.
    error: Option<String>,
    /// The client's address, masked as configured.
    client_ip: Option<String>,
    /// Who could have answered, and why each was passed over.
    decision: Vec<Considered>,
    /// What rules marked it with.
    tags: Vec<String>,
    /// Time spent in the queue, in milliseconds.
    waited_ms: f64,
}

/// What one admitted call did, and which rules fired about it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogEntryInFull {
    #[serde(flatten)]
    entry: LogEntry,
    /// The rules that fired about it, or would have, in order; at most 100. They are kept apart,
    /// and come a moment after the call.
    rules: Vec<RuleTrigger>,
}

/// What a call or an attempt used: tokens, and what some providers bill instead of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// All that went in.
    input: u64,
    /// Part of `input`: read from the provider's prompt cache.
    cached: u64,
    /// Part of `input`: written to the provider's prompt cache.
    cache_written: u64,
    /// Part of `input`.
    input_audio: u64,
    /// All that came out.
    output: u64,
    /// Part of `output`.
    reasoning: u64,
    /// Part of `output`.
    output_audio: u64,
    /// Characters of text that were to be spoken.
    characters: u64,
    /// Images that were made.
    images: u64,
    /// Milliseconds of audio that was listened to, or of video that was made.
    duration_ms: u64,
}

/// One try at one upstream with one provider key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Attempt {
    /// The upstream that was asked.
    upstream_id: i64,
    /// What that upstream was called then.
    upstream: String,
    /// The provider key that was used; `null` where none was chosen.
    provider_key_id: Option<i64>,
    /// What that provider key was called then.
    provider_key: Option<String>,
    /// When it began, after the call did.
    started_ms: f64,
    /// How long it took, in milliseconds.
    duration_ms: f64,
    /// The provider's status, where one came.
    status: Option<u16>,
    /// `answered`, or why it did not count as an answer.
    #[schema(example = "rate_limited")]
    result: String,
    /// The class of the failure, where it was one.
    class: Option<ErrorClass>,
    /// The rules that fired.
    rule_ids: Vec<i64>,
    /// The provider's own id of the request.
    provider_request_id: Option<String>,
    /// What this attempt used. One that timed out may have been billed all the same: it is
    /// `estimated` then.
    usage: Usage,
    /// How it is known what this attempt used.
    usage_source: UsageSource,
    /// What this attempt cost in dollars; `null` where that is not known.
    cost: Option<Cost>,
}

/// One place that could have answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Considered {
    /// The name of the upstream, with its model where it has another.
    candidate: String,
    /// Why it was not asked; `null` where it was.
    passed_over: Option<String>,
}

/// The bodies of a call, where its upstream records them: the request's, then the answer's.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bodies {
    /// At most two.
    items: Vec<Body>,
}

/// A recorded body, capped and masked when it was recorded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Body {
    /// Whose body it is.
    of: Side,
    /// What is no text is shown as `�`.
    text: String,
    /// Whether it was longer.
    cut: bool,
}

/// Whose body it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Side {
    Request,
    Answer,
}

/// Which log entries are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogsQuery {
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// The order. Programs that copy the log read it by `arrival`: whoever goes on from the
    /// `next_cursor` of the page before misses no entry and gets none twice, whenever it was
    /// stored and by whichever instance. In this order each page has a `next_cursor`, also an
    /// empty one, and nothing more is there yet when a page holds fewer items than `limit`.
    #[param(inline)]
    sort: Option<LogSort>,
    /// Only entries with these characters in model, path or request id.
    search: Option<String>,
    /// Only calls that were admitted at this time or later.
    from: Option<DateTime<Utc>>,
    /// Only calls that were admitted before this time.
    to: Option<DateTime<Utc>>,
    /// Only calls that ended at this time or later.
    ended_from: Option<DateTime<Utc>>,
    /// Only calls that ended before this time.
    ended_to: Option<DateTime<Utc>>,
    /// Only calls that this upstream answered, or was the last to be asked.
    upstream_id: Option<i64>,
    /// Only calls whose last attempt used this provider key.
    provider_key_id: Option<i64>,
    /// Only calls with this service key.
    service_key_id: Option<i64>,
    /// Only calls with service keys of this user.
    owner_id: Option<i64>,
    /// As asked for or as used.
    model: Option<String>,
    /// `200`, `4xx` or `errors`: what statistics count as errors, that is a status of 400 and above, or
    /// an answer that broke off, was too late or was ended by a revocation; calls whose client left
    /// first have the outcome `client_gone` instead.
    #[param(pattern = "^(errors|[1-5]xx|[0-5]?[0-9]?[0-9])$")]
    status: Option<String>,
    /// Only calls that ended so.
    #[param(inline)]
    outcome: Option<Outcome>,
    /// The answer's `x-request-id`.
    request_id: Option<String>,
    /// Only calls of this session of a client.
    session: Option<String>,
    /// The provider's own id of the request.
    provider_request_id: Option<String>,
}

/// The order of log entries.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
enum LogSort {
    /// By admission, the newest first; the usual order.
    #[serde(rename = "-started_at")]
    Newest,
    /// By the end of the call, the latest first.
    #[serde(rename = "-ended_at")]
    LatestEnd,
    /// By the end of the call, the earliest first.
    #[serde(rename = "ended_at")]
    EarliestEnd,
    /// As the entries came into the database, the first first.
    #[serde(rename = "arrival")]
    Arrival,
}

impl From<LogSort> for LogOrder {
    fn from(sort: LogSort) -> Self {
        match sort {
            LogSort::Newest => LogOrder::Newest,
            LogSort::LatestEnd => LogOrder::LatestEnd,
            LogSort::EarliestEnd => LogOrder::EarliestEnd,
            LogSort::Arrival => LogOrder::Arrival,
        }
    }
}

/// Log entries, the newest first.
///
/// At most 20,000 entries are looked at for one page: where a filter that no index answers (`model`,
/// `outcome`, `search`, a status) finds little, a page can be short, or empty, and still have a
/// `next_cursor` to go on from.
#[utoipa::path(get, path = "/api/admin/logs", tag = "logs", params(LogsQuery),
    responses((status = 200, description = "A page of log entries", body = ListOf<LogEntry>)))]
pub(crate) async fn list_logs(
    actor: With<ReadLogs>,
    State(app): State<Management>,
    Query(query): Query<LogsQuery>,
) -> Result<Answer<ListOf<LogEntry>>, ApiError> {
    let (mut filter, list) = query.split()?;
    let own = actor.confined_to();
    if own.is_some() {
        filter.owner = own;
    }
    let rows = app.store.log_entries(filter, Page { owner: own, ..list.page()? }).await?;
    Ok(Answer(ListOf::of(rows, LogEntry::from)))
}

/// One log entry, with the rules that fired about it.
#[utoipa::path(get, path = "/api/admin/logs/{id}", tag = "logs", params(("id" = Uuid, Path, description = "The id of the log entry")),
    responses((status = 200, description = "The log entry", body = LogEntryInFull)))]
pub(crate) async fn read_log(
    actor: With<ReadLogs>,
    State(app): State<Management>,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Answer<LogEntryInFull>, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoSuchPath)?;
    let row = app.store.log_entry(id).await?;
    let entry = seen(&actor, row.entry.owner, row)?.into();
    let rules = app.store.triggers_of(id).await?.into_iter().map(RuleTrigger::from).collect();
    Ok(Answer(LogEntryInFull { entry, rules }))
}

/// The recorded bodies of a call.
#[utoipa::path(get, path = "/api/admin/logs/{id}/bodies", tag = "logs", params(("id" = Uuid, Path, description = "The id of the log entry")),
    responses((status = 200, description = "The recorded bodies", body = Bodies)))]
pub(crate) async fn read_bodies(
    actor: With<ReadBodies>,
    State(app): State<Management>,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Answer<Bodies>, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoSuchPath)?;
    let row = app.store.log_entry(id).await?;
    seen(&actor, row.entry.owner, ())?;
    let recorded = app.store.recorded_bodies(id).await?;
    if !recorded.is_empty() {
        let name = Some(id.to_string());
        let event = AuditEvent { name, ..AuditEvent::done("bodies_read", "log") };
        app.store.note_event(&actor, event).await?;
    }
    Ok(Answer(Bodies { items: recorded.into_iter().map(Body::from).collect() }))
}

impl LogsQuery {
    fn split(self) -> Result<(LogFilter, ListQuery), ApiError> {
        let mut faults = Faults::default();
        let status = match self.status.map(|text| status(&text)) {
            Some(None) => {
                faults
                    .add("status", "must be a status such as 200, a class such as 4xx, or errors");
                None
            }
            Some(known) => known,
            None => None,
        };
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            faults.add("to", "must be later than `from`");
        }
        if self.ended_from.zip(self.ended_to).is_some_and(|(from, to)| from >= to) {
            faults.add("ended_to", "must be later than `ended_from`");
        }
        let filter = LogFilter {
            from: self.from,
            to: self.to,
            ended_from: self.ended_from,
            ended_to: self.ended_to,
            upstream: self.upstream_id.map(UpstreamId),
            provider_key: self.provider_key_id.map(ProviderKeyId),
            service_key: self.service_key_id.map(ServiceKeyId),
            owner: self.owner_id.map(UserId),
            model: self.model,
            status,
            outcome: self.outcome.map(Into::into),
            request_id: self.request_id,
            order: self.sort.map(Into::into).unwrap_or_default(),
            session: self.session,
            provider_request_id: self.provider_request_id,
        };
        let list =
            ListQuery { cursor: self.cursor, limit: self.limit, search: self.search, sort: None };
        faults.none_or((filter, list)).map_err(ApiError::Invalid)
    }
}

fn status(text: &str) -> Option<StatusClass> {
    match text {
        "errors" => Some(StatusClass::Errors),
        "1xx" | "2xx" | "3xx" | "4xx" | "5xx" => {
            Some(StatusClass::Hundred(text.as_bytes()[0] - b'0'))
        }
        _ => text.parse().ok().filter(|status| *status < 600).map(StatusClass::Exactly),
    }
}

fn ended_at(entry: &log::LogEntry) -> DateTime<Utc> {
    let latency = i64::try_from(entry.latency_us).unwrap_or(i64::MAX);
    DateTime::from_timestamp_micros(entry.started_us.saturating_add(latency)).unwrap_or_default()
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl From<LogRow> for LogEntry {
    fn from(row: LogRow) -> Self {
        let entry = row.entry;
        let ended_at = ended_at(&entry);
        let provider_request_id = entry.provider_request_id().map(str::to_owned);
        Self {
            id: entry.id,
            request_id: entry.request_id,
            started_at: DateTime::from_timestamp_micros(entry.started_us).unwrap_or_default(),
            ended_at,
            stored_at: row.stored_at,
            service_key_id: entry.service_key.0,
            service_key_name: entry.service_key_name,
            owner_id: entry.owner.0,
            upstream_id: entry.upstream.map(|id| id.0),
            upstream: entry.upstream_name,
            provider_key_id: entry.provider_key.map(|id| id.0),
            provider_key: entry.provider_key_name,
            model_asked: entry.model_asked,
            model_used: entry.model_used,
            dialect: entry.dialect.map(Into::into),
            method: entry.method,
            path: entry.path,
            status: entry.status,
            outcome: entry.outcome.into(),
            bytes_in: entry.bytes_in,
            bytes_out: entry.bytes_out,
            latency_ms: millis(entry.latency_us),
            first_byte_ms: entry.first_byte_us.map(millis),
            streamed: entry.streamed,
            usage: entry.usage.into(),
            usage_source: entry.usage_source.into(),
            cost: entry.cost_nano.map(Cost),
            price_version: entry.price_version,
            session: entry.origin.session,
            parent_session: entry.origin.parent_session,
            agent: entry.origin.agent,
            parent_agent: entry.origin.parent_agent,
            client_program: entry.origin.program,
            client_version: entry.origin.version,
            model_served: entry.served.model,
            service_tier: entry.served.tier,
            provider_request_id,
            usage_reported: entry.served.usage.and_then(|text| serde_json::from_str(&text).ok()),
            attempts: entry.attempts.into_iter().map(Attempt::from).collect(),
            error: entry.error,
            client_ip: entry.client_ip,
            decision: entry.decision.into_iter().map(Considered::from).collect(),
            tags: entry.tags,
            waited_ms: millis(entry.waited_us),
        }
    }
}

impl From<RecordedBody> for Body {
    fn from(body: RecordedBody) -> Self {
        Self {
            of: if body.answer { Side::Answer } else { Side::Request },
            text: String::from_utf8_lossy(&body.bytes).into_owned(),
            cut: body.cut,
        }
    }
}

impl From<log::Usage> for Usage {
    fn from(usage: log::Usage) -> Self {
        Self {
            input: usage.input,
            cached: usage.cached,
            cache_written: usage.cache_written,
            input_audio: usage.input_audio,
            output: usage.output,
            reasoning: usage.reasoning,
            output_audio: usage.output_audio,
            characters: usage.characters,
            images: usage.images,
            duration_ms: usage.duration_ms,
        }
    }
}

impl From<log::Attempt> for Attempt {
    fn from(attempt: log::Attempt) -> Self {
        Self {
            upstream_id: attempt.upstream.0,
            upstream: attempt.upstream_name,
            provider_key_id: attempt.provider_key.map(|id| id.0),
            provider_key: attempt.provider_key_name,
            started_ms: millis(attempt.started_us),
            duration_ms: millis(attempt.duration_us),
            status: attempt.status,
            result: attempt.result,
            class: attempt.class.map(Into::into),
            rule_ids: attempt.rules.into_iter().map(|rule| rule.0).collect(),
            provider_request_id: attempt.provider_request_id,
            usage: attempt.usage.into(),
            usage_source: attempt.usage_source.into(),
            cost: attempt.cost_nano.map(Cost),
        }
    }
}

impl From<log::Considered> for Considered {
    fn from(considered: log::Considered) -> Self {
        Self { candidate: considered.candidate, passed_over: considered.passed_over }
    }
}

/// Lets `entry` pass to whoever may see it; to the others it does not exist.
fn seen<T>(actor: &Actor, owner: UserId, entry: T) -> Result<T, ApiError> {
    match actor.confined_to() {
        Some(own) if own != owner => Err(ApiError::NotFound("log entry")),
        _ => Ok(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_a_class_or_all_errors() {
        assert_eq!(status("200"), Some(StatusClass::Exactly(200)));
        assert_eq!(status("0"), Some(StatusClass::Exactly(0)));
        assert_eq!(status("4xx"), Some(StatusClass::Hundred(4)));
        assert_eq!(status("errors"), Some(StatusClass::Errors));
        for text in ["", "6xx", "600", "-1", "ok", "2x"] {
            assert_eq!(status(text), None, "{text}");
        }
    }
}
