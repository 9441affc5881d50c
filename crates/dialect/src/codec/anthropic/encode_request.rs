//! Encodes requests for a Messages target.

use std::borrow::Cow;

use super::{encode_turns::Conversation, schema, settings::Settings};
use crate::{
    Encoded, Failure, NameRule, Names, Profile, Target,
    chat::{Format, Name, Request, Schema, Tool, ToolChoice},
    free_form,
    write::{self, Array, Object},
};

const PATH: &str = "/v1/messages";
const COUNT_PATH: &str = "/v1/messages/count_tokens";

/// The version of the dialect. Later ones refuse sampling parameters.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// Encodes a request.
pub(super) fn encode(request: &Request<'_>, target: Target<'_>) -> Result<Encoded, Failure> {
    refuse(request)?;
    Writer::new(request, target).write(PATH, |o, settings| {
        o.number("max_tokens", settings.max_tokens);
        settings.write_generation(o);
        if request.stream {
            o.bool("stream", true);
        }
        if let Some(user) = request.user.as_ref().filter(|user| !user.value.is_empty()) {
            o.object("metadata", |o| o.text("user_id", &user.value));
        }
    })
}

/// Encodes a request to count input tokens.
pub(super) fn encode_count(request: &Request<'_>, target: Target<'_>) -> Result<Encoded, Failure> {
    Writer::new(request, target).write(COUNT_PATH, |_, _| {})
}

/// Refuses parameters that the client's code relies on and this dialect does not have.
fn refuse(request: &Request<'_>) -> Result<(), Failure> {
    if let Some(several) = request.candidates.as_ref().filter(|said| said.value > 1) {
        let message = format!("`{}`: this model gives one answer only", several.path);
        return Err(Failure::unsayable(&*several.path, message));
    }
    if let Some(asked) = &request.logprobs {
        let message = format!("`{}`: this model gives no log probabilities", asked.path);
        return Err(Failure::unsayable(&*asked.path, message));
    }
    Ok(())
}

struct Writer<'r, 'a> {
    request: &'r Request<'a>,
    target: Target<'r>,
    names: Names,
    dropped: Vec<String>,
}

impl<'r, 'a> Writer<'r, 'a> {
    fn new(request: &'r Request<'a>, target: Target<'r>) -> Self {
        let dropped = request.dropped.clone();
        Self { request, target, names: Names::default(), dropped }
    }

    fn write(
        mut self,
        path: &str,
        more: impl FnOnce(&mut Object<'_>, &Settings<'_>),
    ) -> Result<Encoded, Failure> {
        let tools = self.tools();
        let choice = self.choice(!tools.is_empty());
        let forced = matches!(choice, Some(Choice::Any | Choice::Tool(_)));
        // Names of tools are registered first, so that they keep their spelling.
        let told: Vec<String> =
            tools.iter().map(|tool| self.names.tell(&tool.name, NameRule::Anthropic)).collect();
        let conversation = Conversation::read(self.request, self.target.profile, &mut self.names)?;
        let settings = Settings::read(
            self.request,
            self.target.profile,
            forced,
            conversation.continues_unsigned(),
            &mut self.dropped,
        );
        let format = self.format();
        let answer = self.schema().map(|schema| schema::taken(schema, &mut self.dropped));
        let mut body = Vec::with_capacity(1024);
        let mut dropped = std::mem::take(&mut self.dropped);
        write::object(&mut body, |o| {
            o.text("model", self.target.model);
            conversation.write_system(o, format.as_deref());
            conversation.write_messages(o);
            if !tools.is_empty() {
                o.array("tools", |a| {
                    for (tool, name) in tools.iter().zip(&told) {
                        write_tool(a, tool, name, self.target.profile, &mut dropped);
                    }
                });
            }
            self.write_choice(o, choice.as_ref());
            settings.write_thinking(o, answer.as_deref());
            more(o, &settings);
        });
        Ok(Encoded {
            path: path.to_owned(),
            query: "",
            headers: vec![VERSION],
            body,
            dropped,
            names: self.names,
        })
    }

    /// Returns the tools to send: all, or those that the client allows. All stay if one of them
    /// must be called and the model does not accept a forced choice.
    fn tools(&self) -> Vec<&'r Tool<'a>> {
        let all = self.request.tools.iter();
        match self.request.tool_choice.as_ref().map(|said| &said.value) {
            Some(ToolChoice::Among(_, true)) if !self.target.profile.forced_tool_choice => {
                all.collect()
            }
            Some(ToolChoice::Among(names, _)) => {
                all.filter(|tool| names.iter().any(|name| same(name, &tool.name))).collect()
            }
            _ => all.collect(),
        }
    }

