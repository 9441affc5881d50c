//! Reads the messages of a client's request.

use std::borrow::Cow;

use super::{
    decode_faults::{missing, unknown, wrong},
    layout::{self, Signed},
    signatures,
};
use crate::{
    Failure, Signature, Value,
    chat::{Media, MediaKind, Name, Piece, Request, Role, Source, Turn},
    data_url::{self, Address},
    halves::mended,
};

/// Known members of every message, besides those of its role.
const COMMON: [&str; 4] = ["role", "content", "cache_control", "annotations"];

/// Further known members of an assistant's message.
const ANSWERED: [&str; 8] = [
    "refusal",
    "audio",
    "tool_calls",
    "function_call",
    "reasoning_content",
    "reasoning",
    "thinking_blocks",
    "extra_content",
];

pub(super) fn messages<'a>(root: &Value<'a>, request: &mut Request<'a>) -> Result<(), Failure> {
    let list = root.find("messages").ok_or_else(|| missing("messages"))?;
    if !list.is_array() || list.items().is_empty() {
        return Err(wrong("messages", "a list of at least one message"));
    }
    let mut reader = Reader { dropped: &mut request.dropped, called: None, calls: 0 };
    for (at, message) in list.items().iter().enumerate() {
        let path = format!("messages[{at}]");
        if !message.is_object() {
            return Err(wrong(path, "an object"));
        }
        request.turns.push(reader.message(message, &path)?);
    }
    Ok(())
}

struct Reader<'d, 'a> {
    dropped: &'d mut Vec<String>,
    /// The generated id of the last `function_call`, which has none.
    called: Option<Cow<'a, str>>,
    calls: usize,
}

