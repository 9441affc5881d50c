//! Decompresses bodies: answers piece by piece, so that a stream stays one, and requests as a
//! whole. The output and the memory of each decoder are bounded.

use std::io::{self, Read, Write};

use brotli_decompressor::{Decompressor as BrotliReader, DecompressorWriter as BrotliDecoder};
use bytes::Bytes;
use flate2::{
    read::{MultiGzDecoder as GzReader, ZlibDecoder as ZlibReader},
    write::{GzDecoder, ZlibDecoder},
};
use zstd::stream::{read::Decoder as ZstdReader, write::Decoder as ZstdDecoder};

/// Largest output of one piece, in bytes. Provider answers stay below it; an attack does not.
const GROWTH_CAP: usize = 16 << 20;
/// Most codings that may be applied to one body.
const LAYERS_MAX: usize = 3;
/// The largest `zstd` window on the web: 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;
/// Size of the output buffer, in bytes.
const BUFFER: usize = 4096;

/// The content codings of a body, in the order of application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// In the order in which they were applied.
    layers: [Option<Layer>; LAYERS_MAX],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Gzip,
    /// `deflate`: the zlib format.
    Deflate,
    Zstd,
    Brotli,
}

impl Coding {
    /// Parses a `Content-Encoding` value; `None` for codings that the gateway cannot decode, or too
    /// many of them.
    pub fn of(content_encoding: &str) -> Option<Coding> {
        let mut layers = [None; LAYERS_MAX];
        let mut count = 0;
        for name in content_encoding.split(',') {
            let layer = match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => Layer::Gzip,
                "deflate" => Layer::Deflate,
                "zstd" => Layer::Zstd,
                "br" => Layer::Brotli,
                "identity" | "" => continue,
                _ => return None,
            };
            *layers.get_mut(count)? = Some(layer);
            count += 1;
        }
        Some(Coding { layers })
    }

    /// Whether the body is not compressed at all.
    pub fn is_identity(self) -> bool {
        self.layers[0].is_none()
    }

    /// Decompresses a whole body; `None` if it is larger than `max` bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the body is truncated or not compressed like this.
    pub fn unpack(self, packed: &[u8], max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut reader: Box<dyn Read + '_> = Box::new(packed);
        for layer in self.layers.into_iter().rev().flatten() {
            reader = match layer {
                Layer::Gzip => Box::new(GzReader::new(reader)),
                Layer::Deflate => Box::new(ZlibReader::new(reader)),
                Layer::Zstd => {
                    let mut decoder = ZstdReader::new(reader)?;
                    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                    Box::new(decoder)
                }
                Layer::Brotli => Box::new(BrotliReader::new(Guarded::new(reader), BUFFER)),
            };
        }
        let mut whole = Vec::with_capacity(packed.len().saturating_mul(4).min(max));
        reader.take(max as u64 + 1).read_to_end(&mut whole)?;
        Ok((whole.len() <= max).then_some(whole))
    }
}

/// Whether this first byte of a brotli stream announces a window of up to 1 GiB, which RFC 7932
/// does not have.
fn has_large_window(first: u8) -> bool {
    first & 0x7f == 0x11
}

fn invalid(words: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

/// A brotli stream; large windows are refused.
struct Guarded<R> {
    reader: R,
    began: bool,
}

impl<R: Read> Guarded<R> {
    fn new(reader: R) -> Self {
        Self { reader, began: false }
    }
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buf)?;
        if n > 0 && !std::mem::replace(&mut self.began, true) && has_large_window(buf[0]) {
            return Err(invalid("the window is too large"));
        }
        Ok(n)
    }
}

/// The output of one decoder, up to [`GROWTH_CAP`].
#[derive(Debug, Default)]
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.0.len() + buf.len() > GROWTH_CAP {
            return Err(invalid("it grows too much"));
        }
        self.0.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decompresses one body piece by piece.
