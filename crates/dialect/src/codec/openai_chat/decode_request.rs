//! Decodes requests, except for messages and tools.

use std::borrow::Cow;

use super::{
    decode_content,
    decode_faults::{missing, optional, unknown, wrong},
    decode_tools,
};
use crate::{
    Ask, Failure, Value,
    chat::{Effort, Format, Request, Said, Sampling, Schema, Thinking, Wish},
};

/// Members that are decoded, here or in the other modules.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "max_completion_tokens",
    "max_tokens",
    "stop",
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "n",
    "logprobs",
    "top_logprobs",
    "response_format",
    "reasoning_effort",
    "user",
    "safety_identifier",
    "modalities",
    "audio",
];

/// Members without effect on the answer: bookkeeping and hints.
const SILENT: &[&str] = &[
    "metadata",
    "service_tier",
    "store",
    "prediction",
    "verbosity",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "cache_control",
];

pub(super) fn decode(ask: Ask<'_>) -> Result<Request<'_>, Failure> {
    let root = Value::read(ask.body).map_err(|fault| bad_body(&fault.to_string()))?;
    if !root.is_object() {
        return Err(bad_body("the body is not a JSON object"));
    }
    let field = Field { root: &root };
    let mut request = Request {
        model: field.text("model")?.ok_or_else(|| missing("model"))?,
        stream: field.bool("stream")?.unwrap_or(false),
        parallel_calls: field.said("parallel_tool_calls", Field::bool)?,
        max_output: match field.said("max_completion_tokens", Field::whole)? {
            None => field.said("max_tokens", Field::whole)?,
            given => given,
        },
        stop: stop(&field)?,
        sampling: sampling(&field)?,
        format: format(&root)?,
        candidates: candidates(&field)?,
        logprobs: logprobs(&field)?,
        user: match field.said("safety_identifier", Field::text)? {
            None => field.said("user", Field::text)?,
            given => given,
        },
        ..Request::default()
    };
    refuse_sound(&root)?;
    request.wish = wish(&field, &mut request.dropped)?;
    request.thinking = thinking(&field, &mut request.dropped)?;
    decode_tools::tools(&root, &mut request)?;
    decode_content::messages(&root, &mut request)?;
    unknown(&root, "", &[KNOWN, SILENT], &mut request.dropped);
    let inner = root.get("response_format").get("json_schema");
    let known = ["name", "description", "schema", "strict"];
    unknown(inner, "response_format.json_schema", &[&known], &mut request.dropped);
    Ok(request)
}

fn bad_body(message: &str) -> Failure {
    Failure::new(crate::FailureKind::BadRequest, message)
}

/// Reads outermost members with their type; missing and null are `None`.
struct Field<'r, 'a> {
    root: &'r Value<'a>,
}

impl<'a> Field<'_, 'a> {
    fn read<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl Fn(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = self.root.find(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| wrong(name, wanted))
    }

    fn said<T>(
        &self,
        name: &'static str,
        read: impl Fn(&Self, &str) -> Result<Option<T>, Failure>,
    ) -> Result<Option<Said<'a, T>>, Failure> {
        Ok(read(self, name)?.map(|value| Said::new(value, name)))
    }

    fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Failure> {
        self.read(name, "a string", Value::cow)
    }

    fn bool(&self, name: &str) -> Result<Option<bool>, Failure> {
        self.read(name, "true or false", Value::bool)
    }

    fn whole(&self, name: &str) -> Result<Option<u64>, Failure> {
        self.read(name, "a whole number that is not below zero", Value::u64)
    }

    fn number(&self, name: &str) -> Result<Option<&'a str>, Failure> {
        self.read(name, "a number", Value::number)
    }
}

fn stop<'a>(field: &Field<'_, 'a>) -> Result<Option<Said<'a, Vec<Cow<'a, str>>>>, Failure> {
    let texts = field.read("stop", "a string or a list of strings", |value| match value.cow() {
        Some(text) => Some(vec![text]),
        None if value.is_array() => value.items().iter().map(Value::cow).collect(),
        None => None,
    })?;
    Ok(texts.filter(|texts| !texts.is_empty()).map(|texts| Said::new(texts, "stop")))
}

fn sampling<'a>(field: &Field<'_, 'a>) -> Result<Sampling<'a>, Failure> {
    let bias = field.read("logit_bias", "an object", |value| {
        value.is_object().then(|| (!value.members().is_empty()).then(|| value.raw()))
    })?;
    Ok(Sampling {
        temperature: field.said("temperature", Field::number)?,
        top_p: field.said("top_p", Field::number)?,
        top_k: None,
        seed: field.said("seed", Field::number)?,
        presence_penalty: field.said("presence_penalty", Field::number)?,
        frequency_penalty: field.said("frequency_penalty", Field::number)?,
        logit_bias: bias.flatten().map(|raw| Said::new(raw, "logit_bias")),
    })
}

