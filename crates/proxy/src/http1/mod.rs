//! HTTP/1.1 on a Pingora stream: heads, bodies and the connection that carries them, for clients
//! and for providers.
//!
//! Pingora listens, accepts, connects and does TLS; the framing is ours, because the head must be
//! checked as it came, under a deadline and a cap, and because a gateway that never rewrites what
//! it passes on needs neither header maps nor a 64 KiB buffer for each session. What is accepted is
//! the strict core of RFC 9112: everything that two parsers could read differently is refused.

pub(crate) mod body;
pub(crate) mod conn;
pub(crate) mod digits;
pub(crate) mod head;
pub(crate) mod request;

pub(crate) use body::{Decoder, Framing, Piece};
pub(crate) use conn::{COPY_MAX, Conn, ReadError, Reader, Writer, peer_ip};
pub(crate) use digits::{push_hex, push_number};
pub(crate) use head::{BadHead, Head, ResponseHead};
pub(crate) use request::RequestHead;
