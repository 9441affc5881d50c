//! From the steps of an answer to the events of a response.
//!
//! Items come one behind the other (S-RS-3), each is told whole when it is done (S-RS-2), and all
//! of them once more at the end. Neighbouring texts are one part of one message, so a message is
//! done when something else follows.

mod frame;

use frame::{finish_part, send, send_input, text, write_place, write_summary_place};

use super::{
    output::{Content, Item, Part, add_logprobs, annotation, sealed, write_summary},
    response::{Status, write_response},
};
use crate::{
    EncodeStream, Failure, Reply, Sequencer, Signature, Tokens,
    chat::{Citation, Event, Finish, Logprob, Opening},
    write,
};

/// Writes a stream.
#[derive(Debug)]
pub(super) struct Writer {
    sequencer: Sequencer,
    told: Told,
}

/// What was told so far.
#[derive(Debug)]
struct Told {
    reply: Reply,
    /// The next event's number.
    number: u64,
    /// The next item's place.
    nth: usize,
    /// The item that grows.
    item: Option<Item>,
    /// Where in its part a text began, and how long the part is, in characters.
    span: (u64, u64),
    /// Citations of all of the text that grows.
    cited: Vec<Citation<'static>>,
    /// The items that are done, as a JSON list without brackets.
    output: Vec<u8>,
    usage: Option<Tokens>,
    finish: Finish<'static>,
    refused: bool,
    started: bool,
    ended: bool,
}

impl Writer {
    pub(super) fn new(reply: Reply) -> Writer {
        let told = Told {
            reply,
            number: 0,
            nth: 0,
            item: None,
            span: (0, 0),
            cited: Vec::new(),
            output: Vec::new(),
            usage: None,
            finish: Finish::Stop,
            refused: false,
            started: false,
            ended: false,
        };
        Writer { sequencer: Sequencer::with_signatures_in_front(), told }
    }
}

impl EncodeStream for Writer {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        let told = &mut self.told;
        self.sequencer.push(event, &mut |event| told.step(event, out));
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        // A comment is no life for every client: Codex counts events. This one is OpenAI's own, and
        // all SDKs pass over it.
        if !self.told.ended {
            self.told.start(out);
            send(out, &mut self.told.number, "keepalive", |_| {});
        }
    }
}

