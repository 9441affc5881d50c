//! What providers really answer when something is wrong, through the whole hall: for each the state
//! in which it leaves the key, what the client sees, and when the key is back.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{ErrorClass, KeyStatus, Provider, Standing, live::Live};
use proxy::Clock;

use crate::{
    harness::{Hall, Setup},
    vendor::{Vendor, answer, json},
};

/// When it happens: noon in London, four in the morning in Mountain View.
const NOON: &str = "2026-01-15T12:00:00Z";
/// Longer than any of this takes.
const PATIENCE: TimeDelta = TimeDelta::seconds(90);

/// What follows for the key.
#[derive(Debug, Clone, Copy)]
enum Key {
    /// It is as it was.
    Untouched,
    /// It rests for so many seconds.
    Cools(i64),
    /// It is out until then.
    Exhausted(&'static str),
    /// It is out for an hour.
    Disabled,
}

use Key::{Cools, Disabled, Exhausted, Untouched};

/// An answer, and what follows from it.
struct Case {
    status: u16,
    fields: &'static [&'static str],
    body: String,
    class: ErrorClass,
    key: Key,
    /// Whether only the model is out.
    of_model: bool,
    /// What the client is answered: 200 where another key or attempt was asked.
    client: u16,
}

fn case(status: u16, body: impl Into<String>, class: ErrorClass, key: Key) -> Case {
    let client = if class == ErrorClass::ClientFault { status } else { 200 };
    Case { status, fields: &[], body: body.into(), class, key, of_model: false, client }
}

impl Case {
    fn with(self, fields: &'static [&'static str]) -> Self {
        Self { fields, ..self }
    }

    fn of_model(self) -> Self {
        Self { of_model: true, ..self }
    }
}

/// The first answer of a pool of two keys is the case's; those after it are good.
async fn check(provider: Provider, case: Case) {
    let Case { status, fields, body, class, key, of_model, client } = case;
    let shown = format!("{provider:?} {status} {body}");
    let (bad, first) = (body.clone(), std::sync::atomic::AtomicBool::new(true));
    let vendor = Vendor::answering(move |_| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            let mut all = vec!["content-type: application/json"];
            all.extend(fields);
            answer(status, &all, &bad)
        } else {
            json(200, "{}")
        }
    })
    .await;
    let noon: DateTime<Utc> = NOON.parse().unwrap();
    let clock = Arc::new(Clock::showing(noon));
    let mut setup = Setup::new();
    setup.settings.clock = clock.clone();
    setup.upstream("up", vendor.addr, &["sk-1", "sk-2"], |up| {
        up.provider = provider;
        up.dialects = provider.dialects();
        up.key_placement = provider.key_placement();
    });
    let hall = setup.start().await;

    let reply = hall.ask(call(&hall, provider)).await;

    assert_eq!(reply.status, client, "{shown}: {}", reply.text());
    let calls = vendor.seen().len();
    assert_eq!(calls, if client == 200 { 2 } else { 1 }, "{shown}");
    let entry = hall.entry().await;
    assert_eq!(entry.attempts[0].class, Some(class), "{shown}");
    let id = entry.attempts[0].provider_key.unwrap();
    let report = hall.gateway.key(domain::UpstreamId(1), id);
    let report = report.unwrap();
    let standing = match (report.standing, report.models.as_slice()) {
        (Some(standing), []) => Some((standing, false)),
        (None, [(_, standing)]) => Some((standing.clone(), true)),
        (None, []) => None,
        both => panic!("{shown}: {both:?}"),
    };
    let other = entry.attempts.last().unwrap().provider_key.unwrap();
    if other != id {
        assert_eq!(hall.standing(other.0), None, "{shown}");
    }
    let Some((standing, model)) = standing else {
        assert!(matches!(key, Untouched), "{shown}: it is untouched");
        return;
    };
    assert_eq!(model, of_model, "{shown}: {standing:?}");
    let until = until(&standing, key, noon, &shown);
    assert_eq!(standing.evidence.status, Some(status), "{shown}");
    assert_eq!(standing.evidence.class, Some(class), "{shown}");

    // A moment before its time it is out, and then it is back.
    assert!(hall.standing(id.0).is_some(), "{shown}");
    let ahead = until - clock.now() + TimeDelta::seconds(1);
    clock.forward(ahead.to_std().unwrap());
    assert_eq!(hall.standing(id.0), None, "{shown}: it is back");
}

