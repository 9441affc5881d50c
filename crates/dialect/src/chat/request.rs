//! Requests to a model.

use std::{borrow::Cow, slice};

use super::{Name, Schema, Tool, ToolChoice};
use crate::Signature;

/// A request for text, in no particular dialect.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The model as the client named it.
    pub model: Cow<'a, str>,
    /// Whether a stream is requested.
    pub stream: bool,
    /// The turns of the conversation. System turns keep their position; those before all others are
    /// the system prompt.
    pub turns: Vec<Turn<'a>>,
    /// The tools. Tools that a provider runs itself are not included.
    pub tools: Vec<Tool<'a>>,
    /// Which tools may or must be called.
    pub tool_choice: Option<Said<'a, ToolChoice<'a>>>,
    /// Whether several tools may be called in one answer.
    pub parallel_calls: Option<Said<'a, bool>>,
    /// The output limit, in tokens.
    pub max_output: Option<Said<'a, u64>>,
    /// The stop sequences.
    pub stop: Option<Said<'a, Vec<Cow<'a, str>>>>,
    /// Sampling parameters.
    pub sampling: Sampling<'a>,
    /// Reasoning parameters.
    pub thinking: Option<Said<'a, Thinking>>,
    /// The format of the answer; `None` for text.
    pub format: Option<Said<'a, Format<'a>>>,
    /// The number of candidates.
    pub candidates: Option<Said<'a, u64>>,
    /// The number of alternatives for which log probabilities are requested, per token.
    pub logprobs: Option<Said<'a, u64>>,
    /// The client's identifier of the end user.
    pub user: Option<Said<'a, Cow<'a, str>>>,
    /// The requested form of the answer.
    pub wish: Wish,
    /// Fields that the common model cannot hold, as the client spelled them; conversion drops them.
    pub dropped: Vec<String>,
}

impl<'a> Request<'a> {
    /// Returns the turns of the system prompt, and all others.
    pub(crate) fn prompt_and_turns(&self) -> (&[Turn<'a>], &[Turn<'a>]) {
        let leading = self.turns.iter().take_while(|turn| turn.role == Role::System).count();
        self.turns.split_at(leading)
    }

    /// All media, those in results of tools too.
    pub fn media(&self) -> impl Iterator<Item = &Media<'a>> {
        let pieces = self.turns.iter().flat_map(|turn| &turn.pieces);
        let pieces = pieces.flat_map(|piece| match piece {
            Piece::Result { content, .. } => content.as_slice(),
            other => slice::from_ref(other),
        });
        pieces.filter_map(|piece| if let Piece::Media(media) = piece { Some(media) } else { None })
    }

    /// The same, to be changed.
    pub fn media_mut(&mut self) -> impl Iterator<Item = &mut Media<'a>> {
        let pieces = self.turns.iter_mut().flat_map(|turn| &mut turn.pieces);
        let pieces = pieces.flat_map(|piece| match piece {
            Piece::Result { content, .. } => content.as_mut_slice(),
            other => slice::from_mut(other),
        });
        pieces.filter_map(|piece| if let Piece::Media(media) = piece { Some(media) } else { None })
    }
}

/// A value and its path in the client's request, in the client's spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<'a, T> {
    /// The value.
    pub value: T,
    /// The path, for example `presence_penalty` or `generationConfig.topK`.
    pub path: Cow<'a, str>,
}

impl<'a, T> Said<'a, T> {
    /// Creates a value with its path.
    pub fn new(value: T, path: impl Into<Cow<'a, str>>) -> Self {
        Self { value, path: path.into() }
    }
}

/// How tokens are drawn. Numbers are kept as they were written.
#[derive(Debug, Clone, Default)]
pub struct Sampling<'a> {
    /// Temperature: 0 to 2, for Anthropic 0 to 1.
    pub temperature: Option<Said<'a, &'a str>>,
    /// Nucleus sampling.
    pub top_p: Option<Said<'a, &'a str>>,
    /// The number of most likely tokens to sample from.
    pub top_k: Option<Said<'a, &'a str>>,
    /// The seed, for reproducible answers.
    pub seed: Option<Said<'a, &'a str>>,
    /// The penalty of tokens that occurred already.
    pub presence_penalty: Option<Said<'a, &'a str>>,
    /// The penalty of tokens by their frequency.
    pub frequency_penalty: Option<Said<'a, &'a str>>,
    /// The bias of single tokens: an object as it was written.
    pub logit_bias: Option<Said<'a, &'a str>>,
}

/// Reasoning parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thinking {
    /// The effort on the common scale; `None` leaves it to the model.
    pub effort: Option<Effort>,
    /// The token budget, if the client gave a number.
    pub budget: Option<u64>,
    /// Whether the client wants to see the reasoning or a summary of it.
    pub shown: bool,
}

/// The reasoning effort. The order is the scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// No reasoning.
    None,
    /// `minimal`
    Minimal,
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `xhigh`
    Xhigh,
    /// `max`
    Max,
}

