//! The master key, from which all other keys derive. The binary stores it.

use std::fmt;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT},
};
use ring::{hkdf, hmac};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::{
    AuditChain, Csrf, Fingerprints, MasterKeyError, Opaque, OpaqueKind, Passwords, Renewals,
    Sealer, ServiceKeys, Sessions, random, sealer::KeyId,
};

/// 32 bytes from which every key of the gateway derives. With them and the database every secret
/// can be read.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// The purpose of a sub-key. Stored data depend on the labels, so they never change.
#[derive(Debug, Clone, Copy)]
enum Label {
    Secrets,
    ServiceKeyPepper,
    PasswordPepper,
    Session,
    Csrf,
    AuditChain,
    ClientIp,
    Fingerprints,
    SessionRenewal,
    KeyId,
    SetupToken,
}

impl Label {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Label::Secrets => b"secrets",
            Label::ServiceKeyPepper => b"api-key-pepper",
            Label::PasswordPepper => b"password-pepper",
            Label::Session => b"session",
            Label::Csrf => b"csrf",
            Label::AuditChain => b"audit-chain",
            Label::ClientIp => b"client-ip",
            Label::Fingerprints => b"fingerprints",
            Label::SessionRenewal => b"session-renewal",
            Label::KeyId => b"key-id",
            Label::SetupToken => b"setup-token",
        }
    }
}

impl MasterKey {
    /// Creates a random key.
    pub fn generate() -> Self {
        Self(Zeroizing::new(random::bytes()))
    }

