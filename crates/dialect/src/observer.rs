//! Observes an answer while it passes: usage, errors, the first event and the end.
//!
//! Bytes are passed on unchanged and at once. There is one exception: the usage event that the
//! gateway itself requested from an OpenAI stream is removed, and for that an event that came in
//! parts is held until it is complete.
//!
//! `interpreter.rs` interprets the bytes; this file moves them.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::{
    Block, ErrorWords, Fields, Grammar, ProviderError, Splitter, Tokens,
    interpreter::Interpreter,
    metadata::AnswerMetadata,
    unpack::{Coding, Unpacker},
    validate,
};

/// Largest event that is parsed, in bytes; larger events are only scanned for usage.
const EVENT_CAP: usize = 1 << 20;

/// The format of an answer's body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// Server-sent events.
    #[default]
    Sse,
    /// One JSON value, or the JSON array that Gemini streams without `alt=sse`.
    Json,
    /// Any other format; nothing is read from it.
    Opaque,
}

impl Form {
    /// Returns the format for a `content-type`. Between `Sse` and `Json` the first byte of the body
    /// decides.
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

/// Options of a [`StreamObserver`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ObserverOptions {
    /// The format of the body.
    pub form: Form,
    /// Remove the event that carries only usage: the client did not request it.
    pub hide_usage_event: bool,
}

/// The first event of an answer. Comments, pings and a lone `[DONE]` do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum First {
    /// Not known yet.
    #[default]
    Pending,
    /// Content.
    Content,
    /// An error, although the status was a success.
    Error(ProviderError),
    /// The end: the answer is empty.
    Empty,
}

/// Observes one answer.
#[derive(Debug)]
pub struct StreamObserver {
    form: Form,
    sniffed: bool,
    hide_usage_event: bool,
    splitter: Splitter,
    interpreter: Interpreter,
    unpacker: Option<Box<Unpacker>>,
    /// Whether the client gets the decompressed bytes.
    unpacks: bool,
}

impl StreamObserver {
    /// Creates an observer for one answer.
    pub fn new(grammar: &'static dyn Grammar, options: ObserverOptions) -> StreamObserver {
        StreamObserver {
            form: options.form,
            sniffed: false,
            hide_usage_event: options.hide_usage_event,
            splitter: Splitter::new(EVENT_CAP),
            interpreter: Interpreter::new(grammar, options.hide_usage_event),
            unpacker: None,
            unpacks: false,
        }
    }

    /// Decompresses the answer for a client that did not ask for compression. The caller must
    /// remove `content-encoding` and `content-length`.
    pub fn unpacking(mut self, coding: Coding) -> StreamObserver {
        self.unpacker = Some(Box::new(Unpacker::new(coding)));
        self.unpacks = true;
        self
    }

    /// Decompresses the answer for observation only: the client gets the compressed bytes, and no
    /// event can be hidden.
    pub fn reading_through(mut self, coding: Coding) -> StreamObserver {
        self.unpacker = Some(Box::new(Unpacker::new(coding)));
        self
    }

