//! What one item of a stream has said so far.

use std::borrow::Cow;

use super::{
    super::decode_answer::{citation, logprobs, seal, thought},
    Emit, take,
};
use crate::{
    Value,
    chat::{Citation, Event, Logprob, Opening},
};

/// An item that was begun.
#[derive(Debug)]
pub(super) struct Item {
    /// Its place in the response.
    pub(super) index: u64,
    pub(super) id: String,
    pub(super) kind: Kind,
    /// Whether it was told whole.
    pub(super) done: bool,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Kind {
    Message(Vec<Part>),
    Thinking(Thought),
    Call { block: u32, told: bool, open: bool },
    Other,
}

/// A part of a message that has said something.
#[derive(Debug)]
pub(super) struct Part {
    index: u64,
    block: u32,
    cited: bool,
    open: bool,
}

/// A thought.
#[derive(Debug, Default)]
pub(super) struct Thought {
    block: Option<u32>,
    /// Where the text stood that came last: in the summary or not, and in which part of it.
    last: Option<(bool, u64)>,
    closed: bool,
}

impl Item {
    /// More of a part, or all of it.
    #[expect(clippy::too_many_arguments, reason = "one delta has so much to say")]
    pub(super) fn part(
        &mut self,
        index: u64,
        opening: Opening<'_>,
        text: Cow<'_, str>,
        whole: bool,
        logprobs: Vec<Logprob<'_>>,
        next: &mut u32,
        emit: Emit<'_>,
    ) {
        let Kind::Message(parts) = &mut self.kind else { return };
        let known = parts.iter().find(|part| part.index == index);
        if text.is_empty() || (known.is_some() && whole) || known.is_some_and(|part| !part.open) {
            return;
        }
        let block = match known {
            Some(part) => part.block,
            None => {
                let block = take(next);
                emit(Event::Open { choice: 0, block, opening });
                parts.push(Part { index, block, cited: false, open: true });
                block
            }
        };
        emit(Event::Delta { choice: 0, block, text });
        if !logprobs.is_empty() {
            emit(Event::Logprobs { choice: 0, logprobs });
        }
    }

    /// A part is whole.
    pub(super) fn whole_part(
        &mut self,
        index: u64,
        part: &Value<'_>,
        next: &mut u32,
        emit: Emit<'_>,
    ) {
        let (opening, member) = match part.get("type").text() {
            Some("output_text") => (Opening::Text, "text"),
            Some("refusal") => (Opening::Refusal, "refusal"),
            _ => return,
        };
        let text = part.get(member).cow().unwrap_or_default();
        self.part(index, opening, text, true, logprobs(part.get("logprobs")), next, emit);
        let Kind::Message(parts) = &mut self.kind else { return };
        let Some(known) = parts.iter_mut().find(|known| known.index == index) else { return };
        if !known.open {
            return;
        }
        if !known.cited {
            for citation in part.get("annotations").items().iter().filter_map(citation) {
                emit(Event::Cite { choice: 0, block: known.block, citation });
            }
        }
        known.close(emit);
    }

    /// A part refers to something.
    pub(super) fn cite(&mut self, index: u64, citation: Citation<'_>, emit: Emit<'_>) {
        let Kind::Message(parts) = &mut self.kind else { return };
        if let Some(part) = parts.iter_mut().find(|part| part.index == index && part.open) {
            part.cited = true;
            emit(Event::Cite { choice: 0, block: part.block, citation });
        }
    }

    /// More of a thought that stands at `place`, or all of what stands there.
    pub(super) fn thought(
        &mut self,
        place: (bool, u64),
        text: Cow<'_, str>,
        whole: bool,
        next: &mut u32,
        emit: Emit<'_>,
    ) {
        let Kind::Thinking(thought) = &mut self.kind else { return };
        // A thought that is told in full and as a summary is told once.
        let other = thought.last.is_some_and(|last| last.0 != place.0);
        let known = thought.last.is_some_and(|last| last.1 >= place.1);
        if text.is_empty() || thought.closed || other || (whole && known) {
            return;
        }
        let block = thought.open(next, emit);
        if thought.last.is_some_and(|last| last.1 != place.1) {
            emit(Event::Delta { choice: 0, block, text: "\n\n".into() });
        }
        thought.last = Some(place);
        emit(Event::Delta { choice: 0, block, text });
    }

    /// More of the input of a call, or all of it.
    pub(super) fn input(&mut self, text: Cow<'_, str>, whole: bool, emit: Emit<'_>) {
        let Kind::Call { block, told, open } = &mut self.kind else { return };
        if text.is_empty() || !*open || (*told && whole) {
            return;
        }
        *told = true;
        emit(Event::Delta { choice: 0, block: *block, text });
    }

    /// The item is whole: says what was not said yet.
    pub(super) fn finish(&mut self, value: &Value<'_>, next: &mut u32, emit: Emit<'_>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        match &mut self.kind {
            Kind::Message(_) => {
                for (index, part) in (0..).zip(value.get("content").items()) {
                    self.whole_part(index, part, next, emit);
                }
            }
            Kind::Thinking(known) if !known.closed => {
                let (text, seal) = (thought(value), seal(value));
                if known.last.is_none() && !text.is_empty() {
                    let block = known.open(next, emit);
                    emit(Event::Delta { choice: 0, block, text });
                }
                if let Some(seal) = seal {
                    let block = known.open(next, emit);
                    emit(Event::Seal { choice: 0, block, seal });
                }
            }
            Kind::Call { .. } => {
                let input = value.get("arguments").cow().or_else(|| value.get("input").cow());
                self.input(input.unwrap_or_default(), true, emit);
            }
            Kind::Thinking(_) | Kind::Other => {}
        }
        self.close(emit);
    }

    /// Closes all that is open.
    pub(super) fn close(&mut self, emit: Emit<'_>) {
        match &mut self.kind {
            Kind::Message(parts) => parts.iter_mut().for_each(|part| part.close(emit)),
            Kind::Thinking(thought) => {
                if let (Some(block), false) = (thought.block, thought.closed) {
                    emit(Event::Close { choice: 0, block });
                }
                thought.closed = true;
            }
            Kind::Call { block, open, .. } => {
                if std::mem::replace(open, false) {
                    emit(Event::Close { choice: 0, block: *block });
                }
            }
            Kind::Other => {}
        }
    }
}

impl Part {
    fn close(&mut self, emit: Emit<'_>) {
        if std::mem::replace(&mut self.open, false) {
            emit(Event::Close { choice: 0, block: self.block });
        }
    }
}

impl Thought {
    /// The block of the thought.
    fn open(&mut self, next: &mut u32, emit: Emit<'_>) -> u32 {
        *self.block.get_or_insert_with(|| {
            let block = take(next);
            emit(Event::Open { choice: 0, block, opening: Opening::Thinking });
            block
        })
    }
}
