//! The first start: a one-time token, and the first user made with it.

use crate::*;

impl Store {
    /// Whether nobody can sign in yet.
    pub async fn needs_setup(&self) -> Result<bool> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Remembers the digest of a set-up token, in place of any before.
    pub async fn offer_setup_token(
        &self,
        digest: &[u8; 32],
        expires_at: DateTime<Utc>,
    ) -> Result<()> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Spends the set-up token and makes the first user, in one step. `NotFound` when the token is
    /// unknown, spent or expired; `Conflict` when there is a user already.
    pub async fn set_up(&self, digest: &[u8; 32], first: NewUser) -> Result<UserId> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
