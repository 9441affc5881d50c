//! `/api/auth/me`, `/api/auth/password` and `/api/auth/sessions`: what people do with their own
//! account. Whom they are and what they may do they cannot change here.

use auth::Passwords;
use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use chrono::{DateTime, Utc};
use domain::Faults;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::OpenSession;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    auth::{Caller, Me, SessionAnswer},
    users::spelled,
};
use crate::{
    app::Management,
    error::ApiError,
    gate::SignedIn,
    input::{Input, Json, UuidInPath, patch::Patch},
    listing::ListOf,
    render::Failure,
    resource::set,
    throttle::Throttle,
};

/// What to change of one's own account, as a JSON merge patch (RFC 7396): what is not given stays;
/// `null` removes a field.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"display_name": "Lin Wei", "language": "zh-CN"}))]
pub(crate) struct EditMe {
    /// What you want to be called, 1 to 128 bytes.
    #[serde(default, deserialize_with = "crate::input::nullable")]
    #[schema(value_type = Option<String>)]
    display_name: Option<Option<String>>,
    /// Where to write to.
    #[serde(default, deserialize_with = "crate::input::nullable")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// The language of the pages, as a language tag such as `en` or `zh-CN`.
    #[serde(default, deserialize_with = "crate::input::nullable")]
    #[schema(value_type = Option<String>)]
    language: Option<Option<String>>,
}

/// Another password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"current_password": "…", "password": "correct horse battery"}))]
pub(crate) struct ChangePassword {
    /// The password until now.
    #[schema(value_type = String)]
    current_password: SecretString,
    /// The new one: 10 to 256 bytes, hard to guess.
    #[schema(value_type = String)]
    password: SecretString,
}

/// An open session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionInfo {
    /// Its id.
    id: Uuid,
    /// The address from which it was opened.
    address: Option<String>,
    /// What opened it, as its `User-Agent` says.
    #[schema(example = "curl/8.14.1")]
    client: Option<String>,
    /// When it was opened.
    opened_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    seen_at: DateTime<Utc>,
    /// When it ends unless it is renewed.
    expires_at: DateTime<Utc>,
    /// Whether it is the session that asks.
    current: bool,
}

/// How many sessions were ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndedSessions {
    /// The number of sessions.
    ended: u64,
}

/// Change one's own account.
#[utoipa::path(patch, path = "/api/auth/me", tag = "sign-in",
    request_body(content((EditMe = "application/json"), (EditMe = "application/merge-patch+json"))),
    responses((status = 200, description = "The user who is signed in", body = Me)))]
pub(crate) async fn edit_me(
    who: SignedIn,
    State(app): State<Management>,
    patch: Patch<EditMe>,
) -> Result<Answer<Me>, ApiError> {
    let usual = json!({"display_name": null, "email": null, "language": null});
    let edit = patch.onto(&Value::Null, &usual).map_err(ApiError::Invalid)?;
    let apply = |user: &mut store::User| edit.apply(user);
    app.store.edit(&who.actor(), who.user.id, apply).await.map_err(|e| spelled(e.into()))?;
    app.session_cache.forget();
    Ok(Answer(app.store.user(who.user.id).await?.into()))
}

/// Change one's own password. All sessions end; the answer is a new one.
#[utoipa::path(post, path = "/api/auth/password", tag = "sign-in", request_body = ChangePassword,
    responses((status = 200, description = "The password was changed; this is the new session", body = SessionAnswer),
        (status = 429, description = "Too many failed attempts; see `Retry-After`", body = Failure)))]
pub(crate) async fn change_password(
    who: SignedIn,
    caller: Caller,
    State(app): State<Management>,
    Json(change): Json<ChangePassword>,
) -> Result<(HeaderMap, Answer<SessionAnswer>), ApiError> {
    // On a task of its own: who hangs up before the answer must not escape being counted.
    let done = tokio::spawn(async move { change_to(&app, who, &caller, change).await }).await;
    done.unwrap_or_else(|error| Err(ApiError::Internal(error.to_string())))
}

