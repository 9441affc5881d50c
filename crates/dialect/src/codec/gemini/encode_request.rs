//! Encodes requests for Gemini.

use super::{
    address::{bare, path},
    encode_config,
    encode_contents::Conversation,
};
use crate::{
    Encoded, Failure, NameRule, Target,
    chat::{Request, Said, Schema, Tool, ToolChoice},
    free_form,
    write::{self, Object},
};

/// Encodes a request for an answer.
pub(super) fn encode(request: &Request<'_>, target: Target<'_>) -> Result<Encoded, Failure> {
    let mut encoded = start(request);
    let conversation = Conversation::read(request, target.profile, &mut encoded.names)?;
    let mut body = Vec::with_capacity(1024);
    write::object(&mut body, |o| write_body(o, request, target, &conversation, &mut encoded));
    encoded.body = body;
    encoded.path = match request.stream {
        true => path(target.model, "streamGenerateContent"),
        false => path(target.model, "generateContent"),
    };
    encoded.query = if request.stream { "alt=sse" } else { "" };
    Ok(encoded)
}

/// Encodes a request to count tokens. Google counts tools and settings only as part of a whole
/// request.
pub(super) fn encode_count(request: &Request<'_>, target: Target<'_>) -> Result<Encoded, Failure> {
    let mut encoded = start(request);
    let conversation = Conversation::read(request, target.profile, &mut encoded.names)?;
    let mut body = Vec::with_capacity(1024);
    write::object(&mut body, |o| {
        if request.tools.is_empty() && !conversation.has_system() {
            return conversation.write(o);
        }
        o.object("generateContentRequest", |o| {
            o.joined("model", &["models/", bare(target.model)]);
            conversation.write(o);
            write_tools(o, request, target, &mut encoded);
        });
    });
    encoded.body = body;
    encoded.path = path(target.model, "countTokens");
    Ok(encoded)
}

fn start(request: &Request<'_>) -> Encoded {
    Encoded { dropped: request.dropped.clone(), ..Encoded::default() }
}

fn write_body(
    o: &mut Object<'_>,
    request: &Request<'_>,
    target: Target<'_>,
    conversation: &Conversation<'_>,
    encoded: &mut Encoded,
) {
    conversation.write(o);
    write_tools(o, request, target, encoded);
    let config = encode_config::config(request, target.profile, &mut encoded.dropped);
    if let Some(config) = config {
        o.raw("generationConfig", &config);
    }
}

fn write_tools(
    o: &mut Object<'_>,
    request: &Request<'_>,
    target: Target<'_>,
    encoded: &mut Encoded,
) {
    if let Some(said) = request.parallel_calls.as_ref().filter(|said| !said.value) {
        encoded.dropped.push(said.path.to_string());
    }
    if request.tools.is_empty() {
        return;
    }
    o.array("tools", |a| {
        a.object(|o| {
            o.array("functionDeclarations", |a| {
                for tool in &request.tools {
                    let name = encoded.names.tell(&tool.name, NameRule::Gemini);
                    a.object(|o| write_function(o, tool, &name, target.profile.json_schema));
                }
            });
        });
    });
    if let Some(choice) = &request.tool_choice {
        write_choice(o, choice, target, encoded);
    }
}

fn write_function(o: &mut Object<'_>, tool: &Tool<'_>, name: &str, json_schema: bool) {
    o.text("name", name);
    let free = tool.name.free_form.then(|| Schema::written(free_form::SCHEMA.to_owned()));
    match free {
        Some(_) => o.text_if("description", free_form::description(tool).as_deref()),
        None => o.text_if("description", tool.description.as_deref()),
    }
    let Some(schema) = free.as_ref().or(tool.schema.as_ref()) else { return };
    let Some(value) = schema.value().filter(|value| value.is_object()) else { return };
    if json_schema {
        o.raw("parametersJsonSchema", &encode_config::bare_schema(&value));
    } else {
        o.raw_if("parameters", super::schema::parameters(&value).as_deref());
    }
}

fn write_choice(
    o: &mut Object<'_>,
    said: &Said<'_, ToolChoice<'_>>,
    target: Target<'_>,
    encoded: &mut Encoded,
) {
    let names = &mut encoded.names;
    let mut tell = |all: &[_]| -> Vec<String> {
        all.iter().map(|name| names.tell(name, NameRule::Gemini)).collect()
    };
    let (mode, allowed) = match &said.value {
        ToolChoice::Auto => ("AUTO", Vec::new()),
        ToolChoice::None => ("NONE", Vec::new()),
        _ if !target.profile.forced_tool_choice && forced(&said.value) => {
            encoded.dropped.push(said.path.to_string());
            ("AUTO", Vec::new())
        }
        ToolChoice::Required => ("ANY", Vec::new()),
        ToolChoice::Tool(name) => ("ANY", tell(std::slice::from_ref(name))),
        ToolChoice::Among(all, true) => ("ANY", tell(all)),
        // With `AUTO` Google ignores the names.
        ToolChoice::Among(all, false) => ("VALIDATED", tell(all)),
    };
    o.object("toolConfig", |o| {
        o.object("functionCallingConfig", |o| {
            o.text("mode", mode);
            if !allowed.is_empty() {
                o.texts("allowedFunctionNames", allowed.iter().map(String::as_str));
            }
        });
    });
}

fn forced(choice: &ToolChoice<'_>) -> bool {
    matches!(choice, ToolChoice::Required | ToolChoice::Tool(_) | ToolChoice::Among(_, true))
}
