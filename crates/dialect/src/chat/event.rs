//! The events of a streamed answer.

use std::borrow::Cow;

use super::{Citation, Finish, Image, Logprob, Name};
use crate::{Failure, Signature, Tokens};

/// One event of a streamed answer.
///
/// A block is identified by its candidate and a number that grows with each block of that
/// candidate. Blocks may overlap (calls in a Chat Completions stream do). Every opened block is
/// closed before its candidate finishes, and only `Usage` may follow `Finish`.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// The answer begins. This event is the first and occurs once.
    Start,
    /// A block begins.
    Open {
        /// The candidate.
        choice: u32,
        /// The block.
        block: u32,
        /// The kind of block.
        opening: Opening<'a>,
    },
    /// More text of a block: text, reasoning, refusal or input of a call.
    Delta {
        /// The candidate.
        choice: u32,
        /// The block.
        block: u32,
        /// The added text.
        text: Cow<'a, str>,
    },
    /// The whole signature of a block. It occurs at most once per block, while the block is open;
    /// that of a call directly after its `Open`.
    Signature {
        /// The candidate.
        choice: u32,
        /// The block.
        block: u32,
        /// The signature.
        signature: Signature<'a>,
    },
    /// A source of a text.
    Cite {
        /// The candidate.
        choice: u32,
        /// The block.
        block: u32,
        /// The source.
        citation: Citation<'a>,
    },
    /// A whole generated image, between blocks or while one is open.
    Image {
        /// The candidate.
        choice: u32,
        /// The image.
        image: Image<'a>,
    },
    /// Log probabilities of the preceding text.
    Logprobs {
        /// The candidate.
        choice: u32,
        /// One for each token.
        logprobs: Vec<Logprob<'a>>,
    },
    /// A block is complete.
    Close {
        /// The candidate.
        choice: u32,
        /// The block.
        block: u32,
    },
    /// A candidate is complete.
    Finish {
        /// The candidate.
        choice: u32,
        /// The finish reason.
        finish: Finish<'a>,
    },
    /// The usage so far; it replaces earlier reports.
    Usage(Tokens),
    /// The answer failed. No event follows.
    Failed(Failure),
    /// The answer is complete. No event follows.
    End,
}

/// The kind of a block, as far as it is known at its beginning.
#[derive(Debug, Clone)]
pub enum Opening<'a> {
    /// Plain text.
    Text,
    /// Reasoning.
    Thinking,
    /// A refusal of the model.
    Refusal,
    /// A tool call.
    Call {
        /// The id that pairs the call with its result; never empty.
        id: Cow<'a, str>,
        /// The tool, as the client named it.
        name: Name<'a>,
    },
}

impl Event<'_> {
    /// Returns an owned copy.
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Event::Start => Event::Start,
            Event::Open { choice, block, opening } => {
                Event::Open { choice, block, opening: opening.into_owned() }
            }
            Event::Delta { choice, block, text } => {
                Event::Delta { choice, block, text: Cow::Owned(text.into_owned()) }
            }
            Event::Signature { choice, block, signature } => {
                Event::Signature { choice, block, signature: signature.into_owned() }
            }
            Event::Cite { choice, block, citation } => {
                Event::Cite { choice, block, citation: citation.into_owned() }
            }
            Event::Image { choice, image } => Event::Image { choice, image: image.into_owned() },
            Event::Logprobs { choice, logprobs } => {
                let logprobs = logprobs.into_iter().map(Logprob::into_owned).collect();
                Event::Logprobs { choice, logprobs }
            }
            Event::Close { choice, block } => Event::Close { choice, block },
            Event::Finish { choice, finish } => {
                Event::Finish { choice, finish: finish.into_owned() }
            }
            Event::Usage(tokens) => Event::Usage(tokens),
            Event::Failed(failure) => Event::Failed(failure),
            Event::End => Event::End,
        }
    }
}

impl Opening<'_> {
    /// Returns an owned copy.
    pub fn into_owned(self) -> Opening<'static> {
        match self {
            Opening::Text => Opening::Text,
            Opening::Thinking => Opening::Thinking,
            Opening::Refusal => Opening::Refusal,
            Opening::Call { id, name } => {
                Opening::Call { id: Cow::Owned(id.into_owned()), name: name.into_owned() }
            }
        }
    }
}
