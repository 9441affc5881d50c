//! Decodes whole answers of a Messages target, and the parts that its streams share.

use std::borrow::Cow;

use crate::{
    Failure, FailureKind, Names, ProviderError, Signature, Value, Vendor,
    chat::{Answer, Block, Choice, Citation, Finish, Name},
    free_form,
    halves::mended,
    tokens::Reported,
};

/// Decodes an answer.
pub(super) fn decode<'a>(body: &'a [u8], names: &Names) -> Result<Answer<'a>, Failure> {
    let nonsense = |why: &str| Failure::new(FailureKind::BadGateway, why);
    let message =
        Value::read(body).map_err(|_| nonsense("the provider's answer is not valid JSON"))?;
    let content = message.get("content");
    if !content.is_array() {
        // An error may have any status.
        return Err(match ProviderError::read(body) {
            Some(error) => Failure::from(error),
            None => nonsense("the provider's answer has no content"),
        });
    }
    let mut blocks = Vec::with_capacity(content.items().len());
    for (at, value) in content.items().iter().enumerate() {
        blocks.extend(block(value, at, names));
    }
    let finish = finish(&message);
    let mut reported = Reported::default();
    if let Some(usage) = message.find("usage") {
        reported.read(usage.raw().as_bytes());
    }
    let choice = Choice { blocks, finish, logprobs: Vec::new() };
    Ok(Answer { choices: vec![choice], usage: reported.tokens() })
}

/// Decodes a block; `None` for tools that the provider ran itself.
fn block<'a>(value: &Value<'a>, at: usize, names: &Names) -> Option<Block<'a>> {
    let text = |name: &str| value.get(name).cow().unwrap_or_default();
    Some(match value.get("type").text()? {
        "text" => Block::Text {
            text: text("text"),
            citations: value.get("citations").items().iter().filter_map(citation).collect(),
            signature: None,
        },
        "thinking" => {
            let signature = value.get("signature").cow().filter(|text| !text.is_empty());
            let signature = signature.map(|signature| Signature::new(Vendor::Anthropic, signature));
            Block::Thinking { text: text("thinking"), signature }
        }
        "redacted_thinking" => {
            Block::Thinking { text: "".into(), signature: Some(redacted(text("data"))) }
        }
        "tool_use" => {
            let name = names.back(text("name"));
            let input = input(value.get("input"), &name);
            Block::Call { id: call_id(text("id"), at, names), name, input, signature: None }
        }
        _ => return None,
    })
}

/// Returns the signature of `redacted_thinking`.
pub(super) fn redacted(data: Cow<'_, str>) -> Signature<'_> {
    Signature { redacted: true, ..Signature::new(Vendor::Anthropic, data) }
}

/// Returns the id of a call; a generated one if the provider gives none.
pub(super) fn call_id<'a>(id: Cow<'a, str>, block: usize, names: &Names) -> Cow<'a, str> {
    match id.is_empty() {
        true => format!("toolu_{}_{block}", names.unique).into(),
        false => id,
    }
}

/// Returns the input of a call in the client's form.
pub(super) fn input<'a>(input: &Value<'a>, name: &Name<'_>) -> Cow<'a, str> {
    if input.is_null() {
        return "".into();
    }
    match name.free_form {
        true => free_form::unwrap(input.raw()).into(),
        false => mended(input.raw().into()),
    }
}

/// Decodes a citation; `None` if it has no address.
pub(super) fn citation<'a>(value: &Value<'a>) -> Option<Citation<'a>> {
    let url = value.get("url").cow().filter(|url| !url.is_empty())?;
    let text = |name: &str| value.get(name).cow().filter(|text| !text.is_empty());
    Some(Citation { url, title: text("title"), cited: text("cited_text"), span: None })
}

/// Decodes the finish reason of a message, or of the last delta of a stream.
pub(super) fn finish<'a>(end: &Value<'a>) -> Finish<'a> {
    match end.get("stop_reason").text().unwrap_or_default() {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "stop_sequence" => Finish::Sequence(end.get("stop_sequence").cow()),
        "tool_use" => Finish::Calls,
        "pause_turn" => Finish::Paused,
        "refusal" => Finish::Filtered(end.get("stop_details").get("explanation").cow()),
        _ => Finish::Stop,
    }
}
