//! Answers of a model.

use std::borrow::Cow;

use super::{Event, Name, Opening};
use crate::{Signature, Tokens};

/// A whole answer.
#[derive(Debug, Clone, Default)]
pub struct Answer<'a> {
    /// The candidates, in order; never empty in a valid answer.
    pub choices: Vec<Choice<'a>>,
    /// The usage, if the provider reported it.
    pub usage: Option<Tokens>,
}

/// One candidate.
#[derive(Debug, Clone, Default)]
pub struct Choice<'a> {
    /// Its content, in order.
    pub blocks: Vec<Block<'a>>,
    /// The finish reason.
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
        /// The sources of the text.
        citations: Vec<Citation<'a>>,
        /// The signature; only Gemini signs texts.
        signature: Option<Signature<'a>>,
    },
    /// Reasoning.
    Thinking {
        /// The visible text of the reasoning.
        text: Cow<'a, str>,
        /// The signature of the provider.
        signature: Option<Signature<'a>>,
    },
    /// A tool call.
    Call {
        /// The id that pairs the call with its result; never empty.
        id: Cow<'a, str>,
        /// The tool, as the client named it.
        name: Name<'a>,
        /// A JSON object as it was written, or plain text for a free-form tool. May be empty.
        input: Cow<'a, str>,
        /// The signature; only Gemini signs calls.
        signature: Option<Signature<'a>>,
    },
    /// The refusal of the model.
    Refusal(Cow<'a, str>),
    /// A generated image.
    Image(Image<'a>),
}

/// A generated image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image<'a> {
    /// The MIME type, for example `image/png`.
    pub mime: Cow<'a, str>,
    /// The image as padded base64 in the standard alphabet.
    pub data: Cow<'a, str>,
}

impl Image<'_> {
    /// Returns an owned copy.
    pub fn into_owned(self) -> Image<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Image { mime: own(self.mime), data: own(self.data) }
    }
}

/// A source of a text. Only sources with an address are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation<'a> {
    /// The address.
    pub url: Cow<'a, str>,
    /// The title.
    pub title: Option<Cow<'a, str>>,
    /// The quoted text.
    pub cited: Option<Cow<'a, str>>,
    /// The part of the block's text that the source supports, in characters; `None` for the whole
    /// text.
    pub span: Option<(u64, u64)>,
}

impl Citation<'_> {
    /// Returns an owned copy.
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

/// The reason why an answer ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Finish<'a> {
    /// The model finished.
    #[default]
    Stop,
    /// A stop sequence of the client, if it is known which.
    Sequence(Option<Cow<'a, str>>),
    /// The limit of the output or of the context was reached.
    Length,
    /// The model called tools.
    Calls,
    /// The answer was filtered or refused; the reason, if it is known.
    Filtered(Option<Cow<'a, str>>),
    /// The model paused and can be continued (Anthropic).
    Paused,
}

impl<'a> Answer<'a> {
    /// Emits the whole answer as the events of a stream.
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
    /// Returns an owned copy.
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
    /// The most likely tokens at this position, with their log probabilities.
    pub top: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Logprob<'_> {
    /// Returns an owned copy.
    pub fn into_owned(self) -> Logprob<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Logprob {
            token: own(self.token),
            logprob: own(self.logprob),
            top: self.top.into_iter().map(|(token, logprob)| (own(token), own(logprob))).collect(),
        }
    }
}
