//! Classes of failures, which decide what is done with the key, the upstream and the client.

mod table;

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Fault, Period};

pub use table::{ErrorTables, Said};

/// The class of a failure. Rows of a table assign it: see [`ErrorRule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The request is invalid and would be refused with any key. The client gets the error.
    ClientFault,
    /// The key is not accepted.
    Auth,
    /// The key exceeded a rate limit.
    RateLimited,
    /// The quota or the balance of the key is used up.
    QuotaExhausted,
    /// The provider is overloaded, for all keys.
    Overloaded,
    /// The provider failed.
    ServerFault,
    /// The provider did not answer in time.
    Timeout,
    /// The connection failed or broke.
    Network,
    /// An answer began and was invalid.
    StreamError,
    /// No row matches.
    Unknown,
}

impl ErrorClass {
    /// All classes, in the order in which they are listed to people.
    pub const ALL: [ErrorClass; 10] = [
        ErrorClass::ClientFault,
        ErrorClass::Auth,
        ErrorClass::RateLimited,
        ErrorClass::QuotaExhausted,
        ErrorClass::Overloaded,
        ErrorClass::ServerFault,
        ErrorClass::Timeout,
        ErrorClass::Network,
        ErrorClass::StreamError,
        ErrorClass::Unknown,
    ];

    /// The name in configuration, columns, log entries and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorClass::ClientFault => "client_fault",
            ErrorClass::Auth => "auth",
            ErrorClass::RateLimited => "rate_limited",
            ErrorClass::QuotaExhausted => "quota_exhausted",
            ErrorClass::Overloaded => "overloaded",
            ErrorClass::ServerFault => "server_fault",
            ErrorClass::Timeout => "timeout",
            ErrorClass::Network => "network",
            ErrorClass::StreamError => "stream_error",
            ErrorClass::Unknown => "unknown",
        }
    }

    /// Whether it counts against the key. Other classes count against the upstream, or against
    /// nobody.
    pub const fn is_the_keys(self) -> bool {
        matches!(self, ErrorClass::Auth | ErrorClass::RateLimited | ErrorClass::QuotaExhausted)
    }
}

impl ErrorClass {
    /// Returns the default class of a status.
    pub const fn of_status(status: u16) -> Self {
        match status {
            400..500 => ErrorClass::ClientFault,
            500.. => ErrorClass::ServerFault,
            _ => ErrorClass::Unknown,
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErrorClass {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        ErrorClass::ALL.into_iter().find(|class| class.as_str() == text).ok_or_else(|| {
            let all = ErrorClass::ALL.map(ErrorClass::as_str).join(", ");
            Fault::new("class", format!("must be one of {all}"))
        })
    }
}

/// One row of an error table: conditions on an answer, and its class. All given conditions must
/// hold; the first matching row decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRule {
    /// The status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's error code or type, whole (`insufficient_quota`, `RESOURCE_EXHAUSTED`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// A part of the body, ignoring case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// The beginning of the provider's message, ignoring case: text of the client that a message
    /// repeats does not stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The class.
    pub class: ErrorClass,
    /// Whether the failure concerns the key only for this model.
    #[serde(default)]
    pub of_model: bool,
    /// The period whose end is awaited, whatever earlier time the provider gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
}

/// The verdict about a failure: enough to decide about the key, the upstream and the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The class of the failure.
    pub class: ErrorClass,
    /// Whether the failure concerns the key only for the model of this call.
    pub of_model: bool,
    /// The provider's retry delay.
    pub retry_after: Option<Duration>,
    /// The period whose end restores the quota; it takes precedence over `retry_after`.
    pub period: Option<Period>,
    /// The provider's status, if there is one.
    pub status: Option<u16>,
    /// The provider's error code, if there is one.
    pub code: Option<String>,
}
