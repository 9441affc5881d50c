//! The two cookies of a session: the refresh token, which no script can read, and the proof
//! against forged calls, which our own page reads and sends back in a header.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::{app::Management, error::ApiError};

/// The header in which a page shows the proof.
pub(crate) const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

#[derive(Clone, Copy)]
enum Cookie {
    Refresh,
    Csrf,
}

impl Cookie {
    const fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Cookie::Refresh, true) => "__Host-tollgate-refresh",
            (Cookie::Refresh, false) => "tollgate-refresh",
            (Cookie::Csrf, true) => "__Host-tollgate-csrf",
            (Cookie::Csrf, false) => "tollgate-csrf",
        }
    }

    fn header(self, secure: bool, value: &str, max_age: u64) -> HeaderValue {
        let name = self.name(secure);
        let http_only = if matches!(self, Cookie::Refresh) { "; HttpOnly" } else { "" };
        let secure = if secure { "; Secure" } else { "" };
        let text = format!(
            "{name}={value}; Path=/; Max-Age={max_age}; SameSite=Strict{http_only}{secure}"
        );
        let mut value = HeaderValue::try_from(text).expect("tokens are letters and digits");
        value.set_sensitive(matches!(self, Cookie::Refresh));
        value
    }
}

impl Management {
    /// Gives the browser the cookies of a session; the proof is returned too.
    pub(crate) fn set_cookies(
        &self,
        headers: &mut HeaderMap,
        session: Uuid,
        refresh: &secrecy::SecretString,
    ) -> String {
        let (secure, age) = (self.settings.secure_cookies, self.settings.session_idle.as_secs());
        let csrf = self.csrf.token(session);
        let refresh = format!("{}.{}", session.simple(), refresh.expose_secret());
        let refresh = Cookie::Refresh.header(secure, &refresh, age);
        headers.append(header::SET_COOKIE, refresh);
        headers.append(header::SET_COOKIE, Cookie::Csrf.header(secure, &csrf, age));
        csrf
    }

    /// Takes the cookies away.
    pub(crate) fn clear_cookies(&self, headers: &mut HeaderMap) {
        for cookie in [Cookie::Refresh, Cookie::Csrf] {
            let gone = cookie.header(self.settings.secure_cookies, "", 0);
            headers.append(header::SET_COOKIE, gone);
        }
    }

    /// The session that the cookies name and its refresh token, if there is one. The name is not
    /// proof: the token is.
    pub(crate) fn refresh_cookie<'a>(&self, parts: &'a Parts) -> Option<(Uuid, &'a str)> {
        let name = Cookie::Refresh.name(self.settings.secure_cookies);
        let headers = parts.headers.get_all(header::COOKIE).iter();
        let value = headers
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(known, value)| (known == name).then_some(value))?;
        let (session, token) = value.split_once('.')?;
        Some((session.parse().ok()?, token))
    }

    /// Refuses a call that a cookie authenticates unless our own page made it: the proof of this
    /// session must be shown, and the browser must name no other origin.
    pub(crate) fn own_page(&self, parts: &Parts, session: Uuid) -> Result<(), ApiError> {
        let text = |name: &HeaderName| parts.headers.get(name).map(|v| v.to_str().unwrap_or("?"));
        let shown = text(&CSRF_HEADER).unwrap_or_default();
        let site = text(&HeaderName::from_static("sec-fetch-site"));
        let same_site = matches!(site, None | Some("same-origin" | "none"));
        let same_origin = text(&header::ORIGIN).is_none_or(|origin| {
            let host = text(&header::HOST).unwrap_or_default();
            let named = origin.split_once("://").is_some_and(|(_, authority)| authority == host);
            named || self.settings.origins.iter().any(|own| own == origin)
        });
        if same_site && same_origin && self.csrf.is(session, shown) {
            Ok(())
        } else {
            Err(ApiError::ForeignOrigin)
        }
    }
}
