//! Encodes streams for a Gemini client: as events, or as one growing JSON list.
//!
//! Calls are sent whole, and the finish reason waits for the usage: the last object contains both.

use super::encode_answer::{
    citations, is_proof, logprobs, usage, write_call, write_finish, write_image, write_signature,
};
use crate::{
    EncodeStream, Failure, FailureKind, Reply, Sequencer, Tokens,
    chat::{Citation, Event, Finish, Name, Opening},
    free_form,
    write::{self, Object},
};

/// Largest arguments of one call, in bytes.
const MOST: usize = 32 << 20;

/// Encodes one answer.
#[derive(Debug)]
pub(super) struct Encoder {
    sequencer: Sequencer,
    writer: Writer,
}

#[derive(Debug)]
struct Writer {
    as_array: bool,
    /// The end of each object: the model and the id of the answer.
    tail: Vec<u8>,
    begun: bool,
    over: bool,
    lanes: Vec<Lane>,
    usage: Option<Tokens>,
}

/// The state of one candidate.
#[derive(Debug, Default)]
struct Lane {
    choice: u32,
    open: Kind,
    refused: bool,
    cited: Vec<Citation<'static>>,
    finish: Option<Finish<'static>>,
}

/// The block that is open.
#[derive(Debug, Default)]
enum Kind {
    #[default]
    Text,
    Thinking,
    Call {
        id: String,
        name: Name<'static>,
        input: String,
        signature: Option<crate::Signature<'static>>,
    },
}

impl Encoder {
    /// Creates an encoder for one answer.
    pub(super) fn new(reply: &Reply) -> Self {
        let mut tail = Vec::new();
        write::object(&mut tail, |o| {
            o.text("modelVersion", &reply.model);
            o.text("responseId", &reply.unique);
        });
        let writer = Writer {
            as_array: reply.wish.as_array,
            tail,
            begun: false,
            over: false,
            lanes: Vec::new(),
            usage: None,
        };
        Self { sequencer: Sequencer::default(), writer }
    }
}

impl EncodeStream for Encoder {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        let writer = &mut self.writer;
        self.sequencer.push(event, &mut |event| writer.event(event, out));
    }

    fn keep_alive(&mut self, _out: &mut Vec<u8>) {
        // Google's SDKs read every line as data.
    }

    fn content_type(&self) -> &'static str {
        if self.writer.as_array { "application/json" } else { "text/event-stream" }
    }
}

