//! What vendors really say, and what it is taken for.

use domain::{BaseUrl, Period, UpstreamId, UserId};

use super::*;

fn upstream(url: &str) -> Upstream {
    Upstream::new(UpstreamId(1), UserId(1), "u", BaseUrl::parse(url).unwrap())
}

fn verdict(url: &str, status: u16, fields: &[(&str, &str)], body: &str) -> Verdict {
    let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
    let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").unwrap().to_utc();
    classify(&upstream(url), status, fields, body.as_bytes(), now)
}

fn check(url: &str, status: u16, body: &str, class: ErrorClass, of_model: bool, code: &str) {
    let verdict = verdict(url, status, &[], body);
    let found = (verdict.class, verdict.of_model, verdict.code.as_deref().unwrap_or_default());
    assert_eq!(found, (class, of_model, code), "{status} {body}");
}

const OPENAI: &str = "https://api.openai.com";
const ANTHROPIC: &str = "https://api.anthropic.com";
const GEMINI: &str = "https://generativelanguage.googleapis.com";
const CUSTOM: &str = "https://llm.example.com";

#[test]
fn what_openai_says_is_understood() {
    use ErrorClass::*;
    for (status, body, class, of_model, code) in [
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided: sk-x.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
            Auth,
            false,
            "invalid_api_key",
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
            QuotaExhausted,
            false,
            "insufficient_quota",
        ),
        (
            429,
            r#"{"error":{"message":"Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
            RateLimited,
            true,
            "rate_limit_exceeded",
        ),
        (
            429,
            r#"{"error":{"message":"Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 50000.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
            ClientFault,
            false,
            "rate_limit_exceeded",
        ),
        (
            400,
            r#"{"error":{"message":"you must provide a model parameter","type":"invalid_request_error","param":null,"code":null}}"#,
            ClientFault,
            false,
            "invalid_request_error",
        ),
        (
            404,
            r#"{"error":{"message":"The model `gpt-9` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
            ClientFault,
            false,
            "model_not_found",
        ),
        (
            403,
            r#"{"error":{"message":"Project `proj_x` does not have access to model `gpt-4o`","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
            Auth,
            true,
            "model_not_found",
        ),
        (
            403,
            r#"{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory not supported","param":null,"type":"request_forbidden"}}"#,
            ServerFault,
            false,
            "unsupported_country_region_territory",
        ),
        (
            500,
            r#"{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}"#,
            ServerFault,
            false,
            "server_error",
        ),
        (
            503,
            r#"{"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error","param":null,"code":null}}"#,
            Overloaded,
            false,
            "server_error",
        ),
        (502, "<html>bad gateway</html>", ServerFault, false, ""),
        (403, "<html>Attention Required! | Cloudflare</html>", ServerFault, false, ""),
    ] {
        check(OPENAI, status, body, class, of_model, code);
    }
}

#[test]
fn what_anthropic_says_is_understood() {
    use ErrorClass::*;
    for (status, kind, message, class, of_model) in [
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
            QuotaExhausted,
            false,
        ),
        (
            400,
            "invalid_request_error",
            "messages: at least one message is required",
            ClientFault,
            false,
        ),
        (
            400,
            "invalid_request_error",
            "tools.0.name: `Your credit balance is too low` should match",
            ClientFault,
            false,
        ),
        (401, "authentication_error", "invalid x-api-key", Auth, false),
        (
            403,
            "permission_error",
            "Your API key does not have permission to use the specified resource.",
            Auth,
            false,
        ),
        (404, "not_found_error", "model: claude-9", ClientFault, false),
        (413, "request_too_large", "Request exceeds the maximum size", ClientFault, false),
        (
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 50,000 input tokens per minute",
            RateLimited,
            true,
        ),
        (500, "api_error", "Internal server error", ServerFault, false),
        (504, "timeout_error", "Request timed out", Timeout, false),
        (529, "overloaded_error", "Overloaded", Overloaded, false),
    ] {
        let body =
            serde_json::json!({"type": "error", "error": {"type": kind, "message": message}});
        check(ANTHROPIC, status, &body.to_string(), class, of_model, kind);
    }
    let body = r#"{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-02-01 at 00:00 UTC."}}"#;
    let verdict = verdict(ANTHROPIC, 400, &[], body);
    assert_eq!((verdict.class, verdict.period), (QuotaExhausted, Some(Period::Month)));
}

fn of_gemini(status: u16, name: &str, message: &str, details: &Value) -> Verdict {
    let error =
        serde_json::json!({"code": status, "message": message, "status": name, "details": details});
    let body = serde_json::json!({"error": error});
    verdict(GEMINI, status, &[], &body.to_string())
}

#[test]
fn what_gemini_says_is_understood() {
    use ErrorClass::*;
    let reason = |reason: &str| serde_json::json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]);
    for (status, name, message, details, class) in [
        (
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            reason("API_KEY_INVALID"),
            Auth,
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "Invalid value at 'contents': \"API_KEY_INVALID\"",
            reason("BAD"),
            ClientFault,
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "User location is not supported for the API use.",
            Value::Null,
            ServerFault,
        ),
        (
            403,
            "PERMISSION_DENIED",
            "Generative Language API has not been used in project 1 before or it is disabled.",
            reason("SERVICE_DISABLED"),
            Auth,
        ),
        (
            403,
            "PERMISSION_DENIED",
            "You do not have permission to access the File abc or it may not exist.",
            Value::Null,
            ClientFault,
        ),
        (
            404,
            "NOT_FOUND",
            "models/x is not found for API version v1beta",
            Value::Null,
            ClientFault,
        ),
        (500, "INTERNAL", "An internal error has occurred.", Value::Null, ServerFault),
        (
            503,
            "UNAVAILABLE",
            "The model is overloaded. Please try again later.",
            Value::Null,
            Overloaded,
        ),
        (504, "DEADLINE_EXCEEDED", "The request timed out.", Value::Null, Timeout),
    ] {
        assert_eq!(of_gemini(status, name, message, &details).class, class, "{message}");
    }
}

