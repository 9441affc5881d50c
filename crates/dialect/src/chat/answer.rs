//! What a model answers.

use std::borrow::Cow;

use super::{Event, Name, Opening};
use crate::{Signature, Tokens};

/// A whole answer.
#[derive(Debug, Clone, Default)]
pub struct Answer<'a> {
    /// One for each candidate, in their order; never empty in a good answer.
    pub choices: Vec<Choice<'a>>,
    /// What it used, where the provider says so.
    pub usage: Option<Tokens>,
}

/// One candidate.
#[derive(Debug, Clone, Default)]
pub struct Choice<'a> {
    /// Its content, in order.
    pub blocks: Vec<Block<'a>>,
    /// Why it ends here.
    pub finish: Finish<'a>,
    /// Log probabilities, one for each token.
    pub logprobs: Vec<Logprob<'a>>,
}

/// A block of an answer.
#[derive(Debug, Clone)]
pub enum Block<'a> {
    /// Plain text.
    Text {
        /// The text.
        text: Cow<'a, str>,
        /// What it refers to.
        citations: Vec<Citation<'a>>,
        /// Gemini signs texts too.
        signature: Option<Signature<'a>>,
    },
    /// What the model thought.
    Thinking {
        /// As far as it is shown.
        text: Cow<'a, str>,
        /// Its vendor's signature.
        signature: Option<Signature<'a>>,
    },
    /// A tool is to be called.
    Call {
        /// What will pair it with its result; never empty.
        id: Cow<'a, str>,
        /// Which tool, as the client named it.
        name: Name<'a>,
        /// A JSON object as it was written, or plain text for a free-form tool. May be empty.
        input: Cow<'a, str>,
        /// Gemini signs calls.
        signature: Option<Signature<'a>>,
    },
    /// The model declines.
    Refusal(Cow<'a, str>),
    /// The model made an image.
    Image(Image<'a>),
}

/// An image that a model made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image<'a> {
    /// Its MIME type: `image/png`.
    pub mime: Cow<'a, str>,
    /// Its bytes as base64 in the standard alphabet, padded.
    pub data: Cow<'a, str>,
}

impl Image<'_> {
    /// The same, with a life of its own.
    pub fn into_owned(self) -> Image<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Image { mime: own(self.mime), data: own(self.data) }
    }
}

/// What a text refers to. Only what has an address is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation<'a> {
    /// Where to read it.
    pub url: Cow<'a, str>,
    /// What it is called.
    pub title: Option<Cow<'a, str>>,
    /// The words that are cited.
    pub cited: Option<Cow<'a, str>>,
    /// Which part of the block's text refers to it, in characters; none for all of it.
    pub span: Option<(u64, u64)>,
}

impl Citation<'_> {
    /// The same, with a life of its own.
    pub fn into_owned(self) -> Citation<'static> {
        let own = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        Citation {
            url: Cow::Owned(self.url.into_owned()),
            title: own(self.title),
            cited: own(self.cited),
            span: self.span,
        }
    }
}

/// Why an answer ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Finish<'a> {
    /// The model had said it all.
    #[default]
    Stop,
    /// One of the client's stop sequences came; which, where it is told.
    Sequence(Option<Cow<'a, str>>),
    /// The limit of the output or of the context.
    Length,
    /// Tools are to be called.
    Calls,
    /// Filtered or refused; why, where it is told.
    Filtered(Option<Cow<'a, str>>),
    /// The model paused and may be asked to go on (Anthropic).
    Paused,
}

impl<'a> Answer<'a> {
    /// Tells the whole answer as if it came as a stream.
    pub fn tell(self, emit: &mut dyn FnMut(Event<'_>)) {
        emit(Event::Start);
        for (choice, said) in (0..).zip(self.choices) {
            let mut block = 0;
            for content in said.blocks {
                let numbered = !matches!(content, Block::Image(_));
                content.tell(choice, block, emit);
                block += u32::from(numbered);
            }
            if !said.logprobs.is_empty() {
                emit(Event::Logprobs { choice, logprobs: said.logprobs });
            }
            emit(Event::Finish { choice, finish: said.finish });
        }
        if let Some(usage) = self.usage {
            emit(Event::Usage(usage));
        }
        emit(Event::End);
    }
}

impl<'a> Block<'a> {
    fn tell(self, choice: u32, block: u32, emit: &mut dyn FnMut(Event<'_>)) {
        let mut cited = Vec::new();
        let (opening, text, signature) = match self {
            Block::Text { text, citations, signature } => {
                cited = citations;
                (Opening::Text, text, signature)
            }
            Block::Thinking { text, signature } => (Opening::Thinking, text, signature),
            Block::Call { id, name, input, signature } => {
                (Opening::Call { id, name }, input, signature)
            }
            Block::Refusal(text) => (Opening::Refusal, text, None),
            Block::Image(image) => return emit(Event::Image { choice, image }),
        };
        let is_call = matches!(opening, Opening::Call { .. });
        emit(Event::Open { choice, block, opening });
        let (early, late) = if is_call { (signature, None) } else { (None, signature) };
        if let Some(signature) = early {
            emit(Event::Signature { choice, block, signature });
        }
        if !text.is_empty() {
            emit(Event::Delta { choice, block, text });
        }
        for citation in cited {
            emit(Event::Cite { choice, block, citation });
        }
        if let Some(signature) = late {
            emit(Event::Signature { choice, block, signature });
        }
        emit(Event::Close { choice, block });
    }
}

impl Finish<'_> {
    /// The same, with a life of its own.
    pub fn into_owned(self) -> Finish<'static> {
        let own = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        match self {
            Finish::Stop => Finish::Stop,
            Finish::Sequence(text) => Finish::Sequence(own(text)),
            Finish::Length => Finish::Length,
            Finish::Calls => Finish::Calls,
            Finish::Filtered(text) => Finish::Filtered(own(text)),
            Finish::Paused => Finish::Paused,
        }
    }
}

/// The log probability of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logprob<'a> {
    /// The token.
    pub token: Cow<'a, str>,
    /// The number as it was written.
    pub logprob: Cow<'a, str>,
    /// The likeliest tokens at this place, with theirs.
    pub top: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Logprob<'_> {
    /// The same, with a life of its own.
    pub fn into_owned(self) -> Logprob<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Logprob {
            token: own(self.token),
            logprob: own(self.logprob),
            top: self.top.into_iter().map(|(token, logprob)| (own(token), own(logprob))).collect(),
        }
    }
}
