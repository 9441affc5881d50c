//! Replaces ranges of a body and leaves all other bytes unchanged.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// One edit: the bytes in `range` are replaced. An empty range inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The replaced byte range of the body.
    pub range: Range<usize>,
    /// The new bytes.
    pub replacement: Bytes,
}

impl Edit {
    /// Creates an edit that replaces `range` with the JSON string `text`.
    pub fn text(range: Range<usize>, text: &str) -> Edit {
        let quoted = serde_json::to_vec(text).expect("a string can always be written as JSON");
        Edit { range, replacement: quoted.into() }
    }

    /// Creates an edit that inserts `bytes` at the offset `at`.
    pub fn insert(at: usize, bytes: &'static str) -> Edit {
        Edit { range: at..at, replacement: Bytes::from_static(bytes.as_bytes()) }
    }
}

/// Returns the body with all edits applied. Edits may be in any order and must not overlap; without
/// edits nothing is copied.
///
/// # Panics
/// When edits overlap or reach past the end of the body.
pub fn splice(body: &Bytes, edits: &[Edit]) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    let parts = splice_parts(body, edits);
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    for part in &parts {
        whole.extend_from_slice(part);
    }
    whole.freeze()
}

/// Applies edits as [`splice`] does, but returns pieces to be written one after the other, so that
/// a large body is not copied. No piece is empty.
///
/// # Panics
/// When edits overlap or reach past the end of the body.
pub fn splice_parts(body: &Bytes, edits: &[Edit]) -> Vec<Bytes> {
    let mut order: Vec<&Edit> = edits.iter().collect();
    order.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut parts = Vec::with_capacity(2 * edits.len() + 1);
    let mut at = 0;
    for edit in order {
        assert!(at <= edit.range.start, "edits overlap");
        parts.push(body.slice(at..edit.range.start));
        parts.push(edit.replacement.clone());
        at = edit.range.end;
    }
    parts.push(body.slice(at..));
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_change_their_range_and_nothing_else() {
        let body = Bytes::from_static(b"0123456789");
        let edit = |range, with: &'static str| Edit { range, replacement: with.into() };
        let cases: &[(&[Edit], &str)] = &[
            (&[], "0123456789"),
            (&[edit(3..5, "xyz")], "012xyz56789"),
            (&[edit(8..10, ""), edit(0..0, "<")], "<01234567"),
            (&[edit(4..6, "B"), edit(2..4, "A")], "01AB6789"),
            (&[edit(10..10, "!")], "0123456789!"),
        ];
        for (edits, want) in cases {
            assert_eq!(splice(&body, edits), *want);
            assert_eq!(splice_parts(&body, edits).concat(), want.as_bytes());
        }
        assert_eq!(splice(&body, &[]).as_ptr(), body.as_ptr());
    }

    #[test]
    fn text_is_quoted() {
        assert_eq!(Edit::text(0..1, "a\"ü").replacement, "\"a\\\"ü\"");
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_edits_are_a_mistake() {
        splice(
            &Bytes::from_static(b"0123"),
            &[Edit::insert(1, ""), Edit { range: 0..2, replacement: Bytes::new() }],
        );
    }
}