/// When a key is back that stands as it should.
fn until(standing: &Standing, key: Key, noon: DateTime<Utc>, shown: &str) -> DateTime<Utc> {
    let after = |until: DateTime<Utc>, seconds: i64| {
        let late = until - noon - TimeDelta::seconds(seconds);
        assert!((TimeDelta::zero()..PATIENCE).contains(&late), "{shown}: {until}");
        until
    };
    match (key, standing.status) {
        (Cools(seconds), KeyStatus::Cooling(until)) => after(until, seconds),
        (Disabled, KeyStatus::DisabledAuto(until)) => after(until, 3600),
        (Exhausted(at), KeyStatus::Exhausted(until)) => {
            assert_eq!(until, at.parse::<DateTime<Utc>>().unwrap(), "{shown}");
            until
        }
        (_, status) => panic!("{shown}: {status:?} instead of {key:?}"),
    }
}

/// A call in the provider's own dialect.
fn call(hall: &Hall, provider: Provider) -> Vec<u8> {
    let chat = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    match provider {
        Provider::Anthropic => hall.post("/v1/messages", chat),
        Provider::Gemini => hall.post(
            "/v1beta/models/m:generateContent",
            r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#,
        ),
        _ => hall.post("/v1/chat/completions", chat),
    }
}

fn openai(message: &str, kind: &str, code: &str) -> String {
    let code = if code.is_empty() { serde_json::Value::Null } else { code.into() };
    let error = serde_json::json!({"message": message, "type": kind, "param": null, "code": code});
    serde_json::json!({ "error": error }).to_string()
}

#[tokio::test]
async fn what_openai_answers_leaves_each_key_as_it_should_be() {
    use ErrorClass::*;
    let invalid = "invalid_request_error";
    for one in [
        case(401, openai("Incorrect API key provided", invalid, "invalid_api_key"), Auth, Disabled),
        case(
            401,
            openai("The account was deactivated", invalid, "account_deactivated"),
            Auth,
            Disabled,
        ),
        case(
            403,
            openai("Project does not have access to model `m`", invalid, "model_not_found"),
            Auth,
            Disabled,
        )
        .of_model(),
        case(
            429,
            openai("Please try again in 20s.", "requests", "rate_limit_exceeded"),
            RateLimited,
            Cools(20),
        )
        .of_model(),
        case(
            429,
            openai("Rate limit reached", "requests", "rate_limit_exceeded"),
            RateLimited,
            Cools(7),
        )
        .with(&["retry-after: 7"])
        .of_model(),
        case(
            429,
            openai("Rate limit reached", "tokens", "rate_limit_exceeded"),
            RateLimited,
            Cools(360),
        )
        .with(&["x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 6m0s"])
        .of_model(),
        // Its quotas are of calendar days unless it says otherwise.
        case(
            429,
            openai(
                "You exceeded your current quota, please check your plan and billing details.",
                "insufficient_quota",
                "insufficient_quota",
            ),
            QuotaExhausted,
            Exhausted("2026-01-16T00:00:00Z"),
        ),
        case(
            429,
            openai(
                "Request too large for m on tokens per min (TPM): Limit 30000, Requested 50000.",
                "tokens",
                "rate_limit_exceeded",
            ),
            ClientFault,
            Untouched,
        ),
        case(
            400,
            openai("you must provide a model parameter", invalid, ""),
            ClientFault,
            Untouched,
        ),
        case(
            404,
            openai("The model `m` does not exist", invalid, "model_not_found"),
            ClientFault,
            Untouched,
        ),
        case(
            403,
            openai(
                "Country, region, or territory not supported",
                "request_forbidden",
                "unsupported_country_region_territory",
            ),
            ServerFault,
            Untouched,
        ),
        case(500, openai("The server had an error", "server_error", ""), ServerFault, Untouched),
        case(
            503,
            openai("The engine is currently overloaded", "server_error", ""),
            Overloaded,
            Untouched,
        ),
        case(502, "<html>bad gateway</html>", ServerFault, Untouched),
    ] {
        check(Provider::Openai, one).await;
    }
}

fn anthropic(kind: &str, message: &str) -> String {
    serde_json::json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
}