impl Writer {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Open { choice, opening, .. } => {
                let lane = self.lane(choice);
                lane.refused |= matches!(opening, Opening::Refusal);
                lane.open = Kind::of(opening);
            }
            Event::Delta { choice, text, .. } => match &mut self.lane(choice).open {
                Kind::Call { input, .. } if input.len() + text.len() > MOST => {
                    let failure = "the arguments of a call are too large";
                    self.failed(&Failure::new(FailureKind::BadGateway, failure), out);
                }
                Kind::Call { input, .. } => input.push_str(&text),
                Kind::Thinking if !text.is_empty() => self.part(choice, out, |o| {
                    o.text("text", &text);
                    o.bool("thought", true);
                }),
                Kind::Text if !text.is_empty() => self.part(choice, out, |o| o.text("text", &text)),
                Kind::Text | Kind::Thinking => {}
            },
            Event::Signature { choice, signature: proof, .. } => {
                match &mut self.lane(choice).open {
                    Kind::Call { signature, .. } => *signature = Some(proof.into_owned()),
                    kind if is_proof(&proof) => {
                        let thought = matches!(kind, Kind::Thinking);
                        self.part(choice, out, |o| {
                            o.text("text", "");
                            if thought {
                                o.bool("thought", true);
                            }
                            write_signature(o, Some(&proof));
                        });
                    }
                    _ => {}
                }
            }
            Event::Cite { choice, citation, .. } => {
                self.lane(choice).cited.push(citation.into_owned());
            }
            Event::Image { choice, image } => self.part(choice, out, |o| write_image(o, &image)),
            Event::Close { choice, .. } => self.close(choice, out),
            Event::Logprobs { choice, logprobs: all } => self.object(out, |o| {
                o.array("candidates", |a| {
                    a.object(|o| {
                        o.number("index", choice.into());
                        logprobs(o, &all);
                    });
                });
            }),
            Event::Finish { choice, finish } => {
                self.lane(choice).finish = Some(finish.into_owned());
            }
            Event::Usage(tokens) => self.usage = Some(tokens),
            Event::Failed(failure) => self.failed(&failure, out),
            Event::End => self.end(out),
            Event::Start => {}
        }
    }

    /// Returns the state of a candidate.
    fn lane(&mut self, choice: u32) -> &mut Lane {
        let found = self.lanes.iter().position(|lane| lane.choice == choice);
        let place = found.unwrap_or_else(|| {
            self.lanes.push(Lane { choice, ..Lane::default() });
            self.lanes.len() - 1
        });
        &mut self.lanes[place]
    }

    fn close(&mut self, choice: u32, out: &mut Vec<u8>) {
        let open = std::mem::take(&mut self.lane(choice).open);
        if let Kind::Call { id, name, input, signature } = open {
            let input = if name.free_form { free_form::wrap(&input) } else { input };
            self.part(choice, out, |o| {
                write_call(o, &id, &name.text, &input);
                write_signature(o, signature.as_ref());
            });
        }
    }

    /// Writes an object with one part of one candidate.
    fn part(&mut self, choice: u32, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        self.object(out, |o| {
            o.array("candidates", |a| {
                a.object(|o| {
                    o.object("content", |o| {
                        o.text("role", "model");
                        o.array("parts", |a| a.object(fill));
                    });
                    o.number("index", choice.into());
                });
            });
        });
    }

    fn object(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        self.open(out);
        write::object(out, fill);
        // The closing brace is replaced by the end of each object.
        out.pop();
        out.push(b',');
        out.extend_from_slice(&self.tail[1..]);
        self.shut(out);
    }

    fn open(&mut self, out: &mut Vec<u8>) {
        let begun = std::mem::replace(&mut self.begun, true);
        out.extend_from_slice(match (self.as_array, begun) {
            (false, _) => b"data: ",
            (true, false) => b"[",
            (true, true) => b",\n",
        });
    }

    fn shut(&self, out: &mut Vec<u8>) {
        if !self.as_array {
            out.extend_from_slice(b"\n\n");
        }
    }

    /// Writes the last object: the finish reasons and the usage.
    fn end(&mut self, out: &mut Vec<u8>) {
        let lanes = std::mem::take(&mut self.lanes);
        let tokens = self.usage.unwrap_or_default();
        self.object(out, |o| {
            o.array("candidates", |a| {
                for lane in &lanes {
                    a.object(|o| lane.end(o));
                }
            });
            usage(o, &tokens);
        });
        if self.as_array {
            out.push(b']');
        }
    }

    fn failed(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        self.over = true;
        self.open(out);
        let status = failure.kind.status();
        // Google's Python SDK recognises an error by exactly this beginning.
        out.extend_from_slice(b"{\"error\": ");
        write::object(out, |o| {
            o.number("code", status.into());
            o.text("message", &failure.message);
            o.text("status", crate::gemini::status_name(status));
        });
        out.push(b'}');
        self.shut(out);
        if self.as_array {
            out.push(b']');
        }
    }
}

impl Lane {
    fn end(&self, o: &mut Object<'_>) {
        o.object("content", |o| {
            o.text("role", "model");
            o.array("parts", |_| {});
        });
        match self.finish.as_ref().unwrap_or(&Finish::Stop) {
            Finish::Stop if self.refused => o.text("finishReason", "SAFETY"),
            finish => write_finish(o, finish),
        }
        o.number("index", self.choice.into());
        citations(o, self.cited.iter().map(|citation| (citation, None)));
    }
}

impl Kind {
    fn of(opening: Opening<'_>) -> Kind {
        match opening {
            Opening::Text | Opening::Refusal => Kind::Text,
            Opening::Thinking => Kind::Thinking,
            Opening::Call { id, name } => Kind::Call {
                id: id.into_owned(),
                name: name.into_owned(),
                input: String::new(),
                signature: None,
            },
        }
    }
}
