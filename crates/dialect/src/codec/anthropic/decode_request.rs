//! Decodes requests of a Messages client.

use std::borrow::Cow;

use super::{
    decode_content::{History, effort, system_text},
    decode_faults::{bad, missing, unknown},
    decode_tools::Tools,
};
use crate::{
    Ask, Failure, Value,
    chat::{Effort, Format, Name, Request, Role, Said, Sampling, Schema, Thinking, ToolChoice},
};

/// Known members of the body: those that are decoded, and bookkeeping and hints that other dialects
/// can ignore.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "system",
    "max_tokens",
    "stream",
    "stop_sequences",
    "temperature",
    "top_p",
    "top_k",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "metadata",
    "container",
    "cache_control",
    "service_tier",
    "speed",
];

/// Decodes a request. A request to count tokens may omit the output limit.
pub(super) fn decode<'a>(ask: Ask<'a>, counting: bool) -> Result<Request<'a>, Failure> {
    let body = Value::read(ask.body)
        .map_err(|error| bad("", format!("the body is not valid JSON: {error}")))?;
    if !body.is_object() {
        return Err(bad("", "the body must be a JSON object".to_owned()));
    }
    let mut request = Request {
        model: text(&body, "model")?.ok_or_else(|| missing("model"))?,
        stream: boolean(&body, "stream")?.unwrap_or(false),
        max_output: max_tokens(&body, counting)?,
        stop: stop(&body)?,
        sampling: sampling(&body)?,
        thinking: thinking(&body)?,
        format: format(&body)?,
        ..Request::default()
    };
    if let Some(id) = body.get("metadata").get("user_id").cow() {
        request.user = Some(Said::new(id, "metadata.user_id"));
    }
    if body.find("container").is_some() {
        let message = "`container` lives in Anthropic's account and cannot be used with this model";
        return Err(Failure::unsayable("container", message));
    }
    if body.get("thread").is_object() {
        let message = "threads live in Anthropic's account and cannot be used with this model: \
                       send the whole conversation";
        // Anthropic's SDKs know the code and follow the message.
        let code = Some(crate::anthropic::THREAD_UNSUPPORTED.to_owned());
        return Err(Failure { code, ..Failure::unsayable("thread", message) });
    }
    unknown(&body, KNOWN, "", &mut request.dropped);
    let nested: [(&str, &[&str]); 3] = [
        ("output_config", &["effort", "format"]),
        ("thinking", &["type", "budget_tokens", "display"]),
        ("tool_choice", &["type", "name", "disable_parallel_tool_use"]),
    ];
    for (name, known) in nested {
        unknown(body.get(name), known, &format!("{name}."), &mut request.dropped);
    }
    let mut tools = Tools::read(&body, &mut request.dropped)?;
    if let Some(turn) = system(&body)? {
        request.turns.push(turn);
    }
    let mut history = History::new(&mut request.dropped);
    let messages = body.find("messages").ok_or_else(|| missing("messages"))?;
    if !messages.is_array() {
        return Err(bad("messages", "`messages` must be a list".to_owned()));
    }
    if messages.items().is_empty() {
        return Err(bad("messages", "`messages` needs at least one message".to_owned()));
    }
    let messages = messages.items();
    let asked = messages.iter().rposition(|message| message.get("role").text() == Some("user"));
    for (at, message) in messages.iter().enumerate() {
        let turn = history.turn(message, at, asked)?;
        // Some messages are empty now: they only held work of the provider's own tools.
        if !turn.pieces.is_empty() {
            request.turns.push(turn);
        }
    }
    let (changes, effort) = history.end();
    for (path, change) in changes {
        tools.change(&change, &path, &mut request.dropped)?;
    }
    tool_choice(&body, &tools, &mut request)?;
    request.tools = tools.offered(&mut request.dropped);
    if let Some(effort) = effort {
        turn_effort(effort, &mut request);
    }
    Ok(request)
}

/// Applies the effort of a system message, which is for the following turn: the last one wins, also
/// over that of the request. Disabled reasoning stays disabled.
fn turn_effort<'a>(said: Said<'a, Effort>, request: &mut Request<'a>) {
    let mut thinking = request.thinking.as_ref().map(|said| said.value).unwrap_or_default();
    if thinking.effort != Some(Effort::None) {
        thinking.effort = Some(said.value);
        request.thinking = Some(Said::new(thinking, said.path));
    }
}

fn text<'a>(body: &Value<'a>, name: &str) -> Result<Option<Cow<'a, str>>, Failure> {
    let Some(value) = body.find(name) else { return Ok(None) };
    let text = value.cow().ok_or_else(|| bad(name, format!("`{name}` must be a string")))?;
    Ok(Some(text))
}

fn boolean(body: &Value<'_>, name: &str) -> Result<Option<bool>, Failure> {
    let Some(value) = body.find(name) else { return Ok(None) };
    let set = value.bool().ok_or_else(|| bad(name, format!("`{name}` must be true or false")))?;
    Ok(Some(set))
}

fn max_tokens<'a>(body: &Value<'a>, counting: bool) -> Result<Option<Said<'a, u64>>, Failure> {
    match body.find("max_tokens") {
        None if counting => Ok(None),
        None => Err(missing("max_tokens")),
        Some(value) => match value.u64() {
            Some(max) if max > 0 => Ok(Some(Said::new(max, "max_tokens"))),
            _ => Err(bad("max_tokens", "`max_tokens` must be a whole number above 0".to_owned())),
        },
    }
}

