//! Surrogate pairs that are split between two deltas.
//!
//! JSON escapes a character outside the basic plane as two `\u` escapes, a surrogate pair. Servers
//! split their deltas between the two, and models stop between them. A surrogate whose partner is
//! in the next delta becomes the character; one without a partner becomes U+FFFD, because UTF-8 and
//! most JSON parsers reject it.

use std::borrow::Cow;

use crate::Value;

/// The replacement of an unpaired surrogate.
const LONE: &str = "\u{fffd}";

/// The replacement as an escape.
const LONE_ESCAPE: &str = "\\ufffd";

/// The length of an escape such as `\ud83d`, in bytes.
const ESCAPE: usize = 6;

/// Joins surrogate pairs across the deltas of one text.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    /// The first surrogate with which the last delta ended.
    high: Option<u16>,
}

impl Joiner {
    /// Returns the text of the next delta, without a first surrogate that waits for its partner.
    /// Empty if the value is not a string.
    pub(crate) fn join<'a>(&mut self, delta: &Value<'a>) -> Cow<'a, str> {
        let Some(text) = delta.cow().filter(|text| !text.is_empty()) else { return "".into() };
        let raw = delta.raw();
        let written = &raw[1..raw.len() - 1];
        let ends = last_unit(written).filter(is_high);
        if self.high.is_none() && ends.is_none() {
            return text;
        }
        let mut text = text.into_owned();
        if let Some(high) = self.high.take() {
            match first_unit(written).filter(is_low) {
                Some(low) => {
                    let whole: String = char::decode_utf16([high, low]).flatten().collect();
                    text.replace_range(..LONE.len(), &whole);
                }
                None => text.insert_str(0, LONE),
            }
        }
        if ends.is_some() {
            text.pop();
            self.high = ends;
        }
        text.into()
    }

    /// Ends the text; returns the replacement of a surrogate that still waits.
    pub(crate) fn rest(&mut self) -> &'static str {
        if self.high.take().is_some() { LONE } else { "" }
    }
}

/// Returns the escaped UTF-16 unit at the end of a JSON string, if there is one.
fn last_unit(written: &str) -> Option<u16> {
    let at = written.len().checked_sub(ESCAPE)?;
    let unit = first_unit(written.get(at..)?)?;
    // An odd number of backslashes before it escapes this one.
    let before = written[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
    before.is_multiple_of(2).then_some(unit)
}

/// Returns the escaped UTF-16 unit at the start of a JSON string, if there is one.
fn first_unit(written: &str) -> Option<u16> {
    let digits = written.strip_prefix("\\u")?.get(..4)?;
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

fn is_high(unit: &u16) -> bool {
    (0xd800..0xdc00).contains(unit)
}

fn is_low(unit: &u16) -> bool {
    (0xdc00..0xe000).contains(unit)
}

/// Replaces unpaired surrogates in JSON that is copied as it was written.
pub(crate) fn mended(json: Cow<'_, str>) -> Cow<'_, str> {
    if memchr::memmem::find(json.as_bytes(), b"\\u").is_none() {
        return json;
    }
    let mut mender = Mender::default();
    let mut whole = mender.push(&json).into_owned();
    whole.push_str(&mender.rest());
    if whole == json { json } else { whole.into() }
}

/// Replaces unpaired surrogates in JSON that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Mender {
    /// The beginning of an escape, or a first surrogate whose partner may follow.
    held: String,
}

impl Mender {
    /// Returns the next piece, with the text held back before it.
    pub(crate) fn push<'t>(&mut self, piece: &'t str) -> Cow<'t, str> {
        if self.held.is_empty() && memchr::memchr(b'\\', piece.as_bytes()).is_none() {
            return piece.into();
        }
        let text = std::mem::take(&mut self.held) + piece;
        let mut out = String::with_capacity(text.len());
        let mut rest = &*text;
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            match escape(rest) {
                Escape::Whole(length) => {
                    out.push_str(&rest[..length]);
                    rest = &rest[length..];
                }
                Escape::Lone => {
                    out.push_str(LONE_ESCAPE);
                    rest = &rest[ESCAPE..];
                }
                Escape::Open => {
                    rest.clone_into(&mut self.held);
                    return out.into();
                }
            }
        }
        out.push_str(rest);
        out.into()
    }

    /// Ends the text; returns the rest.
    pub(crate) fn rest(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        match first_unit(&held).filter(is_high) {
            Some(_) => held.replacen(&held[..ESCAPE], LONE_ESCAPE, 1),
            None => held,
        }
    }
}

enum Escape {
    /// A valid escape of this length.
    Whole(usize),
    /// An unpaired surrogate.
    Lone,
    /// Undecided until more bytes come.
    Open,
}

