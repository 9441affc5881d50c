//! `POST /v1/embeddings`.

use std::borrow::Cow;

use super::{EmbedAnswer, EmbedRequest, EmbedWish, Vector, vector::broken};
use crate::{
    Encoded, Failure, FailureKind, ProviderError, Value,
    chat::Said,
    tokens::Reported,
    write::{self, Object},
};

/// Decodes a request. Only texts are accepted, because lists of tokens belong to one provider's
/// tokenizer.
///
/// # Errors
///
/// Returns a failure with the path of the invalid field.
pub fn decode_request(body: &[u8]) -> Result<EmbedRequest<'_>, Failure> {
    let body = Value::read(body)
        .map_err(|error| Failure::new(FailureKind::BadRequest, error.to_string()))?;
    if !body.is_object() {
        return Err(Failure::new(FailureKind::BadRequest, "the body is not a JSON object"));
    }
    let mut request = EmbedRequest::default();
    for (name, value) in body.members().iter().filter(|(_, value)| !value.is_null()) {
        match &**name {
            "model" => request.model = text(value, "model")?,
            "input" => request.inputs = inputs(value)?,
            "dimensions" => {
                let length = value.u64().ok_or_else(|| wrong("dimensions", "a whole number"))?;
                request.dimensions = Some(Said::new(length, "dimensions"));
            }
            "encoding_format" => {
                request.wish.base64 = match &*text(value, "encoding_format")? {
                    "base64" => true,
                    "float" => false,
                    _ => return Err(wrong("encoding_format", "`float` or `base64`")),
                }
            }
            "user" => request.user = Some(text(value, "user")?),
            _ => request.dropped.push(name.to_string()),
        }
    }
    match request.inputs.is_empty() {
        true => Err(wrong("input", "a string or a list of strings")),
        false => Ok(request),
    }
}

fn inputs<'a>(value: &Value<'a>) -> Result<Vec<Cow<'a, str>>, Failure> {
    if let Some(text) = value.cow() {
        return Ok(vec![text]);
    }
    let tokens = value.items().iter().any(|item| item.number().is_some() || item.is_array());
    if tokens {
        let message = "`input`: lists of tokens mean nothing to this model; send texts";
        return Err(Failure::unsayable("input", message));
    }
    let all: Option<Vec<_>> = value.items().iter().map(Value::cow).collect();
    all.ok_or_else(|| wrong("input", "a string or a list of strings"))
}

fn text<'a>(value: &Value<'a>, name: &str) -> Result<Cow<'a, str>, Failure> {
    value.cow().ok_or_else(|| wrong(name, "a string"))
}

fn wrong(name: &str, must_be: &str) -> Failure {
    Failure::unsayable(name, format!("`{name}` must be {must_be}"))
}

/// Encodes a request.
pub fn encode_request(request: &EmbedRequest<'_>, model: &str) -> Encoded {
    let mut body = Vec::new();
    write::object(&mut body, |o| {
        o.text("model", model);
        o.texts("input", request.inputs.iter().map(|text| &**text));
        if let Some(said) = &request.dimensions {
            o.number("dimensions", said.value);
        }
        o.text_if("user", request.user.as_deref());
    });
    let dropped = request.dropped.clone();
    Encoded { path: "/v1/embeddings".to_owned(), body, dropped, ..Encoded::default() }
}

/// Decodes an answer.
///
/// # Errors
///
/// Returns a failure if the body contains no vectors.
pub fn decode_answer(body: &[u8]) -> Result<EmbedAnswer<'_>, Failure> {
    let value = Value::read(body).map_err(|_| broken())?;
    let mut numbered = Vec::new();
    for (n, entry) in (0_u64..).zip(value.get("data").items()) {
        let vector = Vector::read(entry.get("embedding"))?;
        numbered.push((entry.get("index").u64().unwrap_or(n), vector));
    }
    if numbered.is_empty() {
        return Err(ProviderError::read(body).map_or_else(broken, Failure::from));
    }
    numbered.sort_by_key(|(n, _)| *n);
    let usage = value.find("usage").and_then(|usage| {
        let mut reported = Reported::default();
        reported.read(usage.raw().as_bytes());
        reported.tokens()
    });
    Ok(EmbedAnswer { vectors: numbered.into_iter().map(|(_, vector)| vector).collect(), usage })
}

/// Encodes an answer for a client that calls the model `model`.
///
/// # Errors
///
/// Returns a failure if a vector is not valid.
pub fn encode_answer(
    answer: &EmbedAnswer<'_>,
    wish: EmbedWish,
    model: &str,
) -> Result<Vec<u8>, Failure> {
    let all: Result<Vec<_>, _> = match wish.base64 {
        true => answer.vectors.iter().map(Vector::packed).collect(),
        false => answer.vectors.iter().map(Vector::numbers).collect(),
    };
    let all = all?;
    let mut body = Vec::new();
    write::object(&mut body, |o| {
        o.text("object", "list");
        o.array("data", |a| {
            for (n, vector) in (0..).zip(&all) {
                a.object(|o| {
                    o.text("object", "embedding");
                    o.number("index", n);
                    match wish.base64 {
                        true => o.text("embedding", vector),
                        false => o.raw("embedding", vector),
                    }
                });
            }
        });
        o.text("model", model);
        usage(o, answer.usage.map_or(0, |tokens| tokens.input));
    });
    Ok(body)
}

fn usage(o: &mut Object<'_>, input: u64) {
    o.object("usage", |o| {
        o.number("prompt_tokens", input);
        o.number("total_tokens", input);
    });
}
