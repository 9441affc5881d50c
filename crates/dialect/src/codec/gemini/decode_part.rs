//! Decodes the parts of a content.

use std::borrow::Cow;

use ::base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    base64::standard,
    fields::{each, list, nth, object, text, truth, wrong},
};
use crate::{
    Failure, Signature, Value, Vendor,
    chat::{Media, MediaKind, Piece, Source},
    halves::mended,
    write,
};

/// The content of a part. Calls and results are not paired yet.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// A complete piece.
    Piece(Piece<'a>),
    /// A function call.
    Call {
        id: Option<Cow<'a, str>>,
        name: Cow<'a, str>,
        input: Cow<'a, str>,
        signature: Option<Signature<'a>>,
    },
    /// A function result.
    Result { id: Option<Cow<'a, str>>, name: Cow<'a, str>, content: Vec<Piece<'a>>, is_error: bool },
    /// Nothing that can be converted; it was noted if it matters.
    Nothing,
}

impl<'a> Part<'a> {
    /// Decodes the part at `path`; adds to `dropped` what cannot be converted.
    pub(super) fn read(
        part: &Value<'a>,
        path: &str,
        dropped: &mut Vec<String>,
    ) -> Result<Part<'a>, Failure> {
        let mut said = None;
        let mut thought = false;
        let mut signature = None;
        let mut data = None;
        for (name, path, value) in each(part, path) {
            match &*name {
                "text" => said = Some(text(value, &path)?),
                "thought" => thought = truth(value, &path)?,
                "thoughtSignature" => signature = read_signature(text(value, &path)?),
                "inlineData" | "fileData" | "functionCall" | "functionResponse" => {
                    object(value, &path)?;
                    data = Some((name, path, value));
                }
                // The resolution is a hint, and metadata is the client's own.
                "mediaResolution" | "videoMetadata" | "partMetadata" => {}
                _ => dropped.push(path),
            }
        }
        if let Some((name, path, value)) = data {
            return match &*name {
                "inlineData" => Ok(Part::Piece(inline(value, &path)?)),
                "fileData" => Ok(Part::Piece(file(value, &path)?)),
                "functionCall" => call(value, &path, signature),
                _ => result(value, &path, dropped),
            };
        }
        let text = match (said, &signature) {
            (Some(text), _) => text,
            (None, Some(_)) => Cow::Borrowed(""),
            (None, None) => return Ok(Part::Nothing),
        };
        Ok(Part::Piece(match thought {
            // Unsigned reasoning may return to targets that accept it.
            true => Piece::Thinking { text, signature: signature.or(Some(Signature::unsigned())) },
            false => Piece::Text { text, signature },
        }))
    }
}

/// Reads a signature; `None` for an incomplete wrapped one.
fn read_signature(field: Cow<'_, str>) -> Option<Signature<'_>> {
    match field {
        Cow::Borrowed("") => None,
        Cow::Borrowed(field) => Signature::read(field, Vendor::Gemini),
        Cow::Owned(field) => Signature::read(&field, Vendor::Gemini).map(Signature::into_owned),
    }
}

fn call<'a>(
    call: &Value<'a>,
    path: &str,
    signature: Option<Signature<'a>>,
) -> Result<Part<'a>, Failure> {
    let id = call.get("id").cow().filter(|id| !id.is_empty());
    let name = call.get("name").cow().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| wrong(&format!("{path}.name"), "the name of a function"))?;
    let input = call.find("args").map_or(Cow::Borrowed(""), |args| write::legible(args.raw()));
    let input = mended(input);
    Ok(Part::Call { id, name, input, signature })
}

