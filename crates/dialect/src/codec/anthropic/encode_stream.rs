//! Encodes streams for a Messages client.

use super::encode_answer::{Said, citation, ending, head, signature_field, usage};
use crate::{
    EncodeStream, Reply, Sequencer, Signature, Tokens,
    anthropic::error_type,
    chat::{Citation, Event, Finish, Opening},
    write::{self, Object},
};

/// The only candidate of this dialect.
const ONLY: u32 = 0;

/// Encodes the events of a message.
#[derive(Debug)]
pub(super) struct Stream {
    sequencer: Sequencer,
    message: Message,
}

/// The state of the message.
#[derive(Debug)]
struct Message {
    reply: Reply,
    begun: bool,
    ended: bool,
    open: Option<Open>,
    said: Said,
    finish: Option<Finish<'static>>,
    usage: Tokens,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking { signed: bool },
    Call,
}

impl Stream {
    pub(super) fn new(reply: Reply) -> Self {
        let message = Message {
            reply,
            begun: false,
            ended: false,
            open: None,
            said: Said::default(),
            finish: None,
            usage: Tokens::default(),
        };
        Self { sequencer: Sequencer::with_signatures_in_front(), message }
    }
}

impl EncodeStream for Stream {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        let Self { sequencer, message } = self;
        sequencer.push(event, &mut |event| message.event(event, out));
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        if self.message.begun && !self.message.ended {
            out.extend_from_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
        }
    }
}

impl Message {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        match event {
            Event::Start => self.begin(out),
            Event::Open { choice: ONLY, block, opening } => self.open(block, &opening, out),
            Event::Delta { choice: ONLY, block, text } => self.delta(block, &text, out),
            Event::Signature { choice: ONLY, block, signature } => {
                self.signature(block, &signature, out)
            }
            Event::Cite { choice: ONLY, block, citation } => self.cite(block, &citation, out),
            Event::Close { choice: ONLY, block } => self.close(block, out),
            Event::Finish { choice: ONLY, finish } => self.finish = Some(finish.into_owned()),
            Event::Usage(tokens) => self.usage = tokens,
            Event::Failed(failure) => {
                self.ended = true;
                event_of(out, "error", |o| {
                    o.object("error", |o| {
                        o.text("type", error_type(super::status(failure.kind)));
                        o.text("message", &failure.message);
                    });
                });
            }
            Event::End => self.end(out),
            _ => {}
        }
    }

    /// Writes the beginning; its usage is replaced at the end.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        event_of(out, "message_start", |o| {
            o.object("message", |o| {
                head(o, &self.reply);
                o.array("content", |_| {});
                o.null("stop_reason");
                o.null("stop_sequence");
                o.object("usage", |o| usage(o, &self.usage));
            });
        });
    }

    fn open(&mut self, block: u32, opening: &Opening<'_>, out: &mut Vec<u8>) {
        self.begin(out);
        event_of(out, "content_block_start", |o| {
            o.number("index", block.into());
            o.object("content_block", |o| match opening {
                Opening::Text | Opening::Refusal => {
                    o.text("type", "text");
                    o.text("text", "");
                }
                Opening::Thinking => {
                    o.text("type", "thinking");
                    o.text("thinking", "");
                    o.text("signature", "");
                }
                Opening::Call { id, name } => {
                    o.text("type", "tool_use");
                    o.text("id", id);
                    o.text("name", &name.text);
                    o.object("input", |_| {});
                }
            });
        });
        self.open = Some(match opening {
            Opening::Text | Opening::Refusal => Open::Text,
            Opening::Thinking => Open::Thinking { signed: false },
            Opening::Call { .. } => Open::Call,
        });
        self.said.called |= matches!(opening, Opening::Call { .. });
        self.said.declined |= matches!(opening, Opening::Refusal);
    }

    fn delta(&mut self, block: u32, text: &str, out: &mut Vec<u8>) {
        let (kind, member) = match self.open {
            Some(Open::Text) => ("text_delta", "text"),
            Some(Open::Thinking { .. }) => ("thinking_delta", "thinking"),
            Some(Open::Call) => ("input_json_delta", "partial_json"),
            None => return,
        };
        delta(out, block, kind, |o| o.text(member, text));
    }

    fn signature(&mut self, block: u32, signature: &Signature<'_>, out: &mut Vec<u8>) {
        if self.open == Some(Open::Thinking { signed: false }) {
            self.open = Some(Open::Thinking { signed: true });
            delta(out, block, "signature_delta", |o| {
                o.text("signature", &signature_field(Some(signature)))
            });
        }
    }

    fn cite(&self, block: u32, source: &Citation<'_>, out: &mut Vec<u8>) {
        if self.open == Some(Open::Text) {
            delta(out, block, "citations_delta", |o| {
                o.object("citation", |o| citation(o, source));
            });
        }
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        if self.open == Some(Open::Thinking { signed: false }) {
            self.signature(block, &Signature::unsigned(), out);
        }
        self.open = None;
        event_of(out, "content_block_stop", |o| o.number("index", block.into()));
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.ended = true;
        let finish = self.finish.take().unwrap_or_default();
        event_of(out, "message_delta", |o| {
            o.object("delta", |o| ending(o, &finish, self.said));
            o.object("usage", |o| usage(o, &self.usage));
        });
        event_of(out, "message_stop", |_| {});
    }
}

fn delta(out: &mut Vec<u8>, block: u32, kind: &str, fill: impl FnOnce(&mut Object<'_>)) {
    event_of(out, "content_block_delta", |o| {
        o.number("index", block.into());
        o.object("delta", |o| {
            o.text("type", kind);
            fill(o);
        });
    });
}

/// Writes one event with its name in both places that clients read.
fn event_of(out: &mut Vec<u8>, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    write::object(out, |o| {
        o.text("type", name);
        fill(o);
    });
    out.extend_from_slice(b"\n\n");
}
