//! A connection: a Pingora stream in two halves with a small read buffer, and the few ways in
//! which it is read and written. Every wait has a deadline.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::IpAddr,
    pin::Pin,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use pingora_core::protocols::Stream;
use pingora_timeout::timeout;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};

use super::body::{BadChunk, Decoder, Piece};

/// How much is asked for at once where nothing better is known.
const READ_SIZE: usize = 8 << 10;
/// From this on, bytes that are known to come are read into a buffer of their own.
const LARGE: u64 = 16 << 10;
/// How much is read at once into such a buffer.
const LARGE_READ: u64 = 256 << 10;
/// Smaller pieces are copied into one send; larger ones are sent as they lie.
pub(crate) const COPY_MAX: usize = 16 << 10;

/// Why nothing more could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer was too slow")]
    TimedOut,
    #[error("the message is too large")]
    TooLarge,
    #[error(transparent)]
    BadChunk(#[from] BadChunk),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// A connection in two halves, which may be used at the same time.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) rd: Reader,
    pub(crate) wr: Writer,
}

impl Conn {
    pub(crate) fn new(stream: Stream) -> Self {
        let (rd, wr) = tokio::io::split(stream);
        let rd = Reader { half: rd, buf: BytesMut::new(), opened: Instant::now() };
        Self { rd, wr: Writer { half: wr } }
    }

    /// How long it has been open.
    pub(crate) fn age(&self) -> Duration {
        self.rd.opened.elapsed()
    }

    /// Whether an idle connection is still good: open, and silent.
    pub(crate) fn is_quiet(&mut self) -> bool {
        use futures_util::FutureExt;
        self.rd.buf.is_empty()
            && tokio::task::unconstrained(self.rd.half.read(&mut [0; 1])).now_or_never().is_none()
    }

    /// Closes in order: what was written arrives, and what the peer still sends is taken and
    /// thrown away for a moment, so that no reset overtakes our last words.
    pub(crate) async fn close(mut self, linger: Duration) {
        let _ = timeout(linger, self.wr.half.shutdown()).await;
        let drain = async {
            let mut scratch = vec![0; COPY_MAX];
            while matches!(self.rd.half.read(&mut scratch).await, Ok(n) if n > 0) {}
        };
        let _ = timeout(linger, drain).await;
    }
}

/// The reading half.
#[derive(Debug)]
pub(crate) struct Reader {
    half: ReadHalf<Stream>,
    /// What arrived and was not asked for yet.
    pub(crate) buf: BytesMut,
    opened: Instant,
}

impl Reader {
    /// Waits for more bytes; they are added to `buf`. Nothing is lost when this is dropped.
    ///
    /// They are read through a buffer on the stack: a connection that waits, and most of them do
    /// most of the time, holds no memory for what it waits for.
    pub(crate) async fn fill(&mut self) -> Result<(), ReadError> {
        let Self { half, buf, opened: _ } = self;
        let n = poll_fn(|cx| {
            let mut scratch = [const { MaybeUninit::<u8>::uninit() }; READ_SIZE];
            let mut read = ReadBuf::uninit(&mut scratch);
            ready!(Pin::new(&mut *half).poll_read(cx, &mut read))?;
            buf.extend_from_slice(read.filled());
            Poll::Ready(Ok::<_, io::Error>(read.filled().len()))
        });
        if n.await? == 0 { Err(ReadError::Closed) } else { Ok(()) }
    }

    /// The same for a body of which `expected` more bytes are known to come.
    async fn fill_body(&mut self, expected: u64) -> Result<(), ReadError> {
        if expected < LARGE {
            return self.fill().await;
        }
        self.buf.reserve(expected.min(LARGE_READ) as usize);
        if self.half.read_buf(&mut self.buf).await? == 0 { Err(ReadError::Closed) } else { Ok(()) }
    }

    /// Waits for more of the `length` bytes that `buf` shall hold: for a body that is wanted in one
    /// piece, and so need not be put together from several.
    pub(crate) async fn fill_up_to(&mut self, length: usize) -> Result<(), ReadError> {
        let missing = length.saturating_sub(self.buf.len());
        if self.buf.len() == self.buf.capacity() {
            // What was declared may never come: the buffer grows with what is here.
            self.buf.reserve(missing.min(self.buf.len().max(LARGE_READ as usize)));
        }
        let mut rest = (&mut self.half).take(missing as u64);
        if rest.read_buf(&mut self.buf).await? == 0 { Err(ReadError::Closed) } else { Ok(()) }
    }

