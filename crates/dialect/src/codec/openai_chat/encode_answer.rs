//! Encodes whole answers.

use std::borrow::Cow;

use super::layout::Layout;
use crate::{
    Reply, Signature, Tokens, Vendor,
    chat::{Answer, Block, Choice, Citation, Finish, Image, Logprob, Name},
    write::{self, Array, Object},
};

pub(super) fn encode(answer: &Answer<'_>, reply: &Reply) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write::object(&mut out, |o| {
        o.joined("id", &["chatcmpl-", &reply.unique]);
        o.text("object", "chat.completion");
        o.number("created", reply.created);
        o.text("model", &reply.model);
        o.array("choices", |list| {
            for (index, choice) in (0..).zip(&answer.choices) {
                list.object(|o| {
                    o.number("index", index);
                    o.object("message", |o| message(o, choice, reply.wish.function_call));
                    match choice.logprobs.is_empty() {
                        true => o.null("logprobs"),
                        false => o.object("logprobs", |o| logprobs(o, &choice.logprobs)),
                    }
                    let called = choice.blocks.iter().any(|it| matches!(it, Block::Call { .. }));
                    let reason = finish_reason(&choice.finish, called, reply.wish.function_call);
                    o.text("finish_reason", reason);
                });
            }
        });
        if let Some(tokens) = &answer.usage {
            o.object("usage", |o| usage(o, tokens));
        }
    });
    out
}

fn message(o: &mut Object<'_>, choice: &Choice<'_>, old: bool) {
    let mut said = Said::default();
    for block in &choice.blocks {
        said.add(block);
    }
    if let (None, Finish::Filtered(Some(why))) = (&said.refusal, &choice.finish) {
        said.refusal = Some(why.to_string());
    }
    o.text("role", "assistant");
    match said.text {
        Some(text) if !text.is_empty() || !said.called => o.text("content", &text),
        _ => o.null("content"),
    }
    match said.refusal {
        Some(refusal) => o.text("refusal", &refusal),
        None => o.null("refusal"),
    }
    if !said.thought.is_empty() {
        o.text("reasoning_content", &said.thought);
    }
    if !said.proofs.is_empty() {
        o.array("thinking_blocks", |list| {
            for (text, proof, redacted) in &said.proofs {
                list.object(|o| thinking_block(o, text, proof, *redacted));
            }
        });
    }
    if !said.images.is_empty() {
        images(o, &said.images, 0);
    }
    if !said.annotations.is_empty() {
        o.array("annotations", |list| {
            for (citation, start, end) in said.annotations {
                list.object(|o| annotation(o, citation, start, end));
            }
        });
    }
    let first = choice.blocks.iter().find_map(|block| match block {
        Block::Call { name, input, .. } if old => Some((name, whole(input, name))),
        _ => None,
    });
    if let Some((name, input)) = first {
        o.object("function_call", |o| {
            o.text("name", &name.text);
            o.text("arguments", input);
        });
    } else if said.called {
        o.array("tool_calls", |list| {
            for block in &choice.blocks {
                if let Block::Call { id, name, input, signature } = block {
                    let call = Fragment {
                        id,
                        name,
                        input: whole(input, name),
                        signature: signature.as_ref(),
                    };
                    list.object(|o| call.write(o));
                }
            }
        });
    }
    if let Some(signature) = said.text_signature {
        write_signature(o, signature);
    }
}

/// The blocks of an answer, arranged as one message.
#[derive(Default)]
struct Said<'b, 'a> {
    text: Option<String>,
    refusal: Option<String>,
    thought: String,
    called: bool,
    annotations: Vec<(&'b Citation<'a>, u64, u64)>,
    text_signature: Option<&'b Signature<'a>>,
    images: Vec<&'b Image<'a>>,
    layout: Layout,
    /// The signed reasoning: text, signature, and whether the text is hidden.
    proofs: Vec<(&'b str, Cow<'b, str>, bool)>,
}

impl<'b, 'a> Said<'b, 'a> {
    fn add(&mut self, block: &'b Block<'a>) {
        match block {
            Block::Text { text, citations, signature } => {
                let whole = self.text.get_or_insert_default();
                if !citations.is_empty() {
                    let (before, length) = (length(whole), length(text));
                    self.annotations.extend(citations.iter().map(|citation| {
                        let (start, end) = citation.span.unwrap_or((0, length));
                        (citation, before + start, before + end)
                    }));
                }
                whole.push_str(text);
                self.layout.text(length(text));
                self.text_signature = signature.as_ref().or(self.text_signature);
            }
            Block::Thinking { text, signature } => {
                self.thought.push_str(text);
                if let Some(signature) =
                    signature.as_ref().filter(|signature| signature.vendor == Vendor::Anthropic)
                {
                    self.proofs.push((text, self.layout.sign(signature), signature.redacted));
                }
            }
            Block::Call { .. } => {
                self.called = true;
                self.layout.call();
            }
            Block::Refusal(text) => self.refusal.get_or_insert_default().push_str(text),
            Block::Image(image) => self.images.push(image),
        }
    }
}

