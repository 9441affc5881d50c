//! `/api/auth`: signing in, staying signed in, signing out, and the very first start.

use std::{iter, net::IpAddr};

use ::auth::{Actor, Opaque, OpaqueKind, Passwords, Permissions, Role, Sessions, Verdict};
use axum::{
    Json as Answer,
    extract::{FromRequestParts, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use chrono::Utc;
use domain::Faults;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use store::{NewUser, RefreshToken, Renewal, Spent, StoreError, UserRow};
use utoipa::ToSchema;
use uuid::Uuid;

use super::users::check_username;
use crate::{
    app::Management,
    error::ApiError,
    first_start::USERNAME,
    gate::SignedIn,
    input::{Input, Json},
    render::Failure,
    throttle::Throttle,
};

/// How often a session may be renewed within the grace of one cookie.
const RENEWALS_IN_GRACE: usize = 16;

/// A sign-in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "admin", "password": "…"}))]
pub(crate) struct Login {
    /// The user name, in any case of letters.
    username: String,
    /// The password.
    #[schema(value_type = String)]
    password: SecretString,
}

/// The very first start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "tgs-…", "password": "…"}))]
pub(crate) struct Setup {
    /// The one-time token from the log.
    #[schema(value_type = String)]
    token: SecretString,
    /// 10 to 256 bytes, hard to guess.
    #[schema(value_type = String)]
    password: SecretString,
    /// `admin` when not given.
    username: Option<String>,
}

/// A session. The refresh token is in the cookie that comes along.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionAnswer {
    /// To be sent as `Authorization: Bearer …`.
    access_token: String,
    /// The kind of `access_token`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until a new one is needed.
    expires_in: i64,
    /// To be sent as `x-csrf-token` to `/api/auth/refresh` and `/api/auth/logout`.
    csrf_token: String,
    /// Who is signed in.
    user: Me,
}

/// Whoever is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// The id of the user.
    id: i64,
    /// The name to sign in with.
    username: String,
    /// What they want to be called.
    #[schema(example = "Lin Wei")]
    display_name: Option<String>,
    /// Where to write to.
    email: Option<String>,
    /// The language of the pages that they see.
    #[schema(example = "zh-CN")]
    language: Option<String>,
    /// The name of the role.
    #[schema(example = "operator")]
    role: String,
    /// What the role allows.
    #[schema(value_type = Vec<String>, example = json!(["upstream.read"]))]
    permissions: Permissions,
}

/// Sign in. The answer carries an access token, and in a cookie what renews it.
#[utoipa::path(post, path = "/api/auth/login", tag = "sign-in", request_body = Login, security(()),
    responses((status = 200, description = "The session", body = SessionAnswer),
        (status = 401, description = "The user name or the password is wrong", body = Failure),
        (status = 429, description = "Too many failed attempts; see `Retry-After`", body = Failure)))]
pub(crate) async fn login(
    caller: Caller,
    State(app): State<Management>,
    Json(login): Json<Login>,
) -> Result<(HeaderMap, Answer<SessionAnswer>), ApiError> {
    // On a task of its own: who hangs up before the answer must not escape being counted.
    let done = tokio::spawn(async move { sign_in(&app, &caller, login).await }).await;
    done.unwrap_or_else(|error| Err(ApiError::Internal(error.to_string())))
}

async fn sign_in(
    app: &Management,
    caller: &Caller,
    login: Login,
) -> Result<(HeaderMap, Answer<SessionAnswer>), ApiError> {
    let throttle = Throttle::new(&app.store, Some(&login.username), caller.ip);
    throttle.check(Utc::now()).await?;
    let turn = app.hashing.turn().await?;
    // Those who waited for the same turn may have failed meanwhile.
    throttle.check(Utc::now()).await?;
    let known = app.store.credentials(&login.username).await?;
    let (user, stored) = match known {
        Some(known) => (Some(known.user), known.password_hash),
        None => (None, None),
    };
    let verdict = turn.compare(login.password.clone(), stored).await?;
    let Some(user) = user.filter(|user| user.active && verdict != Verdict::Wrong) else {
        throttle.failed().await?;
        app.refusals.failed_login(&app.store, &login.username, caller.ip).await;
        tracing::info!(client.ip = ?caller.ip, "a sign-in failed");
        return Err(ApiError::WrongCredentials);
    };
    throttle.succeeded().await?;
    if verdict == Verdict::RightButOutdated {
        let hash = turn.hash(login.password).await?;
        app.store.rehash_password(user.id, hash).await?;
    }
    drop(turn);
    match app.open_session(user, caller).await {
        // Switched off or deleted while the password was compared.
        Err(ApiError::NotFound(_)) => Err(ApiError::WrongCredentials),
        opened => opened,
    }
}

