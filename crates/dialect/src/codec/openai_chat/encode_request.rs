//! Encodes requests, except for messages.

use super::encode_messages;
use crate::{
    Encoded, Failure, MaxTokensField, NameRule, Names, Profile, Target,
    chat::{Effort, Format, Request, Said, Thinking, Tool, ToolChoice},
    free_form,
    write::{self, Object},
};

/// Most stop sequences.
const MAX_STOPS: usize = 4;

/// Most characters of `safety_identifier`.
const MAX_USER: usize = 128;

pub(super) fn encode(request: &Request<'_>, target: Target<'_>) -> Result<Encoded, Failure> {
    let mut writer = Writer {
        request,
        target,
        profile: target.profile,
        names: Names::of_model(target.model),
        dropped: request.dropped.clone(),
    };
    let mut body = Vec::with_capacity(1024);
    let mut result = Ok(());
    write::object(&mut body, |o| {
        o.text("model", target.model);
        result = writer.messages(o);
        writer.tools(o);
        writer.limits(o);
        writer.sampling(o);
        writer.form(o);
        if request.stream {
            o.bool("stream", true);
            // Usage is always requested; it is hidden from clients that did not request it.
            o.object("stream_options", |o| o.bool("include_usage", true));
        }
    });
    result?;
    Ok(Encoded {
        path: "/v1/chat/completions".to_owned(),
        body,
        dropped: writer.dropped,
        names: writer.names,
        ..Encoded::default()
    })
}

struct Writer<'r, 'a> {
    request: &'r Request<'a>,
    target: Target<'r>,
    profile: &'r Profile,
    names: Names,
    dropped: Vec<String>,
}

impl Writer<'_, '_> {
    fn messages(&mut self, o: &mut Object<'_>) -> Result<(), Failure> {
        // Tools are named first, so that the history uses the same names.
        for tool in &self.request.tools {
            self.names.tell(&tool.name, NameRule::Openai);
        }
        let mut result = Ok(());
        o.array("messages", |list| {
            let turns = &self.request.turns;
            result = encode_messages::encode(turns, self.target, &mut self.names, list);
        });
        result
    }

    fn tools(&mut self, o: &mut Object<'_>) {
        let request = self.request;
        if request.tools.is_empty() {
            return;
        }
        o.array("tools", |list| {
            for tool in &request.tools {
                let name = self.names.tell(&tool.name, NameRule::Openai);
                list.object(|o| {
                    o.text("type", "function");
                    o.object("function", |o| function(o, tool, &name));
                });
            }
        });
        if let Some(said) = &request.tool_choice {
            self.tool_choice(o, said);
        }
        if let Some(Said { value: false, .. }) = request.parallel_calls {
            o.bool("parallel_tool_calls", false);
        }
    }

    fn tool_choice(&mut self, o: &mut Object<'_>, said: &Said<'_, ToolChoice<'_>>) {
        use ToolChoice::{Among, Auto, None, Required, Tool};
        let forced = matches!(said.value, Required | Tool(_) | Among(_, true));
        if forced && !self.profile.forced_tool_choice {
            self.drop(&said.path);
            return o.text("tool_choice", "auto");
        }
        match &said.value {
            Auto => o.text("tool_choice", "auto"),
            None => o.text("tool_choice", "none"),
            Required => o.text("tool_choice", "required"),
            Tool(name) => {
                let name = self.names.tell(name, NameRule::Openai);
                o.object("tool_choice", |o| named(o, &name));
            }
            Among(names, required) => o.object("tool_choice", |o| {
                o.text("type", "allowed_tools");
                o.object("allowed_tools", |o| {
                    o.text("mode", if *required { "required" } else { "auto" });
                    o.array("tools", |list| {
                        for name in names {
                            let name = self.names.tell(name, NameRule::Openai);
                            list.object(|o| named(o, &name));
                        }
                    });
                });
            }),
        }
    }

