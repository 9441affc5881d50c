//! Free-form tools for dialects that only have functions.
//!
//! A tool with plain text input becomes a function with one string, and its input is sent as
//! `{"input": "…"}`. In the answer the string is extracted while it arrives; an escape or a
//! surrogate pair may be cut anywhere. Arguments without the wrapper are passed on unchanged,
//! because a model that forgot the wrapper has still called the tool.

use crate::{
    Value,
    chat::{Schema, Tool},
    write,
};

/// The JSON schema of a free-form tool that is sent as a function.
pub const SCHEMA: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

/// Wraps the input of a free-form tool as the arguments of a function.
pub fn wrap(input: &str) -> String {
    write::object_text(|o| o.text("input", input))
}

/// Extracts the input of a free-form tool from the arguments of a function.
pub fn unwrap(arguments: &str) -> String {
    let mut unwrapper = Unwrapper::default();
    let mut input = unwrapper.push(arguments);
    input.push_str(&unwrapper.finish());
    input
}

/// Returns the description of the function for a free-form tool: the description of the tool and
/// the grammar that its input must follow.
pub fn description(tool: &Tool<'_>) -> Option<String> {
    let format = tool.schema.as_ref().and_then(Schema::value);
    let grammar = format.as_ref().and_then(grammar).map(|(syntax, definition)| {
        format!("The input must follow this grammar ({syntax}):\n{definition}")
    });
    match (&tool.description, grammar) {
        (Some(own), Some(grammar)) => Some(format!("{own}\n\n{grammar}")),
        (Some(own), None) => Some(own.to_string()),
        (None, grammar) => grammar,
    }
}

/// Returns the syntax and the definition of the grammar in a `format` object; `None` if any text is
/// allowed. Chat Completions nests them in `grammar`, Responses does not.
pub fn grammar<'v>(format: &'v Value<'_>) -> Option<(&'v str, &'v str)> {
    let inner = format.find("grammar").unwrap_or(format);
    let definition = inner.get("definition").text()?;
    Some((inner.get("syntax").text().unwrap_or("lark"), definition))
}

/// Extracts the input of a free-form tool from arguments that arrive in pieces.
#[derive(Debug)]
pub struct Unwrapper {
    state: State,
    escape: Escape,
    /// The first half of a surrogate pair.
    high: Option<u16>,
}

#[derive(Debug)]
enum State {
    /// The text so far may become the wrapper.
    Before(String),
    /// Inside the string.
    Input,
    /// After the string; only punctuation follows.
    After,
    /// JSON in another form than the usual wrapper; parsed when it is complete.
    Odd(String),
    /// Not JSON: the text itself is the input.
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    /// The digits of `\u` so far, and their number.
    Unit(u16, u8),
}

impl Default for Unwrapper {
    fn default() -> Self {
        Self { state: State::Before(String::new()), escape: Escape::None, high: None }
    }
}

impl Unwrapper {
    /// Reads the next piece of the arguments; returns the next piece of the input.
    pub fn push(&mut self, piece: &str) -> String {
        match &mut self.state {
            State::Before(held) => {
                held.push_str(piece);
                let held = std::mem::take(held);
                self.begin(held)
            }
            State::Input => self.input(piece),
            State::After => String::new(),
            State::Odd(held) => {
                held.push_str(piece);
                String::new()
            }
            State::Plain => piece.to_owned(),
        }
    }

    /// Ends the arguments; returns the text that was held back.
    pub fn finish(&mut self) -> String {
        match std::mem::replace(&mut self.state, State::After) {
            State::Before(held) | State::Odd(held) => odd(held),
            State::Input => self.lone().map(String::from).unwrap_or_default(),
            State::After | State::Plain => String::new(),
        }
    }

    fn begin(&mut self, held: String) -> String {
        match lead(held.as_bytes()) {
            Lead::Open => self.state = State::Before(held),
            Lead::Odd => self.state = State::Odd(held),
            Lead::Plain => {
                self.state = State::Plain;
                return held;
            }
            Lead::Wrapped(length) => {
                self.state = State::Input;
                return self.input(&held[length..]);
            }
        }
        String::new()
    }

    fn input(&mut self, piece: &str) -> String {
        let mut out = String::with_capacity(piece.len());
        let mut rest = piece;
        while let Some(first) = rest.chars().next() {
            if self.escape != Escape::None {
                rest = &rest[first.len_utf8()..];
                self.escaped(first, &mut out);
                continue;
            }
            if first != '\\' {
                out.extend(self.lone());
            }
            let end = memchr::memchr2(b'"', b'\\', rest.as_bytes());
            let (text, next) = rest.split_at(end.unwrap_or(rest.len()));
            out.push_str(text);
            if next.starts_with('"') {
                self.state = State::After;
                break;
            }
            if let Some(behind) = next.strip_prefix('\\') {
                self.escape = Escape::Begun;
                rest = behind;
            } else {
                rest = next;
            }
        }
        out
    }

    /// Reads one character of an escape.
    fn escaped(&mut self, c: char, out: &mut String) {
        match self.escape {
            Escape::Unit(unit, count) => match c.to_digit(16).and_then(|d| u16::try_from(d).ok()) {
                Some(digit) if count == 3 => {
                    self.escape = Escape::None;
                    self.unit(unit << 4 | digit, out);
                }
                Some(digit) => self.escape = Escape::Unit(unit << 4 | digit, count + 1),
                None => {
                    self.escape = Escape::None;
                    out.extend(self.lone());
                    out.push(char::REPLACEMENT_CHARACTER);
                }
            },
            _ if c == 'u' => self.escape = Escape::Unit(0, 0),
            _ => {
                self.escape = Escape::None;
                out.extend(self.lone());
                out.push(match c {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    other => other,
                });
            }
        }
    }

