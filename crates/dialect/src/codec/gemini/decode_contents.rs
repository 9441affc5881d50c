//! Decodes the conversation of a request.

use std::borrow::Cow;

use super::{
    decode_part::Part,
    fields::{each, list, nth, object, text, wrong},
    pairs::Pairs,
};
use crate::{
    Failure, Value, Vendor,
    chat::{Name, Piece, Role, Turn},
};

/// Decodes contents into turns.
#[derive(Debug)]
pub(super) struct Contents<'r, 'a> {
    turns: &'r mut Vec<Turn<'a>>,
    dropped: &'r mut Vec<String>,
    pairs: Pairs<'a>,
}

impl<'r, 'a> Contents<'r, 'a> {
    /// Creates a decoder that adds to `turns`, and to `dropped` what cannot be converted.
    pub(super) fn new(turns: &'r mut Vec<Turn<'a>>, dropped: &'r mut Vec<String>) -> Self {
        Self { turns, dropped, pairs: Pairs::default() }
    }

    /// Decodes the system prompt: a content, its parts, or plain text.
    pub(super) fn system(&mut self, value: &Value<'a>, path: &str) -> Result<(), Failure> {
        let mut pieces = Vec::new();
        if let Some((name, parts)) = parts_of(value) {
            self.parts(parts, &format!("{path}.{name}"), &mut pieces)?;
        } else {
            self.parts(value, path, &mut pieces)?;
        }
        self.turn(Role::System, pieces);
        Ok(())
    }

    /// Decodes the conversation: a list of contents or a single one.
    pub(super) fn contents(&mut self, value: &Value<'a>, path: &str) -> Result<(), Failure> {
        let all = list(value);
        if all.is_empty() {
            return Err(wrong(path, "a list with at least one content"));
        }
        for (n, content) in all.iter().enumerate() {
            self.content(content, &nth(value, path, n))?;
        }
        Ok(())
    }

    fn content(&mut self, content: &Value<'a>, path: &str) -> Result<(), Failure> {
        let mut role = Role::User;
        let mut parts = None;
        for (name, path, value) in each(object(content, path)?, path) {
            match &*name {
                "role" => {
                    role = match &*text(value, &path)? {
                        "" | "user" | "function" | "tool" => Role::User,
                        "model" => Role::Assistant,
                        "system" => Role::System,
                        _ => return Err(wrong(&path, "`user` or `model`")),
                    }
                }
                "parts" => parts = Some((path, value)),
                _ => self.dropped.push(path),
            }
        }
        // Google's SDKs store a streamed answer as one content per chunk.
        let goes_on = role == Role::Assistant
            && self.turns.last().is_some_and(|turn| turn.role == Role::Assistant);
        let mut pieces = match self.turns.pop_if(|_| goes_on) {
            Some(turn) => turn.pieces,
            None => Vec::new(),
        };
        if role == Role::Assistant && !goes_on {
            self.pairs.begin_turn();
        }
        if let Some((path, parts)) = parts {
            if !parts.is_array() && !parts.is_object() {
                return Err(wrong(&path, "a list of parts"));
            }
            self.parts(parts, &path, &mut pieces)?;
        }
        self.turn(role, pieces);
        Ok(())
    }

    fn parts(
        &mut self,
        parts: &Value<'a>,
        path: &str,
        pieces: &mut Vec<Piece<'a>>,
    ) -> Result<(), Failure> {
        for (n, part) in list(parts).iter().enumerate() {
            let path = nth(parts, path, n);
            if let Some(text) = part.cow() {
                pieces.push(Piece::Text { text, signature: None });
                continue;
            }
            match Part::read(object(part, &path)?, &path, self.dropped)? {
                Part::Piece(piece) => add(pieces, piece),
                Part::Call { id, name, input, signature } => {
                    let id = self.pairs.call(&name, id);
                    pieces.push(Piece::Call { id, name: Name::plain(name), input, signature });
                }
                Part::Result { id, name, content, is_error } => {
                    let id = self.pairs.result(&name, id);
                    let name = Some(name).filter(|name: &Cow<'_, str>| !name.is_empty());
                    pieces.push(Piece::Result { id, name, content, is_error });
                }
                Part::Nothing => {}
            }
        }
        Ok(())
    }

    fn turn(&mut self, role: Role, pieces: Vec<Piece<'a>>) {
        if !pieces.is_empty() {
            self.turns.push(Turn { role, pieces });
        }
    }
}

/// Adds a piece; reasoning continues until its signature comes.
fn add<'a>(pieces: &mut Vec<Piece<'a>>, piece: Piece<'a>) {
    if let Piece::Thinking { text, signature } = &piece
        && let Some(Piece::Thinking { text: known, signature: open }) = pieces.last_mut()
        && open.as_ref().is_some_and(|signature| signature.vendor == Vendor::Unsigned)
    {
        known.to_mut().push_str(text);
        open.clone_from(signature);
        return;
    }
    pieces.push(piece);
}

/// Returns the parts of a content and the name of their member.
fn parts_of<'v, 'a>(content: &'v Value<'a>) -> Option<(&'static str, &'v Value<'a>)> {
    content.find("parts").map(|parts| ("parts", parts))
}
