//! Decodes the messages of a Messages client.

use std::borrow::Cow;

use super::{
    decode_faults::{bad, unknown},
    decode_tools::Change,
};
use crate::{
    Failure, Signature, Value, Vendor,
    chat::{Effort, Media, MediaKind, Name, Piece, Role, Said, Source, Turn},
    halves::mended,
};

/// The beginning of a block of Claude Code that describes the client and differs in every request.
const BILLING: &str = "x-anthropic-billing-header:";

/// The supported types of blocks.
const KINDS: &[&str] = &[
    "text",
    "image",
    "document",
    "search_result",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "tool_result",
    "tool_reference",
    "tool_addition",
    "tool_removal",
];

/// Known members of blocks: those that are decoded, hints to the provider, and members that the
/// provider adds.
const KNOWN_OF_BLOCK: &[&str] = &[
    "type",
    "text",
    "citations",
    "cache_control",
    "source",
    "title",
    "context",
    "content",
    "thinking",
    "signature",
    "data",
    "id",
    "name",
    "input",
    "caller",
    "tool_use_id",
    "tool_name",
    "tool",
    "is_error",
    "file_id",
];

/// The place of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    User,
    Assistant,
    /// In a tool result or a document.
    Result,
}

impl Place {
    fn takes(self, kind: &str) -> bool {
        match kind {
            "tool_use" | "thinking" | "redacted_thinking" => self == Place::Assistant,
            "tool_result" => self == Place::User,
            "tool_reference" => self == Place::Result,
            "tool_addition" | "tool_removal" => false,
            _ => true,
        }
    }
}

/// Decodes messages and notes what other dialects cannot express.
#[derive(Debug)]
pub(super) struct History<'d, 'a> {
    dropped: &'d mut Vec<String>,
    /// Changes of the tools in the conversation, with their paths.
    changes: Vec<(String, Change<'a>)>,
    /// The effort that the last system message asked for.
    effort: Option<Said<'a, Effort>>,
}

impl<'d, 'a> History<'d, 'a> {
    pub(super) fn new(dropped: &'d mut Vec<String>) -> Self {
        Self { dropped, changes: Vec::new(), effort: None }
    }

    /// Returns the changes of the tools and the effort of the last turn.
    pub(super) fn end(self) -> (Vec<(String, Change<'a>)>, Option<Said<'a, Effort>>) {
        (self.changes, self.effort)
    }

    /// Decodes the message at this index; `asked` is the index of the last user message.
    pub(super) fn turn(
        &mut self,
        message: &Value<'a>,
        at: usize,
        asked: Option<usize>,
    ) -> Result<Turn<'a>, Failure> {
        let path = format!("messages[{at}]");
        let role = match message.get("role").text() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("system") => Role::System,
            _ => {
                let field = format!("{path}.role");
                return Err(bad(&field, format!("`{field}` must be user, assistant or system")));
            }
        };
        let known: &[&str] = match role {
            Role::System => &["role", "content", "output_config", "clear_at"],
            _ => &["role", "content"],
        };
        unknown(message, known, &format!("{path}."), self.dropped);
        if role == Role::System {
            self.effort(message.get("output_config"), &format!("{path}.output_config"))?;
        }
        let path = format!("{path}.content");
        let content = message.get("content");
        // It applied to the following turn only.
        let cleared = message.get("clear_at").text() == Some("next_user_message")
            && asked.is_some_and(|asked| asked > at);
        let pieces = match role {
            Role::System => {
                let pieces = self.system(content, &path)?;
                if cleared { Vec::new() } else { pieces }
            }
            Role::User => self.content(content, Place::User, &path)?,
            Role::Assistant => {
                signatures_to_calls(self.content(content, Place::Assistant, &path)?)
            }
        };
        Ok(Turn { role, pieces })
    }

    fn effort(&mut self, config: &Value<'a>, path: &str) -> Result<(), Failure> {
        unknown(config, &["effort"], &format!("{path}."), self.dropped);
        if let Some(value) = config.find("effort") {
            let path = format!("{path}.effort");
            self.effort = Some(Said::new(effort(value, &path)?, path));
        }
        Ok(())
    }

    /// Decodes a system message inside the conversation, which may also change the tools.
    fn system(&mut self, content: &Value<'a>, path: &str) -> Result<Vec<Piece<'a>>, Failure> {
        let changes = |block: &Value<'_>| {
            matches!(block.get("type").text(), Some("tool_addition" | "tool_removal"))
        };
        let mut texts = Vec::new();
        for (at, block) in content.items().iter().enumerate() {
            let path = format!("{path}[{at}]");
            if changes(block) {
                unknown(
                    block,
                    &["type", "tool", "cache_control"],
                    &format!("{path}."),
                    self.dropped,
                );
                self.change(block, path);
            } else {
                texts.extend(system_block(block, &path)?);
            }
        }
        match content.is_array() {
            true => Ok(texts),
            // A message that only sets the effort has no content.
            false if content.is_null() => Ok(Vec::new()),
            false => system_text(content, path),
        }
    }

