//! The tools of a request and the choice among them.

use super::fields::drop_once;
use crate::{
    NameRule, Names, Profile,
    chat::{Name, Request, Schema, Tool, ToolChoice},
    free_form, write,
};

/// What is told of the tools.
#[derive(Debug, Default)]
pub(super) struct Toolbox {
    tools: Option<String>,
    choice: Option<String>,
    parallel: Option<bool>,
}

impl Toolbox {
    /// Writes the tools; what they are called instead is kept in `names`.
    pub(super) fn encode(
        request: &Request<'_>,
        profile: &Profile,
        names: &mut Names,
        dropped: &mut Vec<String>,
    ) -> Toolbox {
        let choice = request.tool_choice.as_ref();
        if request.tools.is_empty() {
            let asks = choice.filter(|c| !matches!(c.value, ToolChoice::Auto | ToolChoice::None));
            if let Some(choice) = asks {
                drop_once(dropped, &*choice.path);
            }
            return Toolbox::default();
        }
        let mut tools = Vec::new();
        write::array(&mut tools, |a| {
            for tool in &request.tools {
                a.object(|o| write_tool(o, tool, names));
            }
        });
        let choice = choice.map(|choice| {
            let forces = match choice.value {
                ToolChoice::Required | ToolChoice::Tool(_) => true,
                ToolChoice::Among(_, required) => required,
                ToolChoice::Auto | ToolChoice::None => false,
            };
            // TC-3.
            if forces && !profile.forced_tool_choice {
                drop_once(dropped, &*choice.path);
                return r#""auto""#.to_owned();
            }
            write_choice(&choice.value, names)
        });
        let parallel = request.parallel_calls.as_ref().map(|said| said.value);
        let tools = String::from_utf8(tools).expect("only text was written");
        Toolbox { tools: Some(tools), choice, parallel }
    }

    /// Writes them into a request.
    pub(super) fn write(&self, o: &mut write::Object<'_>) {
        o.raw_if("tools", self.tools.as_deref());
        o.raw_if("tool_choice", self.choice.as_deref());
        if let Some(parallel) = self.parallel {
            o.bool("parallel_tool_calls", parallel);
        }
    }
}

fn write_tool(o: &mut write::Object<'_>, tool: &Tool<'_>, names: &mut Names) {
    o.text("type", kind(&tool.name));
    o.text("name", &names.tell(&tool.name, NameRule::Openai));
    o.text_if("description", tool.description.as_deref());
    if tool.name.free_form {
        let format = tool.schema.as_ref().and_then(Schema::value);
        let grammar = format.as_ref().and_then(free_form::grammar);
        if let Some((syntax, definition)) = grammar {
            o.object("format", |o| {
                o.text("type", "grammar");
                o.text("syntax", syntax);
                o.text("definition", definition);
            });
        }
        return;
    }
    let nothing = r#"{"type":"object","properties":{}}"#;
    o.raw("parameters", tool.schema.as_ref().map_or(nothing, |schema| schema.raw()));
    // RS-REQ-2: functions are strict here unless they say otherwise, and nowhere else.
    o.bool("strict", tool.strict.unwrap_or(false));
}

fn write_choice(choice: &ToolChoice<'_>, names: &mut Names) -> String {
    let word = match choice {
        ToolChoice::Auto => "auto",
        ToolChoice::None => "none",
        ToolChoice::Required => "required",
        ToolChoice::Tool(name) => return write::object_text(|o| write_named(o, name, names)),
        ToolChoice::Among(among, required) => {
            return write::object_text(|o| {
                o.text("type", "allowed_tools");
                o.text("mode", if *required { "required" } else { "auto" });
                o.array("tools", |a| {
                    for name in among {
                        a.object(|o| write_named(o, name, names));
                    }
                });
            });
        }
    };
    format!("\"{word}\"")
}

fn write_named(o: &mut write::Object<'_>, name: &Name<'_>, names: &mut Names) {
    o.text("type", kind(name));
    o.text("name", &names.tell(name, NameRule::Openai));
}

fn kind(name: &Name<'_>) -> &'static str {
    if name.free_form { "custom" } else { "function" }
}