/// Make the first administrator with the one-time token, and sign them in.
#[utoipa::path(post, path = "/api/auth/setup", tag = "sign-in", request_body = Setup, security(()),
    responses((status = 201, description = "The administrator was created and is signed in", body = SessionAnswer),
        (status = 403, description = "The setup token is wrong, used or expired", body = Failure),
        (status = 429, description = "Too many failed attempts; see `Retry-After`", body = Failure)))]
pub(crate) async fn setup(
    caller: Caller,
    State(app): State<Management>,
    Json(setup): Json<Setup>,
) -> Result<(StatusCode, HeaderMap, Answer<SessionAnswer>), ApiError> {
    let throttle = Throttle::new(&app.store, None, caller.ip);
    throttle.check(Utc::now()).await?;
    let digest = Opaque::digest_of(OpaqueKind::Setup, setup.token.expose_secret());
    let Some(digest) = digest else {
        throttle.failed().await?;
        return Err(ApiError::WrongSetupToken);
    };
    setup.faults().none_or(()).map_err(ApiError::Invalid)?;
    let username = setup.username.unwrap_or_else(|| USERNAME.to_owned());
    if !app.store.needs_setup().await? {
        return Err(ApiError::WrongSetupToken);
    }
    let turn = app.hashing.turn().await?;
    throttle.check(Utc::now()).await?;
    let first = NewUser {
        name: username,
        email: None,
        role: Role::SuperAdmin,
        password_hash: Some(turn.hash(setup.password).await?),
    };
    let id = match app.store.set_up(&digest, first).await {
        Ok(id) => id,
        Err(StoreError::NotFound(_) | StoreError::Conflict { .. }) => {
            throttle.failed().await?;
            return Err(ApiError::WrongSetupToken);
        }
        Err(error) => return Err(error.into()),
    };
    drop(turn);
    let user = app.store.user(id).await?;
    let (headers, answer) = app.open_session(user, &caller).await?;
    Ok((StatusCode::CREATED, headers, answer))
}

/// Renew the access token with the refresh cookie. The cookie is good once: each answer brings
/// the next. Shown again within ten seconds it brings the same next one, so that two pages may
/// renew at once; shown again later it ends the session.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "sign-in", security(("refresh_cookie" = [])),
    params(("x-csrf-token" = String, Header, description = "From the sign-in, or the csrf cookie")),
    responses((status = 200, description = "The session", body = SessionAnswer),
        (status = 403, description = "The call does not come from a page of this gateway", body = Failure)))]
pub(crate) async fn refresh(
    State(app): State<Management>,
    parts: Parts,
) -> Result<(HeaderMap, Answer<SessionAnswer>), ApiError> {
    let (session, token) = app.refresh_cookie(&parts).ok_or(ApiError::Unauthenticated)?;
    app.own_page(&parts, session)?;
    let shown = Opaque::digest_of(OpaqueKind::Refresh, token).ok_or(ApiError::Unauthenticated)?;
    let first = app.renewals.successor(token);
    let successors: Vec<Opaque> = iter::successors(Some(first), |last| {
        Some(app.renewals.successor(last.token.expose_secret()))
    })
    .take(RENEWALS_IN_GRACE)
    .collect();
    let digests: Vec<[u8; 32]> = successors.iter().map(|next| next.digest).collect();
    let renewal = Renewal {
        shown,
        successors: &digests,
        expires_at: Utc::now() + app.settings.session_idle,
        grace: app.settings.renewal_grace,
    };
    match app.store.spend_refresh_token(renewal).await? {
        Spent::Renewed { user, session: of_token, successor } if of_token == session => {
            let next = &successors[successor].token;
            Ok(app.session_answer(user, app.secure_cookies(&parts), session, next))
        }
        // A token under another session's name: nobody honest sends that.
        Spent::Renewed { session: of_token, .. } => {
            app.store.end_session(of_token).await?;
            app.session_cache.forget();
            Err(ApiError::SessionExpired)
        }
        Spent::Reused => {
            tracing::warn!(session = %session, "a spent refresh token was shown; its session is ended");
            app.session_cache.forget();
            Err(ApiError::SessionExpired)
        }
        Spent::Refused => Err(ApiError::SessionExpired),
    }
}

