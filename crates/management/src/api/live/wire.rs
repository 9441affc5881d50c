//! The messages of the live feed: one JSON object each. What a viewer may not see is not in them.

use auth::Actor;
use chrono::{DateTime, Utc};
use domain::UserId;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use store::ArrivedCall;

use crate::{
    api::money::Cost,
    feed::{EACH, Reading},
};

/// A message of a viewer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// An access token; a newer one goes on where the one before ends.
    #[serde(default)]
    pub(super) token: Option<String>,
    /// Which calls are to be sent as they end; `null` for none any more.
    #[serde(default, deserialize_with = "given")]
    pub(super) tail: Option<Option<Tail>>,
    /// The cursor of an earlier message: calls that arrived since are sent first.
    #[serde(default, deserialize_with = "cursor")]
    pub(super) cursor: Option<i64>,
}

/// Which calls are wanted; each field that is given narrows it down.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tail {
    service_key_id: Option<i64>,
    owner_id: Option<i64>,
    upstream_id: Option<i64>,
    model: Option<String>,
    session: Option<String>,
    client_program: Option<String>,
    /// Only calls that count as errors.
    errors: bool,
}

impl Asked {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// Says in words why it is not one. A list is none: its items would be taken for the fields.
    pub(super) fn read(text: &str) -> serde_json::Result<Self> {
        serde_json::from_value(Value::Object(serde_json::from_str(text)?))
    }
}

fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Tail>>, D::Error> {
    let fields: Option<Map<String, Value>> = Option::deserialize(from)?;
    let tail = fields.map(|fields| serde_json::from_value(Value::Object(fields)));
    tail.transpose().map(Some).map_err(serde::de::Error::custom)
}

fn cursor<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    let number = text.map(|text| text.parse());
    number.transpose().map_err(|_| serde::de::Error::custom("`cursor` is not one of this feed"))
}

impl Tail {
    /// Whether a call is wanted by somebody who sees only calls of `own`, where that is given.
    pub(super) fn wants(&self, call: &ArrivedCall, own: Option<UserId>) -> bool {
        let same = |wanted: &Option<String>, is: &Option<String>| match wanted {
            Some(_) => wanted == is,
            None => true,
        };
        own.is_none_or(|own| own == call.owner)
            && self.service_key_id.is_none_or(|id| id == call.service_key.0)
            && self.owner_id.is_none_or(|id| id == call.owner.0)
            && self.upstream_id.is_none_or(|id| Some(id) == call.upstream.map(|id| id.0))
            && same(&self.model, &call.model)
            && same(&self.session, &call.session)
            && same(&self.client_program, &call.program)
            && (!self.errors || call.failed)
    }
}

/// The first message to a viewer.
#[derive(Debug, Serialize)]
pub(super) struct Hello {
    r#type: &'static str,
    user: String,
    interval_ms: u128,
    at: DateTime<Utc>,
}

