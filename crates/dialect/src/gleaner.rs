//! Picks usage and errors out of a JSON answer while it passes, in pieces of any size.
//!
//! It keeps the few bytes of what it looks for and nothing of the rest, so an answer of any size
//! costs the same memory. It follows brackets and strings and checks no more than that: whether an
//! answer is good JSON is the client's business.

use crate::{
    Malformed, ProviderError, Tokens, json::members_unchecked, tokens::Reported, told::Told,
};

/// More than any usage or error object has; what is larger is not one.
const CAPTURE_CAP: usize = 64 * 1024;

/// The longest name that is looked for, and one more to tell it from longer ones.
const NAME_CAP: usize = 16;

/// Reads `usage` and `error` off a JSON answer. An array of answers (a Gemini stream without
/// `alt=sse`) is read answer by answer; the last usage counts.
#[derive(Debug, Default)]
pub struct Gleaner {
    /// How many brackets are open.
    depth: u32,
    /// The depth at which the members of an answer stand; 2 inside of an array of answers.
    top: u32,
    /// At this depth the members of `response` or `message` stand, while one is open.
    nested: Option<u32>,
    in_string: bool,
    escaped: bool,
    /// Whether the next string at a depth that we watch is a member's name.
    name_next: bool,
    in_name: bool,
    name: [u8; NAME_CAP],
    name_length: usize,
    wanted: Option<Wanted>,
    capture: Vec<u8>,
    /// Whether the value being captured grew too large.
    overflown: bool,
    names_seen: u32,
    reported: Reported,
    told: Told,
    error: Option<ProviderError>,
    finished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Usage,
    Error,
    Type,
    /// A member in which the answer says something about itself.
    Told,
}

/// Reads a whole answer or event at once, which is quicker where it is at hand: usage goes to
/// `reported`, what else is said about the answer to `told`, and an error comes back. After a
/// failure both may hold a part of it.
pub(crate) fn glean(
    json: &[u8],
    reported: &mut Reported,
    told: &mut Told,
) -> Result<Option<ProviderError>, Malformed> {
    let mut failed = false;
    members_unchecked(json, |member| {
        let value = &json[member.value];
        match &json[member.name] {
            b"usage" | b"usageMetadata" => {
                reported.read(value);
                told.usage_object(value);
            }
            b"error" => failed |= says_error(value),
            b"response" | b"message" if value.starts_with(b"{") => {
                // It was checked with the whole.
                let _ = members_unchecked(value, |member| match &value[member.name] {
                    b"usage" | b"usageMetadata" => {
                        reported.read(&value[member.value.clone()]);
                        told.usage_object(&value[member.value]);
                    }
                    b"error" => failed |= says_error(&value[member.value]),
                    name => told.member(name, &value[member.value]),
                });
            }
            name => told.member(name, value),
        }
    })?;
    Ok(if failed { ProviderError::read(json) } else { None })
}

fn says_error(value: &[u8]) -> bool {
    value != b"null" && value != b"false"
}

