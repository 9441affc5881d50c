//! Listens to an answer while it passes: tokens, errors, the first event and the end.
//!
//! The bytes that go in come out, in the same pieces where that is possible, and nothing waits for
//! what comes after it. There is one exception: the usage event that *we* asked an OpenAI stream
//! for is taken out again, and for that an event that came in parts waits until it is whole.

use bytes::{Bytes, BytesMut};

use crate::{
    Block, ErrorWords, Fields, Gleaner, Grammar, ProviderError, Splitter, Tokens, members,
    tokens::Reported, validate,
};

/// Events up to this size are read; larger ones pass, and only their usage is picked out.
const EVENT_CAP: usize = 1 << 20;

/// A JSON answer of which this much has passed without an error in it is an answer.
const JSON_DOUBT: usize = 64 * 1024;

/// How an answer's body is built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// Server-sent events.
    #[default]
    Sse,
    /// One JSON value; also the array in which Gemini streams without `alt=sse`.
    Json,
    /// Anything else: nothing is read from it.
    Opaque,
}

impl Form {
    /// The form that a `content-type` promises. Of the first two the first byte has the last word.
    pub fn of(content_type: &str) -> Form {
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/event-stream" => Form::Sse,
            "application/json" | "text/json" => Form::Json,
            kind if kind.ends_with("+json") => Form::Json,
            _ => Form::Opaque,
        }
    }
}

/// How a tap is to treat the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TapOptions {
    /// How the body is built.
    pub form: Form,
    /// Take the event out that carries nothing but usage: the client did not ask for it.
    pub hide_usage_event: bool,
}

/// What an answer began with. Comments, pings and the mere `[DONE]` are no beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum First {
    /// Nothing that says it has come yet.
    #[default]
    Pending,
    /// An answer.
    Content,
    /// An error, though the status said otherwise.
    Error(ProviderError),
    /// The end.
    Empty,
}

/// Listens to one answer.
#[derive(Debug)]
pub struct Tap {
    grammar: &'static dyn Grammar,
    form: Form,
    sniffed: bool,
    hide_usage_event: bool,
    splitter: Splitter,
    /// Reads a JSON answer, or the oversized event that is just passing.
    gleaner: Option<Box<Gleaner>>,
    reported: Reported,
    passed: usize,
    first: First,
    error: Option<ProviderError>,
    ended: bool,
    complete: bool,
}

impl Tap {
    /// A tap for one answer.
    pub fn new(grammar: &'static dyn Grammar, options: TapOptions) -> Tap {
        Tap {
            grammar,
            form: options.form,
            sniffed: false,
            hide_usage_event: options.hide_usage_event,
            splitter: Splitter::new(EVENT_CAP),
            gleaner: None,
            reported: Reported::default(),
            passed: 0,
            first: First::Pending,
            error: None,
            ended: false,
            complete: false,
        }
    }