impl Effort {
    /// The whole scale.
    pub const ALL: [Effort; 7] = [
        Effort::None,
        Effort::Minimal,
        Effort::Low,
        Effort::Medium,
        Effort::High,
        Effort::Xhigh,
        Effort::Max,
    ];

    /// Returns the name, which is the same in all dialects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::Xhigh => "xhigh",
            Effort::Max => "max",
        }
    }

    /// Returns the effort with this name, ignoring case.
    pub fn named(name: &str) -> Option<Effort> {
        Effort::ALL.into_iter().find(|effort| effort.as_str().eq_ignore_ascii_case(name))
    }

    /// Returns the usual token budget of the effort.
    pub const fn budget(self) -> u64 {
        match self {
            Effort::None => 0,
            Effort::Minimal => 1024,
            Effort::Low => 2048,
            Effort::Medium => 8192,
            Effort::High => 16_384,
            Effort::Xhigh => 24_576,
            Effort::Max => 32_000,
        }
    }

    /// Returns the highest effort whose usual budget does not exceed `budget`; at least `Minimal`
    /// unless `budget` is zero.
    pub fn of_budget(budget: u64) -> Effort {
        if budget == 0 {
            return Effort::None;
        }
        let fits = Effort::ALL.into_iter().rev().find(|effort| effort.budget() <= budget);
        fits.filter(|effort| *effort != Effort::None).unwrap_or(Effort::Minimal)
    }
}

/// The format of the answer.
#[derive(Debug, Clone)]
pub enum Format<'a> {
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// The client's name of the schema.
        name: Option<Cow<'a, str>>,
        /// The description of the schema.
        description: Option<Cow<'a, str>>,
        /// The JSON schema.
        schema: Schema<'a>,
        /// Whether the answer must match the schema strictly.
        strict: Option<bool>,
    },
}

/// The role of a speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The instructions.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// A turn of the conversation. Tool results are in turns of the user.
#[derive(Debug, Clone)]
pub struct Turn<'a> {
    /// The speaker.
    pub role: Role,
    /// The content, in order.
    pub pieces: Vec<Piece<'a>>,
}

/// A block of content in the history.
#[derive(Debug, Clone)]
pub enum Piece<'a> {
    /// Plain text.
    Text {
        /// The text.
        text: Cow<'a, str>,
        /// Gemini signs texts too.
        signature: Option<Signature<'a>>,
    },
    /// An image, document, audio or video.
    Media(Media<'a>),
    /// What the model thought.
    Thinking {
        /// As far as it was shown.
        text: Cow<'a, str>,
        /// The signature of the provider. Reasoning without one is not sent to another provider.
        signature: Option<Signature<'a>>,
    },
    /// A tool call of the model.
    Call {
        /// The id that pairs the call with its result.
        id: Cow<'a, str>,
        /// The tool.
        name: Name<'a>,
        /// A JSON object as it was written, or plain text for a free-form tool. May be empty.
        input: Cow<'a, str>,
        /// Gemini signs calls.
        signature: Option<Signature<'a>>,
    },
    /// The result of a tool.
    Result {
        /// The id of the call.
        id: Cow<'a, str>,
        /// The name of the tool, if the dialect repeats it.
        name: Option<Cow<'a, str>>,
        /// Texts and media.
        content: Vec<Piece<'a>>,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// A refusal of the model.
    Refusal(Cow<'a, str>),
}

/// Content that is not text.
#[derive(Debug, Clone)]
pub struct Media<'a> {
    /// What it is.
    pub kind: MediaKind,
    /// Where it is.
    pub source: Source<'a>,
    /// The MIME type, if it is given, for example `image/png`.
    pub mime: Option<Cow<'a, str>>,
    /// The name or title of a document.
    pub name: Option<Cow<'a, str>>,
    /// The resolution: OpenAI's `detail`.
    pub detail: Option<Cow<'a, str>>,
    /// The path in the request, for error messages: `messages[0].content[1]`.
    pub path: String,
}

/// The kind of a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// An image.
    Image,
    /// Audio.
    Audio,
    /// A PDF or text file.
    Document,
    /// A video.
    Video,
}

/// The location of a medium.
#[derive(Debug, Clone)]
pub enum Source<'a> {
    /// At an address.
    Url(Cow<'a, str>),
    /// Embedded: padded base64 in the standard alphabet.
    Base64(Cow<'a, str>),
    /// Embedded text.
    Text(Cow<'a, str>),
    /// A file in the account of one provider, by id.
    File(Cow<'a, str>),
}

/// The requested form of the answer: properties of the request that encoders of answers need. It
/// outlives the request's body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Usage at the end of a stream (Chat Completions: `stream_options.include_usage`).
    pub include_usage: bool,
    /// The single call as `function_call` (Chat Completions before it had tools).
    pub function_call: bool,
    /// A stream as one growing JSON array (Gemini without `alt=sse`).
    pub as_array: bool,
    /// Members of the request that the answer repeats, as JSON (Responses: `tools`, …).
    pub echo: Vec<(&'static str, String)>,
}
