//! The client of one call: its request as it is read, and the answer as it goes out.

pub(crate) mod connections;
pub(crate) mod pace;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use dialect::FormScan;
use pingora_timeout::timeout;

use crate::{
    client::{connections::Counted, pace::Pace},
    cors,
    http1::{Conn, Decoder, Framing, Piece, ReadError, RequestHead, push_hex, push_number},
    memory::Held,
    refusal::Refusal,
    settings::Limits,
};

/// One call of a client, on a connection that may carry more of them.
#[derive(Debug)]
pub(crate) struct Client<'c> {
    pub(crate) head: RequestHead,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) request_id: String,
    pub(crate) started: Instant,
    /// Whether the connection stays after this call.
    pub(crate) keep: bool,
    /// Body bytes from the client and to it.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Its connection, as long as it is counted as one that showed no key.
    counted: Option<&'c mut Counted>,
    /// The status that was sent, if any was.
    pub(crate) status: Option<u16>,
    conn: &'c mut Conn,
    decoder: Decoder,
    limits: Limits,
    /// The head of the answer, until it goes out together with the first of the body.
    unsent: Vec<u8>,
    framing: Framing,
    told_to_go_ahead: bool,
    answered: bool,
    /// Header lines for a page of another origin that may call.
    pub(crate) cors: Option<Vec<u8>>,
    /// What looks for a second model in a form whose beginning was read.
    pub(crate) form: Option<Box<FormScan>>,
}

impl<'c> Client<'c> {
    pub(crate) fn new(
        conn: &'c mut Conn,
        head: RequestHead,
        ip: Option<IpAddr>,
        request_id: String,
        limits: Limits,
    ) -> Self {
        let framing = match (head.chunked, head.content_length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Empty,
        };
        Self {
            keep: head.keeps_alive(),
            decoder: Decoder::new(framing),
            head,
            ip,
            request_id,
            started: Instant::now(),
            bytes_in: 0,
            bytes_out: 0,
            counted: None,
            status: None,
            conn,
            limits,
            unsent: Vec::new(),
            framing: Framing::Empty,
            told_to_go_ahead: false,
            answered: false,
            cors: None,
            form: None,
        }
    }

    /// The same on a connection that is counted.
    pub(crate) fn counted(self, counted: &'c mut Counted) -> Self {
        Self { counted: Some(counted), ..self }
    }

    /// It showed a key that we know. That counts at once: a stream or a socket may last for hours.
    pub(crate) fn is_known(&mut self) {
        if let Some(counted) = self.counted.take() {
            counted.known();
        }
    }

    /// Reads the whole body, at most `max` bytes of it. They are counted as they arrive.
    pub(crate) async fn body(&mut self, max: u64, held: &mut Held) -> Result<Bytes, Refusal> {
        let length = self.head.content_length;
        if length.is_some_and(|length| length > max) {
            return Err(Refusal::BodyTooLarge(max));
        }
        // What cannot be kept now need not be sent.
        let here = self.conn.rd.buf.len() as u64;
        if length.is_some_and(|length| length > here && !held.would_hold(length)) {
            return Err(Refusal::Busy);
        }
        self.go_ahead().await?;
        self.gather(held).await?;
        self.read(max, held, |_, _| Ok(false)).await.map(|(whole, _)| whole)
    }

    /// Reads the body until `enough`, which sees each piece and the size so far, says so, or to its
    /// end; at most `max` bytes of it. Says whether that was all.
    pub(crate) async fn read(
        &mut self,
        max: u64,
        held: &mut Held,
        mut enough: impl FnMut(&Bytes, u64) -> Result<bool, Refusal>,
    ) -> Result<(Bytes, bool), Refusal> {
        self.go_ahead().await?;
        let mut whole = BytesMut::new();
        let mut pace = Pace::new(&self.limits, Instant::now(), 0);
        while let Some(piece) = self.piece().await? {
            let size = (whole.len() + piece.len()) as u64;
            if size > max {
                return Err(Refusal::BodyTooLarge(max));
            }
            if !pace.holds(size, Instant::now()) {
                return Err(Refusal::TooSlow);
            }
            if !held.holds(size, self.head.content_length.unwrap_or(max)) {
                return Err(Refusal::Busy);
            }
            let is_enough = enough(&piece, size)?;
            // Most bodies come in one piece, and are not copied.
            let bytes = if whole.is_empty() && (is_enough || self.decoder.is_done()) {
                piece
            } else {
                whole.extend_from_slice(&piece);
                if !is_enough {
                    continue;
                }
                whole.freeze()
            };
            return Ok((bytes, self.decoder.is_done()));
        }
        Ok((whole.freeze(), true))
    }

