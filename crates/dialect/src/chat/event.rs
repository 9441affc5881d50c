//! What a model answers, as it comes.

use std::borrow::Cow;

use super::{Citation, Finish, Image, Logprob, Name};
use crate::{Failure, Signature, Tokens};

/// One step of an answer that comes as a stream.
///
/// A block is named by its candidate and a number that grows with each block of that candidate.
/// Blocks may overlap (calls in a Chat Completions stream do); every block that was opened is
/// closed before its candidate finishes, and nothing follows `Finish` but `Usage`.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// The answer begins. Comes first and once.
    Start,
    /// A block begins.
    Open {
        /// The candidate.
        choice: u32,
        /// The block.
        block: u32,
        /// What it is.
        opening: Opening<'a>,
    },
    /// More text of a block: of its text, its thought, its refusal or its input.
    Delta {
        /// The candidate.
        choice: u32,
        /// The block.
        block: u32,
        /// What is added.
        text: Cow<'a, str>,
    },
    /// The signature of a block, whole. Comes at most once a block, while it is open; that of a call
    /// directly behind its `Open`.
    Signature {
        /// The candidate.
        choice: u32,
        /// The block.
        block: u32,
        /// The signature.
        signature: Signature<'a>,
    },
    /// What a text refers to.
    Cite {
        /// The candidate.
        choice: u32,
        /// The block.
        block: u32,
        /// The source.
        citation: Citation<'a>,
    },
    /// The model made an image; it is told whole, between blocks or while one is open.
    Image {
        /// The candidate.
        choice: u32,
        /// The image.
        image: Image<'a>,
    },
    /// Log probabilities of the text that came last.
    Logprobs {
        /// The candidate.
        choice: u32,
        /// One for each token.
        logprobs: Vec<Logprob<'a>>,
    },
    /// A block is whole.
    Close {
        /// The candidate.
        choice: u32,
        /// The block.
        block: u32,
    },
    /// A candidate is whole.
    Finish {
        /// The candidate.
        choice: u32,
        /// Why.
        finish: Finish<'a>,
    },
    /// What was used so far; replaces what was said before.
    Usage(Tokens),
    /// It broke. Nothing follows.
    Failed(Failure),
    /// All of it is there. Nothing follows.
    End,
}

/// What a block is, as known when it begins.
#[derive(Debug, Clone)]
pub enum Opening<'a> {
    /// Plain text.
    Text,
    /// What the model thinks.
    Thinking,
    /// The model declines.
    Refusal,
    /// A tool is to be called.
    Call {
        /// What will pair it with its result; never empty.
        id: Cow<'a, str>,
        /// Which tool, as the client named it.
        name: Name<'a>,
    },
}

impl Event<'_> {
    /// The same, with a life of its own.
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
    /// The same, with a life of its own.
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
