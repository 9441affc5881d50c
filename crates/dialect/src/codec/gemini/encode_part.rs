//! Encodes arguments, results and media for Gemini.

use std::borrow::Cow;

use crate::{
    Failure, Value,
    chat::{self, MediaKind, Source},
    halves::mended,
    write::{self, Object},
};

/// Returns arguments as an object, which Gemini requires. Other arguments (cut off by the limit, or
/// plain text) are wrapped into one. The result has no line breaks, so that an event may contain
/// it.
pub(super) fn args(input: &str) -> Cow<'_, str> {
    let input = input.trim_ascii();
    if input.is_empty() || input == "null" {
        return Cow::Borrowed("{}");
    }
    if !input.starts_with('{') || Value::of(input).is_err() {
        return Cow::Owned(write::object_text(|o| o.text("_raw", input)));
    }
    match memchr::memchr2(b'\n', b'\r', input.as_bytes()) {
        // Inside strings they are escaped, so these are between values.
        Some(_) => Cow::Owned(input.replace(['\n', '\r'], " ")),
        None => Cow::Borrowed(input),
    }
}

/// Returns a tool result as an object, which Gemini requires.
pub(super) fn response(texts: &[Cow<'_, str>], is_error: bool) -> String {
    let text = match texts {
        [only] => Cow::Borrowed(&**only),
        _ => Cow::Owned(texts.join("\n")),
    };
    let is_object = |text: &str| text.starts_with('{') && Value::of(text).is_ok();
    match text.trim_ascii() {
        _ if is_error => write::object_text(|o| o.text("error", &text)),
        object if is_object(object) => mended(object.into()).into_owned(),
        _ => write::object_text(|o| o.text("output", &text)),
    }
}

/// A medium in Gemini's form.
#[derive(Debug)]
pub(super) enum Media<'m> {
    /// A text file.
    Text(Cow<'m, str>),
    /// A separate part.
    Part(Inline<'m>),
}

/// A part with data or a reference to it.
#[derive(Debug)]
pub(super) struct Inline<'m> {
    mime: Cow<'m, str>,
    data: &'m str,
    is_file: bool,
}

impl Inline<'_> {
    /// Writes the members of the part.
    pub(super) fn write(&self, o: &mut Object<'_>) {
        let (name, data) = match self.is_file {
            true => ("fileData", "fileUri"),
            false => ("inlineData", "data"),
        };
        o.object(name, |o| {
            if !self.mime.is_empty() {
                o.text("mimeType", &self.mime);
            }
            o.text(data, self.data);
        });
    }
}

/// Converts `media`.
pub(super) fn media<'m>(media: &'m chat::Media<'_>) -> Result<Media<'m>, Failure> {
    let refused = |why: &str| Failure::unsayable(&*media.path, format!("`{}`: {why}", media.path));
    let data = match &media.source {
        Source::Base64(data) => data,
        Source::Text(text) => {
            return Ok(Media::Text(match media.name.as_deref() {
                Some(name) if !name.is_empty() => Cow::Owned(format!("{name}\n\n{text}")),
                _ => Cow::Borrowed(text),
            }));
        }
        // Addresses are Google's own files; ids of other providers are not.
        Source::File(uri) if uri.contains("://") => {
            let mime = Cow::Borrowed(media.mime.as_deref().unwrap_or_default());
            return Ok(Media::Part(Inline { mime, data: uri, is_file: true }));
        }
        Source::File(_) => return Err(refused("files of another provider cannot be read")),
        Source::Url(_) => {
            return Err(refused("remote addresses cannot be read by this model; send the data"));
        }
    };
    let given = media.mime.as_deref().filter(|mime| !mime.is_empty());
    let mime = match given.unwrap_or(usual(media.kind)) {
        "image/jpg" => "image/jpeg",
        mime => mime,
    };
    Ok(Media::Part(Inline { mime: Cow::Borrowed(mime), data, is_file: false }))
}

/// Returns the default MIME type of a medium.
const fn usual(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image/png",
        MediaKind::Audio => "audio/wav",
        MediaKind::Document => "application/pdf",
        MediaKind::Video => "video/mp4",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_always_an_object_on_one_line() {
        let cases = [
            ("", "{}"),
            (" ", "{}"),
            ("null", "{}"),
            (r#"{"a": 12345678901234567890}"#, r#"{"a": 12345678901234567890}"#),
            ("{\n  \"a\": \"\\n\"\r\n}", r#"{   "a": "\n"  }"#),
            (r#"{"a":"#, r#"{"_raw":"{\"a\":"}"#),
            ("[1]", r#"{"_raw":"[1]"}"#),
            ("ls", r#"{"_raw":"ls"}"#),
        ];
        for (input, expected) in cases {
            assert_eq!(args(input), expected, "{input}");
        }
    }

    #[test]
    fn results_are_objects_or_are_wrapped() {
        let cases = [
            (&["x"][..], false, r#"{"output":"x"}"#),
            (&[r#" {"a": 1.0} "#], false, r#"{"a": 1.0}"#),
            (&[r#"{"a":"\ud83d"}"#], false, r#"{"a":"\ufffd"}"#),
            (&[r#"{"a":1"#], false, r#"{"output":"{\"a\":1"}"#),
            (&["[1]"], false, r#"{"output":"[1]"}"#),
            (&["null"], false, r#"{"output":"null"}"#),
            (&[], false, r#"{"output":""}"#),
            (&["a", "b"], false, r#"{"output":"a\nb"}"#),
            (&[r#"{"a":1}"#], true, r#"{"error":"{\"a\":1}"}"#),
        ];
        for (texts, is_error, expected) in cases {
            let texts: Vec<Cow<'_, str>> = texts.iter().map(|text| Cow::Borrowed(*text)).collect();
            assert_eq!(response(&texts, is_error), expected, "{texts:?}");
        }
    }
}
