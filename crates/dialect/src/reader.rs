//! Reads a stream of bytes as events of the common model; shared by all dialects.
//!
//! Splits the body into events, which the codec decodes. Bodies that are not event streams are
//! handled too: a whole JSON answer, a JSON list, an error with status 200, and JSON between
//! events.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use crate::{
    Codec, DecodeStream, Failure, FailureKind, Names, ProviderError, Value,
    chat::Event,
    metadata::AnswerMetadata,
    sse::{Block, Fields, Splitter},
    tokens::Reported,
    usage_scanner::scan,
};

/// Largest event, and largest document instead of a stream, in bytes.
const CAP: usize = 32 * 1024 * 1024;

/// Largest error between events, in bytes.
const BARE_CAP: usize = 1024 * 1024;

/// A text that every event with usage contains.
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage"));

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads the stream of a provider.
#[derive(Debug)]
pub struct StreamReader {
    codec: &'static dyn Codec,
    names: Names,
    decoder: Box<dyn DecodeStream>,
    splitter: Splitter,
    form: Form,
    /// Incomplete JSON between events.
    bare: Vec<u8>,
    metadata: AnswerMetadata,
    /// Whether an event with content was read.
    begun: bool,
    /// Whether the last event was emitted: everything after it is ignored.
    ended: bool,
    cap: usize,
}

#[derive(Debug)]
enum Form {
    /// Only white space so far.
    Unknown(BytesMut),
    /// Server-sent events.
    Events,
    /// One JSON document.
    Document(BytesMut),
}

impl StreamReader {
    /// Creates a reader for the dialect of `codec`, with the names sent to the target.
    pub fn new(codec: &'static dyn Codec, names: Names) -> StreamReader {
        StreamReader::with_cap(codec, names, CAP)
    }

    fn with_cap(codec: &'static dyn Codec, names: Names, cap: usize) -> StreamReader {
        StreamReader {
            codec,
            decoder: codec.decode_stream(names.clone()),
            names,
            splitter: Splitter::new(cap),
            form: Form::Unknown(BytesMut::new()),
            bare: Vec::new(),
            metadata: AnswerMetadata::default(),
            begun: false,
            ended: false,
            cap,
        }
    }

