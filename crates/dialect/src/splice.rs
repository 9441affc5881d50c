//! Changing a few bytes of a body and leaving every other one as it came.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// One change: the bytes in `range` give way to `replacement`. An empty range inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What goes, as byte offsets into the body.
    pub range: Range<usize>,
    /// What comes in its place.
    pub replacement: Bytes,
}

impl Edit {
    /// Puts the JSON string for `text` in the place of `range`.
    pub fn text(range: Range<usize>, text: &str) -> Edit {
        let quoted = serde_json::to_vec(text).expect("a string can always be written as JSON");
        Edit { range, replacement: quoted.into() }
    }

    /// Inserts `bytes` before the byte at `at`.
    pub fn insert(at: usize, bytes: &'static str) -> Edit {
        Edit { range: at..at, replacement: Bytes::from_static(bytes.as_bytes()) }
    }
}

/// The body with the edits made. Edits may come in any order and must not overlap; without edits
/// nothing is copied.
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

/// As [`splice`], but as pieces to be written one after the other, so that a large body is not
/// copied. No piece is empty.
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
