//! Encodes streams of chunks.

use crate::{
    EncodeStream, Failure, Reply, Signature, Tokens, Vendor,
    chat::{Citation, Event, Finish, Name, Opening},
    write::{self, Object},
};

use super::{
    encode_answer::{
        self, Fragment, annotation, finish_reason, kind, length, logprobs, thinking_block,
    },
    layout::Layout,
};

#[derive(Debug)]
pub(super) struct Encoder {
    /// The beginning of every chunk, up to its choices.
    head: String,
    include_usage: bool,
    /// Whether the client knows calls only as `function_call`.
    old_calls: bool,
    usage: Option<Tokens>,
    choices: Vec<Choice>,
    /// A call that is opened and not sent yet: its signature and first input are sent with it.
    waiting: Option<Waiting>,
}

/// The state of one candidate.
#[derive(Debug, Default)]
struct Choice {
    begun: bool,
    refused: bool,
    /// The numbers of calls, signatures, annotations and images.
    calls: u64,
    proofs: u64,
    annotations: u64,
    images: u64,
    /// The length of the text, in characters.
    length: u64,
    layout: Layout,
    open: Vec<(u32, Open)>,
}

#[derive(Debug)]
enum Open {
    /// Text, and the number of characters before it.
    Text(u64),
    Refusal,
    /// Reasoning so far, and its signature.
    Thinking(String, Option<Signature<'static>>),
    Call {
        index: u64,
        free_form: bool,
        /// Whether there was any input.
        filled: bool,
    },
}

#[derive(Debug)]
struct Waiting {
    choice: u32,
    block: u32,
    index: u64,
    id: String,
    name: Name<'static>,
    signature: Option<Signature<'static>>,
}

impl Encoder {
    pub(super) fn new(reply: &Reply) -> Encoder {
        let mut head = write::object_text(|o| {
            o.joined("id", &["chatcmpl-", &reply.unique]);
            o.text("object", "chat.completion.chunk");
            o.number("created", reply.created);
            o.text("model", &reply.model);
        });
        head.pop();
        head.insert_str(0, "data: ");
        head.push_str(",\"choices\":[");
        Encoder {
            head,
            include_usage: reply.wish.include_usage,
            old_calls: reply.wish.function_call,
            usage: None,
            choices: Vec::new(),
            waiting: None,
        }
    }

    fn choice(&mut self, number: u32) -> &mut Choice {
        let at = usize::try_from(number).unwrap_or_default();
        if self.choices.len() <= at {
            self.choices.resize_with(at + 1, Choice::default);
        }
        &mut self.choices[at]
    }