    /// Reads a body of declared length into one piece of memory.
    async fn gather(&mut self, held: &mut Held) -> Result<(), Refusal> {
        let Some(length) = self.decoder.remaining().and_then(|n| usize::try_from(n).ok()) else {
            return Ok(());
        };
        let mut here = self.conn.rd.buf.len().min(length);
        let mut pace = Pace::new(&self.limits, Instant::now(), here as u64);
        loop {
            if !held.holds(here as u64, length as u64) {
                return Err(Refusal::Busy);
            }
            if here == length {
                return Ok(());
            }
            let read = timeout(self.limits.body_idle, self.conn.rd.fill_up_to(length)).await;
            read.map_err(|_| Refusal::TooSlow)?.map_err(|_| Refusal::ClientGone)?;
            here = self.conn.rd.buf.len().min(length);
            if !pace.holds(here as u64, Instant::now()) {
                return Err(Refusal::TooSlow);
            }
        }
    }

    /// Tells a client that waits for it to send its body.
    pub(crate) async fn go_ahead(&mut self) -> Result<(), Refusal> {
        let waits = self.head.expects_continue() && !self.decoder.is_done();
        if !waits || self.told_to_go_ahead || !self.conn.rd.buf.is_empty() {
            return Ok(());
        }
        self.told_to_go_ahead = true;
        let line = b"HTTP/1.1 100 Continue\r\n\r\n";
        match timeout(self.limits.body_idle, self.conn.wr.send(&[line])).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Refusal::ClientGone),
        }
    }

    /// The next piece of the body; `None` at its end. Nothing is lost when this is dropped.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Refusal> {
        if self.decoder.is_done() {
            return Ok(None);
        }
        let read = timeout(self.limits.body_idle, self.conn.rd.body(&mut self.decoder)).await;
        match read {
            Err(_) => Err(Refusal::TooSlow),
            Ok(Ok(piece)) => {
                self.bytes_in += piece.as_ref().map_or(0, |p| p.len() as u64);
                if let (Some(form), Some(piece)) = (&mut self.form, &piece) {
                    form.push(piece)?;
                }
                Ok(piece)
            }
            Ok(Err(ReadError::BadChunk(_))) => Err(Refusal::BadChunk),
            Ok(Err(_)) => Err(Refusal::ClientGone),
        }
    }

    /// Whether the body was read to its end.
    pub(crate) fn body_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Waits until the client is gone. To be called only once its body was read.
    pub(crate) async fn gone(&mut self) {
        self.conn.rd.gone().await;
    }

    /// Begins the answer. `fields` are whole header lines; framing and our own headers are added.
    /// The head goes out with the first of the body, or with [`Client::flush`].
    pub(crate) fn begin(&mut self, status: u16, fields: &[u8], framing: Framing) {
        let bodiless = self.head.method() == "HEAD" || matches!(status, 101 | 204 | 304);
        let framing = match framing {
            // HTTP/1.0 knows no chunks: there the end of the connection is the end.
            Framing::Chunked | Framing::UntilClose if !self.head.http11 => Framing::UntilClose,
            Framing::UntilClose => Framing::Chunked,
            other => other,
        };
        if framing == Framing::UntilClose && !bodiless {
            self.keep = false;
        }
        if !self.decoder.is_done() {
            // What is left of the body must not be read as the next request.
            self.keep = false;
        }
        let reason = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
        let out = &mut self.unsent;
        out.reserve(fields.len() + 192);
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(reason.unwrap_or("Unknown").as_bytes());
        out.extend_from_slice(b"\r\n");
        match &self.cors {
            Some(lines) => {
                out.extend_from_slice(&cors::without_theirs(fields));
                out.extend_from_slice(lines);
            }
            None => out.extend_from_slice(fields),
        }
        for name in request_id_names(&self.head) {
            out.extend_from_slice(name);
            out.extend_from_slice(self.request_id.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        match framing {
            Framing::Length(length) if !matches!(status, 204) => {
                out.extend_from_slice(b"content-length: ");
                push_number(out, length);
                out.extend_from_slice(b"\r\n");
            }
            Framing::Empty if !bodiless => out.extend_from_slice(b"content-length: 0\r\n"),
            Framing::Chunked if !bodiless => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            _ => {}
        }
        if !self.keep && status != 101 {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        self.status = Some(status);
        self.framing = if bodiless { Framing::Empty } else { framing };
    }

    /// Whether anything of the answer went out.
    pub(crate) fn began(&self) -> bool {
        self.status.is_some()
    }

    /// Whether the answer went out whole.
    pub(crate) fn answered(&self) -> bool {
        self.answered
    }

    /// Whether the head still waits to go out.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends the head if it waits.
    pub(crate) async fn flush(&mut self) -> Result<(), Refusal> {
        self.send(&[], false).await
    }

    /// Sends pieces of the body; with `last`, they are the end of the answer.
    pub(crate) async fn send(&mut self, pieces: &[Bytes], last: bool) -> Result<(), Refusal> {
        let size: usize = pieces.iter().map(Bytes::len).sum();
        let head = std::mem::take(&mut self.unsent);
        let mut slices: Vec<&[u8]> = Vec::with_capacity(pieces.len() + 3);
        slices.push(&head);
        let mut line = Vec::new();
        let bare = self.framing == Framing::Empty;
        if size > 0 && !bare {
            if self.framing == Framing::Chunked {
                push_hex(&mut line, size);
                slices.push(&line);
            }
            slices.extend(pieces.iter().map(|piece| &piece[..]));
            if self.framing == Framing::Chunked {
                slices.push(b"\r\n");
            }
            self.bytes_out += size as u64;
        }
        if last && self.framing == Framing::Chunked {
            slices.push(b"0\r\n\r\n");
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            self.answered |= last;
            return Ok(());
        }
        match timeout(self.limits.body_idle, self.conn.wr.send(&slices)).await {
            Ok(Ok(())) => {
                self.answered |= last;
                Ok(())
            }
            _ => Err(Refusal::ClientGone),
        }
    }

    /// Sends a whole answer. What is here already of a body that nobody asked for is passed over,
    /// so that a small one does not cost the connection.
    pub(crate) async fn answer(
        &mut self,
        status: u16,
        fields: &[u8],
        body: Bytes,
    ) -> Result<(), Refusal> {
        while let Ok(Piece::Data(_)) = self.decoder.next(&mut self.conn.rd.buf) {}
        self.begin(status, fields, Framing::Length(body.len() as u64));
        self.send(&[body], true).await
    }

    /// How long this call has been going on.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The connection itself, for a tunnel.
    pub(crate) fn conn(&mut self) -> &mut Conn {
        self.conn
    }
}

/// The headers that tell the request id: Anthropic's SDKs look for their own provider's name.
fn request_id_names(head: &RequestHead) -> &'static [&'static [u8]] {
    if head.get("anthropic-version").is_some() {
        &[b"x-request-id: ", b"request-id: "]
    } else {
        &[b"x-request-id: "]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::connections::Connections;

    #[test]
    fn a_client_that_shows_a_key_is_no_stranger_while_its_call_lasts() {
        let limits = Limits { anonymous_per_ip: 1, ..Limits::default() };
        let connections = Arc::new(Connections::default());
        let open = || connections.open(Some(IpAddr::from([1, 1, 1, 1])), &limits);
        let mut counted = open().unwrap();
        let (stream, _other) = tokio::io::duplex(64);
        let mut conn = Conn::new(Box::new(stream));
        let raw = Bytes::from_static(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n");
        let head = RequestHead::parse(raw, 8, 64).unwrap();
        let client = Client::new(&mut conn, head, None, "id".to_owned(), limits);
        let mut client = client.counted(&mut counted);
        assert!(open().is_none(), "one stranger is enough");
        client.is_known();
        assert!(open().is_some(), "the call goes on, and its address may open another");
    }
}
