//! Texts of people in a CSV file that a spreadsheet may open: where it would take one for a formula, it
//! begins with an apostrophe, as spreadsheets write text. What an import reads is the text again.

use std::borrow::Cow;

/// What a text begins with that gets an apostrophe. An apostrophe itself does, so that the one that
/// was put in front is known from one that was there.
const BEGINNINGS: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

/// The text as it stands in the file.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if text.starts_with(BEGINNINGS) {
        return format!("'{text}").into();
    }
    text.into()
}

/// The text that stands so in a file.
pub(crate) fn unescaped(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(BEGINNINGS) => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_was() {
        for text in ["", "a", "=1+1", "'", "''", "'a", "'=a", "-", "\tx", " =a", "@"] {
            let escaped = escaped(text);
            assert!(!escaped.starts_with(['=', '+', '-', '@', '\t', '\r']), "{escaped}");
            assert_eq!(unescaped(&escaped), text);
        }
        // What somebody wrote by hand stays.
        assert_eq!(unescaped("'quoted'"), "'quoted'");
    }
}