/// Returns the length of a text in characters, as OpenAI counts them in annotations.
pub(super) fn length(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

/// Returns the input, never empty if it must be JSON.
fn whole<'t>(input: &'t str, name: &Name<'_>) -> &'t str {
    if input.is_empty() && !name.free_form { "{}" } else { input }
}

/// A call or its beginning.
pub(super) struct Fragment<'f, 'a> {
    pub(super) id: &'f str,
    pub(super) name: &'f Name<'a>,
    pub(super) input: &'f str,
    pub(super) signature: Option<&'f Signature<'a>>,
}

impl Fragment<'_, '_> {
    pub(super) fn write(&self, o: &mut Object<'_>) {
        o.text("id", self.id);
        let (kind, input) = kind(self.name.free_form);
        o.text("type", kind);
        o.object(kind, |o| {
            o.text("name", &self.name.text);
            o.text(input, self.input);
        });
        if let Some(signature) = self.signature {
            write_signature(o, signature);
        }
    }
}

/// Returns the type of a call and the name of its input.
pub(super) fn kind(free_form: bool) -> (&'static str, &'static str) {
    if free_form { ("custom", "input") } else { ("function", "arguments") }
}

/// Writes Google's signature in `extra_content`; other providers have none.
pub(super) fn write_signature(o: &mut Object<'_>, signature: &Signature<'_>) {
    if signature.vendor == Vendor::Gemini {
        o.object("extra_content", |o| {
            o.object("google", |o| o.text("thought_signature", &signature.data));
        });
    }
}

pub(super) fn thinking_block(o: &mut Object<'_>, text: &str, proof: &str, redacted: bool) {
    if redacted {
        o.text("type", "redacted_thinking");
        return o.text("data", proof);
    }
    o.text("type", "thinking");
    o.text("thinking", text);
    o.text("signature", proof);
}

/// Writes images in the form of OpenRouter and others; the first one has the number `from`.
/// <https://openrouter.ai/docs/features/multimodal/image-generation>
pub(super) fn images(o: &mut Object<'_>, images: &[&Image<'_>], from: u64) {
    o.array("images", |list| {
        for (index, image) in (from..).zip(images) {
            list.object(|o| {
                o.text("type", "image_url");
                o.object("image_url", |o| {
                    o.joined("url", &["data:", &image.mime, ";base64,", &image.data]);
                });
                o.number("index", index);
            });
        }
    });
}

pub(super) fn annotation(o: &mut Object<'_>, citation: &Citation<'_>, start: u64, end: u64) {
    o.text("type", "url_citation");
    o.object("url_citation", |o| {
        o.number("start_index", start);
        o.number("end_index", end);
        o.text("url", &citation.url);
        o.text("title", citation.title.as_deref().unwrap_or(&citation.url));
    });
}

pub(super) fn logprobs(o: &mut Object<'_>, logprobs: &[Logprob<'_>]) {
    o.array("content", |list| {
        for one in logprobs {
            list.object(|o| {
                token(o, &one.token, &one.logprob);
                o.array("top_logprobs", |list| {
                    for (text, logprob) in &one.top {
                        list.object(|o| token(o, text, logprob));
                    }
                });
            });
        }
    });
    o.null("refusal");
}

fn token(o: &mut Object<'_>, text: &str, logprob: &str) {
    o.text("token", text);
    o.raw("logprob", logprob);
    o.array("bytes", |list: &mut Array<'_>| {
        for byte in text.bytes() {
            list.number(byte.into());
        }
    });
}

pub(super) fn finish_reason(finish: &Finish<'_>, called: bool, old: bool) -> &'static str {
    match finish {
        Finish::Calls if old => "function_call",
        Finish::Stop if called && old => "function_call",
        Finish::Calls => "tool_calls",
        Finish::Stop if called => "tool_calls",
        Finish::Stop | Finish::Sequence(_) | Finish::Paused => "stop",
        Finish::Length => "length",
        Finish::Filtered(_) => "content_filter",
    }
}

pub(super) fn usage(o: &mut Object<'_>, tokens: &Tokens) {
    o.number("prompt_tokens", tokens.input);
    o.number("completion_tokens", tokens.output);
    o.number("total_tokens", tokens.input.saturating_add(tokens.output));
    o.object("prompt_tokens_details", |o| {
        o.number("cached_tokens", tokens.cached);
        number_if(o, "cache_write_tokens", tokens.cache_written);
        number_if(o, "audio_tokens", tokens.input_audio);
    });
    o.object("completion_tokens_details", |o| {
        o.number("reasoning_tokens", tokens.reasoning);
        number_if(o, "audio_tokens", tokens.output_audio);
    });
}

fn number_if(o: &mut Object<'_>, name: &str, value: u64) {
    if value > 0 {
        o.number(name, value);
    }
}
