//! Decodes the parts of a message or a tool result.

use std::borrow::Cow;

use super::fields::Object;
use crate::{
    Failure, Value,
    chat::{Media, MediaKind, Piece, Source},
    data_url::{self, Address},
};

/// Known members of parts: those that are decoded, and bookkeeping.
const PART: &[&str] = &[
    "type",
    "text",
    "annotations",
    "logprobs",
    "refusal",
    "image_url",
    "detail",
    "file_data",
    "file_url",
    "file_id",
    "filename",
    "input_audio",
    "prompt_cache_breakpoint",
];

/// Decodes the content of a message: a string or a list of parts. Unknown members are added to
/// `dropped`.
pub(super) fn read_content<'a>(
    content: &Value<'a>,
    path: &str,
    dropped: &mut Vec<String>,
) -> Result<Vec<Piece<'a>>, Failure> {
    if let Some(text) = content.cow() {
        return Ok(vec![Piece::Text { text, signature: None }]);
    }
    if !content.is_array() {
        return Err(Failure::unsayable(path, format!("`{path}` must be a string or a list")));
    }
    let parts = content.items().iter().enumerate();
    parts.map(|(nth, part)| read_part(part, &format!("{path}[{nth}]"), dropped)).collect()
}

/// Decodes a tool result. JSON other than a list of parts is taken as text.
pub(super) fn read_output<'a>(
    output: &Value<'a>,
    path: &str,
    dropped: &mut Vec<String>,
) -> Result<Vec<Piece<'a>>, Failure> {
    match output.is_object() {
        true => Ok(vec![Piece::Text { text: output.raw().into(), signature: None }]),
        false => read_content(output, path, dropped),
    }
}

fn read_part<'a>(
    part: &Value<'a>,
    path: &str,
    dropped: &mut Vec<String>,
) -> Result<Piece<'a>, Failure> {
    let part = Object::of(part, path)?;
    part.strangers(PART, dropped);
    Ok(match &*part.needed("type")? {
        "input_text" | "output_text" | "text" => {
            Piece::Text { text: part.needed("text")?, signature: None }
        }
        "refusal" => Piece::Refusal(part.needed("refusal")?),
        "input_image" => Piece::Media(read_image(part)?),
        "input_file" => Piece::Media(read_file(part)?),
        "input_audio" => Piece::Media(read_audio(part)?),
        _ => return Err(part.unknown("type")),
    })
}

fn read_image<'a>(part: Object<'_, 'a>) -> Result<Media<'a>, Failure> {
    let ((source, mime), member) = match (part.text("image_url")?, part.text("file_id")?) {
        (Some(url), _) => (read_url(part, "image_url", url)?, "image_url"),
        (None, Some(id)) => ((Source::File(id), None), "file_id"),
        (None, None) => return Err(part.missing("image_url")),
    };
    let detail = part.text("detail")?;
    let path = part.path(member);
    Ok(Media { kind: MediaKind::Image, source, mime, name: None, detail, path })
}

fn read_file<'a>(part: Object<'_, 'a>) -> Result<Media<'a>, Failure> {
    let name = part.text("filename")?;
    let data = part.text("file_data")?.filter(|data| !data.is_empty());
    let (source, mime, member) = if let Some(data) = data {
        let (source, mime) = match read_url(part, "file_data", data)? {
            (Source::Url(data), _) => (Source::Base64(data_url::standard(data)), None),
            inside => inside,
        };
        (source, Some(mime.unwrap_or_else(|| mime_of(name.as_deref()).into())), "file_data")
    } else if let Some(url) = part.text("file_url")? {
        let (source, mime) = read_url(part, "file_url", url)?;
        (source, mime, "file_url")
    } else if let Some(id) = part.text("file_id")? {
        (Source::File(id), None, "file_id")
    } else {
        return Err(part.missing("file_data"));
    };
    let kind = match mime.as_deref().and_then(|mime| mime.split_once('/')) {
        Some(("image", _)) => MediaKind::Image,
        Some(("audio", _)) => MediaKind::Audio,
        Some(("video", _)) => MediaKind::Video,
        _ => MediaKind::Document,
    };
    Ok(Media { kind, source, mime, name, detail: None, path: part.path(member) })
}

fn read_audio<'a>(part: Object<'_, 'a>) -> Result<Media<'a>, Failure> {
    let path = part.path("input_audio");
    let audio = part.object("input_audio")?.ok_or_else(|| part.missing("input_audio"))?;
    let audio = Object::of(audio, &path)?;
    let (data, format) = (audio.needed("data")?, audio.needed("format")?);
    Ok(Media {
        kind: MediaKind::Audio,
        source: Source::Base64(data_url::standard(data)),
        mime: Some(format!("audio/{format}").into()),
        name: None,
        detail: None,
        path,
    })
}

/// Reads an address, or the content of a `data:` address.
fn read_url<'a>(
    part: Object<'_, 'a>,
    member: &str,
    url: Cow<'a, str>,
) -> Result<(Source<'a>, Option<Cow<'a, str>>), Failure> {
    match data_url::read(url) {
        Address::Elsewhere(url) => Ok((Source::Url(url), None)),
        Address::Here(data, mime) => Ok((Source::Base64(data), mime)),
        Address::Plain => {
            let path = part.path(member);
            let message = format!("`{path}` is a data address that is not base64");
            Err(Failure::unsayable(path, message))
        }
    }
}

/// Returns the MIME type of a file by its name; PDF by default.
fn mime_of(name: Option<&str>) -> &'static str {
    let ending = name.and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending);
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("txt" | "log") => "text/plain",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("html" | "htm") => "text/html",
        Some("json") => "application/json",
        _ => "application/pdf",
    }
}
