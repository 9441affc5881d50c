//! From an answer in the common model to a response.

use super::{
    output::{Content, Item, Part, add_logprobs, annotation, sealed},
    response::{Status, write_response},
};
use crate::{
    Reply,
    chat::{Answer, Block, Choice, Citation, Finish, Logprob},
    write,
};

pub(super) fn encode(answer: &Answer<'_>, reply: &Reply) -> Vec<u8> {
    // One answer a call is all that a client of this dialect can ask for.
    let finish = answer.choices.first().map_or(&Finish::Stop, |choice| match &choice.finish {
        // REF-1: the refusal itself says it.
        Finish::Filtered(_) if choice.blocks.iter().any(refuses) => &Finish::Stop,
        finish => finish,
    });
    let contents = answer.choices.first().map(contents).unwrap_or_default();
    let mut output = Vec::new();
    for (nth, content) in contents.into_iter().enumerate() {
        if nth > 0 {
            output.push(b',');
        }
        let item = Item::new(content, &reply.unique, nth);
        write::object(&mut output, |o| item.write(o, "completed"));
    }
    let output = String::from_utf8(output).expect("only text was written");
    let mut out = Vec::with_capacity(output.len() + 1024);
    write_response(&mut out, reply, Status::Ended(finish), &output, answer.usage.as_ref());
    out
}

fn refuses(block: &Block<'_>) -> bool {
    matches!(block, Block::Refusal(text) if !text.is_empty())
}

/// The blocks as contents of items; neighbouring texts stand in one message.
fn contents(choice: &Choice<'_>) -> Vec<Content> {
    let mut contents = Vec::new();
    for block in &choice.blocks {
        match block {
            Block::Text { text, citations, .. } => {
                add_text(message(&mut contents), text, citations);
            }
            Block::Refusal(text) if !text.is_empty() => message(&mut contents).push(Part {
                refusal: true,
                text: text.to_string(),
                ..Part::default()
            }),
            Block::Refusal(_) => {}
            Block::Thinking { text, signature } => {
                if signature.is_some() || !text.is_empty() {
                    let sealed = signature.as_ref().map(|signature| sealed(Some(signature)));
                    contents.push(Content::Reasoning { text: text.to_string(), sealed });
                }
            }
            Block::Call { id, name, input, signature } => {
                if let Some(signature) = signature {
                    sign(&mut contents, sealed(Some(signature)));
                }
                let input = match input.trim().is_empty() && !name.free_form {
                    true => "{}".to_owned(),
                    false => input.to_string(),
                };
                let (id, name) = (id.to_string(), name.clone().into_owned());
                contents.push(Content::Call { id, name, input });
            }
            Block::Image(image) => contents.push(Content::Image(image.clone().into_owned())),
        }
    }
    // REF-1: why it declines is said where a refusal stands.
    if let Finish::Filtered(Some(why)) = &choice.finish
        && !why.is_empty()
        && !choice.blocks.iter().any(refuses)
    {
        message(&mut contents).push(Part {
            refusal: true,
            text: why.to_string(),
            ..Part::default()
        });
    }
    for content in &mut contents {
        if let Content::Reasoning { sealed: signature @ None, .. } = content {
            *signature = Some(sealed(None));
        }
    }
    contents.retain(|content| !matches!(content, Content::Message(parts) if parts.is_empty()));
    add_all_logprobs(&mut contents, &choice.logprobs);
    contents
}

/// The parts of the message that is being said.
fn message(contents: &mut Vec<Content>) -> &mut Vec<Part> {
    if !matches!(contents.last(), Some(Content::Message(_))) {
        contents.push(Content::Message(Vec::new()));
    }
    match contents.last_mut() {
        Some(Content::Message(parts)) => parts,
        _ => unreachable!("a message was pushed"),
    }
}

fn add_text(parts: &mut Vec<Part>, text: &str, citations: &[Citation<'_>]) {
    if text.is_empty() {
        return;
    }
    if parts.last().is_none_or(|part| part.refusal) {
        parts.push(Part::default());
    }
    let Some(part) = parts.last_mut() else { return };
    let before = length(&part.text);
    part.text.push_str(text);
    let end = before + length(text);
    part.annotations.extend(citations.iter().map(|one| annotation(one, before, end)));
}

/// The signature of a call stands in the thought in front of it, which is made up where there is none.
fn sign(contents: &mut Vec<Content>, proof: String) {
    match contents.last_mut() {
        Some(Content::Reasoning { sealed: sealed @ None, .. }) => *sealed = Some(proof),
        _ => contents.push(Content::Reasoning { text: String::new(), sealed: Some(proof) }),
    }
}

fn add_all_logprobs(contents: &mut [Content], logprobs: &[Logprob<'_>]) {
    let mut parts = contents.iter_mut().filter_map(|content| match content {
        Content::Message(parts) => parts.iter_mut().find(|part| !part.refusal),
        _ => None,
    });
    if let Some(part) = parts.next() {
        add_logprobs(&mut part.logprobs, logprobs);
    }
}

/// In characters, as this dialect counts.
fn length(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}