#[tokio::test]
async fn what_anthropic_answers_leaves_each_key_as_it_should_be() {
    use ErrorClass::*;
    let invalid = "invalid_request_error";
    for one in [
        case(401, anthropic("authentication_error", "invalid x-api-key"), Auth, Disabled),
        case(
            403,
            anthropic("permission_error", "Your API key does not have permission"),
            Auth,
            Disabled,
        ),
        case(
            400,
            anthropic(invalid, "Your credit balance is too low to access the Anthropic API."),
            QuotaExhausted,
            Exhausted("2026-01-16T00:00:00Z"),
        ),
        case(
            400,
            anthropic(
                invalid,
                "You have reached your specified API usage limits. You will regain access on 2026-02-01 at 00:00 UTC.",
            ),
            QuotaExhausted,
            Exhausted("2026-02-01T00:00:00Z"),
        ),
        case(
            429,
            anthropic(
                "rate_limit_error",
                "This request would exceed your organization's rate limit",
            ),
            RateLimited,
            Cools(42),
        )
        .with(&[
            "anthropic-ratelimit-input-tokens-remaining: 0",
            "anthropic-ratelimit-input-tokens-reset: 2026-01-15T12:00:42Z",
        ])
        .of_model(),
        case(
            400,
            anthropic(invalid, "messages: at least one message is required"),
            ClientFault,
            Untouched,
        ),
        case(404, anthropic("not_found_error", "model: m"), ClientFault, Untouched),
        case(
            413,
            anthropic("request_too_large", "Request exceeds the maximum size"),
            ClientFault,
            Untouched,
        ),
        case(500, anthropic("api_error", "Internal server error"), ServerFault, Untouched),
        case(504, anthropic("timeout_error", "Request timed out"), Timeout, Untouched),
        case(529, anthropic("overloaded_error", "Overloaded"), Overloaded, Untouched),
    ] {
        check(Provider::Anthropic, one).await;
    }
}

fn gemini(code: u16, status: &str, message: &str, details: &serde_json::Value) -> String {
    let error =
        serde_json::json!({"code": code, "message": message, "status": status, "details": details});
    serde_json::json!({ "error": error }).to_string()
}

#[tokio::test]
async fn what_gemini_answers_leaves_each_key_as_it_should_be() {
    use ErrorClass::*;
    let none = serde_json::json!([]);
    let reason = |reason: &str| serde_json::json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]);
    let over = |quota: &str| {
        serde_json::json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"},
        ])
    };
    let exhausted = |quota: &str| {
        gemini(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", &over(quota))
    };
    for one in [
        case(
            400,
            gemini(400, "INVALID_ARGUMENT", "API key not valid.", &reason("API_KEY_INVALID")),
            Auth,
            Disabled,
        ),
        case(
            403,
            gemini(403, "PERMISSION_DENIED", "It is disabled.", &reason("SERVICE_DISABLED")),
            Auth,
            Disabled,
        ),
        // A day ends at midnight by the provider's clock, whatever seconds it names beside it.
        case(
            429,
            exhausted("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
            QuotaExhausted,
            Exhausted("2026-01-16T08:00:00Z"),
        )
        .of_model(),
        case(
            429,
            exhausted("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"),
            RateLimited,
            Cools(37),
        )
        .of_model(),
        case(
            400,
            gemini(400, "INVALID_ARGUMENT", "Invalid value at 'contents'", &none),
            ClientFault,
            Untouched,
        ),
        case(404, gemini(404, "NOT_FOUND", "models/m is not found", &none), ClientFault, Untouched),
        case(
            400,
            gemini(
                400,
                "FAILED_PRECONDITION",
                "User location is not supported for the API use.",
                &none,
            ),
            ServerFault,
            Untouched,
        ),
        case(
            500,
            gemini(500, "INTERNAL", "An internal error has occurred.", &none),
            ServerFault,
            Untouched,
        ),
        case(
            503,
            gemini(503, "UNAVAILABLE", "The model is overloaded.", &none),
            Overloaded,
            Untouched,
        ),
        case(
            504,
            gemini(504, "DEADLINE_EXCEEDED", "The request timed out.", &none),
            Timeout,
            Untouched,
        ),
    ] {
        check(Provider::Gemini, one).await;
    }
}

#[tokio::test]
async fn a_key_that_was_out_too_long_rests_longer_each_time_and_forgets_when_it_answers() {
    let vendor = Vendor::answering(|seen| match seen.text().contains("good") {
        true => json(200, "{}"),
        false => json(429, r#"{"error":{"message":"slow down"}}"#),
    })
    .await;
    let clock = Arc::new(Clock::showing(NOON.parse().unwrap()));
    let mut setup = Setup::with(vendor.addr);
    setup.settings.clock = clock.clone();
    let hall = setup.start().await;
    let rests = async |word: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{word}"}}]}}"#);
        hall.ask(hall.post("/v1/chat/completions", &body)).await;
        let standing = hall.standing(101)?;
        let KeyStatus::Cooling(until) = standing.status else { panic!("{standing:?}") };
        let rest = until - standing.since;
        clock.forward((until - clock.now()).to_std().unwrap() + Duration::from_secs(1));
        Some(rest.num_seconds())
    };
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(rests("bad").await, Some(seconds));
    }
    assert_eq!(rests("good").await, None);
    assert_eq!(rests("bad").await, Some(2), "what it answered well makes it new");
}
