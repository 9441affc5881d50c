//! Encodes the conversation for Gemini: contents of two alternating speakers.
//!
//! Function results have their own content, in the order of the calls; other content of the user
//! follows. A call carries its own signature, or that of the reasoning directly before it.

use std::{borrow::Cow, collections::HashMap};

use super::encode_part::{Media, args, media, response};
use crate::{
    Failure, NameRule, Names, Profile, Signature, Vendor,
    chat::{Name, Piece, Request, Role, Turn},
    free_form,
    write::{self, Object},
};

/// The placeholder for the signature of a call that another model made.
const NO_PROOF: &str = "skip_thought_signature_validator";

/// The beginning of a block of Claude Code that only describes the client and differs in every
/// request.
const ATTRIBUTION: &str = "x-anthropic-billing-header:";

/// A conversation with encoded parts.
#[derive(Debug, Default)]
pub(super) struct Conversation<'r> {
    system: Vec<&'r str>,
    contents: Vec<(Role, Vec<u8>)>,
}

impl<'r> Conversation<'r> {
    /// Encodes the turns of a request.
    pub(super) fn read(
        request: &'r Request<'_>,
        profile: &Profile,
        names: &mut Names,
    ) -> Result<Self, Failure> {
        // Tools first: if two names collide, the one of the history is changed.
        for tool in &request.tools {
            names.tell(&tool.name, NameRule::Gemini);
        }
        let (system, turns) = request.prompt_and_turns();
        let texts = system.iter().flat_map(|turn| &turn.pieces).filter_map(|piece| match piece {
            Piece::Text { text, .. } => Some(&**text),
            _ => None,
        });
        let mut conversation = Conversation {
            system: texts
                .filter(|text| !text.is_empty() && !text.starts_with(ATTRIBUTION))
                .collect(),
            contents: Vec::new(),
        };
        let mut writer = Writer { profile, names, calls: HashMap::new() };
        let speaker = |turn: &Turn<'_>| turn.role == Role::Assistant;
        // An empty turn does not separate its neighbours.
        let turns: Vec<&Turn<'_>> =
            turns.iter().filter(|turn| !speaker(turn) || says_something(turn)).collect();
        for run in turns.chunk_by(|a, b| speaker(a) == speaker(b)) {
            match speaker(run[0]) {
                true => writer.model(run, &mut conversation.contents)?,
                false => writer.user(run, &mut conversation.contents)?,
            }
        }
        Ok(conversation)
    }

    /// Whether there is a system prompt.
    pub(super) fn has_system(&self) -> bool {
        !self.system.is_empty()
    }

    /// Writes `systemInstruction` and `contents`.
    pub(super) fn write(&self, o: &mut Object<'_>) {
        if self.has_system() {
            o.object("systemInstruction", |o| {
                o.array("parts", |a| {
                    for text in &self.system {
                        a.object(|o| o.text("text", text));
                    }
                });
            });
        }
        o.array("contents", |a| {
            for (role, parts) in &self.contents {
                let role = if *role == Role::Assistant { "model" } else { "user" };
                a.object(|o| {
                    o.text("role", role);
                    o.raw("parts", std::str::from_utf8(parts).unwrap_or("[]"));
                });
            }
        });
    }
}

/// The parts of one content while they are written.
#[derive(Debug, Default)]
struct Parts {
    out: Vec<u8>,
}

impl Parts {
    fn add(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        self.out.push(if self.out.is_empty() { b'[' } else { b',' });
        write::object(&mut self.out, fill);
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.add(|o| o.text("text", text));
        }
    }

    fn end(mut self, role: Role, contents: &mut Vec<(Role, Vec<u8>)>) {
        if !self.out.is_empty() {
            self.out.push(b']');
            contents.push((role, self.out));
        }
    }
}

struct Writer<'w, 'r> {
    profile: &'w Profile,
    names: &'w mut Names,
    /// The calls so far: their names and their positions in their turn.
    calls: HashMap<&'r str, (String, usize)>,
}

