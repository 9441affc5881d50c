//! The outermost layer: gives each request its id, bounds its time, and writes and logs every
//! refusal in one shape, wherever it came from.

use std::{
    any::Any,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tracing::{debug, error, warn};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    app::Management,
    error::{ApiError, ErrorCode},
    etags,
};

/// A refused or failed request, as a problem of RFC 9457; `error` is an extension member.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failure {
    /// Always `about:blank`: `error.code` says more than the status.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The standard name of the status.
    #[schema(example = "Unprocessable Entity")]
    title: &'static str,
    /// The status of the answer.
    #[schema(example = 422)]
    status: u16,
    /// The same text as `error.message`.
    #[schema(example = "the request has invalid fields")]
    detail: String,
    /// The error, for programs and for people.
    error: FailureDetail,
}

/// The error of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureDetail {
    /// The stable code; match on this.
    #[schema(example = "invalid")]
    code: ErrorCode,
    /// A text for people; it may change.
    #[schema(example = "the request has invalid fields")]
    message: String,
    /// Every invalid field; left out where no field is at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldFault>,
    /// The `x-request-id` of the answer.
    request_id: String,
}

/// One invalid field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldFault {
    /// The path of the field in the body.
    #[schema(example = "targets[2].weight")]
    field: String,
    /// What is wrong with its value, and what is accepted.
    #[schema(example = "must be from 1 to 1000")]
    message: String,
}

/// What works through up to 100,000 keys. Broken off half way it could not tell what it did.
const LONG: [&str; 3] =
    ["/api/admin/keys/import", "/api/admin/keys/bulk", "/api/admin/keys/export"];
/// So many times as long as others these may take.
const LONGER: u32 = 10;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs the rest of the plane for one request.
pub(crate) async fn render(
    State(app): State<Management>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let request_id = request_id(&request);
    let mut response = tokio::time::timeout(patience(&app, &path), next.run(request))
        .await
        .unwrap_or_else(|_| ApiError::TimedOut.into_response());

    let refused = response.extensions_mut().remove::<ApiError>();
    if let Some(refused) = refused.or_else(|| unnamed(&response)) {
        let (status, millis) = (response.status().as_u16(), began.elapsed().as_millis());
        let (code, detail) = (refused.code().as_str(), refused.detail().unwrap_or_default());
        match response.status() {
            StatusCode::INTERNAL_SERVER_ERROR => {
                error!(request_id, %method, path, millis, detail, "a request failed: {refused}");
            }
            status if status.is_server_error() => {
                warn!(request_id, %method, path, millis, code, detail, "no answer now: {refused}");
            }
            _ => debug!(request_id, %method, path, status, millis, code, "refused: {refused}"),
        }
        response = body(&refused, &request_id, response);
    } else {
        let (status, millis) = (response.status().as_u16(), began.elapsed().as_millis());
        debug!(request_id, %method, path, status, millis, "answered {method} {path}");
    }
    let id = HeaderValue::from_str(&request_id).expect("it was checked or made of hex digits");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// How long the answer to a request for `path` may take.
fn patience(app: &Management, path: &str) -> Duration {
    let longer = if LONG.contains(&path) { LONGER } else { 1 };
    app.settings.request_timeout * longer
}

/// What a caught panic becomes.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let words = panic.downcast_ref::<String>().cloned();
    let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
    ApiError::Internal(format!("panic: {}", words.unwrap_or_default())).into_response()
}

/// The refusals that the framework makes itself. What is told in JSON was told by a handler.
fn unnamed(response: &Response) -> Option<ApiError> {
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => Some(ApiError::MethodNotAllowed),
        status if status.is_client_error() || status.is_server_error() => {
            let told = response.headers().get(header::CONTENT_TYPE);
            (told != Some(&JSON)).then_some(ApiError::Other(status))
        }
        _ => None,
    }
}

