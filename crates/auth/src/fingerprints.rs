//! Fingerprints of secrets, by which equal secrets are recognised without decryption.

use std::fmt;

use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

/// Computes fingerprints of secrets. Cheap to clone.
#[derive(Clone)]
pub struct Fingerprints {
    key: hmac::Key,
}

impl Fingerprints {
    pub(crate) fn new(key: hmac::Key) -> Self {
        Self { key }
    }

    /// Returns the HMAC-SHA-256 of the secret in hex: the same for the same secret, and useless
    /// without the master key.
    pub fn of(&self, secret: &SecretString) -> String {
        hex::encode(hmac::sign(&self.key, secret.expose_secret().as_bytes()))
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprints(***)")
    }
}

#[cfg(test)]
mod tests {
    use crate::MasterKey;

    #[test]
    fn only_the_same_secret_under_the_same_key_has_the_same_fingerprint() {
        let (one, two) = (MasterKey::generate(), MasterKey::generate());
        let of = |master: &MasterKey, secret: &str| master.fingerprints().of(&secret.into());
        assert_eq!(of(&one, "sk-a"), of(&one, "sk-a"));
        assert_ne!(of(&one, "sk-a"), of(&one, "sk-b"));
        assert_ne!(of(&one, "sk-a"), of(&two, "sk-a"));
        assert_eq!(of(&one, "sk-a").len(), 64);
    }
}
