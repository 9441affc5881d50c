//! WebSockets (RFC 6455): where frames begin and end, and the close frame. The framing itself is
//! tungstenite's. What passes through a socket is `tunnel`'s business, or `socket`'s where the gateway
//! itself is the other side.

mod frames;

pub(crate) use frames::Frames;

use rand::random;
use tungstenite::protocol::{
    CloseFrame,
    frame::{Frame, coding::CloseCode},
};

/// Longest reason in a close frame: a control frame has 125 bytes, two of which are the code.
const REASON_MAX: usize = 123;

/// Which side of a socket sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// A client masks what it sends.
    Client,
    Server,
}

/// The bytes of a close frame that `side` sends.
pub(crate) fn close_frame(side: Side, code: u16, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(REASON_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let close = CloseFrame { code: CloseCode::from(code), reason: (&reason[..end]).into() };
    let mut frame = Frame::close(Some(close));
    frame.header_mut().mask = (side == Side::Client).then(random);
    let mut bytes = Vec::with_capacity(frame.len());
    frame.format(&mut bytes).expect("writing to memory cannot fail");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_has_its_code_and_as_much_of_the_reason_as_fits() {
        assert_eq!(close_frame(Side::Server, 1008, "no"), b"\x88\x04\x03\xf0no");
        let long = close_frame(Side::Server, 1008, &"é".repeat(100));
        assert_eq!((long.len(), long[1]), (2 + 2 + 122, 124));
        let masked = close_frame(Side::Client, 1008, "no");
        let mask: [u8; 4] = masked[2..6].try_into().unwrap();
        let clear: Vec<u8> =
            masked[6..].iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
        assert_eq!((&masked[..2], clear.as_slice()), (&b"\x88\x84"[..], &b"\x03\xf0no"[..]));
    }
}
