//! Decodes the items of `input` as turns of a conversation.
//!
//! Items are single; turns have a speaker. Everything that the model did while a call waits for its
//! result belongs to the turn of that call, and system messages in between follow the results: no
//! other dialect allows anything between the two.

use std::{borrow::Cow, collections::HashMap};

use super::{
    decode_answer::thought,
    decode_parts::{read_content, read_output},
    decode_tools::Toolbox,
    fields::{Object, drop_once},
};
use crate::{
    Failure, Signature, Value, Vendor,
    chat::{Name, Piece, Role, Turn},
    halves::mended,
};

/// Known members of items: those that are decoded, and bookkeeping.
const ITEM: &[&str] = &[
    "type",
    "id",
    "status",
    "role",
    "content",
    "phase",
    "call_id",
    "name",
    "namespace",
    "arguments",
    "input",
    "output",
    "summary",
    "encrypted_content",
    "caller",
    "created_by",
    "async",
];

/// The conversation so far.
#[derive(Debug)]
pub(super) struct History<'a> {
    turns: Vec<Turn<'a>>,
    /// The number of missing results, by the id of their call.
    results: HashMap<Cow<'a, str>, usize>,
    /// The calls whose results are missing.
    open: Vec<Cow<'a, str>>,
    /// The index of the turn of these calls.
    calling: usize,
    /// The system messages since then.
    held: Vec<Turn<'a>>,
}

impl<'a> History<'a> {
    /// Creates a decoder that appends `items` to `turns`.
    pub(super) fn new(items: &[Value<'a>], turns: Vec<Turn<'a>>) -> Self {
        let mut results = HashMap::new();
        for item in items.iter().filter(|item| is_output(item)) {
            if let Some(id) = item.get("call_id").cow() {
                *results.entry(id).or_default() += 1;
            }
        }
        Self { turns, results, open: Vec::new(), calling: 0, held: Vec::new() }
    }

    /// Returns all turns.
    pub(super) fn turns(mut self) -> Vec<Turn<'a>> {
        self.turns.append(&mut self.held);
        self.turns
    }

    /// Decodes the next item at `path`.
    pub(super) fn read(
        &mut self,
        item: &Value<'a>,
        path: &str,
        tools: &mut Toolbox<'a>,
        dropped: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let item = Object::of(item, path)?;
        let kind = match item.text("type")? {
            Some(kind) => kind,
            None if item.find("role").is_some() => "message".into(),
            None if item.find("id").is_some() => "item_reference".into(),
            None => return Err(item.missing("type")),
        };
        match &*kind {
            "message" => self.message(item, dropped)?,
            "function_call" => {
                let input = match item.find("arguments") {
                    Some(object) if object.is_object() => object.raw().into(),
                    _ => item.text("arguments")?.unwrap_or_default(),
                };
                self.call(item, mended(input), false)?;
            }
            "custom_tool_call" => {
                self.call(item, item.text("input")?.unwrap_or_default(), true)?;
            }
            "function_call_output" | "custom_tool_call_output" => self.result(item, dropped)?,
            "reasoning" => self.reasoning(item)?,
            "additional_tools" => {
                return tools.read(item.list("tools")?, &item.path("tools"), dropped);
            }
            "item_reference" => return Err(state(path, "an item of another answer")),
            kind if kind.starts_with("compaction") => {
                return Err(state(path, "a compacted conversation"));
            }
            // RS-IN-2: the work of hosted tools means nothing to another vendor, and what is not
            // known cannot be told.
            _ => {
                drop_once(dropped, "input");
                return Ok(());
            }
        }
        item.strangers(ITEM, dropped);
        Ok(())
    }

    fn message(&mut self, item: Object<'_, 'a>, dropped: &mut Vec<String>) -> Result<(), Failure> {
        let role = match &*item.needed("role")? {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" | "developer" => Role::System,
            _ => return Err(item.unknown("role")),
        };
        let content = item.find("content").ok_or_else(|| item.missing("content"))?;
        let pieces = read_content(content, &item.path("content"), dropped)?;
        match role {
            Role::System if self.open.is_empty() => self.turns.push(Turn { role, pieces }),
            Role::System => self.held.push(Turn { role, pieces }),
            Role::User => self.turn(Role::User).extend(pieces),
            Role::Assistant => self.turn(Role::Assistant).extend(pieces),
        }
        Ok(())
    }

