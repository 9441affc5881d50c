//! Encodes the history as messages.
//!
//! Between two turns of the model results come first, one message each, because calls must be
//! answered before anything else. Their images follow in a user message, because results are text
//! here.

use std::{borrow::Cow, fmt::Write};

use super::signatures::Signatures;
use crate::{
    Failure, NameRule, Names, Profile, SystemRole, Target, Vendor,
    chat::{Media, MediaKind, Piece, Role, Source, Turn},
    free_form,
    write::{Array, Object},
};

/// The beginning of a block that Claude Code puts before its system prompt: it describes the client
/// and differs in every call, which would spoil prompt caches.
const ATTRIBUTION: &str = "x-anthropic-billing-header:";

pub(super) fn encode(
    turns: &[Turn<'_>],
    Target { model, profile }: Target<'_>,
    names: &mut Names,
    list: &mut Array<'_>,
) -> Result<(), Failure> {
    let mut writer = Writer { model, profile, names, list };
    let mut rest = turns;
    while let Some(first) = rest.first() {
        let mine = first.role == Role::Assistant;
        let end = rest.iter().position(|turn| (turn.role == Role::Assistant) != mine);
        let (run, behind) = rest.split_at(end.unwrap_or(rest.len()));
        if mine {
            writer.answers(run)?;
        } else {
            writer.questions(run)?;
        }
        rest = behind;
    }
    Ok(())
}

struct Writer<'w, 'l> {
    model: &'w str,
    profile: &'w Profile,
    names: &'w mut Names,
    list: &'w mut Array<'l>,
}

impl Writer<'_, '_> {
    /// Writes the content between two turns of the model.
    fn questions(&mut self, run: &[Turn<'_>]) -> Result<(), Failure> {
        let mut moved: Vec<&Media<'_>> = Vec::new();
        for piece in run.iter().flat_map(|turn| &turn.pieces) {
            if let Piece::Result { id, content, is_error, .. } = piece {
                let text = result_text(content, *is_error, &mut moved);
                self.list.object(|o| {
                    o.text("role", "tool");
                    o.text("tool_call_id", id);
                    o.text("content", &text);
                });
            }
        }
        for turn in run {
            if turn.role == Role::System {
                self.flush(&mut moved)?;
                self.system(turn)?;
            } else {
                let own = turn.pieces.iter().filter(|it| !matches!(it, Piece::Result { .. }));
                let own: Vec<&Piece<'_>> = own.collect();
                if !own.is_empty() {
                    self.user(&std::mem::take(&mut moved), &own)?;
                }
            }
        }
        self.flush(&mut moved)
    }

    fn flush(&mut self, moved: &mut Vec<&Media<'_>>) -> Result<(), Failure> {
        match std::mem::take(moved) {
            moved if moved.is_empty() => Ok(()),
            moved => self.user(&moved, &[]),
        }
    }

    fn system(&mut self, turn: &Turn<'_>) -> Result<(), Failure> {
        let role = match self.profile.system_role {
            SystemRole::System => "system",
            SystemRole::Developer => "developer",
        };
        for piece in &turn.pieces {
            match piece {
                Piece::Text { text, .. } if text.starts_with(ATTRIBUTION) => {}
                Piece::Text { text, .. } => self.list.object(|o| {
                    o.text("role", role);
                    o.text("content", text);
                }),
                Piece::Media(media) => {
                    return Err(unreadable(media, "system messages are text only"));
                }
                // A system prompt has no other content.
                _ => {}
            }
        }
        Ok(())
    }

    fn user(&mut self, moved: &[&Media<'_>], own: &[&Piece<'_>]) -> Result<(), Failure> {
        let mut result = Ok(());
        self.list.object(|o| {
            o.text("role", "user");
            if let ([], [Piece::Text { text, .. }]) = (moved, own) {
                return o.text("content", text);
            }
            o.array("content", |list| {
                result = moved.iter().try_for_each(|it| media(list, it)).and_then(|()| {
                    own.iter().try_for_each(|piece| match piece {
                        Piece::Text { text, .. } | Piece::Refusal(text) => {
                            text_part(list, text);
                            Ok(())
                        }
                        Piece::Media(it) => media(list, it),
                        // A user turn has no other content.
                        _ => Ok(()),
                    })
                });
            });
        });
        result
    }

    /// Writes consecutive turns of the model. One with calls is merged with the next, because
    /// nothing may come between calls and their results.
    fn answers(&mut self, run: &[Turn<'_>]) -> Result<(), Failure> {
        let mut pieces: Vec<&Piece<'_>> = Vec::new();
        for turn in run {
            pieces.extend(&turn.pieces);
            if !pieces.iter().any(|piece| matches!(piece, Piece::Call { .. })) {
                self.answer(&std::mem::take(&mut pieces))?;
            }
        }
        self.answer(&pieces)
    }

    fn answer(&mut self, pieces: &[&Piece<'_>]) -> Result<(), Failure> {
        let (mut text, mut refusal, mut thought) = (String::new(), String::new(), String::new());
        let mut calls = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text { text: more, .. } => text.push_str(more),
                Piece::Refusal(more) => refusal.push_str(more),
                Piece::Thinking { text: more, signature } => {
                    // Signed reasoning is only for the provider that signed it.
                    if signature
                        .as_ref()
                        .is_none_or(|signature| signature.vendor == Vendor::Unsigned)
                    {
                        thought.push_str(more);
                    }
                }
                Piece::Media(media) => {
                    return Err(unreadable(media, "the model's own messages are text only"));
                }
                Piece::Call { id, name, input, .. } => calls.push((id, name, input)),
                Piece::Result { .. } => {}
            }
        }
        if text.is_empty() && refusal.is_empty() && calls.is_empty() {
            return Ok(());
        }
        let proofs = Signatures::of(pieces, self.model, self.profile);
        self.list.object(|o| {
            o.text("role", "assistant");
            match text.is_empty() {
                true => o.null("content"),
                false => o.text("content", &text),
            }
            if !refusal.is_empty() {
                o.text("refusal", &refusal);
            }
            if !calls.is_empty() && !thought.is_empty() && self.profile.reasoning_content {
                o.text("reasoning_content", &thought);
            }
            if !calls.is_empty() {
                proofs.write_message(o);
                o.array("tool_calls", |list| {
                    for (id, name, input) in calls {
                        let told = self.names.tell(name, NameRule::Openai);
                        list.object(|o| {
                            call(o, id, &told, &arguments(input, name.free_form));
                            proofs.write_call(o, id);
                        });
                    }
                });
            }
        });
        Ok(())
    }
}

fn call(o: &mut Object<'_>, id: &str, name: &str, arguments: &str) {
    o.text("id", id);
    o.text("type", "function");
    o.object("function", |o| {
        o.text("name", name);
        o.text("arguments", arguments);
    });
}

fn arguments<'t>(input: &'t str, free_form: bool) -> Cow<'t, str> {
    match input {
        _ if free_form => free_form::wrap(input).into(),
        "" => "{}".into(),
        input => input.into(),
    }
}

