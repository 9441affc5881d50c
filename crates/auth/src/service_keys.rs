//! Service keys: `tg-<8-char id>-<43 chars base62>-<4-char checksum>`.
//!
//! The data plane parses one per request, so [`ServiceKeys::present`] does not allocate. Only the
//! id and an HMAC of the key are stored; a slow hash is unnecessary, because 256 random bits cannot
//! be guessed.

use std::fmt;

use ring::hmac;
use secrecy::SecretString;
use subtle::ConstantTimeEq;

use crate::random::{BASE62, push_base62};

const PREFIX: &str = "tg-";
const ID: usize = 8;
const SECRET: usize = 43;
const CHECKSUM: usize = 4;
/// The offset of the checksum, which covers everything before it except the last dash.
const BODY: usize = PREFIX.len() + ID + 1 + SECRET;
const LENGTH: usize = BODY + 1 + CHECKSUM;

/// Creates and parses service keys. Cheap to clone.
#[derive(Clone)]
pub struct ServiceKeys {
    pepper: hmac::Key,
}

/// A new service key. The key itself is shown once and kept nowhere.
#[derive(Debug)]
pub struct Minted {
    /// The whole key.
    pub key: SecretString,
    /// The public part, by which the key is looked up.
    pub public_id: String,
    /// The digest with which the key is compared.
    pub digest: [u8; 32],
    /// Its last four characters, for people.
    pub last_four: String,
}

/// A well-formed service key, which may not exist.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    public_id: &'a str,
    digest: [u8; 32],
}

impl ServiceKeys {
    /// The length of every service key, in bytes.
    pub const LENGTH: usize = LENGTH;

    pub(crate) fn new(pepper: hmac::Key) -> Self {
        Self { pepper }
    }

    /// Creates a random key.
    pub fn mint(&self) -> Minted {
        let mut key = String::with_capacity(LENGTH);
        key.push_str(PREFIX);
        push_base62(&mut key, ID);
        key.push('-');
        push_base62(&mut key, SECRET);
        let checksum = checksum(key.as_bytes());
        key.push('-');
        key.extend(checksum.map(char::from));
        Minted {
            public_id: key[PREFIX.len()..PREFIX.len() + ID].to_owned(),
            digest: self.digest(&key),
            last_four: key[LENGTH - CHECKSUM..].to_owned(),
            key: key.into(),
        }
    }

    /// Parses a service key; `None` if its form or checksum is wrong.
    pub fn present<'a>(&self, text: &'a str) -> Option<Presented<'a>> {
        if !Self::looks_like(text) {
            return None;
        }
        let bytes = text.as_bytes();
        (checksum(&bytes[..BODY]) == bytes[BODY + 1..]).then(|| Presented {
            public_id: &text[PREFIX.len()..PREFIX.len() + ID],
            digest: self.digest(text),
        })
    }

    /// Whether `text` has the form of a service key, whatever its checksum.
    pub fn looks_like(text: &str) -> bool {
        let bytes = text.as_bytes();
        let dashes = [PREFIX.len() + ID, BODY];
        bytes.len() == LENGTH
            && text.starts_with(PREFIX)
            && bytes.iter().enumerate().skip(PREFIX.len()).all(|(i, byte)| {
                if dashes.contains(&i) { *byte == b'-' } else { byte.is_ascii_alphanumeric() }
            })
    }

    fn digest(&self, key: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.pepper, key.as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA-256 is 32 bytes")
    }
}

impl Presented<'_> {
    /// Returns the public part, by which the key is looked up.
    pub fn public_id(&self) -> &str {
        self.public_id
    }

    /// Compares the key with a digest in constant time.
    pub fn is(&self, digest: &[u8; 32]) -> bool {
        self.digest.ct_eq(digest).into()
    }
}

/// Computes the checksum. It is not a protection: it detects typing errors without a look-up and
/// lets secret scanners recognise real keys.
fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut rest = crc32c::crc32c(body) as usize;
    let mut digits = [0; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % BASE62.len()];
        rest /= BASE62.len();
    }
    digits
}

impl fmt::Debug for ServiceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKeys(***)")
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Presented({}, ***)", self.public_id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::MasterKey;

    #[test]
    fn a_minted_key_is_recognised() {
        let keys = MasterKey::generate().service_keys();
        let minted = keys.mint();
        let text = minted.key.expose_secret();
        assert_eq!(text.len(), 60);
        let shown = keys.present(text).unwrap();
        assert_eq!(shown.public_id(), minted.public_id);
        assert!(shown.is(&minted.digest));
        assert!(text.ends_with(&minted.last_four));
        assert!(text.starts_with(&format!("tg-{}-", minted.public_id)));
    }

    #[test]
    fn another_key_and_another_master_key_are_not() {
        let keys = MasterKey::generate().service_keys();
        let (one, two) = (keys.mint(), keys.mint());
        assert!(!keys.present(one.key.expose_secret()).unwrap().is(&two.digest));
        let elsewhere = MasterKey::generate().service_keys();
        assert!(!elsewhere.present(one.key.expose_secret()).unwrap().is(&one.digest));
    }

    #[test]
    fn one_changed_character_is_noticed_without_a_look_up() {
        let keys = MasterKey::generate().service_keys();
        let minted = keys.mint();
        let text = minted.key.expose_secret();
        for at in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(keys.present(&changed).is_none(), "changed at {at}");
        }
    }

    /// Existing keys must stay valid.
    #[test]
    fn the_form_never_changes() {
        let id_and_secret = format!("tg-abcDEF12-{}", "7".repeat(43));
        let sum = String::from_utf8(checksum(id_and_secret.as_bytes()).to_vec()).unwrap();
        assert_eq!(sum, "3Bfq");
        assert!(ServiceKeys::looks_like(&format!("{id_and_secret}-{sum}")));
    }

    #[test]
    fn what_has_another_form_is_no_service_key() {
        let keys = MasterKey::generate().service_keys();
        let minted = keys.mint();
        let text = minted.key.expose_secret();
        let upper = text.to_uppercase();
        let longer = format!("{text} ");
        let unicode = format!("tg-ü{}", &text[5..]);
        for other in ["", "tg-", "sk-abcdef", &upper, &longer, &text[1..], &unicode] {
            assert!(!ServiceKeys::looks_like(other), "{other:?}");
            assert!(keys.present(other).is_none());
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let keys = MasterKey::generate().service_keys();
        let minted = keys.mint();
        let text = minted.key.expose_secret();
        let printed = format!("{keys:?} {minted:?} {:?}", keys.present(text));
        assert!(!printed.contains(&text[12..55]));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(tg-)?\\PC{0,80}") {
            let keys = MasterKey::generate().service_keys();
            prop_assert!(keys.present(&text).is_none());
        }
    }
}