fn result<'a>(
    result: &Value<'a>,
    path: &str,
    dropped: &mut Vec<String>,
) -> Result<Part<'a>, Failure> {
    let id = result.get("id").cow().filter(|id| !id.is_empty());
    let name = result.get("name").cow().unwrap_or_default();
    let (text, is_error) = response(result.get("response"));
    let mut content = Vec::new();
    if !text.is_empty() {
        content.push(Piece::Text { text, signature: None });
    }
    let parts = result.get("parts");
    if !parts.is_null() {
        let path = format!("{path}.parts");
        for (n, part) in list(parts).iter().enumerate() {
            let path = nth(parts, &path, n);
            if let Part::Piece(piece) = Part::read(object(part, &path)?, &path, dropped)? {
                content.push(piece);
            }
        }
    }
    Ok(Part::Result { id, name, content, is_error })
}

/// Returns a function result as text: Google's `output` and `error` are wrappers.
fn response<'a>(response: &Value<'a>) -> (Cow<'a, str>, bool) {
    let whole = |value: &Value<'a>| match value.cow() {
        Some(text) => text,
        None => write::legible(value.raw()),
    };
    match response.members() {
        [(name, value)] if !value.is_null() && name == "output" => (whole(value), false),
        [(name, value)] if !value.is_null() && name == "error" => (whole(value), true),
        _ if response.is_null() => (Cow::Borrowed(""), false),
        _ => (whole(response), false),
    }
}

fn inline<'a>(inline: &Value<'a>, path: &str) -> Result<Piece<'a>, Failure> {
    let mut media = Media {
        kind: MediaKind::Document,
        source: Source::Text(Cow::Borrowed("")),
        mime: None,
        name: None,
        detail: None,
        path: path.to_owned(),
    };
    let mut data = None;
    for (name, path, value) in each(inline, path) {
        match &*name {
            "mimeType" => media.mime = Some(text(value, &path)?),
            "displayName" => media.name = Some(text(value, &path)?),
            "data" => {
                let whole = standard(text(value, &path)?);
                data = Some(whole.ok_or_else(|| wrong(&path, "base64"))?);
            }
            _ => {}
        }
    }
    let data = data.ok_or_else(|| wrong(&format!("{path}.data"), "base64"))?;
    let mime = media.mime.as_deref().filter(|mime| !mime.is_empty());
    let mime = mime.ok_or_else(|| wrong(&format!("{path}.mimeType"), "a MIME type"))?;
    media.kind = kind(mime);
    let plain = mime.starts_with("text/").then(|| BASE64_STANDARD.decode(&*data).ok()).flatten();
    media.source = match plain.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) => Source::Text(Cow::Owned(text)),
        None => Source::Base64(data),
    };
    Ok(Piece::Media(media))
}

fn file<'a>(file: &Value<'a>, path: &str) -> Result<Piece<'a>, Failure> {
    let mut uri = None;
    let mut mime = None;
    let mut title = None;
    for (name, path, value) in each(file, path) {
        match &*name {
            "fileUri" => uri = Some(text(value, &path)?),
            "mimeType" => mime = Some(text(value, &path)?),
            "displayName" => title = Some(text(value, &path)?),
            _ => {}
        }
    }
    let uri = uri.ok_or_else(|| wrong(&format!("{path}.fileUri"), "the address of a file"))?;
    Ok(Piece::Media(Media {
        kind: kind(mime.as_deref().unwrap_or_default()),
        source: Source::File(uri),
        mime,
        name: title,
        detail: None,
        path: path.to_owned(),
    }))
}

