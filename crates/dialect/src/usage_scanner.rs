//! Finds usage and errors in a JSON answer while it passes, in pieces of any size.
//!
//! Memory use is constant: only the values that are looked for are kept. Brackets and strings are
//! tracked; the JSON is not validated.

use crate::{
    Malformed, ProviderError, Tokens, json::members_unchecked, metadata::AnswerMetadata,
    tokens::Reported,
};

/// Largest usage or error object that is read, in bytes.
const CAPTURE_CAP: usize = 64 * 1024;

/// Length of the longest member name that is looked for, plus one to recognise longer names.
const NAME_CAP: usize = 16;

/// Reads `usage` and `error` from a JSON answer. In an array of answers (a Gemini stream without
/// `alt=sse`) the last usage counts.
#[derive(Debug, Default)]
pub struct UsageScanner {
    /// The number of open brackets.
    depth: u32,
    /// The depth of the members of an answer: 2 inside an array of answers.
    top: u32,
    /// The depth of the members of an open `response` or `message`.
    nested: Option<u32>,
    in_string: bool,
    escaped: bool,
    /// Whether the next string at a watched depth is a member name.
    name_next: bool,
    in_name: bool,
    name: [u8; NAME_CAP],
    name_length: usize,
    wanted: Option<Wanted>,
    capture: Vec<u8>,
    /// Whether the value being captured exceeds [`CAPTURE_CAP`].
    overflown: bool,
    names_seen: u32,
    reported: Reported,
    metadata: AnswerMetadata,
    error: Option<ProviderError>,
    finished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Usage,
    Error,
    Type,
    /// A member with metadata.
    Metadata,
}

/// Reads a whole answer or event at once, which is faster than the incremental scanner. Usage goes
/// to `reported`, other metadata to `metadata`; an error is returned. If the JSON is malformed both
/// may hold a part of it.
pub(crate) fn scan(
    json: &[u8],
    reported: &mut Reported,
    metadata: &mut AnswerMetadata,
) -> Result<Option<ProviderError>, Malformed> {
    let mut failed = false;
    members_unchecked(json, |member| {
        let value = &json[member.value];
        match &json[member.name] {
            b"usage" | b"usageMetadata" => {
                reported.read(value);
                metadata.usage_object(value);
            }
            b"error" => failed |= says_error(value),
            b"response" | b"message" if value.starts_with(b"{") => {
                // It was validated with the whole.
                let _ = members_unchecked(value, |member| match &value[member.name] {
                    b"usage" | b"usageMetadata" => {
                        reported.read(&value[member.value.clone()]);
                        metadata.usage_object(&value[member.value]);
                    }
                    b"error" => failed |= says_error(&value[member.value]),
                    name => metadata.member(name, &value[member.value]),
                });
            }
            name => metadata.member(name, value),
        }
    })?;
    Ok(if failed { ProviderError::read(json) } else { None })
}

fn says_error(value: &[u8]) -> bool {
    value != b"null" && value != b"false"
}

