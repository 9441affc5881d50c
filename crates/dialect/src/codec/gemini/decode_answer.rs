//! Decodes whole answers of Gemini.

use std::borrow::Cow;

use super::{
    answer_part::{AnswerPart, Ids, citations, logprobs},
    finish::{Reason, nothing},
};
use crate::{
    Failure, FailureKind, Names, ProviderError, Signature, Value,
    chat::{Answer, Block, Choice, Finish},
    free_form,
    halves::mended,
    tokens::Reported,
};

/// Decodes an answer. Errors and answers without content are failures.
pub(super) fn decode<'a>(body: &'a [u8], names: &Names) -> Result<Answer<'a>, Failure> {
    let value = Value::read(body).map_err(|_| {
        Failure::new(FailureKind::BadGateway, "the provider's answer is not valid JSON")
    })?;
    let feedback = value.any(&["promptFeedback", "prompt_feedback"]);
    let blocked = feedback.filter(|f| f.any(&["blockReason", "block_reason"]).is_some());
    let candidates = value.get("candidates").items();
    if candidates.is_empty() && blocked.is_none() {
        return Err(match ProviderError::read(body) {
            Some(error) => error.into(),
            None => nothing("", ""),
        });
    }
    let mut ids = Ids::new(&names.unique);
    ids.answer(value.any(&["responseId", "response_id"]).and_then(Value::text));
    let mut answer = Answer::default();
    let mut broken = None;
    let mut numbered: Vec<_> = (0_u64..)
        .zip(candidates)
        .map(|(n, candidate)| (candidate.get("index").u64().unwrap_or(n), candidate))
        .collect();
    numbered.sort_by_key(|(n, _)| *n);
    for (_, candidate) in numbered {
        let (choice, failure) = choice(candidate, names, &mut ids);
        answer.choices.push(choice);
        broken = broken.or(failure);
    }
    if let Some(feedback) = blocked.filter(|_| answer.choices.is_empty()) {
        let why = feedback.any(&["blockReasonMessage", "block_reason_message"]);
        let finish = Reason::Filtered.finish(false, why.and_then(Value::cow));
        answer.choices.push(Choice { finish, ..Choice::default() });
    }
    match broken {
        Some(failure) if answer.choices.iter().all(is_empty) => return Err(failure),
        _ => {}
    }
    if let Some(usage) = value.any(&["usageMetadata", "usage_metadata"]) {
        let mut reported = Reported::default();
        reported.read(usage.raw().as_bytes());
        answer.usage = reported.tokens();
    }
    Ok(answer)
}

/// Decodes a candidate, or the reason why it has no content.
fn choice<'a>(
    candidate: &Value<'a>,
    names: &Names,
    ids: &mut Ids,
) -> (Choice<'a>, Option<Failure>) {
    let mut choice = Choice::default();
    let mut calls = false;
    for part in candidate.get("content").get("parts").items() {
        match AnswerPart::read(part) {
            Some(AnswerPart::Text { text, thought, signature }) => {
                add_text(&mut choice.blocks, text, thought, signature);
            }
            Some(AnswerPart::Call { id, name, args, signature }) => {
                calls = true;
                let name = names.back(name);
                let input = match name.free_form {
                    true => Cow::Owned(free_form::unwrap(args)),
                    false => mended(Cow::Borrowed(args)),
                };
                choice.blocks.push(Block::Call { id: ids.next(id), name, input, signature });
            }
            Some(AnswerPart::Image(image)) => choice.blocks.push(Block::Image(image)),
            None => {}
        }
    }
    cite(candidate, &mut choice.blocks);
    choice.logprobs = logprobs(candidate);
    let reason = candidate.any(&["finishReason", "finish_reason"]).and_then(Value::text);
    let message = candidate.any(&["finishMessage", "finish_message"]);
    let meaning = reason.map_or(Reason::Broken, Reason::of);
    choice.finish = meaning.finish(calls, message.and_then(Value::cow));
    let failure = (meaning == Reason::Broken).then(|| {
        nothing(reason.unwrap_or_default(), message.and_then(Value::text).unwrap_or_default())
    });
    (choice, failure)
}

/// Appends text to the previous block unless that was signed: a signature ends its block.
fn add_text<'a>(
    blocks: &mut Vec<Block<'a>>,
    text: Cow<'a, str>,
    thought: bool,
    proof: Option<Signature<'a>>,
) {
    match (blocks.last_mut(), thought) {
        (Some(Block::Text { text: known, signature: signature @ None, .. }), false)
        | (Some(Block::Thinking { text: known, signature: signature @ None }), true) => {
            if known.is_empty() {
                *known = text;
            } else if !text.is_empty() {
                known.to_mut().push_str(&text);
            }
            *signature = proof;
        }
        // A separate signature belongs to the part before it.
        (Some(Block::Thinking { signature: signature @ None, .. }), _) if text.is_empty() => {
            *signature = proof
        }
        (_, true) if !text.is_empty() || proof.is_some() => {
            blocks.push(Block::Thinking { text, signature: proof });
        }
        (_, false) if !text.is_empty() => {
            blocks.push(Block::Text { text, citations: Vec::new(), signature: proof });
        }
        _ => {}
    }
}

/// Assigns citations to their texts. Google counts in bytes of all text.
fn cite<'a>(candidate: &Value<'a>, blocks: &mut [Block<'a>]) {
    for (mut citation, at) in citations(candidate) {
        let mut before = 0;
        let mut place = None;
        for block in blocks.iter_mut() {
            let Block::Text { text, citations, .. } = block else { continue };
            let (start, end) = at.unwrap_or((0, 0));
            let inside = at.is_some() && start >= before && start < before + text.len();
            citation.span = None;
            if inside {
                let count = |to: usize| {
                    let head = text.get(..to.min(text.len()))?;
                    u64::try_from(head.chars().count()).ok()
                };
                citation.span = count(start - before).zip(count(end - before));
            }
            before += text.len();
            place = Some(citations);
            if inside {
                break;
            }
        }
        if let Some(citations) = place {
            citations.push(citation);
        }
    }
}

/// Whether a candidate has no content: reasoning alone is not an answer.
fn is_empty(choice: &Choice<'_>) -> bool {
    choice.blocks.iter().all(|block| match block {
        Block::Text { text, .. } => text.is_empty(),
        Block::Thinking { .. } => true,
        Block::Call { .. } | Block::Refusal(_) | Block::Image(_) => false,
    }) && !matches!(choice.finish, Finish::Filtered(_) | Finish::Length)
}
