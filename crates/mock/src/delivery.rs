//! How an answer goes over the wire: its pace, its pieces, and all that can go wrong on the way.

use std::{io, io::Write, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::{io::AsyncWriteExt, time::sleep};

use crate::{
    Behaviour, Ending,
    behaviour::BreakOff,
    http::{Body, Connection, Reply},
};

/// Whether the connection may be used again.
pub(crate) struct Delivered {
    pub(crate) ending: Ending,
    pub(crate) reusable: bool,
}

const LOST: Delivered = Delivered { ending: Ending::ClientGone, reusable: false };
const BROKEN: Delivered = Delivered { ending: Ending::Sent, reusable: false };

/// Sends `reply` as `behaviour` wants it.
pub(crate) async fn deliver(
    connection: &mut Connection,
    reply: Reply,
    behaviour: &Behaviour,
    default_pace: Duration,
    keep_alive: bool,
) -> Delivered {
    if behaviour.drop {
        return BROKEN;
    }
    if behaviour.hang {
        connection.gone().await;
        return LOST;
    }
    if !pause(connection, behaviour.slow.unwrap_or_default()).await {
        return LOST;
    }
    let reply = if behaviour.gzip { compressed(reply) } else { reply };
    let chunked = matches!(reply.body, Body::Pieces(_));
    let mut head = String::new();
    if behaviour.interim {
        head.push_str("HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n");
    }
    head.push_str(&head_of(&reply, keep_alive));
    let pieces = pieces(reply.body, behaviour);
    let pace = behaviour.pace.unwrap_or(default_pace);
    match send(connection, head.into_bytes(), &pieces, chunked, behaviour, pace).await {
        Ok(Some(delivered)) => delivered,
        Ok(None) => Delivered { ending: Ending::Sent, reusable: keep_alive },
        Err(_) => LOST,
    }
}

async fn send(
    connection: &mut Connection,
    head: Vec<u8>,
    pieces: &[Bytes],
    chunked: bool,
    behaviour: &Behaviour,
    pace: Duration,
) -> io::Result<Option<Delivered>> {
    // Head and first piece go out together, as real servers do it.
    let mut write = head;
    for (sent, piece) in pieces.iter().enumerate() {
        if let Some((how, after)) = behaviour.break_off
            && sent == after
        {
            connection.stream.write_all(&write).await?;
            return break_off(connection, how, chunked).await.map(Some);
        }
        if sent > 0 && !pace.is_zero() {
            connection.stream.write_all(&write).await?;
            write.clear();
            if !pause(connection, pace).await {
                return Ok(Some(LOST));
            }
        }
        if chunked {
            write.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            write.extend_from_slice(piece);
            write.extend_from_slice(b"\r\n");
        } else {
            write.extend_from_slice(piece);
        }
        if behaviour.split.is_some() || (chunked && !pace.is_zero()) {
            connection.stream.write_all(&write).await?;
            write.clear();
            tokio::task::yield_now().await;
        }
    }
    if let Some((how @ (BreakOff::Stall | BreakOff::Reset), _)) = behaviour.break_off {
        // The answer was shorter than that: break off before its end.
        connection.stream.write_all(&write).await?;
        return break_off(connection, how, chunked).await.map(Some);
    }
    if chunked {
        write.extend_from_slice(b"0\r\n\r\n");
    }
    connection.stream.write_all(&write).await?;
    Ok(None)
}

async fn break_off(
    connection: &mut Connection,
    how: BreakOff,
    chunked: bool,
) -> io::Result<Delivered> {
    match how {
        BreakOff::Stall => {
            connection.gone().await;
            return Ok(LOST);
        }
        // With unsent data thrown away, closing sends a reset.
        BreakOff::Reset => connection.stream.set_zero_linger()?,
        BreakOff::End if chunked => connection.stream.write_all(b"0\r\n\r\n").await?,
        BreakOff::Close | BreakOff::End => {}
    }
    Ok(BROKEN)
}

/// Waits; false when the other side has gone meanwhile.
async fn pause(connection: &mut Connection, time: Duration) -> bool {
    if time.is_zero() {
        return true;
    }
    tokio::select! {
        () = sleep(time) => true,
        () = connection.gone() => false,
    }
}

fn head_of(reply: &Reply, keep_alive: bool) -> String {
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match &reply.body {
        Body::Whole(body) => head.push_str(&format!("content-length: {}\r\n", body.len())),
        Body::Pieces(_) => head.push_str("transfer-encoding: chunked\r\n"),
    }
    if !keep_alive {
        head.push_str("connection: close\r\n");
    }
    head.push_str("\r\n");
    head
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Payload Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Scripted",
    }
}

/// The writes in which the body goes.
fn pieces(body: Body, behaviour: &Behaviour) -> Vec<Bytes> {
    let breaks = behaviour.break_off.is_some();
    let pieces = match body {
        // A body that is to break off needs places where it can.
        Body::Whole(body) if breaks => cut(&body, (body.len() / 6).max(1)),
        Body::Whole(body) if body.is_empty() => Vec::new(),
        Body::Whole(body) => vec![body],
        Body::Pieces(pieces) => pieces,
    };
    match behaviour.split {
        None => pieces,
        Some(size) => pieces.iter().flat_map(|piece| cut(piece, size)).collect(),
    }
}

fn cut(bytes: &Bytes, size: usize) -> Vec<Bytes> {
    let ends = (0..bytes.len()).step_by(size);
    ends.map(|at| bytes.slice(at..bytes.len().min(at + size))).collect()
}

/// Every piece is flushed, so that a stream stays one.
fn compressed(mut reply: Reply) -> Reply {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut push = |piece: &Bytes| {
        let written = encoder.write_all(piece).and_then(|()| encoder.flush());
        written.expect("writing to memory does not fail");
        Bytes::from(std::mem::take(encoder.get_mut()))
    };
    reply.body = match reply.body {
        Body::Whole(body) => {
            let mut all = push(&body).to_vec();
            all.extend(encoder.finish().expect("writing to memory does not fail"));
            Body::Whole(all.into())
        }
        Body::Pieces(pieces) => {
            let mut pieces: Vec<Bytes> = pieces.iter().map(push).collect();
            pieces.push(encoder.finish().expect("writing to memory does not fail").into());
            Body::Pieces(pieces)
        }
    };
    reply.with("content-encoding", "gzip")
}