    /// Reads a whole head, blank line included: the first byte within `idle`, all of it within
    /// `deadline` after that, and at most `max` bytes. `None` when the peer closed before a byte.
    pub(crate) async fn head(
        &mut self,
        idle: Duration,
        deadline: Duration,
        max: usize,
    ) -> Result<Option<Bytes>, ReadError> {
        if self.buf.is_empty() {
            match timeout(idle, self.fill()).await {
                Ok(Ok(())) => {}
                Ok(Err(ReadError::Closed | ReadError::Io(_))) | Err(_) => return Ok(None),
                Ok(Err(error)) => return Err(error),
            }
        }
        if let Some(end) = head_end(&self.buf, 0) {
            return self.take_head(end, max);
        }
        match timeout(deadline, self.rest_of_head(max)).await {
            Ok(Ok(end)) => self.take_head(end, max),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ReadError::TimedOut),
        }
    }

    /// Reads a whole head without a deadline of its own.
    pub(crate) async fn head_now(&mut self, max: usize) -> Result<Bytes, ReadError> {
        let end = match head_end(&self.buf, 0) {
            Some(end) => end,
            None => self.rest_of_head(max).await?,
        };
        Ok(self.take_head(end, max)?.unwrap_or_default())
    }

    async fn rest_of_head(&mut self, max: usize) -> Result<usize, ReadError> {
        loop {
            if self.buf.len() > max {
                return Err(ReadError::TooLarge);
            }
            let seen = self.buf.len();
            self.fill().await?;
            if let Some(end) = head_end(&self.buf, seen) {
                return Ok(end);
            }
        }
    }

    fn take_head(&mut self, end: usize, max: usize) -> Result<Option<Bytes>, ReadError> {
        if end > max {
            return Err(ReadError::TooLarge);
        }
        let head = self.buf.split_to(end).freeze();
        self.let_go();
        Ok(Some(head))
    }

    /// Gives back the memory of an empty buffer.
    fn let_go(&mut self) {
        if self.buf.is_empty() {
            self.buf = BytesMut::new();
        }
    }

    /// The next piece of a body; `None` at its end. Nothing is lost when this is dropped.
    pub(crate) async fn body(&mut self, decoder: &mut Decoder) -> Result<Option<Bytes>, ReadError> {
        loop {
            match decoder.next(&mut self.buf)? {
                Piece::Data(data) => return Ok(Some(data)),
                Piece::End => return Ok(None),
                Piece::NeedMore => match self.fill_body(decoder.expected()).await {
                    Err(ReadError::Closed) if decoder.ends_with_connection() => return Ok(None),
                    other => other?,
                },
            }
        }
    }

    /// Waits until the peer is gone. Bytes that it sends meanwhile are kept for the next call, up
    /// to a cap; past that nothing is read, and nothing is known.
    pub(crate) async fn gone(&mut self) -> ReadError {
        while self.buf.len() < COPY_MAX {
            if let Err(error) = self.fill().await {
                return error;
            }
        }
        std::future::pending().await
    }
}

/// The writing half.
#[derive(Debug)]
pub(crate) struct Writer {
    half: WriteHalf<Stream>,
}

impl Writer {
    /// Sends these pieces, one behind the other.
    pub(crate) async fn send(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        let total: usize = pieces.iter().map(|p| p.len()).sum();
        match pieces {
            [] => {}
            [one] => self.half.write_all(one).await?,
            _ if total <= COPY_MAX => {
                let mut whole = Vec::with_capacity(total);
                pieces.iter().for_each(|p| whole.extend_from_slice(p));
                self.half.write_all(&whole).await?;
            }
            _ => self.send_vectored(pieces).await?,
        }
        // A TLS stream holds back what it has not encrypted yet.
        self.half.flush().await
    }

    async fn send_vectored(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|p| IoSlice::new(p)).collect();
        let mut left = slices.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let n = self.half.write_vectored(left).await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, n);
        }
        Ok(())
    }

    /// Sends as much of `pending` as is taken at once, and removes it. Nothing is lost when this is
    /// dropped; it is to be called again until it has returned with nothing pending.
    pub(crate) async fn send_some(&mut self, pending: &mut VecDeque<Bytes>) -> io::Result<()> {
        let mut n = match pending.len() {
            0 => return self.half.flush().await,
            1 => self.half.write(&pending[0]).await?,
            _ => {
                let mut slices = [IoSlice::new(&[]); 16];
                let pieces = pending.iter().zip(&mut slices);
                let count = pieces.map(|(piece, slice)| *slice = IoSlice::new(piece)).count();
                self.half.write_vectored(&slices[..count]).await?
            }
        };
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(piece) = pending.front_mut() {
            let taken = n.min(piece.len());
            piece.advance(taken);
            n -= taken;
            if !piece.is_empty() {
                return Ok(());
            }
            pending.pop_front();
        }
        self.half.flush().await
    }
}

/// Where a head ends, its blank line included. A line that ends with a bare LF ends the search
/// too: such a head is refused, and there is no reason to wait for the rest of it. Bytes before
/// `seen` were searched already.
fn head_end(buf: &[u8], seen: usize) -> Option<usize> {
    let start = seen.saturating_sub(3);
    for feed in memchr::memchr_iter(b'\n', &buf[start..]).map(|at| start + at) {
        if feed == 0 || buf[feed - 1] != b'\r' || buf[..feed - 1].ends_with(b"\r\n") {
            return Some(feed + 1);
        }
    }
    None
}

/// The address of the peer of a stream just accepted.
pub(crate) fn peer_ip(stream: &Stream) -> Option<IpAddr> {
    let digest = stream.get_socket_digest()?;
    let address = digest.peer_addr()?.as_inet()?;
    Some(address.ip().to_canonical())
}
