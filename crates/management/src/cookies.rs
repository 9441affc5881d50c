//! The two cookies of a session: the refresh token, which no script can read, and the proof
//! against forged calls, which our own page reads and sends back in a header.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use secrecy::{ExposeSecret, SecretString};
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
        HeaderValue::try_from(text).expect("tokens are letters and digits")
    }
}

impl Management {
    /// Whether cookies for whoever sends this are for `https` alone. They are, except for who
    /// sits at this very machine and speaks plain `http` to it: there nobody can listen, and
    /// many programs and some browsers would not keep such cookies.
    pub(crate) fn secure_cookies(&self, parts: &Parts) -> bool {
        let here = self.client_ip(parts).is_some_and(|ip| ip.is_loopback());
        let forwarded = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "via"];
        let direct = !forwarded.iter().any(|name| parts.headers.contains_key(*name));
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let plain = text(header::ORIGIN).is_none_or(|origin| origin.starts_with("http://"));
        let named_here = text(header::HOST).is_some_and(is_loopback_name);
        self.settings.secure_cookies && !(here && direct && plain && named_here)
    }

    /// Gives the browser the cookies of a session; the proof is returned too.
    pub(crate) fn set_cookies(
        &self,
        headers: &mut HeaderMap,
        secure: bool,
        session: Uuid,
        refresh: &SecretString,
    ) -> String {
        let age = self.settings.session_idle.as_secs();
        let csrf = self.csrf.token(session);
        let refresh = format!("{}.{}", session.simple(), refresh.expose_secret());
        let refresh = Cookie::Refresh.header(secure, &refresh, age);
        headers.append(header::SET_COOKIE, refresh);
        headers.append(header::SET_COOKIE, Cookie::Csrf.header(secure, &csrf, age));
        csrf
    }

    /// Takes the cookies away.
    pub(crate) fn clear_cookies(&self, headers: &mut HeaderMap, secure: bool) {
        for cookie in [Cookie::Refresh, Cookie::Csrf] {
            headers.append(header::SET_COOKIE, cookie.header(secure, "", 0));
        }
    }

    /// The session that the cookies name and its refresh token, if there is one. The name is not
    /// proof: the token is.
    pub(crate) fn refresh_cookie<'a>(&self, parts: &'a Parts) -> Option<(Uuid, &'a str)> {
        let name = Cookie::Refresh.name(self.secure_cookies(parts));
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

/// Whether a `Host` names this machine itself.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in
            ["localhost", "LOCALHOST:9090", "127.0.0.1", "127.1.2.3:80", "[::1]:9090", "[::1]"]
        {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in
            ["", "gate.example", "localhost.evil.example", "10.0.0.1:9090", "[::2]:1", "x:y"]
        {
            assert!(!is_loopback_name(host), "{host}");
        }
    }
}
