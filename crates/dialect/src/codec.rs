//! A codec: one dialect's way into the common model and out of it.
//!
//! A codec stands on either side. As the client's it reads requests and writes answers; as the
//! target's it writes requests and reads answers. It has no clock, no socket and no dice: what it
//! needs of those comes with [`Reply`].

mod anthropic;
mod gemini;
mod openai;
mod openai_chat;
mod openai_responses;

pub use anthropic::ANTHROPIC;
pub use gemini::GEMINI;
pub(crate) use gemini::{address as gemini_address, fields as gemini_fields};
pub use openai_chat::OPENAI_CHAT;
pub use openai_responses::OPENAI_RESPONSES;

use std::fmt::Debug;

use crate::{
    Edit, Failure, FailureKind, Grammar, Malformed, Profile, Value,
    chat::{Answer, Event, MediaKind, Request, Wish},
    naming::Names,
};

/// A request as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The JSON body.
    pub body: &'a [u8],
    /// The model, where the path names it (Gemini).
    pub model: Option<&'a str>,
    /// Whether the path asks for a stream (Gemini).
    pub stream: bool,
    /// Whether a stream is to come as one JSON array (Gemini without `alt=sse`).
    pub as_array: bool,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The model as the target calls it.
    pub model: &'a str,
    /// What it accepts.
    pub profile: &'a Profile,
}

/// A request in the target's dialect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The path behind the base URL, with the version: `/v1/messages`. Models in it are escaped.
    pub path: String,
    /// The query without its question mark; empty for none.
    pub query: &'static str,
    /// Headers of the dialect itself (`anthropic-version`), besides the content type.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The JSON body.
    pub body: Vec<u8>,
    /// What the target cannot say and was left out, as the client spelled it.
    pub dropped: Vec<String>,
    /// What is needed to understand the answer.
    pub names: Names,
}

/// What an answer needs to know of the call it answers.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The model as the client named it.
    pub model: String,
    /// Letters and digits that no other answer has; ids are made of it.
    pub unique: String,
    /// When the answer was made, in seconds since 1970.
    pub created: u64,
    /// How the client wants it.
    pub wish: Wish,
}

/// One dialect.
pub trait Codec: Debug + Send + Sync {
    /// How the dialect says errors.
    fn grammar(&self) -> &'static dyn Grammar;

    /// What is usual for a model that speaks this dialect.
    fn profile(&self) -> Profile;

    // The client's side.

    /// Reads a request. What other dialects cannot be told is noted in it, or refused.
    fn decode_request<'a>(&self, ask: Ask<'a>) -> Result<Request<'a>, Failure>;

    /// Reads a question for the number of a request's input tokens, which may leave out what only
    /// an answer would need.
    fn decode_count_request<'a>(&self, ask: Ask<'a>) -> Result<Request<'a>, Failure> {
        self.decode_request(ask)
    }

    /// Whether an answer may hold images that the model made.
    fn has_images(&self) -> bool {
        true
    }

    /// Writes a whole answer.
    fn encode_answer(&self, answer: &Answer<'_>, reply: &Reply) -> Vec<u8>;

    /// Writes an answer that comes as a stream.
    fn encode_stream(&self, reply: Reply) -> Box<dyn EncodeStream>;

    /// The status of an error of this kind.
    fn status(&self, kind: FailureKind) -> u16 {
        kind.status()
    }

    /// Writes the answer to a question for the number of input tokens.
    fn encode_count(&self, tokens: u64) -> Vec<u8>;

    // The target's side.

    /// Writes a request.
    fn encode_request(&self, request: &Request<'_>, target: Target<'_>)
    -> Result<Encoded, Failure>;

    /// Reads a whole answer. A body without an answer in it is a failure.
    fn decode_answer<'a>(&self, body: &'a [u8], names: &Names) -> Result<Answer<'a>, Failure>;

    /// Reads the events of a stream.
    fn decode_stream(&self, names: Names) -> Box<dyn DecodeStream>;

    /// Reads the body of an error answer.
    fn decode_failure(&self, status: u16, body: &[u8]) -> Failure {
        Failure::read(status, body)
    }

    /// The MIME types that media of this kind may have as data, where the dialect cannot name them by
    /// an http address; empty where it can, and where it does not take the kind at all.
    fn data_only(&self, _kind: MediaKind) -> &'static [&'static str] {
        &[]
    }

    /// Writes the question for the number of input tokens; none where the dialect has none.
    fn encode_count_request(
        &self,
        request: &Request<'_>,
        target: Target<'_>,
    ) -> Option<Result<Encoded, Failure>>;

    /// Reads the answer to it.
    fn decode_count(&self, body: &[u8]) -> Option<u64>;

    // The transparent road.

    /// What must be cut out of a body of this dialect because the gateway put it into the client's
    /// history and no vendor knows it: wrapped signatures ([`crate::Signature::wrapped`]). Is asked only for
    /// bodies in which the mark stands. Places are counted in the value's own text
    /// ([`Value::raw`]), which white space may stand in front of in the body.
    fn wrapped_signatures(&self, body: &Value<'_>) -> Vec<Edit>;

    /// The same for a whole body as it came in.
    fn wrapped_signatures_of(&self, body: &[u8]) -> Result<Vec<Edit>, Malformed> {
        let before = body.len() - body.trim_ascii_start().len();
        let mut edits = self.wrapped_signatures(&Value::read(body)?);
        for edit in &mut edits {
            edit.range = edit.range.start + before..edit.range.end + before;
        }
        Ok(edits)
    }
}

/// Reads a stream of one dialect, event by event. Lines, comments and names of events are dealt
/// with by [`crate::StreamReader`].
pub trait DecodeStream: Debug + Send {
    /// The data of one event, and its name where it has one.
    fn event(&mut self, name: Option<&[u8]>, data: &[u8], emit: &mut dyn FnMut(Event<'_>));

    /// The body has ended. Says what is still to be said: `End` where the answer was complete,
    /// `Failed` where it was cut off, nothing where either was said before.
    fn finish(&mut self, emit: &mut dyn FnMut(Event<'_>));
}

/// Writes a stream of one dialect. Everything that an event makes known is written at once.
pub trait EncodeStream: Debug + Send {
    /// One step of the answer; what the client is to get is added to `out`.
    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>);

    /// What keeps a silent connection alive, where the dialect has something harmless and the
    /// stream is at a place where it may stand; else nothing is written.
    fn keep_alive(&mut self, out: &mut Vec<u8>);

    /// The media type of the stream.
    fn content_type(&self) -> &'static str {
        "text/event-stream"
    }
}
