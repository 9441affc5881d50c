//! Opaque tokens: 256 random bits without content. Only their hash is stored.

use std::fmt;

use ring::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};

use crate::random::{BASE62, push_base62};

/// The digits of a token: 256 bits in base 62.
const DIGITS: usize = 43;

/// The kind of a token, which is its prefix so that kinds cannot be confused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpaqueKind {
    /// Renews the access token; valid once.
    Refresh,
    /// Creates the first administrator; valid once.
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

/// A new token: the text for its user, the digest for the database.
#[derive(Debug)]
pub struct Opaque {
    /// The token itself.
    pub token: SecretString,
    /// The SHA-256 of the token.
    pub digest: [u8; 32],
}

impl Opaque {
    /// Creates a random token.
    pub fn mint(kind: OpaqueKind) -> Self {
        let mut token = kind.prefix().to_owned();
        push_base62(&mut token, DIGITS);
        Self::of(token)
    }

    /// Derives the token of `seed` with `key`, which is always the same.
    pub(crate) fn derived(kind: OpaqueKind, key: &hmac::Key, seed: &[u8]) -> Self {
        let tag = hmac::sign(key, seed);
        let mut number: [u8; 32] = tag.as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes");
        let mut text = kind.prefix().to_owned();
        text.extend((0..DIGITS).map(|_| char::from(BASE62[usize::from(divide(&mut number))])));
        Self::of(text)
    }

    fn of(token: String) -> Self {
        let token = SecretString::from(token);
        let digest = sha256(token.expose_secret());
        Self { token, digest }
    }

    /// Returns the digest under which `text` would be stored; `None` if it is not a token of this
    /// kind. A look-up by digest leaks nothing about the token through timing.
    pub fn digest_of(kind: OpaqueKind, text: &str) -> Option<[u8; 32]> {
        let random = text.strip_prefix(kind.prefix())?;
        let well_formed =
            random.len() == DIGITS && random.bytes().all(|b| b.is_ascii_alphanumeric());
        well_formed.then(|| sha256(text))
    }
}

/// Derives refresh tokens from their predecessors. The successor of a token is the same on every
/// instance and after a restart, so only digests are stored; without the key it cannot be
/// predicted.
#[derive(Clone)]
pub struct Renewals {
    key: hmac::Key,
}

impl Renewals {
    pub(crate) fn new(key: hmac::Key) -> Self {
        Self { key }
    }

    /// Returns the successor of `token`.
    pub fn successor(&self, token: &str) -> Opaque {
        Opaque::derived(OpaqueKind::Refresh, &self.key, token.as_bytes())
    }
}

impl fmt::Debug for Renewals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewals(***)")
    }
}

/// Divides a big-endian number by 62 in place and returns the remainder.
fn divide(number: &mut [u8; 32]) -> u8 {
    let mut remainder = 0_u16;
    for byte in number {
        let part = remainder << 8 | u16::from(*byte);
        *byte = u8::try_from(part / 62).expect("the remainder is below 62");
        remainder = part % 62;
    }
    u8::try_from(remainder).expect("it is below 62")
}

fn sha256(text: &str) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 is 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MasterKey;

    #[test]
    fn a_token_is_found_by_its_digest_and_only_as_what_it_is() {
        let minted = Opaque::mint(OpaqueKind::Refresh);
        let text = minted.token.expose_secret();
        assert_eq!(Opaque::digest_of(OpaqueKind::Refresh, text), Some(minted.digest));
        assert_eq!(Opaque::digest_of(OpaqueKind::Setup, text), None);
        assert_ne!(Opaque::mint(OpaqueKind::Refresh).digest, minted.digest);
    }

    #[test]
    fn a_token_always_has_the_same_successor_and_only_with_the_key() {
        let key = MasterKey::generate();
        let first = Opaque::mint(OpaqueKind::Refresh);
        let first = first.token.expose_secret();
        let next = key.renewals().successor(first);
        assert_eq!(key.renewals().successor(first).digest, next.digest);
        assert_ne!(MasterKey::generate().renewals().successor(first).digest, next.digest);

        let next = next.token.expose_secret();
        assert!(Opaque::digest_of(OpaqueKind::Refresh, next).is_some(), "{next}");
        assert_ne!(key.renewals().successor(next).token.expose_secret(), next);
    }

    #[test]
    fn a_number_divides_to_its_digits() {
        let mut number = [0; 32];
        number[30..].copy_from_slice(&(62_u16 * 62 + 5).to_be_bytes());
        assert_eq!([(); 4].map(|()| divide(&mut number)), [5, 0, 1, 0]);
        let mut largest = [255; 32];
        for _ in 0..DIGITS {
            divide(&mut largest);
        }
        assert_eq!(largest, [0; 32], "43 digits hold every number of 256 bits");
    }

    #[test]
    fn what_has_another_form_has_no_digest() {
        for text in ["", "tgs-", "tgs-short", &format!("tgs-{}", "ü".repeat(43))] {
            assert_eq!(Opaque::digest_of(OpaqueKind::Setup, text), None, "{text}");
        }
    }
}
