//! Who is asking: from the access token to the user's record, read anew at least every second.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use auth::{Actor, Session, SessionError};
use axum::http::{HeaderMap, header, request::Parts};
use parking_lot::Mutex;
use store::UserRow;
use uuid::Uuid;

use crate::{app::Management, error::ApiError, peer};

/// A person whose session is alive.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn {
    /// The session.
    pub(crate) session: Session,
    /// The user, as recorded a second ago or later.
    pub(crate) user: UserRow,
    /// From where.
    pub(crate) ip: Option<IpAddr>,
}

impl SignedIn {
    /// As the store wants it.
    pub(crate) fn actor(&self) -> Actor {
        Actor::User {
            id: self.user.id,
            name: self.user.name.clone(),
            grant: self.user.grant.clone(),
            ip: self.ip,
        }
    }
}

impl Management {
    /// The address of whoever sends this.
    pub(crate) fn client_ip(&self, parts: &Parts) -> Option<IpAddr> {
        peer::client_ip(parts, &self.settings.trusted_proxies)
    }

    /// Who sends this, by the access token. That we cannot tell is an error of its own.
    pub(crate) async fn signed_in(&self, parts: &Parts) -> Result<SignedIn, ApiError> {
        let token = bearer(&parts.headers).ok_or(ApiError::Unauthenticated)?;
        self.session_of(token, self.client_ip(parts)).await
    }

    /// Whose access token this is, shown from the address `ip`.
    pub(crate) async fn session_of(
        &self,
        token: &str,
        ip: Option<IpAddr>,
    ) -> Result<SignedIn, ApiError> {
        let session = self.sessions.read(token).map_err(|error| match error {
            SessionError::Expired => ApiError::SessionExpired,
            SessionError::Invalid => ApiError::Unauthenticated,
        })?;
        let user = match self.session_cache.read(session.id) {
            Some(user) => user,
            None => {
                let ticket = self.session_cache.ticket();
                let user = self.store.session_user(session.id).await?;
                let user = user.ok_or(ApiError::SessionExpired)?;
                if let Err(error) = self.store.note_session_use(session.id).await {
                    tracing::debug!("the use of a session was not noted: {error}");
                }
                self.session_cache.write(ticket, session.id, user.clone());
                user
            }
        };
        if !is_of(&session, &user) {
            return Err(ApiError::SessionExpired);
        }
        Ok(SignedIn { session, user, ip })
    }

    /// The user of a session that was alive, read from the database; refused where it ended.
    pub(crate) async fn still_signed_in(&self, known: &SignedIn) -> Result<UserRow, ApiError> {
        let user = self.store.session_user(known.session.id).await?;
        user.filter(|user| is_of(&known.session, user)).ok_or(ApiError::SessionExpired)
    }
}

/// Whether a session is alive that belongs to this user.
fn is_of(session: &Session, user: &UserRow) -> bool {
    user.id == session.user && user.active && user.epoch == session.epoch
}

/// The token of the one `Authorization` header; with several nobody can say whose call it is.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Users of live sessions, for a second each.
#[derive(Default)]
pub(crate) struct SessionCache {
    state: Mutex<CacheState>,
}

#[derive(Default)]
struct CacheState {
    users: HashMap<Uuid, (Instant, UserRow)>,
    /// Raised whenever something is thrown out, so that who read the record before that cannot
    /// put it back.
    generation: u64,
}

impl SessionCache {
    const KEEP: Duration = Duration::from_secs(1);
    const MOST: usize = 10_000;

    fn read(&self, session: Uuid) -> Option<UserRow> {
        let state = self.state.lock();
        let (read_at, user) = state.users.get(&session)?;
        (read_at.elapsed() < Self::KEEP).then(|| user.clone())
    }

    fn ticket(&self) -> u64 {
        self.state.lock().generation
    }

    fn write(&self, ticket: u64, session: Uuid, user: UserRow) {
        let mut state = self.state.lock();
        if state.generation != ticket {
            return;
        }
        if state.users.len() >= Self::MOST {
            state.users.retain(|_, (read_at, _)| read_at.elapsed() < Self::KEEP);
        }
        if state.users.len() < Self::MOST {
            state.users.insert(session, (Instant::now(), user));
        }
    }

    /// Forgets everybody: somebody's session or record has just changed.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.users.clear();
    }
}
