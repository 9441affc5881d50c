//! The head of a message: its first line and its fields, as ranges into the bytes that came.
//!
//! Nothing is copied and nothing is normalised, so what was checked is what is passed on. The
//! rules are RFC 9112 without its leniencies: CRLF and nothing else ends a line, no folding, no
//! space before a colon, no control bytes.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;

/// Why a head is refused. Each of these closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHead {
    #[error("the request line is malformed")]
    FirstLine,
    #[error("the request target has bytes that do not belong there")]
    Target,
    #[error("the HTTP version is not 1.0 or 1.1")]
    Version,
    #[error("a header line is malformed")]
    Field,
    #[error("there are too many headers")]
    TooMany,
    #[error("the request target is too long")]
    TargetTooLong,
    #[error("content-length and transfer-encoding cannot both be given")]
    LengthAndEncoding,
    #[error("content-length must be one plain number")]
    Length,
    #[error("transfer-encoding must be exactly `chunked`, and not in HTTP/1.0")]
    Encoding,
    #[error("exactly one well-formed host header is needed")]
    Host,
    #[error("the connection header names a header that must not be dropped")]
    Connection,
    #[error("the only expectation that can be met is 100-continue")]
    Expectation,
}

/// A field line: where its name and its value stand in the head.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: (u32, u32),
    value: (u32, u32),
}

/// The fields of a head, over the bytes that came.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    raw: Bytes,
    fields: Vec<Field>,
}

impl Head {
    /// The value of the first field of this (lowercase) name.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The values of all fields of this (lowercase) name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The value of the first field of this name, as text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The values of all fields of this name as one list, as text; `None` where there is none, or
    /// where one is no text.
    pub(crate) fn list<'a>(&'a self, name: &'a str) -> Option<Cow<'a, str>> {
        let mut values = self.all(name);
        let first = std::str::from_utf8(values.next()?).ok()?;
        let mut list = Cow::Borrowed(first);
        for value in values {
            let list = list.to_mut();
            list.push_str(", ");
            list.push_str(std::str::from_utf8(value).ok()?);
        }
        Some(list)
    }

    /// All fields as they came, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|f| (self.slice(f.name), self.slice(f.value)))
    }

    /// Whether a comma-separated field of this name holds `token`.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name).any(|value| {
            value
                .split(|b| *b == b',')
                .any(|t| t.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    }

    fn slice(&self, (from, to): (u32, u32)) -> &[u8] {
        &self.raw[from as usize..to as usize]
    }

    /// The one declared length, if any.
    fn content_length(&self) -> Result<Option<u64>, BadHead> {
        let mut values = self.all("content-length");
        let Some(value) = values.next() else { return Ok(None) };
        let plain = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if !plain || values.next().is_some() {
            return Err(BadHead::Length);
        }
        let text = std::str::from_utf8(value).map_err(|_| BadHead::Length)?;
        text.parse().map(Some).map_err(|_| BadHead::Length)
    }

    /// Whether the body is chunked.
    fn chunked(&self) -> Result<bool, BadHead> {
        let mut values = self.all("transfer-encoding");
        match (values.next(), values.next()) {
            (None, _) => Ok(false),
            (Some(value), None) if value.eq_ignore_ascii_case(b"chunked") => Ok(true),
            _ => Err(BadHead::Encoding),
        }
    }
}

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

/// The head of a provider's answer.
#[derive(Debug, Clone)]
pub(crate) struct ResponseHead {
    head: Head,
    /// The status code, 100 to 599.
    pub(crate) status: u16,
    /// Whether it is HTTP/1.1 rather than 1.0.
    pub(crate) http11: bool,
    /// The length that was declared, if one was.
    pub(crate) content_length: Option<u64>,
    /// Whether the body is chunked.
    pub(crate) chunked: bool,
}

impl std::ops::Deref for ResponseHead {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

impl ResponseHead {
    /// Reads a whole head, blank line included.
    pub(crate) fn parse(raw: Bytes, max_fields: usize) -> Result<Self, BadHead> {
        let end = line_end(&raw, 0).ok_or(BadHead::FirstLine)?;
        let line = &raw[..end];
        let http11 = match line.get(..9) {
            Some(b"HTTP/1.1 ") => true,
            Some(b"HTTP/1.0 ") => false,
            _ => return Err(BadHead::Version),
        };
        let digits = line.get(9..12).ok_or(BadHead::FirstLine)?;
        if !digits.iter().all(u8::is_ascii_digit) || line.get(12).is_some_and(|b| *b != b' ') {
            return Err(BadHead::FirstLine);
        }
        let status = digits.iter().fold(0u16, |n, d| n * 10 + u16::from(d - b'0'));
        if !(100..=599).contains(&status) {
            return Err(BadHead::FirstLine);
        }
        let fields = fields(&raw, end + 2, max_fields)?;
        let head = Head { raw, fields };
        let chunked = head.chunked()?;
        let content_length = head.content_length()?;
        if chunked && (content_length.is_some() || !http11) {
            return Err(BadHead::LengthAndEncoding);
        }
        Ok(Self { head, status, http11, content_length, chunked })
    }

    /// Whether the provider keeps the connection after this answer.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.http11 && !self.lists("connection", "close")
    }

    /// The media type without its parameters.
    pub(crate) fn media_type(&self) -> &[u8] {
        let value = self.get("content-type").unwrap_or_default();
        value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
    }

    /// Whether the body is a stream of server-sent events.
    pub(crate) fn is_event_stream(&self) -> bool {
        self.media_type().eq_ignore_ascii_case(b"text/event-stream")
    }
}

/// Where the line that begins at `from` ends; `None` unless it ends with CRLF and holds neither
/// another CR nor a control byte.
fn line_end(raw: &[u8], from: usize) -> Option<usize> {
    let feed = from + memchr::memchr(b'\n', raw.get(from..)?)?;
    let end = feed.checked_sub(1).filter(|end| *end >= from && raw[*end] == b'\r')?;
    let clean = |b: &u8| *b >= 0x20 && *b != 0x7f || *b == b'\t';
    raw[from..end].iter().all(clean).then_some(end)
}

fn fields(raw: &[u8], mut at: usize, max: usize) -> Result<Vec<Field>, BadHead> {
    let mut fields = Vec::with_capacity(16);
    loop {
        let end = line_end(raw, at).ok_or(BadHead::Field)?;
        if end == at {
            return if end + 2 == raw.len() { Ok(fields) } else { Err(BadHead::Field) };
        }
        if fields.len() == max {
            return Err(BadHead::TooMany);
        }
        let line = &raw[at..end];
        let colon = memchr::memchr(b':', line).ok_or(BadHead::Field)?;
        if colon == 0 || !line[..colon].iter().all(|b| is_token(*b)) {
            return Err(BadHead::Field);
        }
        let value = line[colon + 1..].trim_ascii();
        // The value is a part of the line, so its place follows from the spaces around it.
        let lead = line[colon + 1..].len() - line[colon + 1..].trim_ascii_start().len();
        let from = at + colon + 1 + lead;
        let place = |a: usize, b: usize| (a as u32, b as u32);
        fields.push(Field { name: place(at, at + colon), value: place(from, from + value.len()) });
        at = end + 2;
    }
}

/// Whether `b` may stand in a header name (RFC 9110, token).
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

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