impl Gleaner {
    /// The next piece of the answer.
    pub fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let taken = if self.in_string { self.string(piece) } else { self.structure(piece) };
            piece = &piece[taken..];
        }
    }

    /// What has been reported so far.
    pub fn usage(&self) -> Option<Tokens> {
        self.reported.tokens()
    }

    /// The error that the answer turned out to be.
    pub fn error(&self) -> Option<&ProviderError> {
        self.error.as_ref()
    }

    /// Whether what was read so far is surely an answer and not an error: a name was read that no
    /// error begins with, or an error's name had nothing behind it.
    pub fn is_content(&self) -> bool {
        self.error.is_none()
            && (self.finished
                || self.names_seen > 1
                || (self.names_seen == 1
                    && matches!(self.wanted, None | Some(Wanted::Told))
                    && !self.in_name))
    }

    /// Whether the outermost bracket has been closed.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// A gleaner for the next event of a stream, whose reports replace those before.
    pub(crate) fn resuming(reported: Reported) -> Gleaner {
        Gleaner { reported, ..Gleaner::default() }
    }

    pub(crate) fn reported(&self) -> &Reported {
        &self.reported
    }

    /// What the answer says about itself.
    pub(crate) fn told(&self) -> &Told {
        &self.told
    }

    pub(crate) fn into_told(self) -> Told {
        self.told
    }

    /// Inside a string: up to its end or to the next escape.
    fn string(&mut self, piece: &[u8]) -> usize {
        if self.escaped {
            self.escaped = false;
            self.keep(&piece[..1]);
            return 1;
        }
        let end = memchr::memchr2(b'"', b'\\', piece);
        let taken = end.map_or(piece.len(), |at| at + 1);
        match end.map(|at| piece[at]) {
            Some(b'\\') => self.escaped = true,
            Some(_) => self.in_string = false,
            None => {}
        }
        self.keep(&piece[..taken]);
        if !self.in_string && self.in_name {
            self.in_name = false;
            self.named();
        }
        taken
    }

    /// Outside of strings: up to and with the next byte that means something.
    fn structure(&mut self, piece: &[u8]) -> usize {
        let watched = self.watches(self.depth);
        // Where nothing is watched, only what changes the depth matters: long lists of numbers,
        // of which embeddings are made, pass in blocks.
        let found = if watched || self.wanted.is_some() {
            piece.iter().position(|&byte| is_bracket(byte) || byte == b',')
        } else {
            next_bracket(piece)
        };
        let Some(at) = found else {
            self.keep(piece);
            return piece.len();
        };
        // What ends a captured value is not part of it.
        let ends_value = watched && matches!(piece[at], b',' | b'}' | b']');
        self.keep(&piece[..at + usize::from(!ends_value)]);
        match piece[at] {
            b'"' => self.open_string(watched),
            b'{' | b'[' => self.open(piece[at]),
            b'}' | b']' => self.close(),
            b',' if watched => {
                self.value_ended();
                self.name_next = true;
            }
            _ => {}
        }
        at + 1
    }

    fn watches(&self, depth: u32) -> bool {
        depth > 0 && (depth == self.top || self.nested == Some(depth))
    }

    fn open_string(&mut self, watched: bool) {
        self.in_string = true;
        if watched && self.name_next && self.wanted.is_none() {
            self.name_next = false;
            self.in_name = true;
            self.name_length = 0;
        }
    }

    fn open(&mut self, bracket: u8) {
        self.depth += 1;
        if self.depth == 1 && bracket == b'[' {
            self.top = 2;
        } else if self.depth == 1 {
            self.top = 1;
        }
        if bracket == b'{' && self.wanted.is_none() && self.watches(self.depth) {
            self.name_next = true;
        }
    }

    fn close(&mut self) {
        if self.watches(self.depth) {
            self.value_ended();
            self.name_next = false;
        }
        if self.nested == Some(self.depth) {
            self.nested = None;
        }
        self.depth = self.depth.saturating_sub(1);
        self.finished |= self.depth == 0;
    }

    /// A name was read at a depth that we watch.
    fn named(&mut self) {
        let name = &self.name[..self.name_length.min(NAME_CAP)];
        let outermost = self.depth == self.top;
        self.wanted = match name {
            b"usage\"" | b"usageMetadata\"" => Some(Wanted::Usage),
            b"error\"" => Some(Wanted::Error),
            b"type\"" if outermost && self.names_seen == 0 => Some(Wanted::Type),
            b"model\"" | b"modelVersion\"" | b"service_tier\"" | b"serviceTier\""
            | b"responseId\"" | b"duration\"" | b"status\"" => Some(Wanted::Told),
            b"response\"" | b"message\"" if outermost => {
                self.nested = Some(self.depth + 1);
                None
            }
            _ => None,
        };
        if outermost {
            self.names_seen = self.names_seen.saturating_add(1);
        }
        self.capture.clear();
        self.overflown = false;
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.in_name {
            for &byte in bytes.iter().take(NAME_CAP.saturating_sub(self.name_length)) {
                self.name[self.name_length] = byte;
                self.name_length += 1;
            }
        } else if self.wanted.is_some() && !self.overflown {
            if self.capture.len() + bytes.len() > CAPTURE_CAP {
                self.overflown = true;
                self.capture = Vec::new();
            } else {
                self.capture.extend_from_slice(bytes);
            }
        }
    }

    /// The value of a watched member is whole.
    fn value_ended(&mut self) {
        if self.nested == Some(self.depth + 1) {
            self.nested = None;
        }
        let Some(wanted) = self.wanted.take() else { return };
        let mut value = self.capture.trim_ascii_start();
        value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        match wanted {
            Wanted::Usage => {
                self.reported.read(value);
                self.told.usage_object(value);
            }
            Wanted::Told => {
                let name = &self.name[..self.name_length.min(NAME_CAP)];
                self.told.member(name.strip_suffix(b"\"").unwrap_or(name), value);
            }
            Wanted::Error if !self.overflown && says_error(value) => {
                let whole = [b"{\"error\":", value, b"}"].concat();
                self.error = ProviderError::read(&whole).or(self.error.take());
            }
            // What an error's type says comes with the error itself: it counts as not yet read.
            Wanted::Type if value == b"\"error\"" => self.names_seen = 0,
            Wanted::Error | Wanted::Type => {}
        }
        self.capture.clear();
    }
}

