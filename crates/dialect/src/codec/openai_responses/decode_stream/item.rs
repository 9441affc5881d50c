//! The state of one item of a stream.

use std::borrow::Cow;

use super::{
    super::decode_answer::{citation, image, logprobs, signature, thought},
    Emit, take,
};
use crate::{
    Value,
    chat::{Citation, Event, Logprob, Opening},
    halves::{Joiner, Mender},
};

/// An item of the response.
#[derive(Debug)]
pub(super) struct Item {
    /// The index in the response.
    pub(super) index: u64,
    pub(super) id: String,
    pub(super) kind: Kind,
    /// Whether the item is complete.
    pub(super) done: bool,
}

/// The kind of item.
#[derive(Debug)]
pub(super) enum Kind {
    Message(Vec<Part>),
    Thinking(Thought),
    Call(Call),
    Other,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    block: u32,
    /// Whether any input was emitted.
    told: bool,
    open: bool,
    half: Joiner,
    /// The repair of surrogates, for JSON input.
    mender: Option<Mender>,
}

/// A part of a message with text.
#[derive(Debug)]
pub(super) struct Part {
    index: u64,
    block: u32,
    cited: bool,
    open: bool,
    half: Joiner,
}

/// Reasoning.
#[derive(Debug, Default)]
pub(super) struct Thought {
    block: Option<u32>,
    /// The position of the last text: whether in the summary, and the index of the part.
    last: Option<(bool, u64)>,
    closed: bool,
    half: Joiner,
}

impl Item {
    /// Handles a delta of a part, or the whole part.
    #[expect(clippy::too_many_arguments, reason = "one delta has so much to say")]
    pub(super) fn part(
        &mut self,
        index: u64,
        opening: Opening<'_>,
        text: &Value<'_>,
        whole: bool,
        logprobs: Vec<Logprob<'_>>,
        next: &mut u32,
        emit: Emit<'_>,
    ) {
        let Kind::Message(parts) = &mut self.kind else { return };
        let known = parts.iter().position(|part| part.index == index);
        let done = known.is_some_and(|nth| whole || !parts[nth].open);
        if done || text.text().is_none_or(str::is_empty) {
            return;
        }
        let nth = known.unwrap_or_else(|| {
            let block = take(next);
            emit(Event::Open { choice: 0, block, opening });
            parts.push(Part { index, block, cited: false, open: true, half: Joiner::default() });
            parts.len() - 1
        });
        let part = &mut parts[nth];
        tell(part.block, part.half.join(text), emit);
        if !logprobs.is_empty() {
            emit(Event::Logprobs { choice: 0, logprobs });
        }
    }

    /// Handles the end of a part.
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
        self.part(
            index,
            opening,
            part.get(member),
            true,
            logprobs(part.get("logprobs")),
            next,
            emit,
        );
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

    /// Handles a citation of a part.
    pub(super) fn cite(&mut self, index: u64, citation: Citation<'_>, emit: Emit<'_>) {
        let Kind::Message(parts) = &mut self.kind else { return };
        if let Some(part) = parts.iter_mut().find(|part| part.index == index && part.open) {
            part.cited = true;
            emit(Event::Cite { choice: 0, block: part.block, citation });
        }
    }

    /// Handles a delta of reasoning at `place`, or the whole.
    pub(super) fn thought(
        &mut self,
        place: (bool, u64),
        text: &Value<'_>,
        whole: bool,
        next: &mut u32,
        emit: Emit<'_>,
    ) {
        let Kind::Thinking(thought) = &mut self.kind else { return };
        // Reasoning that is sent in full and as a summary is emitted once.
        let other = thought.last.is_some_and(|last| last.0 != place.0);
        let known = thought.last.is_some_and(|last| last.1 >= place.1);
        let empty = text.text().is_none_or(str::is_empty);
        if empty || thought.closed || other || (whole && known) {
            return;
        }
        let block = thought.open(next, emit);
        if thought.last.is_some_and(|last| last.1 != place.1) {
            tell(block, thought.half.rest().into(), emit);
            emit(Event::Delta { choice: 0, block, text: "\n\n".into() });
        }
        thought.last = Some(place);
        tell(block, thought.half.join(text), emit);
    }

