//! Decodes streams of Gemini.
//!
//! A stream has no end marker, and any chunk may contain a finish reason (older models send one
//! with each chunk), so candidates finish with the body.

use std::borrow::Cow;

use super::{
    answer_part::{AnswerPart, Ids, citations, logprobs},
    finish::{Reason, nothing},
};
use crate::{
    DecodeStream, Failure, FailureKind, Names, ProviderError, Signature, Tokens, Value,
    chat::{Event, Opening},
    free_form,
    halves::{Joiner, mended},
    tokens::Reported,
};

/// Most candidates that are decoded; Google returns up to eight.
const MOST: usize = 128;

/// Decodes the chunks of one answer.
#[derive(Debug)]
pub(super) struct Decoder {
    names: Names,
    ids: Ids,
    candidates: Vec<Candidate>,
    usage: Reported,
    told: Option<Tokens>,
    blocked: Option<Option<String>>,
    begun: bool,
    over: bool,
}

#[derive(Debug, Default)]
struct Candidate {
    index: u32,
    /// The open block, and whether it is reasoning.
    open: Option<(u32, bool)>,
    half: Joiner,
    blocks: u32,
    calls: bool,
    content: bool,
    finish: Option<(String, Option<String>)>,
}

impl Decoder {
    /// Creates a decoder for an answer of a target, with the names sent to it.
    pub(super) fn new(names: Names) -> Self {
        Self {
            ids: Ids::new(&names.unique),
            names,
            candidates: Vec::new(),
            usage: Reported::default(),
            told: None,
            blocked: None,
            begun: false,
            over: false,
        }
    }

