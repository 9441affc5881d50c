//! What the parts of an answer mean: what came first, whether it ended, what it cost.

use crate::{
    Block, Fields, First, Gleaner, Grammar, ProviderError, Tokens,
    gleaner::glean,
    json::members_unchecked,
    tokens::Reported,
    told::{self, Told},
};

/// A JSON answer of which this much has passed without an error in it is an answer.
const JSON_DOUBT: usize = 64 * 1024;

/// Up to this size an answer in one piece is read at once; larger ones pass quicker by the way of
/// those that come in many.
const AT_ONCE: usize = 16 * 1024;

/// Understands what a [`crate::Tap`] moves.
#[derive(Debug)]
pub(crate) struct Listener {
    grammar: &'static dyn Grammar,
    /// Whether the event of mere usage is to be pointed out.
    seeks_usage_event: bool,
    /// Reads a JSON answer that comes in pieces, or the oversized event that is just passing.
    gleaner: Option<Box<Gleaner>>,
    reported: Reported,
    told: Told,
    pub(crate) json_read: usize,
    pub(crate) spoken: Spoken,
    pub(crate) first: First,
    pub(crate) error: Option<ProviderError>,
    pub(crate) ended: bool,
    pub(crate) complete: bool,
}

/// Events that carried some of an answer's text, as far as can be told without reading them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spoken {
    events: u64,
    bytes: u64,
    /// The shortest of them, which is little more than what they all have around the text.
    shortest: u64,
}

impl Spoken {
    /// Whole events of mere content.
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

    /// A token for each event, or for every four bytes of text where that is more.
    pub(crate) fn tokens(&self) -> u64 {
        self.events.max((self.bytes - self.events * self.shortest) / 4)
    }
}

/// Whether an event of this name carries text; those without a name are chunks of a chat.
fn carries_text(name: Option<&[u8]>) -> bool {
    name.is_none_or(|name| name == b"content_block_delta" || name.ends_with(b".delta"))
}

impl Listener {
    pub(crate) fn new(grammar: &'static dyn Grammar, seeks_usage_event: bool) -> Listener {
        Listener {
            grammar,
            seeks_usage_event,
            gleaner: None,
            reported: Reported::default(),
            told: Told::default(),
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

    /// What the answer said about itself.
    pub(crate) fn told(&self) -> Told {
        let mut told = self.told.clone();
        if let Some(gleaner) = &self.gleaner {
            told.then(gleaner.told().clone());
        }
        told
    }

    /// Whether whole events tell nothing that changes what is known.
    pub(crate) fn finds_plain(&self, events: &[u8]) -> bool {
        // Behind a reason to finish comes the end, which may look like nothing.
        self.first == First::Content && !self.complete && self.grammar.is_plain(events)
    }

    /// The next piece of a JSON answer.
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

    /// Reads an answer that came in one piece; false where it is not all there.
    fn whole_json(&mut self, piece: &[u8]) -> bool {
        if piece.len() > AT_ONCE || !piece.trim_ascii_end().ends_with(b"}") {
            return false;
        }
        let mut reported = self.reported;
        let Ok(error) = glean(piece, &mut reported, &mut self.told) else {
            self.told = Told::default();
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
        let gleaner = self.gleaner.get_or_insert_default();
        gleaner.push(piece);
        self.reported = *gleaner.reported();
        self.ended = gleaner.is_finished();
        self.complete = self.ended;
        if let (Some(error), None) = (gleaner.error(), &self.error) {
            self.error = Some(error.clone());
        }
        if self.first == First::Pending {
            self.first = match &self.error {
                Some(error) => First::Error(error.clone()),
                None if gleaner.is_content() || self.json_read > JSON_DOUBT => First::Content,
                None => First::Pending,
            };
        }
    }

    /// The next block of an event stream; whether it is the event sought.
    pub(crate) fn block(&mut self, block: &Block) -> bool {
        match block {
            Block::Event(bytes) => {
                if let Some(gleaner) = self.gleaner.take() {
                    self.told.then(gleaner.into_told());
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
            let error = glean(data, &mut reported, &mut self.told);
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
                // Streams without usage name their model in their first event all the same.
                told::read(data, &mut self.told);
            }
        }
        self.seeks_usage_event && kind.telling && is_usage_event(data)
    }

    /// The answer turned out to be an error; `data` says which, as JSON or in words.
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

    /// A part of an event that is not kept. Its usage is picked out as it passes.
    fn oversized(&mut self, part: &[u8]) {
        if self.first == First::Pending {
            self.first = First::Content;
        }
        let gleaner = match &mut self.gleaner {
            Some(gleaner) => gleaner,
            none => {
                if let Some(name) = Fields::read(part).name {
                    let kind = self.grammar.event(Some(name), b"");
                    self.ended |= kind.end;
                    self.complete |= kind.finish || kind.end;
                }
                none.insert(Box::new(Gleaner::resuming(self.reported)))
            }
        };
        gleaner.push(part);
        self.reported = *gleaner.reported();
    }
}

/// The chunk of an OpenAI chat stream that carries nothing but usage.
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
