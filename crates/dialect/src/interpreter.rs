//! Interprets the parts of an answer: its first event, its end, its errors and its usage.

use std::borrow::Cow;

use crate::{
    Block, Fields, First, Grammar, ProviderError, Tokens, UsageScanner,
    json::members_unchecked,
    metadata::{self, AnswerMetadata},
    tokens::Reported,
    usage_scanner::scan,
};

/// A JSON answer counts as content after this number of bytes without an error.
const JSON_DOUBT: usize = 64 * 1024;

/// Largest answer in one piece that is parsed at once, in bytes; the incremental scanner is faster
/// for larger ones.
const AT_ONCE: usize = 16 * 1024;

/// Interprets what a [`crate::StreamObserver`] passes on.
#[derive(Debug)]
pub(crate) struct Interpreter {
    grammar: &'static dyn Grammar,
    /// Whether to report the event that carries only usage.
    seeks_usage_event: bool,
    /// Scans a JSON answer that comes in pieces, or the oversized event that is passing.
    scanner: Option<Box<UsageScanner>>,
    reported: Reported,
    metadata: AnswerMetadata,
    pub(crate) json_read: usize,
    pub(crate) spoken: Spoken,
    pub(crate) first: First,
    pub(crate) error: Option<ProviderError>,
    pub(crate) ended: bool,
    pub(crate) complete: bool,
}

/// Count and size of the events that carried text, estimated without parsing them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spoken {
    events: u64,
    bytes: u64,
    /// Size of the shortest event in bytes: about the size of the envelope around the text.
    shortest: u64,
}

impl Spoken {
    /// Notes whole events that carry only content.
    pub(crate) fn note_all(&mut self, events: &[u8]) {
        let count = memchr::memmem::find_iter(events, b"\n\n").count().max(1) as u64;
        self.note(count, events.len() as u64);
    }

    fn note(&mut self, events: u64, bytes: u64) {
        let size = bytes / events;
        self.shortest = if self.events == 0 { size } else { self.shortest.min(size) };
        self.events += events;
        self.bytes += bytes;
    }

    /// Estimated tokens: one for each event, or one for every four bytes of text if that is more.
    pub(crate) fn tokens(&self) -> u64 {
        self.events.max((self.bytes - self.events * self.shortest) / 4)
    }
}

/// Whether an event of this name carries text. Events without a name are chunks of Chat
/// Completions.
fn carries_text(name: Option<&[u8]>) -> bool {
    name.is_none_or(|name| name == b"content_block_delta" || name.ends_with(b".delta"))
}

impl Interpreter {
    pub(crate) fn new(grammar: &'static dyn Grammar, seeks_usage_event: bool) -> Interpreter {
        Interpreter {
            grammar,
            seeks_usage_event,
            scanner: None,
            reported: Reported::default(),
            metadata: AnswerMetadata::default(),
            json_read: 0,
            spoken: Spoken::default(),
            first: First::Pending,
            error: None,
            ended: false,
            complete: false,
        }
    }

