//! What is asked of a model.

use std::{borrow::Cow, slice};

use super::{Name, Schema, Tool, ToolChoice};
use crate::Signature;

/// A call for text, whatever the dialect it came in.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The model as the client named it.
    pub model: Cow<'a, str>,
    /// Whether the answer is to come as a stream.
    pub stream: bool,
    /// Who said what. System turns stand where they stood; those in front of all others are the
    /// system prompt.
    pub turns: Vec<Turn<'a>>,
    /// The functions that may be called. Tools that a vendor runs itself are not among them.
    pub tools: Vec<Tool<'a>>,
    /// Which of them may or must be called.
    pub tool_choice: Option<Said<'a, ToolChoice<'a>>>,
    /// Whether several calls may be made at once.
    pub parallel_calls: Option<Said<'a, bool>>,
    /// Most tokens of the answer.
    pub max_output: Option<Said<'a, u64>>,
    /// Texts that end the answer.
    pub stop: Option<Said<'a, Vec<Cow<'a, str>>>>,
    /// How tokens are drawn.
    pub sampling: Sampling<'a>,
    /// How much to think.
    pub thinking: Option<Said<'a, Thinking>>,
    /// In which form to answer; none for text.
    pub format: Option<Said<'a, Format<'a>>>,
    /// How many answers.
    pub candidates: Option<Said<'a, u64>>,
    /// Log probabilities of the answer's tokens, with so many alternatives to each.
    pub logprobs: Option<Said<'a, u64>>,
    /// Who the end user is, in the client's own terms.
    pub user: Option<Said<'a, Cow<'a, str>>>,
    /// How the client wants its answer.
    pub wish: Wish,
    /// What was asked for and cannot be said in the common model, as the client spelled it: every
    /// other dialect will do without it.
    pub dropped: Vec<String>,
}

impl<'a> Request<'a> {
    /// The turns of the system prompt, and all others.
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

/// A value and where the client said it, as a path in the client's own spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<'a, T> {
    /// What was said.
    pub value: T,
    /// Where: `presence_penalty`, `generationConfig.topK`.
    pub path: Cow<'a, str>,
}

impl<'a, T> Said<'a, T> {
    /// What was said, and where.
    pub fn new(value: T, path: impl Into<Cow<'a, str>>) -> Self {
        Self { value, path: path.into() }
    }
}

/// How tokens are drawn. Numbers are kept as they were written.
#[derive(Debug, Clone, Default)]
pub struct Sampling<'a> {
    /// Temperature; 0 to 2, with Anthropic 0 to 1.
    pub temperature: Option<Said<'a, &'a str>>,
    /// Nucleus sampling.
    pub top_p: Option<Said<'a, &'a str>>,
    /// Only the likeliest so many.
    pub top_k: Option<Said<'a, &'a str>>,
    /// For answers that can be repeated.
    pub seed: Option<Said<'a, &'a str>>,
    /// Against tokens that were there already.
    pub presence_penalty: Option<Said<'a, &'a str>>,
    /// Against tokens that were there often.
    pub frequency_penalty: Option<Said<'a, &'a str>>,
    /// For or against certain tokens: an object as it was written.
    pub logit_bias: Option<Said<'a, &'a str>>,
}

/// How much to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thinking {
    /// On the common scale; none leaves it to the model.
    pub effort: Option<Effort>,
    /// Most tokens to spend on it, where the client said a number.
    pub budget: Option<u64>,
    /// Whether the client wants to see thoughts (or a summary of them).
    pub shown: bool,
}

/// How hard to think. The order is the scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
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

    /// The name in every dialect that has one.
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

    /// The effort of this name; case does not matter.
    pub fn named(name: &str) -> Option<Effort> {
        Effort::ALL.into_iter().find(|effort| effort.as_str().eq_ignore_ascii_case(name))
    }

    /// The tokens that are usual for it.
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

    /// The highest effort whose usual tokens do not exceed `budget`; at least `Minimal` for any
    /// number but zero.
    pub fn of_budget(budget: u64) -> Effort {
        if budget == 0 {
            return Effort::None;
        }
        let fits = Effort::ALL.into_iter().rev().find(|effort| effort.budget() <= budget);
        fits.filter(|effort| *effort != Effort::None).unwrap_or(Effort::Minimal)
    }
}

/// In which form to answer.
#[derive(Debug, Clone)]
pub enum Format<'a> {
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// What the client calls it.
        name: Option<Cow<'a, str>>,
        /// What it is for.
        description: Option<Cow<'a, str>>,
        /// The JSON schema.
        schema: Schema<'a>,
        /// Whether the answer must fit it strictly.
        strict: Option<bool>,
    },
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Whoever set the model up.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
}

/// What one of them said. Results of tools stand in turns of the user.
#[derive(Debug, Clone)]
pub struct Turn<'a> {
    /// Who speaks.
    pub role: Role,
    /// What was said, in order.
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
    /// An image, a document, a sound.
    Media(Media<'a>),
    /// What the model thought.
    Thinking {
        /// As far as it was shown.
        text: Cow<'a, str>,
        /// Its vendor's signature. Thoughts without one are not sent to another vendor.
        signature: Option<Signature<'a>>,
    },
    /// The model calls a tool.
    Call {
        /// What pairs it with its result.
        id: Cow<'a, str>,
        /// Which tool.
        name: Name<'a>,
        /// A JSON object as it was written, or plain text for a free-form tool. May be empty.
        input: Cow<'a, str>,
        /// Gemini signs calls.
        signature: Option<Signature<'a>>,
    },
    /// What a tool gave.
    Result {
        /// The id of the call.
        id: Cow<'a, str>,
        /// The tool's name, where the dialect says it again.
        name: Option<Cow<'a, str>>,
        /// Texts and media.
        content: Vec<Piece<'a>>,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// The model declined.
    Refusal(Cow<'a, str>),
}

/// Content that is not text.
#[derive(Debug, Clone)]
pub struct Media<'a> {
    /// What it is.
    pub kind: MediaKind,
    /// Where it is.
    pub source: Source<'a>,
    /// Its MIME type, where it is told: `image/png`.
    pub mime: Option<Cow<'a, str>>,
    /// The name or title of a document.
    pub name: Option<Cow<'a, str>>,
    /// How closely to look: OpenAI's `detail`.
    pub detail: Option<Cow<'a, str>>,
    /// Where in the request it stood, for refusals: `messages[0].content[1]`.
    pub path: String,
}

/// What a medium is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A sound.
    Audio,
    /// A PDF, a text file.
    Document,
    /// A film.
    Video,
}

/// Where a medium is.
#[derive(Debug, Clone)]
pub enum Source<'a> {
    /// At an address.
    Url(Cow<'a, str>),
    /// Here: base64 in the standard alphabet, padded.
    Base64(Cow<'a, str>),
    /// Here, as text.
    Text(Cow<'a, str>),
    /// In the account of one vendor, under this id.
    File(Cow<'a, str>),
}

/// How a client wants its answer: what the encoders of answers need to know of the question. It
/// outlives the request's body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Usage at the end of a stream (Chat Completions: `stream_options.include_usage`).
    pub include_usage: bool,
    /// The one call there may be as `function_call` (Chat Completions before it had tools).
    pub function_call: bool,
    /// A stream as one growing JSON array (Gemini without `alt=sse`).
    pub as_array: bool,
    /// Members of the request that the answer repeats, as JSON (Responses: `tools`, …).
    pub echo: Vec<(&'static str, String)>,
}
