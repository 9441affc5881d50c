//! Removes wrapped signatures from a body.
//!
//! A conversation that a model of another provider answered before contains signatures that
//! Anthropic did not make and would refuse.

use std::ops::Range;

use bytes::Bytes;

use crate::{Edit, Signature, Value};

/// Returns the edits, with offsets into the text of `body`.
pub(super) fn cuts(body: &Value<'_>) -> Vec<Edit> {
    let mut cutter = Cutter { start: body.raw().as_ptr().addr(), edits: Vec::new() };
    let messages = body.get("messages");
    cutter.list(messages, |cutter, message| {
        let content = message.get("content");
        if message.get("role").text() != Some("assistant") || content.items().is_empty() {
            return false;
        }
        if content.items().iter().all(is_own) {
            return true;
        }
        cutter.list(content, |cutter, block| {
            if is_own(block) {
                return true;
            }
            cutter.list(block.get("citations"), |_, cite| own(cite.get("encrypted_index")));
            false
        });
        false
    });
    cutter.edits
}

struct Cutter {
    start: usize,
    edits: Vec<Edit>,
}

impl Cutter {
    /// Removes the items of a list for which `is_cut` is true, each with one comma.
    fn list(&mut self, list: &Value<'_>, mut is_cut: impl FnMut(&mut Self, &Value<'_>) -> bool) {
        let items = list.items();
        let mut kept = None;
        let mut from = None;
        for item in items {
            if is_cut(self, item) {
                from.get_or_insert(self.range(item).start);
                continue;
            }
            if let Some(from) = from.take() {
                // Up to the next kept item, with the comma before it.
                self.cut(from..self.range(item).start);
            }
            kept = Some(self.range(item).end);
        }
        if let (Some(from), Some(last)) = (from, items.last()) {
            self.cut(kept.unwrap_or(from)..self.range(last).end);
        }
    }

    fn range(&self, value: &Value<'_>) -> Range<usize> {
        let start = value.raw().as_ptr().addr() - self.start;
        start..start + value.raw().len()
    }

    fn cut(&mut self, range: Range<usize>) {
        self.edits.push(Edit { range, replacement: Bytes::new() });
    }
}

/// Whether a block is reasoning that is unsigned or signed by another provider.
fn is_own(block: &Value<'_>) -> bool {
    match block.get("type").text() {
        Some("thinking") => own(block.get("signature")),
        Some("redacted_thinking") => own(block.get("data")),
        _ => false,
    }
}

fn own(field: &Value<'_>) -> bool {
    field.text().is_some_and(Signature::is_own)
}
