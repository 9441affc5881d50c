//! One record: how it lies in a segment, and how records are found again when some of the bytes
//! are missing or wrong.
//!
//! `"TJ"`, CRC-32C of everything after it (u32), kind (u8), version (u8), length of the payload
//! (u32), id of the call (16 bytes), payload. Numbers are little endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use uuid::Uuid;

const MAGIC: &[u8; 2] = b"TJ";
const VERSION: u8 = 1;
/// Bytes before the payload.
pub(super) const HEAD: usize = 28;
/// No payload is longer; a length beyond it is damage.
const LONGEST: usize = 16 << 20;
/// How much is read from a file at once.
const WINDOW: usize = 256 << 10;

/// What a record says about its call. Kinds of later versions are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It begins.
    Intent = 1,
    /// It ended: the payload is the log entry.
    Settle = 2,
    /// It had begun in a segment that is gone.
    Carried = 3,
    /// It was refused after all: there is no call.
    Void = 4,
}

/// One whole, undamaged record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// None when a later version wrote it.
    pub(super) kind: Option<Kind>,
    /// Which call.
    pub(super) id: Uuid,
    /// What there is to say.
    pub(super) payload: &'a [u8],
}

/// Makes a record of what `payload` writes, in `out`, which is emptied first.
pub(super) fn build(out: &mut Vec<u8>, kind: Kind, id: Uuid, payload: impl FnOnce(&mut Vec<u8>)) {
    out.clear();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[kind as u8, VERSION]);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(id.as_bytes());
    payload(out);
    let length = (out.len() - HEAD) as u32;
    out[8..12].copy_from_slice(&length.to_le_bytes());
    let sum = crc32c::crc32c(&out[6..]);
    out[2..6].copy_from_slice(&sum.to_le_bytes());
}

/// What stands at the beginning of some bytes.
enum Parsed {
    /// A record of this many bytes.
    Whole(usize),
    /// A record, if there were this many bytes.
    Needs(usize),
    /// No record.
    Bad,
}

fn parse(bytes: &[u8]) -> Parsed {
    if bytes.len() < HEAD {
        return if MAGIC.starts_with(&bytes[..bytes.len().min(2)]) {
            Parsed::Needs(HEAD)
        } else {
            Parsed::Bad
        };
    }
    let length = u32_at(bytes, 8) as usize;
    if &bytes[..2] != MAGIC || length > LONGEST {
        return Parsed::Bad;
    }
    let whole = HEAD + length;
    if bytes.len() < whole {
        return Parsed::Needs(whole);
    }
    if crc32c::crc32c(&bytes[6..whole]) == u32_at(bytes, 2) {
        Parsed::Whole(whole)
    } else {
        Parsed::Bad
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes[at..at + 4].try_into().expect("four bytes were cut");
    u32::from_le_bytes(bytes)
}

/// Reads one record from bytes that hold exactly one.
pub(super) fn view(bytes: &[u8]) -> Record<'_> {
    Record {
        kind: match (bytes[7], bytes[6]) {
            (VERSION, 1) => Some(Kind::Intent),
            (VERSION, 2) => Some(Kind::Settle),
            (VERSION, 3) => Some(Kind::Carried),
            (VERSION, 4) => Some(Kind::Void),
            _ => None,
        },
        id: Uuid::from_slice(&bytes[12..28]).expect("sixteen bytes were cut"),
        payload: &bytes[HEAD..],
    }
}

/// What comes next in a segment.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// A record.
    Record(Record<'a>),
    /// Bytes that are no record were passed over; a record follows at this offset.
    Damaged(u64),
    /// There is no further record before the given end.
    End,
}

/// Reads the records of one segment in order.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    /// Where in the file `window` begins.
    base: u64,
    window: Vec<u8>,
    /// Where in the window the next record begins.
    at: usize,
}

impl Reader {
    pub(super) fn new(file: File, offset: u64) -> Reader {
        Reader { file, base: offset, window: Vec::new(), at: 0 }
    }

    /// Where the next record begins.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next record among the first `end` bytes of the segment.
    pub(super) fn next(&mut self, end: u64) -> io::Result<Next<'_>> {
        let mut wanted = HEAD;
        loop {
            let there = self.want(wanted, end)?;
            if self.window.len() == self.at {
                return Ok(Next::End);
            }
            match parse(&self.window[self.at..]) {
                Parsed::Whole(length) => {
                    let start = self.at;
                    self.at += length;
                    return Ok(Next::Record(view(&self.window[start..start + length])));
                }
                Parsed::Needs(more) if there && more > wanted => wanted = more,
                Parsed::Needs(_) | Parsed::Bad => return self.search(end),
            }
        }
    }

    /// Sees to it that `wanted` bytes are in the window; false when the segment has fewer.
    fn want(&mut self, wanted: usize, end: u64) -> io::Result<bool> {
        if self.window.len() - self.at >= wanted {
            return Ok(true);
        }
        self.window.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let left = end.saturating_sub(self.base) as usize;
        self.read_up_to(left.min(wanted.max(WINDOW)))?;
        Ok(self.window.len() >= wanted)
    }

    fn read_up_to(&mut self, length: usize) -> io::Result<()> {
        let mut filled = self.window.len();
        if length <= filled {
            return Ok(());
        }
        self.window.resize(length, 0);
        while filled < length {
            let offset = self.base + filled as u64;
            match self.file.read_at(&mut self.window[filled..], offset) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    self.window.truncate(filled);
                    return Err(cause);
                }
            }
        }
        self.window.truncate(filled);
        Ok(())
    }

    /// Looks for the next record behind damage. Reads the rest of the segment: this is rare.
    fn search(&mut self, end: u64) -> io::Result<Next<'_>> {
        let left = end.saturating_sub(self.base) as usize;
        self.read_up_to(left)?;
        let bytes = &self.window[self.at..];
        let found = (1..bytes.len())
            .filter(|&at| bytes[at..].starts_with(MAGIC))
            .find(|&at| matches!(parse(&bytes[at..]), Parsed::Whole(_)));
        Ok(match found {
            Some(distance) => {
                self.at += distance;
                Next::Damaged(self.offset())
            }
            None => Next::End,
        })
    }
}