impl UsageScanner {
    /// Reads the next piece of the answer.
    pub fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let taken = if self.in_string { self.string(piece) } else { self.structure(piece) };
            piece = &piece[taken..];
        }
    }

    /// The usage reported so far.
    pub fn usage(&self) -> Option<Tokens> {
        self.reported.tokens()
    }

    /// The error, if the answer is one.
    pub fn error(&self) -> Option<&ProviderError> {
        self.error.as_ref()
    }

    /// Whether the bytes so far belong to content and not to an error: a member name was read that
    /// no error begins with, or an error member was empty.
    pub fn is_content(&self) -> bool {
        self.error.is_none()
            && (self.finished
                || self.names_seen > 1
                || (self.names_seen == 1
                    && matches!(self.wanted, None | Some(Wanted::Metadata))
                    && !self.in_name))
    }

    /// Whether the outermost bracket is closed.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Creates a scanner for the next event of a stream, whose reports replace the earlier ones.
    pub(crate) fn resuming(reported: Reported) -> UsageScanner {
        UsageScanner { reported, ..UsageScanner::default() }
    }

    pub(crate) fn reported(&self) -> &Reported {
        &self.reported
    }

    /// The metadata of the answer.
    pub(crate) fn metadata(&self) -> &AnswerMetadata {
        &self.metadata
    }

    pub(crate) fn into_metadata(self) -> AnswerMetadata {
        self.metadata
    }

    /// Reads inside a string up to its end or the next escape; returns the number of bytes read.
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

    /// Reads outside of strings up to and including the next structural byte; returns the number of
    /// bytes read.
    fn structure(&mut self, piece: &[u8]) -> usize {
        let watched = self.watches(self.depth);
        // If nothing is watched, only changes of the depth matter: long lists of numbers, as in
        // embeddings, are skipped in blocks.
        let found = if watched || self.wanted.is_some() {
            piece.iter().position(|&byte| is_bracket(byte) || byte == b',')
        } else {
            next_bracket(piece)
        };
        let Some(at) = found else {
            self.keep(piece);
            return piece.len();
        };
        // The byte that ends a captured value is not part of it.
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

    /// Handles a member name at a watched depth.
    fn named(&mut self) {
        let name = &self.name[..self.name_length.min(NAME_CAP)];
        let outermost = self.depth == self.top;
        self.wanted = match name {
            b"usage\"" | b"usageMetadata\"" => Some(Wanted::Usage),
            b"error\"" => Some(Wanted::Error),
            b"type\"" if outermost && self.names_seen == 0 => Some(Wanted::Type),
            b"model\"" | b"modelVersion\"" | b"service_tier\"" | b"serviceTier\""
            | b"responseId\"" | b"duration\"" | b"status\"" => Some(Wanted::Metadata),
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

    /// Handles the end of the value of a watched member.
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
                self.metadata.usage_object(value);
            }
            Wanted::Metadata => {
                let name = &self.name[..self.name_length.min(NAME_CAP)];
                self.metadata.member(name.strip_suffix(b"\"").unwrap_or(name), value);
            }
            Wanted::Error if !self.overflown && says_error(value) => {
                let whole = [b"{\"error\":", value, b"}"].concat();
                self.error = ProviderError::read(&whole).or(self.error.take());
            }
            // The `type` of an error precedes the error itself: it does not count as a name that
            // was read.
            Wanted::Type if value == b"\"error\"" => self.names_seen = 0,
            Wanted::Error | Wanted::Type => {}
        }
        self.capture.clear();
    }
}

/// Whether the byte is a bracket or a quote.
fn is_bracket(byte: u8) -> bool {
    // Setting the bit 0x20 turns square brackets into curly ones, and changes no other brackets.
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

    fn scanned(text: &str) -> UsageScanner {
        let mut scanner = UsageScanner::default();
        scanner.push(text.as_bytes());
        scanner
    }

    fn in_and_out(text: &str) -> Option<(u64, u64)> {
        scanned(text).usage().map(|tokens| (tokens.input, tokens.output))
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
        let error = |text| scanned(text).error().map(|error| error.status);
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
            assert_eq!(scanned(text).is_content(), *want, "{text}");
        }
    }

    #[test]
    fn what_is_too_large_to_be_usage_is_let_go() {
        let text = format!(
            r#"{{"usage":{{"x":"{}"}},"data":"{}","usageMetadata":{{"promptTokenCount":3}}}}"#,
            "y".repeat(CAPTURE_CAP),
            "z".repeat(1 << 20),
        );
        let scanner = scanned(&text);
        assert_eq!(scanner.usage().map(|tokens| tokens.input), Some(3));
        assert!(scanner.capture.capacity() <= CAPTURE_CAP);
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
            let mut metadata = AnswerMetadata::default();
            let error = scan(text.as_bytes(), &mut reported, &mut metadata).unwrap();
            let scanner = scanned(text);
            assert_eq!((reported, metadata), (scanner.reported, scanner.metadata));
            assert_eq!(error.map(|e| e.status), scanner.error.map(|e| e.status));
        }
        let unfinished =
            scan(b"{\"usage\":", &mut Reported::default(), &mut AnswerMetadata::default());
        assert!(unfinished.is_err());
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_tell_the_same(
            text in r#"[\[{]{1,2}("(usage|error|message|type|a)":[\[{]?("x\\""|[0-9]|null|"error")?[}\]]?,?){0,6}"#,
            size in 1..9_usize,
        ) {
            let whole = scanned(&text);
            let mut pieces = UsageScanner::default();
            for piece in text.as_bytes().chunks(size) {
                pieces.push(piece);
            }
            prop_assert_eq!(whole.usage(), pieces.usage());
            prop_assert_eq!(whole.error(), pieces.error());
            prop_assert_eq!(whole.is_content(), pieces.is_content());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            UsageScanner::default().push(&bytes);
        }
    }
}
