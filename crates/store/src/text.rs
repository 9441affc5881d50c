//! Text as every database of ours can hold it.

/// The text without what PostgreSQL's text does not hold: NUL, which a client may send.
pub(crate) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
