//! What comes compressed: answers although nobody asked, unpacked piece by piece, so that a stream
//! stays one; and requests, whole.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::{
    read::{MultiGzDecoder as GzReader, ZlibDecoder as ZlibReader},
    write::{GzDecoder, ZlibDecoder},
};

/// One piece may grow to so much; a provider's answer does not, only an attack.
const GROWTH_CAP: usize = 16 << 20;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `deflate`, which means zlib's format
    Deflate,
}

impl Coding {
    /// The coding that a `content-encoding` names; none where it is none that we can undo.
    pub fn of(content_encoding: &str) -> Option<Coding> {
        match content_encoding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "deflate" => Some(Coding::Deflate),
            _ => None,
        }
    }
}

impl Coding {
    /// Unpacks a whole body; none where it would be larger than `max`.
    pub fn unpack(self, packed: &[u8], max: usize) -> io::Result<Option<Vec<u8>>> {
        let unpacked = |reader: &mut dyn Read| {
            let mut whole = Vec::with_capacity(packed.len().saturating_mul(4).min(max));
            reader.take(max as u64 + 1).read_to_end(&mut whole)?;
            Ok((whole.len() <= max).then_some(whole))
        };
        match self {
            Coding::Gzip => unpacked(&mut GzReader::new(packed)),
            Coding::Deflate => unpacked(&mut ZlibReader::new(packed)),
        }
    }
}

/// Unpacks one body.
#[derive(Debug)]
pub(crate) enum Unpacker {
    Gzip(GzDecoder<Vec<u8>>),
    Deflate(ZlibDecoder<Vec<u8>>),
}

impl Unpacker {
    pub(crate) fn new(coding: Coding) -> Unpacker {
        match coding {
            Coding::Gzip => Unpacker::Gzip(GzDecoder::new(Vec::new())),
            Coding::Deflate => Unpacker::Deflate(ZlibDecoder::new(Vec::new())),
        }
    }

    /// Everything that the next piece makes readable.
    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        match self {
            Unpacker::Gzip(decoder) => push(decoder, piece, GzDecoder::get_mut),
            Unpacker::Deflate(decoder) => push(decoder, piece, ZlibDecoder::get_mut),
        }
    }
}

fn push<D: Write>(
    decoder: &mut D,
    mut piece: &[u8],
    unpacked: impl Fn(&mut D) -> &mut Vec<u8>,
) -> io::Result<Bytes> {
    while !piece.is_empty() {
        let taken = decoder.write(&piece[..piece.len().min(4096)])?;
        if taken == 0 {
            // What stands behind the end does not belong to the body.
            break;
        }
        piece = &piece[taken..];
        if unpacked(decoder).len() > GROWTH_CAP {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it grows too much"));
        }
    }
    decoder.flush()?;
    Ok(std::mem::take(unpacked(decoder)).into())
}

#[cfg(test)]
mod tests {
    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn pieces_of_any_size_unpack_to_the_same() {
        let text = "data: one\n\ndata: two\n\n".repeat(100);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        let packed =
            [(Coding::Gzip, gzip(text.as_bytes())), (Coding::Deflate, encoder.finish().unwrap())];
        for (coding, packed) in packed {
            for size in [1, 10, packed.len()] {
                let mut unpacker = Unpacker::new(coding);
                let pieces = packed.chunks(size).map(|piece| unpacker.push(piece).unwrap());
                assert_eq!(pieces.collect::<Vec<_>>().concat(), text.as_bytes());
            }
        }
    }

    #[test]
    fn what_was_flushed_is_readable_at_once() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut unpacker = Unpacker::new(Coding::Gzip);
        for event in ["data: one\n\n", "data: two\n\n"] {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            let piece = std::mem::take(encoder.get_mut());
            assert_eq!(unpacker.push(&piece).unwrap(), event);
        }
    }

    #[test]
    fn what_is_wrong_or_grows_too_much_is_an_error() {
        assert!(Unpacker::new(Coding::Gzip).push(b"not compressed at all").is_err());
        let bomb = gzip(&vec![0; 17 << 20]);
        assert!(Unpacker::new(Coding::Gzip).push(&bomb).is_err());
        let mut behind = gzip(b"x");
        behind.extend_from_slice(b"garbage");
        assert_eq!(Unpacker::new(Coding::Gzip).push(&behind).unwrap(), "x");
    }

    #[test]
    fn a_whole_body_is_unpacked_up_to_a_size() {
        let text = b"0123456789".repeat(100);
        let packed = gzip(&text);
        assert_eq!(Coding::Gzip.unpack(&packed, 1000).unwrap(), Some(text));
        assert_eq!(Coding::Gzip.unpack(&packed, 999).unwrap(), None);
        assert!(Coding::Gzip.unpack(&packed[..packed.len() - 1], 1000).is_err());
        assert!(Coding::Deflate.unpack(&packed, 1000).is_err());
    }

    #[test]
    fn a_coding_is_known_by_its_name() {
        assert_eq!(Coding::of(" GZIP"), Some(Coding::Gzip));
        assert_eq!(Coding::of("deflate"), Some(Coding::Deflate));
        assert_eq!(Coding::of("br"), None);
    }
}
