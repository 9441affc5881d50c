//! Decodes streams of a Messages target.

use std::borrow::Cow;

use super::decode_answer::{call_id, citation, finish, input, redacted};
use crate::{
    DecodeStream, Failure, FailureKind, Names, ProviderError, Signature, Value, Vendor,
    chat::{Event, Finish, Name, Opening},
    free_form::Unwrapper,
    halves::{Joiner, Mender},
    tokens::Reported,
};

/// The only candidate of this dialect.
const CHOICE: u32 = 0;

/// Decodes the events of a message.
#[derive(Debug)]
pub(super) struct Stream {
    names: Names,
    begun: bool,
    finished: bool,
    ended: bool,
    /// The open blocks by the provider's numbers; at most one in a valid stream.
    open: Vec<(u64, Block)>,
    next: u32,
    usage: Reported,
}

#[derive(Debug)]
struct Block {
    number: u32,
    kind: Kind,
    half: Joiner,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thinking {
        signature: String,
    },
    /// `whole`: the input at the beginning of the block, used if no deltas follow.
    Call {
        whole: String,
        unwrapper: Option<Unwrapper>,
        mender: Mender,
        fed: bool,
    },
}

impl Stream {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            begun: false,
            finished: false,
            ended: false,
            open: Vec::new(),
            next: 0,
            usage: Reported::default(),
        }
    }

    fn start(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.begun, true) {
            emit(Event::Start);
        }
    }

    fn usage(&mut self, usage: &Value<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        if usage.is_object() {
            self.usage.read(usage.raw().as_bytes());
            if let Some(tokens) = self.usage.tokens() {
                emit(Event::Usage(tokens));
            }
        }
    }

    fn block_start(&mut self, event: &Value<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        let value = event.get("content_block");
        let index = event.get("index").u64().unwrap_or_default();
        self.block_stop(index, emit);
        let text = |name: &str| value.get(name).cow().unwrap_or_default();
        let number = self.next;
        let mut given = Cow::Borrowed("");
        let mut half = Joiner::default();
        let (opening, kind) = match value.get("type").text().unwrap_or_default() {
            "text" => {
                given = half.join(value.get("text"));
                (Opening::Text, Kind::Text)
            }
            "thinking" => {
                given = half.join(value.get("thinking"));
                (Opening::Thinking, Kind::Thinking { signature: text("signature").into_owned() })
            }
            "redacted_thinking" => {
                self.start(emit);
                self.next += 1;
                emit(Event::Open { choice: CHOICE, block: number, opening: Opening::Thinking });
                let signature = redacted(text("data"));
                emit(Event::Signature { choice: CHOICE, block: number, signature });
                emit(Event::Close { choice: CHOICE, block: number });
                return;
            }
            "tool_use" => {
                let id = call_id(text("id"), number as usize, &self.names);
                let name = self.names.back(text("name"));
                let kind = call(value.get("input"), &name);
                (Opening::Call { id, name }, kind)
            }
            // The provider's own tools and their results have no counterpart elsewhere.
            _ => return,
        };
        self.start(emit);
        self.next += 1;
        emit(Event::Open { choice: CHOICE, block: number, opening });
        if !given.is_empty() {
            emit(Event::Delta { choice: CHOICE, block: number, text: given });
        }
        for cite in value.get("citations").items().iter().filter_map(citation) {
            emit(Event::Cite { choice: CHOICE, block: number, citation: cite });
        }
        self.open.push((index, Block { number, kind, half }));
    }

    fn block_delta(&mut self, event: &Value<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        let index = event.get("index").u64().unwrap_or_default();
        let Some((_, block)) = self.open.iter_mut().find(|(open, _)| *open == index) else {
            return;
        };
        let delta = event.get("delta");
        let number = block.number;
        let mut say = |text: Cow<'_, str>| {
            if !text.is_empty() {
                emit(Event::Delta { choice: CHOICE, block: number, text });
            }
        };
        let half = &mut block.half;
        match (delta.get("type").text().unwrap_or_default(), &mut block.kind) {
            ("text_delta", Kind::Text) => say(half.join(delta.get("text"))),
            ("thinking_delta", Kind::Thinking { .. }) => say(half.join(delta.get("thinking"))),
            ("signature_delta", Kind::Thinking { signature }) => {
                delta.get("signature").text().unwrap_or_default().clone_into(signature);
            }
            ("input_json_delta", Kind::Call { unwrapper, mender, fed, .. }) => {
                let piece = half.join(delta.get("partial_json"));
                *fed |= !piece.is_empty();
                match unwrapper {
                    Some(unwrapper) => say(unwrapper.push(&piece).into()),
                    None => say(mender.push(&piece)),
                }
            }
            ("citations_delta", Kind::Text) => {
                if let Some(citation) = citation(delta.get("citation")) {
                    emit(Event::Cite { choice: CHOICE, block: number, citation });
                }
            }
            _ => {}
        }
    }

    fn block_stop(&mut self, index: u64, emit: &mut dyn FnMut(Event<'_>)) {
        let Some(place) = self.open.iter().position(|(open, _)| *open == index) else { return };
        let (_, Block { number, kind, mut half }) = self.open.remove(place);
        let lone = half.rest();
        if !lone.is_empty() && !matches!(kind, Kind::Call { .. }) {
            emit(Event::Delta { choice: CHOICE, block: number, text: lone.into() });
        }
        match kind {
            Kind::Text => {}
            Kind::Thinking { signature } => {
                if !signature.is_empty() {
                    let signature = Signature::new(Vendor::Anthropic, signature);
                    emit(Event::Signature { choice: CHOICE, block: number, signature });
                }
            }
            Kind::Call { whole, unwrapper, mut mender, fed } => {
                let rest = match unwrapper {
                    Some(mut unwrapper) if fed => unwrapper.push(lone) + &unwrapper.finish(),
                    _ if fed => mender.push(lone).into_owned() + &mender.rest(),
                    _ => whole,
                };
                if !rest.is_empty() {
                    emit(Event::Delta { choice: CHOICE, block: number, text: rest.into() });
                }
            }
        }
        emit(Event::Close { choice: CHOICE, block: number });
    }

    fn message_delta(&mut self, event: &Value<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        let delta = event.get("delta");
        if !self.finished && delta.find("stop_reason").is_some() {
            self.finish_with(finish(delta), emit);
        }
        self.usage(event.get("usage"), emit);
    }

    fn finish_with(&mut self, finish: Finish<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        self.start(emit);
        while let Some(&(index, _)) = self.open.first() {
            self.block_stop(index, emit);
        }
        self.finished = true;
        emit(Event::Finish { choice: CHOICE, finish });
    }

    fn fail(&mut self, failure: Failure, emit: &mut dyn FnMut(Event<'_>)) {
        self.ended = true;
        emit(Event::Failed(failure));
    }
}

impl DecodeStream for Stream {
    fn event(&mut self, name: Option<&[u8]>, data: &[u8], emit: &mut dyn FnMut(Event<'_>)) {
        if self.ended || name == Some(b"ping") || data.trim_ascii().is_empty() {
            return;
        }
        let Ok(event) = Value::read(data) else {
            let broken = "an event of the provider's stream is not valid JSON";
            return self.fail(Failure::new(FailureKind::BadGateway, broken), emit);
        };
        let named = || name.and_then(|name| std::str::from_utf8(name).ok());
        match event.get("type").text().or_else(named).unwrap_or_default() {
            "message_start" => {
                self.start(emit);
                self.usage(event.get("message").get("usage"), emit);
            }
            "content_block_start" => self.block_start(&event, emit),
            "content_block_delta" => self.block_delta(&event, emit),
            "content_block_stop" => {
                self.block_stop(event.get("index").u64().unwrap_or_default(), emit);
            }
            "message_delta" => self.message_delta(&event, emit),
            "message_stop" => {
                // The stream is complete without a finish reason: assume the usual one.
                if !self.finished {
                    self.finish_with(Finish::Stop, emit);
                }
                self.ended = true;
                emit(Event::End);
            }
            "" | "error" => {
                if let Some(error) = ProviderError::read(data) {
                    self.fail(error.into(), emit);
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        if self.ended {
            return;
        }
        if self.finished {
            self.ended = true;
            return emit(Event::End);
        }
        let cut = "the provider's stream ended before its answer was whole";
        self.fail(Failure::new(FailureKind::BadGateway, cut), emit);
    }
}

fn call(value: &Value<'_>, name: &Name<'_>) -> Kind {
    // A block whose input follows begins with an empty object.
    let empty = value.members().is_empty();
    let whole = if empty { Cow::Borrowed("") } else { input(value, name) };
    let unwrapper = name.free_form.then(Unwrapper::default);
    let whole = whole.into_owned();
    Kind::Call { whole, unwrapper, mender: Mender::default(), fed: false }
}