/// Reads the number of candidates; one is the default.
fn candidates<'a>(field: &Field<'_, 'a>) -> Result<Option<Said<'a, u64>>, Failure> {
    match field.said("n", Field::whole)? {
        Some(Said { value: 0, .. }) => Err(wrong("n", "at least 1")),
        Some(Said { value: 1, .. }) => Ok(None),
        said => Ok(said),
    }
}

fn logprobs<'a>(field: &Field<'_, 'a>) -> Result<Option<Said<'a, u64>>, Failure> {
    let top = field.whole("top_logprobs")?.unwrap_or(0);
    match field.bool("logprobs")? {
        Some(true) => Ok(Some(Said::new(top, "logprobs"))),
        _ if top > 0 => {
            Err(Failure::unsayable("top_logprobs", "`top_logprobs` needs `logprobs: true`"))
        }
        _ => Ok(None),
    }
}

fn thinking<'a>(
    field: &Field<'_, 'a>,
    dropped: &mut Vec<String>,
) -> Result<Option<Said<'a, Thinking>>, Failure> {
    let Some(name) = field.text("reasoning_effort")? else { return Ok(None) };
    let Some(effort) = Effort::named(&name) else {
        dropped.push("reasoning_effort".to_owned());
        return Ok(None);
    };
    let thinking = Thinking { effort: Some(effort), budget: None, shown: true };
    Ok(Some(Said::new(thinking, "reasoning_effort")))
}

fn wish(field: &Field<'_, '_>, dropped: &mut Vec<String>) -> Result<Wish, Failure> {
    let Some(options) = field.root.find("stream_options") else { return Ok(Wish::default()) };
    if !options.is_object() {
        return Err(wrong("stream_options", "an object"));
    }
    unknown(options, "stream_options", &[&["include_usage", "include_obfuscation"]], dropped);
    let include_usage = match options.find("include_usage") {
        None => false,
        Some(value) => {
            value.bool().ok_or_else(|| wrong("stream_options.include_usage", "true or false"))?
        }
    };
    Ok(Wish { include_usage, ..Wish::default() })
}

fn format<'a>(root: &Value<'a>) -> Result<Option<Said<'a, Format<'a>>>, Failure> {
    let Some(format) = root.find("response_format") else { return Ok(None) };
    let kind = format.get("type").text();
    let kind = kind.ok_or_else(|| wrong("response_format.type", "a string"))?;
    let format = match kind {
        "text" => return Ok(None),
        "json_object" => Format::JsonObject,
        "json_schema" => json_schema(format.get("json_schema"))?,
        _ => {
            let message = format!("`{kind}` is no format that this gateway can ask for");
            return Err(Failure::unsayable("response_format.type", message));
        }
    };
    Ok(Some(Said::new(format, "response_format")))
}

fn json_schema<'a>(inner: &Value<'a>) -> Result<Format<'a>, Failure> {
    let path = "response_format.json_schema";
    if !inner.is_object() {
        return Err(wrong(path, "an object"));
    }
    let schema = match inner.find("schema") {
        Some(schema) if schema.is_object() => Schema::from(schema),
        Some(_) => return Err(wrong(format!("{path}.schema"), "an object")),
        None => Schema::written(r#"{"type":"object"}"#.to_owned()),
    };
    Ok(Format::JsonSchema {
        name: optional(inner, path, "name", "a string", Value::cow)?,
        description: optional(inner, path, "description", "a string", Value::cow)?,
        schema: schema.placed("response_format.json_schema.schema"),
        strict: optional(inner, path, "strict", "true or false", Value::bool)?,
    })
}

/// Refuses audio answers, which only OpenAI has.
fn refuse_sound(root: &Value<'_>) -> Result<(), Failure> {
    let modalities = root.find("modalities");
    if let Some(modalities) = modalities {
        if !modalities.is_array() {
            return Err(wrong("modalities", "a list of strings"));
        }
        if modalities.items().iter().any(|one| one.text() != Some("text")) {
            return Err(Failure::unsayable(
                "modalities",
                "`modalities`: this model answers with text only",
            ));
        }
    }
    if modalities.is_none() && root.find("audio").is_some() {
        return Err(Failure::unsayable("audio", "`audio`: this model answers with text only"));
    }
    Ok(())
}
