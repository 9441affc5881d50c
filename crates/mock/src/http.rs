//! HTTP/1.1 by hand: requests exactly as they came, answers exactly as they are to go.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const HEAD_CAP: usize = 256 * 1024;
const BODY_CAP: usize = 1 << 30;

/// A request's head.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The first value of `name` in the query, as it is written there.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.queries(name).next()
    }

    pub(crate) fn queries(&self, name: &str) -> impl Iterator<Item = &str> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(move |(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn has_token(&self, header: &str, token: &str) -> bool {
        self.header(header).is_some_and(|value| {
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
        })
    }

    /// The provider key, wherever one of the three providers looks for it.
    pub(crate) fn key(&self) -> Option<&str> {
        let bearer = |value: &str| {
            value.split_once(' ').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        };
        self.header("authorization")
            .filter(|value| bearer(value))
            .and_then(|value| value.split_once(' '))
            .map(|(_, key)| key.trim())
            .or_else(|| self.header("x-api-key"))
            .or_else(|| self.header("api-key"))
            .or_else(|| self.header("x-goog-api-key"))
            .or_else(|| self.query("key"))
    }

    fn parse(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; 200];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_CAP => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(invalid("the head is too large")),
            Err(error) => return Err(invalid(error)),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = request.headers.iter().map(|h| (h.name.to_owned(), text(h.value))).collect();
        let head = Head {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            headers,
        };
        Ok(Some((head, length)))
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// One connection, and what has been read from it beyond what was asked for.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Connection {
        Connection { stream, buffer: BytesMut::with_capacity(8 * 1024) }
    }

    /// The next request's head; none when the other side has closed.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some((head, length)) = Head::parse(&self.buffer)? {
                self.buffer.advance(length);
                return Ok(Some(head));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The body that belongs to `head`, without its framing.
    pub(crate) async fn body(&mut self, head: &Head) -> io::Result<Bytes> {
        if head.has_token("expect", "100-continue") {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if head.has_token("transfer-encoding", "chunked") {
            return self.chunks().await;
        }
        let Some(length) = head.header("content-length") else { return Ok(Bytes::new()) };
        let length: usize = length.trim().parse().map_err(invalid)?;
        self.take(length).await
    }

    async fn chunks(&mut self) -> io::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).map_err(invalid)?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(body.freeze());
            }
            body.extend_from_slice(&self.take(size).await?);
            if body.len() > BODY_CAP || !self.line().await?.is_empty() {
                return Err(invalid("the chunks are not well formed"));
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return String::from_utf8(line.to_vec()).map_err(invalid);
            }
            self.fill(self.buffer.len() + 1).await?;
        }
    }

    /// Exactly so many bytes.
    pub(crate) async fn take(&mut self, length: usize) -> io::Result<Bytes> {
        if length > BODY_CAP {
            return Err(invalid("the body is too large"));
        }
        self.fill(length).await?;
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn fill(&mut self, length: usize) -> io::Result<()> {
        while self.buffer.len() < length {
            self.buffer.reserve((length - self.buffer.len()).clamp(8 * 1024, 1 << 20));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Comes back when the other side has gone; until then it waits.
    pub(crate) async fn gone(&mut self) {
        loop {
            self.buffer.reserve(1024);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return,
                // Nobody needs to send so much before an answer.
                Ok(_) if self.buffer.len() > 64 << 20 => return,
                Ok(_) => {}
            }
        }
    }
}

/// An answer before it is decided how it is delivered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

/// An answer's body.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Its length is told.
    Whole(Bytes),
    /// It comes in pieces, one after the other, in chunks.
    Pieces(Vec<Bytes>),
}

impl Reply {
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Reply {
        Reply::whole(status, "application/json", value.to_string())
    }

    pub(crate) fn whole(status: u16, content_type: &str, body: impl Into<Bytes>) -> Reply {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Reply { status, headers, body: Body::Whole(body.into()) }
    }

    pub(crate) fn pieces(content_type: &str, pieces: Vec<Bytes>) -> Reply {
        let headers = vec![
            ("content-type".to_owned(), content_type.to_owned()),
            ("cache-control".to_owned(), "no-cache".to_owned()),
        ];
        Reply { status: 200, headers, body: Body::Pieces(pieces) }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Reply {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        Head::parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn a_key_is_found_in_every_place() {
        for place in [
            "Authorization: Bearer k",
            "authorization: bearer k",
            "X-API-Key: k",
            "x-goog-api-key: k",
        ] {
            assert_eq!(head(&format!("GET / HTTP/1.1\r\n{place}\r\n\r\n")).key(), Some("k"));
        }
        assert_eq!(head("GET /?a=b&key=k HTTP/1.1\r\n\r\n").key(), Some("k"));
        assert_eq!(head("GET / HTTP/1.1\r\nauthorization: Basic k\r\n\r\n").key(), None);
    }

    #[test]
    fn headers_keep_their_order_and_case() {
        let head = head("POST /x HTTP/1.1\r\nB-b: 1\r\na-A:2\r\nB-b: 3\r\n\r\n");
        let want = [("B-b", "1"), ("a-A", "2"), ("B-b", "3")];
        assert_eq!(head.headers, want.map(|(name, value)| (name.into(), value.into())));
        assert!(Head::parse(b"POST / HTTP/1.1\r\n").unwrap().is_none());
        assert!(Head::parse(b"\x00\r\n\r\n").is_err());
    }
}
