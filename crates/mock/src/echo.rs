//! Paths that belong to no provider: what came goes back, so that a test can look at it.
//!
//! - `ANY /echo/…` answers with JSON: method, target, headers in their order and case, length and
//!   SHA-256 of the body, and the body where it is short text. `?status=N` sets the status,
//!   `?header=name:value` adds a header to the answer (may be repeated).
//! - `ANY /echo/raw…` answers with the body itself and its content type.
//! - `GET /bytes/N` answers with N bytes, in pieces.

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::http::{Head, Reply};

const PIECE: usize = 64 * 1024;

/// The answer, where the path is one of ours.
pub(crate) fn reply(head: &Head, body: &Bytes) -> Option<Reply> {
    let path = head.path();
    if let Some(size) = path.strip_prefix("/bytes/") {
        return Some(bytes(size.parse().ok()?));
    }
    if path.starts_with("/echo/raw") {
        let content_type = head.header("content-type").unwrap_or("application/octet-stream");
        return Some(Reply::whole(200, content_type, body.clone()));
    }
    if path != "/echo" && !path.starts_with("/echo/") {
        return None;
    }
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= 4096);
    let value = json!({
        "method": head.method,
        "target": head.target,
        "headers": head.headers,
        "body_length": body.len(),
        "body_sha256": hex::encode(digest(&SHA256, body)),
        "body": text,
    });
    let status = head.query("status").and_then(|status| status.parse().ok()).unwrap_or(200);
    let reply = Reply::json(status, &value);
    let extra = head.queries("header").filter_map(|pair| pair.split_once(':'));
    Some(extra.fold(reply, |reply, (name, value)| reply.with(name, value)))
}

fn bytes(size: usize) -> Reply {
    let piece = Bytes::from(vec![b'x'; PIECE.min(size)]);
    let mut pieces = vec![piece.clone(); size / PIECE];
    if !size.is_multiple_of(PIECE) {
        pieces.push(piece.slice(..size % PIECE));
    }
    Reply::pieces("application/octet-stream", pieces)
}