    fn limits(&mut self, o: &mut Object<'_>) {
        if let Some(limit) = &self.request.max_output {
            let field = match self.profile.max_tokens_field {
                MaxTokensField::MaxTokens => "max_tokens",
                MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
            };
            o.number(field, limit.value);
        }
        if let Some(stop) = &self.request.stop {
            if stop.value.len() > MAX_STOPS {
                self.drop(&stop.path);
            }
            if !stop.value.is_empty() {
                o.texts("stop", stop.value.iter().take(MAX_STOPS).map(|text| &**text));
            }
        }
        if let Some(n) = self.request.candidates.as_ref().filter(|n| n.value > 1) {
            o.number("n", n.value);
        }
        if let Some(alternatives) = &self.request.logprobs {
            o.bool("logprobs", true);
            if alternatives.value > 0 {
                o.number("top_logprobs", alternatives.value);
            }
        }
        match &self.request.user {
            Some(user) if user.path == "user" => o.text("user", &user.value),
            Some(user) => o.text("safety_identifier", &fitting(&user.value)),
            None => {}
        }
    }

    fn sampling(&mut self, o: &mut Object<'_>) {
        let sampling = &self.request.sampling;
        let drawn = self.profile.sampling_params;
        let penalties = self.profile.penalties;
        let fields = [
            ("temperature", &sampling.temperature, drawn),
            ("top_p", &sampling.top_p, drawn),
            ("top_k", &sampling.top_k, false),
            ("seed", &sampling.seed, true),
            ("presence_penalty", &sampling.presence_penalty, penalties),
            ("frequency_penalty", &sampling.frequency_penalty, penalties),
            ("logit_bias", &sampling.logit_bias, true),
        ];
        for (name, said, accepted) in fields {
            match said {
                Some(said) if accepted => o.raw(name, said.value),
                Some(said) => self.drop(&said.path),
                None => {}
            }
        }
    }

    fn form(&mut self, o: &mut Object<'_>) {
        if let Some(said) = &self.request.thinking {
            self.effort(o, said);
        }
        match self.request.format.as_ref().map(|said| &said.value) {
            None => {}
            Some(Format::JsonObject) => {
                o.object("response_format", |o| o.text("type", "json_object"));
            }
            Some(Format::JsonSchema { name, description, schema, strict }) => {
                o.object("response_format", |o| {
                    o.text("type", "json_schema");
                    o.object("json_schema", |o| {
                        o.text("name", name.as_deref().unwrap_or("response"));
                        o.text_if("description", description.as_deref());
                        o.raw("schema", schema.raw());
                        if let Some(strict) = strict {
                            o.bool("strict", *strict);
                        }
                    });
                });
            }
        }
    }

    fn effort(&mut self, o: &mut Object<'_>, said: &Said<'_, Thinking>) {
        let Thinking { effort, budget, .. } = said.value;
        let effort = effort.or(budget.map(Effort::of_budget));
        match effort {
            // A model without reasoning never reasons anyway.
            Some(Effort::None) if !self.profile.reasoning => {}
            _ if !self.profile.reasoning => self.drop(&said.path),
            Some(Effort::None) if self.profile.thinking_always_on => {
                self.drop(&said.path);
                o.text("reasoning_effort", Effort::Low.as_str());
            }
            Some(effort) => o.text("reasoning_effort", effort.as_str()),
            None => {}
        }
    }

    fn drop(&mut self, path: &str) {
        if !self.dropped.iter().any(|known| known == path) {
            self.dropped.push(path.to_owned());
        }
    }
}

fn named(o: &mut Object<'_>, name: &str) {
    o.text("type", "function");
    o.object("function", |o| o.text("name", name));
}

fn function(o: &mut Object<'_>, tool: &Tool<'_>, name: &str) {
    o.text("name", name);
    if tool.name.free_form {
        o.text_if("description", free_form::description(tool).as_deref());
        return o.raw("parameters", free_form::SCHEMA);
    }
    o.text_if("description", tool.description.as_deref());
    let none = r#"{"type":"object","properties":{}}"#;
    o.raw("parameters", tool.schema.as_ref().map_or(none, |schema| schema.raw()));
    if tool.strict == Some(true) {
        o.bool("strict", true);
    }
}

/// Returns the user's identifier, or its digest if it is too long.
fn fitting(user: &str) -> std::borrow::Cow<'_, str> {
    if user.chars().count() <= MAX_USER {
        return user.into();
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, user.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}