    /// The next piece from the provider; what is to go to the client is added to `out`.
    pub fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) {
        if piece.is_empty() {
            return;
        }
        self.sniff(&piece);
        self.passed = self.passed.saturating_add(piece.len());
        match self.form {
            Form::Opaque => {
                self.first = First::Content;
                out.push(piece);
            }
            Form::Json => {
                self.json(&piece);
                out.push(piece);
            }
            Form::Sse if self.hide_usage_event => self.filter(piece, out),
            Form::Sse => {
                let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(EVENT_CAP));
                splitter.push(piece.clone(), |block| {
                    self.block(&block);
                });
                self.splitter = splitter;
                out.push(piece);
            }
        }
    }

    /// The provider has ended; what was still held back is added to `out`.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) {
        if let Some(block) = self.splitter.finish() {
            let hidden = is_whole(&block) && self.block(&block);
            if self.hide_usage_event && !hidden {
                let (Block::Event(bytes) | Block::Oversized(bytes)) = block;
                out.push(bytes);
            }
        }
        if self.first == First::Pending {
            let is_text = self.form == Form::Json && self.sniffed;
            self.first = if is_text { First::Content } else { First::Empty };
        }
    }

    /// What the answer began with, as far as that is known.
    pub fn first(&self) -> &First {
        &self.first
    }

    /// Whether the dialect's own end was seen: `[DONE]`, `message_stop`, a final response, an
    /// error, or the last bracket of a JSON answer. Never in a Gemini event stream, which ends
    /// where its body ends.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing would be missing if the body ended here: the end was seen, or a reason to
    /// finish. An answer that ends otherwise was cut off.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// The error that came first, or in the middle.
    pub fn error(&self) -> Option<&ProviderError> {
        self.error.as_ref()
    }

    /// The tokens that the provider reported so far.
    pub fn usage(&self) -> Option<Tokens> {
        self.reported.tokens()
    }

    /// What tells the client that the provider broke off: the event to send before the end, in
    /// the client's dialect. Empty where nothing can be said in good form any more.
    pub fn broken_off(&self, words: &ErrorWords<'_>) -> Bytes {
        if self.form != Form::Sse || self.ended {
            return Bytes::new();
        }
        let event = self.grammar.error_event(words);
        if !self.splitter.in_event() || self.hide_usage_event {
            return event.into();
        }
        let mut bytes = BytesMut::from(&b"\n\n"[..]);
        bytes.extend_from_slice(&event);
        bytes.freeze()
    }

    /// Servers mix the two up: events under a JSON type, a JSON error under the type of events. No
    /// event stream begins with a bracket, and no JSON with a field's letter.
    fn sniff(&mut self, piece: &[u8]) {
        if self.sniffed {
            return;
        }
        let Some(first) = piece.iter().find(|byte| !byte.is_ascii_whitespace()) else { return };
        self.sniffed = true;
        self.form = match (self.form, first) {
            (Form::Sse, b'{' | b'[') => Form::Json,
            (Form::Json, b'd' | b'e' | b'i' | b'r' | b':') => Form::Sse,
            (form, _) => form,
        };
    }

    fn json(&mut self, piece: &[u8]) {
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
                None if gleaner.is_content() || self.passed > JSON_DOUBT => First::Content,
                None => First::Pending,
            };
        }
    }

    /// Passes on whole events, all but the hidden one.
    fn filter(&mut self, piece: Bytes, out: &mut Vec<Bytes>) {
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(EVENT_CAP));
        let began_whole = !splitter.in_event();
        let before = out.len();
        let mut hid = false;
        splitter.push(piece.clone(), |block| {
            if self.block(&block) {
                hid = true;
            } else {
                let (Block::Event(bytes) | Block::Oversized(bytes)) = block;
                out.push(bytes);
            }
        });
        if began_whole && !hid && !splitter.in_event() {
            out.truncate(before);
            out.push(piece);
        }
        self.splitter = splitter;
    }

    /// Reads a block; whether it is the one to hide.
    fn block(&mut self, block: &Block) -> bool {
        match block {
            Block::Event(bytes) => {
                self.gleaner = None;
                self.event(&Fields::read(bytes))
            }
            Block::Oversized(bytes) => {
                self.oversized(bytes);
                false
            }
        }
    }

    fn event(&mut self, event: &Fields<'_>) -> bool {
        let Some(data) = event.data.as_deref().filter(|data| !data.trim_ascii().is_empty()) else {
            return false;
        };
        let kind = self.grammar.event(event.name, data);
        if kind.ping {
            return false;
        }
        self.ended |= kind.end;
        self.complete |= kind.finish || kind.end;
        if kind.telling {
            let mut gleaner = Gleaner::resuming(self.reported);
            gleaner.push(data);
            self.reported = *gleaner.reported();
            let is_failure = kind.end && !kind.finish;
            if is_failure || gleaner.error().is_some() {
                self.failed(data);
            }
        }
        if self.first == First::Pending && (kind.telling || !kind.end) {
            self.first = match &self.error {
                Some(error) => First::Error(error.clone()),
                None => First::Content,
            };
        }
        self.hide_usage_event && kind.telling && is_usage_event(data)
    }

    fn failed(&mut self, data: &[u8]) {
        let error = ProviderError::read(data).unwrap_or_else(|| ProviderError {
            status: 502,
            code: String::new(),
            message: String::from_utf8_lossy(data).chars().take(500).collect(),
            retry_after: None,
        });
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

/// Whether an event that lacks its empty line is there to its end.
fn is_whole(block: &Block) -> bool {
    let Block::Event(bytes) = block else { return false };
    let fields = Fields::read(bytes);
    fields.data.is_some_and(|data| data.trim_ascii() == b"[DONE]" || validate(&data).is_ok())
}

/// The chunk of an OpenAI chat stream that carries nothing but usage.
fn is_usage_event(data: &[u8]) -> bool {
    let (mut no_choices, mut usage) = (false, false);
    let read = members(data, |member| {
        let value = &data[member.value.clone()];
        if member.is(data, "choices") {
            no_choices = value.strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii() == b"]");
        } else if member.is(data, "usage") {
            usage = value.starts_with(b"{");
        }
    });
    read.is_ok() && no_choices && usage
}
