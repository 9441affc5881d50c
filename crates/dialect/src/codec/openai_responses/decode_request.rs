//! Decodes requests of a Responses client.
//!
//! `decode_items` decodes `input`, `decode_tools` decodes `tools`.

use std::borrow::Cow;

use super::{
    decode_items::History,
    decode_tools::{Toolbox, read_choice},
    echo::echo,
    fields::{Object, drop_once},
};
use crate::{
    Ask, Failure, FailureKind, Value,
    chat::{Effort, Format, Piece, Request, Role, Said, Schema, Thinking, Turn, Wish},
};

/// Known members: those that are decoded here, and bookkeeping and hints that do not change the
/// answer.
const KNOWN: &[&str] = &[
    "model",
    "input",
    "instructions",
    "stream",
    "stream_options",
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_logprobs",
    "include",
    "reasoning",
    "text",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "user",
    "safety_identifier",
    "metadata",
    "client_metadata",
    "store",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "background",
    "truncation",
];

/// Members that need the provider's storage.
const STATE: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

pub(super) fn decode(ask: Ask<'_>) -> Result<Request<'_>, Failure> {
    let body = Value::read(ask.body).map_err(|error| malformed(format!("it {error}")))?;
    if !body.is_object() {
        return Err(malformed("it is not a JSON object".to_owned()));
    }
    let fields = Object::of(&body, "")?;
    refuse_state(fields)?;

    let mut dropped = Vec::new();
    let mut tools = Toolbox::default();
    tools.read(fields.list("tools")?, "tools", &mut dropped)?;
    let turns = read_turns(fields, &mut tools, &mut dropped)?;
    let tool_choice = read_choice(fields, &tools, &mut dropped)?;
    let mut request = Request {
        model: match fields.text("model")?.or(ask.model.map(Cow::Borrowed)) {
            Some(model) => model,
            None => return Err(fields.missing("model")),
        },
        stream: fields.flag("stream")?.unwrap_or(ask.stream),
        turns,
        tools: tools.tools,
        tool_choice,
        parallel_calls: said("parallel_tool_calls", fields.flag("parallel_tool_calls")?),
        max_output: said("max_output_tokens", fields.count("max_output_tokens")?),
        thinking: read_thinking(fields, &mut dropped)?,
        format: read_format(fields, &mut dropped)?,
        logprobs: read_logprobs(fields)?,
        user: read_user(fields)?,
        wish: Wish { include_usage: true, echo: echo(&body), ..Wish::default() },
        ..Request::default()
    };
    request.sampling.temperature = said("temperature", fields.number("temperature")?);
    request.sampling.top_p = said("top_p", fields.number("top_p")?);
    match fields.text("truncation")?.as_deref() {
        None | Some("disabled") => {}
        Some("auto") => drop_once(&mut dropped, "truncation"),
        Some(_) => return Err(fields.unknown("truncation")),
    }
    fields.strangers(KNOWN, &mut dropped);
    request.dropped = dropped;
    Ok(request)
}

fn malformed(why: String) -> Failure {
    Failure::new(FailureKind::BadRequest, format!("the request body cannot be read: {why}"))
}

fn refuse_state(fields: Object<'_, '_>) -> Result<(), Failure> {
    let refused = |name: &str| {
        let message =
            format!("`{name}` needs the storage of another provider and is not supported");
        Err(Failure::unsayable(name, message))
    };
    for name in STATE {
        if fields.find(name).is_some() {
            return refused(name);
        }
    }
    match fields.flag("background")? {
        Some(true) => refused("background"),
        _ => Ok(()),
    }
}

fn read_turns<'a>(
    fields: Object<'_, 'a>,
    tools: &mut Toolbox<'a>,
    dropped: &mut Vec<String>,
) -> Result<Vec<Turn<'a>>, Failure> {
    let mut turns = Vec::new();
    let instructions = fields.text("instructions")?;
    let alone = instructions.is_some();
    if let Some(text) = instructions.filter(|text| !text.is_empty()) {
        turns
            .push(Turn { role: Role::System, pieces: vec![Piece::Text { text, signature: None }] });
    }
    match fields.find("input") {
        Some(input) if input.is_array() => {
            let mut history = History::new(input.items(), turns);
            for (nth, item) in input.items().iter().enumerate() {
                history.read(item, &format!("input[{nth}]"), tools, dropped)?;
            }
            Ok(history.turns())
        }
        Some(input) => {
            let Some(text) = input.cow() else {
                return Err(Failure::unsayable("input", "`input` must be a string or a list"));
            };
            turns.push(Turn {
                role: Role::User,
                pieces: vec![Piece::Text { text, signature: None }],
            });
            Ok(turns)
        }
        None if alone => Ok(turns),
        None => Err(fields.missing("input")),
    }
}