/// A bracket or a quote.
fn is_bracket(byte: u8) -> bool {
    // Setting the bit 0x20 makes the square brackets curly ones, and no others.
    (byte == b'"') | (byte | 0x20 == b'{') | (byte | 0x20 == b'}')
}

fn next_bracket(piece: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(block) = piece.get(at..at + 32) {
        if block.iter().fold(false, |found, &byte| found | is_bracket(byte)) {
            break;
        }
        at += 32;
    }
    piece[at..].iter().position(|&byte| is_bracket(byte)).map(|length| at + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gleaned(text: &str) -> Gleaner {
        let mut gleaner = Gleaner::default();
        gleaner.push(text.as_bytes());
        gleaner
    }

    fn in_and_out(text: &str) -> Option<(u64, u64)> {
        gleaned(text).usage().map(|tokens| (tokens.input, tokens.output))
    }

    #[test]
    fn usage_is_found_where_the_dialects_put_it() {
        let cases: &[(&str, Option<(u64, u64)>)] = &[
            (r#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4}}"#, Some((3, 4))),
            (r#"{"usage" : { "input_tokens":3,"output_tokens":4 } , "a":1}"#, Some((3, 4))),
            (
                r#"{"type":"message_start","message":{"usage":{"input_tokens":3}},"x":1}"#,
                Some((3, 0)),
            ),
            (
                r#"{"response":{"usage":{"input_tokens":3,"output_tokens":4},"a":[{}]}}"#,
                Some((3, 4)),
            ),
            (
                r#"{"candidates":[{"usageMetadata":{"promptTokenCount":9}}],
                    "usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}"#,
                Some((3, 4)),
            ),
            (
                r#"[{"usageMetadata":{"promptTokenCount":1}},
                    {"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}]"#,
                Some((3, 4)),
            ),
            (r#"{"choices":[{"usage":{"prompt_tokens":9}}]}"#, None),
            (r#"{"content":"\"usage\":{\"prompt_tokens\":9}"}"#, None),
            (r#"{"a":{"usage":{"prompt_tokens":9}},"usage":null}"#, None),
            (r#"{"message":"text","b":{"usage":{"prompt_tokens":9}}}"#, None),
            (r#"["usage",{"x":["usage",{"prompt_tokens":9}]}]"#, None),
            ("", None),
            ("]]}}{", None),
        ];
        for (text, want) in cases {
            assert_eq!(in_and_out(text), *want, "{text}");
        }
    }

    #[test]
    fn errors_are_found() {
        let error = |text| gleaned(text).error().map(|error| error.status);
        assert_eq!(error(r#"{"error":{"code":429,"message":"m"}}"#), Some(429));
        assert_eq!(error(r#"[{"error":{"code":503}}]"#), Some(503));
        assert_eq!(error(r#"{"type":"error","error":{"type":"api_error"}}"#), Some(500));
        assert_eq!(error(r#"{"id":"r","error":null,"output":[]}"#), None);
        assert_eq!(error(r#"{"response":{"error":{"code":"server_error"}}}"#), Some(500));
    }

    #[test]
    fn content_is_known_as_soon_as_it_can_be() {
        let cases: &[(&str, bool)] = &[
            ("", false),
            ("{", false),
            (r#"{"id"#, false),
            (r#"{"id""#, true),
            (r#"{"error""#, false),
            (r#"{"error":{"code":429}"#, false),
            (r#"{"error":null,"#, true),
            (r#"{"type":"error""#, false),
            (r#"{"type":"error","error":{}"#, false),
            (r#"{"type":"message","#, true),
            ("[]", true),
            ("{}", true),
        ];
        for (text, want) in cases {
            assert_eq!(gleaned(text).is_content(), *want, "{text}");
        }
    }

    #[test]
    fn what_is_too_large_to_be_usage_is_let_go() {
        let text = format!(
            r#"{{"usage":{{"x":"{}"}},"data":"{}","usageMetadata":{{"promptTokenCount":3}}}}"#,
            "y".repeat(CAPTURE_CAP),
            "z".repeat(1 << 20),
        );
        let gleaner = gleaned(&text);
        assert_eq!(gleaner.usage().map(|tokens| tokens.input), Some(3));
        assert!(gleaner.capture.capacity() <= CAPTURE_CAP);
    }

    #[test]
    fn brackets_are_found_at_every_place() {
        for byte in 0..=255_u8 {
            assert_eq!(is_bracket(byte), b"\"[]{}".contains(&byte), "{byte}");
        }
        for length in 0..70 {
            let text = [vec![b'1'; length], vec![b']', b'1']].concat();
            assert_eq!(next_bracket(&text), Some(length));
            assert_eq!(next_bracket(&text[..length]), None);
        }
    }

    #[test]
    fn at_once_or_in_pieces_the_same_is_gleaned() {
        for text in [
            r#"{"message":{"usage":{"input_tokens":3}},"usage":{"output_tokens":4}}"#,
            r#"{"response":{"error":{"code":"server_error"}},"error":null}"#,
            r#"{"usageMetadata":{"promptTokenCount":3},"a":[{"usage":{"input_tokens":9}}]}"#,
            r#"{"model":"m-1","response":{"service_tier":"flex"},"modelVersion":"m-2","model_x":1}"#,
            r#"{"responseId":"r1","duration":2.5,"status":"queued","choices":[{"model":"other"}]}"#,
        ] {
            let mut reported = Reported::default();
            let mut told = Told::default();
            let error = glean(text.as_bytes(), &mut reported, &mut told).unwrap();
            let gleaner = gleaned(text);
            assert_eq!((reported, told), (gleaner.reported, gleaner.told));
            assert_eq!(error.map(|e| e.status), gleaner.error.map(|e| e.status));
        }
        let unfinished = glean(b"{\"usage\":", &mut Reported::default(), &mut Told::default());
        assert!(unfinished.is_err());
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_tell_the_same(
            text in r#"[\[{]{1,2}("(usage|error|message|type|a)":[\[{]?("x\\""|[0-9]|null|"error")?[}\]]?,?){0,6}"#,
            size in 1..9_usize,
        ) {
            let whole = gleaned(&text);
            let mut pieces = Gleaner::default();
            for piece in text.as_bytes().chunks(size) {
                pieces.push(piece);
            }
            prop_assert_eq!(whole.usage(), pieces.usage());
            prop_assert_eq!(whole.error(), pieces.error());
            prop_assert_eq!(whole.is_content(), pieces.is_content());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            Gleaner::default().push(&bytes);
        }
    }
}
