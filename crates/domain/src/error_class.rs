//! Why a call failed, as far as that decides what is done with the key, the upstream and the
//! client.

mod table;

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Fault, Period};

pub use table::{ErrorTables, Said};

/// The class of a failure. What belongs to which class is data: see [`ErrorRule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The request is wrong: it would be refused with any key. It goes back to the client.
    ClientFault,
    /// The key is not accepted.
    Auth,
    /// The key asked too often, and may ask again soon.
    RateLimited,
    /// What the key may use in a period, or its money, is used up.
    QuotaExhausted,
    /// The provider has too much to do, whoever asks.
    Overloaded,
    /// The provider has a fault of its own.
    ServerFault,
    /// It did not answer in time.
    Timeout,
    /// There was no connection, or it broke.
    Network,
    /// An answer began and turned out to be none.
    StreamError,
    /// Nothing fits.
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

    /// Whether it is held against the key; what is not is held against the upstream, or against
    /// nobody.
    pub const fn is_the_keys(self) -> bool {
        matches!(self, ErrorClass::Auth | ErrorClass::RateLimited | ErrorClass::QuotaExhausted)
    }
}

impl ErrorClass {
    /// The class of an answer of which no row of a table is known.
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

/// One row of a table of errors: what an answer must be like, and its class. All that is named
/// must hold; the first row that fits decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRule {
    /// The status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's code or type of error, whole (`insufficient_quota`, `RESOURCE_EXHAUSTED`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// A part of the body, in any case of letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// How the provider's message begins, in any case of letters: what a client wrote, and a
    /// message repeats, does not stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it is then.
    pub class: ErrorClass,
    /// Whether it concerns the key only where this model is asked for.
    #[serde(default)]
    pub of_model: bool,
    /// The period whose end is to be waited for, whatever sooner time the provider names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
}

/// What was concluded from a failure: enough to decide about the key, the upstream and the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What kind of failure it is.
    pub class: ErrorClass,
    /// Whether it concerns the key only where this call's model is asked for.
    pub of_model: bool,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The period whose end the provider waits for, where a quota of a period is used up; it is
    /// believed more than `retry_after`.
    pub period: Option<Period>,
    /// The provider's status, where one came.
    pub status: Option<u16>,
    /// The provider's code of the error, where it gave one.
    pub code: Option<String>,
}