impl<'a> Reader<'_, 'a> {
    fn message(&mut self, message: &Value<'a>, path: &str) -> Result<Turn<'a>, Failure> {
        let role = message.get("role").text();
        let role = role.ok_or_else(|| wrong(format!("{path}.role"), "a string"))?;
        let (role, pieces, also): (_, _, &[&str]) = match role {
            "system" | "developer" => (Role::System, self.content(message, path)?, &[]),
            "user" => (Role::User, self.content(message, path)?, &[]),
            "assistant" => (Role::Assistant, self.assistant(message, path)?, &ANSWERED),
            "tool" => (Role::User, vec![self.result(message, path)?], &["tool_call_id", "name"]),
            "function" => (Role::User, vec![self.old_result(message, path)?], &["name"]),
            _ => {
                let message = format!("`{role}` is no role of a message");
                return Err(Failure::unsayable(format!("{path}.role"), message));
            }
        };
        unknown(message, path, &[&COMMON, also], self.dropped);
        Ok(Turn { role, pieces })
    }

    /// Decodes the content of a message: a text or a list of parts.
    fn content(&mut self, message: &Value<'a>, path: &str) -> Result<Vec<Piece<'a>>, Failure> {
        let path = format!("{path}.content");
        let Some(content) = message.find("content") else { return Err(missing(path)) };
        self.parts(content, &path)
    }

    /// Decodes the result of a tool, which may be empty.
    fn given(&mut self, message: &Value<'a>, path: &str) -> Result<Vec<Piece<'a>>, Failure> {
        match message.find("content") {
            Some(content) => self.parts(content, &format!("{path}.content")),
            None => Ok(Vec::new()),
        }
    }

    fn parts(&mut self, content: &Value<'a>, path: &str) -> Result<Vec<Piece<'a>>, Failure> {
        if let Some(text) = content.cow() {
            return Ok(vec![Piece::Text { text, signature: None }]);
        }
        if !content.is_array() {
            return Err(wrong(path, "a string or a list of parts"));
        }
        let parts = content.items().iter().enumerate();
        parts.map(|(at, part)| self.part(part, format!("{path}[{at}]"))).collect()
    }

    fn part(&mut self, part: &Value<'a>, path: String) -> Result<Piece<'a>, Failure> {
        let kind = part.get("type").text();
        let kind = kind.ok_or_else(|| wrong(format!("{path}.type"), "a string"))?;
        unknown(part, &path, &[&["type", "cache_control", kind]], self.dropped);
        let inner = part.find(kind);
        let within = || format!("{path}.{kind}");
        let known: &[&str] = match kind {
            "image_url" => &["url", "detail"],
            "input_audio" => &["data", "format"],
            _ => &["file_data", "filename", "file_id"],
        };
        if let Some(inner) = inner {
            unknown(inner, &within(), &[known], self.dropped);
        }
        let text = || inner.and_then(Value::cow).ok_or_else(|| wrong(within(), "a string"));
        match kind {
            "text" => Ok(Piece::Text { text: text()?, signature: None }),
            "refusal" => Ok(Piece::Refusal(text()?)),
            "image_url" => image(inner.ok_or_else(|| missing(within()))?, path),
            "input_audio" => sound(inner.ok_or_else(|| missing(within()))?, path),
            "file" => file(inner.ok_or_else(|| missing(within()))?, path),
            _ => {
                let message = format!("parts of type `{kind}` cannot be told to this model");
                Err(Failure::unsayable(path, message))
            }
        }
    }

    fn assistant(&mut self, message: &Value<'a>, path: &str) -> Result<Vec<Piece<'a>>, Failure> {
        if message.find("audio").is_some() {
            let message = "sound that was answered before exists only at its vendor";
            return Err(Failure::unsayable(format!("{path}.audio"), message));
        }
        let signed = signed_thoughts(message);
        let mut pieces = if signed.is_empty() { plain_thought(message) } else { Vec::new() };
        if let Some(content) = message.find("content").filter(|it| it.text() != Some("")) {
            pieces.extend(self.parts(content, &format!("{path}.content"))?);
        }
        if let (Some(sign), Some(Piece::Text { signature, .. })) =
            (extra_signature(message), pieces.last_mut())
        {
            *signature = Some(sign);
        }
        if let Some(refusal) = message.get("refusal").cow().filter(|text| !text.is_empty()) {
            pieces.push(Piece::Refusal(refusal));
        }
        let mut calls = Vec::new();
        match message.find("tool_calls") {
            None => {}
            Some(list) if list.is_array() => {
                for (at, call) in list.items().iter().enumerate() {
                    calls.push(self.call(call, &format!("{path}.tool_calls[{at}]"))?);
                }
            }
            Some(_) => return Err(wrong(format!("{path}.tool_calls"), "a list")),
        }
        if let Some(call) = message.find("function_call") {
            self.calls += 1;
            let id: Cow<'a, str> = format!("call_{}", self.calls).into();
            self.called = Some(id.clone());
            let path = format!("{path}.function_call");
            calls.push(function(call, id, &path)?);
        }
        Ok(layout::restored(signed, pieces, calls))
    }

    fn call(&mut self, call: &Value<'a>, path: &str) -> Result<Piece<'a>, Failure> {
        unknown(
            call,
            path,
            &[&["id", "type", "index", "function", "custom", "extra_content"]],
            self.dropped,
        );
        let id = call.get("id").cow().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| missing(format!("{path}.id")))?;
        if let Some(custom) = call.find("custom") {
            let path = format!("{path}.custom");
            let name = Name { free_form: true, ..name(custom, &path)? };
            let input = custom.get("input").cow().unwrap_or_default();
            return Ok(Piece::Call { id, name, input, signature: None });
        }
        let within = format!("{path}.function");
        let inner = call.find("function").ok_or_else(|| missing(within.as_str()))?;
        let mut piece = function(inner, id, &within)?;
        if let Piece::Call { signature, .. } = &mut piece {
            *signature = extra_signature(call);
        }
        Ok(piece)
    }

    fn result(&mut self, message: &Value<'a>, path: &str) -> Result<Piece<'a>, Failure> {
        let id = message.get("tool_call_id").cow();
        Ok(Piece::Result {
            id: id.ok_or_else(|| missing(format!("{path}.tool_call_id")))?,
            name: message.get("name").cow(),
            content: self.given(message, path)?,
            is_error: false,
        })
    }

    fn old_result(&mut self, message: &Value<'a>, path: &str) -> Result<Piece<'a>, Failure> {
        let id = self.called.take();
        Ok(Piece::Result {
            id: id.ok_or_else(|| {
                Failure::unsayable(path, "no `function_call` stands before this result")
            })?,
            name: message.get("name").cow(),
            content: self.given(message, path)?,
            is_error: false,
        })
    }
}

fn name<'a>(inner: &Value<'a>, path: &str) -> Result<Name<'a>, Failure> {
    let name = inner.get("name").cow().filter(|name| !name.is_empty());
    name.map(Name::plain).ok_or_else(|| missing(format!("{path}.name")))
}

fn function<'a>(inner: &Value<'a>, id: Cow<'a, str>, path: &str) -> Result<Piece<'a>, Failure> {
    let input = match inner.find("arguments") {
        None => Cow::Borrowed(""),
        Some(arguments) if arguments.is_object() => Cow::Borrowed(arguments.raw()),
        Some(arguments) => {
            arguments.cow().ok_or_else(|| wrong(format!("{path}.arguments"), "a string"))?
        }
    };
    Ok(Piece::Call { id, name: name(inner, path)?, input: mended(input), signature: None })
}

/// Decodes Google's signature in `extra_content`.
fn extra_signature<'a>(holder: &Value<'a>) -> Option<Signature<'a>> {
    signatures::find(holder).map(|(_, signature)| signature)
}

/// Decodes reasoning: signed in `thinking_blocks`, or plain text.
pub(super) fn thoughts<'a>(message: &Value<'a>) -> Vec<Piece<'a>> {
    let signed = signed_thoughts(message);
    match signed.is_empty() {
        true => plain_thought(message),
        false => signed.into_iter().map(Signed::into_piece).collect(),
    }
}

pub(super) fn signed_thoughts<'a>(message: &Value<'a>) -> Vec<Signed<'a>> {
    message.get("thinking_blocks").items().iter().filter_map(signed).collect()
}