    fn call(
        &mut self,
        item: Object<'_, 'a>,
        input: Cow<'a, str>,
        free_form: bool,
    ) -> Result<(), Failure> {
        let id = item.needed("call_id")?;
        let name =
            Name { text: item.needed("name")?, namespace: item.text("namespace")?, free_form };
        let pieces = self.turn(Role::Assistant);
        let signature = take_signature(pieces);
        pieces.push(Piece::Call { id: id.clone(), name, input, signature });
        if self.results.get(&id).is_some_and(|left| *left > 0) {
            if self.open.is_empty() {
                self.calling = self.turns.len() - 1;
            }
            self.open.push(id);
        }
        Ok(())
    }

    fn result(&mut self, item: Object<'_, 'a>, dropped: &mut Vec<String>) -> Result<(), Failure> {
        let id = item.needed("call_id")?;
        let output = item.find("output").ok_or_else(|| item.missing("output"))?;
        let content = read_output(output, &item.path("output"), dropped)?;
        let name = item.text("name")?;
        if let Some(left) = self.results.get_mut(&id) {
            *left = left.saturating_sub(1);
        }
        self.open.retain(|open| *open != id);
        self.turn(Role::User).push(Piece::Result { id, name, content, is_error: false });
        if self.open.is_empty() {
            self.turns.append(&mut self.held);
        }
        Ok(())
    }

    fn reasoning(&mut self, item: Object<'_, 'a>) -> Result<(), Failure> {
        item.list("summary")?;
        item.list("content")?;
        let text = thought(item.value());
        let signature = match item.find("encrypted_content") {
            None => None,
            Some(sealed) => {
                // Borrowed from the body where it can be, because these are long.
                let read = match item.text("encrypted_content")? {
                    Some(Cow::Borrowed(sealed)) => Signature::read(sealed, Vendor::Openai),
                    _ => Signature::read(sealed.text().unwrap_or_default(), Vendor::Openai)
                        .map(Signature::into_owned),
                };
                // An incomplete wrapped signature is useless.
                let Some(mut signature) = read else { return Ok(()) };
                if signature.vendor == Vendor::Openai && signature.id.is_none() {
                    signature.id = item.text("id")?;
                }
                Some(signature)
            }
        };
        if signature.is_some() || !text.is_empty() {
            self.turn(Role::Assistant).push(Piece::Thinking { text, signature });
        }
        Ok(())
    }

    /// Returns the pieces of the current turn of `role`.
    fn turn(&mut self, role: Role) -> &mut Vec<Piece<'a>> {
        let last = self.turns.len().wrapping_sub(1);
        let nth = match self.turns.get(last) {
            _ if role == Role::Assistant && !self.open.is_empty() => self.calling,
            Some(turn) if turn.role == role => last,
            _ => {
                self.turns.push(Turn { role, pieces: Vec::new() });
                self.turns.len() - 1
            }
        };
        &mut self.turns[nth].pieces
    }
}

/// SIG-3: a signature of Gemini's directly in front of a call is the signature of that call.
fn take_signature<'a>(pieces: &mut Vec<Piece<'a>>) -> Option<Signature<'a>> {
    let Some(Piece::Thinking { text, signature }) = pieces.last_mut() else { return None };
    let taken = signature.take_if(|signature| signature.is_of_next_call())?;
    if text.is_empty() {
        pieces.pop();
    }
    Some(taken)
}

fn is_output(item: &Value<'_>) -> bool {
    matches!(item.get("type").text(), Some("function_call_output" | "custom_tool_call_output"))
}

fn state(path: &str, what: &str) -> Failure {
    let message = format!("`{path}` is {what}, which only the provider that stored it can read");
    Failure::unsayable(path, message)
}