    fn change(&mut self, block: &Value<'a>, path: String) {
        let tool = block.get("tool");
        let adds = block.get("type").text() == Some("tool_addition");
        match (tool.get("type").text(), tool.get("name").cow(), tool.find("definition")) {
            (Some("tool_definition"), _, Some(definition)) if adds => {
                self.changes.push((path, Change::Define(definition.clone())));
            }
            (Some("tool_reference"), Some(name), _) => {
                let change = if adds { Change::Offer(name) } else { Change::Withdraw(name) };
                self.changes.push((path, change));
            }
            // Tools of servers that Anthropic calls exist only there.
            _ => self.note(path),
        }
    }

    /// Decodes a text or a list of blocks.
    fn content(
        &mut self,
        content: &Value<'a>,
        place: Place,
        path: &str,
    ) -> Result<Vec<Piece<'a>>, Failure> {
        if let Some(text) = content.cow() {
            return Ok(vec![plain(text)]);
        }
        if !content.is_array() {
            return Err(bad(path, format!("`{path}` must be a string or a list of blocks")));
        }
        let mut pieces = Vec::with_capacity(content.items().len());
        for (at, block) in content.items().iter().enumerate() {
            self.block(block, place, format!("{path}[{at}]"), &mut pieces)?;
        }
        Ok(pieces)
    }

    fn block(
        &mut self,
        block: &Value<'a>,
        place: Place,
        path: String,
        pieces: &mut Vec<Piece<'a>>,
    ) -> Result<(), Failure> {
        let Some(kind) = block.get("type").text() else {
            let field = format!("{path}.type");
            return Err(bad(&field, format!("`{field}` is required")));
        };
        if !place.takes(kind) {
            let message = format!("`{path}`: a block of type {kind} cannot stand here");
            return Err(bad(&path, message));
        }
        // Members of unsupported blocks are not reported one by one.
        if KINDS.contains(&kind) {
            unknown(block, KNOWN_OF_BLOCK, &format!("{path}."), self.dropped);
        }
        match kind {
            "text" => pieces.push(plain(string(block, "text", &path)?)),
            "image" => pieces.push(media(MediaKind::Image, block, path)?),
            "document" => self.document(block, path, pieces)?,
            "search_result" => found(block, pieces),
            "thinking" => {
                let text = string(block, "thinking", &path)?;
                let signature = block.get("signature").text().filter(|text| !text.is_empty());
                // An incomplete wrapped signature is useless to every provider.
                let signature = signature.and_then(|text| Signature::read(text, Vendor::Anthropic));
                pieces.push(Piece::Thinking {
                    text,
                    signature: signature.map(Signature::into_owned),
                });
            }
            "redacted_thinking" => {
                let data = string(block, "data", &path)?;
                let signature =
                    Signature { redacted: true, ..Signature::new(Vendor::Anthropic, data) };
                pieces.push(Piece::Thinking { text: "".into(), signature: Some(signature) });
            }
            "tool_use" => pieces.push(Piece::Call {
                id: string(block, "id", &path)?,
                name: Name::plain(string(block, "name", &path)?),
                input: mended(block.find("input").map_or("", Value::raw).into()),
                signature: None,
            }),
            "tool_result" => {
                let content = match block.find("content") {
                    Some(content) => {
                        self.content(content, Place::Result, &format!("{path}.content"))?
                    }
                    None => Vec::new(),
                };
                pieces.push(Piece::Result {
                    id: string(block, "tool_use_id", &path)?,
                    name: None,
                    content,
                    is_error: block.get("is_error").bool().unwrap_or(false),
                });
            }
            // A result of a tool search: its name is enough for other models, because the tool is
            // offered from here on.
            "tool_reference" => {
                let name = string(block, "tool_name", &path)?;
                self.changes.push((path, Change::Offer(name.clone())));
                pieces.push(plain(name));
            }
            "container_upload" => return Err(in_account(path)),
            _ if is_hosted(kind) => self.note("tools".to_owned()),
            _ => self.note(path),
        }
        Ok(())
    }

    fn document(
        &mut self,
        block: &Value<'a>,
        path: String,
        pieces: &mut Vec<Piece<'a>>,
    ) -> Result<(), Failure> {
        if block.get("citations").get("enabled").bool() == Some(true) {
            self.note(format!("{path}.citations"));
        }
        if let Some(context) = block.get("context").cow().filter(|context| !context.is_empty()) {
            pieces.push(plain(context));
        }
        let source = block.get("source");
        if source.get("type").text() != Some("content") {
            pieces.push(media(MediaKind::Document, block, path)?);
            return Ok(());
        }
        if let Some(title) = block.get("title").cow().filter(|title| !title.is_empty()) {
            pieces.push(plain(title));
        }
        let path = format!("{path}.source.content");
        pieces.append(&mut self.content(source.get("content"), Place::Result, &path)?);
        Ok(())
    }

    fn note(&mut self, path: String) {
        if !self.dropped.contains(&path) {
            self.dropped.push(path);
        }
    }
}

