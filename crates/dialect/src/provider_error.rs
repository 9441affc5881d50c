//! Errors of providers, in any dialect.

use std::time::Duration;

use serde_json::Value;

/// An error of a provider, from an error answer or a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// The HTTP status; inside a stream the one it would have had, estimated if the error has none.
    pub status: u16,
    /// The most precise code: OpenAI's `code` or `type`, Anthropic's `type`, Gemini's `status`. May
    /// be empty.
    pub code: String,
    /// The message, for people; may quote the request.
    pub message: String,
    /// The time after which the provider allows a retry.
    pub retry_after: Option<Duration>,
}

impl ProviderError {
    /// Whether another key or upstream may succeed. An error of the request itself is the same
    /// everywhere.
    pub fn retryable(&self) -> bool {
        matches!(self.status, 401 | 402 | 403 | 408 | 409 | 429 | 500..)
    }

    /// Reads an error from a JSON answer or the data of an event; `None` if it contains none.
    /// Google's `[{"error": …}]` is accepted too.
    pub fn read(json: &[u8]) -> Option<ProviderError> {
        let value: Value = serde_json::from_slice(json).ok()?;
        let whole = match &value {
            Value::Array(all) => all.first()?,
            other => other,
        };
        let error = [&whole["error"], &whole["response"]["error"]]
            .into_iter()
            .find(|error| !error.is_null() && **error != Value::Bool(false));
        match error {
            Some(error) => Some(Self::of(error)),
            // An `error` event of Responses has its fields on the outermost level.
            None if whole["type"] == "error" => Some(Self::of(whole)),
            None if whole["type"] == "response.failed" || whole["status"] == "failed" => {
                Some(Self::of(&Value::Null))
            }
            None => None,
        }
    }

    fn of(error: &Value) -> ProviderError {
        let text = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
        let names = [text("code"), text("status"), text("type").filter(|kind| *kind != "error")];
        let number = [&error["code"], &error["status"], &error["http_code"]]
            .into_iter()
            .filter_map(|n| n.as_u64().or_else(|| n.as_str()?.parse().ok()))
            .find(|n| (400..600).contains(n));
        let guess = || names.iter().flatten().find_map(|name| status_of(name));
        let status = number.and_then(|n| u16::try_from(n).ok()).or_else(guess).unwrap_or(502);
        let named = names.into_iter().flatten().find(|name| name.parse::<u64>().is_err());
        ProviderError {
            status,
            code: named.unwrap_or_default().to_owned(),
            message: text("message").or(error.as_str()).unwrap_or_default().to_owned(),
            retry_after: retry_delay(&error["details"]),
        }
    }
}

/// Returns the status for an error code of any dialect.
fn status_of(name: &str) -> Option<u16> {
    Some(match name {
        "invalid_request_error"
        | "INVALID_ARGUMENT"
        | "FAILED_PRECONDITION"
        | "OUT_OF_RANGE"
        | "invalid_prompt"
        | "context_length_exceeded" => 400,
        "authentication_error" | "invalid_api_key" | "UNAUTHENTICATED" => 401,
        "billing_error" => 402,
        "permission_error" | "PERMISSION_DENIED" => 403,
        "not_found_error" | "model_not_found" | "NOT_FOUND" => 404,
        "conflict_error" | "ABORTED" | "ALREADY_EXISTS" => 409,
        "request_too_large" => 413,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "insufficient_quota"
        | "requests"
        | "tokens"
        | "RESOURCE_EXHAUSTED" => 429,
        "CANCELLED" => 499,
        "api_error" | "server_error" | "internal_error" | "INTERNAL" | "UNKNOWN" => 500,
        "overloaded" | "overloaded_error" => 529,
        "UNAVAILABLE" | "service_unavailable" | "server_is_overloaded" | "slow_down" => 503,
        "timeout" | "timeout_error" | "vector_store_timeout" | "DEADLINE_EXCEEDED" => 504,
        // About a dozen codes of OpenAI: `invalid_image_url`, `image_too_large`, `bio_policy`.
        _ if name.contains("image") || name.ends_with("_policy") => 400,
        _ => return None,
    })
}

/// Google's `RetryInfo`: `"retryDelay": "3.5s"`.
fn retry_delay(details: &Value) -> Option<Duration> {
    let delay = details.as_array()?.iter().find_map(|detail| detail["retryDelay"].as_str())?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, status: u16, code: &str, message: &str) {
        let read = ProviderError::read(json.as_bytes()).unwrap();
        assert_eq!((read.status, &*read.code, &*read.message), (status, code, message), "{json}");
    }

    #[test]
    fn every_dialect_is_understood() {
        check(
            r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#,
            429,
            "rate_limit_exceeded",
            "slow down",
        );
        check(
            r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}"#,
            400,
            "invalid_request_error",
            "no",
        );
        check(
            r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
            529,
            "overloaded_error",
            "busy",
        );
        check(
            r#"[{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}]"#,
            503,
            "UNAVAILABLE",
            "busy",
        );
        check(
            r#"{"type":"error","code":"server_error","message":"oh","sequence_number":3}"#,
            500,
            "server_error",
            "oh",
        );
        check(
            r#"{"type":"response.failed","response":{"status":"failed",
                "error":{"code":"rate_limit_exceeded","message":"slow"}}}"#,
            429,
            "rate_limit_exceeded",
            "slow",
        );
        check(r#"{"type":"response.failed","response":{}}"#, 502, "", "");
        check(r#"{"error":"broken"}"#, 502, "", "broken");
        check(r#"{"error":{"code":"image_too_large"}}"#, 400, "image_too_large", "");
        check(r#"{"error":{"code":"server_is_overloaded"}}"#, 503, "server_is_overloaded", "");
        check(r#"{"error":{"code":"429","message":"x"}}"#, 429, "", "x");
    }

    #[test]
    fn an_answer_without_error_is_none() {
        for json in [r#"{"error":null}"#, r#"{"choices":[]}"#, "[]", "x", r#"{"type":"x"}"#] {
            assert_eq!(ProviderError::read(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn only_what_may_differ_elsewhere_is_tried_again() {
        let retryable = |json: &str| ProviderError::read(json.as_bytes()).unwrap().retryable();
        assert!(retryable(r#"{"error":{"type":"server_error"}}"#));
        assert!(retryable(r#"{"error":{"code":401}}"#));
        assert!(retryable(r#"{"error":"?"}"#));
        assert!(!retryable(r#"{"error":{"type":"invalid_request_error"}}"#));
        assert!(!retryable(r#"{"error":{"status":"NOT_FOUND"}}"#));
    }

    #[test]
    fn googles_delay_is_read() {
        let json = r#"{"error":{"code":429,"details":[{"@type":"x"},{"retryDelay":"3.5s"}]}}"#;
        let read = ProviderError::read(json.as_bytes()).unwrap();
        assert_eq!(read.retry_after, Some(Duration::from_millis(3500)));
    }
}
