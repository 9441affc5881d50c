//! Sealing secrets for the database: XChaCha20-Poly1305, bound to the place they stand in.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use secrecy::SecretString;
use zeroize::Zeroize;

use crate::{SealError, random};

const VERSION: &str = "v1";

/// Where a sealed text stands. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The id of the row.
    pub row: i64,
    /// The id of the user whose row it is; 0 for what belongs to nobody.
    pub owner: i64,
}

impl Place<'_> {
    fn associated_data(&self) -> Vec<u8> {
        let Place { table, column, row, owner } = self;
        format!("{VERSION}\n{table}\n{column}\n{row}\n{owner}").into_bytes()
    }
}

/// Eight hex digits that tell under which master key a text was sealed, and nothing about it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyId(String);

impl KeyId {
    pub(crate) fn of(derived: &[u8; 32]) -> Self {
        Self(hex::encode(&derived[..4]))
    }
}

/// Seals with one key, and opens with that and with older ones. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    /// The newest first.
    ring: Arc<[(KeyId, XChaCha20Poly1305)]>,
}

impl Sealer {
    pub(crate) fn new(id: KeyId, key: &[u8; 32]) -> Self {
        Self { ring: Arc::new([(id, XChaCha20Poly1305::new(key.into()))]) }
    }

    /// A sealer that seals as this one and also opens what `older` opens.
    pub fn and_opens_with(&self, older: &Sealer) -> Sealer {
        Sealer { ring: self.ring.iter().chain(older.ring.iter()).cloned().collect() }
    }

    /// The id of the key that seals.
    pub fn key_id(&self) -> &str {
        &self.ring[0].0.0
    }

    /// Seals `plain` for `place`: `v1.<key-id>.<nonce>.<ciphertext>`.
    pub fn seal(&self, place: &Place<'_>, plain: &[u8]) -> String {
        let (id, cipher) = &self.ring[0];
        let nonce: [u8; 24] = random::bytes();
        let payload = Payload { msg: plain, aad: &place.associated_data() };
        let sealed = cipher
            .encrypt(&nonce.into(), payload)
            .expect("the cipher takes every text that fits into memory");
        let (nonce, sealed) = (URL_SAFE_NO_PAD.encode(nonce), URL_SAFE_NO_PAD.encode(sealed));
        format!("{VERSION}.{}.{nonce}.{sealed}", id.0)
    }

    /// Opens what was sealed for `place`.
    pub fn open(&self, place: &Place<'_>, sealed: &str) -> Result<SecretString, SealError> {
        let mut parts = sealed.split('.');
        let (Some(VERSION), Some(id), Some(nonce), Some(text), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SealError::Malformed);
        };
        let decode = |part| URL_SAFE_NO_PAD.decode(part).map_err(|_| SealError::Malformed);
        let nonce: [u8; 24] = decode(nonce)?.try_into().map_err(|_| SealError::Malformed)?;
        let text = decode(text)?;
        let (_, cipher) = self
            .ring
            .iter()
            .find(|(known, _)| known.0 == id)
            .ok_or_else(|| SealError::UnknownKey(id.chars().take(16).collect()))?;
        let payload = Payload { msg: &text, aad: &place.associated_data() };
        let plain = cipher.decrypt(&nonce.into(), payload).map_err(|_| SealError::Foreign)?;
        match String::from_utf8(plain) {
            Ok(plain) => Ok(plain.into()),
            Err(not_text) => {
                not_text.into_bytes().zeroize();
                Err(SealError::Malformed)
            }
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.key_id())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::MasterKey;

    const PLACE: Place<'static> =
        Place { table: "provider_keys", column: "secret", row: 7, owner: 1 };

    proptest! {
        #[test]
        fn what_was_sealed_opens_in_its_place(plain in "\\PC{0,200}") {
            let sealer = MasterKey::generate().sealer();
            let sealed = sealer.seal(&PLACE, plain.as_bytes());
            let opened = sealer.open(&PLACE, &sealed).unwrap();
            prop_assert_eq!(opened.expose_secret(), &plain);
        }

        #[test]
        fn what_is_not_sealed_never_panics(text in "(v1\\.)?\\PC{0,80}") {
            prop_assert!(MasterKey::generate().sealer().open(&PLACE, &text).is_err());
        }
    }

    #[test]
    fn a_sealed_text_opens_in_no_other_place() {
        let sealer = MasterKey::generate().sealer();
        let sealed = sealer.seal(&PLACE, b"sk-secret");
        for other in [
            Place { table: "users", ..PLACE },
            Place { column: "note", ..PLACE },
            Place { row: 8, ..PLACE },
            Place { owner: 2, ..PLACE },
        ] {
            assert_eq!(sealer.open(&other, &sealed).unwrap_err(), SealError::Foreign);
        }
    }

    #[test]
    fn a_changed_text_does_not_open() {
        let sealer = MasterKey::generate().sealer();
        let sealed = sealer.seal(&PLACE, b"sk-secret");
        let last = if sealed.ends_with('A') { "B" } else { "A" };
        let changed = format!("{}{last}", &sealed[..sealed.len() - 1]);
        assert!(sealer.open(&PLACE, &changed).is_err());
    }

    #[test]
    fn no_two_sealings_are_alike_and_none_shows_the_secret() {
        let sealer = MasterKey::generate().sealer();
        let (one, two) = (sealer.seal(&PLACE, b"sk-secret"), sealer.seal(&PLACE, b"sk-secret"));
        assert_ne!(one, two);
        assert!(one.starts_with(&format!("v1.{}.", sealer.key_id())));
        assert!(!one.contains("sk-secret"));
    }

    #[test]
    fn another_key_is_named_and_an_older_one_still_opens() {
        let (old, new) = (MasterKey::generate().sealer(), MasterKey::generate().sealer());
        let sealed = old.seal(&PLACE, b"sk-secret");
        assert_eq!(
            new.open(&PLACE, &sealed).unwrap_err(),
            SealError::UnknownKey(old.key_id().to_owned())
        );
        let both = new.and_opens_with(&old);
        assert_eq!(both.open(&PLACE, &sealed).unwrap().expose_secret(), "sk-secret");
        assert_eq!(both.key_id(), new.key_id());
    }
}
