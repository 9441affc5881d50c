//! SIG-8: what the gateway made itself is cut out before OpenAI sees it.

use std::ops::Range;

use bytes::Bytes;

use crate::{Edit, Signature, Value};

/// The cuts that take the gateway's own reasoning items out of `input`, commas included.
pub(super) fn cuts(body: &Value<'_>) -> Vec<Edit> {
    let items = body.get("input").items();
    let own: Vec<bool> = items.iter().map(is_own).collect();
    let mut edits = Vec::new();
    let mut nth = 0;
    while nth < items.len() {
        if !own[nth] {
            nth += 1;
            continue;
        }
        let first = nth;
        while own.get(nth).copied().unwrap_or(false) {
            nth += 1;
        }
        // What is left keeps its commas: the cut reaches to the next item, or from the last one.
        let (begin, end) = (place(body, &items[first]), place(body, &items[nth - 1]));
        let range = match (items.get(nth), first.checked_sub(1)) {
            (Some(next), _) => begin.start..place(body, next).start,
            (None, Some(before)) => place(body, &items[before]).end..end.end,
            (None, None) => begin.start..end.end,
        };
        edits.push(Edit { range, replacement: Bytes::new() });
    }
    edits
}

fn is_own(item: &Value<'_>) -> bool {
    item.get("type").text() == Some("reasoning")
        && item.get("encrypted_content").text().is_some_and(Signature::is_own)
}

/// Where in the text of `body` a value of it stands.
fn place(body: &Value<'_>, part: &Value<'_>) -> Range<usize> {
    let start = part.raw().as_ptr().addr() - body.raw().as_ptr().addr();
    start..start + part.raw().len()
}
