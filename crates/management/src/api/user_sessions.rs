//! `/api/admin/users/{id}/sessions`: the sessions of others. Nobody ends those of somebody who may
//! more than they do.

use auth::Actor;
use axum::{
    Json as Answer,
    extract::{Path, State},
    http::StatusCode,
};
use store::UserRow;
use uuid::Uuid;

use super::account::{EndedSessions, SessionInfo, listed};
use crate::{
    app::Management,
    error::ApiError,
    input::Id,
    listing::ListOf,
    permit::{ManageUsers, ReadUsers, With},
};

/// The open sessions of a user, the latest first; at most 200.
#[utoipa::path(get, path = "/api/admin/users/{id}/sessions", tag = "users", params(("id" = i64, Path, description = "The id of the user")),
    responses((status = 200, description = "The open sessions, on one page", body = ListOf<SessionInfo>)))]
pub(crate) async fn list_user_sessions(
    actor: With<ReadUsers>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<ListOf<SessionInfo>>, ApiError> {
    let user = app.get::<store::User>(&actor, id).await?.value.id;
    Ok(Answer(listed(app.store.open_sessions(user).await?, None)))
}

/// End all sessions of a user.
#[utoipa::path(delete, path = "/api/admin/users/{id}/sessions", tag = "users", params(("id" = i64, Path, description = "The id of the user")),
    responses((status = 200, description = "All sessions of the user have ended", body = EndedSessions)))]
pub(crate) async fn end_user_sessions(
    actor: With<ManageUsers>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<EndedSessions>, ApiError> {
    let user = app.weaker_user(&actor, id).await?;
    let ended = app.store.end_sessions_of(user.id, None).await?;
    app.store.note(&actor, "ended_sessions", "user", Some(user.id.0)).await?;
    app.session_cache.forget();
    Ok(Answer(EndedSessions::of(ended)))
}

/// End one session of a user.
#[utoipa::path(delete, path = "/api/admin/users/{id}/sessions/{session}", tag = "users",
    params(("id" = i64, Path, description = "The id of the user"), ("session" = Uuid, Path, description = "The id of the session")),
    responses((status = 204, description = "The session has ended")))]
pub(crate) async fn end_user_session(
    actor: With<ManageUsers>,
    State(app): State<Management>,
    path: Result<Path<(i64, Uuid)>, axum::extract::rejection::PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path((id, session)) = path.map_err(|_| ApiError::NoSuchPath)?;
    let user = app.weaker_user(&actor, id).await?;
    app.store.end_session_of(user.id, session).await?;
    app.store.note(&actor, "ended_session", "user", Some(user.id.0)).await?;
    app.session_cache.forget();
    Ok(StatusCode::NO_CONTENT)
}

impl Management {
    /// A user whom the actor may see, and who may not more than the actor.
    pub(crate) async fn weaker_user(&self, actor: &Actor, id: i64) -> Result<UserRow, ApiError> {
        let id = self.get::<store::User>(actor, id).await?.value.id;
        let user = self.store.user(id).await?;
        if actor.covers(&user.grant) { Ok(user) } else { Err(ApiError::Stronger) }
    }
}
