//! Errors of secrets. Messages never contain a secret.

/// An invalid master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// The text does not encode 32 bytes.
    #[error("the master key must be 32 bytes, written as 64 hex digits or as base64")]
    Form,
    /// The bytes are guessable.
    #[error("the master key is not random; make one with `openssl rand -hex 32`")]
    Guessable,
}

/// A failed decryption.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text is not a sealed value.
    #[error("the sealed value is damaged")]
    Malformed,
    /// The value was encrypted with another master key.
    #[error("the value was sealed with master key `{0}`, which is not at hand")]
    UnknownKey(String),
    /// The value was changed, or belongs to another place.
    #[error("the sealed value does not belong here or was changed")]
    Foreign,
}

/// A failed hash or comparison of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The stored hash has an unknown form.
    #[error("the stored password hash is not readable")]
    StoredHash,
    /// The hash function failed.
    #[error("the password could not be hashed")]
    Hashing,
}

/// An access token that is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The token has expired.
    #[error("the access token has expired")]
    Expired,
    /// The token is forged or was changed.
    #[error("the access token is not valid")]
    Invalid,
}
