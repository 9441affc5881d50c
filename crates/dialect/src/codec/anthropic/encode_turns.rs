//! The conversation for a Messages target: whose turn it is, and what stands where.
//!
//! User and assistant take turns, results of tools stand first in the turn behind their calls, and
//! a system message inside of the conversation stands behind a user's turn or becomes one.

use super::parts::{Part, results_first};
use crate::{
    Failure, Names, Profile,
    chat::{Piece, Request, Role, Turn},
    write::Object,
};

/// What is sent of the history.
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

impl<'r> Conversation<'r> {
    /// Puts the turns of a request in order.
    pub(super) fn read(
        request: &'r Request<'_>,
        profile: &Profile,
        names: &mut Names,
    ) -> Result<Self, Failure> {
        let leading = request.turns.iter().take_while(|turn| turn.role == Role::System).count();
        let (system, turns) = request.turns.split_at(leading);
        let mut conversation =
            Conversation { system: system.iter().flat_map(texts).collect(), messages: Vec::new() };
        let mut rest = turns;
        while !rest.is_empty() {
            let assistant = rest.iter().take_while(|turn| turn.role == Role::Assistant).count();
            let (said, behind) = rest.split_at(assistant);
            conversation.add("assistant", parts(said.iter(), names)?);
            let users = behind.iter().take_while(|turn| turn.role != Role::Assistant).count();
            let (asked, behind) = behind.split_at(users);
            conversation.ask(asked, profile, names)?;
            rest = behind;
        }
        Ok(conversation)
    }

    /// What stands between two turns of the model.
    fn ask(
        &mut self,
        turns: &'r [Turn<'_>],
        profile: &Profile,
        names: &mut Names,
    ) -> Result<(), Failure> {
        let users = || turns.iter().filter(|turn| turn.role == Role::User);
        let users = parts(users(), names)?;
        if profile.mid_conversation_system && !users.is_empty() {
            self.add("user", results_first(users));
            let system = turns.iter().filter(|turn| turn.role == Role::System);
            let system: Vec<_> = system.flat_map(texts).map(Part::Text).collect();
            if !system.is_empty() {
                self.messages.push(Message { role: "system", parts: system });
            }
            return Ok(());
        }
        let mut all = Vec::new();
        for turn in turns {
            match turn.role {
                Role::System => all.extend(texts(turn).map(Part::Reminder)),
                _ => all.append(&mut parts(std::iter::once(turn), names)?),
            }
        }
        self.add("user", results_first(all));
        Ok(())
    }

    /// Adds a message, or to the last one of the same role.
    fn add(&mut self, role: &'static str, mut parts: Vec<Part<'r>>) {
        if parts.is_empty() {
            return;
        }
        match self.messages.last_mut().filter(|last| last.role == role) {
            Some(last) => last.parts.append(&mut parts),
            None => self.messages.push(Message { role, parts }),
        }
    }

    /// Whether the model is to go on behind results of calls whose thoughts are not there: with
    /// thinking by a budget that is refused.
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

    /// Writes the system prompt, and behind it what the form of the answer asks for.
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

/// The texts of a system turn.
fn texts<'r>(turn: &'r Turn<'_>) -> impl Iterator<Item = &'r str> {
    turn.pieces.iter().filter_map(|piece| match piece {
        Piece::Text { text, .. } if !text.trim().is_empty() => Some(&**text),
        _ => None,
    })
}

fn parts<'r>(
    turns: impl Iterator<Item = &'r Turn<'r>>,
    names: &mut Names,
) -> Result<Vec<Part<'r>>, Failure> {
    let mut parts = Vec::new();
    for turn in turns {
        for piece in &turn.pieces {
            parts.extend(Part::read(piece, turn.role, names)?);
        }
    }
    Ok(parts)
}