impl Told {
    fn step(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        self.start(out);
        match event {
            Event::Open { choice: 0, opening, .. } => self.open(opening, out),
            Event::Delta { choice: 0, text, .. } => self.delta(&text, out),
            Event::Signature { choice: 0, signature, .. } => self.signature(&signature, out),
            Event::Cite { choice: 0, citation, .. } => match citation.span {
                Some(_) => self.cite(&citation, out),
                None => self.cited.push(citation.into_owned()),
            },
            Event::Image { choice: 0, image } => {
                self.finish_item(out);
                self.add(Content::Image(image.into_owned()), out);
                self.finish_item(out);
            }
            Event::Logprobs { choice: 0, logprobs } => self.logprobs(&logprobs, out),
            Event::Close { choice: 0, .. } => self.close(out),
            Event::Finish { choice: 0, finish } => self.finish(finish, out),
            Event::Usage(tokens) => self.usage = Some(tokens),
            Event::Failed(failure) => self.fail(&failure, out),
            Event::End => self.end(out),
            // One answer a call is all that a client of this dialect can ask for.
            _ => {}
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let mut response = Vec::new();
        write_response(&mut response, &self.reply, Status::Begun, "", None);
        for kind in ["response.created", "response.in_progress"] {
            send(out, &mut self.number, kind, |o| o.raw("response", text(&response)));
        }
    }

    fn open(&mut self, opening: Opening<'_>, out: &mut Vec<u8>) {
        match opening {
            Opening::Text => self.open_part(false, out),
            Opening::Refusal => self.open_part(true, out),
            // Its item begins when it says something or is signed.
            Opening::Thinking => self.finish_item(out),
            Opening::Call { id, name } => {
                self.finish_item(out);
                let (id, name) = (id.into_owned(), name.into_owned());
                self.add(Content::Call { id, name, input: String::new() }, out);
            }
        }
    }

    fn open_part(&mut self, refusal: bool, out: &mut Vec<u8>) {
        if !matches!(&self.item, Some(Item { content: Content::Message(_), .. })) {
            self.finish_item(out);
            self.add(Content::Message(Vec::new()), out);
        }
        let Some(Item { id, content: Content::Message(parts) }) = &mut self.item else { return };
        if !refusal && parts.last().is_some_and(|part| !part.refusal) {
            // The text goes on.
            self.span.0 = self.span.1;
            return;
        }
        let index = self.nth - 1;
        if let Some(part) = parts.last() {
            finish_part(out, &mut self.number, [index, parts.len() - 1], id, part);
        }
        self.refused |= refusal;
        let part = Part { refusal, ..Part::default() };
        send(out, &mut self.number, "response.content_part.added", |o| {
            write_place(o, [index, parts.len()], id);
            o.object("part", |o| part.write(o));
        });
        parts.push(part);
        self.span = (0, 0);
    }

    fn delta(&mut self, delta: &str, out: &mut Vec<u8>) {
        if self.item.is_none() {
            self.think(out);
        }
        let Some(Item { id, content }) = &mut self.item else { return };
        let (number, index) = (&mut self.number, self.nth - 1);
        match content {
            Content::Reasoning { text, .. } => {
                if text.is_empty() {
                    send(out, number, "response.reasoning_summary_part.added", |o| {
                        write_summary_place(o, index, id);
                        o.object("part", |o| write_summary(o, ""));
                    });
                }
                text.push_str(delta);
                send(out, number, "response.reasoning_summary_text.delta", |o| {
                    write_summary_place(o, index, id);
                    o.text("delta", delta);
                });
            }
            Content::Message(parts) => {
                let place = [index, parts.len().saturating_sub(1)];
                let Some(part) = parts.last_mut() else { return };
                part.text.push_str(delta);
                self.span.1 += delta.chars().count() as u64;
                let refusal = part.refusal;
                let kind = ["response.output_text.delta", "response.refusal.delta"];
                send(out, number, kind[usize::from(refusal)], |o| {
                    write_place(o, place, id);
                    o.text("delta", delta);
                    if !refusal {
                        o.raw("logprobs", "[]");
                    }
                });
            }
            Content::Call { name, input, .. } => {
                input.push_str(delta);
                send_input(out, number, index, id, name.free_form, delta);
            }
            // It is told whole.
            Content::Image(_) => {}
        }
    }

    /// The signature of a thought; that of a text has no place here.
    fn signature(&mut self, signature: &Signature<'_>, out: &mut Vec<u8>) {
        if self.item.is_none() {
            self.think(out);
        }
        if let Some(Item { content: Content::Reasoning { sealed: place, .. }, .. }) = &mut self.item
        {
            *place = Some(sealed(Some(signature)));
        }
    }

    fn think(&mut self, out: &mut Vec<u8>) {
        self.add(Content::Reasoning { text: String::new(), sealed: None }, out);
    }

    fn cite(&mut self, citation: &Citation<'_>, out: &mut Vec<u8>) {
        let (begin, end) = self.span;
        let Some(Item { id, content: Content::Message(parts) }) = &mut self.item else { return };
        let place = [self.nth - 1, parts.len().saturating_sub(1)];
        let Some(part) = parts.last_mut().filter(|part| !part.refusal) else { return };
        let annotation = annotation(citation, begin, end);
        send(out, &mut self.number, "response.output_text.annotation.added", |o| {
            write_place(o, place, id);
            o.number("annotation_index", part.annotations.len() as u64);
            o.raw("annotation", &annotation);
        });
        part.annotations.push(annotation);
    }

    /// Log probabilities come behind their text, so an empty delta carries them.
    fn logprobs(&mut self, logprobs: &[Logprob<'_>], out: &mut Vec<u8>) {
        let Some(Item { id, content: Content::Message(parts) }) = &mut self.item else { return };
        let place = [self.nth - 1, parts.len().saturating_sub(1)];
        let Some(part) = parts.last_mut().filter(|part| !part.refusal) else { return };
        let mut list = String::new();
        add_logprobs(&mut list, logprobs);
        send(out, &mut self.number, "response.output_text.delta", |o| {
            write_place(o, place, id);
            o.text("delta", "");
            o.raw("logprobs", &format!("[{list}]"));
        });
        if !part.logprobs.is_empty() && !list.is_empty() {
            part.logprobs.push(',');
        }
        part.logprobs.push_str(&list);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        for citation in std::mem::take(&mut self.cited) {
            self.cite(&citation, out);
        }
        if !matches!(&self.item, Some(Item { content: Content::Message(_), .. })) {
            self.finish_item(out);
        }
    }

    /// Begins an item.
    fn add(&mut self, content: Content, out: &mut Vec<u8>) {
        let item = Item::new(content, &self.reply.unique, self.nth);
        send(out, &mut self.number, "response.output_item.added", |o| {
            o.number("output_index", self.nth as u64);
            o.object("item", |o| item.write(o, "in_progress"));
        });
        self.nth += 1;
        self.item = Some(item);
    }

    /// Tells the item that grew whole.
    fn finish_item(&mut self, out: &mut Vec<u8>) {
        let Some(mut item) = self.item.take() else { return };
        let (number, index, id) = (&mut self.number, self.nth - 1, &*item.id);
        match &mut item.content {
            Content::Reasoning { text, sealed: proof } => {
                proof.get_or_insert_with(|| sealed(None));
                if !text.is_empty() {
                    send(out, number, "response.reasoning_summary_text.done", |o| {
                        write_summary_place(o, index, id);
                        o.text("text", text);
                    });
                    send(out, number, "response.reasoning_summary_part.done", |o| {
                        write_summary_place(o, index, id);
                        o.object("part", |o| write_summary(o, text));
                    });
                }
            }
            Content::Message(parts) => {
                if let Some(part) = parts.last() {
                    finish_part(out, number, [index, parts.len() - 1], id, part);
                }
            }
            Content::Call { name, input, .. } => {
                // TOOL-3.
                if input.trim().is_empty() && !name.free_form {
                    input.push_str("{}");
                    send_input(out, number, index, id, false, "{}");
                }
                let [kind, member] = match name.free_form {
                    true => ["response.custom_tool_call_input.done", "input"],
                    false => ["response.function_call_arguments.done", "arguments"],
                };
                send(out, number, kind, |o| {
                    o.text("item_id", id);
                    o.number("output_index", index as u64);
                    if !name.free_form {
                        o.text("name", &name.text);
                    }
                    o.text(member, input);
                });
            }
            Content::Image(_) => {}
        }
        let begin = self.keep(&item, "completed");
        send(out, &mut self.number, "response.output_item.done", |o| {
            o.number("output_index", index as u64);
            o.raw("item", text(&self.output[begin..]));
        });
    }

    /// Writes an item to those of the response; gives where it begins.
    fn keep(&mut self, item: &Item, status: &str) -> usize {
        if !self.output.is_empty() {
            self.output.push(b',');
        }
        let begin = self.output.len();
        write::object(&mut self.output, |o| item.write(o, status));
        begin
    }

    /// REF-1: a refusal that was told says it all; else why it declines is told as one.
    fn finish(&mut self, finish: Finish<'_>, out: &mut Vec<u8>) {
        self.finish = match finish {
            Finish::Filtered(_) if self.refused => Finish::Stop,
            finish => finish.into_owned(),
        };
        if let Finish::Filtered(Some(why)) = &self.finish
            && !why.is_empty()
        {
            let why = why.to_string();
            self.open_part(true, out);
            self.delta(&why, out);
        }
        self.finish_item(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.finish_item(out);
        let finish = std::mem::take(&mut self.finish);
        self.terminal(Status::Ended(&finish), out);
    }

    /// ERR-S-1: with what there is so far; what was growing is not done.
    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        if let Some(item) = self.item.take() {
            self.keep(&item, "incomplete");
        }
        self.terminal(Status::Failed(failure), out);
    }

    fn terminal(&mut self, status: Status<'_>, out: &mut Vec<u8>) {
        let mut response = Vec::with_capacity(self.output.len() + 1024);
        let usage = self.usage.as_ref();
        write_response(&mut response, &self.reply, status, text(&self.output), usage);
        let kind = format!("response.{}", status.name());
        send(out, &mut self.number, &kind, |o| o.raw("response", text(&response)));
        self.ended = true;
    }
}
