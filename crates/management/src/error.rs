//! Every way the management plane says no. What a caller sees of it is made in one place, in
//! `render`, which also logs it.

use std::time::Duration;

use auth::Permission;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::Faults;
use store::StoreError;

/// Why a request was not answered as it wished.
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
    #[error("the call does not come from a page of this gateway")]
    ForeignOrigin,
    #[error("this needs the permission `{0}`")]
    Forbidden(Permission),
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("there is nothing at this address")]
    NoSuchPath,
    #[error("calls to models are not served here; send them to {}", data_plane(*.0))]
    DataPlanePath(Option<u16>),
    #[error("the address does not take this method")]
    MethodNotAllowed,
    #[error("the request has invalid fields")]
    Invalid(Faults),
    #[error("the request conflicts with what is there already")]
    Conflict(Faults),
    #[error("it was changed meanwhile; read it again")]
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
    #[error("no data plane runs in this process")]
    NoDataPlane,
    #[error("the gateway failed")]
    Internal(String),
    #[error("the request cannot be answered")]
    Other(StatusCode),
}

impl ApiError {
    /// One field at fault.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut faults = Faults::default();
        faults.add(field, message);
        Self::Invalid(faults)
    }

    /// Stable, for programs: pages translate it, callers match on it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::SessionExpired => "session_expired",
            Self::WrongCredentials => "wrong_credentials",
            Self::WrongSetupToken => "wrong_setup_token",
            Self::ForeignOrigin => "foreign_origin",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::NoSuchPath => "no_such_path",
            Self::DataPlanePath(_) => "data_plane_path",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Invalid(_) => "invalid",
            Self::Conflict(_) => "conflict",
            Self::Changed(_) => "changed",
            Self::Malformed(_) => "malformed_json",
            Self::NotAnObject => "not_an_object",
            Self::NotJson => "not_json",
            Self::NoKeyList => "unsupported_content_type",
            Self::TooLarge(_) => "too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Throttled(_) => "throttled",
            Self::Busy => "busy",
            Self::TimedOut => "timed_out",
            Self::Unavailable(_) => "unavailable",
            Self::NoDataPlane => "no_data_plane",
            Self::Internal(_) => "internal",
            Self::Other(_) => "refused",
        }
    }

    /// The status it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::SessionExpired | Self::WrongCredentials => {
                StatusCode::UNAUTHORIZED
            }
            Self::ForeignOrigin | Self::Forbidden(_) | Self::WrongSetupToken => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound(_) | Self::NoSuchPath | Self::DataPlanePath(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Changed(_) => StatusCode::PRECONDITION_FAILED,
            Self::Malformed(_) | Self::NotAnObject => StatusCode::BAD_REQUEST,
            Self::NotJson | Self::NoKeyList => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::TimedOut | Self::Unavailable(_) | Self::NoDataPlane => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Other(status) => *status,
        }
    }

    /// After how long trying again makes sense.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled(wait) => Some(*wait),
            Self::Busy | Self::Unavailable(_) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The fields at fault.
    pub(crate) fn faults(&self) -> Option<&Faults> {
        match self {
            Self::Invalid(faults) | Self::Conflict(faults) => Some(faults),
            _ => None,
        }
    }

    /// When the thing was last changed that the request took for another version of it.
    pub(crate) fn current(&self) -> Option<i64> {
        match self {
            Self::Changed(updated_us) => Some(*updated_us),
            _ => None,
        }
    }

    /// What only the log may hold.
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
            StoreError::Changed { updated_us } => Self::Changed(updated_us),
            StoreError::Unservable(faults) => Self::Invalid(faults),
            StoreError::Unavailable(detail) => Self::Unavailable(detail),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    /// Only the status and the error itself: `render` knows the request and writes the body.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Where the data plane is.
fn data_plane(port: Option<u16>) -> String {
    match port {
        Some(port) => format!("the port of the data plane, {port}"),
        None => "the port of the data plane".to_owned(),
    }
}
