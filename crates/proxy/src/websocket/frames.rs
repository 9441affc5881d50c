//! The frames of one direction of a WebSocket, followed as their bytes pass: nothing is kept but a
//! header that came in parts, and nothing is changed. What does not read as frames passes as well;
//! then no boundary is known any more.

use std::io::Cursor;

use tungstenite::protocol::frame::{FrameHeader, coding::OpCode};

/// Longest header of a frame.
const HEADER_MAX: usize = 14;

/// Follows the frames of one direction.
#[derive(Debug)]
pub(crate) struct Frames {
    /// The beginning of a header of which more is to come.
    header: [u8; HEADER_MAX],
    header_len: usize,
    /// The frame whose payload is passing.
    passing: Option<Passing>,
    /// What passed is not a WebSocket's frames.
    lost: bool,
}

#[derive(Debug)]
struct Passing {
    header: FrameHeader,
    /// How much of the payload has passed, and is still to come.
    passed: u64,
    left: u64,
}

/// A part of a frame's payload, as it passes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) opcode: OpCode,
    /// Whether the frame is the last one of its message.
    pub(crate) is_final: bool,
    /// What the payload is masked with.
    pub(crate) mask: Option<[u8; 4]>,
    /// Where in the frame's payload these bytes stand.
    pub(crate) at: u64,
    pub(crate) payload: &'a [u8],
    /// Whether the frame ends with them.
    pub(crate) ends: bool,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self { header: [0; HEADER_MAX], header_len: 0, passing: None, lost: false }
    }

    /// Whether the last byte that passed was the last one of a frame: another frame may be put in
    /// here.
    pub(crate) fn at_boundary(&self) -> bool {
        !self.lost && self.header_len == 0 && self.passing.is_none()
    }

    /// Takes in what passes; `see` gets each part of a payload.
    pub(crate) fn pass(&mut self, mut bytes: &[u8], mut see: impl FnMut(&Part<'_>)) {
        while !self.lost {
            if let Some(passing) = &mut self.passing {
                let take = usize::try_from(passing.left).unwrap_or(usize::MAX).min(bytes.len());
                passing.left -= take as u64;
                let ends = passing.left == 0;
                if take > 0 || ends {
                    see(&Part {
                        opcode: passing.header.opcode,
                        is_final: passing.header.is_final,
                        mask: passing.header.mask,
                        at: passing.passed,
                        payload: &bytes[..take],
                        ends,
                    });
                }
                passing.passed += take as u64;
                bytes = &bytes[take..];
                if ends {
                    self.passing = None;
                }
            }
            if bytes.is_empty() {
                return;
            }
            bytes = &bytes[self.begin(bytes)..];
        }
    }

    /// Reads a header, or the beginning of one; how many of `bytes` it took.
    fn begin(&mut self, bytes: &[u8]) -> usize {
        let before = self.header_len;
        let take = bytes.len().min(HEADER_MAX - before);
        self.header[before..before + take].copy_from_slice(&bytes[..take]);
        let mut cursor = Cursor::new(&self.header[..before + take]);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, left))) => {
                self.header_len = 0;
                self.passing = Some(Passing { header, passed: 0, left });
                cursor.position() as usize - before
            }
            Ok(None) => {
                self.header_len += take;
                take
            }
            Err(_) => {
                self.lost = true;
                take
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tungstenite::protocol::frame::{Frame, coding::Data};

    use super::*;

    fn bytes_of(frame: Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    /// Three frames: a small one, a masked one with a longer length, and an empty one.
    fn three() -> (Vec<u8>, Vec<usize>) {
        let mut masked = Frame::message(vec![7; 300], OpCode::Data(Data::Binary), true);
        masked.header_mut().mask = Some([1, 2, 3, 4]);
        let frames = [
            Frame::message("hello".as_bytes().to_vec(), OpCode::Data(Data::Text), true),
            masked,
            Frame::ping(Vec::new()),
        ];
        let mut all = Vec::new();
        let mut ends = Vec::new();
        for frame in frames {
            all.extend(bytes_of(frame));
            ends.push(all.len());
        }
        (all, ends)
    }

    #[test]
    fn boundaries_are_known_however_the_bytes_come() {
        let (all, ends) = three();
        let mut frames = Frames::new();
        assert!(frames.at_boundary());
        let mut seen = 0;
        for (i, byte) in all.iter().enumerate() {
            frames.pass(&[*byte], |part| seen += usize::from(part.ends));
            assert_eq!(frames.at_boundary(), ends.contains(&(i + 1)), "after byte {i}");
        }
        assert_eq!(seen, 3);
    }

    #[test]
    fn what_is_no_frame_passes_and_has_no_boundary() {
        let mut frames = Frames::new();
        frames.pass(b"\x0fnone of this is a frame", |part| panic!("{part:?}"));
        assert!(!frames.at_boundary());
    }

    proptest! {
        #[test]
        fn payloads_are_the_same_in_any_split(cuts in proptest::collection::vec(0_usize..330, 0..9)) {
            let (all, _) = three();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
            cuts.sort_unstable();
            cuts.push(all.len());
            let (mut frames, mut from, mut payload) = (Frames::new(), 0, Vec::new());
            for cut in cuts {
                frames.pass(&all[from..cut], |part| {
                    if part.opcode == OpCode::Data(Data::Text) {
                        payload.extend_from_slice(part.payload);
                    }
                });
                from = cut;
            }
            prop_assert_eq!(payload, b"hello".to_vec());
            prop_assert!(frames.at_boundary());
        }
    }
}
