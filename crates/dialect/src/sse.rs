//! Splits server-sent events and reads their fields.
//!
//! Lines end with LF, CR LF or CR, and events with an empty line. Only events that came in several
//! pieces are copied. Parsing follows the HTML standard:
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

/// A block of a stream, in order. All blocks together are the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// One whole event with its empty line. It may be only a comment.
    Event(Bytes),
    /// A part of an event that is too large to be read.
    Oversized(Bytes),
}

/// Splits a stream into events.
#[derive(Debug)]
pub struct Splitter {
    /// The earlier pieces of an incomplete event.
    kept: BytesMut,
    cap: usize,
    oversized: bool,
    line: Line,
}

/// The state before the next byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// The line is empty so far.
    Start,
    /// The line has text.
    Text,
    /// A CR ended a line with text; a following LF belongs to it.
    TextCr,
    /// A CR ended an empty line; a following LF belongs to it.
    EmptyCr,
}

impl Splitter {
    /// Creates a splitter for events of up to `cap` bytes; larger ones are passed on in parts.
    pub fn new(cap: usize) -> Splitter {
        Splitter { kept: BytesMut::new(), cap, oversized: false, line: Line::Start }
    }

    /// Whether the last byte was inside an event.
    pub fn in_event(&self) -> bool {
        self.oversized || !self.kept.is_empty()
    }

    /// Reads the next piece of the stream and calls `each` with every complete event.
    pub fn push(&mut self, mut piece: Bytes, mut each: impl FnMut(Block)) {
        while let Some(end) = self.event_end(&piece) {
            let rest = piece.split_off(end);
            each(self.whole(piece));
            piece = rest;
        }
        if piece.is_empty() {
            return;
        }
        if self.oversized {
            each(Block::Oversized(piece));
        } else if self.kept.len() + piece.len() > self.cap {
            self.oversized = true;
            if !self.kept.is_empty() {
                each(Block::Oversized(self.kept.split().freeze()));
            }
            each(Block::Oversized(piece));
        } else {
            self.kept.extend_from_slice(&piece);
        }
    }

    /// Ends the stream; returns the rest as an event without its empty line.
    pub fn finish(&mut self) -> Option<Block> {
        let left = self.kept.split().freeze();
        (!left.is_empty()).then_some(Block::Event(left))
    }

    fn whole(&mut self, piece: Bytes) -> Block {
        if std::mem::take(&mut self.oversized) {
            return Block::Oversized(piece);
        }
        if self.kept.is_empty() {
            return Block::Event(piece);
        }
        self.kept.extend_from_slice(&piece);
        Block::Event(self.kept.split().freeze())
    }

    /// Returns the offset in `piece` where the current event ends. A CR at the end of a piece waits
    /// for the next byte, which may be its LF.
    fn event_end(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < piece.len() {
            let byte = piece[at];
            self.line = match (self.line, byte) {
                (Line::EmptyCr, b'\n') => {
                    self.line = Line::Start;
                    return Some(at + 1);
                }
                (Line::EmptyCr, _) => {
                    self.line = Line::Start;
                    return Some(at);
                }
                (Line::TextCr, b'\n') => Line::Start,
                (Line::Start, b'\n') => return Some(at + 1),
                (Line::Start | Line::TextCr, b'\r') => Line::EmptyCr,
                _ => {
                    let Some(length) = memchr::memchr2(b'\n', b'\r', &piece[at..]) else {
                        self.line = Line::Text;
                        return None;
                    };
                    at += length;
                    if piece[at] == b'\n' { Line::Start } else { Line::TextCr }
                }
            };
            at += 1;
        }
        None
    }
}

/// The fields of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields<'a> {
    /// The name, if the event has one.
    pub name: Option<&'a [u8]>,
    /// The data lines, joined with LF; `None` if there is no data line, in which case it is not an
    /// event.
    pub data: Option<Cow<'a, [u8]>>,
}

impl Fields<'_> {
    /// Reads the fields of a block.
    pub fn read(block: &[u8]) -> Fields<'_> {
        let mut fields = Fields { name: None, data: None };
        let mut rest = block.strip_prefix(b"\xef\xbb\xbf").unwrap_or(block);
        while !rest.is_empty() {
            let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            fields.line(&rest[..end]);
            rest = &rest[rest.len().min(end + 1)..];
        }
        fields
    }
}

impl<'a> Fields<'a> {
    fn line(&mut self, line: &'a [u8]) {
        if let Some(value) = field(line, b"data") {
            self.data = Some(match self.data.take() {
                None => Cow::Borrowed(value),
                Some(before) => {
                    let mut joined = before.into_owned();
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                    Cow::Owned(joined)
                }
            });
        } else if let Some(value) = field(line, b"event") {
            self.name = (!value.is_empty()).then_some(value);
        }
    }
}