fn body(refused: &ApiError, request_id: &str, from: Response) -> Response {
    let fields = refused.faults().map(|faults| faults.0.clone()).unwrap_or_default();
    let detail = FailureDetail {
        code: refused.code(),
        message: refused.to_string(),
        fields: fields
            .into_iter()
            .map(|fault| FieldFault { field: fault.field, message: fault.message })
            .collect(),
        request_id: request_id.to_owned(),
    };
    let failure = Failure {
        kind: "about:blank",
        title: from.status().canonical_reason().unwrap_or("Error"),
        status: from.status().as_u16(),
        detail: detail.message.clone(),
        error: detail,
    };
    let mut response = (from.status(), Json(failure)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, PROBLEM);
    for kept in [header::ALLOW, header::SET_COOKIE] {
        for value in from.headers().get_all(&kept) {
            headers.append(kept.clone(), value.clone());
        }
    }
    if let Some(current) = refused.current() {
        headers.insert(header::ETAG, etags::of_version(current));
    }
    if let Some(wait) = refused.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil() as u64));
    }
    if refused.status() == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A sane id that the client chose, or a new one.
fn request_id(request: &Request) -> String {
    let sane = |id: &&str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        (1..=128).contains(&id.len()) && id.bytes().all(plain)
    };
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    given.filter(sane).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use auth::MasterKey;
    use axum::{Router, body::Body, middleware, routing::get};
    use domain::OutboundPolicy;
    use serde_json::Value;
    use store::Store;
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;
    use crate::{Parts, Settings, permit};

    const PATIENT: Duration = Duration::from_secs(60);

    async fn plane(directory: &tempfile::TempDir, request_timeout: Duration) -> Management {
        let (key, file) = (MasterKey::generate(), directory.path().join("tollgate.db"));
        let database = store::Settings::new(file.to_str().unwrap());
        let store = Store::open(database, &key, OutboundPolicy::default()).await.unwrap();
        let mut parts = Parts::new(store, &key);
        parts.settings = Settings { request_timeout, ..Default::default() };
        Management::new(parts)
    }

    /// What callers get of a handler, with the layers of the real plane around it.
    async fn answered(
        handler: axum::routing::MethodRouter,
        request_timeout: Duration,
    ) -> (u16, Value) {
        let directory = tempfile::tempdir().unwrap();
        let app = plane(&directory, request_timeout).await;
        let router = Router::new()
            .route("/", handler)
            .layer(CatchPanicLayer::custom(panicked))
            .layer(middleware::from_fn_with_state(app, render));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        let status = response.status().as_u16();
        let id = response.headers()[REQUEST_ID].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["request_id"], id.as_str());
        (status, body["error"].clone())
    }

    #[tokio::test]
    async fn a_panic_is_our_failure_and_tells_nothing() {
        async fn careless() {
            panic!("the secret is sk-123");
        }
        let (status, error) = answered(get(careless), PATIENT).await;
        assert_eq!((status, &error["code"]), (500, &Value::from("internal")));
        assert!(!error.to_string().contains("sk-123"));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        let (status, error) = answered(get(pending::<()>), Duration::from_millis(1)).await;
        assert_eq!((status, &error["code"]), (503, &Value::from("timed_out")));
    }

    #[tokio::test]
    async fn a_bare_status_gets_a_body_and_words_of_a_handler_stay() {
        let (status, error) = answered(get(async || StatusCode::IM_A_TEAPOT), PATIENT).await;
        assert_eq!((status, &error["code"]), (418, &Value::from("refused")));
    }

    #[tokio::test]
    async fn an_answer_for_which_no_permission_was_asked_does_not_go_out() {
        use auth::{Actor, Role};
        use secrecy::ExposeSecret as _;

        let directory = tempfile::tempdir().unwrap();
        let app = plane(&directory, PATIENT).await;
        let user = store::NewUser {
            name: "lin".to_owned(),
            email: None,
            role: Role::SuperAdmin,
            password_hash: None,
        };
        let user = app.store.create_user(&Actor::System, user).await.unwrap();
        let expires_at = chrono::Utc::now() + chrono::Duration::hours(1);
        let refresh = store::RefreshToken { digest: [1; 32], expires_at };
        let session = app.store.open_session(&Actor::System, user, refresh, None).await.unwrap();
        let epoch = app.store.user(user).await.unwrap().epoch;
        let token = app.sessions.issue(session, user, epoch, chrono::Utc::now()).token;
        let router = Router::new()
            .route("/", get(async || "forgotten"))
            .route_layer(middleware::from_fn_with_state(app.clone(), permit::guard))
            .layer(middleware::from_fn_with_state(app, render));
        let request = Request::builder()
            .header("authorization", format!("Bearer {}", token.expose_secret()))
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
