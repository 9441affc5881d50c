//! Encodes the conversation for a Messages target: the order of turns and of their content.
//!
//! User and assistant alternate, tool results are first in the turn after their calls, and a system
//! message inside the conversation follows a user turn or becomes one.

use super::parts::{Part, results_first};
use crate::{
    Failure, Names, Profile,
    chat::{Piece, Request, Role, Turn},
    write::Object,
};

/// The encoded history.
#[derive(Debug)]
pub(super) struct Conversation<'r> {
    system: Vec<&'r str>,
    messages: Vec<Message<'r>>,
}

#[derive(Debug)]
struct Message<'r> {
    role: &'static str,
    parts: Vec<Part<'r>>,
}

/// Content between two turns of the model.
#[derive(Debug)]
enum Asked<'r> {
    User(Part<'r>),
    System(&'r str),
}

impl<'r> Conversation<'r> {
    /// Arranges the turns of a request.
    pub(super) fn read(
        request: &'r Request<'_>,
        profile: &Profile,
        names: &mut Names,
    ) -> Result<Self, Failure> {
        let (system, turns) = request.prompt_and_turns();
        let mut conversation =
            Conversation { system: system.iter().flat_map(texts).collect(), messages: Vec::new() };
        let mut asked = Vec::new();
        for turn in turns {
            match turn.role {
                Role::System => asked.extend(texts(turn).map(Asked::System)),
                Role::User => asked.extend(parts(turn, names)?.into_iter().map(Asked::User)),
                Role::Assistant => {
                    let parts = parts(turn, names)?;
                    // An empty turn does not separate the user's turns.
                    if !parts.is_empty() {
                        conversation.ask(std::mem::take(&mut asked), profile);
                        conversation.add("assistant", parts);
                    }
                }
            }
        }
        conversation.ask(asked, profile);
        Ok(conversation)
    }

    /// Adds the content between two turns of the model.
    fn ask(&mut self, asked: Vec<Asked<'r>>, profile: &Profile) {
        let users = asked.iter().any(|asked| matches!(asked, Asked::User(_)));
        let apart = profile.mid_conversation_system && users;
        let (mut user, mut system) = (Vec::new(), Vec::new());
        for asked in asked {
            match asked {
                Asked::User(part) => user.push(part),
                Asked::System(text) if apart => system.push(Part::Text(text)),
                Asked::System(text) => user.push(Part::Reminder(text)),
            }
        }
        self.add("user", results_first(user));
        self.add("system", system);
    }

    /// Adds a message, or extends the last one of the same role.
    fn add(&mut self, role: &'static str, mut parts: Vec<Part<'r>>) {
        if parts.is_empty() {
            return;
        }
        match self.messages.last_mut().filter(|last| last.role == role) {
            Some(last) => last.parts.append(&mut parts),
            None => self.messages.push(Message { role, parts }),
        }
    }

    /// Whether the model continues after results of calls whose reasoning is missing: with a token
    /// budget this is refused.
    pub(super) fn continues_unsigned(&self) -> bool {
        let mut from_behind = self.messages.iter().rev().filter(|message| message.role != "system");
        let answered = from_behind.next().is_some_and(|message| {
            message.role == "user" && matches!(message.parts.first(), Some(Part::Result { .. }))
        });
        let called = from_behind.next().filter(|message| message.role == "assistant");
        answered
            && called
                .is_some_and(|message| !matches!(message.parts.first(), Some(Part::Thought { .. })))
    }

    /// Writes the system prompt, followed by the instruction for the format of the answer.
    pub(super) fn write_system(&self, o: &mut Object<'_>, format: Option<&str>) {
        if self.system.is_empty() && format.is_none() {
            return;
        }
        o.array("system", |a| {
            for text in self.system.iter().copied().chain(format) {
                Part::Text(text).write(a);
            }
        });
    }

    /// Writes the messages.
    pub(super) fn write_messages(&self, o: &mut Object<'_>) {
        o.array("messages", |a| {
            for message in &self.messages {
                a.object(|o| {
                    o.text("role", message.role);
                    o.array("content", |a| message.parts.iter().for_each(|part| part.write(a)));
                });
            }
        });
    }
}

/// Returns the texts of a system turn.
fn texts<'r>(turn: &'r Turn<'_>) -> impl Iterator<Item = &'r str> {
    turn.pieces.iter().filter_map(|piece| match piece {
        Piece::Text { text, .. } if !text.trim().is_empty() => Some(&**text),
        _ => None,
    })
}

/// Returns the parts of a turn that are sent.
fn parts<'r>(turn: &'r Turn<'_>, names: &mut Names) -> Result<Vec<Part<'r>>, Failure> {
    let mut parts = Vec::with_capacity(turn.pieces.len());
    for piece in &turn.pieces {
        parts.extend(Part::read(piece, turn.role, names)?);
    }
    Ok(parts)
}