    fn choice(&mut self, tools: bool) -> Option<Choice> {
        let said = self.request.tool_choice.as_ref().filter(|_| tools)?;
        let choice = match &said.value {
            ToolChoice::Auto | ToolChoice::Among(_, false) => Choice::Auto,
            ToolChoice::None => Choice::None,
            ToolChoice::Required | ToolChoice::Among(_, true) => Choice::Any,
            ToolChoice::Tool(name) => Choice::Tool(self.names.tell(name, NameRule::Anthropic)),
        };
        let forces = matches!(choice, Choice::Any | Choice::Tool(_));
        if forces && !self.target.profile.forced_tool_choice {
            self.dropped.push(said.path.to_string());
            return Some(Choice::Auto);
        }
        Some(choice)
    }

    fn write_choice(&self, o: &mut Object<'_>, choice: Option<&Choice>) {
        let one = self.request.parallel_calls.as_ref().is_some_and(|said| !said.value);
        let choice = match choice {
            None if one && !self.request.tools.is_empty() => &Choice::Auto,
            None => return,
            Some(choice) => choice,
        };
        o.object("tool_choice", |o| {
            match choice {
                Choice::Auto => o.text("type", "auto"),
                Choice::None => o.text("type", "none"),
                Choice::Any => o.text("type", "any"),
                Choice::Tool(name) => {
                    o.text("type", "tool");
                    o.text("name", name);
                }
            }
            if one && !matches!(choice, Choice::None) {
                o.bool("disable_parallel_tool_use", true);
            }
        });
    }

    /// Returns the schema of the answer if the model supports one.
    fn schema(&self) -> Option<&'r Schema<'a>> {
        match &self.request.format.as_ref()?.value {
            Format::JsonSchema { schema, .. } if self.target.profile.structured_output => {
                Some(schema)
            }
            _ => None,
        }
    }

    /// Returns the text that is added to the system prompt if the format of the answer cannot be
    /// expressed otherwise. No tool is created for it: that would change the stop reason and
    /// collide with reasoning and with the client's tools.
    fn format(&mut self) -> Option<String> {
        let said = self.request.format.as_ref().filter(|_| self.schema().is_none())?;
        self.dropped.push(said.path.to_string());
        Some(match &said.value {
            Format::JsonObject => "Answer with one JSON object and nothing else.".to_owned(),
            Format::JsonSchema { schema, .. } => format!(
                "Answer with one JSON value that fits this JSON schema, and nothing else:\n{}",
                schema.raw()
            ),
        })
    }
}

enum Choice {
    Auto,
    None,
    Any,
    Tool(String),
}

fn same(one: &Name<'_>, other: &Name<'_>) -> bool {
    one.text == other.text && one.namespace == other.namespace
}

fn write_tool(
    a: &mut Array<'_>,
    tool: &Tool<'_>,
    name: &str,
    profile: &Profile,
    dropped: &mut Vec<String>,
) {
    a.object(|o| {
        o.text("name", name);
        if tool.name.free_form {
            o.text_if("description", free_form::description(tool).as_deref());
            o.raw("input_schema", free_form::SCHEMA);
            return;
        }
        o.text_if("description", tool.description.as_deref().filter(|text| !text.is_empty()));
        let schema = input_schema(tool.schema.as_ref());
        if profile.structured_output && tool.strict == Some(true) {
            let at = tool.schema.as_ref().map_or("", Schema::at).to_owned();
            let schema = Schema::written(schema.into_owned()).placed(at);
            o.raw("input_schema", &schema::taken(&schema, dropped));
            return o.bool("strict", true);
        }
        o.raw("input_schema", &schema);
    });
}

/// Returns a schema with `type: object`, which is required even if it has no other member.
fn input_schema<'s>(schema: Option<&'s Schema<'_>>) -> Cow<'s, str> {
    let empty = r#"{"type":"object","properties":{}}"#;
    let Some(schema) = schema else { return empty.into() };
    match schema.value() {
        Some(value) if value.find("type").is_some() => schema.raw().into(),
        Some(value) if value.is_object() && !value.members().is_empty() => {
            let rest = schema.raw().trim_start().trim_start_matches('{');
            format!(r#"{{"type":"object",{rest}"#).into()
        }
        _ => empty.into(),
    }
}
