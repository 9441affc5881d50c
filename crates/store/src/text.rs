//! Text as every database of ours can hold it.

use std::borrow::Cow;

/// The text as [`cleaned`] leaves it, owned.
pub(crate) fn clean(text: &str) -> String {
    cleaned(text).into_owned()
}

/// The text without what PostgreSQL's text does not hold: NUL, which a client may send.
pub(crate) fn cleaned(text: &str) -> Cow<'_, str> {
    // Of a log entry's twenty texts none has one.
    if text.as_bytes().contains(&0) { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}
