//! Numbers as they are written in heads and before chunks.

use std::io::Write;

/// Appends a number in decimal.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    let _ = write!(out, "{number}");
}

/// Appends the line before a chunk of `size` bytes.
pub(crate) fn push_hex(out: &mut Vec<u8>, size: usize) {
    let _ = write!(out, "{size:x}\r\n");
}
