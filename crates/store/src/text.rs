//! Text as every database of ours can hold it.

/// The text without what PostgreSQL's text does not hold: NUL, which a client may send.
pub(crate) fn clean(text: &str) -> String {
    // Of a log entry's twenty texts none has one.
    if text.as_bytes().contains(&0) { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}