pub(crate) struct Unpacker {
    /// The decoders, for the outermost coding first.
    layers: Vec<Decoder>,
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").field("layers", &self.layers.len()).finish()
    }
}

enum Decoder {
    Gzip(GzDecoder<Bounded>),
    Deflate(ZlibDecoder<Bounded>),
    Zstd(ZstdDecoder<'static, Bounded>),
    Brotli {
        decoder: Box<BrotliDecoder<Bounded>>,
        began: bool,
    },
    /// The decoder could not be created.
    Broken,
}

impl Unpacker {
    pub(crate) fn new(coding: Coding) -> Unpacker {
        let layers = coding.layers.into_iter().rev().flatten().map(Decoder::new);
        Unpacker { layers: layers.collect() }
    }

    /// Reads the next piece; returns all output that it makes available.
    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        let mut unpacked: Option<Vec<u8>> = None;
        for layer in &mut self.layers {
            unpacked = Some(layer.push(unpacked.as_deref().unwrap_or(piece))?);
        }
        Ok(unpacked.map_or_else(|| Bytes::copy_from_slice(piece), Bytes::from))
    }
}

impl Decoder {
    fn new(layer: Layer) -> Self {
        match layer {
            Layer::Gzip => Decoder::Gzip(GzDecoder::new(Bounded::default())),
            Layer::Deflate => Decoder::Deflate(ZlibDecoder::new(Bounded::default())),
            Layer::Zstd => {
                let decoder = ZstdDecoder::new(Bounded::default()).and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                    Ok(decoder)
                });
                decoder.map_or(Decoder::Broken, Decoder::Zstd)
            }
            Layer::Brotli => {
                let decoder = Box::new(BrotliDecoder::new(Bounded::default(), BUFFER));
                Decoder::Brotli { decoder, began: false }
            }
        }
    }

    fn push(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Decoder::Gzip(decoder) => push(decoder, piece, GzDecoder::get_mut),
            Decoder::Deflate(decoder) => push(decoder, piece, ZlibDecoder::get_mut),
            Decoder::Zstd(decoder) => push(decoder, piece, ZstdDecoder::get_mut),
            Decoder::Brotli { decoder, began } => {
                if !std::mem::replace(began, *began || !piece.is_empty())
                    && piece.first().is_some_and(|first| has_large_window(*first))
                {
                    return Err(invalid("the window is too large"));
                }
                push(&mut **decoder, piece, BrotliDecoder::get_mut)
            }
            Decoder::Broken => Err(invalid("there is no decoder")),
        }
    }
}

