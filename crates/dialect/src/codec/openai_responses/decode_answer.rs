//! Decodes answers of Responses.

use std::borrow::Cow;

use super::failed;
use crate::{
    Failure, Names, Signature, Tokens, Value, Vendor,
    chat::{Answer, Block, Choice, Citation, Finish, Image, Logprob, Name},
    halves::mended,
    tokens::Reported,
};

pub(super) fn decode<'a>(body: &'a [u8], names: &Names) -> Result<Answer<'a>, Failure> {
    let value = Value::read(body)
        .map_err(|_| failed::nonsense("the provider's answer is not valid JSON"))?;
    let failed = value.find("error").is_some() || value.get("status").text() == Some("failed");
    if let Some(failure) = failed.then(|| failed::of_data(body, &value)).flatten() {
        return Err(failure);
    }
    match value.get("status").text() {
        None | Some("completed" | "incomplete") if value.get("output").is_array() => {}
        _ => return Err(failed::nonsense("the provider's answer is not complete")),
    }
    let mut choice = Choice::default();
    for (nth, item) in value.get("output").items().iter().enumerate() {
        match item.get("type").text() {
            Some("message") => {
                for part in item.get("content").items() {
                    choice.blocks.extend(part_block(part));
                    choice.logprobs.extend(logprobs(part.get("logprobs")));
                }
            }
            Some("reasoning") => choice.blocks.extend(thinking(item)),
            Some(kind @ ("function_call" | "custom_tool_call")) => {
                let free_form = kind == "custom_tool_call";
                let input = item.get(if free_form { "input" } else { "arguments" }).cow();
                choice.blocks.push(Block::Call {
                    id: call_id(item, nth, names),
                    name: name(item, names, free_form),
                    input: match free_form {
                        true => input.unwrap_or_default(),
                        false => mended(input.unwrap_or_default()),
                    },
                    signature: None,
                });
            }
            Some("image_generation_call") => choice.blocks.extend(image(item).map(Block::Image)),
            _ => {}
        }
    }
    let called = choice.blocks.iter().any(|block| matches!(block, Block::Call { .. }));
    choice.finish = finish(&value, called);
    Ok(Answer { choices: vec![choice], usage: usage(&value) })
}

/// Decodes an image that a hosted tool generated.
pub(super) fn image<'a>(item: &Value<'a>) -> Option<Image<'a>> {
    let data = item.get("result").cow().filter(|data| !data.is_empty())?;
    let mime = match item.get("output_format").text() {
        Some("jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        _ => "image/png",
    };
    Some(Image { mime: mime.into(), data })
}

/// Decodes the finish reason (FIN-7).
pub(super) fn finish(response: &Value<'_>, called: bool) -> Finish<'static> {
    match response.get("incomplete_details").get("reason").text() {
        Some("content_filter") => Finish::Filtered(None),
        Some("steered") => Finish::Stop,
        Some(_) => Finish::Length,
        None if response.get("status").text() == Some("incomplete") => Finish::Length,
        None if called => Finish::Calls,
        None => Finish::Stop,
    }
}

/// Decodes the usage.
pub(super) fn usage(response: &Value<'_>) -> Option<Tokens> {
    let mut reported = Reported::default();
    reported.read(response.find("usage")?.raw().as_bytes());
    reported.tokens()
}

/// Returns the id of a call; a generated one if the provider gives none.
pub(super) fn call_id<'a>(item: &Value<'a>, nth: usize, names: &Names) -> Cow<'a, str> {
    let told = [item.get("call_id"), item.get("id")].into_iter().filter_map(Value::cow);
    let mut told = told.filter(|id| !id.is_empty());
    told.next().unwrap_or_else(|| format!("call_{}{nth}", names.unique).into())
}

/// Returns the client's name of the called tool.
pub(super) fn name<'a>(item: &Value<'a>, names: &Names, free_form: bool) -> Name<'a> {
    let told = names.back(item.get("name").cow().unwrap_or_default());
    Name { free_form, ..told }
}

/// Decodes reasoning and its signature.
pub(super) fn thinking<'a>(item: &Value<'a>) -> Option<Block<'a>> {
    let text = thought(item);
    let signature = signature(item);
    (signature.is_some() || !text.is_empty()).then_some(Block::Thinking { text, signature })
}

/// Decodes the signature of a reasoning item.
pub(super) fn signature<'a>(item: &Value<'a>) -> Option<Signature<'a>> {
    let data = item.get("encrypted_content").cow().filter(|data| !data.is_empty())?;
    Some(Signature { id: item.get("id").cow(), ..Signature::new(Vendor::Openai, data) })
}

/// Decodes the text of a reasoning item: its summary, else its whole text.
pub(super) fn thought<'a>(item: &Value<'a>) -> Cow<'a, str> {
    let texts = |list: &Value<'a>| -> Vec<Cow<'a, str>> {
        let all = list.items().iter().filter_map(|part| part.get("text").cow());
        all.filter(|text| !text.is_empty()).collect()
    };
    let mut parts = texts(item.get("summary"));
    if parts.is_empty() {
        parts = texts(item.get("content"));
    }
    match parts.len() {
        1 => parts.remove(0),
        _ => Cow::Owned(parts.join("\n\n")),
    }
}

fn part_block<'a>(part: &Value<'a>) -> Option<Block<'a>> {
    match part.get("type").text()? {
        "output_text" => Some(Block::Text {
            text: part.get("text").cow().unwrap_or_default(),
            citations: part.get("annotations").items().iter().filter_map(citation).collect(),
            signature: None,
        }),
        "refusal" => Some(Block::Refusal(part.get("refusal").cow().unwrap_or_default())),
        _ => None,
    }
}

/// Decodes a citation with an address.
pub(super) fn citation<'a>(annotation: &Value<'a>) -> Option<Citation<'a>> {
    let url = annotation.get("url").cow()?;
    let index = |name: &str| annotation.get(name).u64();
    Some(Citation {
        url,
        title: annotation.get("title").cow(),
        cited: None,
        span: index("start_index").zip(index("end_index")),
    })
}

/// Decodes the log probabilities of a text.
pub(super) fn logprobs<'a>(list: &Value<'a>) -> Vec<Logprob<'a>> {
    let pair = |one: &Value<'a>| {
        Some((one.get("token").cow()?, Cow::Borrowed(one.get("logprob").number()?)))
    };
    let one = |one: &Value<'a>| {
        let (token, logprob) = pair(one)?;
        let top = one.get("top_logprobs").items().iter().filter_map(pair).collect();
        Some(Logprob { token, logprob, top })
    };
    list.items().iter().filter_map(one).collect()
}
