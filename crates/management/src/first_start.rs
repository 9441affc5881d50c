//! The first administrator. There is no default password, ever.

use auth::{Actor, Opaque, OpaqueKind, Passwords, Role};
use chrono::{DateTime, Duration, Utc};
use domain::Faults;
use secrecy::SecretString;
use store::{NewUser, Store, StoreError};

/// The name of the first administrator unless another is chosen.
pub(crate) const USERNAME: &str = "admin";
const TOKEN_LIFETIME: Duration = Duration::hours(1);

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
/// where there is an administrator. Hashes in place: call it before anything is served.
pub async fn first_start(
    store: &Store,
    passwords: &Passwords,
    password: Option<&SecretString>,
    now: DateTime<Utc>,
) -> Result<FirstStart, FirstStartError> {
    if !store.needs_setup().await? {
        return Ok(FirstStart::Done);
    }
    let Some(password) = password else {
        let offer = Opaque::mint(OpaqueKind::Setup);
        store.offer_setup_token(&offer.digest, now + TOKEN_LIFETIME).await?;
        return Ok(FirstStart::SetupToken(offer.token));
    };
    let faults = Passwords::faults(USERNAME, password);
    faults.none_or(()).map_err(FirstStartError::Password)?;
    let user = NewUser {
        name: USERNAME.to_owned(),
        email: None,
        role: Role::SuperAdmin,
        password_hash: Some(passwords.hash(password)?),
    };
    store.create_user(&Actor::System, user).await?;
    Ok(FirstStart::Created)
}
