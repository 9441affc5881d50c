//! Serialises overlapping blocks of a stream.
//!
//! The calls of a Chat Completions stream may be interleaved, and its text may come between two
//! pieces of reasoning; most other dialects have one open block at a time. A text block is split
//! where another block comes between, because its parts can stand alone. A call cannot be split:
//! while one is open, everything else waits until the call is complete. Nothing else is held back.

mod candidate;

use candidate::{Candidate, Content};

use crate::{Failure, FailureKind, chat::Event};

/// Most bytes that may wait behind open calls.
const MAX_WAITING: usize = 32 << 20;

/// Most candidates of one answer: the maximum of OpenAI.
const MAX_CANDIDATES: usize = 128;

/// Emits the blocks of each candidate one at a time, numbered from 0.
///
/// A block of text or refusal is opened with its first text, so that no block is empty.
#[derive(Debug, Default)]
pub struct Sequencer {
    signatures_in_front: bool,
    candidates: Vec<Candidate>,
    failed: bool,
}

impl Sequencer {
    /// Creates a sequencer for dialects that can sign only reasoning: the signature of a call moves
    /// to the reasoning block directly before it, which is created without text if there is none.
    /// Signatures of texts are optional for their provider and are dropped.
    pub fn with_signatures_in_front() -> Self {
        Self { signatures_in_front: true, ..Self::default() }
    }

    /// Takes one event and emits, in order, all events that may be sent now.
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

    /// Returns the state of a candidate. There are few, and consecutive events mostly belong to the
    /// same one.
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
