//! Errors independent of a dialect: decoded from one dialect and encoded in another.

use std::time::Duration;

use crate::ProviderError;

/// An error of a provider, or of the gateway, that is sent to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of error.
    pub kind: FailureKind,
    /// The message for people, without JSON of a provider.
    pub message: String,
    /// OpenAI's `code`; the other dialects have none.
    pub code: Option<String>,
    /// The invalid field, as the client spells it.
    pub param: Option<String>,
    /// The time after which a retry makes sense.
    pub retry_after: Option<Duration>,
}

/// The kinds of errors that all dialects distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The request is invalid.
    BadRequest,
    /// The key is missing or invalid.
    Unauthenticated,
    /// The balance or the quota is used up.
    NoMoney,
    /// The key lacks the permission.
    Forbidden,
    /// The model or resource does not exist.
    NotFound,
    /// The request conflicts with the state of a resource.
    Conflict,
    /// The request is too large.
    TooLarge,
    /// A rate limit was exceeded.
    RateLimited,
    /// The provider failed.
    Internal,
    /// The provider is overloaded.
    Overloaded,
    /// The provider broke off or sent an invalid answer.
    BadGateway,
    /// A deadline passed.
    Timeout,
}

impl FailureKind {
    /// Returns the status of most dialects; Anthropic's `overloaded_error` is 529.
    pub const fn status(self) -> u16 {
        match self {
            FailureKind::BadRequest => 400,
            FailureKind::Unauthenticated => 401,
            FailureKind::Forbidden => 403,
            FailureKind::NotFound => 404,
            FailureKind::Conflict => 409,
            FailureKind::TooLarge => 413,
            FailureKind::RateLimited | FailureKind::NoMoney => 429,
            FailureKind::Internal => 500,
            FailureKind::BadGateway => 502,
            FailureKind::Overloaded => 503,
            FailureKind::Timeout => 504,
        }
    }

    /// Returns the default error code; OpenAI's code if OpenAI has one.
    pub const fn code(self) -> &'static str {
        match self {
            FailureKind::BadRequest => "invalid_request",
            FailureKind::Unauthenticated => "invalid_api_key",
            FailureKind::NoMoney => "insufficient_quota",
            FailureKind::Forbidden => "permission_denied",
            FailureKind::NotFound => "model_not_found",
            FailureKind::Conflict => "conflict",
            FailureKind::TooLarge => "request_too_large",
            FailureKind::RateLimited => "rate_limit_exceeded",
            FailureKind::Internal => "server_error",
            FailureKind::Overloaded => "overloaded",
            FailureKind::BadGateway => "bad_gateway",
            FailureKind::Timeout => "timeout",
        }
    }

    /// Returns the kind of an error with this status and code.
    pub fn of(status: u16, code: &str) -> FailureKind {
        match (status, code) {
            (_, "insufficient_quota" | "billing_error") | (402, _) => FailureKind::NoMoney,
            (_, "overloaded_error" | "UNAVAILABLE") => FailureKind::Overloaded,
            (401, _) => FailureKind::Unauthenticated,
            (403, _) => FailureKind::Forbidden,
            (404, _) => FailureKind::NotFound,
            (409, _) => FailureKind::Conflict,
            (413, _) => FailureKind::TooLarge,
            (429, _) => FailureKind::RateLimited,
            (408 | 504, _) => FailureKind::Timeout,
            (503 | 529, _) => FailureKind::Overloaded,
            (502, _) => FailureKind::BadGateway,
            (400..500, _) => FailureKind::BadRequest,
            _ => FailureKind::Internal,
        }
    }
}

impl Failure {
    /// Creates a failure of a kind with a message.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), code: None, param: None, retry_after: None }
    }

    /// Creates the failure of a request that cannot be converted; `param` is the field that
    /// prevents it.
    pub fn unsayable(param: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure { param: Some(param.into()), ..Failure::new(FailureKind::BadRequest, message) }
    }

    /// Decodes the body of an error answer of any dialect. A body that is not JSON (a page of a
    /// proxy, an empty body) is not passed on: the kind follows from the status.
    pub fn read(status: u16, body: &[u8]) -> Failure {
        match ProviderError::read(body) {
            Some(error) if !error.message.is_empty() => {
                let kind = FailureKind::of(status, &error.code);
                let message = error.message;
                Failure { retry_after: error.retry_after, ..Failure::new(kind, message) }
            }
            // The error has a code but no message.
            Some(error) if !error.code.is_empty() => {
                let message = format!("the provider answered {status}: {}", error.code);
                let kind = FailureKind::of(status, &error.code);
                Failure { retry_after: error.retry_after, ..Failure::new(kind, message) }
            }
            _ => {
                let kind = match FailureKind::of(status, "") {
                    FailureKind::Internal | FailureKind::Overloaded => FailureKind::BadGateway,
                    kind => kind,
                };
                Failure::new(kind, format!("the provider answered {status} without saying why"))
            }
        }
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Failure {
        let kind = FailureKind::of(error.status, &error.code);
        let message = match error.message.is_empty() {
            true => "the provider reported an error".to_owned(),
            false => error.message,
        };
        Failure { retry_after: error.retry_after, ..Failure::new(kind, message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_words_is_known_by_its_name() {
        let check = |status, body: &str, kind| {
            assert_eq!(Failure::read(status, body.as_bytes()).kind, kind, "{status} {body}");
        };
        check(
            529,
            r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
            FailureKind::Overloaded,
        );
        check(500, r#"{"error":{"type":"server_error","message":""}}"#, FailureKind::Internal);
        check(503, "<html>", FailureKind::BadGateway);
        check(503, "", FailureKind::BadGateway);
        check(503, r#"{"error":{}}"#, FailureKind::BadGateway);
    }
}
