//! The head of a request: its first line, its framing and what must hold of its fields.

use std::ops::Range;

use bytes::Bytes;

use super::head::{BadHead, Head, fields, line_end};

/// The head of a request that passed every check.
#[derive(Debug, Clone)]
pub(crate) struct RequestHead {
    head: Head,
    method: Range<usize>,
    target: Range<usize>,
    /// Whether it is HTTP/1.1 rather than 1.0.
    pub(crate) http11: bool,
    /// The length that was declared, if one was.
    pub(crate) content_length: Option<u64>,
    /// Whether the body is chunked.
    pub(crate) chunked: bool,
}

impl std::ops::Deref for RequestHead {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

impl RequestHead {
    /// Reads a whole head, blank line included.
    pub(crate) fn parse(raw: Bytes, max_fields: usize, max_target: usize) -> Result<Self, BadHead> {
        let end = line_end(&raw, 0).ok_or(BadHead::FirstLine)?;
        let line = &raw[..end];
        let method_end = memchr::memchr(b' ', line).ok_or(BadHead::FirstLine)?;
        let target_end = memchr::memrchr(b' ', line).ok_or(BadHead::FirstLine)?;
        let (method, target) = (0..method_end, method_end + 1..target_end.max(method_end + 1));
        if method.is_empty()
            || method.len() > 32
            || !line[method.clone()].iter().all(u8::is_ascii_uppercase)
        {
            return Err(BadHead::FirstLine);
        }
        let http11 = match &line[target_end + 1..] {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(BadHead::Version),
        };
        if target.len() > max_target {
            return Err(BadHead::TargetTooLong);
        }
        let plain = |b: &u8| (0x21..=0x7e).contains(b) && *b != b'#';
        if target.is_empty() || !line[target.clone()].iter().all(plain) {
            return Err(BadHead::Target);
        }
        let fields = fields(&raw, end + 2, max_fields)?;
        let head = Head { raw, fields };
        let mut request =
            Self { head, method, target, http11, content_length: None, chunked: false };
        request.frame()?;
        request.check_host()?;
        request.check_connection()?;
        request.check_expectation()?;
        Ok(request)
    }

    /// The method, uppercase.
    pub(crate) fn method(&self) -> &str {
        std::str::from_utf8(&self.head.raw[self.method.clone()]).unwrap_or_default()
    }

    /// The target as it came: path and query. Never a full address: that is taken apart here.
    pub(crate) fn target(&self) -> &str {
        let target = std::str::from_utf8(&self.head.raw[self.target.clone()]).unwrap_or_default();
        match target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")) {
            Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => target,
        }
    }

    /// The path as it came, without the query.
    pub(crate) fn path(&self) -> &str {
        let target = self.target();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The query as it came, without its `?`.
    pub(crate) fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// Whether the client wants the connection to stay after this call.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.http11 && !self.lists("connection", "close")
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) fn expects_continue(&self) -> bool {
        self.http11 && self.get("expect").is_some()
    }

    /// Whether the client asks for a WebSocket.
    pub(crate) fn asks_for_websocket(&self) -> bool {
        self.method() == "GET"
            && !self.has_body()
            && self.lists("connection", "upgrade")
            && self.get("upgrade").is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"))
    }

    /// Whether there is a body to read.
    pub(crate) fn has_body(&self) -> bool {
        self.chunked || self.content_length.is_some_and(|n| n > 0)
    }

    fn frame(&mut self) -> Result<(), BadHead> {
        self.chunked = self.head.chunked()?;
        if self.chunked && self.get("content-length").is_some() {
            return Err(BadHead::LengthAndEncoding);
        }
        if self.chunked && !self.http11 {
            return Err(BadHead::Encoding);
        }
        self.content_length = self.head.content_length()?;
        Ok(())
    }

    fn check_host(&self) -> Result<(), BadHead> {
        let mut hosts = self.all("host");
        let (host, second) = (hosts.next(), hosts.next());
        if second.is_some() {
            return Err(BadHead::Host);
        }
        let host = match host {
            Some(host) => host,
            None if !self.http11 => return self.check_form(b""),
            None => return Err(BadHead::Host),
        };
        if host.len() > 260 || !is_host(host) {
            return Err(BadHead::Host);
        }
        self.check_form(host)
    }

    /// The target is a path, or a full address of the same host.
    fn check_form(&self, host: &[u8]) -> Result<(), BadHead> {
        let target = &self.head.raw[self.target.clone()];
        if target.starts_with(b"/") {
            return Ok(());
        }
        let rest =
            [b"http://".as_slice(), b"https://"].iter().find_map(|s| target.strip_prefix(*s));
        match rest {
            Some(rest) => {
                let end = rest.iter().position(|b| b"/?".contains(b)).unwrap_or(rest.len());
                if rest[..end].eq_ignore_ascii_case(host) && rest.get(end) != Some(&b'?') {
                    Ok(())
                } else {
                    Err(BadHead::Host)
                }
            }
            None => Err(BadHead::Target),
        }
    }

    fn check_connection(&self) -> Result<(), BadHead> {
        for value in self.all("connection") {
            for token in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                let kept = KEPT.iter().any(|k| token.eq_ignore_ascii_case(k.as_bytes()));
                if kept {
                    return Err(BadHead::Connection);
                }
            }
        }
        Ok(())
    }

    fn check_expectation(&self) -> Result<(), BadHead> {
        let mut values = self.all("expect");
        match (values.next(), values.next()) {
            (None, _) => Ok(()),
            (Some(value), None) if value.eq_ignore_ascii_case(b"100-continue") => Ok(()),
            _ => Err(BadHead::Expectation),
        }
    }
}

