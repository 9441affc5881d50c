//! Writes JSON without a tree: members and items in the order of the calls.
//!
//! ```
//! let mut out = Vec::new();
//! dialect::write::object(&mut out, |o| {
//!     o.text("model", "m");
//!     o.array("messages", |a| a.object(|o| o.text("role", "user")));
//! });
//! assert_eq!(out, br#"{"model":"m","messages":[{"role":"user"}]}"#);
//! ```

use std::{borrow::Cow, io::Write};

/// An object being written.
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    begun: bool,
}

/// A list being written.
#[derive(Debug)]
pub struct Array<'o> {
    out: &'o mut Vec<u8>,
    begun: bool,
}

/// Writes an object to `out`.
pub fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fill(&mut Object { out, begun: false });
    out.push(b'}');
}

/// Writes a list to `out`.
pub fn array(out: &mut Vec<u8>, fill: impl FnOnce(&mut Array<'_>)) {
    out.push(b'[');
    fill(&mut Array { out, begun: false });
    out.push(b']');
}

/// Writes a string with its quotes and escapes to `out`.
pub fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string can always be written into memory");
}

/// Returns the object that `fill` writes, as text.
pub fn object_text(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = Vec::new();
    object(&mut out, fill);
    String::from_utf8(out).expect("only text was written")
}

/// Returns `json` without white space between its tokens, which makes it one line.
pub fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            quoted = c == '"';
        }
        out.push(c);
    }
    out
}

/// Returns `json` with escaped characters written out, for models that read it as text: some
/// clients escape everything outside ASCII. Required escapes stay.
pub fn legible(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u") {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (c, length) = numbered(rest);
        match c.filter(|c| !c.is_control() && !matches!(c, '"' | '\\')) {
            Some(c) => out.push(c),
            None => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Returns the character of the numeric escape at the start of `text`, and the length of the
/// escape.
fn numbered(text: &str) -> (Option<char>, usize) {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(text) else {
        let length = text.chars().take(2).map(char::len_utf8).sum();
        return (None, length);
    };
    let second = unit(&text[6..]).unwrap_or(0);
    match char::decode_utf16([first, second]).next() {
        Some(Ok(c)) => (Some(c), 6 * c.len_utf16()),
        _ => (None, 6),
    }
}

impl Object<'_> {
    /// A string.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        string(self.out, value);
    }

    /// Writes a string member if there is a value.
    pub fn text_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Writes a string member joined from `parts`.
    pub fn joined(&mut self, name: &str, parts: &[&str]) {
        self.name(name);
        self.out.push(b'"');
        for part in parts {
            let at = self.out.len();
            string(self.out, part);
            // Its quotes are removed: the closing one is the last byte, the opening one is
            // overwritten.
            self.out.pop();
            self.out.copy_within(at + 1.., at);
            self.out.pop();
        }
        self.out.push(b'"');
    }

    /// JSON that is already written.
    pub fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Writes a member with existing JSON, if there is any.
    pub fn raw_if(&mut self, name: &str, json: Option<&str>) {
        if let Some(json) = json {
            self.raw(name, json);
        }
    }

    /// A whole number.
    pub fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        digits(self.out, value);
    }

    /// A boolean.
    pub fn bool(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// `null`
    pub fn null(&mut self, name: &str) {
        self.raw(name, "null");
    }

    /// An object.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        object(self.out, fill);
    }

    /// A list.
    pub fn array(&mut self, name: &str, fill: impl FnOnce(&mut Array<'_>)) {
        self.name(name);
        array(self.out, fill);
    }

    /// A list of strings.
    pub fn texts<'t>(&mut self, name: &str, values: impl IntoIterator<Item = &'t str>) {
        self.array(name, |a| values.into_iter().for_each(|value| a.text(value)));
    }

    fn name(&mut self, name: &str) {
        if self.begun {
            self.out.push(b',');
        }
        self.begun = true;
        string(self.out, name);
        self.out.push(b':');
    }
}

impl Array<'_> {
    /// A string.
    pub fn text(&mut self, value: &str) {
        self.next();
        string(self.out, value);
    }

    /// JSON that is already written.
    pub fn raw(&mut self, json: &str) {
        self.next();
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A whole number.
    pub fn number(&mut self, value: u64) {
        self.next();
        digits(self.out, value);
    }

    /// An object.
    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        self.next();
        object(self.out, fill);
    }

    /// Whether it is still empty.
    pub fn is_empty(&self) -> bool {
        !self.begun
    }

    fn next(&mut self) {
        if self.begun {
            self.out.push(b',');
        }
        self.begun = true;
    }
}

fn digits(out: &mut Vec<u8>, value: u64) {
    write!(out, "{value}").expect("a number can always be written into memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_between_tokens_goes_and_space_in_strings_stays() {
        let json = "{ \"a b\" :\n [ 1.50 , \"x \\\" \\\\\" , \"\" ] }\r\n";
        assert_eq!(compact(json), r#"{"a b":[1.50,"x \" \\",""]}"#);
    }

    #[test]
    fn characters_stand_where_their_numbers_were() {
        let check = |json: &str, want: &str| {
            assert_eq!(legible(json), want, "{json}");
            let values = [json, want].map(|text| {
                serde_json::from_str::<serde_json::Value>(text).map_err(|error| error.to_string())
            });
            assert!(values[0] == values[1] || values[0].is_err(), "{json}");
        };
        check(r#"{"a":"plain \n"}"#, r#"{"a":"plain \n"}"#);
        check(r#"{"\u6771":"\ud83d\ude80 x\u00e9"}"#, r#"{"東":"🚀 xé"}"#);
        check(r#"["\u0022\u005c\u000a\u001f\u0085"]"#, r#"["\u0022\u005c\u000a\u001f\u0085"]"#);
        check(r#"["\\u6771 \\\u6771"]"#, r#"["\\u6771 \\東"]"#);
        check(r#"["\ud83d","\ude80","\ud83dx"]"#, r#"["\ud83d","\ude80","\ud83dx"]"#);
        check(r#"[1.50,"\u6771"]"#, r#"[1.50,"東"]"#);
    }

    #[test]
    fn what_is_written_is_json() {
        let text = object_text(|o| {
            o.text("a", "x\"\n");
            o.joined("j", &["data:", "é\"", ";"]);
            o.array("l", |a| {
                assert!(a.is_empty());
                a.number(1);
                a.object(|_| {});
                a.raw("1.50");
            });
            o.object("o", |o| o.null("n"));
            o.texts("t", ["u", "v"]);
            o.bool("b", false);
            o.text_if("no", None);
        });
        assert_eq!(
            text,
            r#"{"a":"x\"\n","j":"data:é\";","l":[1,{},1.50],"o":{"n":null},"t":["u","v"],"b":false}"#
        );
    }
}
