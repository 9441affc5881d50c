//! Decodes whole answers and error answers.

use std::borrow::Cow;

use super::{
    decode_content::{signed_thoughts, thoughts, unsigned_thought},
    signatures::{self, Details},
};
use crate::{
    Failure, FailureKind, Kind, Names, ProviderError, Signature, Value,
    chat::{Answer, Block, Choice, Citation, Finish, Image, Logprob, Piece},
    codec::openai,
    data_url::{self, Address},
    free_form,
    halves::mended,
    tokens::Reported,
};

pub(super) fn decode<'a>(body: &'a [u8], names: &Names) -> Result<Answer<'a>, Failure> {
    let Ok(root) = Value::read(body) else {
        return Err(nonsense("the provider's answer is not valid JSON"));
    };
    let list = root.get("choices").items();
    // It may be an error with a success status; some servers put one into a choice.
    if let Some(holder) = std::iter::once(&root).chain(list).find(|it| has_error(it)) {
        return Err(inner_failure(holder.raw().as_bytes()));
    }
    if list.is_empty() {
        let silent = || nonsense("the provider's answer has no choices");
        let error = ProviderError::read(body).map(|error| openai::failure(error.status, body));
        return Err(error.unwrap_or_else(silent));
    }
    let mut choices: Vec<(u64, Choice<'a>)> = (0..)
        .zip(list)
        .map(|(at, one)| (one.get("index").u64().unwrap_or(at), choice(one, at, names)))
        .collect();
    choices.sort_by_key(|(index, _)| *index);
    let mut reported = Reported::default();
    reported.read(root.get("usage").raw().as_bytes());
    let choices = choices.into_iter().map(|(_, choice)| choice).collect();
    Ok(Answer { choices, usage: reported.tokens() })
}

/// Whether it contains an error; an empty one does not count.
pub(super) fn has_error(holder: &Value<'_>) -> bool {
    let error = holder.get("error");
    let nothing = match error.kind() {
        Kind::Null | Kind::Bool(false) => true,
        Kind::String(text) => text.is_empty(),
        Kind::Object(members) => members.is_empty(),
        _ => false,
    };
    !nothing
}

/// Decodes an error that came with status 200.
pub(super) fn inner_failure(holder: &[u8]) -> Failure {
    openai::failure(ProviderError::read(holder).map_or(502, |error| error.status), holder)
}

pub(super) fn nonsense(message: &str) -> Failure {
    Failure::new(FailureKind::BadGateway, message)
}

fn choice<'a>(one: &Value<'a>, at: u64, names: &Names) -> Choice<'a> {
    let message = one.get("message");
    let mut blocks = thinking(message);
    blocks.extend(content(message.get("content")));
    let called = message.find("function_call").is_some()
        || message.get("tool_calls").items().iter().any(Value::is_object);
    let mut own = signatures::signed_by(message, &names.model, None);
    if let Some(Block::Text { citations, signature, .. }) = blocks.last_mut() {
        *citations = annotations(message).collect();
        if !called {
            *signature = own.take();
        }
    }
    blocks.extend(images(message).map(Block::Image));
    if let Some(text) = message.get("refusal").cow().filter(|text| !text.is_empty()) {
        blocks.push(Block::Refusal(text));
    }
    for (nth, call) in message.get("tool_calls").items().iter().enumerate() {
        blocks.extend(block(call, &made_id(names, at, nth), names));
    }
    if let Some(function) = message.find("function_call") {
        blocks.extend(function_block(function, made_id(names, at, 0).into(), names));
    }
    // The signature of the message belongs to the first call.
    let details = Details::of(message).signature(&names.model);
    let first = blocks.iter_mut().find(|block| matches!(block, Block::Call { .. }));
    if let Some(Block::Call { signature, .. }) = first {
        *signature = signature.take().or(own).or(details);
    }
    let label = one.get("finish_reason").text().unwrap_or_default();
    let finish = finish(label, Content::of(&blocks));
    Choice { blocks, finish, logprobs: logprobs(one).collect() }
}

/// The content of an answer, as far as it decides the finish reason.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Content {
    pub(super) text: bool,
    pub(super) calls: bool,
    pub(super) refusal: bool,
}

impl Content {
    fn of(blocks: &[Block<'_>]) -> Content {
        let any = |test: fn(&Block<'_>) -> bool| blocks.iter().any(test);
        Content {
            text: any(|block| matches!(block, Block::Text { .. })),
            calls: any(|block| matches!(block, Block::Call { .. })),
            refusal: any(|block| matches!(block, Block::Refusal(_))),
        }
    }
}

/// Returns the finish reason; content takes precedence over the label.
pub(super) fn finish(label: &str, content: Content) -> Finish<'static> {
    match label {
        "length" | "max_tokens" | "model_length" => Finish::Length,
        "content_filter" => Finish::Filtered(None),
        _ if content.calls => Finish::Calls,
        _ if content.refusal && !content.text => Finish::Filtered(None),
        _ => Finish::Stop,
    }
}

/// Returns a generated id for a call without one.
pub(super) fn made_id(names: &Names, choice: u64, nth: usize) -> String {
    format!("call_{}_{choice}_{nth}", names.unique)
}

fn thinking<'a>(message: &Value<'a>) -> Vec<Block<'a>> {
    let told = signed_thoughts(message).is_empty() && unsigned_thought(message).is_none();
    let detailed: String = match told {
        true => signatures::thoughts(message).filter_map(Value::text).collect(),
        false => String::new(),
    };
    if !detailed.is_empty() {
        return vec![Block::Thinking {
            text: detailed.into(),
            signature: Some(Signature::unsigned()),
        }];
    }
    let pieces = thoughts(message).into_iter();
    let blocks = pieces.filter_map(|piece| match piece {
        Piece::Thinking { text, signature } => Some(Block::Thinking {
            text,
            signature: signature.or_else(|| Some(Signature::unsigned())),
        }),
        _ => None,
    });
    blocks.collect()
}