fn read_thinking<'a>(
    fields: Object<'_, 'a>,
    dropped: &mut Vec<String>,
) -> Result<Option<Said<'a, Thinking>>, Failure> {
    let Some(reasoning) = fields.object("reasoning")? else { return Ok(None) };
    let reasoning = Object::of(reasoning, "reasoning")?;
    let effort = match reasoning.text("effort")? {
        Some(name) => Some(Effort::named(&name).ok_or_else(|| reasoning.unknown("effort"))?),
        None => None,
    };
    let summary = reasoning.text("summary")?.or(reasoning.text("generate_summary")?);
    let shown = summary.is_some_and(|summary| summary != "none");
    // Both are the defaults of every model.
    for (name, usual) in [("context", "auto"), ("mode", "standard")] {
        if reasoning.text(name)?.is_some_and(|value| value != usual) {
            drop_once(dropped, reasoning.path(name));
        }
    }
    let known = ["effort", "summary", "generate_summary", "context", "mode"];
    reasoning.strangers(&known, dropped);
    let thinking = Thinking { effort, budget: None, shown };
    Ok((thinking != Thinking::default()).then(|| Said::new(thinking, "reasoning")))
}

fn read_format<'a>(
    fields: Object<'_, 'a>,
    dropped: &mut Vec<String>,
) -> Result<Option<Said<'a, Format<'a>>>, Failure> {
    let Some(text) = fields.object("text")? else { return Ok(None) };
    let text = Object::of(text, "text")?;
    text.strangers(&["format", "verbosity"], dropped);
    let Some(format) = text.object("format")? else { return Ok(None) };
    let format = Object::of(format, "text.format")?;
    let read = match &*format.needed("type")? {
        "text" => return Ok(None),
        "json_object" => Format::JsonObject,
        "json_schema" => Format::JsonSchema {
            name: format.text("name")?,
            description: format.text("description")?,
            schema: Schema::from(format.object("schema")?.ok_or_else(|| format.missing("schema"))?)
                .placed("text.format.schema"),
            strict: format.flag("strict")?,
        },
        _ => return Err(format.unknown("type")),
    };
    Ok(Some(Said::new(read, "text.format")))
}

/// Reads the request for log probabilities, which either of two members contains.
fn read_logprobs<'a>(fields: Object<'_, 'a>) -> Result<Option<Said<'a, u64>>, Failure> {
    let include = fields.list("include")?;
    let included = include.iter().any(|one| one.text() == Some("message.output_text.logprobs"));
    let top = fields.count("top_logprobs")?;
    Ok(match (included, top) {
        (_, Some(top)) if top > 0 => Some(Said::new(top, "top_logprobs")),
        (true, _) => Some(Said::new(0, "include")),
        _ => None,
    })
}

fn read_user<'a>(fields: Object<'_, 'a>) -> Result<Option<Said<'a, Cow<'a, str>>>, Failure> {
    let user = said("user", fields.text("user")?);
    Ok(said("safety_identifier", fields.text("safety_identifier")?).or(user))
}

fn said<'a, T>(path: &'static str, value: Option<T>) -> Option<Said<'a, T>> {
    value.map(|value| Said::new(value, path))
}
