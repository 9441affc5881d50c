//! A scanner that validates a JSON text and reports the positions of its outermost members.
//!
//! It does not allocate, build a tree or recurse. It accepts the same texts as `serde_json` when
//! that ignores values, up to [`SCAN_DEPTH`]. Strings, which are most of a large body, are skipped
//! 32 bytes at a time.

use std::ops::Range;

use crate::Malformed;

/// Deepest nesting of bodies that are parsed; the outermost object counts as one.
pub const MAX_DEPTH: u32 = 64;
/// Deepest nesting of bodies that are only scanned; the provider decides about their meaning.
pub const SCAN_DEPTH: u32 = 10_000;

/// One member of the outermost object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The range of the name without its quotes, as it was written.
    pub name: Range<usize>,
    /// The range of the value, including quotes or brackets.
    pub value: Range<usize>,
}

impl Member {
    /// Whether the member of `body` has this name, in any JSON spelling.
    pub fn is(&self, body: &[u8], name: &str) -> bool {
        let written = &body[self.name.clone()];
        if written == name.as_bytes() {
            return true;
        }
        if memchr::memchr(b'\\', written).is_none() {
            return false;
        }
        let quoted = &body[self.name.start - 1..self.name.end + 1];
        serde_json::from_slice::<String>(quoted).is_ok_and(|decoded| decoded == name)
    }
}

/// Validates that `text` is exactly one JSON value.
///
/// # Errors
///
/// Returns [`Malformed`] with the position of the error.
pub fn validate(text: &[u8]) -> Result<(), Malformed> {
    check_utf8(text)?;
    let mut scanner = Scanner { text, at: 0 };
    scanner.value(SCAN_DEPTH)?;
    scanner.end()
}

/// Validates that `text` is exactly one JSON object and calls `each` with its members.
///
/// # Errors
///
/// Returns [`Malformed`] with the position of the error.
pub fn members(text: &[u8], each: impl FnMut(Member)) -> Result<(), Malformed> {
    check_utf8(text)?;
    members_unchecked(text, each)
}

/// Does the same without validating UTF-8, for answers: their encoding is validated by the client.
pub(crate) fn members_unchecked(text: &[u8], each: impl FnMut(Member)) -> Result<(), Malformed> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.skip_space();
    if scanner.at == text.len() {
        return Err(Malformed::Empty);
    }
    if text[scanner.at] != b'{' {
        validate(text)?;
        return Err(Malformed::NotAnObject);
    }
    scanner.object(each)?;
    scanner.end()
}

pub(crate) fn check_utf8(text: &[u8]) -> Result<(), Malformed> {
    if simdutf8::basic::from_utf8(text).is_ok() {
        return Ok(());
    }
    let wrong = std::str::from_utf8(text).err().map_or(0, |error| error.valid_up_to());
    Err(Malformed::NotUtf8(wrong))
}

/// Reads JSON from left to right.
pub(crate) struct Scanner<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) at: usize,
}