    /// Writes a chunk; the first one of a candidate has its role.
    fn chunk(&mut self, choice: u32, out: &mut Vec<u8>, delta: impl FnOnce(&mut Object<'_>)) {
        let first = !std::mem::replace(&mut self.choice(choice).begun, true);
        self.whole_chunk(choice, out, None, |o| {
            if first {
                o.text("role", "assistant");
            }
            delta(o);
        });
    }

    fn whole_chunk(
        &self,
        choice: u32,
        out: &mut Vec<u8>,
        finish: Option<&str>,
        delta: impl FnOnce(&mut Object<'_>),
    ) {
        out.extend_from_slice(self.head.as_bytes());
        write::object(out, |o| {
            o.number("index", choice.into());
            o.object("delta", delta);
            match finish {
                Some(reason) => o.text("finish_reason", reason),
                None => o.null("finish_reason"),
            }
        });
        out.extend_from_slice(b"]}\n\n");
    }

    fn opened(&mut self, choice: u32, block: u32, opening: Opening<'_>) {
        let state = self.choice(choice);
        let open = match opening {
            Opening::Text => Open::Text(state.length),
            Opening::Refusal => Open::Refusal,
            Opening::Thinking => Open::Thinking(String::new(), None),
            Opening::Call { id, name } => {
                let index = state.calls;
                state.calls += 1;
                state.layout.call();
                let free_form = name.free_form;
                let (id, name) = (id.into_owned(), name.into_owned());
                self.waiting = Some(Waiting { choice, block, index, id, name, signature: None });
                Open::Call { index, free_form, filled: false }
            }
        };
        self.choice(choice).open.push((block, open));
    }

    fn find(&mut self, choice: u32, block: u32) -> Option<&mut Open> {
        let open = &mut self.choice(choice).open;
        open.iter_mut().find(|(number, _)| *number == block).map(|(_, open)| open)
    }

    /// Sends the waiting call, with the first piece of its input.
    fn flush(&mut self, input: &str, out: &mut Vec<u8>) {
        let Some(call) = self.waiting.take() else { return };
        if self.old_calls {
            return self.old_call(call.choice, call.index, Some(&call.name.text), input, out);
        }
        self.chunk(call.choice, out, |o| {
            o.array("tool_calls", |list| {
                list.object(|o| {
                    o.number("index", call.index);
                    let signature = call.signature.as_ref();
                    Fragment { id: &call.id, name: &call.name, input, signature }.write(o);
                });
            });
        });
    }

    fn delta(&mut self, choice: u32, block: u32, text: &str, out: &mut Vec<u8>) {
        let Some(open) = self.find(choice, block) else { return };
        let field = match open {
            Open::Text(_) => "content",
            Open::Refusal => "refusal",
            Open::Thinking(thought, _) => {
                thought.push_str(text);
                "reasoning_content"
            }
            Open::Call { index, free_form, filled } => {
                let (index, free_form) = (*index, *free_form);
                *filled |= !text.is_empty();
                return self.input(choice, index, free_form, text, out);
            }
        };
        if text.is_empty() {
            return;
        }
        match field {
            "content" => {
                let state = self.choice(choice);
                state.length += length(text);
                state.layout.text(length(text));
            }
            "refusal" => self.choice(choice).refused = true,
            _ => {}
        }
        self.chunk(choice, out, |o| o.text(field, text));
    }

    fn input(&mut self, choice: u32, index: u64, free_form: bool, text: &str, out: &mut Vec<u8>) {
        if self.waiting.is_some() {
            return self.flush(text, out);
        }
        if self.old_calls {
            return self.old_call(choice, index, None, text, out);
        }
        self.chunk(choice, out, |o| {
            o.array("tool_calls", |list| {
                list.object(|o| {
                    let (kind, input) = kind(free_form);
                    o.number("index", index);
                    o.object(kind, |o| o.text(input, text));
                });
            });
        });
    }

    /// Writes a call as `function_call`, which has place for the first one only.
    fn old_call(
        &mut self,
        choice: u32,
        index: u64,
        name: Option<&str>,
        input: &str,
        out: &mut Vec<u8>,
    ) {
        if index == 0 {
            self.chunk(choice, out, |o| {
                o.object("function_call", |o| {
                    o.text_if("name", name);
                    o.text("arguments", input);
                });
            });
        }
    }

    fn signature(&mut self, choice: u32, block: u32, signature: Signature<'_>, out: &mut Vec<u8>) {
        if let Some(call) = &mut self.waiting {
            call.signature = Some(signature.into_owned());
            return;
        }
        match self.find(choice, block) {
            Some(Open::Thinking(_, place)) => *place = Some(signature.into_owned()),
            Some(Open::Text(_)) if signature.vendor == Vendor::Gemini => {
                self.chunk(choice, out, |o| encode_answer::write_signature(o, &signature));
            }
            _ => {}
        }
    }

    fn cite(&mut self, choice: u32, block: u32, citation: &Citation<'_>, out: &mut Vec<u8>) {
        let Some(&mut Open::Text(before)) = self.find(choice, block) else { return };
        let state = self.choice(choice);
        let (start, end) = match citation.span {
            Some((start, end)) => (before + start, before + end),
            None => (before, state.length),
        };
        let number = state.annotations;
        state.annotations += 1;
        self.chunk(choice, out, |o| {
            o.array("annotations", |list| {
                list.object(|o| {
                    o.number("index", number);
                    annotation(o, citation, start, end);
                });
            });
        });
    }

    fn close(&mut self, choice: u32, block: u32, out: &mut Vec<u8>) {
        let open = &mut self.choice(choice).open;
        let Some(at) = open.iter().position(|(number, _)| *number == block) else { return };
        match open.swap_remove(at).1 {
            Open::Call { index, free_form, filled: false } => {
                // Without input, an empty object is meant.
                let input = if free_form { "" } else { "{}" };
                self.input(choice, index, free_form, input, out);
            }
            Open::Thinking(text, Some(signature)) if signature.vendor == Vendor::Anthropic => {
                let state = self.choice(choice);
                let number = state.proofs;
                state.proofs += 1;
                let proof = state.layout.sign(&signature);
                self.chunk(choice, out, |o| {
                    o.array("thinking_blocks", |list| {
                        list.object(|o| {
                            o.number("index", number);
                            thinking_block(o, &text, &proof, signature.redacted);
                        });
                    });
                });
            }
            _ => {}
        }
    }

    fn finish(&mut self, choice: u32, finish: &Finish<'_>, out: &mut Vec<u8>) {
        let state = self.choice(choice);
        let called = state.calls > 0;
        if let (false, Finish::Filtered(Some(why))) = (state.refused, finish) {
            self.chunk(choice, out, |o| o.text("refusal", why));
        }
        let first = !std::mem::replace(&mut self.choice(choice).begun, true);
        self.whole_chunk(choice, out, Some(finish_reason(finish, called, self.old_calls)), |o| {
            if first {
                o.text("role", "assistant");
            }
        });
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let (true, Some(tokens)) = (self.include_usage, &self.usage) {
            out.extend_from_slice(self.head.as_bytes());
            out.extend_from_slice(b"],\"usage\":");
            write::object(out, |o| encode_answer::usage(o, tokens));
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

impl EncodeStream for Encoder {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        let own = match &event {
            Event::Delta { choice, block, .. }
            | Event::Signature { choice, block, .. }
            | Event::Close { choice, block } => {
                self.waiting.as_ref().is_some_and(|it| (it.choice, it.block) == (*choice, *block))
            }
            Event::Usage(_) | Event::Failed(_) => true,
            _ => false,
        };
        if !own {
            self.flush("", out);
        }
        match event {
            Event::Start => self.chunk(0, out, |o| o.text("content", "")),
            Event::Open { choice, block, opening } => self.opened(choice, block, opening),
            Event::Delta { choice, block, text } => self.delta(choice, block, &text, out),
            Event::Signature { choice, block, signature } => {
                self.signature(choice, block, signature, out)
            }
            Event::Cite { choice, block, citation } => self.cite(choice, block, &citation, out),
            Event::Logprobs { choice, logprobs: all } => {
                let first = !std::mem::replace(&mut self.choice(choice).begun, true);
                out.extend_from_slice(self.head.as_bytes());
                write::object(out, |o| {
                    o.number("index", choice.into());
                    o.object("delta", |o| {
                        if first {
                            o.text("role", "assistant");
                        }
                    });
                    o.object("logprobs", |o| logprobs(o, &all));
                    o.null("finish_reason");
                });
                out.extend_from_slice(b"]}\n\n");
            }
            Event::Image { choice, image } => {
                let state = self.choice(choice);
                let number = state.images;
                state.images += 1;
                self.chunk(choice, out, |o| encode_answer::images(o, &[&image], number));
            }
            Event::Close { choice, block } => self.close(choice, block, out),
            Event::Finish { choice, finish } => self.finish(choice, &finish, out),
            Event::Usage(tokens) => self.usage = Some(tokens),
            Event::Failed(failure) => fail(&failure, out),
            Event::End => self.end(out),
        }
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        self.flush("", out);
        out.extend_from_slice(b": keep-alive\n\n");
    }
}

fn fail(failure: &Failure, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend(crate::OPENAI_CHAT.failure(failure, failure.kind.status(), ""));
    out.extend_from_slice(b"\n\n");
}