    pub(crate) fn grammar(&self) -> &'static dyn Grammar {
        self.grammar
    }

    pub(crate) fn usage(&self) -> Option<Tokens> {
        self.reported.tokens()
    }

    /// The metadata of the answer so far.
    pub(crate) fn metadata(&self) -> Cow<'_, AnswerMetadata> {
        let Some(scanner) = &self.scanner else { return Cow::Borrowed(&self.metadata) };
        let mut metadata = self.metadata.clone();
        metadata.then(scanner.metadata().clone());
        Cow::Owned(metadata)
    }

    /// Whether whole events are plain content, which changes nothing that is known about the
    /// answer.
    pub(crate) fn finds_plain(&self, events: &[u8]) -> bool {
        // After the finish reason comes the end, which may look like plain content.
        self.first == First::Content && !self.complete && self.grammar.is_plain(events)
    }

    /// Reads the next piece of a JSON answer.
    pub(crate) fn json(&mut self, piece: &[u8]) {
        if self.ended {
            return;
        }
        let is_first = self.json_read == 0;
        self.json_read = self.json_read.saturating_add(piece.len());
        if !(is_first && self.whole_json(piece)) {
            self.json_part(piece);
        }
        if self.first == First::Pending && self.ended {
            self.first = First::Content;
        }
    }

    /// Reads an answer that came in one piece; returns false if it is incomplete.
    fn whole_json(&mut self, piece: &[u8]) -> bool {
        if piece.len() > AT_ONCE || !piece.trim_ascii_end().ends_with(b"}") {
            return false;
        }
        let mut reported = self.reported;
        let Ok(error) = scan(piece, &mut reported, &mut self.metadata) else {
            self.metadata = AnswerMetadata::default();
            return false;
        };
        self.reported = reported;
        self.ended = true;
        self.complete = true;
        if let Some(error) = error {
            self.first = First::Error(error.clone());
            self.error = Some(error);
        }
        true
    }

    fn json_part(&mut self, piece: &[u8]) {
        let scanner = self.scanner.get_or_insert_default();
        scanner.push(piece);
        self.reported = *scanner.reported();
        self.ended = scanner.is_finished();
        self.complete = self.ended;
        if let (Some(error), None) = (scanner.error(), &self.error) {
            self.error = Some(error.clone());
        }
        if self.first == First::Pending {
            self.first = match &self.error {
                Some(error) => First::Error(error.clone()),
                None if scanner.is_content() || self.json_read > JSON_DOUBT => First::Content,
                None => First::Pending,
            };
        }
    }

    /// Reads the next block of an event stream; returns whether it is the usage event.
    pub(crate) fn block(&mut self, block: &Block) -> bool {
        match block {
            Block::Event(bytes) => {
                if let Some(scanner) = self.scanner.take() {
                    self.metadata.then(scanner.into_metadata());
                }
                self.event(&Fields::read(bytes), bytes.len())
            }
            Block::Oversized(bytes) => {
                self.oversized(bytes);
                false
            }
        }
    }

    fn event(&mut self, event: &Fields<'_>, size: usize) -> bool {
        let Some(data) = event.data.as_deref().filter(|data| !data.trim_ascii().is_empty()) else {
            return false;
        };
        let kind = self.grammar.event(event.name, data);
        if kind.ping {
            return false;
        }
        self.ended |= kind.end;
        self.complete |= kind.finish || kind.end;
        if !kind.telling && !kind.end && carries_text(event.name) {
            self.spoken.note(1, size as u64);
        }
        if kind.telling {
            let mut reported = self.reported;
            let error = scan(data, &mut reported, &mut self.metadata);
            if error.is_ok() {
                self.reported = reported;
            }
            let is_failure = kind.end && !kind.finish;
            if is_failure || matches!(error, Ok(Some(_))) {
                self.failed(data);
            }
        }
        if self.first == First::Pending && (kind.telling || !kind.end) {
            self.first = First::Content;
            if !kind.telling {
                // Streams without usage still name their model in the first event.
                metadata::read(data, &mut self.metadata);
            }
        }
        self.seeks_usage_event && kind.telling && is_usage_event(data)
    }

    /// Notes that the answer is an error; `data` is its JSON or plain text.
    pub(crate) fn failed(&mut self, data: &[u8]) {
        let error = ProviderError::read(data).unwrap_or_else(|| ProviderError {
            status: 502,
            code: String::new(),
            message: String::from_utf8_lossy(data).chars().take(500).collect(),
            retry_after: None,
        });
        if self.first == First::Pending {
            self.first = First::Error(error.clone());
        }
        self.error.get_or_insert(error);
        self.ended = true;
        self.complete = true;
    }

    /// Scans a part of an oversized event for usage; the event itself is not kept.
    fn oversized(&mut self, part: &[u8]) {
        if self.first == First::Pending {
            self.first = First::Content;
        }
        let scanner = match &mut self.scanner {
            Some(scanner) => scanner,
            none => {
                if let Some(name) = Fields::read(part).name {
                    let kind = self.grammar.event(Some(name), b"");
                    self.ended |= kind.end;
                    self.complete |= kind.finish || kind.end;
                }
                none.insert(Box::new(UsageScanner::resuming(self.reported)))
            }
        };
        scanner.push(part);
        self.reported = *scanner.reported();
    }
}

/// Whether this is the chunk of a Chat Completions stream that carries only usage.
fn is_usage_event(data: &[u8]) -> bool {
    let (mut no_choices, mut usage) = (false, false);
    let read = members_unchecked(data, |member| {
        let value = &data[member.value.clone()];
        if member.is(data, "choices") {
            no_choices = value.strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii() == b"]");
        } else if member.is(data, "usage") {
            usage = value.starts_with(b"{");
        }
    });
    read.is_ok() && no_choices && usage
}