fn kind(mime: &str) -> MediaKind {
    match mime.split('/').next().unwrap_or_default() {
        "image" => MediaKind::Image,
        "audio" => MediaKind::Audio,
        "video" => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(part: &str, expected: &str) {
        let value = Value::of(part).unwrap();
        let mut dropped = Vec::new();
        let told = match Part::read(&value, "p", &mut dropped).unwrap() {
            Part::Piece(Piece::Text { text, signature }) => {
                format!("text {text} {:?}", proof(&signature))
            }
            Part::Piece(Piece::Thinking { text, signature }) => {
                format!("thought {text} {:?}", proof(&signature))
            }
            Part::Piece(Piece::Media(media)) => match media.source {
                Source::Text(text) => format!("{:?} text {text}", media.kind),
                Source::Base64(data) => format!("{:?} data {data}", media.kind),
                Source::File(uri) => format!("{:?} file {uri}", media.kind),
                Source::Url(url) => format!("{:?} url {url}", media.kind),
            },
            Part::Piece(piece) => format!("{piece:?}"),
            Part::Call { id, name, input, signature } => {
                format!("call {id:?} {name} {input} {:?}", proof(&signature))
            }
            Part::Result { id, name, content, is_error } => {
                let texts: Vec<String> = content
                    .iter()
                    .map(|piece| match piece {
                        Piece::Text { text, .. } => text.to_string(),
                        Piece::Media(media) => format!("{:?}", media.kind),
                        other => format!("{other:?}"),
                    })
                    .collect();
                format!("result {id:?} {name} {} {is_error}", texts.join("|"))
            }
            Part::Nothing => format!("nothing {}", dropped.join(",")),
        };
        assert_eq!(told, expected, "{part}");
    }

    fn proof(signature: &Option<Signature<'_>>) -> Option<(Vendor, String)> {
        signature.as_ref().map(|signature| (signature.vendor, signature.data.to_string()))
    }

    #[test]
    fn texts_and_thoughts_keep_their_proofs() {
        let foreign = Signature::new(Vendor::Anthropic, "EqQB").wrapped();
        check(r#"{"text":"a"}"#, "text a None");
        check(r#"{"text":"","thought_signature":"++8="}"#, r#"text  Some((Gemini, "++8="))"#);
        check(r#"{"thoughtSignature":"++8="}"#, r#"text  Some((Gemini, "++8="))"#);
        check(r#"{"text":"a","thought":true}"#, r#"thought a Some((Unsigned, ""))"#);
        check(
            &format!(r#"{{"text":"a","thought":true,"thoughtSignature":"{foreign}"}}"#),
            r#"thought a Some((Anthropic, "EqQB"))"#,
        );
        check(r#"{"text":"a","thoughtSignature":"dG9sbGdhdGU6!"}"#, "text a None");
    }

    #[test]
    fn media_are_what_their_type_says() {
        check(r#"{"inlineData":{"mimeType":"audio/wav","data":"_-8"}}"#, "Audio data /+8=");
        check(r#"{"inline_data":{"mime_type":"text/plain","data":"aMOp"}}"#, "Document text hé");
        check(r#"{"inlineData":{"mimeType":"text/plain","data":"/+8="}}"#, "Document data /+8=");
        check(r#"{"inlineData":{"mimeType":"application/pdf","data":""}}"#, "Document data ");
        check(r#"{"fileData":{"fileUri":"gs://a","mimeType":"video/mp4"}}"#, "Video file gs://a");
        check(r#"{"executableCode":{"code":"1"}}"#, "nothing p.executableCode");
    }

    #[test]
    fn arguments_and_responses_are_not_renamed() {
        check(
            r#"{"function_call":{"name":"f","args":{"some_key":1.50}},"thought_signature":"AA=="}"#,
            r#"call None f {"some_key":1.50} Some((Gemini, "AA=="))"#,
        );
        check(r#"{"functionCall":{"id":"","name":"f"}}"#, "call None f  None");
        check(
            r#"{"functionResponse":{"id":"a","name":"f","response":{"a_b":{"output":1}}}}"#,
            r#"result Some("a") f {"a_b":{"output":1}} false"#,
        );
        check(
            r#"{"functionResponse":{"name":"f","response":{"result":"\u6771 1.50"}}}"#,
            r#"result None f {"result":"東 1.50"} false"#,
        );
        check(
            r#"{"functionResponse":{"name":"f","response":{"output":"x"}}}"#,
            "result None f x false",
        );
        check(
            r#"{"functionResponse":{"name":"f","response":{"output":[1, 2]}}}"#,
            "result None f [1, 2] false",
        );
        check(
            r#"{"functionResponse":{"name":"f","response":{"error":"bad"}}}"#,
            "result None f bad true",
        );
        check(
            r#"{"functionResponse":{"name":"f","response":{"output":"x"},
                "parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}}"#,
            "result None f x|Image false",
        );
    }
}