/// Sign out: the session ends at once, with its access token and its cookie.
#[utoipa::path(post, path = "/api/auth/logout", tag = "sign-in",
    security(("access_token" = []), ("refresh_cookie" = [])),
    responses((status = 204, description = "Signed out"),
        (status = 403, description = "The call does not come from a page of this gateway", body = Failure)))]
pub(crate) async fn logout(
    State(app): State<Management>,
    parts: Parts,
) -> Result<(StatusCode, HeaderMap), ApiError> {
    let cookie = app.refresh_cookie(&parts);
    match app.signed_in(&parts).await {
        Ok(who) => {
            app.store.end_session(who.session.id).await?;
            app.store.note(&who.actor(), "signed_out", "user", Some(who.user.id.0)).await?;
        }
        Err(refused) => {
            let Some((session, token)) = cookie else { return Err(refused) };
            app.own_page(&parts, session)?;
            if let Some(digest) = Opaque::digest_of(OpaqueKind::Refresh, token) {
                app.store.end_session_of_token(&digest).await?;
            }
        }
    }
    app.session_cache.forget();
    let mut headers = HeaderMap::new();
    app.clear_cookies(&mut headers, app.secure_cookies(&parts));
    Ok((StatusCode::NO_CONTENT, headers))
}

/// Who is signed in, and what they may do.
#[utoipa::path(get, path = "/api/auth/me", tag = "sign-in",
    responses((status = 200, description = "The user who is signed in", body = Me)))]
pub(crate) async fn me(who: SignedIn) -> Answer<Me> {
    Answer(who.user.into())
}

/// From where a call comes that nobody has signed in for yet.
pub(crate) struct Caller {
    ip: Option<IpAddr>,
    secure_cookies: bool,
    /// What it calls itself.
    client: Option<String>,
}

impl FromRequestParts<Management> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Management) -> Result<Self, ApiError> {
        Ok(Self {
            ip: app.client_ip(parts),
            secure_cookies: app.secure_cookies(parts),
            client: user_agent(parts),
        })
    }
}

/// Most characters of a `User-Agent` that are kept.
const CLIENT_MAX: usize = 200;

fn user_agent(parts: &Parts) -> Option<String> {
    let said = parts.headers.get(header::USER_AGENT)?.to_str().ok()?;
    let said: String = said.chars().filter(|c| !c.is_control()).take(CLIENT_MAX).collect();
    (!said.is_empty()).then_some(said)
}

impl Input for Login {}

impl Input for Setup {
    fn faults(&self) -> Faults {
        let username = self.username.as_deref().unwrap_or(USERNAME);
        let mut faults = Passwords::faults(username, &self.password);
        check_username("username", username, &mut faults);
        faults
    }
}

impl Management {
    pub(super) async fn open_session(
        &self,
        user: UserRow,
        caller: &Caller,
    ) -> Result<(HeaderMap, Answer<SessionAnswer>), ApiError> {
        let (refresh, stored) = self.mint_refresh();
        let (name, grant, ip) = (user.name.clone(), user.grant.clone(), caller.ip);
        let actor = Actor::User { id: user.id, name, grant, ip };
        let session =
            self.store.open_session(&actor, user.id, stored, caller.client.clone()).await?;
        Ok(self.session_answer(user, caller.secure_cookies, session, &refresh))
    }

    fn mint_refresh(&self) -> (SecretString, RefreshToken) {
        let minted = Opaque::mint(OpaqueKind::Refresh);
        let expires_at = Utc::now() + self.settings.session_idle;
        (minted.token, RefreshToken { digest: minted.digest, expires_at })
    }

    fn session_answer(
        &self,
        user: UserRow,
        secure_cookies: bool,
        session: Uuid,
        refresh: &SecretString,
    ) -> (HeaderMap, Answer<SessionAnswer>) {
        let access = self.sessions.issue(session, user.id, user.epoch, Utc::now());
        let mut headers = HeaderMap::new();
        let csrf_token = self.set_cookies(&mut headers, secure_cookies, session, refresh);
        let answer = SessionAnswer {
            access_token: access.token.expose_secret().to_owned(),
            token_type: "Bearer",
            expires_in: Sessions::LIFETIME.num_seconds(),
            csrf_token,
            user: user.into(),
        };
        (headers, Answer(answer))
    }
}

impl From<UserRow> for Me {
    fn from(user: UserRow) -> Self {
        Self {
            id: user.id.0,
            username: user.name,
            display_name: user.display_name,
            language: user.language,
            email: user.email,
            role: user.grant.role,
            permissions: user.grant.permissions,
        }
    }
}