fn push<D: Write>(
    decoder: &mut D,
    mut piece: &[u8],
    unpacked: impl Fn(&mut D) -> &mut Bounded,
) -> io::Result<Vec<u8>> {
    while !piece.is_empty() {
        let taken = decoder.write(&piece[..piece.len().min(BUFFER)])?;
        if taken == 0 {
            // Bytes after the end do not belong to the body.
            break;
        }
        piece = &piece[taken..];
    }
    decoder.flush()?;
    Ok(std::mem::take(&mut unpacked(decoder).0))
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

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ::zstd::encode_all(text, 3).unwrap()
    }

    fn br(text: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        brotli::CompressorWriter::new(&mut packed, 4096, 5, 22).write_all(text).unwrap();
        packed
    }

    /// Compresses the text in every coding, and in some combinations.
    fn packed(text: &[u8]) -> Vec<(Coding, Vec<u8>)> {
        let cases = [
            ("gzip", gzip(text)),
            ("deflate", zlib(text)),
            ("zstd", zstd(text)),
            ("br", br(text)),
            ("gzip, br", br(&gzip(text))),
            ("zstd,identity, gzip", gzip(&zstd(text))),
            ("br, deflate, zstd", zstd(&zlib(&br(text)))),
        ];
        cases.map(|(name, packed)| (Coding::of(name).unwrap(), packed)).into()
    }

    #[test]
    fn pieces_of_any_size_unpack_to_the_same() {
        let text = "data: one\n\ndata: two\n\n".repeat(100);
        for (coding, packed) in packed(text.as_bytes()) {
            for size in [1, 10, packed.len()] {
                let mut unpacker = Unpacker::new(coding);
                let pieces = packed.chunks(size).map(|piece| unpacker.push(piece).unwrap());
                assert_eq!(pieces.collect::<Vec<_>>().concat(), text.as_bytes(), "{coding:?}");
            }
        }
    }

    #[test]
    fn what_was_flushed_is_readable_at_once() {
        fn check<E: Write>(name: &str, mut encoder: E, out: impl Fn(&mut E) -> &mut Vec<u8>) {
            let mut unpacker = Unpacker::new(Coding::of(name).unwrap());
            for event in ["data: one\n\n", "data: two\n\n"] {
                encoder.write_all(event.as_bytes()).unwrap();
                encoder.flush().unwrap();
                let piece = std::mem::take(out(&mut encoder));
                assert_eq!(unpacker.push(&piece).unwrap(), event, "{name}");
            }
        }
        check("gzip", GzEncoder::new(Vec::new(), Compression::default()), GzEncoder::get_mut);
        let encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        check("zstd", encoder, |encoder| encoder.get_mut());
        check("br", brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22), |encoder| {
            encoder.get_mut()
        });
    }

    #[test]
    fn what_is_wrong_or_grows_too_much_is_an_error() {
        for name in ["gzip", "deflate", "zstd", "br"] {
            let coding = Coding::of(name).unwrap();
            assert!(Unpacker::new(coding).push(b"\xff not compressed at all").is_err(), "{name}");
        }
        for (coding, bomb) in packed(&vec![0; 17 << 20]) {
            assert!(Unpacker::new(coding).push(&bomb).is_err(), "{coding:?}");
            assert_eq!(coding.unpack(&bomb, 1 << 20).unwrap(), None, "{coding:?}");
        }
        let mut behind = gzip(b"x");
        behind.extend_from_slice(b"garbage");
        assert_eq!(Unpacker::new(Coding::of("gzip").unwrap()).push(&behind).unwrap(), "x");
    }

    #[test]
    fn a_window_that_takes_too_much_memory_is_refused() {
        let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&vec![7; 1 << 20]).unwrap();
        let wide = encoder.finish().unwrap();
        let zstd = Coding::of("zstd").unwrap();
        assert!(zstd.unpack(&wide, 2 << 20).is_err() && Unpacker::new(zstd).push(&wide).is_err());
        let br = Coding::of("br").unwrap();
        let large = [0x11, 0x1e, 0, 0];
        assert!(br.unpack(&large, 1000).is_err() && Unpacker::new(br).push(&large).is_err());
    }

    #[test]
    fn a_whole_body_is_unpacked_up_to_a_size() {
        let text = b"0123456789".repeat(100);
        for (coding, packed) in packed(&text) {
            assert_eq!(coding.unpack(&packed, 1000).unwrap(), Some(text.clone()), "{coding:?}");
            assert_eq!(coding.unpack(&packed, 999).unwrap(), None, "{coding:?}");
            assert!(coding.unpack(&packed[..packed.len() / 2], 1000).is_err(), "{coding:?}");
        }
        assert!(Coding::of("deflate").unwrap().unpack(&gzip(&text), 1000).is_err());
    }

    #[test]
    fn a_coding_is_known_by_its_names() {
        assert_eq!(Coding::of(" GZIP"), Coding::of("x-gzip"));
        assert!(Coding::of("identity").is_some_and(Coding::is_identity));
        assert!(Coding::of("br").is_some_and(|coding| !coding.is_identity()));
        for unknown in ["compress", "gzip, aes128gcm", "gzip,gzip,gzip,gzip"] {
            assert_eq!(Coding::of(unknown), None, "{unknown}");
        }
    }
}
