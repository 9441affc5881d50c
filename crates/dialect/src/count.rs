//! Estimates the input tokens of a request, for targets that cannot count them.
//!
//! The estimate uses the text only: four bytes per token for alphabetic scripts, one token per
//! character for others. Answers mark it as an estimate.

mod image;

use crate::chat::{Format, Media, MediaKind, Piece, Request, Source, Tool, ToolChoice};

/// Tokens of the envelope of a turn, a call or a tool.
const FRAME: u64 = 4;

/// Bytes of compressed speech per token: a second is about ten tokens.
const SOUND_BYTES_PER_TOKEN: u64 = 1_600;

/// Bytes of a PDF page, which is about [`PAGE`] tokens.
const PAGE_BYTES: u64 = 50_000;
const PAGE: u64 = 1_000;

/// Tokens of a document or video that the request refers to by address.
const ELSEWHERE: u64 = 1_500;

/// Returns the estimated input tokens of `request`; at least one.
pub fn estimate(request: &Request<'_>) -> u64 {
    let turns = request.turns.iter().map(|turn| add(FRAME, pieces(&turn.pieces)));
    let tools = request.tools.iter().map(tool);
    let sum = turns.chain(tools).fold(0, add);
    let choice = match request.tool_choice.as_ref().map(|said| &said.value) {
        Some(ToolChoice::Tool(name)) => add(FRAME, text(&name.text)),
        Some(ToolChoice::Among(names, _)) => names.iter().map(|n| text(&n.text)).fold(FRAME, add),
        _ => 0,
    };
    let format = match request.format.as_ref().map(|said| &said.value) {
        Some(Format::JsonSchema { name, description, schema, .. }) => {
            [name, description].into_iter().flatten().map(|t| text(t)).fold(text(schema.raw()), add)
        }
        Some(Format::JsonObject) | None => 0,
    };
    add(add(sum, choice), format).max(1)
}

/// Returns the estimated tokens of a text. Letters of Latin, Greek, Cyrillic and similar alphabets
/// have one or two bytes; characters of three bytes and more are mostly a token each.
fn text(text: &str) -> u64 {
    let thirds = text.bytes().filter(|byte| (0xe0..0xf0).contains(byte)).count();
    (bytes(text) + thirds as u64).div_ceil(4)
}

fn pieces(pieces: &[Piece<'_>]) -> u64 {
    pieces.iter().map(piece).fold(0, add)
}

fn piece(piece: &Piece<'_>) -> u64 {
    match piece {
        Piece::Text { text: said, .. } | Piece::Refusal(said) => text(said),
        Piece::Media(media) => medium(media),
        // Providers count the reasoning text, not its signature.
        Piece::Thinking { text: thought, .. } => text(thought),
        Piece::Call { name, input, .. } => FRAME + add(text(&name.text), text(input)),
        Piece::Result { content, .. } => add(FRAME, pieces(content)),
    }
}

fn tool(tool: &Tool<'_>) -> u64 {
    let namespace = tool.name.namespace.as_deref().map_or(0, text);
    let description = tool.description.as_deref().map_or(0, text);
    let schema = tool.schema.as_ref().map_or(0, |schema| text(schema.raw()));
    [text(&tool.name.text), namespace, description, schema].into_iter().fold(FRAME, add)
}

fn medium(media: &Media<'_>) -> u64 {
    let name = media.name.as_deref().map_or(0, text);
    let content = match (media.kind, &media.source) {
        (MediaKind::Image, source) => {
            let size = match source {
                Source::Base64(data) => image::size(data),
                Source::Url(_) | Source::Text(_) | Source::File(_) => None,
            };
            image::tokens(size, media.detail.as_deref())
        }
        (_, Source::Text(said)) => text(said),
        (MediaKind::Document, Source::Base64(data)) => {
            let bytes = bytes(data) / 4 * 3;
            match media.mime.as_deref() {
                Some(mime) if mime.starts_with("text/") => bytes.div_ceil(4),
                _ => bytes.div_ceil(PAGE_BYTES) * PAGE,
            }
        }
        (MediaKind::Audio, Source::Base64(data)) => {
            (bytes(data) / 4 * 3).div_ceil(SOUND_BYTES_PER_TOKEN)
        }
        (MediaKind::Audio | MediaKind::Document | MediaKind::Video, _) => ELSEWHERE,
    };
    add(name, content)
}

fn bytes(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX / 8)
}

fn add(a: u64, b: u64) -> u64 {
    a.saturating_add(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Value,
        chat::{Name, Role, Said, Turn},
    };

    fn said(text: &str) -> Piece<'_> {
        Piece::Text { text: text.into(), signature: None }
    }

    fn check(piece: Piece<'_>, tokens: u64) {
        let turns = vec![Turn { role: Role::User, pieces: vec![piece] }];
        let request = Request { turns, ..Request::default() };
        assert_eq!(estimate(&request), tokens + FRAME, "{request:?}");
    }

    #[test]
    fn four_bytes_are_a_token_and_so_is_a_character_without_letters() {
        check(said("Hello, world"), 3);
        check(said("Hello"), 2);
        check(said("привет, мир!"), 6);
        check(said("你好世界"), 4);
        check(said("こんにちは, 世界"), 8);
        check(said("😀😀"), 2);
        check(said(""), 0);
        assert_eq!(estimate(&Request::default()), 1);
    }

    #[test]
    fn calls_results_tools_and_schemas_count() {
        let name = || Name::plain("get_weather_");
        let input = r#"{"city":"x"}"#;
        let call =
            Piece::Call { id: "a".into(), name: name(), input: input.into(), signature: None };
        check(call, FRAME + 3 + 3);
        let content = vec![said("12 degrees C")];
        check(Piece::Result { id: "a".into(), name: None, content, is_error: false }, FRAME + 3);
        let schema = Value::of(r#"{"type":"object","properties":{}}"#).unwrap();
        let tools = vec![Tool {
            name: name(),
            description: Some("12345678".into()),
            schema: Some((&schema).into()),
            strict: None,
        }];
        let request = Request { tools, ..Request::default() };
        assert_eq!(estimate(&request), FRAME + 3 + 2 + 9);
        let format = Format::JsonSchema {
            name: Some("four".into()),
            description: None,
            schema: (&schema).into(),
            strict: None,
        };
        let format = Some(Said::new(format, "f"));
        assert_eq!(estimate(&Request { format, ..Request::default() }), 10);
    }

    #[test]
    fn media_count_by_their_size() {
        let media = |kind, source, mime: &'static str| {
            let (mime, path) = (Some(mime.into()), String::new());
            Piece::Media(Media { kind, source, mime, name: None, detail: None, path })
        };
        let data = "A".repeat(80_000);
        let inline = || Source::Base64(data.as_str().into());
        check(media(MediaKind::Document, inline(), "application/pdf"), 2_000);
        check(media(MediaKind::Document, inline(), "text/plain"), 15_000);
        check(media(MediaKind::Document, Source::Text("abcd".into()), "text/plain"), 1);
        check(media(MediaKind::Document, Source::Url("https://x".into()), ""), 1_500);
        check(media(MediaKind::Audio, inline(), "audio/mp3"), 38);
        check(media(MediaKind::Image, Source::Url("https://x".into()), ""), 765);
    }
}
