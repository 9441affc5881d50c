//! The first administrator. There is no default password, ever.

use auth::{Actor, MasterKey, Passwords, Role};
use chrono::{DateTime, Duration, Utc};
use domain::Faults;
use secrecy::SecretString;
use store::{NewUser, Store, StoreError};

/// The name of the first administrator unless another is chosen.
pub(crate) const USERNAME: &str = "admin";
const TOKEN_LIFETIME: Duration = Duration::hours(1);
/// A token that was offered before is offered again while it lasts for so long.
const TOKEN_LASTS: Duration = Duration::minutes(30);

/// What the first start came to.
#[derive(Debug)]
pub enum FirstStart {
    /// There is an administrator already.
    Done,
    /// The administrator `admin` was made, with the password that was given.
    Created,
    /// Nobody can sign in yet: whoever shows this token to `POST /api/auth/setup` within the hour
    /// becomes the administrator. Print it once, where only the owner reads.
    SetupToken(SecretString),
}

/// Why there is no administrator.
#[derive(Debug, thiserror::Error)]
pub enum FirstStartError {
    /// The password that was given is not good enough.
    #[error("the administrator's password is not accepted: {0}")]
    Password(Faults),
    /// It could not be hashed.
    #[error(transparent)]
    Hashing(#[from] auth::PasswordError),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the administrator from `password`, or a set-up token where none is given. Does nothing
/// where there is an administrator. Of several instances that start at once one makes the
/// administrator, and all offer the same token. Hashes in place: call it before anything is served.
pub async fn first_start(
    store: &Store,
    key: &MasterKey,
    passwords: &Passwords,
    password: Option<&SecretString>,
    now: DateTime<Utc>,
) -> Result<FirstStart, FirstStartError> {
    if !store.needs_setup().await? {
        return Ok(FirstStart::Done);
    }
    let Some(password) = password else {
        let (from, until) = (now + TOKEN_LASTS, now + TOKEN_LIFETIME);
        let digest = |expires_us| key.setup_token(expires_us).digest;
        let expires_us = store.agree_on_setup_token(from, until, digest).await?;
        return Ok(FirstStart::SetupToken(key.setup_token(expires_us).token));
    };
    let faults = Passwords::faults(USERNAME, password);
    faults.none_or(()).map_err(FirstStartError::Password)?;
    let user = NewUser {
        name: USERNAME.to_owned(),
        email: None,
        role: Role::SuperAdmin,
        password_hash: Some(passwords.hash(password)?),
    };
    match store.create_user(&Actor::System, user).await {
        Ok(_) => Ok(FirstStart::Created),
        // Another instance was faster.
        Err(StoreError::Conflict { .. }) => Ok(FirstStart::Done),
        Err(error) => Err(error.into()),
    }
}
