//! Pages of other origins (CORS, the Fetch standard): which may call, and what their browsers are told.

use std::borrow::Cow;

use crate::{headers::push, http1::RequestHead};

/// The origins whose pages may call; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsOrigins(Vec<String>);

impl CorsOrigins {
    /// Reads origins with commas between them: `https://app.example`, or `*` for every page.
    ///
    /// # Errors
    ///
    /// Says what is no origin.
    pub fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let origins = items.map(|item| {
            let item = item.trim_end_matches('/').to_ascii_lowercase();
            let (scheme, host) = item.split_once("://").unwrap_or(("", ""));
            let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
            let known = !scheme.is_empty() && !host.is_empty() && host.bytes().all(plain);
            let scheme_is_plain =
                scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
            if item == "*" || (known && scheme_is_plain) {
                Ok(item)
            } else {
                Err(format!("`{item}` is not an origin; write it as in https://app.example"))
            }
        });
        origins.collect::<Result<_, _>>().map(Self)
    }

    /// The header lines for the answers to a request, where its origin may call.
    pub(crate) fn lines(&self, head: &RequestHead) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let origin = head.text("origin")?;
        let every = self.0.iter().any(|allowed| allowed == "*");
        if !every && !self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
            return None;
        }
        let allowed = if every { "*" } else { origin };
        let mut lines = Vec::with_capacity(128);
        push(&mut lines, b"access-control-allow-origin", allowed.as_bytes());
        push(&mut lines, b"access-control-expose-headers", b"*");
        if !every {
            push(&mut lines, b"vary", b"Origin");
        }
        Some(lines)
    }
}

/// The header lines of an answer without what its provider says to pages of other origins.
pub(crate) fn without_theirs(fields: &[u8]) -> Cow<'_, [u8]> {
    let theirs = |line: &[u8]| {
        line.get(..15).is_some_and(|name| name.eq_ignore_ascii_case(b"access-control-"))
    };
    let mut lines = fields.split_inclusive(|b| *b == b'\n');
    if !lines.any(theirs) {
        return Cow::Borrowed(fields);
    }
    let kept = fields.split_inclusive(|b| *b == b'\n').filter(|line| !theirs(line));
    Cow::Owned(kept.flatten().copied().collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn only_the_origins_that_are_named_may_call() {
        let said = |origins: &str, origin: &str| {
            let text = format!("GET / HTTP/1.1\r\nhost: h\r\norigin: {origin}\r\n\r\n");
            let head = RequestHead::parse(Bytes::from(text), 100, 8192).unwrap();
            let lines = CorsOrigins::parse(origins).unwrap().lines(&head);
            lines.map(|lines| String::from_utf8(lines).unwrap())
        };
        let two = "https://a.example, http://localhost:3000/";
        assert_eq!(said("", "https://a.example"), None);
        assert_eq!(said(two, "https://b.example"), None);
        assert_eq!(said(two, "https://a.example.evil"), None);
        let lines = said(two, "https://a.example").unwrap();
        assert!(lines.contains("access-control-allow-origin: https://a.example\r\n"), "{lines}");
        assert!(lines.contains("vary: Origin\r\n"), "{lines}");
        assert!(said(two, "http://localhost:3000").is_some());
        assert!(said("*", "null").unwrap().contains("access-control-allow-origin: *\r\n"));
        for wrong in ["a.example", "https://a.example/path", "https://", "https://a b"] {
            assert!(CorsOrigins::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_provider_says_to_pages_stays_here() {
        let fields = b"a: b\r\nAccess-Control-Allow-Origin: *\r\nc: d\r\n";
        assert_eq!(without_theirs(fields), b"a: b\r\nc: d\r\n".as_slice());
        assert_eq!(without_theirs(b"a: b\r\n"), b"a: b\r\n".as_slice());
    }
}