    /// Parses a key in hex or base64, ignoring white space around it.
    ///
    /// # Errors
    ///
    /// Returns why the text is not a master key.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        let mut key = Zeroizing::new([0; 32]);
        let hex = text.len() == 64 && hex::decode_to_slice(text, key.as_mut()).is_ok();
        if !hex {
            let decoded = STANDARD_PAD_INDIFFERENT
                .decode(text)
                .or_else(|_| URL_SAFE_PAD_INDIFFERENT.decode(text))
                .map(Zeroizing::new)
                .map_err(|_| MasterKeyError::Form)?;
            if decoded.len() != key.len() {
                return Err(MasterKeyError::Form);
            }
            key.copy_from_slice(&decoded);
        }
        let mut distinct = key.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < 8 {
            return Err(MasterKeyError::Guessable);
        }
        Ok(Self(key))
    }

    /// Returns the key in hex, for the file that stores it.
    pub fn to_text(&self) -> SecretString {
        hex::encode(self.0.as_ref()).into()
    }

    /// Returns the encryption of secrets for the database.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(KeyId::of(&self.derive(Label::KeyId)), &self.derive(Label::Secrets))
    }

    /// Returns the generator and parser of service keys.
    pub fn service_keys(&self) -> ServiceKeys {
        ServiceKeys::new(self.hmac(Label::ServiceKeyPepper))
    }

    /// Returns the hashing of passwords.
    pub fn passwords(&self) -> Passwords {
        Passwords::new(self.hmac(Label::PasswordPepper))
    }

    /// Returns the access tokens of the management plane.
    pub fn sessions(&self) -> Sessions {
        Sessions::new(&self.derive(Label::Session))
    }

    /// Returns the derivation of refresh tokens.
    pub fn renewals(&self) -> Renewals {
        Renewals::new(self.hmac(Label::SessionRenewal))
    }

    /// Returns the protection of cookie-authenticated calls.
    pub fn csrf(&self) -> Csrf {
        Csrf::new(self.hmac(Label::Csrf))
    }

    /// Returns the chain of audit entries.
    pub fn audit_chain(&self) -> AuditChain {
        AuditChain::new(self.hmac(Label::AuditChain))
    }

    /// Returns the fingerprints by which provider keys that were entered before are recognised.
    pub fn fingerprints(&self) -> Fingerprints {
        Fingerprints::new(self.hmac(Label::Fingerprints))
    }

    /// Returns the set-up token with this expiry, in microseconds since 1970: instances that start
    /// together offer the same one.
    pub fn setup_token(&self, expires_us: i64) -> Opaque {
        let key = self.hmac(Label::SetupToken);
        Opaque::derived(OpaqueKind::Setup, &key, &expires_us.to_be_bytes())
    }

    /// Returns the key with which client addresses are digested, for logs that distinguish
    /// addresses without naming them.
    pub fn client_ip_key(&self) -> [u8; 32] {
        *self.derive(Label::ClientIp)
    }

    fn hmac(&self, label: Label) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.derive(label).as_ref())
    }

    fn derive(&self, label: Label) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"tollgate")
            .extract(self.0.as_ref())
            .expand(&[label.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|derived| derived.fill(key.as_mut()))
            .expect("32 bytes is what HKDF-SHA-256 gives");
        key
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_key_reads_back_from_hex_and_from_base64() {
        let key = MasterKey::generate();
        let hex = key.to_text();
        let base64 = STANDARD_PAD_INDIFFERENT.encode(key.0.as_ref());
        let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key.0.as_ref());
        for text in [hex.expose_secret(), &format!("{base64}\n"), &url_safe] {
            assert_eq!(*MasterKey::parse(text).unwrap().0, *key.0);
        }
    }

    #[test]
    fn what_is_no_key_or_a_guessable_one_is_refused() {
        let check = |text: &str, error| assert_eq!(MasterKey::parse(text).unwrap_err(), error);
        check("", MasterKeyError::Form);
        check("short", MasterKeyError::Form);
        check(&"ab".repeat(31), MasterKeyError::Form);
        check(&"zz".repeat(32), MasterKeyError::Form);
        check(&"00".repeat(32), MasterKeyError::Guessable);
        check(&"0123".repeat(16), MasterKeyError::Guessable);
        check(&"A".repeat(43), MasterKeyError::Guessable);
    }

    #[test]
    fn each_use_has_its_own_key() {
        let key = MasterKey::generate();
        let labels = [
            Label::Secrets,
            Label::ServiceKeyPepper,
            Label::PasswordPepper,
            Label::Session,
            Label::Csrf,
            Label::AuditChain,
            Label::ClientIp,
            Label::Fingerprints,
            Label::SessionRenewal,
            Label::KeyId,
            Label::SetupToken,
        ];
        let mut derived: Vec<_> = labels.iter().map(|label| *key.derive(*label)).collect();
        derived.sort_unstable();
        derived.dedup();
        assert_eq!(derived.len(), labels.len());
    }

    #[test]
    fn instances_with_one_key_offer_the_same_set_up_token() {
        let (key, other) = (MasterKey::generate(), MasterKey::generate());
        let one = key.setup_token(1_000);
        let text = one.token.expose_secret();
        assert_eq!(key.setup_token(1_000).token.expose_secret(), text);
        assert_eq!(Opaque::digest_of(OpaqueKind::Setup, text), Some(one.digest));
        assert_ne!(key.setup_token(1_001).digest, one.digest);
        assert_ne!(other.setup_token(1_000).digest, one.digest);
    }

    /// Stored data depend on these bytes, so they never change.
    #[test]
    fn the_way_to_derive_never_changes() {
        let key = MasterKey::parse(&hex::encode((0..32).collect::<Vec<u8>>())).unwrap();
        assert_eq!(
            hex::encode(key.derive(Label::Secrets).as_ref()),
            "ac8c304b96b75b412fcac19e91d120013011c285d5a1e710bd5612739869aa3f"
        );
    }

    #[test]
    fn the_key_never_shows_when_printed() {
        let key = MasterKey::generate();
        assert_eq!(format!("{key:?} {:?}", key.to_text()).matches("***").count(), 1);
        assert!(!format!("{:?}", key.to_text()).contains(key.to_text().expose_secret()));
    }
}