impl<'r> Writer<'_, 'r> {
    /// Writes consecutive turns of the model.
    fn model(
        &mut self,
        run: &[&'r Turn<'_>],
        contents: &mut Vec<(Role, Vec<u8>)>,
    ) -> Result<(), Failure> {
        let mut parts = Parts::default();
        let mut proof: Option<&str> = None;
        let mut calls = 0;
        for piece in run.iter().flat_map(|turn| &turn.pieces) {
            match piece {
                // Reasoning is not sent to another model; Gemini only requires its signature.
                Piece::Thinking { signature, .. } => proof = own(signature.as_ref()).or(proof),
                Piece::Text { text, signature } => {
                    let signed = own(signature.as_ref()).or_else(|| proof.take());
                    match signed {
                        Some(signed) => parts.add(|o| {
                            o.text("text", text);
                            o.text("thoughtSignature", signed);
                        }),
                        None => parts.text(text),
                    }
                }
                Piece::Refusal(text) => parts.text(text),
                Piece::Media(found) => self.media(found, &mut parts)?,
                Piece::Call { id, name, input, signature } => {
                    let placeholder =
                        (calls == 0 && self.profile.thought_signatures).then_some(NO_PROOF);
                    let signed = own(signature.as_ref()).or_else(|| proof.take()).or(placeholder);
                    self.call(id, name, input, signed, calls, &mut parts);
                    calls += 1;
                }
                Piece::Result { .. } => {}
            }
        }
        if let Some(signed) = proof.filter(|_| !parts.out.is_empty()) {
            parts.add(|o| {
                o.text("text", "");
                o.text("thoughtSignature", signed);
            });
        }
        parts.end(Role::Assistant, contents);
        Ok(())
    }

    fn call(
        &mut self,
        id: &'r str,
        name: &Name<'_>,
        input: &str,
        signed: Option<&str>,
        place: usize,
        parts: &mut Parts,
    ) {
        let told = self.names.tell(name, NameRule::Gemini);
        let input = match name.free_form {
            true => Cow::Owned(free_form::wrap(input)),
            false => args(input),
        };
        parts.add(|o| {
            o.object("functionCall", |o| {
                o.text_if("id", Some(id).filter(|_| self.profile.function_call_ids));
                o.text("name", &told);
                o.raw("args", &input);
            });
            o.text_if("thoughtSignature", signed);
        });
        self.calls.insert(id, (told, place));
    }

    /// Writes everything between two turns of the model.
    fn user(
        &mut self,
        run: &[&'r Turn<'_>],
        contents: &mut Vec<(Role, Vec<u8>)>,
    ) -> Result<(), Failure> {
        let mut results = Vec::new();
        let mut rest = Parts::default();
        let mut said = Parts::default();
        for turn in run {
            for piece in &turn.pieces {
                match piece {
                    Piece::Result { .. } => {
                        let place = self.result(piece, &mut rest)?;
                        results.push(place);
                    }
                    Piece::Text { text, .. } if turn.role == Role::System => {
                        if !text.is_empty() && !text.starts_with(ATTRIBUTION) {
                            let marked = format!("<system-reminder>\n{text}\n</system-reminder>");
                            said.text(&marked);
                        }
                    }
                    Piece::Text { text, .. } | Piece::Refusal(text) => said.text(text),
                    Piece::Media(found) => self.media(found, &mut said)?,
                    Piece::Thinking { .. } | Piece::Call { .. } => {}
                }
            }
        }
        results.sort_by_key(|(place, _)| *place);
        let mut answers = Parts::default();
        for (_, result) in results {
            answers.add(|o| o.raw("functionResponse", &result));
        }
        answers.end(Role::User, contents);
        if rest.out.is_empty() {
            rest = said;
        } else if !said.out.is_empty() {
            rest.out.push(b',');
            rest.out.extend_from_slice(&said.out[1..]);
        }
        rest.end(Role::User, contents);
        Ok(())
    }

    /// Writes a result and returns the position of its call. Media that it cannot contain go into
    /// `rest`.
    fn result(
        &mut self,
        piece: &'r Piece<'_>,
        rest: &mut Parts,
    ) -> Result<(usize, String), Failure> {
        let Piece::Result { id, name, content, is_error } = piece else {
            return Ok((usize::MAX, "{}".to_owned()));
        };
        let (told, place) = match self.calls.get(&**id) {
            Some((told, place)) => (told.clone(), *place),
            None => {
                let name = Name::plain(name.as_deref().unwrap_or(id));
                (self.names.tell(&name, NameRule::Gemini), usize::MAX)
            }
        };
        let mut texts: Vec<Cow<'_, str>> = Vec::new();
        let mut inside = Vec::new();
        for piece in content {
            match piece {
                Piece::Text { text, .. } | Piece::Refusal(text) => texts.push(Cow::Borrowed(text)),
                Piece::Media(found) => match media(found)? {
                    Media::Text(text) => texts.push(text),
                    Media::Part(part) if self.profile.multimodal_function_response => {
                        inside.push(part);
                    }
                    Media::Part(part) => rest.add(|o| part.write(o)),
                },
                _ => {}
            }
        }
        let result = write::object_text(|o| {
            o.text_if("id", Some(&**id).filter(|_| self.profile.function_call_ids));
            o.text("name", &told);
            o.raw("response", &response(&texts, *is_error));
            if !inside.is_empty() {
                o.array("parts", |a| inside.iter().for_each(|part| a.object(|o| part.write(o))));
            }
        });
        Ok((place, result))
    }

    fn media(&self, found: &crate::chat::Media<'_>, parts: &mut Parts) -> Result<(), Failure> {
        match media(found)? {
            Media::Text(text) => parts.text(&text),
            Media::Part(part) => parts.add(|o| part.write(o)),
        }
        Ok(())
    }
}

/// Whether a turn of the model has content that is sent. Reasoning is not sent, only its signature,
/// which needs another part.
fn says_something(turn: &Turn<'_>) -> bool {
    turn.pieces.iter().any(|piece| match piece {
        Piece::Text { text, signature } => !text.is_empty() || own(signature.as_ref()).is_some(),
        Piece::Refusal(text) => !text.is_empty(),
        Piece::Thinking { .. } | Piece::Result { .. } => false,
        Piece::Media(_) | Piece::Call { .. } => true,
    })
}

/// Returns Gemini's own signature; others are useless to it.
fn own<'s>(signature: Option<&'s Signature<'_>>) -> Option<&'s str> {
    // A signature that names its call is separate from it and fits no other part.
    let mine = |signature: &&Signature<'_>| {
        signature.vendor == Vendor::Gemini && signature.is_of_next_call()
    };
    signature.filter(mine).map(|signature| &*signature.data)
}