    /// Handles one UTF-16 unit that was written as an escape.
    fn unit(&mut self, unit: u16, out: &mut String) {
        if let (Some(high), 0xdc00..=0xdfff) = (self.high, unit) {
            self.high = None;
            out.extend(char::decode_utf16([high, unit]).flatten());
            return;
        }
        out.extend(self.lone());
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            _ => out.push(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    /// Returns the replacement of a first surrogate without a second one.
    fn lone(&mut self) -> Option<char> {
        self.high.take().map(|_| char::REPLACEMENT_CHARACTER)
    }
}

enum Lead {
    Open,
    Wrapped(usize),
    Odd,
    Plain,
}

/// Matches the beginning of arguments, `{"input":"`, with any white space.
fn lead(text: &[u8]) -> Lead {
    let mut at = 0;
    for (nth, expected) in [&b"{"[..], b"\"input\"", b":", b"\""].into_iter().enumerate() {
        at += text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let next = &text[at..text.len().min(at + expected.len())];
        if next == expected {
            at += expected.len();
        } else if expected.starts_with(next) {
            return Lead::Open;
        } else if nth == 0 && next != b"\"" {
            return Lead::Plain;
        } else {
            return Lead::Odd;
        }
    }
    Lead::Wrapped(at)
}

/// Returns the input of arguments in an unusual form.
fn odd(held: String) -> String {
    let Ok(value) = Value::of(&held) else { return held };
    let found = value.get("input").text().or(value.text()).map(str::to_owned);
    match found {
        Some(input) => input,
        None if value.is_object() && value.members().is_empty() => String::new(),
        None => held,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chat::Name;

    fn check(arguments: &str, input: &str) {
        assert_eq!(unwrap(arguments), input, "{arguments}");
    }

    #[test]
    fn the_input_is_taken_out_however_it_was_written() {
        check(r#"{"input": "a\n\"b\"\\ \u00e9\/"}"#, "a\n\"b\"\\ é/");
        check(" {\n \"input\" :\t\"x\" } ", "x");
        check(r#"{"input":"\ud83d\ude00"}"#, "😀");
        check(r#"{"input":"😀","more":1}"#, "😀");
        check(r#"{"why":{"input":"no"},"input":"x"}"#, "x");
        check(r#"{"\u0069nput":"x"}"#, "x");
        check(r#""x\ny""#, "x\ny");
    }

    #[test]
    fn what_is_not_wrapped_is_the_input_itself() {
        check("*** Begin Patch\n{", "*** Begin Patch\n{");
        check(" ls -l", " ls -l");
        check("12", "12");
        check(r#"{"cmd":"ls"}"#, r#"{"cmd":"ls"}"#);
        check(r#"{"input":{"a":1}}"#, r#"{"input":{"a":1}}"#);
        check("{", "{");
        check("", "");
        check("{}", "");
    }

    #[test]
    fn what_was_cut_off_or_is_broken_is_kept_as_far_as_it_came() {
        check(r#"{"input":"abc"#, "abc");
        check(r#"{"input":"abc\"#, "abc");
        check(r#"{"input":"\ud83d"}"#, "\u{fffd}");
        check(r#"{"input":"\ud83dx\ud83d\n"}"#, "\u{fffd}x\u{fffd}\n");
        check(r#"{"input":"\ud83d"#, "\u{fffd}");
        check(r#"{"input":"\udc00\ux"}"#, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn the_grammar_stands_in_the_description() {
        let tool = |description: Option<&'static str>, format: &'static str| {
            let schema = Value::of(format).ok().as_ref().map(Schema::from);
            let description = description.map(Into::into);
            super::description(&Tool { name: Name::plain("t"), description, schema, strict: None })
        };
        let flat = r#"{"type":"grammar","syntax":"regex","definition":"a+"}"#;
        let nested = r#"{"type":"grammar","grammar":{"syntax":"regex","definition":"a+"}}"#;
        let told = "The input must follow this grammar (regex):\na+";
        assert_eq!(tool(Some("Edit"), flat), Some(format!("Edit\n\n{told}")));
        assert_eq!(tool(None, nested), Some(told.to_owned()));
        assert_eq!(tool(Some("Edit"), r#"{"type":"text"}"#), Some("Edit".to_owned()));
    }

    proptest! {
        #[test]
        fn what_is_wrapped_comes_back_however_it_is_cut(input in ".{0,40}", size in 1..5_usize) {
            let ascii: String = input.chars().flat_map(|c| {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>()
            }).collect();
            for wrapped in [wrap(&input), format!("{{ \"input\":\"{ascii}\"}}")] {
                let mut unwrapper = Unwrapper::default();
                let mut told = String::new();
                let chars: Vec<char> = wrapped.chars().collect();
                for piece in chars.chunks(size) {
                    told.push_str(&unwrapper.push(&piece.iter().collect::<String>()));
                }
                told.push_str(&unwrapper.finish());
                prop_assert_eq!(&told, &input);
            }
        }

        #[test]
        fn any_cut_gives_the_same_input(
            arguments in r#"([{}"\\:,u ]|input|"input":"|\\ud83d|\\ude00|a|é){0,12}"#,
            size in 1..4_usize,
        ) {
            let mut unwrapper = Unwrapper::default();
            let mut told = String::new();
            let chars: Vec<char> = arguments.chars().collect();
            for piece in chars.chunks(size) {
                told.push_str(&unwrapper.push(&piece.iter().collect::<String>()));
            }
            told.push_str(&unwrapper.finish());
            prop_assert_eq!(told, unwrap(&arguments));
        }
    }
}
