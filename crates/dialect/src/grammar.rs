//! The parts of a dialect that calls without conversion need: the format of errors and the kinds of
//! stream events.

use std::fmt::Debug;

use crate::{Failure, Tokens, UsageScanner};

/// The content of an error envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorWords<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The stable code, for programs.
    pub code: &'a str,
    /// The message, for people.
    pub message: &'a str,
    /// The `x-request-id` of the answer.
    pub request_id: &'a str,
}

/// The properties of a stream event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventKind {
    /// The event only keeps the connection alive.
    pub ping: bool,
    /// The event may carry usage or an error and must be parsed.
    pub telling: bool,
    /// The answer is complete after this event.
    pub finish: bool,
    /// The event is the end marker of the dialect.
    pub end: bool,
}

/// The grammar of one dialect.
pub trait Grammar: Debug + Send + Sync {
    /// Returns the body of an error answer (`application/json`).
    fn error(&self, words: &ErrorWords<'_>) -> Vec<u8>;

    /// Returns the body of an error answer for `failure`.
    fn failure(&self, failure: &Failure, status: u16, request_id: &str) -> Vec<u8> {
        let code = failure.code.as_deref().unwrap_or(failure.kind.code());
        self.error(&ErrorWords { status, code, message: &failure.message, request_id })
    }

    /// Returns the error as a whole event, for a stream that has begun.
    fn error_event(&self, words: &ErrorWords<'_>) -> Vec<u8>;

    /// Classifies an event by its name, if it has one, and its data.
    fn event(&self, name: Option<&[u8]>, data: &[u8]) -> EventKind;

    /// Whether whole events certainly carry only content, by one search over their bytes. False in
    /// doubt.
    fn is_plain(&self, events: &[u8]) -> bool;

    /// Returns the usage that a whole JSON answer reports. The member names of the dialects do not
    /// collide, so this is the same for all.
    fn usage(&self, json_body: &[u8]) -> Option<Tokens> {
        let mut scanner = UsageScanner::default();
        scanner.push(json_body);
        scanner.usage()
    }
}

/// Whether `data` has a member with the name `needle` (with quotes) and a value other than null.
/// This searches bytes: inside a JSON string the quotes would be escaped, so only a nested member
/// of the same name is a false positive, which the parser then excludes.
pub(crate) fn mentions(data: &[u8], needle: &memchr::memmem::Finder<'_>) -> bool {
    needle.find_iter(data).any(|at| {
        let mut rest = &data[at + needle.needle().len()..];
        rest = rest.trim_ascii_start();
        let Some(value) = rest.strip_prefix(b":") else { return false };
        !value.trim_ascii_start().starts_with(b"null")
    })
}

/// Returns the type of an event that names it in `type`, as Messages and Responses do.
pub(crate) fn type_of<'a>(name: Option<&'a [u8]>, data: &'a [u8]) -> &'a [u8] {
    if let Some(name) = name {
        return name;
    }
    let unquoted = |text: &'a [u8]| memchr::memchr(b'"', text).map(|end| &text[..end]);
    let at_start =
        data.strip_prefix(br#"{"type":""#).or_else(|| data.strip_prefix(br#"{"type": ""#));
    if let Some(rest) = at_start {
        return unquoted(rest).unwrap_or_default();
    }
    crate::tokens::member(data, "type")
        .and_then(|range| data[range].strip_prefix(b"\""))
        .and_then(unquoted)
        .unwrap_or_default()
}
