//! WebSocket upgrades: every frame goes back as it came (RFC 6455).

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::AsyncWriteExt;

use crate::http::{Connection, Head};

const FRAME_CAP: u64 = 64 << 20;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Whether the request asks for a WebSocket.
pub(crate) fn is_asked(head: &Head) -> bool {
    head.has_token("upgrade", "websocket") && head.has_token("connection", "upgrade")
}

/// Shakes hands and echoes until the other side closes.
pub(crate) async fn echo(connection: &mut Connection, head: &Head) -> io::Result<()> {
    let key = head.header("sec-websocket-key").unwrap_or_default();
    let seed = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, seed.as_bytes()));
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n"
    );
    if let Some(offered) = head.header("sec-websocket-protocol") {
        let first = offered.split(',').next().unwrap_or_default().trim();
        answer.push_str(&format!("sec-websocket-protocol: {first}\r\n"));
    }
    answer.push_str("\r\n");
    connection.stream.write_all(answer.as_bytes()).await?;
    loop {
        let (first, payload) = frame(connection).await?;
        let opcode = first & 0x0f;
        if opcode == PONG {
            continue;
        }
        let first = if opcode == PING { first & 0xf0 | PONG } else { first };
        connection.stream.write_all(&unmasked(first, &payload)).await?;
        if opcode == CLOSE {
            return connection.stream.shutdown().await;
        }
    }
}

/// The next frame: its first byte, and its payload without the mask.
async fn frame(connection: &mut Connection) -> io::Result<(u8, Vec<u8>)> {
    let start = connection.take(2).await?;
    let length = match start[1] & 0x7f {
        126 => u64::from(u16::from_be_bytes(array(&connection.take(2).await?))),
        127 => u64::from_be_bytes(array(&connection.take(8).await?)),
        short => u64::from(short),
    };
    if length > FRAME_CAP {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too large"));
    }
    let mask: [u8; 4] =
        if start[1] & 0x80 == 0 { [0; 4] } else { array(&connection.take(4).await?) };
    let length = usize::try_from(length).expect("the cap fits");
    let mut payload = connection.take(length).await?.to_vec();
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok((start[0], payload))
}

fn array<const N: usize>(bytes: &Bytes) -> [u8; N] {
    bytes[..].try_into().expect("so many were taken")
}

fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(u8::try_from(length).expect("it is below 126")),
        length if length <= 0xffff => {
            frame.push(126);
            frame.extend_from_slice(&u16::try_from(length).expect("checked").to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
