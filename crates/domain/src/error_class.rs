//! Why a call failed, as far as that decides what is done with the key, the upstream and the
//! client.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Fault;

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
    /// What it is then.
    pub class: ErrorClass,
    /// Whether it concerns the key only where this model is asked for.
    #[serde(default)]
    pub of_model: bool,
}
