//! A log entry and its row.

use std::{borrow::Cow, str::FromStr};

use domain::{
    Dialect, ProviderKeyId, ServiceKeyId, UpstreamId, UserId,
    log::{Considered, LogEntry, Origin, Outcome, Served, Usage, UsageSource},
};
use entity::request_logs::Model;

use super::attempts::{self, Repeated};
use crate::{
    LogRow,
    bulk::{Cell, Kind},
    count, json, moment,
    statistics::SUMMED_MAX,
    text::cleaned,
    uncount,
};

/// The decision of a call whose only candidate was its upstream.
const ITS_UPSTREAM: &str = "1";

/// The columns of a row, in the order in which [`write`] gives their values.
pub(super) const COLUMNS: [(&str, Kind); 55] = [
    ("id", Kind::Uuid),
    ("request_id", Kind::Text),
    ("started_us", Kind::Big),
    ("service_key_id", Kind::Big),
    ("service_key_name", Kind::Text),
    ("owner_id", Kind::Big),
    ("upstream_id", Kind::Big),
    ("upstream_name", Kind::Text),
    ("provider_key_id", Kind::Big),
    ("provider_key_name", Kind::Text),
    ("model_asked", Kind::Text),
    ("model_used", Kind::Text),
    ("dialect", Kind::Text),
    ("method", Kind::Text),
    ("path", Kind::Text),
    ("status", Kind::Int),
    ("outcome", Kind::Text),
    ("failed", Kind::Bool),
    ("bytes_in", Kind::Big),
    ("bytes_out", Kind::Big),
    ("latency_us", Kind::Big),
    ("first_byte_us", Kind::Big),
    ("streamed", Kind::Bool),
    ("input_tokens", Kind::Big),
    ("cached_tokens", Kind::Big),
    ("cache_written_tokens", Kind::Big),
    ("input_audio_tokens", Kind::Big),
    ("output_tokens", Kind::Big),
    ("reasoning_tokens", Kind::Big),
    ("output_audio_tokens", Kind::Big),
    ("usage_source", Kind::Text),
    ("cost_nano", Kind::Big),
    ("attempts", Kind::Text),
    ("error", Kind::Text),
    ("client_ip", Kind::Text),
    ("decision", Kind::Text),
    ("stored_us", Kind::Big),
    ("tags", Kind::Text),
    ("waited_us", Kind::Big),
    ("arrival", Kind::Big),
    ("session", Kind::Text),
    ("parent_session", Kind::Text),
    ("agent", Kind::Text),
    ("parent_agent", Kind::Text),
    ("client_program", Kind::Text),
    ("client_version", Kind::Text),
    ("model_served", Kind::Text),
    ("service_tier", Kind::Text),
    ("provider_request_id", Kind::Text),
    ("usage_reported", Kind::Text),
    ("price_version", Kind::Big),
    ("characters", Kind::Big),
    ("images", Kind::Big),
    ("duration_ms", Kind::Big),
    ("metadata", Kind::Text),
];

/// The values of the row of `entry`, in the order of [`COLUMNS`].
pub(super) fn write<'a>(entry: &'a LogEntry, now: i64, arrival: i64, row: &mut Vec<Cell<'a>>) {
    let text = |text: &'a Option<String>| Cell::maybe(text.as_deref().map(cleaned));
    let number = |number: u64| Cell::Int(count(number));
    let some = |number: u64| if number > 0 { Cell::Int(count(number)) } else { Cell::Null };
    let usage = &entry.usage;
    row.extend([
        Cell::Uuid(entry.id),
        Cell::Text(cleaned(&entry.request_id)),
        Cell::Int(entry.started_us),
        Cell::Int(entry.service_key.0),
        Cell::Text(cleaned(&entry.service_key_name)),
        Cell::Int(entry.owner.0),
        Cell::maybe_int(entry.upstream.map(|id| id.0)),
        text(&entry.upstream_name),
        Cell::maybe_int(entry.provider_key.map(|id| id.0)),
        text(&entry.provider_key_name),
        text(&entry.model_asked),
        text(&entry.model_used),
        Cell::maybe(entry.dialect.map(|dialect| dialect.to_string())),
        Cell::Text(cleaned(&entry.method)),
        Cell::Text(cleaned(&entry.path)),
        Cell::Int(entry.status.into()),
        entry.outcome.as_str().into(),
        Cell::Bool(entry.failed()),
        number(entry.bytes_in),
        number(entry.bytes_out),
        number(Ord::min(entry.latency_us, SUMMED_MAX)),
        Cell::maybe_int(entry.first_byte_us.map(count)),
        Cell::Bool(entry.streamed),
        number(usage.input),
        number(usage.cached),
        number(usage.cache_written),
        number(usage.input_audio),
        number(usage.output),
        number(usage.reasoning),
        number(usage.output_audio),
        entry.usage_source.as_str().into(),
        Cell::maybe_int(entry.cost_nano),
        Cell::Text(attempts::write(entry).into()),
        text(&entry.error),
        text(&entry.client_ip),
        Cell::Text(decision(entry)),
        Cell::Int(now),
        list(&entry.tags),
        number(entry.waited_us),
        Cell::Int(arrival),
        text(&entry.origin.session),
        text(&entry.origin.parent_session),
        text(&entry.origin.agent),
        text(&entry.origin.parent_agent),
        text(&entry.origin.program),
        text(&entry.origin.version),
        Cell::maybe(served(entry)),
        text(&entry.served.tier),
        Cell::maybe(entry.provider_request_id().map(cleaned)),
        text(&entry.served.usage),
        Cell::maybe_int(entry.price_version),
        some(usage.characters),
        some(usage.images),
        some(usage.duration_ms),
        if entry.metadata.is_empty() {
            Cell::Null
        } else {
            Cell::Text(json(&entry.metadata).into())
        },
    ]);
}

