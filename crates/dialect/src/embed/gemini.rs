//! `:embedContent` and `:batchEmbedContents`.

use std::borrow::Cow;

use super::{EmbedAnswer, EmbedRequest, EmbedWish, Vector, vector::broken};
use crate::{
    Ask, Encoded, Failure, FailureKind, ProviderError, Value,
    chat::Said,
    codec::{
        gemini_address::{bare, path},
        gemini_fields::{each, join, list, nth, object, text, whole, wrong},
    },
    tokens::Reported,
    write,
};

/// Most fields that are named as dropped.
const MOST_NAMED: usize = 32;

/// Decodes a request with one text or many.
///
/// # Errors
///
/// Returns a failure with the path of the invalid field.
pub fn decode_request(ask: Ask<'_>) -> Result<EmbedRequest<'_>, Failure> {
    let body = Value::read(ask.body)
        .map_err(|error| Failure::new(FailureKind::BadRequest, error.to_string()))?;
    if !body.is_object() {
        return Err(Failure::new(FailureKind::BadRequest, "the body is not a JSON object"));
    }
    let mut request = EmbedRequest {
        model: ask.model.map(Cow::Borrowed).unwrap_or_default(),
        ..Default::default()
    };
    let Some(requests) = body.find("requests") else {
        request.wish.single = true;
        one(&body, "", &mut request)?;
        return Ok(request);
    };
    for (n, inner) in list(requests).iter().enumerate() {
        let path = nth(requests, "requests", n);
        let length = request.dimensions.as_ref().map(|said| said.value);
        one(object(inner, &path)?, &path, &mut request)?;
        let now = request.dimensions.as_ref().map(|said| said.value);
        if n > 0 && now != length {
            let message = "all vectors of one request must have the same `outputDimensionality`";
            return Err(Failure::unsayable(path, message));
        }
    }
    match request.inputs.is_empty() {
        true => Err(wrong("requests", "a list with at least one request")),
        false => Ok(request),
    }
}

fn one<'a>(body: &Value<'a>, path: &str, request: &mut EmbedRequest<'a>) -> Result<(), Failure> {
    let mut input = None;
    let mut length = None;
    for (name, path, value) in each(body, path) {
        match &*name {
            "content" => input = Some(content(value, &path)?),
            "outputDimensionality" => length = Some(Said::new(whole(value, &path)?, path)),
            "model" => {}
            // A field that every one of many requests has is named once.
            _ if request.dropped.len() >= MOST_NAMED => {}
            _ if request.dropped.iter().any(|known| last(known) == last(&path)) => {}
            _ => request.dropped.push(path),
        }
    }
    let missing = || wrong(&join(path, "content"), "a content with text");
    request.inputs.push(input.ok_or_else(missing)?);
    request.dimensions = length;
    Ok(())
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// Returns the text of a content: its parts, joined by line breaks.
fn content<'a>(value: &Value<'a>, path: &str) -> Result<Cow<'a, str>, Failure> {
    if let Some(text) = value.cow() {
        return Ok(text);
    }
    let parts = object(value, path)?.get("parts");
    let path = join(path, "parts");
    let mut all: Option<Cow<'a, str>> = None;
    for (n, part) in list(parts).iter().enumerate() {
        let path = join(&nth(parts, &path, n), "text");
        let next = text(part.get("text"), &path)?;
        match &mut all {
            Some(all) => {
                let all = all.to_mut();
                all.push('\n');
                all.push_str(&next);
            }
            None => all = Some(next),
        }
    }
    all.ok_or_else(|| wrong(&path, "a list with at least one text"))
}

/// Encodes a request, always as a batch: the answer for one text is the same.
pub fn encode_request(request: &EmbedRequest<'_>, model: &str) -> Encoded {
    let mut body = Vec::new();
    write::object(&mut body, |o| {
        o.array("requests", |a| {
            for input in &request.inputs {
                a.object(|o| {
                    o.joined("model", &["models/", bare(model)]);
                    o.object("content", |o| {
                        o.array("parts", |a| a.object(|o| o.text("text", input)));
                    });
                    if let Some(said) = &request.dimensions {
                        o.number("outputDimensionality", said.value);
                    }
                });
            }
        });
    });
    let path = path(model, "batchEmbedContents");
    Encoded { path, body, dropped: request.dropped.clone(), ..Encoded::default() }
}

/// Decodes an answer for one text or many.
///
/// # Errors
///
/// Returns a failure if the body contains no vectors.
pub fn decode_answer(body: &[u8]) -> Result<EmbedAnswer<'_>, Failure> {
    let value = Value::read(body).map_err(|_| broken())?;
    let all = match value.find("embedding") {
        Some(only) => std::slice::from_ref(only),
        None => value.get("embeddings").items(),
    };
    if all.is_empty() {
        return Err(ProviderError::read(body).map_or_else(broken, Failure::from));
    }
    let vectors: Result<Vec<_>, _> =
        all.iter().map(|entry| Vector::read(entry.get("values"))).collect();
    let usage = value.any(&["usageMetadata", "usage_metadata"]).and_then(|usage| {
        let mut reported = Reported::default();
        reported.read(usage.raw().as_bytes());
        reported.tokens()
    });
    Ok(EmbedAnswer { vectors: vectors?, usage })
}

/// Encodes an answer.
///
/// # Errors
///
/// Returns a failure if a vector is not valid.
pub fn encode_answer(answer: &EmbedAnswer<'_>, wish: EmbedWish) -> Result<Vec<u8>, Failure> {
    let all: Result<Vec<_>, _> = answer.vectors.iter().map(Vector::numbers).collect();
    let all = all?;
    let mut body = Vec::new();
    write::object(&mut body, |o| {
        match (wish.single, all.first()) {
            (true, Some(only)) => o.object("embedding", |o| o.raw("values", only)),
            _ => o.array("embeddings", |a| {
                all.iter().for_each(|vector| a.object(|o| o.raw("values", vector)));
            }),
        }
        if let Some(tokens) = answer.usage {
            o.object("usageMetadata", |o| {
                o.number("promptTokenCount", tokens.input);
                o.number("totalTokenCount", tokens.input);
            });
        }
    });
    Ok(body)
}
