//! The head of a message: its fields as ranges into the bytes that came, and the first line of an
//! answer. That of a request is read in `request`.
//!
//! Nothing is copied and nothing is normalised, so what was checked is what is passed on. The
//! rules are RFC 9112 without its leniencies: CRLF and nothing else ends a line, no folding, no
//! space before a colon, no control bytes.

use std::borrow::Cow;

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
pub(super) struct Field {
    name: (u32, u32),
    value: (u32, u32),
}

/// The fields of a head, over the bytes that came.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(super) raw: Bytes,
    pub(super) fields: Vec<Field>,
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
    pub(super) fn content_length(&self) -> Result<Option<u64>, BadHead> {
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
    pub(super) fn chunked(&self) -> Result<bool, BadHead> {
        let mut values = self.all("transfer-encoding");
        match (values.next(), values.next()) {
            (None, _) => Ok(false),
            (Some(value), None) if value.eq_ignore_ascii_case(b"chunked") => Ok(true),
            _ => Err(BadHead::Encoding),
        }
    }
}

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
pub(super) fn line_end(raw: &[u8], from: usize) -> Option<usize> {
    let feed = from + memchr::memchr(b'\n', raw.get(from..)?)?;
    let end = feed.checked_sub(1).filter(|end| *end >= from && raw[*end] == b'\r')?;
    let clean = |b: &u8| *b >= 0x20 && *b != 0x7f || *b == b'\t';
    raw[from..end].iter().all(clean).then_some(end)
}

pub(super) fn fields(raw: &[u8], mut at: usize, max: usize) -> Result<Vec<Field>, BadHead> {
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
