//! Protection of cookie-authenticated calls against forgery: a token bound to the session, which
//! the page sends in a header that other sites cannot set.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Creates and checks these tokens. Nothing is stored.
#[derive(Clone)]
pub struct Csrf {
    key: hmac::Key,
}

impl Csrf {
    pub(crate) fn new(key: hmac::Key) -> Self {
        Self { key }
    }

    /// Returns the token of a session.
    pub fn token(&self, session: Uuid) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, session.as_bytes()))
    }

    /// Whether `shown` is the token of `session`.
    pub fn is(&self, session: Uuid, shown: &str) -> bool {
        self.token(session).as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

impl fmt::Debug for Csrf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Csrf(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MasterKey;

    #[test]
    fn a_token_is_good_for_its_own_session_only() {
        let csrf = MasterKey::generate().csrf();
        let (mine, other) = (Uuid::now_v7(), Uuid::now_v7());
        assert!(csrf.is(mine, &csrf.token(mine)));
        assert!(!csrf.is(mine, &csrf.token(other)));
        assert!(!csrf.is(mine, ""));
        assert!(!MasterKey::generate().csrf().is(mine, &csrf.token(mine)));
    }
}
