//! Blocks that overlap, put one behind the other.
//!
//! The calls of a Chat Completions stream may come interleaved, and its text between two pieces of
//! thought; most other dialects have one block open at a time. A block of text is cut in two where
//! another one comes between, because a part of it can stand alone. A call cannot: while one is
//! open, whatever else comes waits until the call is whole. Nothing else is held back.

mod candidate;

use candidate::{Candidate, Content};

use crate::{Failure, FailureKind, chat::Event};

/// Most bytes that may wait behind open calls.
const MAX_WAITING: usize = 32 << 20;

/// Most candidates of one answer: as many as OpenAI gives.
const MAX_CANDIDATES: usize = 128;

/// Gives the blocks of each candidate one at a time, with numbers of their own that count from 0.
///
/// A block of text or refusal is opened when it says something, so that none is empty.
#[derive(Debug, Default)]
pub struct Sequencer {
    signatures_in_front: bool,
    candidates: Vec<Candidate>,
    failed: bool,
}

impl Sequencer {
    /// One for dialects that can sign nothing but thoughts: the signature of a call becomes that of the
    /// thought directly in front of it, which is made up (without text) where there is none. Signatures
    /// of texts, which their vendor can do without, are left out.
    pub fn with_signatures_in_front() -> Self {
        Self { signatures_in_front: true, ..Self::default() }
    }

    /// Takes one event and gives on, in order, all that may be said now.
    pub fn push(&mut self, event: Event<'_>, each: &mut dyn FnMut(Event<'_>)) {
        if self.failed {
            return;
        }
        match event {
            Event::Open { choice, block, opening } => {
                self.candidate(choice).open(block, opening, each)
            }
            Event::Delta { choice, block, text } => {
                self.candidate(choice).content(block, Content::Text(text), each);
            }
            Event::Signature { choice, block, signature } => {
                self.candidate(choice).content(block, Content::Signature(signature), each);
            }
            Event::Cite { choice, block, citation } => {
                self.candidate(choice).content(block, Content::Cite(citation), each);
            }
            Event::Image { choice, image } => self.candidate(choice).image(image, each),
            Event::Close { choice, block } => self.candidate(choice).close(block, each),
            Event::Finish { choice, finish } => {
                let candidate = self.candidate(choice);
                if candidate.flush(each) {
                    each(Event::Finish { choice, finish });
                }
            }
            Event::End => {
                for candidate in &mut self.candidates {
                    candidate.flush(each);
                }
                each(Event::End);
            }
            Event::Failed(failure) => {
                self.failed = true;
                each(Event::Failed(failure));
            }
            Event::Start | Event::Usage(_) | Event::Logprobs { .. } => each(event),
        }
        self.weigh(each);
    }

    /// The candidate of a candidate. There are few, and the one that spoke last mostly speaks again.
    fn candidate(&mut self, choice: u32) -> &mut Candidate {
        let found = self.candidates.iter().position(|candidate| candidate.choice() == choice);
        let place = found.unwrap_or_else(|| {
            self.candidates.push(Candidate::new(choice, self.signatures_in_front));
            self.candidates.len() - 1
        });
        &mut self.candidates[place]
    }

    fn weigh(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        let waiting: usize = self.candidates.iter().map(Candidate::waiting).sum();
        if waiting > MAX_WAITING || self.candidates.len() > MAX_CANDIDATES {
            self.failed = true;
            self.candidates.clear();
            each(Event::Failed(Failure::new(
                FailureKind::BadGateway,
                "the provider's answer is too tangled to be put in order",
            )));
        }
    }
}

#[cfg(test)]
mod tests;