    /// Reads the next piece of the body.
    pub fn push(&mut self, piece: Bytes, emit: &mut dyn FnMut(Event<'_>)) {
        if self.ended {
            return;
        }
        match &mut self.form {
            Form::Events => self.split(piece, emit),
            Form::Document(whole) => {
                whole.extend_from_slice(&piece);
                if whole.len() > self.cap {
                    self.fail("the provider's answer is too large", emit);
                }
            }
            Form::Unknown(begun) => {
                begun.extend_from_slice(&piece);
                let text = begun.strip_prefix(BOM).unwrap_or(begun).trim_ascii_start();
                let cut_mark = begun.len() < BOM.len() && BOM.starts_with(begun);
                if (text.is_empty() || cut_mark) && begun.len() < self.cap {
                    return;
                }
                let first = text.first().copied();
                let begun = begun.split();
                if matches!(first, Some(b'{' | b'[')) {
                    self.form = Form::Document(BytesMut::new());
                    self.push(begun.freeze(), emit);
                } else {
                    self.form = Form::Events;
                    self.split(begun.freeze(), emit);
                }
            }
        }
    }

    /// Returns the metadata of the answer so far.
    pub fn metadata(&self) -> AnswerMetadata {
        self.metadata.clone()
    }

    /// Ends the body.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        if let Form::Document(whole) = &mut self.form {
            let whole = whole.split();
            if !self.ended {
                let _ = scan(&whole, &mut Reported::default(), &mut self.metadata);
                self.document(whole.strip_prefix(BOM).unwrap_or(&whole), emit);
            }
        } else if let Some(Block::Event(block)) = self.splitter.finish() {
            self.event(&block, emit);
        }
        if !self.ended {
            self.decoder.finish(&mut watched(&mut self.ended, emit));
        }
    }

    fn split(&mut self, piece: Bytes, emit: &mut dyn FnMut(Event<'_>)) {
        // The splitter is taken out so that `self` can handle its events.
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        splitter.push(piece, |block| match block {
            Block::Event(block) => self.event(&block, emit),
            Block::Oversized(_) => self.fail("an event of the provider is too large", emit),
        });
        self.splitter = splitter;
    }

    fn event(&mut self, block: &[u8], emit: &mut dyn FnMut(Event<'_>)) {
        if self.ended {
            return;
        }
        let (events, bare) = block.split_at(bare_json(block).unwrap_or(block.len()));
        let fields = Fields::read(events);
        if let Some(data) = fields.data {
            // The model is in the first event, the usage in events that mention it.
            if !self.begun || USAGE.find(&data).is_some() {
                self.begun = true;
                let _ = scan(&data, &mut Reported::default(), &mut self.metadata);
            }
            self.decoder.event(fields.name, &data, &mut watched(&mut self.ended, emit));
        } else if bare.is_empty() && !self.bare.is_empty() {
            // JSON with an empty line in it continues here.
            self.error(block, emit);
        }
        if !bare.is_empty() {
            self.bare.clear();
            self.error(bare, emit);
        }
    }

    /// Reads more of the JSON between events.
    fn error(&mut self, more: &[u8], emit: &mut dyn FnMut(Event<'_>)) {
        if self.ended || self.bare.len() + more.len() > BARE_CAP {
            return;
        }
        self.bare.extend_from_slice(more);
        if let Some(error) = ProviderError::read(&self.bare) {
            self.ended = true;
            emit(Event::Failed(self.codec.decode_failure(error.status, &self.bare)));
        }
    }

    /// Reads a whole document that came instead of a stream.
    fn document(&mut self, whole: &[u8], emit: &mut dyn FnMut(Event<'_>)) {
        let emit = &mut watched(&mut self.ended, emit);
        if let Some(error) = ProviderError::read(whole) {
            return emit(Event::Failed(self.codec.decode_failure(error.status, whole)));
        }
        match Value::read(whole) {
            Ok(list) if list.is_array() => {
                for item in list.items() {
                    self.decoder.event(None, item.raw().as_bytes(), emit);
                }
            }
            Ok(_) => match self.codec.decode_answer(whole, &self.names) {
                Ok(answer) => answer.tell(emit),
                Err(failure) => emit(Event::Failed(failure)),
            },
            Err(_) => emit(Event::Failed(broken("the provider's answer is not valid JSON"))),
        }
    }

    fn fail(&mut self, message: &str, emit: &mut dyn FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.ended, true) {
            emit(Event::Failed(broken(message)));
        }
    }
}

/// Suppresses events after the last one.
fn watched<'w>(
    ended: &'w mut bool,
    emit: &'w mut dyn FnMut(Event<'_>),
) -> impl FnMut(Event<'_>) + 'w {
    move |event| {
        if !*ended {
            *ended = matches!(event, Event::End | Event::Failed(_));
            emit(event);
        }
    }
}

fn broken(message: &str) -> Failure {
    Failure::new(FailureKind::BadGateway, message)
}

/// Returns the offset of a line in a block that is JSON and not a field of an event.
fn bare_json(block: &[u8]) -> Option<usize> {
    let starts = |at: usize| matches!(block.get(at), Some(b'{' | b'['));
    let bom = if block.starts_with(BOM) { BOM.len() } else { 0 };
    if starts(bom) {
        return Some(bom);
    }
    memchr::memchr2_iter(b'\n', b'\r', block).map(|end| end + 1).find(|&at| starts(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    /// Returns the text and the end of a stream in these pieces.
    fn read(pieces: &[&str], cap: usize) -> (String, String) {
        let mut reader = StreamReader::with_cap(codec::OPENAI_CHAT, Names::default(), cap);
        let (mut said, mut end) = (String::new(), String::new());
        let mut emit = |event: Event<'_>| match event {
            Event::Delta { text, .. } => said.push_str(&text),
            Event::Failed(failure) => end.push_str(&failure.message),
            Event::End => end.push_str("end"),
            _ => {}
        };
        for piece in pieces {
            reader.push(Bytes::copy_from_slice(piece.as_bytes()), &mut emit);
        }
        reader.finish(&mut emit);
        (said, end)
    }

    #[track_caller]
    fn check(pieces: &[&str], said: &str, end: &str) {
        assert_eq!(read(pieces, 200), (said.to_owned(), end.to_owned()), "{pieces:?}");
    }

    const A: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    #[test]
    fn comments_and_what_stands_behind_the_end_say_nothing() {
        check(&["\n\n: hi\n\n", "event: ping\n\n", A, ":\n", A, DONE, A], "aa", "end");
        check(&["\u{feff}", A, DONE], "a", "end");
        check(&[A, "data:[DONE]"], "a", "end");
    }

    #[test]
    fn what_is_too_large_ends_the_stream() {
        let large = format!("data: {}", "x".repeat(300));
        check(&[A, &large, A, DONE], "a", "an event of the provider is too large");
        let document = format!("{{\"choices\":\"{}", "x".repeat(300));
        check(&[&document, "\"}"], "", "the provider's answer is too large");
    }

    #[test]
    fn json_that_stands_bare_between_events_is_an_error() {
        let error = "{\n \"error\": {\n  \"message\": \"busy\"";
        check(&[A, error, "\n }\n}\n"], "a", "busy");
        check(&[A, error, "\n\n }}\n\n", A, DONE], "a", "busy");
        let behind = A.trim_end().to_owned() + "\n" + error + "}}";
        check(&[&behind], "a", "busy");
        // Only an error ends the stream.
        check(&[A, "{\"ping\": 1}\n\n", A, DONE], "aa", "end");
    }

    #[test]
    fn a_body_may_come_byte_by_byte() {
        let document = " {\"choices\":[{\"message\":{\"content\":\"\u{e4}\"}}]} ";
        for body in [format!("\u{feff}{A}{DONE}"), format!("\u{feff}{document}")] {
            let mut reader = StreamReader::new(codec::OPENAI_CHAT, Names::default());
            let mut ended = false;
            let mut emit = |event: Event<'_>| ended |= matches!(event, Event::End);
            for byte in body.bytes() {
                reader.push(Bytes::copy_from_slice(&[byte]), &mut emit);
            }
            reader.finish(&mut emit);
            assert!(ended, "{body}");
        }
    }
}