/// Returns the value if the line holds the field `name`. One leading space is not part of it.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&[u8]], cap: usize) -> Vec<Block> {
        let mut splitter = Splitter::new(cap);
        let mut blocks = Vec::new();
        for piece in pieces {
            splitter.push(Bytes::copy_from_slice(piece), |block| blocks.push(block));
        }
        blocks.extend(splitter.finish());
        blocks
    }

    fn events(stream: &str) -> Vec<String> {
        let text = |block| match block {
            Block::Event(bytes) => String::from_utf8(bytes.into()).unwrap(),
            Block::Oversized(_) => panic!("nothing here is large"),
        };
        split(&[stream.as_bytes()], 1 << 20).into_iter().map(text).collect()
    }

    #[test]
    fn events_end_at_empty_lines_of_any_kind() {
        let cases: &[(&str, &[&str])] = &[
            ("data: a\n\ndata: b\n\n", &["data: a\n\n", "data: b\n\n"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["data: a\r\n\r\n", "data: b\r\n\r\n"]),
            ("data: a\r\rdata: b\r\r", &["data: a\r\r", "data: b\r\r"]),
            ("data: a\n\r\ndata: b", &["data: a\n\r\n", "data: b"]),
            (": hi\n\ndata: a\ndata: b\n\n", &[": hi\n\n", "data: a\ndata: b\n\n"]),
            ("\n\n", &["\n", "\n"]),
            ("", &[]),
        ];
        for (stream, want) in cases {
            assert_eq!(events(stream), *want, "{stream:?}");
        }
    }

    #[test]
    fn an_event_in_one_piece_is_not_copied() {
        let stream = Bytes::from_static(b"data: a\n\ndata: b\n\n");
        let mut splitter = Splitter::new(100);
        let mut places = Vec::new();
        splitter.push(stream.clone(), |block| {
            let Block::Event(bytes) = block else { panic!("nothing here is large") };
            places.push(bytes.as_ptr() as usize - stream.as_ptr() as usize);
        });
        assert_eq!(places, [0, 9]);
        assert!(!splitter.in_event());
        splitter.push(Bytes::from_static(b"data"), |_| panic!("it is not whole"));
        assert!(splitter.in_event());
    }

    #[test]
    fn what_is_too_large_passes_unread_and_the_next_event_is_read_again() {
        let blocks = split(&[b"data: 1", b"2345", b"678\n\nda", b"ta\n\n"], 10);
        let event = |text: &'static str| Block::Event(text.into());
        let large = |text: &'static str| Block::Oversized(text.into());
        assert_eq!(blocks, [large("data: 1"), large("2345"), large("678\n\n"), event("data\n\n")]);
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        let check = |block: &str, name: Option<&str>, data: Option<&str>| {
            let fields = Fields::read(block.as_bytes());
            assert_eq!(fields.name, name.map(str::as_bytes), "{block:?}");
            assert_eq!(fields.data.as_deref(), data.map(str::as_bytes), "{block:?}");
        };
        check("event: e\ndata: x\n\n", Some("e"), Some("x"));
        check("data:x\r\ndata:  y\r\n\r\n", None, Some("x\n y"));
        check("data\rdata:\r\r", None, Some("\n"));
        check(": data: no\nid: 1\nretry: 2\ndatax: 3\n\n", None, None);
        check("\u{feff}data: x\n\n", None, Some("x"));
        check("event:\ndata: x", None, Some("x"));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_events(
            stream in "(data|event|:|x|\u{e4}|\n|\r|\r\n|\n\n){0,24}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let stream = stream.as_bytes();
            let mut cuts: Vec<usize> =
                cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut at = 0;
            for cut in cuts {
                pieces.push(&stream[at..cut]);
                at = cut;
            }
            pieces.push(&stream[at..]);
            prop_assert_eq!(split(&pieces, 1 << 20), split(&[stream], 1 << 20));
        }

        #[test]
        fn no_byte_is_lost_whatever_the_cap(
            stream in "(data: x|\n|\r|\r\n|\n\n){0,24}", size in 1..7_usize, cap in 0..20_usize
        ) {
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let all: Vec<u8> = split(&pieces, cap)
                .into_iter()
                .flat_map(|block| match block {
                    Block::Event(bytes) | Block::Oversized(bytes) => bytes,
                })
                .collect();
            prop_assert_eq!(all, stream.as_bytes());
        }
    }
}
