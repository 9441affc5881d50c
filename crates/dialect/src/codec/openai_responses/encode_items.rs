//! A conversation as the items of `input`.

use super::encode_parts::{evident_error, write_part, write_text};
use crate::{
    Failure, NameRule, Names, Profile, Signature, Vendor,
    chat::{Piece, Request, Role, Turn},
    write,
};

/// What is told of the conversation.
#[derive(Debug)]
pub(super) struct Items {
    /// The leading texts of the system.
    pub(super) instructions: Option<String>,
    /// Everything else, as a JSON list.
    pub(super) input: String,
}

impl Items {
    /// Writes the conversation; what tools are called instead is kept in `names`.
    pub(super) fn encode(
        request: &Request<'_>,
        profile: &Profile,
        names: &mut Names,
    ) -> Result<Items, Failure> {
        let leading = request.turns.iter().take_while(|turn| is_plain_system(turn)).count();
        let (system, turns) = request.turns.split_at(leading);
        let texts: Vec<&str> =
            system.iter().flat_map(|turn| turn.pieces.iter().filter_map(text)).collect();
        let mut writer = Writer { list: List::default(), names, profile, free_form: Vec::new() };
        for turn in turns {
            writer.turn(turn)?;
        }
        Ok(Items {
            instructions: (!texts.is_empty()).then(|| texts.join("\n\n")),
            input: writer.list.whole(),
        })
    }
}

/// A JSON list that grows item by item.
#[derive(Debug, Default)]
pub(super) struct List {
    out: Vec<u8>,
}

impl List {
    pub(super) fn object(&mut self, fill: impl FnOnce(&mut write::Object<'_>)) {
        if !self.out.is_empty() {
            self.out.push(b',');
        }
        write::object(&mut self.out, fill);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The list with its brackets.
    pub(super) fn whole(self) -> String {
        let inner = String::from_utf8(self.out).expect("only text was written");
        format!("[{inner}]")
    }
}

#[derive(Debug)]
struct Writer<'r> {
    list: List,
    names: &'r mut Names,
    profile: &'r Profile,
    /// The calls of free-form tools: their results have a type of their own.
    free_form: Vec<&'r str>,
}

impl<'r> Writer<'r> {
    fn turn(&mut self, turn: &'r Turn<'r>) -> Result<(), Failure> {
        let mut content = List::default();
        for piece in &turn.pieces {
            match piece {
                Piece::Text { .. } | Piece::Media(_) | Piece::Refusal(_) => {
                    write_part(&mut content, piece, turn.role)?;
                    continue;
                }
                _ => self.message(turn.role, &mut content),
            }
            match piece {
                Piece::Thinking { text, signature } => self.reasoning(text, signature.as_ref()),
                Piece::Call { id, name, input, .. } => {
                    let told = self.names.tell(name, NameRule::Openai);
                    self.list.object(|o| {
                        let kind = ["function_call", "custom_tool_call"];
                        o.text("type", kind[usize::from(name.free_form)]);
                        o.text("call_id", id);
                        o.text("name", &told);
                        match name.free_form {
                            true => o.text("input", input),
                            false if input.trim().is_empty() => o.text("arguments", "{}"),
                            false => o.text("arguments", input),
                        }
                    });
                    if name.free_form {
                        self.free_form.push(id);
                    }
                }
                Piece::Result { id, content, is_error, .. } => {
                    self.result(id, content, *is_error)?;
                }
                _ => {}
            }
        }
        self.message(turn.role, &mut content);
        Ok(())
    }

    /// Writes what was said so far, if anything.
    fn message(&mut self, role: Role, content: &mut List) {
        if content.is_empty() {
            return;
        }
        let content = std::mem::take(content).whole();
        self.list.object(|o| {
            o.text("type", "message");
            o.text(
                "role",
                match role {
                    Role::System => "developer",
                    Role::User => "user",
                    Role::Assistant => "assistant",
                },
            );
            o.raw("content", &content);
        });
    }

    /// RSN-3, SIG-7: only what OpenAI has sealed goes back there.
    fn reasoning(&mut self, text: &str, signature: Option<&Signature<'_>>) {
        let own = signature
            .filter(|signature| signature.vendor == Vendor::Openai && self.profile.reasoning);
        let Some(signature) = own else { return };
        self.list.object(|o| {
            o.text("type", "reasoning");
            o.text_if("id", signature.id.as_deref());
            o.array("summary", |a| {
                if !text.is_empty() {
                    a.object(|o| {
                        o.text("type", "summary_text");
                        o.text("text", text);
                    });
                }
            });
            o.text("encrypted_content", &signature.data);
        });
    }

    fn result(
        &mut self,
        id: &'r str,
        content: &[Piece<'_>],
        is_error: bool,
    ) -> Result<(), Failure> {
        let mark = is_error && !evident_error(content);
        let kind = match self.free_form.contains(&id) {
            true => "custom_tool_call_output",
            false => "function_call_output",
        };
        let output = match content {
            [] => Output::Text(if mark { "Error" } else { "" }.to_owned()),
            [Piece::Text { text, .. }] if mark && text.is_empty() => {
                Output::Text("Error".to_owned())
            }
            [Piece::Text { text, .. }] if mark => Output::Text(format!("Error: {text}")),
            [Piece::Text { text, .. }] => Output::Text(text.to_string()),
            parts => {
                let mut list = List::default();
                if mark {
                    write_text(&mut list, "input_text", "Error:");
                }
                for part in parts {
                    write_part(&mut list, part, Role::User)?;
                }
                Output::Parts(list.whole())
            }
        };
        self.list.object(|o| {
            o.text("type", kind);
            o.text("call_id", id);
            match &output {
                Output::Text(text) => o.text("output", text),
                Output::Parts(list) => o.raw("output", list),
            }
        });
        Ok(())
    }
}

enum Output {
    Text(String),
    Parts(String),
}

/// Whether a turn of the system can stand in `instructions`, which hold only text.
fn is_plain_system(turn: &Turn<'_>) -> bool {
    turn.role == Role::System && turn.pieces.iter().all(|piece| matches!(piece, Piece::Text { .. }))
}

fn text<'p>(piece: &'p Piece<'_>) -> Option<&'p str> {
    match piece {
        Piece::Text { text, .. } if !text.is_empty() => Some(text),
        _ => None,
    }
}