impl Scanner<'_> {
    /// Reads the outermost object and calls `each` with its members.
    fn object(&mut self, mut each: impl FnMut(Member)) -> Result<(), Malformed> {
        self.at += 1;
        self.skip_space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.name()?;
            self.skip_space();
            let start = self.at;
            self.value(SCAN_DEPTH - 1)?;
            each(Member { name, value: start..self.at });
            self.skip_space();
            match self.next()? {
                b',' => self.skip_space(),
                b'}' => return Ok(()),
                _ => return Err(Malformed::Syntax(self.at - 1)),
            }
        }
    }

    /// Reads one value of any kind. Open brackets are one bit per level, set for an object. The
    /// innermost 64 levels fit into one word; few bodies have more.
    pub(crate) fn value(&mut self, max_depth: u32) -> Result<(), Malformed> {
        let mut open: u64 = 0;
        let mut outer: Vec<u64> = Vec::new();
        let mut depth = 0;
        loop {
            self.skip_space();
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                bracket @ (b'{' | b'[') => {
                    if depth == max_depth {
                        return Err(Malformed::TooDeep(self.at));
                    }
                    self.at += 1;
                    self.skip_space();
                    let is_object = bracket == b'{';
                    // In ASCII each closing bracket is two after its opening one.
                    if self.peek()? == bracket + 2 {
                        self.at += 1;
                    } else {
                        if depth > 0 && depth % u64::BITS == 0 {
                            outer.push(open);
                        }
                        depth += 1;
                        open = open << 1 | u64::from(is_object);
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let in_object = open & 1 == 1;
                self.skip_space();
                match (self.next()?, in_object) {
                    (b',', false) => break,
                    (b',', true) => {
                        self.skip_space();
                        self.name()?;
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        open >>= 1;
                        depth -= 1;
                        if depth % u64::BITS == 0 {
                            open = outer.pop().unwrap_or(0);
                        }
                    }
                    _ => return Err(Malformed::Syntax(self.at - 1)),
                }
            }
        }
    }

    /// Reads a member name and its colon.
    pub(crate) fn name(&mut self) -> Result<Range<usize>, Malformed> {
        if self.peek()? != b'"' {
            return Err(Malformed::Syntax(self.at));
        }
        let name = self.string()?;
        self.skip_space();
        if self.next()? != b':' {
            return Err(Malformed::Syntax(self.at - 1));
        }
        Ok(name)
    }

    /// Reads a string; returns the range between its quotes.
    pub(crate) fn string(&mut self) -> Result<Range<usize>, Malformed> {
        self.at += 1;
        let start = self.at;
        loop {
            self.at += plain_run(&self.text[self.at..]);
            match self.next()? {
                b'"' => return Ok(start..self.at - 1),
                b'\\' => self.escape()?,
                _ => return Err(Malformed::Syntax(self.at - 1)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                for _ in 0..4 {
                    if !self.next()?.is_ascii_hexdigit() {
                        return Err(Malformed::Syntax(self.at - 1));
                    }
                }
                Ok(())
            }
            _ => Err(Malformed::Syntax(self.at - 1)),
        }
    }

    pub(crate) fn number(&mut self) -> Result<(), Malformed> {
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        if !self.peek()?.is_ascii_digit() {
            return Err(Malformed::Syntax(self.at));
        }
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        Ok(())
    }

    pub(crate) fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        let rest = &self.text[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            Ok(())
        } else if word.starts_with(rest) {
            Err(Malformed::CutShort)
        } else {
            Err(Malformed::Syntax(self.at))
        }
    }

    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    pub(crate) fn peek(&self) -> Result<u8, Malformed> {
        self.text.get(self.at).copied().ok_or(Malformed::CutShort)
    }

    pub(crate) fn next(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(Malformed::Syntax(self.at)) }
    }
}

/// Returns how many bytes at the start of `text` are plain inside a string: no quote, backslash or
/// control character. Short strings end within the first words; long ones are read in blocks that
/// the compiler turns into vector instructions.
fn plain_run(text: &[u8]) -> usize {
    let mut at = 0;
    let mut clean_words = 0;
    loop {
        if clean_words >= 2 {
            while let Some(block) = text.get(at..at + 32) {
                let block: &[u8; 32] = block.try_into().expect("it was cut to 32");
                if block.iter().fold(false, |found, &byte| found | is_special(byte)) {
                    break;
                }
                at += 32;
            }
        }
        let Some(word) = text.get(at..at + 8) else { break };
        let special = special_bytes(word.try_into().expect("it was cut to 8"));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
        clean_words += 1;
    }
    at + text[at..].iter().take_while(|&&byte| !is_special(byte)).count()
}

fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Returns a word with the high bit of every special byte set, in memory order. Bits above the
/// lowest set one may be wrong, so only the lowest may be used.
fn special_bytes(word: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(word);
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zero_in(word ^ (ONES * u64::from(b'"')));
    let backslash = zero_in(word ^ (ONES * u64::from(b'\\')));
    (control | quote | backslash) & HIGHS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Result<Vec<(String, String)>, Malformed> {
        let mut all = Vec::new();
        members(text.as_bytes(), |m| all.push((text[m.name].into(), text[m.value].into())))?;
        Ok(all)
    }

    #[test]
    fn members_are_told_where_they_stand() {
        let all = found("\t{ \"a\" : [1,{\"b\":2}] ,\"c\":\"\\\"x\",\n\"d\":-0.5e+3 }  ").unwrap();
        let want = [("a", "[1,{\"b\":2}]"), ("c", "\"\\\"x\""), ("d", "-0.5e+3")];
        assert_eq!(all, want.map(|(k, v)| (k.into(), v.into())));
        assert_eq!(found("{}").unwrap(), []);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let cases: &[(&str, Malformed)] = &[
            ("", Malformed::Empty),
            ("  ", Malformed::Empty),
            ("[1]", Malformed::NotAnObject),
            ("[1", Malformed::CutShort),
            ("{\"a\":1", Malformed::CutShort),
            ("{\"a\":tru", Malformed::CutShort),
            ("{\"a\":1,}", Malformed::Syntax(7)),
            ("{\"a\":01}", Malformed::Syntax(6)),
            ("{\"a\":1}x", Malformed::Syntax(7)),
            ("{\"a\":\"\n\"}", Malformed::Syntax(6)),
            ("{\"a\":\"\\x\"}", Malformed::Syntax(7)),
            ("{a:1}", Malformed::Syntax(1)),
            ("\u{feff}{}", Malformed::Syntax(0)),
        ];
        for (text, want) in cases {
            assert_eq!(members(text.as_bytes(), |_| ()), Err(*want), "{text:?}");
        }
        assert_eq!(members(b"{\"a\":\"\xff\"}", |_| ()), Err(Malformed::NotUtf8(6)));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
        for depth in [63, 64, 65, 66, 127, 128, 129, 130, 1000, 10_000] {
            assert_eq!(members(nested(depth).as_bytes(), |_| ()), Ok(()), "{depth}");
        }
        assert!(matches!(members(nested(10_001).as_bytes(), |_| ()), Err(Malformed::TooDeep(_))));
        let arrays = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(validate(arrays(10_000).as_bytes()), Ok(()));
        assert!(matches!(validate(arrays(10_001).as_bytes()), Err(Malformed::TooDeep(_))));
        let mixed = |n: usize| format!("{}1{}", "[{\"a\":".repeat(n), "}]".repeat(n));
        assert_eq!(validate(mixed(200).as_bytes()), Ok(()));
        let crossed = mixed(200).replace("1}]", "1]}");
        assert!(matches!(validate(crossed.as_bytes()), Err(Malformed::Syntax(_))));
        assert!(validate("[".repeat(1 << 20).as_bytes()).is_err());
    }

    #[test]
    fn a_name_is_known_however_it_is_spelled() {
        let body = br#"{"m\u006fdel":1,"Model":2,"\ud800":3}"#;
        let mut hits = Vec::new();
        members(body, |m| hits.push(m.is(body, "model"))).unwrap();
        assert_eq!(hits, [true, false, false]);
    }

    #[test]
    fn specials_are_found_at_every_place() {
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for length in 0..100 {
                let mut text = vec![b'a'; length];
                text.extend([special, b'"', 0x80, b'x', b'x', b'x', b'x', b'x', b'x', b'x']);
                assert_eq!(plain_run(&text), length, "{special} behind {length}");
                let mut text = vec![0xe4; length];
                text.push(special);
                assert_eq!(plain_run(&text), length);
            }
        }
        for byte in 0x20..=0xff_u8 {
            assert_eq!(is_special(byte), byte == b'"' || byte == b'\\');
            let length = plain_run(&[byte; 70]);
            assert_eq!(length, if is_special(byte) { 0 } else { 70 });
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,60}".prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::hash_map("[a-c\\\\\"\u{e4}]{0,3}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn accepted_by_serde(text: &[u8]) -> bool {
        std::str::from_utf8(text)
            .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
    }

    proptest! {
        #[test]
        fn it_accepts_what_serde_json_accepts(value in json(), pretty: bool) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert_eq!(validate(text.as_bytes()), Ok(()));
        }

        #[test]
        fn it_refuses_what_serde_json_refuses(
            value in json(), at: prop::sample::Index, byte: u8, how in 0..3_u8
        ) {
            let mut text = value.to_string().into_bytes();
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => text.truncate(at),
            }
            prop_assert_eq!(validate(&text).is_ok(), accepted_by_serde(&text));
        }

        #[test]
        fn noise_is_judged_as_serde_json_judges_it(
            text in r#"[ \t\[\]{},:"\\/a-f0-9eE.+\-untrlsx]{0,24}"#
        ) {
            prop_assert_eq!(validate(text.as_bytes()).is_ok(), accepted_by_serde(text.as_bytes()));
        }

        #[test]
        fn ranges_are_right(map in prop::collection::hash_map("[a-z\"\\\\]{0,4}", json(), 0..8)) {
            let text = serde_json::to_string(&map).unwrap();
            let mut seen = 0;
            members(text.as_bytes(), |member| {
                let name: String =
                    serde_json::from_str(&text[member.name.start - 1..member.name.end + 1]).unwrap();
                assert!(member.is(text.as_bytes(), &name));
                assert_eq!(text[member.value].to_owned(), map[&name].to_string());
                seen += 1;
            }).unwrap();
            prop_assert_eq!(seen, map.len());
        }
    }
}