/// Decodes reasoning without a signature.
fn plain_thought<'a>(message: &Value<'a>) -> Vec<Piece<'a>> {
    let plain = unsigned_thought(message).and_then(Value::cow);
    plain.map(|text| Piece::Thinking { text, signature: None }).into_iter().collect()
}

/// Returns the text of unsigned reasoning; some servers send it twice.
pub(super) fn unsigned_thought<'v, 'a>(message: &'v Value<'a>) -> Option<&'v Value<'a>> {
    let text = |name| message.find(name).filter(|value: &&Value<'a>| value.text().is_some());
    let found = text("reasoning_content").or_else(|| text("reasoning"));
    found.filter(|value| value.text() != Some(""))
}

fn signed<'a>(block: &Value<'a>) -> Option<Signed<'a>> {
    let redacted = block.get("type").text() == Some("redacted_thinking");
    let field = if redacted { "data" } else { "signature" };
    let field = block.get(field).cow().filter(|text| !text.is_empty())?;
    Signed::read(block.get("thinking").cow().unwrap_or_default(), field, redacted)
}

fn image<'a>(inner: &Value<'a>, path: String) -> Result<Piece<'a>, Failure> {
    let url = inner.get("url").cow().or_else(|| inner.cow());
    let url = url.ok_or_else(|| wrong(format!("{path}.image_url.url"), "a string"))?;
    let (source, mime) = match data_url::read(url) {
        Address::Here(data, mime) => (Source::Base64(data), mime),
        Address::Elsewhere(url) => (Source::Url(url), None),
        Address::Plain => {
            return Err(wrong(format!("{path}.image_url.url"), "base64 data or an address"));
        }
    };
    let detail = inner.get("detail").cow();
    let path = path + ".image_url";
    Ok(Piece::Media(Media { kind: MediaKind::Image, source, mime, name: None, detail, path }))
}

fn sound<'a>(inner: &Value<'a>, path: String) -> Result<Piece<'a>, Failure> {
    let data = inner.get("data").cow();
    let data = data.ok_or_else(|| wrong(format!("{path}.input_audio.data"), "a string"))?;
    let (data, told) = match data_url::read(data) {
        Address::Here(data, mime) => (data, mime),
        Address::Elsewhere(data) => (data_url::standard(data), None),
        Address::Plain => return Err(wrong(format!("{path}.input_audio.data"), "base64 data")),
    };
    let format = inner.get("format").text().map(|format| format!("audio/{format}").into());
    Ok(Piece::Media(Media {
        kind: MediaKind::Audio,
        source: Source::Base64(data),
        mime: format.or(told),
        name: None,
        detail: None,
        path: path + ".input_audio",
    }))
}

fn file<'a>(inner: &Value<'a>, path: String) -> Result<Piece<'a>, Failure> {
    let name = inner.get("filename").cow();
    let (source, mime) = match (inner.get("file_data").cow(), inner.get("file_id").cow()) {
        (Some(data), _) => match data_url::read(data) {
            Address::Here(data, mime) => (Source::Base64(data), mime),
            Address::Elsewhere(data) => (Source::Base64(data_url::standard(data)), None),
            Address::Plain => return Err(wrong(format!("{path}.file.file_data"), "base64 data")),
        },
        (None, Some(id)) => (Source::File(id), None),
        (None, None) => return Err(missing(format!("{path}.file.file_data"))),
    };
    let kind = match mime.as_deref().and_then(|mime| mime.split_once('/')) {
        Some(("image", _)) => MediaKind::Image,
        Some(("audio", _)) => MediaKind::Audio,
        Some(("video", _)) => MediaKind::Video,
        _ => MediaKind::Document,
    };
    let mime = mime.or(match kind {
        MediaKind::Document => Some(Cow::Borrowed("application/pdf")),
        _ => None,
    });
    let path = path + if matches!(source, Source::File(_)) { ".file.file_id" } else { ".file" };
    Ok(Piece::Media(Media { kind, source, mime, name, detail: None, path }))
}