/// Returns a result as text. Other content moves after the results, and the text mentions it.
fn result_text<'p>(
    content: &'p [Piece<'p>],
    is_error: bool,
    moved: &mut Vec<&'p Media<'p>>,
) -> String {
    let mut lines: Vec<Cow<'_, str>> = Vec::new();
    let before = moved.len();
    for piece in content {
        match piece {
            Piece::Text { text, .. } | Piece::Refusal(text) => lines.push(Cow::Borrowed(text)),
            Piece::Media(media) => match &media.source {
                Source::Text(text) => lines.push(titled(media, text)),
                _ => moved.push(media),
            },
            _ => {}
        }
    }
    let mut text = lines.join("\n");
    let evident = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error"));
    if is_error && !evident {
        text.insert_str(0, if text.is_empty() { "Error" } else { "Error: " });
    }
    let count = moved.len() - before;
    if count > 0 {
        let gap = if text.is_empty() { "" } else { "\n" };
        let (files, are) = if count == 1 { ("file", "is") } else { ("files", "are") };
        let told = "in the user message behind the results of the tools";
        write!(text, "{gap}[{count} {files} of this result {are} {told}]")
            .expect("a text can always grow");
    }
    text
}

fn titled<'t>(media: &Media<'_>, text: &'t str) -> Cow<'t, str> {
    match &media.name {
        Some(name) if !name.is_empty() => Cow::Owned(format!("{name}\n\n{text}")),
        _ => Cow::Borrowed(text),
    }
}

fn text_part(list: &mut Array<'_>, text: &str) {
    list.object(|o| {
        o.text("type", "text");
        o.text("text", text);
    });
}

fn media(list: &mut Array<'_>, media: &Media<'_>) -> Result<(), Failure> {
    match (&media.source, media.kind) {
        (Source::Text(text), _) => text_part(list, &titled(media, text)),
        (Source::File(_), _) => {
            return Err(unreadable(media, "a file id is known only to the vendor that gave it"));
        }
        (Source::Url(url), MediaKind::Image) => image(list, media, &[url]),
        (Source::Base64(data), MediaKind::Image) => {
            let mime = media.mime.as_deref().unwrap_or("image/png");
            image(list, media, &["data:", mime, ";base64,", data]);
        }
        (Source::Base64(data), MediaKind::Document) => document(list, media, data),
        (Source::Base64(data), MediaKind::Audio) => list.object(|o| {
            o.text("type", "input_audio");
            o.object("input_audio", |o| {
                o.text("data", data);
                o.text("format", sound_format(media.mime.as_deref()));
            });
        }),
        (_, MediaKind::Video) => return Err(unreadable(media, "this model does not take video")),
        (Source::Url(_), _) => {
            return Err(unreadable(media, "this model takes only images by their address"));
        }
    }
    Ok(())
}

fn image(list: &mut Array<'_>, media: &Media<'_>, url: &[&str]) {
    list.object(|o| {
        o.text("type", "image_url");
        o.object("image_url", |o| {
            o.joined("url", url);
            let known = |detail: &&str| matches!(*detail, "auto" | "low" | "high");
            o.text_if("detail", media.detail.as_deref().filter(known));
        });
    });
}

fn document(list: &mut Array<'_>, media: &Media<'_>, data: &str) {
    let mime = media.mime.as_deref().unwrap_or("application/pdf");
    let made_up = match mime {
        "application/pdf" => "document.pdf",
        "text/csv" => "document.csv",
        "text/markdown" => "document.md",
        "text/html" => "document.html",
        "application/json" => "document.json",
        _ => "document.txt",
    };
    list.object(|o| {
        o.text("type", "file");
        o.object("file", |o| {
            let name = media.name.as_deref().filter(|name| !name.is_empty());
            o.text("filename", name.unwrap_or(made_up));
            o.joined("file_data", &["data:", mime, ";base64,", data]);
        });
    });
}

fn sound_format(mime: Option<&str>) -> &str {
    let subtype = mime.and_then(|mime| mime.split_once('/')).map_or("wav", |(_, subtype)| subtype);
    match subtype.split(';').next().unwrap_or(subtype) {
        "x-wav" | "wave" | "vnd.wave" => "wav",
        "mpeg" | "mpeg3" | "x-mp3" => "mp3",
        subtype => subtype,
    }
}

fn unreadable(media: &Media<'_>, why: &str) -> Failure {
    Failure::unsayable(media.path.clone(), format!("`{}`: {why}", media.path))
}