/// Decodes a system prompt, or a system message inside the conversation.
pub(super) fn system_text<'a>(content: &Value<'a>, path: &str) -> Result<Vec<Piece<'a>>, Failure> {
    if let Some(text) = content.cow() {
        return Ok(if tells(&text) { vec![plain(text)] } else { Vec::new() });
    }
    if !content.is_array() {
        return Err(bad(path, format!("`{path}` must be a string or a list of text blocks")));
    }
    let mut pieces = Vec::with_capacity(content.items().len());
    for (at, block) in content.items().iter().enumerate() {
        pieces.extend(system_block(block, &format!("{path}[{at}]"))?);
    }
    Ok(pieces)
}

fn system_block<'a>(block: &Value<'a>, path: &str) -> Result<Option<Piece<'a>>, Failure> {
    let text = string(block, "text", path)?;
    Ok(tells(&text).then(|| plain(text)))
}

fn tells(text: &str) -> bool {
    !text.trim_start().starts_with(BILLING)
}

fn plain(text: Cow<'_, str>) -> Piece<'_> {
    Piece::Text { text, signature: None }
}

fn string<'a>(block: &Value<'a>, name: &str, path: &str) -> Result<Cow<'a, str>, Failure> {
    block.get(name).cow().ok_or_else(|| {
        let field = format!("{path}.{name}");
        bad(&field, format!("`{field}` must be a string"))
    })
}

fn media<'a>(kind: MediaKind, block: &Value<'a>, path: String) -> Result<Piece<'a>, Failure> {
    let source = block.get("source");
    let at = format!("{path}.source");
    let mime = source.get("media_type").cow();
    let name = block.get("title").cow();
    let media = |source, mime, path| {
        Ok(Piece::Media(Media { kind, source, mime, name, detail: None, path }))
    };
    match source.get("type").text() {
        Some("base64") => media(Source::Base64(string(source, "data", &at)?), mime, path),
        Some("url") => media(Source::Url(string(source, "url", &at)?), mime, path),
        Some("file") => {
            let id = string(source, "file_id", &at)?;
            media(Source::File(id), mime, format!("{at}.file_id"))
        }
        Some("text") if kind == MediaKind::Document => {
            let plain = mime.or(Some("text/plain".into()));
            media(Source::Text(string(source, "data", &at)?), plain, path)
        }
        _ => {
            let field = format!("{at}.type");
            Err(bad(&field, format!("`{field}` must be base64, url or file")))
        }
    }
}

/// Decodes search results of the client: texts with their titles and sources.
fn found<'a>(block: &Value<'a>, pieces: &mut Vec<Piece<'a>>) {
    let about = ["title", "source"].into_iter().filter_map(|name| block.get(name).text());
    let about: Vec<&str> = about.filter(|text| !text.is_empty()).collect();
    if !about.is_empty() {
        pieces.push(plain(about.join("\n").into()));
    }
    let texts = block.get("content").items().iter().filter_map(|text| text.get("text").cow());
    pieces.extend(texts.map(plain));
}

/// Whether a block belongs to a tool that Anthropic runs.
fn is_hosted(kind: &str) -> bool {
    kind.ends_with("_tool_use") || kind.ends_with("_tool_result")
}

fn in_account(path: String) -> Failure {
    let message = format!("`{path}` names a file in Anthropic's account");
    Failure::unsayable(path, message)
}

/// Moves signatures of reasoning blocks to the calls after them: this dialect has no other place
/// for Google's signature of a call.
fn signatures_to_calls(pieces: Vec<Piece<'_>>) -> Vec<Piece<'_>> {
    let mut placed: Vec<Piece<'_>> = Vec::with_capacity(pieces.len());
    for mut piece in pieces {
        if let Piece::Call { signature, .. } = &mut piece
            && let Some(Piece::Thinking { signature: thought, text }) = placed.last_mut()
            && thought.as_ref().is_some_and(Signature::is_of_next_call)
        {
            *signature = thought.take();
            if text.is_empty() {
                placed.pop();
            }
        }
        placed.push(piece);
    }
    placed
}

/// Decodes the effort at `path`.
pub(super) fn effort(value: &Value<'_>, path: &str) -> Result<Effort, Failure> {
    let known = || bad(path, format!("`{path}` must be low, medium, high, xhigh or max"));
    value.text().and_then(Effort::named).ok_or_else(known)
}
