//! Codecs: each converts one dialect to the common model and back.
//!
//! As the client's dialect a codec decodes requests and encodes answers; as the target's dialect it
//! encodes requests and decodes answers. It has no clock, no socket and no random numbers:
//! [`Reply`] supplies ids and times.

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
    /// The model, if it is in the path (Gemini).
    pub model: Option<&'a str>,
    /// Whether the path asks for a stream (Gemini).
    pub stream: bool,
    /// Whether the stream is requested as one JSON array (Gemini without `alt=sse`).
    pub as_array: bool,
}

/// The target of a request.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The model as the target calls it.
    pub model: &'a str,
    /// The profile of the model.
    pub profile: &'a Profile,
}

/// A request in the target's dialect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The path after the base URL, with the version (`/v1/messages`); model names in it are
    /// escaped.
    pub path: String,
    /// The query without the question mark; may be empty.
    pub query: &'static str,
    /// Headers of the dialect itself (`anthropic-version`), besides the content type.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The JSON body.
    pub body: Vec<u8>,
    /// Fields that the target dialect cannot express and that were dropped, as the client spelled
    /// them.
    pub dropped: Vec<String>,
    /// The tool names and ids that are needed to decode the answer.
    pub names: Names,
}

/// Properties of the call that its answer repeats.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The model as the client named it.
    pub model: String,
    /// A unique string of letters and digits, from which ids are made.
    pub unique: String,
    /// The time of the answer, in seconds since 1970.
    pub created: u64,
    /// The form of answer that the client requested.
    pub wish: Wish,
}

/// One dialect.
pub trait Codec: Debug + Send + Sync {
    /// Returns the grammar of the dialect, which formats errors.
    fn grammar(&self) -> &'static dyn Grammar;

    /// Returns the default profile of models that speak this dialect.
    fn profile(&self) -> Profile;

    // The client's side.

    /// Decodes a request. Fields that the common model cannot hold are listed in the result or
    /// refused.
    ///
    /// # Errors
    ///
    /// Returns a failure with `param` if the request is invalid or cannot be converted.
    fn decode_request<'a>(&self, ask: Ask<'a>) -> Result<Request<'a>, Failure>;

    /// Decodes a request to count input tokens, which may omit fields that only an answer needs.
    fn decode_count_request<'a>(&self, ask: Ask<'a>) -> Result<Request<'a>, Failure> {
        self.decode_request(ask)
    }

    /// Whether answers in this dialect may contain generated images.
    fn has_images(&self) -> bool {
        true
    }

    /// Encodes a whole answer.
    fn encode_answer(&self, answer: &Answer<'_>, reply: &Reply) -> Vec<u8>;

    /// Creates an encoder for a streamed answer.
    fn encode_stream(&self, reply: Reply) -> Box<dyn EncodeStream>;

    /// Returns the status for an error kind.
    fn status(&self, kind: FailureKind) -> u16 {
        kind.status()
    }

    /// Encodes the answer to a request to count input tokens.
    fn encode_count(&self, tokens: u64) -> Vec<u8>;

    // The target's side.

    /// Encodes a request.
    fn encode_request(&self, request: &Request<'_>, target: Target<'_>)
    -> Result<Encoded, Failure>;

    /// Decodes a whole answer.
    ///
    /// # Errors
    ///
    /// Returns a failure if the body contains no answer.
    fn decode_answer<'a>(&self, body: &'a [u8], names: &Names) -> Result<Answer<'a>, Failure>;

    /// Creates a decoder for a streamed answer.
    fn decode_stream(&self, names: Names) -> Box<dyn DecodeStream>;

    /// Decodes the body of an error answer.
    fn decode_failure(&self, status: u16, body: &[u8]) -> Failure {
        Failure::read(status, body)
    }

    /// Returns the MIME types of media of this kind that must be sent as data, because the dialect has
    /// no http addresses for them; empty if it has, or if it does not accept the kind.
    fn data_only(&self, _kind: MediaKind) -> &'static [&'static str] {
        &[]
    }

    /// Encodes a request to count input tokens; `None` if the dialect has no such endpoint.
    fn encode_count_request(
        &self,
        request: &Request<'_>,
        target: Target<'_>,
    ) -> Option<Result<Encoded, Failure>>;

    /// Decodes the answer to it: the number of input tokens.
    fn decode_count(&self, body: &[u8]) -> Option<u64>;

    // Without conversion.

    /// Returns the edits that remove wrapped signatures ([`crate::Signature::wrapped`]), which the
    /// gateway put into the client's history and no provider knows. Called only for bodies that
    /// contain the mark. Ranges are offsets into [`Value::raw`], which may have white space before
    /// it in the body.
    fn wrapped_signatures(&self, body: &Value<'_>) -> Vec<Edit>;

    /// Returns the same edits for a whole body, with offsets into the body.
    ///
    /// # Errors
    ///
    /// Returns [`Malformed`] if the body is not valid JSON.
    fn wrapped_signatures_of(&self, body: &[u8]) -> Result<Vec<Edit>, Malformed> {
        let before = body.len() - body.trim_ascii_start().len();
        let mut edits = self.wrapped_signatures(&Value::read(body)?);
        for edit in &mut edits {
            edit.range = edit.range.start + before..edit.range.end + before;
        }
        Ok(edits)
    }
}

/// Decodes a stream of one dialect, event by event. [`crate::StreamReader`] handles lines, comments
/// and names of events.
pub trait DecodeStream: Debug + Send {
    /// Decodes one event: its data, and its name if it has one.
    fn event(&mut self, name: Option<&[u8]>, data: &[u8], emit: &mut dyn FnMut(Event<'_>));

    /// Ends the stream. Emits `End` if the answer was complete, `Failed` if it was cut off, and
    /// nothing if either was emitted before.
    fn finish(&mut self, emit: &mut dyn FnMut(Event<'_>));
}

/// Encodes a stream of one dialect. The output of an event is written at once.
pub trait EncodeStream: Debug + Send {
    /// Encodes one event and appends the bytes for the client to `out`.
    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>);

    /// Appends a keep-alive event if the dialect has one and the stream is in a state that allows
    /// it.
    fn keep_alive(&mut self, out: &mut Vec<u8>);

    /// The media type of the stream.
    fn content_type(&self) -> &'static str {
        "text/event-stream"
    }
}
