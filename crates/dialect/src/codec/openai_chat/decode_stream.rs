//! Decodes streams of chunks.

use super::{
    decode_answer::{self, Content, annotations, finish, has_error, logprobs, made_id},
    decode_content::{signed_thoughts, unsigned_thought},
    layout::Signed,
    signatures::{self, Details},
    streamed_call::{Call, Place},
};
use crate::{
    DecodeStream, Names, Signature, Value,
    chat::{Event, Opening, Piece},
    halves::Joiner,
    tokens::Reported,
};

/// Most candidates that are decoded; OpenAI returns no more.
const MAX_CHOICES: u64 = 128;

#[derive(Debug)]
pub(super) struct Decoder {
    names: Names,
    choices: Vec<Choice>,
    usage: Reported,
    started: bool,
    ended: bool,
}

impl Decoder {
    pub(super) fn new(names: Names) -> Decoder {
        Decoder {
            names,
            choices: Vec::new(),
            usage: Reported::default(),
            started: false,
            ended: false,
        }
    }

    /// Handles the end marker.
    fn done(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        if self.choices.is_empty() {
            return self.fail(emit);
        }
        let seen = (0..).zip(&mut self.choices).filter(|(_, choice)| choice.seen);
        for (number, choice) in seen {
            choice.finish(&mut Way { choice: number, names: &self.names, emit }, "");
        }
        self.ended = true;
        emit(Event::End);
    }

    fn fail(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        self.ended = true;
        let why = "the provider's stream ended before the answer was complete";
        emit(Event::Failed(decode_answer::nonsense(why)));
    }

    fn chunk(&mut self, chunk: &Value<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        for one in chunk.get("choices").items() {
            let number = one.get("index").u64().unwrap_or(0);
            if number >= MAX_CHOICES {
                continue;
            }
            if !std::mem::replace(&mut self.started, true) {
                emit(Event::Start);
            }
            let at = usize::try_from(number).unwrap_or_default();
            if self.choices.len() <= at {
                self.choices.resize_with(at + 1, Choice::default);
            }
            let choice = u32::try_from(number).unwrap_or_default();
            let way = &mut Way { choice, names: &self.names, emit };
            self.choices[at].step(one, way);
        }
        // Some servers put it into the last choice.
        let inner = chunk.get("choices").items().last().and_then(|one| one.find("usage"));
        let usage = chunk.find("usage").or(inner).filter(|usage| usage.is_object());
        if let Some(usage) = usage {
            self.usage.read(usage.raw().as_bytes());
            if let Some(tokens) = self.usage.tokens() {
                emit(Event::Usage(tokens));
            }
        }
    }
}

impl DecodeStream for Decoder {
    fn event(&mut self, name: Option<&[u8]>, data: &[u8], emit: &mut dyn FnMut(Event<'_>)) {
        let data = data.trim_ascii();
        if self.ended || data.is_empty() {
            return;
        }
        if data == b"[DONE]" {
            return self.done(emit);
        }
        let Ok(chunk) = Value::read(data) else {
            self.ended = true;
            let why = "an event of the provider is not valid JSON";
            return emit(Event::Failed(decode_answer::nonsense(why)));
        };
        let choices = chunk.get("choices").items();
        let faulty = std::iter::once(&chunk).chain(choices).find(|it| has_error(it));
        let faulty = faulty.or((name == Some(b"error")).then_some(&chunk));
        if let Some(holder) = faulty {
            self.ended = true;
            let failure = decode_answer::inner_failure(holder.raw().as_bytes());
            return emit(Event::Failed(failure));
        }
        self.chunk(&chunk, emit);
    }

    fn finish(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let seen = self.choices.iter().filter(|choice| choice.seen);
        match seen.clone().count() > 0 && seen.clone().all(|choice| choice.finished) {
            true => emit(Event::End),
            false => self.fail(emit),
        }
    }
}

/// The output of one candidate.
struct Way<'w, 'e> {
    choice: u32,
    names: &'w Names,
    emit: &'w mut (dyn FnMut(Event<'_>) + 'e),
}

