//! Taking out of a body what the gateway itself put into the client's history.
//!
//! A conversation that was answered by another vendor's model and now comes to Anthropic carries
//! signatures that Anthropic did not make. It would refuse them.

use std::ops::Range;

use bytes::Bytes;

use crate::{Edit, Signature, Value};

/// The cuts. Places are counted in the text of `body`.
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
    /// Cuts those items of a list that `is_cut` names, each with one of its commas.
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
                // Up to the next one that stays, with the comma in front of it.
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

/// A thought that another vendor signed, or nobody.
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
