//! Base64 of Google's clients: in either alphabet, with or without padding.

use std::borrow::Cow;

/// Converts base64 to the standard alphabet with padding; `None` if it is invalid.
pub(super) fn standard(data: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let padded = data.trim_end_matches(|c: char| c == '=' || c.is_ascii_whitespace());
    let (body, padding) = (padded, data.len() - padded.len());
    if padding <= 2
        && !data.ends_with(|c: char| c.is_ascii_whitespace())
        && data.len().is_multiple_of(4)
        && body.bytes().all(is_standard)
    {
        return Some(data);
    }
    let mut whole = String::with_capacity(body.len() + 4);
    for byte in body.bytes() {
        match byte {
            b'-' => whole.push('+'),
            b'_' => whole.push('/'),
            b'\n' | b'\r' | b' ' | b'\t' => {}
            _ if is_standard(byte) => whole.push(byte.into()),
            _ => return None,
        }
    }
    match whole.len() % 4 {
        0 => {}
        2 => whole.push_str("=="),
        3 => whole.push('='),
        _ => return None,
    }
    Some(Cow::Owned(whole))
}

fn is_standard(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_becomes_the_standard_one() {
        let cases = [
            ("/9j/4AAQ", Some("/9j/4AAQ")),
            ("_9j_4AAQ", Some("/9j/4AAQ")),
            ("--__", Some("++//")),
            ("UklGRg==", Some("UklGRg==")),
            ("UklGRg", Some("UklGRg==")),
            ("Ukl\nGRg=\n", Some("UklGRg==")),
            ("", Some("")),
            ("UklGR", None),
            ("Ukl!", None),
            ("é", None),
        ];
        for (given, expected) in cases {
            assert_eq!(standard(given.into()).as_deref(), expected, "{given}");
        }
        assert!(matches!(standard("/9j/4AAQ".into()), Some(Cow::Borrowed(_))));
    }
}