    /// Reads the next piece from the provider and appends the bytes for the client to `out`.
    pub fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) {
        if piece.is_empty() {
            return;
        }
        let Some(unpacker) = &mut self.unpacker else { return self.read(piece, out) };
        let unpacked = unpacker.push(&piece);
        match unpacked {
            Ok(unpacked) if self.unpacks => self.read(unpacked, out),
            Ok(unpacked) => {
                self.read(unpacked, &mut Vec::new());
                out.push(piece);
            }
            Err(_) if self.unpacks => self.interpreter.failed(b"the answer is not well compressed"),
            Err(_) => {
                // It passes unchanged; nothing more can be read from it.
                self.form = Form::Opaque;
                self.sniffed = true;
                self.unpacker = None;
                self.read(piece, out);
            }
        }
    }

    fn read(&mut self, piece: Bytes, out: &mut Vec<Bytes>) {
        if piece.is_empty() {
            return;
        }
        self.sniff(&piece);
        match self.form {
            Form::Opaque => {
                self.interpreter.first = First::Content;
                self.interpreter.json_read = self.interpreter.json_read.saturating_add(piece.len());
                out.push(piece);
            }
            Form::Json => {
                self.interpreter.json(&piece);
                out.push(piece);
            }
            Form::Sse if self.is_plain(&piece) => {
                self.interpreter.spoken.note_all(&piece);
                out.push(piece);
            }
            Form::Sse if self.hide_usage_event => self.filter(piece, out),
            Form::Sse => {
                self.splitter.push(piece.clone(), |block| {
                    self.interpreter.block(&block);
                });
                out.push(piece);
            }
        }
    }

    /// Ends the answer and appends the bytes that were held back to `out`.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) {
        if let Some(block) = self.splitter.finish() {
            let is_usage = is_whole(&block) && self.interpreter.block(&block);
            if self.hide_usage_event && !is_usage && self.passes_unpacked() {
                let (Block::Event(bytes) | Block::Oversized(bytes)) = block;
                out.push(bytes);
            }
        }
        if self.interpreter.first == First::Pending {
            let is_text = self.form == Form::Json && self.sniffed;
            self.interpreter.first = if is_text { First::Content } else { First::Empty };
        }
    }

    /// The first event of the answer, as far as it is known.
    pub fn first(&self) -> &First {
        &self.interpreter.first
    }

    /// Whether the end marker of the dialect was seen: `[DONE]`, `message_stop`, a final response,
    /// an error, or the last bracket of a JSON answer. Always false for a Gemini event stream,
    /// which ends with its body.
    pub fn ended(&self) -> bool {
        self.interpreter.ended
    }

    /// Whether the answer is complete: the end marker or a finish reason was seen. An answer that
    /// ends otherwise was cut off.
    pub fn complete(&self) -> bool {
        self.interpreter.complete
    }

    /// The error, at the beginning or in the middle of the answer.
    pub fn error(&self) -> Option<&ProviderError> {
        self.interpreter.error.as_ref()
    }

    /// The usage that the provider has reported so far.
    pub fn usage(&self) -> Option<Tokens> {
        self.interpreter.usage()
    }

    /// The metadata of the answer so far.
    pub fn metadata(&self) -> Cow<'_, AnswerMetadata> {
        self.interpreter.metadata()
    }

    /// Estimated output tokens, for answers without reported usage: one for each event with text,
    /// or one for every four bytes if events carry more than a token.
    pub fn counted(&self) -> u64 {
        match self.form {
            Form::Sse => self.interpreter.spoken.tokens(),
            Form::Json | Form::Opaque => self.interpreter.json_read as u64 / 4,
        }
    }

    /// Returns the event that tells the client, in its dialect, that the provider broke off. Empty
    /// if no well-formed event can be sent any more.
    pub fn broken_off(&self, words: &ErrorWords<'_>) -> Bytes {
        if self.form != Form::Sse || self.interpreter.ended || !self.passes_unpacked() {
            return Bytes::new();
        }
        let event = self.interpreter.grammar().error_event(words);
        if !self.splitter.in_event() || self.hide_usage_event {
            return event.into();
        }
        let mut bytes = BytesMut::from(&b"\n\n"[..]);
        bytes.extend_from_slice(&event);
        bytes.freeze()
    }

    /// Whether the client gets the same bytes that are read.
    fn passes_unpacked(&self) -> bool {
        self.unpacks || self.unpacker.is_none()
    }

    /// Corrects the format by the first byte, because servers send events with a JSON type and JSON
    /// errors with the type of event streams. No event stream begins with a bracket, and no JSON
    /// begins with a letter of a field name.
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

    /// Whether a piece consists of whole events of plain content. Most pieces of a stream do, so
    /// they pass without being split.
    fn is_plain(&self, piece: &[u8]) -> bool {
        let whole_events = piece.ends_with(b"\n\n") || piece.ends_with(b"\r\n\r\n");
        whole_events && !self.splitter.in_event() && self.interpreter.finds_plain(piece)
    }

    /// Passes on whole events except the usage event.
    fn filter(&mut self, piece: Bytes, out: &mut Vec<Bytes>) {
        let began_whole = !self.splitter.in_event();
        let before = out.len();
        let mut hid = false;
        self.splitter.push(piece.clone(), |block| {
            if self.interpreter.block(&block) {
                hid = true;
            } else {
                let (Block::Event(bytes) | Block::Oversized(bytes)) = block;
                out.push(bytes);
            }
        });
        if began_whole && !hid && !self.splitter.in_event() {
            out.truncate(before);
            out.push(piece);
        }
    }
}

/// Whether an event without its final empty line is complete.
fn is_whole(block: &Block) -> bool {
    let Block::Event(bytes) = block else { return false };
    let fields = Fields::read(bytes);
    fields.data.is_some_and(|data| data.trim_ascii() == b"[DONE]" || validate(&data).is_ok())
}