/// Classifies the escape at the start of `text`.
fn escape(text: &str) -> Escape {
    match text.as_bytes().get(1) {
        None => return Escape::Open,
        Some(b'u') => {}
        Some(_) => return Escape::Whole(1 + text[1..].chars().next().map_or(0, char::len_utf8)),
    }
    let digits = text.as_bytes()[2..].iter().take(4).take_while(|byte| byte.is_ascii_hexdigit());
    let Some(unit) = first_unit(text) else {
        // The reader will reject it as invalid JSON.
        let open = 2 + digits.count() == text.len();
        return if open { Escape::Open } else { Escape::Whole(2) };
    };
    if is_low(&unit) {
        return Escape::Lone;
    }
    if !is_high(&unit) {
        return Escape::Whole(ESCAPE);
    }
    let next = &text[ESCAPE..];
    match first_unit(next) {
        Some(low) if is_low(&low) => Escape::Whole(2 * ESCAPE),
        Some(_) => Escape::Lone,
        None if may_be_low(next) => Escape::Open,
        None => Escape::Lone,
    }
}

/// Whether `text` may be the beginning of the escape of a second surrogate.
fn may_be_low(text: &str) -> bool {
    text.len() < ESCAPE
        && text.bytes().enumerate().all(|(at, byte)| match at {
            0 => byte == b'\\',
            1 => byte == b'u',
            2 => byte.eq_ignore_ascii_case(&b'd'),
            3 => matches!(byte.to_ascii_lowercase(), b'c'..=b'f'),
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_joined(deltas: &[&str], expected: &[&str]) {
        let mut joiner = Joiner::default();
        let mut told: Vec<String> = deltas
            .iter()
            .map(|delta| joiner.join(&Value::of(delta).unwrap()).into_owned())
            .collect();
        told.push(joiner.rest().to_owned());
        assert_eq!(told, expected, "{deltas:?}");
    }

    #[test]
    fn halves_of_two_deltas_become_one_character() {
        check_joined(&[r#""a \ud83d""#, r#""\ude00 b""#], &["a ", "😀 b", ""]);
        check_joined(&[r#""\uD83D""#, r#""""#, r#""\uDE00""#], &["", "", "😀", ""]);
        check_joined(
            &[r#""\ud83d\ude00\ud83d""#, r#""\ude00\ud83d""#, r#""\ude00""#],
            &["😀", "😀", "😀", ""],
        );
    }

    #[test]
    fn a_half_that_stays_alone_is_replaced() {
        check_joined(&[r#""a\ud83d""#, r#""b""#], &["a", "\u{fffd}b", ""]);
        check_joined(&[r#""\ud83d""#, r#""\ud83d""#], &["", "\u{fffd}", "\u{fffd}"]);
        check_joined(&[r#""\ude00""#, "null"], &["\u{fffd}", "", ""]);
        // Here the backslash is a character, and so are the letters after it.
        check_joined(&[r#""\\ud83d""#, r#""\ude00""#], &["\\ud83d", "\u{fffd}", ""]);
    }

    #[track_caller]
    fn check_mended(json: &str, expected: &str) {
        assert_eq!(mended(json.into()), expected, "{json}");
    }

    #[test]
    fn no_half_is_left_alone_in_json() {
        for json in [r#"{"a":"\ud83d\ude00\\ud83d\u00e9"}"#, "{}", r#""\n\"""#, r#""\u12"#, "\\"] {
            check_mended(json, json);
        }
        check_mended(r#"{"q":"cut \ud83d"}"#, r#"{"q":"cut \ufffd"}"#);
        check_mended(r#""\ude00\ud83d\n""#, r#""\ufffd\ufffd\n""#);
        check_mended(r#""\ud83d\ud83d\ude00\ud83d\u00e9""#, r#""\ufffd\ud83d\ude00\ufffd\u00e9""#);
        check_mended(r#""\ud83d"#, r#""\ufffd"#);
        check_mended(r#""\ud83d\ude"#, r#""\ufffd\ude"#);
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            text in r#"([ab"é]|\\(n|\\|ud83d|ude00|uD83|u00e9|u)){0,12}"#,
            cuts in prop::collection::vec(0..80_usize, 0..6),
        ) {
            let mut mender = Mender::default();
            let mut told = String::new();
            let mut cuts: Vec<usize> =
                cuts.into_iter().filter(|cut| text.is_char_boundary(*cut)).collect();
            cuts.sort_unstable();
            let mut from = 0;
            for to in cuts.into_iter().chain([text.len()]) {
                told.push_str(&mender.push(&text[from..to]));
                from = to;
            }
            told.push_str(&mender.rest());
            prop_assert_eq!(told, mended(text.into()));
        }
    }
}
