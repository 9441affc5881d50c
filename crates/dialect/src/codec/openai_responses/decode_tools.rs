//! Decodes the tools of a request and the choice among them.

use super::fields::{Object, drop_once};
use crate::{
    Failure, Value,
    chat::{Name, Said, Schema, Tool, ToolChoice},
};

/// Known members of a function: those that are decoded, and those about its loading and calling.
const FUNCTION: &[&str] = &[
    "type",
    "name",
    "description",
    "parameters",
    "strict",
    "format",
    "output_schema",
    "allowed_callers",
    "defer_loading",
    "async",
];

/// The tools of a request.
#[derive(Debug, Default)]
pub(super) struct Toolbox<'a> {
    /// The tools that the client runs, with namespaces expanded.
    pub(super) tools: Vec<Tool<'a>>,
    /// Whether there were tools that only their provider can run.
    hosted: bool,
}

impl<'a> Toolbox<'a> {
    /// Decodes the list of tools at `path`.
    pub(super) fn read(
        &mut self,
        list: &[Value<'a>],
        path: &str,
        dropped: &mut Vec<String>,
    ) -> Result<(), Failure> {
        for (nth, tool) in list.iter().enumerate() {
            let path = format!("{path}[{nth}]");
            let tool = Object::of(tool, &path)?;
            match &*tool.needed("type")? {
                "namespace" => {
                    let namespace = tool.needed("name")?;
                    for (nth, inner) in tool.list("tools")?.iter().enumerate() {
                        let path = format!("{path}.tools[{nth}]");
                        let inner = Object::of(inner, &path)?;
                        let name = |name| Name { namespace: Some(namespace.clone()), ..name };
                        self.tool(inner, name, dropped)?;
                    }
                }
                _ => self.tool(tool, |name| name, dropped)?,
            }
        }
        Ok(())
    }

    fn tool(
        &mut self,
        tool: Object<'_, 'a>,
        name: impl FnOnce(Name<'a>) -> Name<'a>,
        dropped: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let free_form = match &*tool.needed("type")? {
            "function" => false,
            "custom" => true,
            // TOOL-6: a vendor's own tool exists nowhere else.
            _ => {
                self.hosted = true;
                drop_once(dropped, "tools");
                return Ok(());
            }
        };
        tool.strangers(FUNCTION, dropped);
        // Other providers cannot search for it, so it is offered at once.
        if tool.flag("defer_loading")? == Some(true) {
            drop_once(dropped, "tools[].defer_loading");
        }
        let schema = tool.object(if free_form { "format" } else { "parameters" })?;
        let tool = Tool {
            name: name(Name { free_form, ..Name::plain(tool.needed("name")?) }),
            description: tool.text("description")?,
            schema: schema.map(|schema| Schema::from(schema).placed("tools[].parameters")),
            strict: tool.flag("strict")?,
        };
        if !self.tools.iter().any(|known| known.name == tool.name) {
            self.tools.push(tool);
        }
        Ok(())
    }

    /// Returns the tool that a choice names. Choices have no namespaces.
    fn named(&self, text: &str, free_form: bool) -> Option<Name<'a>> {
        let fits = |tool: &&Tool<'a>| tool.name.text == text && tool.name.free_form == free_form;
        let mut found = self.tools.iter().filter(fits);
        let plain = found.clone().find(|tool| tool.name.namespace.is_none());
        plain.or_else(|| found.next()).map(|tool| tool.name.clone())
    }
}

/// Decodes the choice among the tools. Forcing a hosted tool is refused; a choice without tools is
/// ignored.
pub(super) fn read_choice<'a>(
    fields: Object<'_, 'a>,
    tools: &Toolbox<'a>,
    dropped: &mut Vec<String>,
) -> Result<Option<Said<'a, ToolChoice<'a>>>, Failure> {
    let Some(choice) = fields.find("tool_choice") else { return Ok(None) };
    let none_left = tools.tools.is_empty();
    let read = if let Some(word) = choice.text() {
        match word {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" if none_left && tools.hosted => return Err(forced()),
            "required" => ToolChoice::Required,
            _ => return Err(fields.unknown("tool_choice")),
        }
    } else {
        let choice = Object::of(choice, "tool_choice")?;
        match &*choice.needed("type")? {
            "function" => ToolChoice::Tool(named(choice, tools, false)?),
            "custom" => ToolChoice::Tool(named(choice, tools, true)?),
            "allowed_tools" => among(choice, tools)?,
            _ => return Err(forced()),
        }
    };
    if none_left {
        if !matches!(read, ToolChoice::Auto | ToolChoice::None) {
            drop_once(dropped, "tool_choice");
        }
        return Ok(None);
    }
    Ok(Some(Said::new(read, "tool_choice")))
}

fn among<'a>(choice: Object<'_, 'a>, tools: &Toolbox<'a>) -> Result<ToolChoice<'a>, Failure> {
    let required = match choice.text("mode")?.as_deref() {
        None | Some("auto") => false,
        Some("required") => true,
        Some(_) => return Err(choice.unknown("mode")),
    };
    let mut names = Vec::new();
    for (nth, tool) in choice.list("tools")?.iter().enumerate() {
        let path = choice.path(&format!("tools[{nth}]"));
        let tool = Object::of(tool, &path)?;
        match &*tool.needed("type")? {
            "function" => names.push(named(tool, tools, false)?),
            "custom" => names.push(named(tool, tools, true)?),
            // It is dropped with the tool.
            _ => {}
        }
    }
    match names.is_empty() {
        true if required => Err(forced()),
        true => Ok(ToolChoice::None),
        false => Ok(ToolChoice::Among(names, required)),
    }
}

/// Returns the tool named in a choice. The target refuses unknown ones.
fn named<'a>(
    choice: Object<'_, 'a>,
    tools: &Toolbox<'a>,
    free_form: bool,
) -> Result<Name<'a>, Failure> {
    let text = choice.needed("name")?;
    let found = tools.named(&text, free_form);
    Ok(found.unwrap_or(Name { free_form, ..Name::plain(text) }))
}

fn forced() -> Failure {
    Failure::unsayable(
        "tool_choice",
        "`tool_choice` forces a tool that only the provider of another model can run",
    )
}
