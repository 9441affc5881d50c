//! The errors of the management plane. `render` turns them into answers and logs them; the codes
//! and their statuses stand in `code`.

mod code;

use std::time::Duration;

use auth::Permission;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::Faults;
use store::StoreError;

pub(crate) use code::ErrorCode;

/// Why a request was refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("sign in first")]
    Unauthenticated,
    #[error("the session has expired")]
    SessionExpired,
    #[error("the user name or the password is wrong")]
    WrongCredentials,
    #[error("the setup token is wrong, used or expired")]
    WrongSetupToken,
    #[error("the request comes from a page of another site")]
    ForeignOrigin,
    #[error("the permission `{0}` is required")]
    Forbidden(Permission),
    #[error("it concerns permissions that you do not have")]
    Stronger,
    #[error("no such {0}")]
    NotFound(&'static str),
    #[error("no such path")]
    NoSuchPath,
    #[error("calls to models are not served here; send them to {}", data_plane(*.0))]
    DataPlanePath(Option<u16>),
    #[error("the path does not support this method")]
    MethodNotAllowed,
    #[error("the request has invalid fields")]
    Invalid(Faults),
    #[error("the request conflicts with an existing resource")]
    Conflict(Faults),
    #[error("the resource was changed meanwhile; read it again")]
    Changed(i64),
    #[error("the body is not valid JSON: {0}")]
    Malformed(String),
    #[error("the body must be a JSON object")]
    NotAnObject,
    #[error("the body must be JSON, with `content-type: application/json`")]
    NotJson,
    #[error(
        "a list of keys is sent as JSON (`content-type: application/json`), or as the file itself \
         with `upstream_id` in the query and `content-type: text/plain` or `text/csv`; of curl: \
         -H 'content-type: text/plain' --data-binary @file"
    )]
    NoKeyList,
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("too many failed attempts")]
    Throttled(Duration),
    #[error("the gateway is busy")]
    Busy,
    #[error("the request took too long")]
    TimedOut,
    #[error("the database is not available")]
    Unavailable(String),
    #[error("this process runs no data plane")]
    NoDataPlane,
    #[error("the gateway failed")]
    Internal(String),
    #[error("the request was refused")]
    Other(StatusCode),
}

impl ApiError {
    /// An error about one invalid field.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut faults = Faults::default();
        faults.add(field, message);
        Self::Invalid(faults)
    }

    /// The stable code: pages translate it, programs match on it.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Unauthenticated => ErrorCode::Unauthenticated,
            Self::SessionExpired => ErrorCode::SessionExpired,
            Self::WrongCredentials => ErrorCode::WrongCredentials,
            Self::WrongSetupToken => ErrorCode::WrongSetupToken,
            Self::ForeignOrigin => ErrorCode::ForeignOrigin,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::Stronger => ErrorCode::StrongerRole,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::NoSuchPath => ErrorCode::NoSuchPath,
            Self::DataPlanePath(_) => ErrorCode::DataPlanePath,
            Self::MethodNotAllowed => ErrorCode::MethodNotAllowed,
            Self::Invalid(_) => ErrorCode::Invalid,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::Changed(_) => ErrorCode::Changed,
            Self::Malformed(_) => ErrorCode::MalformedJson,
            Self::NotAnObject => ErrorCode::NotAnObject,
            Self::NotJson => ErrorCode::NotJson,
            Self::NoKeyList => ErrorCode::UnsupportedContentType,
            Self::TooLarge(_) => ErrorCode::TooLarge,
            Self::BodyTimeout => ErrorCode::BodyTimeout,
            Self::Throttled(_) => ErrorCode::Throttled,
            Self::Busy => ErrorCode::Busy,
            Self::TimedOut => ErrorCode::TimedOut,
            Self::Unavailable(_) => ErrorCode::Unavailable,
            Self::NoDataPlane => ErrorCode::NoDataPlane,
            Self::Internal(_) => ErrorCode::Internal,
            Self::Other(_) => ErrorCode::Refused,
        }
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Other(status) => *status,
            _ => self.code().status(),
        }
    }

    /// The time after which a retry makes sense, where it is known.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled(wait) => Some(*wait),
            Self::Busy | Self::Unavailable(_) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The invalid fields.
    pub(crate) fn faults(&self) -> Option<&Faults> {
        match self {
            Self::Invalid(faults) | Self::Conflict(faults) => Some(faults),
            _ => None,
        }
    }

    /// The version of the resource that the request expected to be another one.
    pub(crate) fn current(&self) -> Option<i64> {
        match self {
            Self::Changed(updated_us) => Some(*updated_us),
            _ => None,
        }
    }

    /// Details for the log only.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::Unavailable(detail) | Self::Internal(detail) => Some(detail),
            _ => None,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::NotFound(what),
            StoreError::Conflict { field, message } => {
                let mut faults = Faults::default();
                faults.add(field, message);
                Self::Conflict(faults)
            }
            StoreError::Stronger => Self::Stronger,
            StoreError::Forbidden(permission) => Self::Forbidden(permission),
            StoreError::Changed { updated_us } => Self::Changed(updated_us),
            StoreError::Unservable(faults) => Self::Invalid(faults),
            StoreError::Unavailable(detail) => Self::Unavailable(detail),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    /// Sets the status and attaches the error: `render` knows the request and writes the body.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Names the port of the data plane, where it is known.
fn data_plane(port: Option<u16>) -> String {
    match port {
        Some(port) => format!("the port of the data plane, {port}"),
        None => "the port of the data plane".to_owned(),
    }
}