/// The state of one candidate.
#[derive(Debug, Default)]
struct Choice {
    seen: bool,
    finished: bool,
    /// The number of the next block.
    next: u32,
    /// The open block, besides calls.
    open: Option<(Kind, u32)>,
    half: Joiner,
    details: Details,
    /// Whether reasoning comes as plain text, whatever other form is sent too.
    plain_thought: bool,
    /// A signature that came before its call.
    signature: Option<Signature<'static>>,
    calls: Vec<Call>,
    content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Refusal,
}

impl Choice {
    fn step(&mut self, one: &Value<'_>, way: &mut Way<'_, '_>) {
        if self.finished {
            return;
        }
        let first = !std::mem::replace(&mut self.seen, true);
        // A server without streaming sends everything as one message.
        let whole = one.find("message").filter(|_| first);
        let delta = one.find("delta").or(whole).unwrap_or(one.get("delta"));
        self.details.add(delta);
        self.thoughts(delta, way);
        self.texts(delta, way);
        self.sign(delta, way);
        for image in decode_answer::images(delta) {
            self.content.text = true;
            self.shut(way);
            (way.emit)(Event::Image { choice: way.choice, image });
        }
        for call in delta.get("tool_calls").items() {
            self.call(call, way);
        }
        if let Some(function) = delta.find("function_call") {
            let at = self.place_of(None, "", way);
            self.fragment(at, function, "arguments", way);
        }
        let logprobs: Vec<_> = logprobs(one).collect();
        if !logprobs.is_empty() {
            (way.emit)(Event::Logprobs { choice: way.choice, logprobs });
        }
        if let Some(label) = one.get("finish_reason").text().filter(|label| !label.is_empty()) {
            self.finish(way, label);
        }
    }

    fn thoughts(&mut self, delta: &Value<'_>, way: &mut Way<'_, '_>) {
        let signed = signed_thoughts(delta);
        match unsigned_thought(delta) {
            _ if !signed.is_empty() => {}
            Some(text) => {
                self.plain_thought = true;
                self.say(Kind::Thinking, text, way);
            }
            None if self.plain_thought => {}
            None => {
                signatures::thoughts(delta).for_each(|text| self.say(Kind::Thinking, text, way))
            }
        }
        for piece in signed.into_iter().map(Signed::into_piece) {
            let Piece::Thinking { text, signature: Some(signature) } = piece else { continue };
            if signature.redacted {
                self.shut(way);
            }
            // The signature ends its block; the text may have come before, in other chunks.
            let begun = matches!(self.open, Some((Kind::Thinking, _)));
            let block = self.opened(Kind::Thinking, way);
            self.flush(way);
            if !begun && !text.is_empty() {
                (way.emit)(Event::Delta { choice: way.choice, block, text });
            }
            (way.emit)(Event::Signature { choice: way.choice, block, signature });
            self.open = None;
            (way.emit)(Event::Close { choice: way.choice, block });
        }
    }

    fn texts(&mut self, delta: &Value<'_>, way: &mut Way<'_, '_>) {
        let content = delta.get("content");
        self.answer(content, way);
        for part in content.items() {
            match part.get("type").text() {
                Some("refusal") => self.refuse(part.get("refusal"), way),
                Some("thinking") => {
                    let thought = part.get("thinking");
                    self.say(Kind::Thinking, thought, way);
                    for inner in thought.items() {
                        self.say(Kind::Thinking, inner.get("text"), way);
                    }
                }
                _ => self.answer(part.get("text"), way),
            }
        }
        self.refuse(delta.get("refusal"), way);
        if let Some((Kind::Text, block)) = self.open {
            for citation in annotations(delta) {
                (way.emit)(Event::Cite { choice: way.choice, block, citation });
            }
        }
    }