#[test]
fn a_daily_violation_is_not_believed_when_it_names_seconds() {
    let details = |quota: &str| {
        serde_json::json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests", "quotaId": quota, "quotaValue": "50"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"},
        ])
    };
    let of = |quota| {
        of_gemini(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", &details(quota))
    };
    let day = of("GenerateRequestsPerDayPerProjectPerModel-FreeTier");
    assert_eq!((day.class, day.of_model), (ErrorClass::QuotaExhausted, true));
    assert_eq!((day.period, day.retry_after), (Some(Period::Day), None));
    let minute = of("GenerateRequestsPerMinutePerProjectPerModel-FreeTier");
    assert_eq!((minute.class, minute.of_model), (ErrorClass::RateLimited, true));
    assert_eq!((minute.period, minute.retry_after), (None, Some(Duration::from_secs(37))));
}

#[test]
fn vendors_that_speak_another_ones_dialect_are_understood() {
    use ErrorClass::*;
    for (status, body, class) in [
        (
            402,
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}"#,
            QuotaExhausted,
        ),
        (429, r#"{"error":{"message":"m","type":"exceeded_current_quota_error"}}"#, QuotaExhausted),
        (429, r#"{"error":{"message":"m","type":"engine_overloaded_error"}}"#, Overloaded),
        (429, r#"{"error":{"message":"m","code":"insufficient_quota"}}"#, QuotaExhausted),
        (429, r#"{"error":{"code":"1113","message":"m"}}"#, QuotaExhausted),
        (403, r#"{"code":30001,"message":"balance is insufficient"}"#, QuotaExhausted),
        (401, "", Auth),
        (403, "{}", Auth),
        (407, "", ServerFault),
        (408, "", Timeout),
        (429, "", RateLimited),
        (418, "", ClientFault),
        (503, "", Overloaded),
        (599, "", ServerFault),
    ] {
        assert_eq!(verdict(CUSTOM, status, &[], body).class, class, "{status} {body}");
    }
}

#[test]
fn an_upstreams_own_rows_come_first() {
    let mut upstream = upstream(OPENAI);
    let row =
        r#"{"status": 429, "contains": "Nightly", "class": "quota_exhausted", "period": "day"}"#;
    upstream.policy.error_rules = vec![serde_json::from_str(row).unwrap()];
    let of = |body: &str| {
        classify(&upstream, 429, std::iter::empty(), body.as_bytes(), Utc::now()).class
    };
    assert_eq!(of("the nightly budget is gone"), ErrorClass::QuotaExhausted);
    assert_eq!(of("slow down"), ErrorClass::RateLimited);
}

#[test]
fn when_to_come_back_is_read_from_every_vendors_headers() {
    let wait = |fields: &[(&str, &str)], message: &str| {
        let body = serde_json::json!({"error": {"message": message}}).to_string();
        verdict(OPENAI, 429, fields, &body).retry_after.map(|wait| wait.as_secs_f64())
    };
    for (fields, seconds) in [
        (&[("Retry-After", "7")][..], Some(7.0)),
        (&[("retry-after-ms", "250"), ("retry-after", "1")], Some(0.25)),
        (&[("retry-after", "1"), ("retry-after-ms", "250")], Some(0.25)),
        (&[("retry-after", "Thu, 01 Jan 2026 00:01:30 GMT")], Some(90.0)),
        (&[("retry-after", "soon")], None),
        (&[("x-ratelimit-reset-requests", "6m0s")], Some(360.0)),
        (
            &[("x-ratelimit-reset-requests", "1h0m0s"), ("x-ratelimit-reset-tokens", "20ms")],
            Some(0.02),
        ),
        (
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "8.64s"),
                ("x-ratelimit-remaining-tokens", "99"),
                ("x-ratelimit-reset-tokens", "6ms"),
            ],
            Some(8.64),
        ),
        (
            &[
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                ("anthropic-ratelimit-input-tokens-reset", "2026-01-01T00:00:42Z"),
                ("anthropic-ratelimit-requests-remaining", "9"),
                ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:01Z"),
            ],
            Some(42.0),
        ),
        (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767225610000")], Some(10.0)),
        (&[("ratelimit-reset", "12")], Some(12.0)),
        (&[("x-ratelimit-reset-requests", "6x")], None),
    ] {
        assert_eq!(wait(fields, ""), seconds, "{fields:?}");
    }
    assert_eq!(wait(&[], "Please try again in 7m12.5s. Visit"), Some(432.5));
    assert_eq!(wait(&[], "Please try again in a while"), None);
}

#[test]
fn an_error_in_a_stream_is_judged_by_what_it_says() {
    let of = |json: &str| {
        let error = ProviderError::read(json.as_bytes()).unwrap();
        classify_event(&upstream(ANTHROPIC), &error, Some(200)).class
    };
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    assert_eq!(of(overloaded), ErrorClass::Overloaded);
    assert_eq!(of(r#"{"error":"boom"}"#), ErrorClass::StreamError);
    let bad = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    assert_eq!(of(bad), ErrorClass::ClientFault);
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_judged(status in 400..600_u16, value in ".{0,64}", body in proptest::collection::vec(0..255_u8, 0..256)) {
        let fields = [("retry-after", value.as_str()), ("x-ratelimit-reset-requests", &value)];
        let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        classify(&upstream(CUSTOM), status, fields, &body, Utc::now());
        span(&value);
    }
}
