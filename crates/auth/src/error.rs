//! What can go wrong with secrets. No message ever holds one.

/// Why a text is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// It does not spell 32 bytes.
    #[error("the master key must be 32 bytes, written as 64 hex digits or as base64")]
    Form,
    /// It spells bytes that anybody would guess.
    #[error("the master key is not random; make one with `openssl rand -hex 32`")]
    Guessable,
}

/// Why a sealed text did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is no sealed text at all.
    #[error("the sealed value is damaged")]
    Malformed,
    /// It was sealed under another master key.
    #[error("the value was sealed with master key `{0}`, which is not at hand")]
    UnknownKey(String),
    /// It was changed, or it stands in another place than the one it was sealed for.
    #[error("the sealed value does not belong here or was changed")]
    Foreign,
}

/// Why a password was not hashed or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// What is stored is not a hash that this program writes.
    #[error("the stored password hash is not readable")]
    StoredHash,
    /// The hash function gave up.
    #[error("the password could not be hashed")]
    Hashing,
}

/// Why an access token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It was good once.
    #[error("the access token has expired")]
    Expired,
    /// It was never one of ours, or was changed.
    #[error("the access token is not valid")]
    Invalid,
}
