//! Listens to an answer while it passes: tokens, errors, the first event and the end.
//!
//! The bytes that go in come out, in the same pieces where that is possible, and nothing waits for
//! what comes after it. There is one exception: the usage event that *we* asked an OpenAI stream
//! for is taken out again, and for that an event that came in parts waits until it is whole.
//!
//! What the bytes mean is the listener's business (`listener.rs`); this file moves them.

use bytes::{Bytes, BytesMut};

use crate::{
    Block, ErrorWords, Fields, Grammar, ProviderError, Splitter, Tokens,
    listener::Listener,
    told::Told,
    unpack::{Coding, Unpacker},
    validate,
};

/// Events up to this size are read; larger ones pass, and only their usage is picked out.
const EVENT_CAP: usize = 1 << 20;

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
    form: Form,
    sniffed: bool,
    hide_usage_event: bool,
    splitter: Splitter,
    listener: Listener,
    unpacker: Option<Box<Unpacker>>,
    /// Whether the client gets what the unpacker makes of the answer.
    unpacks: bool,
}

impl Tap {
    /// A tap for one answer.
    pub fn new(grammar: &'static dyn Grammar, options: TapOptions) -> Tap {
        Tap {
            form: options.form,
            sniffed: false,
            hide_usage_event: options.hide_usage_event,
            splitter: Splitter::new(EVENT_CAP),
            listener: Listener::new(grammar, options.hide_usage_event),
            unpacker: None,
            unpacks: false,
        }
    }

    /// The answer comes compressed, and the client did not ask for that: it gets it unpacked, and
    /// must not be told the `content-encoding` nor the `content-length`.
    pub fn unpacking(mut self, coding: Coding) -> Tap {
        self.unpacker = Some(Box::new(Unpacker::new(coding)));
        self.unpacks = true;
        self
    }

    /// The answer comes compressed and stays so. It is read all the same; no event can be hidden.
    pub fn reading_through(mut self, coding: Coding) -> Tap {
        self.unpacker = Some(Box::new(Unpacker::new(coding)));
        self
    }

    /// The next piece from the provider; what is to go to the client is added to `out`.
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
            Err(_) if self.unpacks => self.listener.failed(b"the answer is not well compressed"),
            Err(_) => {
                // It passes as it is; what it says stays unknown.
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
                self.listener.first = First::Content;
                self.listener.json_read = self.listener.json_read.saturating_add(piece.len());
                out.push(piece);
            }
            Form::Json => {
                self.listener.json(&piece);
                out.push(piece);
            }
            Form::Sse if self.is_plain(&piece) => {
                self.listener.spoken.note_all(&piece);
                out.push(piece);
            }
            Form::Sse if self.hide_usage_event => self.filter(piece, out),
            Form::Sse => {
                self.splitter.push(piece.clone(), |block| {
                    self.listener.block(&block);
                });
                out.push(piece);
            }
        }
    }

    /// The provider has ended; what was still held back is added to `out`.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) {
        if let Some(block) = self.splitter.finish() {
            let is_usage = is_whole(&block) && self.listener.block(&block);
            if self.hide_usage_event && !is_usage && self.passes_unpacked() {
                let (Block::Event(bytes) | Block::Oversized(bytes)) = block;
                out.push(bytes);
            }
        }
        if self.listener.first == First::Pending {
            let is_text = self.form == Form::Json && self.sniffed;
            self.listener.first = if is_text { First::Content } else { First::Empty };
        }
    }

    /// What the answer began with, as far as that is known.
    pub fn first(&self) -> &First {
        &self.listener.first
    }

    /// Whether the dialect's own end was seen: `[DONE]`, `message_stop`, a final response, an
    /// error, or the last bracket of a JSON answer. Never in a Gemini event stream, which ends
    /// where its body ends.
    pub fn ended(&self) -> bool {
        self.listener.ended
    }

    /// Whether nothing would be missing if the body ended here: the end was seen, or a reason to
    /// finish. An answer that ends otherwise was cut off.
    pub fn complete(&self) -> bool {
        self.listener.complete
    }

    /// The error that came first, or in the middle.
    pub fn error(&self) -> Option<&ProviderError> {
        self.listener.error.as_ref()
    }

    /// The tokens that the provider reported so far.
    pub fn usage(&self) -> Option<Tokens> {
        self.listener.usage()
    }

    /// What the provider said about its answer beside the answer itself.
    pub fn told(&self) -> Told {
        self.listener.told()
    }

    /// The tokens that came out by a rough count, for answers whose provider reports none: one for
    /// each event with text in it, or for every four bytes where events carry more than a token.
    pub fn counted(&self) -> u64 {
        match self.form {
            Form::Sse => self.listener.spoken.tokens(),
            Form::Json | Form::Opaque => self.listener.json_read as u64 / 4,
        }
    }

    /// What tells the client that the provider broke off: the event to send before the end, in
    /// the client's dialect. Empty where nothing can be said in good form any more.
    pub fn broken_off(&self, words: &ErrorWords<'_>) -> Bytes {
        if self.form != Form::Sse || self.listener.ended || !self.passes_unpacked() {
            return Bytes::new();
        }
        let event = self.listener.grammar().error_event(words);
        if !self.splitter.in_event() || self.hide_usage_event {
            return event.into();
        }
        let mut bytes = BytesMut::from(&b"\n\n"[..]);
        bytes.extend_from_slice(&event);
        bytes.freeze()
    }

    /// Whether what is read is what the client gets.
    fn passes_unpacked(&self) -> bool {
        self.unpacks || self.unpacker.is_none()
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

    /// Whether a piece is whole events of mere content. That is what nearly all of a stream is, so
    /// they pass without being taken apart.
    fn is_plain(&self, piece: &[u8]) -> bool {
        let whole_events = piece.ends_with(b"\n\n") || piece.ends_with(b"\r\n\r\n");
        whole_events && !self.splitter.in_event() && self.listener.finds_plain(piece)
    }

    /// Passes on whole events, all but the one of usage.
    fn filter(&mut self, piece: Bytes, out: &mut Vec<Bytes>) {
        let began_whole = !self.splitter.in_event();
        let before = out.len();
        let mut hid = false;
        self.splitter.push(piece.clone(), |block| {
            if self.listener.block(&block) {
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

/// Whether an event that lacks its empty line is there to its end.
fn is_whole(block: &Block) -> bool {
    let Block::Event(bytes) = block else { return false };
    let fields = Fields::read(bytes);
    fields.data.is_some_and(|data| data.trim_ascii() == b"[DONE]" || validate(&data).is_ok())
}