async fn change_to(
    app: &Management,
    who: SignedIn,
    caller: &Caller,
    change: ChangePassword,
) -> Result<(HeaderMap, Answer<SessionAnswer>), ApiError> {
    let password = change.password;
    Passwords::faults(&who.user.name, &password).none_or(()).map_err(ApiError::Invalid)?;
    let throttle = Throttle::new(&app.store, Some(&who.user.name), who.ip);
    throttle.check(Utc::now()).await?;
    let stored = app.store.credentials_of(who.user.id).await?;
    let stored = stored.and_then(|known| known.password_hash);
    let verdict = app.hashing.turn().await?.compare(change.current_password, stored).await?;
    if verdict == auth::Verdict::Wrong {
        throttle.failed().await?;
        return Err(ApiError::field("current_password", "is not the password of this user"));
    }
    throttle.succeeded().await?;
    let hash = app.hashing.turn().await?.hash(password).await?;
    let apply = |user: &mut store::User| {
        user.password_hash = Some(hash.into());
        Ok(())
    };
    app.store.edit(&who.actor(), who.user.id, apply).await?;
    app.session_cache.forget();
    app.open_session(app.store.user(who.user.id).await?, caller).await
}

/// One's own open sessions, the latest first; at most 200.
#[utoipa::path(get, path = "/api/auth/sessions", tag = "sign-in",
    responses((status = 200, description = "The open sessions, on one page", body = ListOf<SessionInfo>)))]
pub(crate) async fn list_sessions(
    who: SignedIn,
    State(app): State<Management>,
) -> Result<Answer<ListOf<SessionInfo>>, ApiError> {
    let open = app.store.open_sessions(who.user.id).await?;
    Ok(Answer(listed(open, Some(who.session.id))))
}

/// End one of one's own sessions.
#[utoipa::path(delete, path = "/api/auth/sessions/{id}", tag = "sign-in", params(("id" = Uuid, Path, description = "The id of the session")),
    responses((status = 204, description = "The session has ended")))]
pub(crate) async fn end_session(
    who: SignedIn,
    State(app): State<Management>,
    UuidInPath(id): UuidInPath,
) -> Result<StatusCode, ApiError> {
    app.store.end_session_of(who.user.id, id).await?;
    app.session_cache.forget();
    Ok(StatusCode::NO_CONTENT)
}

/// End all of one's own sessions but the one that asks.
#[utoipa::path(delete, path = "/api/auth/sessions", tag = "sign-in",
    responses((status = 200, description = "All other sessions have ended", body = EndedSessions)))]
pub(crate) async fn end_other_sessions(
    who: SignedIn,
    State(app): State<Management>,
) -> Result<Answer<EndedSessions>, ApiError> {
    let ended = app.store.end_sessions_of(who.user.id, Some(who.session.id)).await?;
    app.session_cache.forget();
    Ok(Answer(EndedSessions { ended }))
}

/// Sessions as a list shows them.
pub(super) fn listed(open: Vec<OpenSession>, current: Option<Uuid>) -> ListOf<SessionInfo> {
    let shown = |session: OpenSession| SessionInfo {
        current: Some(session.id) == current,
        id: session.id,
        address: session.address,
        client: session.client,
        opened_at: session.opened_at,
        seen_at: session.seen_at,
        expires_at: session.expires_at,
    };
    ListOf { items: open.into_iter().map(shown).collect(), next_cursor: None }
}

impl EndedSessions {
    pub(super) fn of(ended: u64) -> Self {
        Self { ended }
    }
}

impl EditMe {
    /// Puts what is given in the place of what was.
    fn apply(self, user: &mut store::User) -> Result<(), Faults> {
        set(&mut user.display_name, self.display_name);
        set(&mut user.email, self.email);
        set(&mut user.language, self.language);
        Ok(())
    }
}

impl Input for EditMe {
    const NULLABLE: Option<&'static [&'static str]> = Some(&["display_name", "email", "language"]);

    fn faults(&self) -> Faults {
        let mut user =
            store::User::new(domain::UserId(0), "name".to_owned(), "developer".to_owned());
        let edited = self.clone().apply(&mut user);
        edited.err().unwrap_or_else(|| store::Resource::faults(&user))
    }
}

impl Input for ChangePassword {}
