//! Opaque tokens: 256 random bits that mean nothing by themselves. What is stored is their hash.

use ring::digest;
use secrecy::{ExposeSecret, SecretString};

use crate::random::push_base62;

/// What a token is for. It stands in front of it, so that one is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpaqueKind {
    /// Gets the next access token; good once.
    Refresh,
    /// Makes the first administrator; good once.
    Setup,
}

impl OpaqueKind {
    const fn prefix(self) -> &'static str {
        match self {
            OpaqueKind::Refresh => "tgr-",
            OpaqueKind::Setup => "tgs-",
        }
    }
}

/// A new token: the text for the one who will show it, the digest for the database.
#[derive(Debug)]
pub struct Opaque {
    /// The token itself.
    pub token: SecretString,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
}

impl Opaque {
    /// A new random token.
    pub fn mint(kind: OpaqueKind) -> Self {
        let mut token = kind.prefix().to_owned();
        push_base62(&mut token, 43);
        let token = SecretString::from(token);
        let digest = sha256(token.expose_secret());
        Self { token, digest }
    }

    /// The digest under which `text` would be stored; none where it has not the form of such a
    /// token. Looking it up by digest tells an attacker's clock nothing about the token.
    pub fn digest_of(kind: OpaqueKind, text: &str) -> Option<[u8; 32]> {
        let random = text.strip_prefix(kind.prefix())?;
        let well_formed = random.len() == 43 && random.bytes().all(|b| b.is_ascii_alphanumeric());
        well_formed.then(|| sha256(text))
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 is 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_digest_and_only_as_what_it_is() {
        let minted = Opaque::mint(OpaqueKind::Refresh);
        let text = minted.token.expose_secret();
        assert_eq!(Opaque::digest_of(OpaqueKind::Refresh, text), Some(minted.digest));
        assert_eq!(Opaque::digest_of(OpaqueKind::Setup, text), None);
        assert_ne!(Opaque::mint(OpaqueKind::Refresh).digest, minted.digest);
    }

    #[test]
    fn what_has_another_form_has_no_digest() {
        for text in ["", "tgs-", "tgs-short", &format!("tgs-{}", "ü".repeat(43))] {
            assert_eq!(Opaque::digest_of(OpaqueKind::Setup, text), None, "{text}");
        }
    }
}
