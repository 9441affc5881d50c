//! The frames of a socket whose server the gateway is: tungstenite reads and writes them in memory,
//! and whoever has the connection moves the bytes.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes, BytesMut};
use tungstenite::{
    Error, Message, WebSocket,
    error::{CapacityError, ProtocolError},
    handshake::derive_accept_key,
    protocol::{Role, WebSocketConfig},
};

use crate::{headers, http1::RequestHead, refusal::Refusal};

/// What a socket reads at once.
const READ_BUFFER: usize = 4 << 10;

/// A socket in memory.
#[derive(Debug)]
pub(super) struct Wire {
    socket: WebSocket<Pipe>,
    /// Bytes since the last whole message.
    pub(super) partial: u64,
}

/// What a client said.
pub(super) enum Heard {
    Text(Bytes),
    Binary,
}

/// Why nothing more can be heard.
pub(super) enum Closed {
    ByClient,
    /// The client broke the rules: the code and the reason of our close frame.
    Fault(u16, &'static str),
}

impl Wire {
    /// A socket that takes messages of up to `max` bytes.
    pub(super) fn new(max: u64) -> Self {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let config =
            WebSocketConfig::default().max_message_size(Some(max)).max_frame_size(Some(max));
        // Most sockets are silent most of the time.
        let config = config.read_buffer_size(READ_BUFFER);
        let socket = WebSocket::from_raw_socket(Pipe::default(), Role::Server, Some(config));
        Self { socket, partial: 0 }
    }

    /// Bytes of the client.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.partial += bytes.len() as u64;
        self.socket.get_mut().input.extend_from_slice(&bytes);
    }

    /// The next message of the client, if it is whole. Pings are answered on the way.
    pub(super) fn next(&mut self) -> Result<Option<Heard>, Closed> {
        loop {
            let heard = match self.socket.read() {
                Ok(Message::Text(text)) => Heard::Text(text.into()),
                Ok(Message::Binary(_)) => Heard::Binary,
                Ok(_) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(None);
                }
                Err(error) => return Err(Closed::of(&error)),
            };
            self.partial = self.socket.get_ref().input.len() as u64;
            return Ok(Some(heard));
        }
    }

    /// Writes a message; false where nothing can be said any more.
    pub(super) fn text(&mut self, text: String) -> bool {
        self.socket.send(Message::text(text)).is_ok()
    }

    /// Asks whether the client is there.
    pub(super) fn ping(&mut self) {
        let _ = self.socket.send(Message::Ping(Bytes::new()));
    }

    /// What is to be written to the connection.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let _ = self.socket.flush();
        std::mem::take(&mut self.socket.get_mut().output)
    }
}

impl Closed {
    fn of(error: &Error) -> Self {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed | Error::Io(_) => Closed::ByClient,
            Error::Protocol(ProtocolError::ReceivedAfterClosing) => Closed::ByClient,
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Closed::Fault(1009, "the message is too large")
            }
            Error::Utf8(_) => Closed::Fault(1007, "the message is not UTF-8"),
            _ => Closed::Fault(1002, "the frames break the protocol"),
        }
    }
}

/// Both directions, in memory.
#[derive(Debug, Default)]
struct Pipe {
    input: BytesMut,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = self.input.len().min(buf.len());
        self.input.copy_to_slice(&mut buf[..n]);
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The header lines of the answer to a handshake (RFC 6455, 4.2).
///
/// # Errors
///
/// Where the handshake is incomplete or of another version.
pub(super) fn handshake(head: &RequestHead) -> Result<Vec<u8>, Refusal> {
    let key = head.get("sec-websocket-key").filter(|key| key.len() == 24);
    let version = head.text("sec-websocket-version");
    let (Some(key), Some("13")) = (key, version) else { return Err(Refusal::BadHandshake) };
    let mut fields = b"connection: Upgrade\r\nupgrade: websocket\r\n".to_vec();
    headers::push(&mut fields, b"sec-websocket-accept", derive_accept_key(key).as_bytes());
    push_protocol(&mut fields, head.text("sec-websocket-protocol").unwrap_or_default());
    Ok(fields)
}

/// The protocol of the handshake that is agreed to: the first that is no key in disguise.
fn protocol(offered: &str) -> Option<&str> {
    let offered = offered.split(',').map(str::trim);
    offered.into_iter().find(|p| !p.is_empty() && !p.starts_with("openai-insecure-api-key."))
}

/// Appends the protocol that is agreed to; a browser that offered some wants one.
fn push_protocol(fields: &mut Vec<u8>, offered: &str) {
    if let Some(protocol) = protocol(offered) {
        headers::push(fields, b"sec-websocket-protocol", protocol.as_bytes());
    }
}
