//! Blocks of content for a Messages target.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::tool_id;
use crate::{
    Failure, NameRule, Names, Signature, Value, Vendor,
    chat::{Media, MediaKind, Name, Piece, Role, Source},
    free_form,
    write::{self, Array, Object},
};

/// One block.
#[derive(Debug)]
pub(super) enum Part<'r> {
    Text(&'r str),
    /// The text of a system message where none is allowed.
    Reminder(&'r str),
    Thought {
        text: &'r str,
        signature: &'r Signature<'r>,
    },
    Call {
        id: Cow<'r, str>,
        name: String,
        input: Cow<'r, str>,
    },
    Result {
        id: Cow<'r, str>,
        content: Vec<Part<'r>>,
        is_error: bool,
    },
    Image(File<'r>),
    Document {
        title: Option<&'r str>,
        file: File<'r>,
    },
}

/// The location of an image or a document.
#[derive(Debug)]
pub(super) enum File<'r> {
    Url(&'r str),
    Base64 { mime: &'r str, data: &'r str },
    Text(Cow<'r, str>),
}

impl<'r> Part<'r> {
    /// Converts a piece; `None` for empty texts, which are refused, and for reasoning that is
    /// unsigned or signed by another provider.
    pub(super) fn read(
        piece: &'r Piece<'_>,
        role: Role,
        names: &mut Names,
    ) -> Result<Option<Part<'r>>, Failure> {
        Ok(Some(match piece {
            Piece::Text { text, .. } | Piece::Refusal(text) => {
                if text.trim().is_empty() {
                    return Ok(None);
                }
                Part::Text(text)
            }
            Piece::Thinking { text, signature } => match signature {
                Some(signature)
                    if signature.vendor == Vendor::Anthropic && role == Role::Assistant =>
                {
                    Part::Thought { text, signature }
                }
                _ => return Ok(None),
            },
            Piece::Call { id, name, input, .. } => Part::Call {
                id: tool_id::fit(id),
                name: names.tell(name, NameRule::Anthropic),
                input: arguments(name, input),
            },
            Piece::Result { id, content, is_error, .. } => {
                let mut parts = Vec::with_capacity(content.len());
                for piece in content {
                    parts.extend(Part::read(piece, Role::User, names)?);
                }
                Part::Result { id: tool_id::fit(id), content: parts, is_error: *is_error }
            }
            Piece::Media(media) if role == Role::Assistant => {
                return Err(refused(media, "this model takes no media in its own turns"));
            }
            Piece::Media(media) => return File::read(media),
        }))
    }

    pub(super) fn write(&self, a: &mut Array<'_>) {
        a.object(|o| match self {
            Part::Text(text) => {
                o.text("type", "text");
                o.text("text", text);
            }
            Part::Reminder(text) => {
                o.text("type", "text");
                o.joined("text", &["<system-reminder>\n", text, "\n</system-reminder>"]);
            }
            Part::Thought { signature, .. } if signature.redacted => {
                o.text("type", "redacted_thinking");
                o.text("data", &signature.data);
            }
            Part::Thought { text, signature } => {
                o.text("type", "thinking");
                o.text("thinking", text);
                o.text("signature", &signature.data);
            }
            Part::Call { id, name, input } => {
                o.text("type", "tool_use");
                o.text("id", id);
                o.text("name", name);
                o.raw("input", input);
            }
            Part::Result { id, content, is_error } => {
                o.text("type", "tool_result");
                o.text("tool_use_id", id);
                if !content.is_empty() {
                    o.array("content", |a| content.iter().for_each(|part| part.write(a)));
                }
                if *is_error {
                    o.bool("is_error", true);
                }
            }
            Part::Image(file) => {
                o.text("type", "image");
                file.write(o);
            }
            Part::Document { title, file } => {
                o.text("type", "document");
                file.write(o);
                o.text_if("title", *title);
            }
        });
    }
}

impl<'r> File<'r> {
    fn read(media: &'r Media<'_>) -> Result<Option<Part<'r>>, Failure> {
        let mime = media.mime.as_deref().unwrap_or_default();
        let title = media.name.as_deref().filter(|name| !name.is_empty());
        Ok(Some(match (media.kind, &media.source) {
            (MediaKind::Audio, _) => return Err(refused(media, "this model takes no audio")),
            (MediaKind::Video, _) => return Err(refused(media, "this model takes no video")),
            (_, Source::File(_)) => {
                return Err(refused(media, "a file in another vendor's account cannot be used"));
            }
            (MediaKind::Image, Source::Url(url)) => Part::Image(File::Url(url)),
            (MediaKind::Image, Source::Base64(data)) => {
                let mime = match mime {
                    "" => image_type(data),
                    "image/jpg" => "image/jpeg",
                    mime => mime,
                };
                Part::Image(File::Base64 { mime, data })
            }
            (MediaKind::Document, Source::Url(url)) => {
                Part::Document { title, file: File::Url(url) }
            }
            (_, Source::Text(text)) => {
                if text.trim().is_empty() {
                    return Ok(None);
                }
                Part::Document { title, file: File::Text(Cow::Borrowed(text)) }
            }
            (MediaKind::Document, Source::Base64(data)) => {
                let file = match mime.split(';').next().unwrap_or_default().trim() {
                    "" | "application/pdf" => File::Base64 { mime: "application/pdf", data },
                    mime if is_text(mime) => File::Text(decoded(media, data)?.into()),
                    _ => {
                        return Err(refused(
                            media,
                            "this model reads no documents but PDF and text",
                        ));
                    }
                };
                Part::Document { title, file }
            }
        }))
    }

    fn write(&self, o: &mut Object<'_>) {
        o.object("source", |o| match self {
            File::Url(url) => {
                o.text("type", "url");
                o.text("url", url);
            }
            File::Base64 { mime, data } => {
                o.text("type", "base64");
                o.text("media_type", mime);
                o.text("data", data);
            }
            File::Text(text) => {
                o.text("type", "text");
                o.text("media_type", "text/plain");
                o.text("data", text);
            }
        });
    }
}

/// Moves tool results to the front: other content before them is refused.
pub(super) fn results_first(parts: Vec<Part<'_>>) -> Vec<Part<'_>> {
    let (mut results, mut others): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|part| matches!(part, Part::Result { .. }));
    results.append(&mut others);
    results
}

/// Returns the input of a call as an object.
pub(super) fn arguments<'r>(name: &Name<'_>, input: &'r str) -> Cow<'r, str> {
    if name.free_form {
        return free_form::wrap(input).into();
    }
    if input.trim().is_empty() {
        return "{}".into();
    }
    match Value::of(input) {
        Ok(value) if value.is_object() => input.into(),
        Ok(value) if value.is_null() => "{}".into(),
        _ => write::object_text(|o| o.text("_raw", input)).into(),
    }
}

/// Returns the type of an image from the beginning of its data.
fn image_type(data: &str) -> &'static str {
    match data.as_bytes() {
        [b'/', b'9', b'j', b'/', ..] => "image/jpeg",
        [b'R', b'0', b'l', b'G', ..] => "image/gif",
        [b'U', b'k', b'l', b'G', ..] => "image/webp",
        _ => "image/png",
    }
}

fn is_text(mime: &str) -> bool {
    mime.starts_with("text/") || matches!(mime, "application/json" | "application/xml")
}

fn decoded(media: &Media<'_>, data: &str) -> Result<String, Failure> {
    let bytes = BASE64_STANDARD.decode(data).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| refused(media, "it is not text in base64"))
}

fn refused(media: &Media<'_>, why: &str) -> Failure {
    Failure::unsayable(&*media.path, format!("`{}`: {why}", media.path))
}
