//! Parts of a message or of a tool's result.

use super::encode_items::List;
use crate::{
    Failure,
    chat::{Media, MediaKind, Piece, Role, Source},
};

/// Writes a text, a medium or a refusal; nothing for what can stand in no list of parts.
pub(super) fn write_part(list: &mut List, piece: &Piece<'_>, role: Role) -> Result<(), Failure> {
    match piece {
        Piece::Text { text, .. } if role == Role::Assistant => {
            write_text(list, "output_text", text);
        }
        Piece::Text { text, .. } => write_text(list, "input_text", text),
        Piece::Refusal(text) => list.object(|o| {
            o.text("type", "refusal");
            o.text("refusal", text);
        }),
        Piece::Media(media) if role == Role::Assistant => {
            return Err(unsayable(media, "cannot stand in what the model said"));
        }
        Piece::Media(media) => return write_media(list, media),
        Piece::Thinking { .. } | Piece::Call { .. } | Piece::Result { .. } => {}
    }
    Ok(())
}

/// Writes a part of this type.
pub(super) fn write_text(list: &mut List, kind: &str, text: &str) {
    list.object(|o| {
        o.text("type", kind);
        o.text("text", text);
    });
}

/// Whether the words of a failed tool say so themselves.
pub(super) fn evident_error(content: &[Piece<'_>]) -> bool {
    let Some(Piece::Text { text, .. }) = content.first() else { return false };
    text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error"))
}

fn write_media(list: &mut List, media: &Media<'_>) -> Result<(), Failure> {
    if matches!(media.source, Source::File(_)) {
        return Err(unsayable(media, "is a file in the account of another provider"));
    }
    match media.kind {
        MediaKind::Image => write_image(list, media),
        MediaKind::Document => write_file(list, media),
        MediaKind::Audio => write_audio(list, media),
        MediaKind::Video => Err(unsayable(media, "is a video, which the model cannot see")),
    }
}

fn write_image(list: &mut List, media: &Media<'_>) -> Result<(), Failure> {
    if matches!(media.source, Source::Text(_)) {
        return Err(unsayable(media, "is an image without data"));
    }
    list.object(|o| {
        o.text("type", "input_image");
        match &media.source {
            Source::Base64(data) => {
                let mime = media.mime.as_deref().unwrap_or("image/png");
                o.joined("image_url", &["data:", mime, ";base64,", data]);
            }
            Source::Url(url) | Source::Text(url) | Source::File(url) => o.text("image_url", url),
        }
        // IMG-1: it must be there.
        o.text("detail", media.detail.as_deref().unwrap_or("auto"));
    });
    Ok(())
}

fn write_file(list: &mut List, media: &Media<'_>) -> Result<(), Failure> {
    match &media.source {
        // DOC-2.
        Source::Text(text) => match media.name.as_deref().filter(|name| !name.is_empty()) {
            Some(title) => write_text(list, "input_text", &format!("{title}\n\n{text}")),
            None => write_text(list, "input_text", text),
        },
        Source::Url(url) => list.object(|o| {
            o.text("type", "input_file");
            o.text("file_url", url);
        }),
        Source::Base64(data) | Source::File(data) => list.object(|o| {
            let mime = media.mime.as_deref().unwrap_or("application/pdf");
            let usual = usual_name(mime);
            o.text("type", "input_file");
            o.text("filename", media.name.as_deref().filter(|n| !n.is_empty()).unwrap_or(usual));
            o.joined("file_data", &["data:", mime, ";base64,", data]);
        }),
    }
    Ok(())
}

/// A name for a document that has none: its ending tells what it is.
fn usual_name(mime: &str) -> &'static str {
    match mime {
        "application/pdf" => "document.pdf",
        "text/markdown" => "document.md",
        "text/csv" => "document.csv",
        "text/html" => "document.html",
        "application/json" => "document.json",
        _ if mime.starts_with("text/") => "document.txt",
        _ => "document",
    }
}

fn write_audio(list: &mut List, media: &Media<'_>) -> Result<(), Failure> {
    let format = match media.mime.as_deref().and_then(|mime| mime.strip_prefix("audio/")) {
        Some("mp3" | "mpeg" | "mpga") => "mp3",
        Some("wav" | "x-wav" | "wave" | "vnd.wave") => "wav",
        _ => return Err(unsayable(media, "is a sound of a kind that the model cannot hear")),
    };
    let Source::Base64(data) = &media.source else {
        return Err(unsayable(media, "is a sound without data"));
    };
    list.object(|o| {
        o.text("type", "input_audio");
        o.object("input_audio", |o| {
            o.text("data", data);
            o.text("format", format);
        });
    });
    Ok(())
}

fn unsayable(media: &Media<'_>, why: &str) -> Failure {
    Failure::unsayable(&*media.path, format!("`{}` {why}", media.path))
}
