//! Encodes whole answers for a Gemini client.

use super::{encode_part::args, finish};
use crate::{
    Reply, Signature, Tokens, Vendor,
    chat::{Answer, Block, Choice, Citation, Finish, Image, Logprob},
    free_form,
    write::{self, Object},
};

/// Encodes an answer.
pub(super) fn encode(answer: &Answer<'_>, reply: &Reply) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write::object(&mut out, |o| {
        o.array("candidates", |a| {
            for (n, choice) in (0..).zip(&answer.choices) {
                a.object(|o| write_choice(o, choice, n));
            }
        });
        if let Some(tokens) = &answer.usage {
            usage(o, tokens);
        }
        o.text("modelVersion", &reply.model);
        o.text("responseId", &reply.unique);
    });
    out
}

fn write_choice(o: &mut Object<'_>, choice: &Choice<'_>, index: u64) {
    o.object("content", |o| {
        o.text("role", "model");
        o.array("parts", |a| {
            for block in &choice.blocks {
                if tells(block) {
                    a.object(|o| write_block(o, block));
                }
            }
        });
    });
    let refused = choice.blocks.iter().any(|block| matches!(block, Block::Refusal(_)));
    match &choice.finish {
        Finish::Stop if refused => o.text("finishReason", "SAFETY"),
        finish => write_finish(o, finish),
    }
    o.number("index", index);
    let cited: Vec<_> = spans(choice);
    citations(o, cited.iter().map(|(citation, span)| (*citation, *span)));
    logprobs(o, &choice.logprobs);
}

/// Whether a block has content for the client.
fn tells(block: &Block<'_>) -> bool {
    match block {
        Block::Text { text, signature, .. } => !text.is_empty() || signature.is_some(),
        Block::Thinking { text, signature } => {
            !text.is_empty() || signature.as_ref().is_some_and(is_proof)
        }
        Block::Refusal(text) => !text.is_empty(),
        Block::Call { .. } | Block::Image(_) => true,
    }
}

fn write_block(o: &mut Object<'_>, block: &Block<'_>) {
    match block {
        Block::Text { text, signature, .. } => {
            o.text("text", text);
            write_signature(o, signature.as_ref());
        }
        Block::Refusal(text) => o.text("text", text),
        Block::Thinking { text, signature } => {
            o.text("text", text);
            o.bool("thought", true);
            write_signature(o, signature.as_ref());
        }
        Block::Call { id, name, input, signature } => {
            let wrapped = name.free_form.then(|| free_form::wrap(input));
            write_call(o, id, &name.text, wrapped.as_deref().unwrap_or(input));
            write_signature(o, signature.as_ref());
        }
        Block::Image(image) => write_image(o, image),
    }
}

/// `functionCall`
pub(super) fn write_call(o: &mut Object<'_>, id: &str, name: &str, input: &str) {
    o.object("functionCall", |o| {
        o.text("id", id);
        o.text("name", name);
        o.raw("args", &args(input));
    });
}

/// `inlineData`
pub(super) fn write_image(o: &mut Object<'_>, image: &Image<'_>) {
    o.object("inlineData", |o| {
        o.text("mimeType", &image.mime);
        o.text("data", &image.data);
    });
}

/// Whether there is a signature of a provider.
pub(super) fn is_proof(signature: &Signature<'_>) -> bool {
    signature.vendor != Vendor::Unsigned
}

/// Writes `thoughtSignature`: Gemini's own unchanged; those of other providers, and those that came
/// through a compatible server and must return there, wrapped.
pub(super) fn write_signature(o: &mut Object<'_>, signature: Option<&Signature<'_>>) {
    match signature.filter(|signature| is_proof(signature)) {
        Some(signature) if signature.vendor == Vendor::Gemini && signature.via().is_none() => {
            o.text("thoughtSignature", &signature.data);
        }
        Some(signature) => o.text("thoughtSignature", &signature.wrapped()),
        None => {}
    }
}

/// Writes `finishReason`, with its message if there is one.
pub(super) fn write_finish(o: &mut Object<'_>, finish: &Finish<'_>) {
    o.text("finishReason", finish::name(finish));
    if let Finish::Filtered(Some(why)) = finish {
        o.text("finishMessage", why);
    }
}

/// `usageMetadata`
pub(super) fn usage(o: &mut Object<'_>, tokens: &Tokens) {
    o.object("usageMetadata", |o| {
        o.number("promptTokenCount", tokens.input);
        if tokens.cached > 0 {
            o.number("cachedContentTokenCount", tokens.cached);
        }
        o.number("candidatesTokenCount", tokens.output.saturating_sub(tokens.reasoning));
        if tokens.reasoning > 0 {
            o.number("thoughtsTokenCount", tokens.reasoning);
        }
        o.number("totalTokenCount", tokens.input.saturating_add(tokens.output));
    });
}

/// Returns the citations of a candidate with the byte ranges of its text to which they belong.
fn spans<'c, 'a>(choice: &'c Choice<'a>) -> Vec<(&'c Citation<'a>, Option<(u64, u64)>)> {
    let mut all = Vec::new();
    let mut before = 0;
    for block in &choice.blocks {
        let Block::Text { text, citations, .. } = block else { continue };
        for citation in citations {
            let bytes = |chars: u64| -> Option<u64> {
                let head = text.chars().take(usize::try_from(chars).ok()?);
                u64::try_from(before + head.map(char::len_utf8).sum::<usize>()).ok()
            };
            let span = citation.span.and_then(|(start, end)| bytes(start).zip(bytes(end)));
            all.push((citation, span));
        }
        before += text.len();
    }
    all
}

/// `citationMetadata`, where there are any.
pub(super) fn citations<'c, 'a: 'c>(
    o: &mut Object<'_>,
    cited: impl ExactSizeIterator<Item = (&'c Citation<'a>, Option<(u64, u64)>)>,
) {
    if cited.len() == 0 {
        return;
    }
    o.object("citationMetadata", |o| {
        o.array("citationSources", |a| {
            for (citation, span) in cited {
                a.object(|o| {
                    if let Some((start, end)) = span {
                        o.number("startIndex", start);
                        o.number("endIndex", end);
                    }
                    o.text("uri", &citation.url);
                    o.text_if("title", citation.title.as_deref());
                });
            }
        });
    });
}

/// `logprobsResult`, where there are any.
pub(super) fn logprobs(o: &mut Object<'_>, all: &[Logprob<'_>]) {
    if all.is_empty() {
        return;
    }
    let one = |o: &mut Object<'_>, token: &str, logprob: &str| {
        o.text("token", token);
        o.raw("logProbability", logprob);
    };
    o.object("logprobsResult", |o| {
        o.array("chosenCandidates", |a| {
            all.iter().for_each(|l| a.object(|o| one(o, &l.token, &l.logprob)));
        });
        o.array("topCandidates", |a| {
            for likely in all {
                a.object(|o| {
                    o.array("candidates", |a| {
                        likely.top.iter().for_each(|(t, l)| a.object(|o| one(o, t, l)));
                    });
                });
            }
        });
    });
}
