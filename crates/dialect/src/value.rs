//! A JSON tree that borrows from its text.
//!
//! Every value keeps the text from which it was read, so that schemas, arguments and numbers keep
//! their digits, order and spelling. A string without escapes is not copied. Depth is bounded by
//! [`MAX_DEPTH`].

use std::borrow::Cow;

use crate::{
    Malformed,
    json::{MAX_DEPTH, Scanner, check_utf8},
};

/// A JSON value and its text.
#[derive(Debug, Clone)]
pub struct Value<'a> {
    raw: &'a str,
    kind: Kind<'a>,
}

/// The kind of a [`Value`].
#[derive(Debug, Clone)]
pub enum Kind<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number: its text is [`Value::raw`].
    Number,
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// A list.
    Array(Vec<Value<'a>>),
    /// An object; its members in their order.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

static NULL: Value<'static> = Value { raw: "null", kind: Kind::Null };

impl<'a> Value<'a> {
    /// Parses a whole JSON text.
    ///
    /// # Errors
    ///
    /// Returns [`Malformed`] with the position of the error.
    pub fn read(text: &'a [u8]) -> Result<Value<'a>, Malformed> {
        check_utf8(text)?;
        if text.trim_ascii().is_empty() {
            return Err(Malformed::Empty);
        }
        let mut parser = Parser { scanner: Scanner { text, at: 0 } };
        let value = parser.value(MAX_DEPTH)?;
        parser.scanner.end()?;
        Ok(value)
    }

    /// Parses a whole JSON text that is known to be UTF-8.
    ///
    /// # Errors
    ///
    /// Returns [`Malformed`] with the position of the error.
    pub fn of(text: &'a str) -> Result<Value<'a>, Malformed> {
        Value::read(text.as_bytes())
    }

    /// Returns the text of the value, including quotes or brackets.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// Returns the kind of the value.
    pub fn kind(&self) -> &Kind<'a> {
        &self.kind
    }

    /// Returns the member `name` of an object, or `null` if there is none: the dialects do not
    /// distinguish the two. Of several members with this name the last one counts.
    pub fn get(&self, name: &str) -> &Value<'a> {
        self.find(name).unwrap_or(&NULL)
    }

    /// Returns the member `name` of an object; `None` if it is missing or null.
    pub fn find(&self, name: &str) -> Option<&Value<'a>> {
        let found = self.members().iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// Returns the first of several members that is not null (`inlineData`, `inline_data`).
    pub fn any(&self, names: &[&str]) -> Option<&Value<'a>> {
        names.iter().find_map(|name| self.find(name))
    }

    /// Whether it is `null` or missing.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self.kind, Kind::Object(_))
    }

    /// Whether it is a list.
    pub fn is_array(&self) -> bool {
        matches!(self.kind, Kind::Array(_))
    }

    /// Returns the members of an object, in order; empty for other kinds.
    pub fn members(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        match &self.kind {
            Kind::Object(members) => members,
            _ => &[],
        }
    }

    /// Returns the items of a list; empty for other kinds.
    pub fn items(&self) -> &[Value<'a>] {
        match &self.kind {
            Kind::Array(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a string, borrowed from the body where it has no escapes.
    pub fn cow(&self) -> Option<Cow<'a, str>> {
        match &self.kind {
            Kind::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// The value of a boolean.
    pub fn bool(&self) -> Option<bool> {
        match self.kind {
            Kind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the number as it was written.
    pub fn number(&self) -> Option<&'a str> {
        matches!(self.kind, Kind::Number).then_some(self.raw)
    }

    /// Returns a non-negative whole number, also if written as `12.0`.
    pub fn u64(&self) -> Option<u64> {
        let text = self.number()?;
        text.parse().ok().or_else(|| {
            let float: f64 = text.parse().ok()?;
            // The value is in range: the conversion is exact.
            (float.fract() == 0.0 && (0.0..9e15).contains(&float)).then_some(float as u64)
        })
    }

    /// A number as a float.
    pub fn f64(&self) -> Option<f64> {
        self.number()?.parse().ok()
    }
}

struct Parser<'a> {
    scanner: Scanner<'a>,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: u32) -> Result<Value<'a>, Malformed> {
        self.scanner.skip_space();
        let start = self.scanner.at;
        let kind = match self.scanner.peek()? {
            b'"' => Kind::String(self.string()?),
            b'{' | b'[' if depth == 0 => return Err(Malformed::TooDeep(start)),
            b'{' => Kind::Object(self.object(depth - 1)?),
            b'[' => Kind::Array(self.array(depth - 1)?),
            b't' => self.scanner.word(b"true").map(|()| Kind::Bool(true))?,
            b'f' => self.scanner.word(b"false").map(|()| Kind::Bool(false))?,
            b'n' => self.scanner.word(b"null").map(|()| Kind::Null)?,
            _ => self.scanner.number().map(|()| Kind::Number)?,
        };
        Ok(Value { raw: self.slice(start), kind })
    }

    fn object(&mut self, depth: u32) -> Result<Vec<(Cow<'a, str>, Value<'a>)>, Malformed> {
        let mut members = Vec::new();
        self.scanner.at += 1;
        self.scanner.skip_space();
        if self.scanner.peek()? == b'}' {
            self.scanner.at += 1;
            return Ok(members);
        }
        loop {
            self.scanner.skip_space();
            let at = self.scanner.at;
            if self.scanner.peek()? != b'"' {
                return Err(Malformed::Syntax(at));
            }
            let name = self.string()?;
            self.scanner.skip_space();
            if self.scanner.next()? != b':' {
                return Err(Malformed::Syntax(self.scanner.at - 1));
            }
            members.push((name, self.value(depth)?));
            self.scanner.skip_space();
            match self.scanner.next()? {
                b',' => {}
                b'}' => return Ok(members),
                _ => return Err(Malformed::Syntax(self.scanner.at - 1)),
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<Vec<Value<'a>>, Malformed> {
        let mut items = Vec::new();
        self.scanner.at += 1;
        self.scanner.skip_space();
        if self.scanner.peek()? == b']' {
            self.scanner.at += 1;
            return Ok(items);
        }
        loop {
            items.push(self.value(depth)?);
            self.scanner.skip_space();
            match self.scanner.next()? {
                b',' => {}
                b']' => return Ok(items),
                _ => return Err(Malformed::Syntax(self.scanner.at - 1)),
            }
        }
    }

    /// Reads a string and its escapes. An unpaired surrogate becomes U+FFFD.
    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let range = self.scanner.string()?;
        let written = &self.scanner.text[range.clone()];
        let written = std::str::from_utf8(written).map_err(|_| Malformed::NotUtf8(range.start))?;
        if memchr::memchr(b'\\', written.as_bytes()).is_none() {
            return Ok(Cow::Borrowed(written));
        }
        let quoted = &self.scanner.text[range.start - 1..range.end + 1];
        let whole = serde_json::from_slice::<String>(quoted);
        Ok(Cow::Owned(whole.unwrap_or_else(|_| unescape(written))))
    }

    fn slice(&self, start: usize) -> &'a str {
        // The whole text is valid UTF-8, and values begin and end at ASCII characters.
        std::str::from_utf8(&self.scanner.text[start..self.scanner.at]).unwrap_or_default()
    }
}

/// Unescapes strings that the scanner accepts and `serde_json` rejects: those with unpaired
/// surrogates.
fn unescape(written: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(written.len());
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let unit = match chars.next() {
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                u16::from_str_radix(&digits, 16).unwrap_or(0xfffd)
            }
            Some('n') => 10,
            Some('r') => 13,
            Some('t') => 9,
            Some('b') => 8,
            Some('f') => 12,
            // The scanner accepts only ASCII here.
            Some(other) => u16::try_from(u32::from(other)).unwrap_or(0xfffd),
            None => break,
        };
        units.push(unit);
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_text() {
        let text =
            r#" {"a": [1.50, 12345678901234567890], "b":{"x":"\u00e9\"","y":null}, "a2":"é"} "#;
        let value = Value::of(text).unwrap();
        assert_eq!(value.raw(), text.trim());
        assert_eq!(value.get("a").raw(), "[1.50, 12345678901234567890]");
        assert_eq!(value.get("a").items()[1].u64(), Some(12_345_678_901_234_567_890));
        assert_eq!(value.get("a").items()[0].number(), Some("1.50"));
        assert_eq!(value.get("b").get("x").text(), Some("é\""));
        assert!(value.get("b").get("y").is_null() && value.find("nothing").is_none());
        assert!(matches!(value.get("a2").cow(), Some(Cow::Borrowed("é"))));
        assert_eq!(value.any(&["nope", "a2"]).and_then(Value::text), Some("é"));
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        assert_eq!(Value::of(r#"{"a":1,"a":2}"#).unwrap().get("a").u64(), Some(2));
    }

    #[test]
    fn half_a_surrogate_pair_does_not_end_the_call() {
        let value = Value::of(r#"["\ud83d x\n\/", "\ud83d\ude00"]"#).unwrap();
        assert_eq!(value.items()[0].text(), Some("\u{fffd} x\n/"));
        assert_eq!(value.items()[1].text(), Some("😀"));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "[1,]", "{\"a\" 1}", "nul", "01", "\"a", "{\"a\":1}x", "{a:1}"] {
            assert!(Value::of(text).is_err(), "{text}");
        }
        let deep = "[".repeat(65) + &"]".repeat(65);
        assert!(matches!(Value::of(&deep), Err(Malformed::TooDeep(_))));
        assert!(Value::of(&("[".repeat(64) + &"]".repeat(64))).is_ok());
    }
}
