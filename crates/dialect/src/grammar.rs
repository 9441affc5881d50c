//! What a dialect knows about itself: how it says an error, and how its streams are to be read.

use std::fmt::Debug;

use crate::{Failure, Tokens, UsageScanner};

/// What an error envelope has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorWords<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Stable, for machines.
    pub code: &'a str,
    /// For people.
    pub message: &'a str,
    /// The `x-request-id` of the answer.
    pub request_id: &'a str,
}

/// What one event of a stream is to us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventKind {
    /// It only keeps the connection alive.
    pub ping: bool,
    /// It may carry usage or an error: it has to be read.
    pub telling: bool,
    /// The answer could end behind it without anything missing.
    pub finish: bool,
    /// It is the last one by the dialect's own grammar.
    pub end: bool,
}

/// One dialect.
pub trait Grammar: Debug + Send + Sync {
    /// The body of an error answer (`application/json`).
    fn error(&self, words: &ErrorWords<'_>) -> Vec<u8>;

    /// The body of an error answer that says `failure`, whoever's it was.
    fn failure(&self, failure: &Failure, status: u16, request_id: &str) -> Vec<u8> {
        let code = failure.code.as_deref().unwrap_or(failure.kind.code());
        self.error(&ErrorWords { status, code, message: &failure.message, request_id })
    }

    /// The same inside an event stream that has begun: a whole event.
    fn error_event(&self, words: &ErrorWords<'_>) -> Vec<u8>;

    /// What an event is, by its name (where it has one) and its data.
    fn event(&self, name: Option<&[u8]>, data: &[u8]) -> EventKind;

    /// Whether whole events surely tell nothing but content, by a quick look at all their bytes at
    /// once. In doubt they do not.
    fn is_plain(&self, events: &[u8]) -> bool;

    /// The usage that a whole JSON answer reports. The names in which the dialects report it do
    /// not collide, so this is the same for all of them.
    fn usage(&self, json_body: &[u8]) -> Option<Tokens> {
        let mut scanner = UsageScanner::default();
        scanner.push(json_body);
        scanner.usage()
    }
}

/// Whether `data` has a member called like `needle` (given with its quotes) whose value is not
/// null. A quick look at bytes: inside of a JSON string the needle would stand with backslashes, so
/// only a nested member of the same name is mistaken, and whoever looks closer finds that out.
pub(crate) fn mentions(data: &[u8], needle: &memchr::memmem::Finder<'_>) -> bool {
    needle.find_iter(data).any(|at| {
        let mut rest = &data[at + needle.needle().len()..];
        rest = rest.trim_ascii_start();
        let Some(value) = rest.strip_prefix(b":") else { return false };
        !value.trim_ascii_start().starts_with(b"null")
    })
}

/// The kind of an event whose data names it in `type`, as Anthropic's and the Responses' do.
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
