//! Sessions of the management plane, and what slows down who guesses passwords.

use crate::*;

impl Store {
    /// Opens a session of `user` with its first refresh token, and notes it in the audit trail.
    pub async fn open_session(
        &self,
        by: &Actor,
        user: UserId,
        token: RefreshToken,
    ) -> Result<Uuid> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Spends the refresh token with this digest and stores `next` in its place. A token that was
    /// spent before ends its session.
    pub async fn spend_refresh_token(
        &self,
        digest: &[u8; 32],
        next: RefreshToken,
    ) -> Result<Spent> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Whether the session is open and its user as they were: the user now, if so.
    pub async fn session_user(&self, session: Uuid) -> Result<Option<UserRow>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Ends the session. Ending one that has ended is fine.
    pub async fn end_session(&self, session: Uuid) -> Result<()> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Ends the session to which this refresh token belongs, if there is one.
    pub async fn end_session_of_token(&self, digest: &[u8; 32]) -> Result<()> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// How often signing in has failed for this scope (an account, a network).
    pub async fn login_failures(&self, scope: &str) -> Result<LoginFailures> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Counts one more failure for each scope; the counts include it, in the order of the scopes.
    pub async fn add_login_failure(&self, scopes: &[&str]) -> Result<Vec<LoginFailures>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Forgets the failures of this scope.
    pub async fn forget_login_failures(&self, scope: &str) -> Result<()> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