    /// Handles the signature on the delta itself: it belongs to the text or to the first call, or
    /// to whichever comes next.
    fn sign(&mut self, delta: &Value<'_>, way: &mut Way<'_, '_>) {
        let Some(signature) = signatures::signed_by(delta, &way.names.model, None) else { return };
        let calls =
            !self.calls.is_empty() || delta.get("tool_calls").items().iter().any(Value::is_object);
        match self.open {
            Some((Kind::Text, block)) if !calls => {
                self.flush(way);
                (way.emit)(Event::Signature { choice: way.choice, block, signature });
                self.shut(way);
            }
            _ if self.calls.is_empty() => {
                self.signature.get_or_insert(signature.into_owned());
            }
            _ => {
                let unsigned = self.calls.iter().position(|call| !call.is_signed());
                self.sign_call(unsigned.unwrap_or(0), delta, way);
            }
        }
    }

    /// Assigns the signature in `holder` to a call. If the call was emitted already, the signature
    /// follows in a block of its own, which names the call.
    fn sign_call(&mut self, at: usize, holder: &Value<'_>, way: &mut Way<'_, '_>) {
        let call = &mut self.calls[at];
        let late = call.is_told().then(|| call.told_id().to_owned());
        let Some(signature) = signatures::signed_by(holder, &way.names.model, late.as_deref())
        else {
            return;
        };
        if call.is_signed() {
            return;
        }
        call.set_signature(signature.clone().into_owned());
        if late.is_some() {
            self.proof(signature, way);
        }
    }

    /// Emits a block that only has a signature.
    fn proof(&mut self, signature: Signature<'_>, way: &mut Way<'_, '_>) {
        let (choice, block) = (way.choice, self.next);
        self.next += 1;
        (way.emit)(Event::Open { choice, block, opening: Opening::Thinking });
        (way.emit)(Event::Signature { choice, block, signature });
        (way.emit)(Event::Close { choice, block });
    }

    fn answer(&mut self, text: &Value<'_>, way: &mut Way<'_, '_>) {
        self.content.text |= text.text().is_some_and(|text| !text.is_empty());
        self.say(Kind::Text, text, way);
    }

    fn refuse(&mut self, text: &Value<'_>, way: &mut Way<'_, '_>) {
        self.content.refusal |= text.text().is_some_and(|text| !text.is_empty());
        self.say(Kind::Refusal, text, way);
    }

    fn say(&mut self, kind: Kind, text: &Value<'_>, way: &mut Way<'_, '_>) {
        if text.text().is_none_or(str::is_empty) {
            return;
        }
        let block = self.opened(kind, way);
        let text = self.half.join(text);
        if !text.is_empty() {
            (way.emit)(Event::Delta { choice: way.choice, block, text });
        }
    }

    /// Emits the replacement of an unpaired surrogate.
    fn flush(&mut self, way: &mut Way<'_, '_>) {
        let rest = self.half.rest();
        if let (Some((_, block)), false) = (self.open, rest.is_empty()) {
            (way.emit)(Event::Delta { choice: way.choice, block, text: rest.into() });
        }
    }

    /// Returns the open block of this kind, or a new one.
    fn opened(&mut self, kind: Kind, way: &mut Way<'_, '_>) -> u32 {
        if let Some((open, block)) = self.open
            && open == kind
        {
            return block;
        }
        self.shut(way);
        self.settle_calls(self.calls.len(), way);
        let block = self.next;
        self.next += 1;
        self.open = Some((kind, block));
        let opening = match kind {
            Kind::Text => Opening::Text,
            Kind::Thinking => Opening::Thinking,
            Kind::Refusal => Opening::Refusal,
        };
        (way.emit)(Event::Open { choice: way.choice, block, opening });
        block
    }

    /// Closes the open block. Reasoning without a signature is marked as unsigned.
    fn shut(&mut self, way: &mut Way<'_, '_>) {
        self.flush(way);
        if let Some((kind, block)) = self.open.take() {
            if kind == Kind::Thinking {
                let signature = Signature::unsigned();
                (way.emit)(Event::Signature { choice: way.choice, block, signature });
            }
            (way.emit)(Event::Close { choice: way.choice, block });
        }
    }

