//! The body of a message: where it ends, and the chunked coding.

use bytes::{Buf, Bytes, BytesMut};

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// In chunks, until the empty one.
    Chunked,
    /// Until the connection ends (answers only).
    UntilClose,
}

/// The chunked coding was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunked body is malformed")]
pub(crate) struct BadChunk;

/// What [`Decoder::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Some of the body.
    Data(Bytes),
    /// Nothing before more bytes are read.
    NeedMore,
    /// The body is whole.
    End,
}

/// Takes a body out of the bytes that arrive.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Bytes of trailers and chunk lines that were passed over, against one that never ends.
    overhead: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fixed(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Done,
    Broken,
}

impl Decoder {
    /// Longest chunk-size line, extensions included.
    const LINE_MAX: usize = 256;
    /// Most bytes of trailers.
    const TRAILERS_MAX: usize = 8 << 10;

    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(n) => State::Fixed(n),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, overhead: 0 }
    }

    /// Whether the body is whole.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the end of the connection is the end of the body.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.state == State::UntilClose
    }

    /// How many bytes are still to come, where that was declared.
    pub(crate) fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Fixed(n) => Some(n),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// How many bytes are known to come before anything else is.
    pub(crate) fn expected(&self) -> u64 {
        match self.state {
            State::Fixed(n) | State::ChunkData(n) => n,
            _ => 0,
        }
    }

    /// The next piece of the body from `buf`; what follows the body stays there.
    pub(crate) fn next(&mut self, buf: &mut BytesMut) -> Result<Piece, BadChunk> {
        loop {
            match self.state {
                State::Done => return Ok(Piece::End),
                State::Broken => return Err(BadChunk),
                _ if buf.is_empty() => return Ok(Piece::NeedMore),
                State::UntilClose => return Ok(Piece::Data(buf.split().freeze())),
                State::Fixed(left) => {
                    let take = left.min(buf.len() as u64);
                    self.state = if take == left { State::Done } else { State::Fixed(left - take) };
                    return Ok(Piece::Data(buf.split_to(take as usize).freeze()));
                }
                State::ChunkData(left) => {
                    let take = left.min(buf.len() as u64);
                    self.state =
                        if take == left { State::ChunkEnd } else { State::ChunkData(left - take) };
                    let data = buf.split_to(take as usize).freeze();
                    // Reading on to the final chunk now tells a caller early that this was the end.
                    if self.skip_framing(buf).is_err() {
                        // What came before it was good.
                        self.state = State::Broken;
                    }
                    return Ok(Piece::Data(data));
                }
                State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    if !self.skip_framing(buf)? {
                        return Ok(Piece::NeedMore);
                    }
                }
            }
        }
    }

    /// Reads framing until data or the end of the body stands next; false when bytes are missing.
    fn skip_framing(&mut self, buf: &mut BytesMut) -> Result<bool, BadChunk> {
        loop {
            match self.state {
                State::ChunkEnd => match buf.get(..2) {
                    Some(b"\r\n") => {
                        buf.advance(2);
                        self.state = State::ChunkSize;
                    }
                    Some(_) => return Err(BadChunk),
                    None => {
                        let wrong = buf.first().is_some_and(|b| *b != b'\r');
                        return if wrong { Err(BadChunk) } else { Ok(false) };
                    }
                },
                State::ChunkSize => {
                    let Some(line) = self.line(buf, Self::LINE_MAX)? else { return Ok(false) };
                    self.state = match chunk_size(&line)? {
                        0 => State::Trailers,
                        size => State::ChunkData(size),
                    };
                }
                State::Trailers => {
                    let left = Self::TRAILERS_MAX.saturating_sub(self.overhead);
                    let Some(line) = self.line(buf, left)? else { return Ok(false) };
                    self.overhead += line.len() + 2;
                    if line.is_empty() {
                        self.state = State::Done;
                    }
                }
                State::Broken => return Err(BadChunk),
                State::Done | State::ChunkData(_) | State::Fixed(_) | State::UntilClose => {
                    return Ok(true);
                }
            }
        }
    }

    /// A line that ends with CRLF, taken out of `buf` without it.
    fn line(&self, buf: &mut BytesMut, max: usize) -> Result<Option<Bytes>, BadChunk> {
        let Some(feed) = memchr::memchr(b'\n', buf) else {
            return if buf.len() > max { Err(BadChunk) } else { Ok(None) };
        };
        let clean = |b: &u8| (*b >= 0x20 && *b != 0x7f) || *b == b'\t';
        if feed == 0
            || feed > max + 1
            || buf[feed - 1] != b'\r'
            || !buf[..feed - 1].iter().all(clean)
        {
            return Err(BadChunk);
        }
        let line = buf.split_to(feed + 1).freeze();
        Ok(Some(line.slice(..feed - 1)))
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, BadChunk> {
    let digits = line.iter().position(|b| *b == b';').map_or(line, |end| &line[..end]);
    let digits = if digits.len() < line.len() { digits.trim_ascii_end() } else { digits };
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(BadChunk);
    }
    let text = std::str::from_utf8(digits).map_err(|_| BadChunk)?;
    u64::from_str_radix(text, 16).map_err(|_| BadChunk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(framing: Framing, parts: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, bool), BadChunk> {
        let (mut decoder, mut buf, mut out) = (Decoder::new(framing), BytesMut::new(), Vec::new());
        for part in parts {
            buf.extend_from_slice(part);
            while let Piece::Data(data) = decoder.next(&mut buf)? {
                out.extend_from_slice(&data);
            }
        }
        Ok((out, buf.to_vec(), decoder.is_done()))
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let whole = |framing, text: &str| decode(framing, &[text.as_bytes()]).unwrap();
        for (framing, text, body, rest, done) in [
            (Framing::Empty, "next", "", "next", true),
            (Framing::Length(0), "next", "", "next", true),
            (Framing::Length(3), "abcnext", "abc", "next", true),
            (Framing::Length(9), "abc", "abc", "", false),
            (Framing::UntilClose, "abc", "abc", "", false),
            (Framing::Chunked, "3\r\nabc\r\n0\r\n\r\nnext", "abc", "next", true),
            (Framing::Chunked, "3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n", "abcde", "", true),
            (Framing::Chunked, "3\r\nab", "ab", "", false),
        ] {
            let expected = (body.as_bytes().to_vec(), rest.as_bytes().to_vec(), done);
            assert_eq!(whole(framing, text), expected, "{text:?}");
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "0x3\r\nabc",
            " 3\r\nabc",
            "3 \r\nabc",
            "3\nabc",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "1234567890abcdef0\r\n",
            "0\r\nbad\ntrailer\r\n\r\n",
            "3\rx\r\n",
        ] {
            assert_eq!(decode(Framing::Chunked, &[text.as_bytes()]), Err(BadChunk), "{text:?}");
        }
        let endless = format!("0\r\n{}", "a: b\r\n".repeat(3000));
        assert_eq!(decode(Framing::Chunked, &[endless.as_bytes()]), Err(BadChunk));
    }

    #[test]
    fn the_end_is_known_with_the_last_data_when_it_arrived_with_it() {
        let (mut decoder, mut buf) = (Decoder::new(Framing::Chunked), BytesMut::new());
        buf.extend_from_slice(b"3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(decoder.next(&mut buf), Ok(Piece::Data(Bytes::from_static(b"abc"))));
        assert!(decoder.is_done());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_body(cuts in proptest::collection::vec(0usize..46, 0..12)) {
            let text = b"5\r\nhello\r\n10;q\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n";
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.sort_unstable();
            let (mut parts, mut from) = (Vec::new(), 0);
            for cut in cuts {
                parts.push(&text[from..cut]);
                from = cut;
            }
            parts.push(&text[from..]);
            prop_assert_eq!(decode(Framing::Chunked, &parts), decode(Framing::Chunked, &[text]));
        }
    }
}