    fn begin(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.begun, true) {
            emit(Event::Start);
        }
    }

    fn fail(&mut self, failure: Failure, emit: &mut dyn FnMut(Event<'_>)) {
        self.over = true;
        emit(Event::Failed(failure));
    }

    fn chunk(&mut self, chunk: &Value<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        if self.ids.is_bare() {
            self.ids.answer(chunk.any(&["responseId", "response_id"]).and_then(Value::text));
        }
        for (n, candidate) in (0_u64..).zip(chunk.get("candidates").items()) {
            let index = candidate.get("index").u64().unwrap_or(n);
            let Some(place) = self.place(u32::try_from(index).unwrap_or(u32::MAX)) else {
                let failure = "the provider's answer has too many candidates";
                return self.fail(Failure::new(FailureKind::BadGateway, failure), emit);
            };
            self.candidate(place, candidate, emit);
        }
        let feedback = chunk.any(&["promptFeedback", "prompt_feedback"]);
        if let Some(feedback) = feedback
            && feedback.any(&["blockReason", "block_reason"]).is_some()
        {
            let why = feedback.any(&["blockReasonMessage", "block_reason_message"]);
            self.blocked = Some(why.and_then(Value::text).map(str::to_owned));
        }
        if let Some(usage) = chunk.any(&["usageMetadata", "usage_metadata"]) {
            self.usage.read(usage.raw().as_bytes());
        }
        if self.begun {
            self.tell_usage(emit);
        }
    }

    fn tell_usage(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        let usage = self.usage.tokens();
        if usage != self.told {
            self.told = usage;
            emit(Event::Usage(usage.unwrap_or_default()));
        }
    }

    fn place(&mut self, index: u32) -> Option<usize> {
        if let Some(place) = self.candidates.iter().position(|known| known.index == index) {
            return Some(place);
        }
        self.candidates.push(Candidate { index, ..Candidate::default() });
        (self.candidates.len() <= MOST).then_some(self.candidates.len() - 1)
    }

    fn candidate(&mut self, place: usize, value: &Value<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        for part in value.get("content").get("parts").items() {
            match AnswerPart::read(part) {
                Some(AnswerPart::Text { text, thought, signature }) => {
                    self.text(place, part.get("text"), &text, thought, signature, emit);
                }
                Some(AnswerPart::Call { id, name, args, signature }) => {
                    self.begin(emit);
                    let id = self.ids.next(id);
                    let name = self.names.back(name);
                    let input = match name.free_form {
                        true => Cow::Owned(free_form::unwrap(args)),
                        false => mended(Cow::Borrowed(args)),
                    };
                    let opening = Opening::Call { id, name };
                    let known = &mut self.candidates[place];
                    known.calls = true;
                    known.content = true;
                    known.call(opening, input, signature, emit);
                }
                Some(AnswerPart::Image(image)) => {
                    self.begin(emit);
                    let known = &mut self.candidates[place];
                    known.close(emit);
                    known.content = true;
                    emit(Event::Image { choice: known.index, image });
                }
                None => {}
            }
        }
        let known = &mut self.candidates[place];
        for (citation, _) in citations(value) {
            if let Some((block, false)) = known.open {
                emit(Event::Cite { choice: known.index, block, citation });
            }
        }
        let logprobs = logprobs(value);
        if !logprobs.is_empty() && self.begun {
            emit(Event::Logprobs { choice: known.index, logprobs });
        }
        if let Some(reason) = value.any(&["finishReason", "finish_reason"]).and_then(Value::text) {
            let why = value.any(&["finishMessage", "finish_message"]).and_then(Value::text);
            known.finish = Some((reason.to_owned(), why.map(str::to_owned)));
        }
    }

    fn text(
        &mut self,
        place: usize,
        written: &Value<'_>,
        text: &str,
        thought: bool,
        signature: Option<Signature<'_>>,
        emit: &mut dyn FnMut(Event<'_>),
    ) {
        // A separate signature belongs to the part before it.
        if text.is_empty() && signature.is_none() {
            return;
        }
        let known = &self.candidates[place];
        let goes_on = known.open.is_some_and(|(_, open)| open == thought || text.is_empty());
        if !goes_on && text.is_empty() && !thought {
            return;
        }
        self.begin(emit);
        let known = &mut self.candidates[place];
        let choice = known.index;
        let block = match known.open.filter(|_| goes_on) {
            Some((block, _)) => block,
            None => known.open(if thought { Opening::Thinking } else { Opening::Text }, emit),
        };
        if !goes_on {
            known.open = Some((block, thought));
        }
        known.content |= !thought && !text.is_empty();
        let text = known.half.join(written);
        if !text.is_empty() {
            emit(Event::Delta { choice, block, text });
        }
        if let Some(signature) = signature {
            known.flush(emit);
            emit(Event::Signature { choice, block, signature });
            known.close(emit);
        }
    }
}

impl Candidate {
    /// Opens the next block.
    fn open(&mut self, opening: Opening<'_>, emit: &mut dyn FnMut(Event<'_>)) -> u32 {
        self.close(emit);
        let block = self.blocks;
        self.blocks += 1;
        emit(Event::Open { choice: self.index, block, opening });
        block
    }

    /// Emits the replacement of an unpaired surrogate.
    fn flush(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        let rest = self.half.rest();
        if let (Some((block, _)), false) = (self.open, rest.is_empty()) {
            emit(Event::Delta { choice: self.index, block, text: rest.into() });
        }
    }

    fn close(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        self.flush(emit);
        if let Some((block, _)) = self.open.take() {
            emit(Event::Close { choice: self.index, block });
        }
    }

    fn call(
        &mut self,
        opening: Opening<'_>,
        input: Cow<'_, str>,
        signature: Option<Signature<'_>>,
        emit: &mut dyn FnMut(Event<'_>),
    ) {
        let block = self.open(opening, emit);
        let choice = self.index;
        if let Some(signature) = signature {
            emit(Event::Signature { choice, block, signature });
        }
        if !input.is_empty() {
            emit(Event::Delta { choice, block, text: input });
        }
        emit(Event::Close { choice, block });
    }
}

impl DecodeStream for Decoder {
    fn event(&mut self, _name: Option<&[u8]>, data: &[u8], emit: &mut dyn FnMut(Event<'_>)) {
        // Some proxies add the end marker of another dialect.
        if self.over || matches!(data.trim_ascii(), b"" | b"[DONE]") {
            return;
        }
        let Ok(value) = Value::read(data) else {
            let failure = "an event of the provider is not valid JSON";
            return self.fail(Failure::new(FailureKind::BadGateway, failure), emit);
        };
        for chunk in super::fields::list(&value) {
            match chunk.find("error").and_then(|_| ProviderError::read(chunk.raw().as_bytes())) {
                Some(error) => return self.fail(error.into(), emit),
                None => self.chunk(chunk, emit),
            }
        }
    }

    fn finish(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let mut candidates = std::mem::take(&mut self.candidates);
        if candidates.is_empty() && self.blocked.is_some() {
            candidates.push(Candidate::default());
        }
        let whole = |one: &Candidate| one.finish.is_some() || self.blocked.is_some();
        if candidates.is_empty() || !candidates.iter().all(whole) {
            let failure = "the provider's answer ended too early";
            return self.fail(Failure::new(FailureKind::BadGateway, failure), emit);
        }
        let broken = candidates.iter().find_map(|one| {
            let (reason, why) = one.finish.as_ref()?;
            (Reason::of(reason) == Reason::Broken)
                .then(|| nothing(reason, why.as_deref().unwrap_or_default()))
        });
        let usable = |one: &Candidate| {
            let reason = one.finish.as_ref().map_or(Reason::Filtered, |(name, _)| Reason::of(name));
            one.content || matches!(reason, Reason::Filtered | Reason::Length)
        };
        if let Some(failure) = broken.filter(|_| !candidates.iter().any(usable)) {
            return self.fail(failure, emit);
        }
        self.begin(emit);
        for mut one in candidates {
            one.close(emit);
            let finish = match one.finish {
                Some((reason, why)) => Reason::of(&reason).finish(one.calls, why.map(Cow::Owned)),
                None => {
                    Reason::Filtered.finish(false, self.blocked.clone().flatten().map(Cow::Owned))
                }
            };
            emit(Event::Finish { choice: one.index, finish });
        }
        self.tell_usage(emit);
        emit(Event::End);
    }
}