/// Decodes the images of a message that contain their data.
pub(super) fn images<'v, 'a>(
    message: &'v Value<'a>,
) -> impl Iterator<Item = Image<'a>> + use<'v, 'a> {
    let parts = message.get("images").items().iter().chain(message.get("content").items());
    parts.filter_map(|part| {
        let url = part.find("image_url")?;
        match data_url::read(url.find("url").unwrap_or(url).cow()?) {
            Address::Here(data, mime) if !data.is_empty() => {
                Some(Image { mime: mime.unwrap_or("image/png".into()), data })
            }
            _ => None,
        }
    })
}

/// Decodes a text or a list of parts (some servers put reasoning among them).
pub(super) fn content<'a>(content: &Value<'a>) -> Vec<Block<'a>> {
    let text = |text| Block::Text { text, citations: Vec::new(), signature: None };
    if let Some(whole) = content.cow() {
        return if whole.is_empty() { Vec::new() } else { vec![text(whole)] };
    }
    let mut blocks = Vec::new();
    for part in content.items() {
        let said = part.get("text").cow().filter(|text| !text.is_empty());
        match part.get("type").text() {
            Some("refusal") => blocks.extend(part.get("refusal").cow().map(Block::Refusal)),
            Some("thinking") => {
                let parts = part.get("thinking");
                let own = parts.cow().into_iter();
                let nested = parts.items().iter().filter_map(|part| part.get("text").cow());
                let all: String = own.chain(nested).collect();
                blocks.push(Block::Thinking {
                    text: all.into(),
                    signature: Some(Signature::unsigned()),
                });
            }
            _ => match (blocks.last_mut(), said) {
                (_, None) => {}
                (Some(Block::Text { text, .. }), Some(said)) => text.to_mut().push_str(&said),
                (_, Some(said)) => blocks.push(text(said)),
            },
        }
    }
    blocks
}

fn block<'a>(call: &Value<'a>, made: &str, names: &Names) -> Option<Block<'a>> {
    let id = call.get("id").cow().filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| made.to_owned().into());
    if let Some(custom) = call.find("custom") {
        let mut name = names.back(custom.get("name").cow()?);
        name.free_form = true;
        let input = custom.get("input").cow().unwrap_or_default();
        return Some(Block::Call { id, name, input, signature: None });
    }
    let mut block = function_block(call.get("function"), id, names)?;
    if let Block::Call { signature, .. } = &mut block {
        *signature = signatures::signed_by(call, &names.model, None);
    }
    Some(block)
}

fn function_block<'a>(function: &Value<'a>, id: Cow<'a, str>, names: &Names) -> Option<Block<'a>> {
    let name = names.back(function.get("name").cow()?);
    let arguments = arguments(function.get("arguments"));
    let input = match name.free_form {
        true => free_form::unwrap(&arguments).into(),
        false => mended(arguments),
    };
    Some(Block::Call { id, name, input, signature: None })
}

/// Arguments are text; some servers send the object itself.
fn arguments<'a>(value: &Value<'a>) -> Cow<'a, str> {
    match value.cow() {
        Some(text) => text,
        None if value.is_object() => Cow::Borrowed(value.raw()),
        None => Cow::Borrowed(""),
    }
}

/// Decodes the citations of a message, with positions in characters of its whole text.
pub(super) fn annotations<'v, 'a>(
    message: &'v Value<'a>,
) -> impl Iterator<Item = Citation<'a>> + use<'v, 'a> {
    message.get("annotations").items().iter().filter_map(|one| {
        let inner = one.get("url_citation");
        let span = inner.get("start_index").u64().zip(inner.get("end_index").u64());
        Some(Citation {
            url: inner.get("url").cow().filter(|url| !url.is_empty())?,
            title: inner.get("title").cow().filter(|title| !title.is_empty()),
            cited: None,
            span,
        })
    })
}

pub(super) fn logprobs<'v, 'a>(
    choice: &'v Value<'a>,
) -> impl Iterator<Item = Logprob<'a>> + use<'v, 'a> {
    let one = |entry: &Value<'a>| {
        Some((entry.get("token").cow()?, Cow::Borrowed(entry.get("logprob").number()?)))
    };
    choice.get("logprobs").get("content").items().iter().filter_map(move |entry| {
        let (token, logprob) = one(entry)?;
        let top = entry.get("top_logprobs").items().iter().filter_map(one).collect();
        Some(Logprob { token, logprob, top })
    })
}
