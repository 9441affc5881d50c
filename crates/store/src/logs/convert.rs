//! A log entry and its row.

use std::str::FromStr;

use domain::{
    Dialect, ProviderKeyId, ServiceKeyId, UpstreamId, UserId,
    log::{LogEntry, Origin, Outcome, Served, Usage, UsageSource},
};
use entity::request_logs::Model;

use super::{
    append::{SUMMED_MAX, failed},
    attempts::{self, Repeated},
};
use crate::{LogRow, count, json, moment, text::clean, uncount};

pub(super) fn write(entry: &LogEntry, now: i64, arrival: i64) -> Model {
    let text = |text: &Option<String>| text.as_deref().map(clean);
    let some = |number: u64| (number > 0).then(|| count(number));
    Model {
        id: entry.id,
        request_id: clean(&entry.request_id),
        started_us: entry.started_us,
        service_key_id: entry.service_key.0,
        service_key_name: clean(&entry.service_key_name),
        owner_id: entry.owner.0,
        upstream_id: entry.upstream.map(|id| id.0),
        upstream_name: text(&entry.upstream_name),
        provider_key_id: entry.provider_key.map(|id| id.0),
        provider_key_name: text(&entry.provider_key_name),
        model_asked: text(&entry.model_asked),
        model_used: text(&entry.model_used),
        dialect: entry.dialect.map(|dialect| dialect.to_string()),
        method: clean(&entry.method),
        path: clean(&entry.path),
        status: i32::from(entry.status),
        outcome: entry.outcome.as_str().to_owned(),
        failed: failed(entry),
        bytes_in: count(entry.bytes_in),
        bytes_out: count(entry.bytes_out),
        latency_us: count(Ord::min(entry.latency_us, SUMMED_MAX)),
        first_byte_us: entry.first_byte_us.map(count),
        streamed: entry.streamed,
        input_tokens: count(entry.usage.input),
        cached_tokens: count(entry.usage.cached),
        cache_written_tokens: count(entry.usage.cache_written),
        input_audio_tokens: count(entry.usage.input_audio),
        output_tokens: count(entry.usage.output),
        reasoning_tokens: count(entry.usage.reasoning),
        output_audio_tokens: count(entry.usage.output_audio),
        usage_source: entry.usage_source.as_str().to_owned(),
        cost_nano: entry.cost_nano,
        attempts: attempts::write(entry),
        error: text(&entry.error),
        client_ip: text(&entry.client_ip),
        decision: json(&entry.decision),
        stored_us: now,
        tags: json(&entry.tags),
        waited_us: count(entry.waited_us),
        arrival,
        session: text(&entry.origin.session),
        parent_session: text(&entry.origin.parent_session),
        agent: text(&entry.origin.agent),
        parent_agent: text(&entry.origin.parent_agent),
        client_program: text(&entry.origin.program),
        client_version: text(&entry.origin.version),
        model_served: text(&entry.served.model),
        service_tier: text(&entry.served.tier),
        provider_request_id: entry.provider_request_id().map(clean),
        usage_reported: text(&entry.served.usage),
        price_version: entry.price_version,
        characters: some(entry.usage.characters),
        images: some(entry.usage.images),
        duration_ms: some(entry.usage.duration_ms),
    }
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
        decision: serde_json::from_str(&row.decision).unwrap_or_default(),
        tags: serde_json::from_str(&row.tags).unwrap_or_default(),
        waited_us: uncount(row.waited_us),
        origin: Origin {
            session: row.session,
            parent_session: row.parent_session,
            agent: row.agent,
            parent_agent: row.parent_agent,
            program: row.client_program,
            version: row.client_version,
        },
        served: Served {
            model: row.model_served,
            tier: row.service_tier,
            usage: row.usage_reported,
        },
    };
    LogRow { entry, stored_at: moment(row.stored_us) }
}
