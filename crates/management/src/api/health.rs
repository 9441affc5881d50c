//! `/livez`, `/readyz`, `/healthz`: for whoever starts, balances and watches. They ask nobody and
//! answer at once.

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Management;

/// How it goes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok` or `draining`.
    status: &'static str,
}

/// The process lives.
#[utoipa::path(get, path = "/livez", tag = "health", security(()),
    responses((status = 200, description = "The state of the process", body = Health)))]
pub(crate) async fn livez() -> Answer<Health> {
    Answer(Health { status: "ok" })
}

/// Requests may be sent here. That does not say that the database answers: who may not ask it
/// now can still be told so.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "The state of the process", body = Health), (status = 503, description = "The process is ending", body = Health)))]
pub(crate) async fn readyz(State(app): State<Management>) -> (StatusCode, Answer<Health>) {
    if app.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, Answer(Health { status: "draining" }))
    } else {
        (StatusCode::OK, Answer(Health { status: "ok" }))
    }
}

/// The same as `/readyz`.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "The state of the process", body = Health), (status = 503, description = "The process is ending", body = Health)))]
pub(crate) async fn healthz(app: State<Management>) -> (StatusCode, Answer<Health>) {
    readyz(app).await
}