    /// Handles a delta of the input of a call, or the whole.
    pub(super) fn input(&mut self, text: &Value<'_>, whole: bool, emit: Emit<'_>) {
        let Kind::Call(call) = &mut self.kind else { return };
        if text.text().is_none_or(str::is_empty) || !call.open || (call.told && whole) {
            return;
        }
        call.told = true;
        let text = call.half.join(text);
        call.tell(&text, emit);
    }

    /// Ends the item: emits what was not emitted yet.
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
                let (text, signature) = (thought(value), signature(value));
                if known.last.is_none() && !text.is_empty() {
                    let block = known.open(next, emit);
                    emit(Event::Delta { choice: 0, block, text });
                }
                if let Some(signature) = signature {
                    let block = known.open(next, emit);
                    tell(block, known.half.rest().into(), emit);
                    emit(Event::Signature { choice: 0, block, signature });
                }
            }
            Kind::Call(_) => {
                let input = value.find("arguments").unwrap_or(value.get("input"));
                self.input(input, true, emit);
            }
            Kind::Other => {
                if let Some(image) = image(value) {
                    emit(Event::Image { choice: 0, image });
                }
            }
            Kind::Thinking(_) => {}
        }
        self.close(emit);
    }

    /// Closes all open blocks.
    pub(super) fn close(&mut self, emit: Emit<'_>) {
        match &mut self.kind {
            Kind::Message(parts) => parts.iter_mut().for_each(|part| part.close(emit)),
            Kind::Thinking(thought) => {
                if let (Some(block), false) = (thought.block, thought.closed) {
                    tell(block, thought.half.rest().into(), emit);
                    emit(Event::Close { choice: 0, block });
                }
                thought.closed = true;
            }
            Kind::Call(call) => call.close(emit),
            Kind::Other => {}
        }
    }
}

impl Part {
    fn close(&mut self, emit: Emit<'_>) {
        if std::mem::replace(&mut self.open, false) {
            tell(self.block, self.half.rest().into(), emit);
            emit(Event::Close { choice: 0, block: self.block });
        }
    }
}

impl Call {
    /// Creates the state of an opened call; `free_form` if its input is plain text.
    pub(super) fn new(block: u32, free_form: bool) -> Self {
        let mender = (!free_form).then(Mender::default);
        Self { block, told: false, open: true, half: Joiner::default(), mender }
    }

    fn tell(&mut self, text: &str, emit: Emit<'_>) {
        match &mut self.mender {
            Some(mender) => tell(self.block, mender.push(text), emit),
            None => tell(self.block, text.into(), emit),
        }
    }

    fn close(&mut self, emit: Emit<'_>) {
        if std::mem::replace(&mut self.open, false) {
            let lone = self.half.rest();
            self.tell(lone, emit);
            let rest = self.mender.as_mut().map(Mender::rest).unwrap_or_default();
            tell(self.block, rest.into(), emit);
            emit(Event::Close { choice: 0, block: self.block });
        }
    }
}

/// Emits a delta unless it is empty.
fn tell(block: u32, text: Cow<'_, str>, emit: Emit<'_>) {
    if !text.is_empty() {
        emit(Event::Delta { choice: 0, block, text });
    }
}

impl Thought {
    /// Returns the block of the reasoning, opening it if necessary.
    fn open(&mut self, next: &mut u32, emit: Emit<'_>) -> u32 {
        *self.block.get_or_insert_with(|| {
            let block = take(next);
            emit(Event::Open { choice: 0, block, opening: Opening::Thinking });
            block
        })
    }
}
