//! Estimates the tokens of an image from its size, which is in the first bytes of its data.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Bytes of data that are read. In a JPEG a preview may precede the size.
const HEAD: usize = 64 * 1024;

/// Tokens of every image.
const BASE: u64 = 85;

/// Additional tokens of each tile of 512 by 512 pixels.
const TILE: u64 = 170;

static BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returns the tokens of an image of this size, or of a usual size if it is unknown. The image is
/// scaled into 2048 by 2048 pixels, its shorter side to 768, and divided into tiles.
pub(super) fn tokens(size: Option<(u32, u32)>, detail: Option<&str>) -> u64 {
    if detail == Some("low") {
        return BASE;
    }
    let (width, height) = size.unwrap_or((1024, 1024));
    let (width, height) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let fit = (2048.0 / width.max(height)).min(1.0);
    let scale = fit * (768.0 / (width.min(height) * fit)).min(1.0);
    // At most four in each direction, so the conversion is exact.
    let tiles = |side: f64| (side * scale / 512.0).ceil().clamp(1.0, 4.0) as u64;
    BASE + TILE * tiles(width) * tiles(height)
}

/// Returns width and height of a PNG, GIF, WebP or JPEG in base64.
pub(super) fn size(data: &str) -> Option<(u32, u32)> {
    let head = &data.as_bytes()[..data.len().min(HEAD)];
    let whole = &head[..head.len() / 4 * 4];
    let bytes = BASE64.decode(whole).ok()?;
    png(&bytes).or_else(|| gif(&bytes)).or_else(|| webp(&bytes)).or_else(|| jpeg(&bytes))
}

fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(8..16)?;
    let side = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
    Some((side(0)?, side(4)?))
}

fn gif(bytes: &[u8]) -> Option<(u32, u32)> {
    let rest = bytes.strip_prefix(b"GIF87a").or_else(|| bytes.strip_prefix(b"GIF89a"))?;
    Some((little(rest, 0)?, little(rest, 2)?))
}

fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    let chunk = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WEBP")?;
    let rest = chunk.get(8..)?;
    match chunk.get(..4)? {
        b"VP8 " => Some((little(rest, 6)? & 0x3fff, little(rest, 8)? & 0x3fff)),
        b"VP8L" => {
            let bits = little(rest, 1)? | little(rest, 3)? << 16;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => {
            let side =
                |at: usize| Some((little(rest, at)? | u32::from(*rest.get(at + 2)?) << 16) + 1);
            Some((side(4)?, side(7)?))
        }
        _ => None,
    }
}

/// Reads the size from the segment that begins a frame and skips the others.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    loop {
        let begin = rest.iter().position(|byte| *byte != 0xff).filter(|begin| *begin > 0)?;
        let (kind, segment) = (*rest.get(begin)?, rest.get(begin + 1..)?);
        if matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc) {
            return Some((big(segment, 5)?, big(segment, 3)?));
        }
        rest = segment.get(usize::try_from(big(segment, 0)?).ok()?..)?;
    }
}

fn little(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], want: Option<(u32, u32)>) {
        assert_eq!(size(&BASE64_STANDARD.encode(bytes)), want, "{bytes:x?}");
    }

    #[test]
    fn the_size_stands_in_the_first_bytes() {
        check(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04\0\0\0\x02\0\x08", Some((1024, 512)));
        check(b"GIF89a\x10\0\x20\0\0\0\0", Some((16, 32)));
        check(b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x40\x01\xf0\0", Some((320, 240)));
        check(b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x3f\xc1\x3b\0", Some((320, 240)));
        check(b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x3f\x01\0\xef\0\0", Some((320, 240)));
        check(
            b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xdb\0\x03c\xff\xc2\0\x11\x08\0\xf0\x01\x40\x03",
            Some((320, 240)),
        );
        check(b"\xff\xd8\xff\xe0\xff\xff", None);
        check(b"BM", None);
        assert_eq!(size("not base64!"), None);
    }

    #[test]
    fn tokens_grow_by_tiles() {
        assert_eq!(tokens(Some((1024, 1024)), None), 765);
        assert_eq!(tokens(Some((2048, 4096)), Some("high")), 1105);
        assert_eq!(tokens(Some((4096, 8192)), Some("low")), 85);
        assert_eq!(tokens(Some((1, 1)), None), 255);
        assert_eq!(tokens(Some((0, u32::MAX)), None), 765);
    }

    proptest! {
        #[test]
        fn no_data_is_too_strange(data in "\\PC{0,40}", bytes: Vec<u8>) {
            size(&data);
            for start in [&b""[..], b"\xff\xd8", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X", b"\x89PNG\r\n\x1a\n"] {
                let told = size(&BASE64_STANDARD.encode([start, &bytes].concat()));
                prop_assert!(tokens(told, None) >= 255);
            }
        }
    }
}
