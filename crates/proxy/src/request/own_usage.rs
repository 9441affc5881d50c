//! `GET /v1/usage`: what a service key may use and has used, for its holder. No provider is asked, no
//! limit is counted, and no log entry is written.

use std::collections::BTreeSet;

use domain::{Algorithm, Caller, Unit};
use serde_json::{Value, json};

use super::local::Local;
use crate::{
    client::Client,
    clock::moment,
    gateway::{Gateway, World},
    headers::percent_decode,
    limits::{OwnUse, Who, dollars},
};

/// Most limits of one answer.
const LIMITS_MAX: usize = 200;
/// Most models of one answer.
const MODELS_MAX: usize = 1_000;
/// Most bytes of the model in the query.
const MODEL_MAX: usize = 256;

/// The limits that concern `caller` with their use, and the `models` that it may ask for.
pub(crate) fn answer(
    gateway: &Gateway,
    world: &World,
    caller: &Caller,
    client: &Client<'_>,
    models: &BTreeSet<String>,
) -> Local {
    let (now_us, zone) = (gateway.settings.clock.now_us(), gateway.settings.timezone);
    let model = asked_model(client.head.query()).filter(|model| caller.may_ask_for(model));
    let who = Who { caller, ip: client.ip, model: model.as_deref() };
    let own = world.limits.own(&who, &gateway.counters, now_us, zone, LIMITS_MAX);
    let limits: Vec<Value> = own.iter().map(shown).collect();
    let names: Vec<&String> = models.iter().take(MODELS_MAX).collect();
    let body = json!({
        "object": "usage",
        "as_of": time(now_us),
        "service_key": {
            "id": caller.key.id.0,
            "name": caller.key.name,
            "expires_at": caller.key.expires_at.map(|end| time(end.timestamp_micros())),
            "allowed_models": caller.key.allowed_models,
        },
        "limits": limits,
        "models": names,
        "models_left_out": models.len() - names.len(),
    });
    (200, body.to_string().into())
}

/// The model in the query, for limits that count each model.
fn asked_model(query: Option<&str>) -> Option<String> {
    let value = query?.split('&').find_map(|field| field.strip_prefix("model="))?;
    let model = String::from_utf8(percent_decode(value.as_bytes())).ok()?;
    (1..=MODEL_MAX).contains(&model.len()).then_some(model)
}

/// One limit as the caller sees it. Amounts of money are dollars as decimal text.
fn shown(own: &OwnUse<'_>) -> Value {
    let limit = own.limit;
    let amount = |amount: u64| match limit.unit {
        Unit::Cost => Value::String(dollars(amount)),
        _ => amount.into(),
    };
    let (mut window, mut period, mut timezone) = (None, None, None);
    match limit.algorithm {
        Algorithm::TokenBucket { window: length, .. }
        | Algorithm::SlidingWindow { window: length } => window = Some(length.as_secs()),
        Algorithm::Calendar { period: each, timezone: zone } => {
            period = Some(each.as_str());
            timezone = zone.map(|zone| zone.name());
        }
        Algorithm::Concurrency => {}
    }
    json!({
        "id": limit.id.0,
        "name": limit.name,
        "scope": limit.scope.as_str(),
        "subject": *own.subject,
        "unit": limit.unit.as_str(),
        "algorithm": limit.algorithm.as_str(),
        "period": period,
        "timezone": timezone,
        "window_seconds": window,
        "limit": amount(limit.holds()),
        "used": amount(own.used),
        "remaining": amount(limit.holds().saturating_sub(own.used)),
        "used_percent": percent(own.used, limit.holds()),
        "began_at": own.began_us.map(time),
        "resets_at": own.resets_us.map(time),
    })
}

fn time(us: i64) -> String {
    moment(us).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The used part in whole percent, rounded down; 100 for a limit of nothing.
fn percent(used: u64, limit: u64) -> u64 {
    match limit {
        0 => 100,
        _ => u64::try_from(u128::from(used) * 100 / u128::from(limit)).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_written_without_needless_zeros() {
        for (nano, text) in
            [(0, "0"), (1, "0.000000001"), (12_500_000_000, "12.5"), (10_000_000_000, "10")]
        {
            assert_eq!(dollars(nano), text);
        }
    }

    #[test]
    fn the_model_is_read_from_the_query() {
        for (query, model) in [
            (Some("model=gpt-5"), Some("gpt-5")),
            (Some("a=b&model=a%2Fb"), Some("a/b")),
            (Some("model="), None),
            (Some("models=x"), None),
            (None, None),
        ] {
            assert_eq!(asked_model(query).as_deref(), model);
        }
    }
}