    fn call(&mut self, call: &Value<'_>, way: &mut Way<'_, '_>) {
        let id = call.get("id").text().unwrap_or_default();
        let (inner, input) = match call.find("custom") {
            Some(custom) => (custom, "input"),
            None => (call.get("function"), "arguments"),
        };
        let mut at = self.place_of(call.get("index").u64(), id, way);
        // Without index and id, a name behind a whole input begins the next call.
        let numbered = call.find("index").is_some() || !id.is_empty();
        let begins = inner.get("name").text().is_some_and(|name| !name.is_empty())
            && !arguments(inner, input).is_empty();
        if !numbered && begins && self.calls[at].is_whole() {
            at = self.begin(None, way);
        }
        if !id.is_empty() && self.calls[at].id.is_empty() {
            self.calls[at].id.push_str(id);
        }
        self.sign_call(at, call, way);
        self.fragment(at, inner, input, way);
    }

    /// Returns the index of the call of a fragment.
    fn place_of(&mut self, index: Option<u64>, id: &str, way: &mut Way<'_, '_>) -> usize {
        let named = |call: &Call| !id.is_empty() && call.id == id;
        let found = match index {
            Some(_) => {
                let same = |call: &Call| call.index == index;
                let exact = self.calls.iter().rposition(|call| same(call) && named(call));
                exact.or_else(|| {
                    self.calls.iter().rposition(same).filter(|&at| self.calls[at].may_be(id))
                })
            }
            None => self.calls.iter().rposition(named).or_else(|| {
                let last = self.calls.len().checked_sub(1);
                last.filter(|&at| self.calls[at].may_be(id))
            }),
        };
        found.unwrap_or_else(|| self.begin(index, way))
    }

    fn begin(&mut self, index: Option<u64>, way: &mut Way<'_, '_>) -> usize {
        self.shut(way);
        self.settle_calls(self.calls.len(), way);
        let made = made_id(way.names, way.choice.into(), self.calls.len());
        let mut call = Call::new(index, made);
        if let Some(signature) = self.signature.take() {
            call.set_signature(signature);
        }
        self.calls.push(call);
        self.calls.len() - 1
    }

    fn fragment(&mut self, at: usize, inner: &Value<'_>, input: &str, way: &mut Way<'_, '_>) {
        self.detail(way);
        self.calls[at].named(inner.get("name").text().unwrap_or_default(), input == "input");
        let mut place = Place { choice: way.choice, next: &mut self.next, names: way.names };
        self.calls[at].input(inner.get(input), &mut place, way.emit);
        self.settle_calls(self.calls.len() - 1, way);
    }

    /// Assigns the reasoning details of the message to the first call, unless it was emitted.
    fn detail(&mut self, way: &Way<'_, '_>) {
        if let Some(first) = self.calls.first_mut().filter(|call| call.may_be_signed())
            && let Some(signature) = self.details.signature(&way.names.model)
        {
            first.set_signature(signature);
        }
    }

    /// Completes the first `count` calls because something else has begun.
    fn settle_calls(&mut self, count: usize, way: &mut Way<'_, '_>) {
        for call in &mut self.calls[..count] {
            let mut place = Place { choice: way.choice, next: &mut self.next, names: way.names };
            call.settle(&mut place, way.emit);
        }
    }

    fn finish(&mut self, way: &mut Way<'_, '_>, label: &str) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.shut(way);
        for call in &mut self.calls {
            let mut place = Place { choice: way.choice, next: &mut self.next, names: way.names };
            call.close(&mut place, way.emit);
        }
        self.content.calls = self.calls.iter().any(Call::is_told);
        if self.content.calls
            && let Some(signature) = self.details.signature(&way.names.model)
        {
            self.proof(signature, way);
        }
        let finish = finish(label, self.content);
        (way.emit)(Event::Finish { choice: way.choice, finish });
    }
}

/// Returns the input in a fragment: text, or an object.
fn arguments<'v>(inner: &'v Value<'_>, name: &str) -> &'v str {
    let value = inner.get(name);
    value.text().unwrap_or(if value.is_object() { value.raw() } else { "" })
}