fn stop<'a>(body: &Value<'a>) -> Result<Option<Said<'a, Vec<Cow<'a, str>>>>, Failure> {
    let Some(list) = body.find("stop_sequences") else { return Ok(None) };
    let wrong = || bad("stop_sequences", "`stop_sequences` must be a list of strings".to_owned());
    if !list.is_array() {
        return Err(wrong());
    }
    let texts: Option<Vec<_>> = list.items().iter().map(Value::cow).collect();
    let texts = texts.ok_or_else(wrong)?;
    Ok((!texts.is_empty()).then(|| Said::new(texts, "stop_sequences")))
}

fn sampling<'a>(body: &Value<'a>) -> Result<Sampling<'a>, Failure> {
    let number = |name: &'static str| match body.find(name) {
        None => Ok(None),
        Some(value) => match value.number() {
            Some(number) => Ok(Some(Said::new(number, name))),
            None => Err(bad(name, format!("`{name}` must be a number"))),
        },
    };
    Ok(Sampling {
        temperature: number("temperature")?,
        top_p: number("top_p")?,
        top_k: number("top_k")?,
        ..Sampling::default()
    })
}

fn thinking<'a>(body: &Value<'a>) -> Result<Option<Said<'a, Thinking>>, Failure> {
    let asked = body.find("thinking");
    let config = body.get("output_config");
    let effort = match config.find("effort") {
        None => None,
        Some(value) => Some(effort(value, "output_config.effort")?),
    };
    // Both members are one parameter here, but two fields for clients of other dialects.
    let path = match (asked.is_some(), effort.is_some()) {
        (false, false) => return Ok(None),
        (true, false) => "thinking",
        (false, true) => "output_config.effort",
        (true, true) => "thinking, output_config.effort",
    };
    let asked = asked.unwrap_or(config);
    let shown = asked.get("display").text() != Some("omitted");
    let thinking = match asked.get("type").text() {
        None if path == "output_config.effort" => Thinking { effort, budget: None, shown: false },
        Some("disabled") => Thinking { effort: Some(Effort::None), budget: None, shown: false },
        Some("adaptive") => Thinking { effort, budget: None, shown },
        Some("enabled") => {
            let budget = asked.get("budget_tokens").u64().ok_or_else(|| {
                let message = "`thinking.budget_tokens` must be a whole number";
                bad("thinking.budget_tokens", message.to_owned())
            })?;
            Thinking { effort, budget: Some(budget), shown }
        }
        _ => {
            let message = "`thinking.type` must be adaptive, enabled or disabled";
            return Err(bad("thinking.type", message.to_owned()));
        }
    };
    Ok(Some(Said::new(thinking, path)))
}

fn format<'a>(body: &Value<'a>) -> Result<Option<Said<'a, Format<'a>>>, Failure> {
    // The second one is its name before it became stable.
    let (path, format) = match body.get("output_config").find("format") {
        Some(format) => ("output_config.format", format),
        None => match body.find("output_format") {
            Some(format) => ("output_format", format),
            None => return Ok(None),
        },
    };
    let schema = format.find("schema").filter(|schema| schema.is_object());
    match (format.get("type").text(), schema) {
        (Some("json_schema"), Some(schema)) => {
            let schema = Schema::from(schema).placed(format!("{path}.schema"));
            let format = Format::JsonSchema { name: None, description: None, schema, strict: None };
            Ok(Some(Said::new(format, path)))
        }
        _ => Err(bad(path, format!("`{path}` must be of type json_schema and have a `schema`"))),
    }
}

fn system<'a>(body: &Value<'a>) -> Result<Option<crate::chat::Turn<'a>>, Failure> {
    let Some(system) = body.find("system") else { return Ok(None) };
    let pieces = system_text(system, "system")?;
    Ok((!pieces.is_empty()).then_some(crate::chat::Turn { role: Role::System, pieces }))
}

fn tool_choice<'a>(
    body: &Value<'a>,
    tools: &Tools<'a>,
    request: &mut Request<'a>,
) -> Result<(), Failure> {
    let Some(choice) = body.find("tool_choice") else { return Ok(()) };
    let hosted = &tools.hosted;
    let forced = || {
        let message = "`tool_choice` forces a tool that only Anthropic can run";
        Failure::unsayable("tool_choice", message)
    };
    let chosen = match choice.get("type").text() {
        Some("auto") => ToolChoice::Auto,
        Some("none") => ToolChoice::None,
        Some("any") if tools.is_empty() && !hosted.is_empty() => return Err(forced()),
        Some("any") => ToolChoice::Required,
        Some("tool") => {
            let name = choice.get("name").cow().ok_or_else(|| missing("tool_choice.name"))?;
            if hosted.contains(&name) {
                return Err(forced());
            }
            // A deferred or withdrawn tool cannot be forced.
            if tools.knows(&name) && !tools.offers(&name) {
                request.dropped.push("tool_choice".to_owned());
                return Ok(());
            }
            ToolChoice::Tool(Name::plain(name))
        }
        _ => {
            let message = "`tool_choice.type` must be auto, any, tool or none";
            return Err(bad("tool_choice.type", message.to_owned()));
        }
    };
    request.tool_choice = Some(Said::new(chosen, "tool_choice"));
    if let Some(one) = choice.get("disable_parallel_tool_use").bool() {
        let path = "tool_choice.disable_parallel_tool_use";
        request.parallel_calls = one.then(|| Said::new(false, path));
    }
    Ok(())
}
