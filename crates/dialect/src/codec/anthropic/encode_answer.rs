//! Encodes whole answers for a Messages client, and the parts that its streams share.

use std::borrow::Cow;

use super::parts::arguments;
use crate::{
    Reply, Signature, Tokens, Vendor,
    chat::{Answer, Block, Citation, Finish},
    write::{self, Array, Object},
};

/// Encodes an answer. This dialect has one candidate.
pub(super) fn encode(answer: &Answer<'_>, reply: &Reply) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let empty = Vec::new();
    let choice = answer.choices.first();
    let blocks = choice.map_or(&empty, |choice| &choice.blocks);
    let said = Said {
        called: blocks.iter().any(|block| matches!(block, Block::Call { .. })),
        declined: blocks.iter().any(|block| matches!(block, Block::Refusal(_))),
    };
    let finish = choice.map_or(&Finish::Stop, |choice| &choice.finish);
    write::object(&mut out, |o| {
        head(o, reply);
        o.array("content", |a| write_blocks(a, blocks));
        ending(o, finish, said);
        o.object("usage", |o| usage(o, &answer.usage.unwrap_or_default()));
    });
    out
}

/// The content that decides the stop reason.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    /// A tool was called.
    pub(super) called: bool,
    /// The model declined.
    pub(super) declined: bool,
}

/// Writes the beginning of a message.
pub(super) fn head(o: &mut Object<'_>, reply: &Reply) {
    o.joined("id", &["msg_", &reply.unique]);
    o.text("type", "message");
    o.text("role", "assistant");
    o.text("model", &reply.model);
}

/// Writes the stop reason.
pub(super) fn ending(o: &mut Object<'_>, finish: &Finish<'_>, said: Said) {
    let reason = match finish {
        Finish::Filtered(_) => "refusal",
        Finish::Length => "max_tokens",
        _ if said.declined => "refusal",
        _ if said.called => "tool_use",
        Finish::Sequence(Some(_)) => "stop_sequence",
        Finish::Paused => "pause_turn",
        Finish::Stop | Finish::Calls | Finish::Sequence(None) => "end_turn",
    };
    o.text("stop_reason", reason);
    match finish {
        Finish::Sequence(Some(text)) if reason == "stop_sequence" => o.text("stop_sequence", text),
        _ => o.null("stop_sequence"),
    }
    if reason == "refusal" {
        o.object("stop_details", |o| {
            o.text("type", "refusal");
            if let Finish::Filtered(Some(why)) = finish {
                o.text("explanation", why);
            }
        });
    }
}

/// Writes the usage. Cached tokens are not part of the input here.
pub(super) fn usage(o: &mut Object<'_>, tokens: &Tokens) {
    let beside = tokens.cached.saturating_add(tokens.cache_written);
    o.number("input_tokens", tokens.input.saturating_sub(beside));
    if tokens.cache_written > 0 {
        o.number("cache_creation_input_tokens", tokens.cache_written);
    }
    if tokens.cached > 0 {
        o.number("cache_read_input_tokens", tokens.cached);
    }
    o.number("output_tokens", tokens.output);
    if tokens.reasoning > 0 {
        o.object("output_tokens_details", |o| o.number("thinking_tokens", tokens.reasoning));
    }
}

/// Returns the value of the `signature` field.
pub(super) fn signature_field<'s>(signature: Option<&'s Signature<'_>>) -> Cow<'s, str> {
    match signature {
        Some(signature) if signature.vendor == Vendor::Anthropic && !signature.redacted => {
            Cow::Borrowed(&signature.data)
        }
        Some(signature) => signature.wrapped().into(),
        None => Signature::unsigned().wrapped().into(),
    }
}

/// Writes a citation. A client may send it back to Anthropic, which requires a signature there too:
/// ours is recognised by its mark and removed.
pub(super) fn citation(o: &mut Object<'_>, citation: &Citation<'_>) {
    o.text("type", "web_search_result_location");
    o.text("url", &citation.url);
    match &citation.title {
        Some(title) => o.text("title", title),
        None => o.null("title"),
    }
    o.text("cited_text", citation.cited.as_deref().unwrap_or_default());
    o.text("encrypted_index", &Signature::unsigned().wrapped());
}

/// Writes the blocks. Calls cannot be signed here: their signature moves to the reasoning block
/// before them.
fn write_blocks(a: &mut Array<'_>, blocks: &[Block<'_>]) {
    for (at, block) in blocks.iter().enumerate() {
        match block {
            Block::Text { text, citations, .. } if !text.is_empty() => a.object(|o| {
                o.text("type", "text");
                o.text("text", text);
                if !citations.is_empty() {
                    o.array("citations", |a| {
                        citations.iter().for_each(|cite| a.object(|o| citation(o, cite)));
                    });
                }
            }),
            Block::Refusal(text) if !text.is_empty() => a.object(|o| {
                o.text("type", "text");
                o.text("text", text);
            }),
            Block::Text { .. } | Block::Refusal(_) | Block::Image(_) => {}
            Block::Thinking { text, signature } => {
                thought(a, text, signature.as_ref().or_else(|| behind(blocks, at)));
            }
            Block::Call { id, name, input, signature } => {
                if signature.is_some() && !takes_signature(blocks, at) {
                    thought(a, "", signature.as_ref());
                }
                a.object(|o| {
                    o.text("type", "tool_use");
                    o.text("id", id);
                    o.text("name", &name.text);
                    o.raw("input", &arguments(name, input));
                });
            }
        }
    }
}

/// Returns the signature of the call after the reasoning block at `at`.
fn behind<'b>(blocks: &'b [Block<'_>], at: usize) -> Option<&'b Signature<'b>> {
    match blocks.get(at + 1) {
        Some(Block::Call { signature, .. }) => signature.as_ref(),
        _ => None,
    }
}

/// Whether the block before the one at `at` is unsigned reasoning.
fn takes_signature(blocks: &[Block<'_>], at: usize) -> bool {
    at.checked_sub(1)
        .is_some_and(|before| matches!(blocks[before], Block::Thinking { signature: None, .. }))
}

fn thought(a: &mut Array<'_>, text: &str, signature: Option<&Signature<'_>>) {
    a.object(|o| match signature {
        Some(signature) if signature.vendor == Vendor::Anthropic && signature.redacted => {
            o.text("type", "redacted_thinking");
            o.text("data", &signature.data);
        }
        signature => {
            o.text("type", "thinking");
            o.text("thinking", text);
            o.text("signature", &signature_field(signature));
        }
    });
}
