//! Access tokens of the management plane: short-lived, signed, and silent about what their bearer
//! may do. Role and state are read from the user's record at each call.

use std::fmt;

use chrono::{DateTime, Duration, Utc};
use domain::UserId;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::ErrorKind,
};
use ring::hmac;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use signature::{Signer, Verifier};
use uuid::Uuid;

use crate::SessionError;

const ISSUER: &str = "tollgate";
/// The audience, which prevents other uses of tokens with the same key.
const AUDIENCE: &str = "tollgate/management";
const LEEWAY_SECONDS: i64 = 30;

/// Issues and reads access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    sign: EncodingKey,
    verify: DecodingKey,
    validation: Validation,
}

/// A new access token.
#[derive(Debug)]
pub struct AccessToken {
    /// The token itself.
    pub token: SecretString,
    /// The expiry of the token.
    pub expires_at: DateTime<Utc>,
}

/// The content of an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The session, which continues when its token is renewed and ends at sign-out.
    pub id: Uuid,
    /// The user.
    pub user: UserId,
    /// The user's epoch at its beginning. The session ends when the user's epoch changes.
    pub epoch: i64,
    /// The expiry of this token.
    pub expires_at: DateTime<Utc>,
}

/// The claims: all are required and typed; unknown ones are ignored.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: Uuid,
    jti: Uuid,
    iat: i64,
    exp: i64,
    epoch: i64,
}

impl Sessions {
    /// The lifetime of an access token.
    pub const LIFETIME: Duration = Duration::minutes(15);

    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // A second call finds the same provider installed.
        let _ = PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS.unsigned_abs();
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "sub", "aud", "iss"]);
        Self {
            sign: EncodingKey::from_secret(key),
            verify: DecodingKey::from_secret(key),
            validation,
        }
    }

    /// Issues a token for a session of `user`, valid from `now`.
    pub fn issue(&self, id: Uuid, user: UserId, epoch: i64, now: DateTime<Utc>) -> AccessToken {
        let expires_at = now + Self::LIFETIME;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.to_string(),
            sid: id,
            jti: Uuid::now_v7(),
            iat: now.timestamp(),
            exp: expires_at.timestamp(),
            epoch,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
            .expect("claims of texts and numbers always have a JSON form and HMAC signs any text");
        AccessToken { token: token.into(), expires_at }
    }

    /// Reads a token. Hints about keys in its header are ignored.
    ///
    /// # Errors
    ///
    /// Returns why the token is not accepted.
    pub fn read(&self, token: &str) -> Result<Session, SessionError> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verify, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => SessionError::Expired,
                _ => SessionError::Invalid,
            })?
            .claims;
        let user = claims.sub.parse().map_err(|_| SessionError::Invalid)?;
        let expires_at = DateTime::from_timestamp(claims.exp, 0).ok_or(SessionError::Invalid)?;
        if claims.iat > Utc::now().timestamp() + LEEWAY_SECONDS {
            return Err(SessionError::Invalid);
        }
        Ok(Session { id: claims.sid, user: UserId(user), epoch: claims.epoch, expires_at })
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions(***)")
    }
}

/// The token library with ring beneath it, and with the one algorithm we use.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.as_bytes()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.try_get_as_bytes()?))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(hmac::Key);

impl Hs256 {
    fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], shown: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, shown).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::*;
    use crate::MasterKey;

    fn sessions() -> Sessions {
        MasterKey::generate().sessions()
    }

    /// A token with any header and claims, signed with the right key.
    fn forged(sessions: &Sessions, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = Hs256::new(sessions.sign.as_bytes()).try_sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn good_claims() -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "7", "sid": Uuid::now_v7(),
            "jti": Uuid::now_v7(), "iat": now, "exp": now + 60, "epoch": 3,
        })
    }

    #[test]
    fn a_token_says_who_and_nothing_else() {
        let sessions = sessions();
        let (id, now) = (Uuid::now_v7(), Utc::now());
        let token = sessions.issue(id, UserId(7), 3, now);
        let session = sessions.read(token.token.expose_secret()).unwrap();
        assert_eq!((session.id, session.user, session.epoch), (id, UserId(7), 3));
        assert_eq!(session.expires_at.timestamp(), token.expires_at.timestamp());
        let again = sessions.issue(id, UserId(7), 3, now);
        assert_ne!(again.token.expose_secret(), token.token.expose_secret());
    }

    #[test]
    fn an_old_token_is_expired_after_half_a_minute_of_grace() {
        let sessions = sessions();
        let read = |age: i64| {
            let then = Utc::now() - Sessions::LIFETIME - Duration::seconds(age);
            let token = sessions.issue(Uuid::now_v7(), UserId(7), 0, then);
            sessions.read(token.token.expose_secret()).map(|_| ())
        };
        assert_eq!(read(20), Ok(()));
        assert_eq!(read(40), Err(SessionError::Expired));
    }

    #[test]
    fn another_key_a_changed_text_and_rubbish_are_refused() {
        let (sessions, elsewhere) = (sessions(), sessions());
        let token = sessions.issue(Uuid::now_v7(), UserId(7), 0, Utc::now()).token;
        let token = token.expose_secret();
        assert_eq!(elsewhere.read(token), Err(SessionError::Invalid));
        let changed = token.replacen('.', ".A", 1);
        for text in ["", ".", "a.b.c", "tg-abc", &changed, &token[..token.len() - 2]] {
            assert_eq!(sessions.read(text), Err(SessionError::Invalid), "{text}");
        }
    }

    #[test]
    fn only_one_algorithm_is_accepted_and_hints_about_keys_are_ignored() {
        let sessions = sessions();
        let read = |header: Value| sessions.read(&forged(&sessions, &header, &good_claims()));
        assert!(read(json!({"alg": "HS256", "typ": "JWT"})).is_ok());
        assert!(
            read(json!({"alg": "HS256", "kid": "../../etc/passwd", "jku": "http://x"})).is_ok()
        );
        for header in [json!({"alg": "none"}), json!({"alg": "HS512"}), json!({"alg": "RS256"})] {
            assert_eq!(read(header.clone()), Err(SessionError::Invalid), "{header}");
        }
    }

    #[test]
    fn a_claim_that_is_missing_or_of_another_type_or_value_is_refused() {
        let sessions = sessions();
        let header = json!({"alg": "HS256"});
        assert!(sessions.read(&forged(&sessions, &header, &good_claims())).is_ok());
        for claim in ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "epoch"] {
            let mut missing = good_claims();
            missing.as_object_mut().unwrap().remove(claim);
            let read = sessions.read(&forged(&sessions, &header, &missing));
            assert_eq!(read, Err(SessionError::Invalid), "without {claim}");
            for wrong in [json!(null), json!(["x"]), json!({"a": 1}), json!("x"), json!(true)] {
                let mut claims = good_claims();
                claims[claim] = wrong.clone();
                let read = sessions.read(&forged(&sessions, &header, &claims));
                assert_eq!(read, Err(SessionError::Invalid), "{claim} = {wrong}");
            }
        }
        let mut early = good_claims();
        early["iat"] = json!(Utc::now().timestamp() + 120);
        early["exp"] = json!(Utc::now().timestamp() + 900);
        assert_eq!(sessions.read(&forged(&sessions, &header, &early)), Err(SessionError::Invalid));
    }
}