/// Whether this is a host with or without a port (RFC 9110, 7.2): a name, an IPv4 address, or an
/// IPv6 address in brackets.
fn is_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, behind)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match behind.strip_prefix(':') {
                Some(port) => ("[]", port),
                None if behind.is_empty() => ("[]", ""),
                None => return false,
            }
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    let named = name == "[]" || (!name.is_empty() && name.bytes().all(plain));
    let digits = port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    named && digits && (port.is_empty() || port.parse::<u16>().is_ok())
}

/// Headers that frame, address or authorise a message: naming one of them in `Connection` would
/// have the next hop drop it.
const KEPT: [&str; 12] = [
    "authorization",
    "api-key",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "transfer-encoding",
    "x-api-key",
    "x-goog-api-key",
    "x-forwarded-for",
    "x-request-id",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::ResponseHead;

    fn request(text: &str) -> Result<RequestHead, BadHead> {
        RequestHead::parse(Bytes::copy_from_slice(text.as_bytes()), 100, 8192)
    }

    #[test]
    fn a_plain_request_is_read_as_it_came() {
        let head = request(
            "POST /v1/chat?x=1&y HTTP/1.1\r\nHost: a.example:80\r\nX-Odd-Case:  v w \r\nContent-Length: 12\r\n\r\n",
        )
        .unwrap();
        assert_eq!((head.method(), head.path(), head.query()), ("POST", "/v1/chat", Some("x=1&y")));
        assert_eq!(head.get("x-odd-case"), Some(b"v w".as_slice()));
        assert_eq!(head.iter().nth(1).unwrap().0, b"X-Odd-Case");
        assert_eq!(head.content_length, Some(12));
        assert!(head.keeps_alive() && head.has_body() && !head.chunked);
    }

    #[test]
    fn whatever_two_parsers_could_read_differently_is_refused() {
        use BadHead::*;
        let line = |fields: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        for (text, why) in [
            (line("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), LengthAndEncoding),
            (line("Content-Length: 5\r\nContent-Length: 5\r\n"), Length),
            (line("Content-Length: 5, 5\r\n"), Length),
            (line("Content-Length: +5\r\n"), Length),
            (line("Content-Length: \r\n"), Length),
            (line("Content-Length: 1234567890123456789\r\n"), Length),
            (line("Transfer-Encoding: gzip, chunked\r\n"), Encoding),
            (line("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Encoding),
            (line("Transfer-Encoding : chunked\r\n"), Field),
            (line(" folded: x\r\n"), Field),
            (line("a: b\r\n folded\r\n"), Field),
            (line("no colon\r\n"), Field),
            (line("a: b\nc: d\r\n"), Field),
            (line("a: b\rc\r\n"), Field),
            (line("a: b\0c\r\n"), Field),
            (line("Connection: close, Content-Length\r\n"), Connection),
            (line("Connection: Authorization\r\n"), Connection),
            (line("Host: other\r\n"), Host),
            (line("Expect: 200-ok\r\n"), Expectation),
            ("POST / HTTP/1.1\r\n\r\n".into(), Host),
            ("POST / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), Host),
            ("POST / HTTP/1.1\r\nHost: \r\n\r\n".into(), Host),
            ("POST http://other/ HTTP/1.1\r\nHost: h\r\n\r\n".into(), Host),
            ("POST http://h?x HTTP/1.1\r\nHost: h\r\n\r\n".into(), Host),
            ("POST * HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
            ("POST /a#b HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
            ("POST /a b HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
            ("POST  / HTTP/1.1\r\nHost: h\r\n\r\n".into(), Target),
            ("POST / HTTP/1.2\r\nHost: h\r\n\r\n".into(), Version),
            ("POST / HTTP/2.0\r\nHost: h\r\n\r\n".into(), Version),
            ("POST / http/1.1\r\nHost: h\r\n\r\n".into(), Version),
            ("post / HTTP/1.1\r\nHost: h\r\n\r\n".into(), FirstLine),
            ("POST / HTTP/1.1\nHost: h\n\n".into(), FirstLine),
            ("\r\nPOST / HTTP/1.1\r\nHost: h\r\n\r\n".into(), FirstLine),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), Encoding),
        ] {
            assert_eq!(request(&text).err(), Some(why), "{text:?}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in ["h", "a.b-c_d", "1.2.3.4", "1.2.3.4:80", "h:", "[::1]", "[2001:db8::1]:8080"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            ":-1",
            "h:abc",
            "h:-1",
            "h:65536",
            "h:000080",
            "h:80:80",
            "[::1",
            "a]b",
            "[]",
            "[",
            "]",
            "[::1]x",
            "[::1]:x",
            "[h]",
            "[::1%25eth0]",
            "::1",
            "a b",
            "a/b",
            "a@b",
            "ü",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn the_caps_hold() {
        let many = "a: b\r\n".repeat(101);
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n");
        assert_eq!(request(&text).err(), Some(BadHead::TooMany));
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(8192));
        assert_eq!(request(&long).err(), Some(BadHead::TargetTooLong));
    }

    #[test]
    fn a_full_address_of_the_same_host_is_its_path() {
        let head =
            request("GET http://h:8080/v1/models?a=b HTTP/1.1\r\nHost: h:8080\r\n\r\n").unwrap();
        assert_eq!((head.path(), head.query()), ("/v1/models", Some("a=b")));
    }

    #[test]
    fn an_answer_is_checked_the_same_way() {
        let answer = |text: &str| ResponseHead::parse(Bytes::copy_from_slice(text.as_bytes()), 100);
        let head =
            answer("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n")
                .unwrap();
        assert!(head.status == 200 && head.is_event_stream() && head.keeps_alive());
        assert!(answer("HTTP/1.1 200\r\n\r\n").is_ok());
        for text in [
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 999 OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert!(answer(text).is_err(), "{text:?}");
        }
    }
}