impl Hello {
    pub(super) fn of(actor: &Actor) -> Self {
        let user = actor.name().to_owned();
        Self { r#type: "hello", user, interval_ms: EACH.as_millis(), at: Utc::now() }
    }

    pub(super) fn text(&self) -> String {
        text(self)
    }
}

fn text(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("plain values have a JSON form")
}

/// What is wrong with a message of the viewer.
pub(super) fn problem(code: &str, words: &str) -> String {
    json!({"type": "error", "code": code, "message": words}).to_string()
}

/// The figures of a reading; those of the whole process are only for who sees everything.
pub(super) fn sample(reading: &Reading, own: Option<UserId>, missed: u64) -> String {
    let all = own.is_none();
    let calls: Vec<&ArrivedCall> =
        reading.calls.iter().filter(|call| own.is_none_or(|own| own == call.owner)).collect();
    let sum = |of: fn(&ArrivedCall) -> u64| -> u64 { calls.iter().map(|call| of(call)).sum() };
    let errors = calls.iter().filter(|call| call.failed).count();
    let requests = calls.len();
    let seconds = reading.span.as_secs_f64();
    let cost = calls.iter().filter_map(|call| call.cost_nano).fold(0, i64::saturating_add);
    let unpriced =
        calls.iter().filter(|call| call.cost_nano.is_none() && call.input + call.output > 0);
    let keys = reading.keys.as_ref().filter(|_| all).map(|keys| {
        keys.iter().map(|(state, count)| ((*state).to_owned(), json!(count))).collect::<Map<_, _>>()
    });
    let alerts = all.then(|| {
        let alert = |row: &store::AlertRow| {
            json!({"id": row.id.0, "severity": row.severity.as_str(), "title": row.title, "last_at": row.last})
        };
        reading.alerts.iter().map(alert).collect::<Vec<Value>>()
    });
    let message = json!({
        "type": "sample",
        "at": reading.at,
        "cursor": reading.reached.to_string(),
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "requests": requests,
        "requests_per_second": rate(requests, seconds),
        "errors": errors,
        "success_percent": (requests > 0)
            .then(|| ((requests - errors) as f64 / requests as f64 * 10_000.0).round() / 100.0),
        "latency_ms": percentiles(calls.iter().map(|call| call.latency_us).collect()),
        "first_byte_ms": percentiles(calls.iter().filter_map(|call| call.first_byte_us).collect()),
        "input_tokens": sum(|call| call.input),
        "cached_tokens": sum(|call| call.cached),
        "output_tokens": sum(|call| call.output),
        "cost": Cost(cost),
        "unpriced_calls": unpriced.count(),
        "calls_in_flight": reading.in_flight.filter(|_| all),
        "keys": keys,
        "alerts": alerts,
        "missed_samples": missed,
        "calls_passed_over": reading.passed_over,
        "unread": reading.unread,
    });
    message.to_string()
}

fn rate(requests: usize, seconds: f64) -> f64 {
    if seconds > 0.0 { (requests as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
}

/// The percentiles of these microseconds, exact, in milliseconds; `null` where there are none.
fn percentiles(mut micros: Vec<u64>) -> Value {
    if micros.is_empty() {
        return Value::Null;
    }
    micros.sort_unstable();
    let at = |percent: usize| {
        let place = (micros.len() * percent).div_ceil(100).saturating_sub(1);
        micros[place.min(micros.len() - 1)] as f64 / 1000.0
    };
    json!({"p50": at(50), "p90": at(90), "p99": at(99)})
}

/// Calls that ended, the first that arrived first; `more` if the past has more than one message holds.
pub(super) fn entries<'a>(
    calls: impl Iterator<Item = &'a ArrivedCall>,
    reached: i64,
    more: bool,
) -> String {
    let items: Vec<Value> = calls.map(entry).collect();
    json!({"type": "entries", "items": items, "cursor": reached.to_string(), "more": more})
        .to_string()
}

fn entry(call: &ArrivedCall) -> Value {
    json!({
        "id": call.id,
        "started_at": call.started_at,
        "latency_ms": call.latency_us as f64 / 1000.0,
        "first_byte_ms": call.first_byte_us.map(|us| us as f64 / 1000.0),
        "service_key_id": call.service_key.0,
        "service_key_name": call.service_key_name,
        "owner_id": call.owner.0,
        "upstream_id": call.upstream.map(|id| id.0),
        "upstream": call.upstream_name,
        "provider_key": call.provider_key_name,
        "model": call.model,
        "path": call.path,
        "status": call.status,
        "outcome": call.outcome,
        "failed": call.failed,
        "input_tokens": call.input,
        "cached_tokens": call.cached,
        "output_tokens": call.output,
        "cost": call.cost_nano.map(Cost),
        "session": call.session,
        "client_program": call.program,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let hundred = (1..=100).map(|ms| ms * 1000).rev().collect();
        assert_eq!(percentiles(hundred), json!({"p50": 50.0, "p90": 90.0, "p99": 99.0}));
        assert_eq!(percentiles(vec![7_000]), json!({"p50": 7.0, "p90": 7.0, "p99": 7.0}));
        assert_eq!(percentiles(Vec::new()), Value::Null);
    }

    #[test]
    fn a_message_says_what_it_wants_and_nothing_else() {
        let read = Asked::read;
        assert!(read("{}").unwrap().tail.is_none());
        assert!(matches!(read(r#"{"tail": null}"#).unwrap().tail, Some(None)));
        assert!(matches!(read(r#"{"tail": {}, "cursor": "7"}"#).unwrap().tail, Some(Some(_))));
        for wrong in [
            r#"{"cursor": "x"}"#,
            r#"{"tail": {"key": 1}}"#,
            r#"{"what": 1}"#,
            r#"{"tail": []}"#,
            "[]",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