/// The decision of a call as JSON. Most calls have one candidate, which is where they went: that is
/// stored as one of the words below.
fn decision(entry: &LogEntry) -> Cow<'static, str> {
    let [only] = entry.decision.as_slice() else { return list_text(&entry.decision) };
    let upstream = entry.upstream_name.as_deref();
    if only.passed_over.is_none() && upstream == Some(&only.candidate) && stays(&only.candidate) {
        return Cow::Borrowed(ITS_UPSTREAM);
    }
    json(&entry.decision).into()
}

/// The decision that [`decision`] wrote.
fn read_decision(text: &str, upstream: Option<&str>) -> Vec<Considered> {
    match (text, upstream) {
        (ITS_UPSTREAM, Some(name)) => {
            vec![Considered { candidate: name.to_owned(), passed_over: None }]
        }
        _ => serde_json::from_str(text).unwrap_or_default(),
    }
}

/// The model that answered; empty where it is the one that was used.
fn served(entry: &LogEntry) -> Option<Cow<'_, str>> {
    let model = entry.served.model.as_deref().filter(|model| !model.is_empty())?;
    Some(if entry.model_used.as_deref() == Some(model) { "".into() } else { cleaned(model) })
}

/// Whether a text is stored as it is.
fn stays(text: &str) -> bool {
    matches!(cleaned(text), Cow::Borrowed(_))
}

fn list<T: serde::Serialize>(list: &[T]) -> Cell<'static> {
    Cell::Text(list_text(list))
}

fn list_text<T: serde::Serialize>(list: &[T]) -> Cow<'static, str> {
    if list.is_empty() { "[]".into() } else { json(&list).into() }
}

/// The entry of a row. What this version has no word for is shown as the nearest that it has: a
/// log is read long after it was written, also by older programs.
pub(super) fn read(row: Model) -> LogRow {
    let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == row.outcome);
    let source = UsageSource::named(&row.usage_source);
    let usage = Usage {
        input: uncount(row.input_tokens),
        cached: uncount(row.cached_tokens),
        cache_written: uncount(row.cache_written_tokens),
        input_audio: uncount(row.input_audio_tokens),
        output: uncount(row.output_tokens),
        reasoning: uncount(row.reasoning_tokens),
        output_audio: uncount(row.output_audio_tokens),
        characters: row.characters.map_or(0, uncount),
        images: row.images.map_or(0, uncount),
        duration_ms: row.duration_ms.map_or(0, uncount),
    };
    let usage_source = source.unwrap_or(UsageSource::Unknown);
    let attempts = attempts::read(&row.attempts, || Repeated {
        upstream: row.upstream_id.map(UpstreamId).zip(row.upstream_name.clone()),
        provider_key: row.provider_key_id.map(ProviderKeyId).zip(row.provider_key_name.clone()),
        provider_request_id: row.provider_request_id.clone(),
        usage,
        usage_source,
        cost_nano: row.cost_nano,
    });
    let decision = read_decision(&row.decision, row.upstream_name.as_deref());
    // An empty name stands for the one before it.
    let served = match row.model_served {
        Some(model) if model.is_empty() => row.model_used.clone(),
        model => model,
    };
    let entry = LogEntry {
        id: row.id,
        request_id: row.request_id,
        started_us: row.started_us,
        service_key: ServiceKeyId(row.service_key_id),
        service_key_name: row.service_key_name,
        owner: UserId(row.owner_id),
        upstream: row.upstream_id.map(UpstreamId),
        upstream_name: row.upstream_name,
        provider_key: row.provider_key_id.map(ProviderKeyId),
        provider_key_name: row.provider_key_name,
        model_asked: row.model_asked,
        model_used: row.model_used,
        dialect: row.dialect.and_then(|dialect| Dialect::from_str(&dialect).ok()),
        method: row.method,
        path: row.path,
        status: u16::try_from(row.status).unwrap_or_default(),
        outcome: outcome.unwrap_or(Outcome::Failed),
        bytes_in: uncount(row.bytes_in),
        bytes_out: uncount(row.bytes_out),
        latency_us: uncount(row.latency_us),
        first_byte_us: row.first_byte_us.map(uncount),
        streamed: row.streamed,
        usage,
        usage_source,
        cost_nano: row.cost_nano,
        price_version: row.price_version,
        attempts,
        error: row.error,
        client_ip: row.client_ip,
        decision,
        tags: serde_json::from_str(&row.tags).unwrap_or_default(),
        metadata: row
            .metadata
            .and_then(|metadata| serde_json::from_str(&metadata).ok())
            .unwrap_or_default(),
        waited_us: uncount(row.waited_us),
        origin: Origin {
            session: row.session,
            parent_session: row.parent_session,
            agent: row.agent,
            parent_agent: row.parent_agent,
            program: row.client_program,
            version: row.client_version,
        },
        served: Served { model: served, tier: row.service_tier, usage: row.usage_reported },
    };
    LogRow { entry, stored_at: moment(row.stored_us) }
}
