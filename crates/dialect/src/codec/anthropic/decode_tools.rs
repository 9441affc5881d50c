//! Decodes the tools of a Messages client: the list of the request and its changes in the
//! conversation.
//!
//! A tool may be withdrawn or added in the middle of a conversation, and one with `defer_loading`
//! is offered only after a search found it. Other dialects have one list for the whole call, which
//! contains the tools that are offered at the end of the conversation.

use std::borrow::Cow;

use super::decode_faults::{bad, missing, unknown};
use crate::{
    Failure, Value,
    chat::{Name, Schema, Tool},
};

/// Known members of a function: those that are decoded, and hints to the provider.
const KNOWN: &[&str] = &[
    "type",
    "name",
    "description",
    "input_schema",
    "strict",
    "cache_control",
    "input_examples",
    "defer_loading",
    "allowed_callers",
    "eager_input_streaming",
];

/// The path with which deferred tools are reported as dropped.
const DEFERRED: &str = "tools[].defer_loading";

/// All tools of a request.
#[derive(Debug, Default)]
pub(super) struct Tools<'a> {
    functions: Vec<Function<'a>>,
    /// The names of tools that Anthropic runs itself, or whose schema only its own models know.
    pub(super) hosted: Vec<Cow<'a, str>>,
    /// Whether Anthropic searches the deferred tools.
    searched: bool,
}

#[derive(Debug)]
struct Function<'a> {
    tool: Tool<'a>,
    offered: bool,
    deferred: bool,
}

/// A change of the tools in the conversation.
#[derive(Debug)]
pub(super) enum Change<'a> {
    /// The tool of this name is offered from here on.
    Offer(Cow<'a, str>),
    /// This new tool is offered from here on.
    Define(Value<'a>),
    /// The tool of this name is not offered any more.
    Withdraw(Cow<'a, str>),
}

impl<'a> Tools<'a> {
    /// Decodes the list of a request.
    pub(super) fn read(body: &Value<'a>, dropped: &mut Vec<String>) -> Result<Self, Failure> {
        let mut tools = Self::default();
        let Some(list) = body.find("tools") else { return Ok(tools) };
        if !list.is_array() {
            return Err(bad("tools", "`tools` must be a list".to_owned()));
        }
        for (at, tool) in list.items().iter().enumerate() {
            tools.add(tool, &format!("tools[{at}]."), dropped)?;
        }
        Ok(tools)
    }

    fn add(
        &mut self,
        tool: &Value<'a>,
        path: &str,
        dropped: &mut Vec<String>,
    ) -> Result<(), Failure> {
        if let Some(kind) = tool.get("type").text().filter(|kind| *kind != "custom") {
            self.searched |= kind.starts_with("tool_search_tool");
            self.hosted.push(tool.get("name").cow().unwrap_or_default());
            return Ok(());
        }
        let name = tool.get("name").cow().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| missing(&format!("{path}name")))?;
        let schema = tool.find("input_schema");
        if schema.is_some_and(|schema| !schema.is_object()) {
            let field = format!("{path}input_schema");
            return Err(bad(&field, format!("`{field}` must be an object")));
        }
        unknown(tool, KNOWN, path, dropped);
        let deferred = tool.get("defer_loading").bool() == Some(true);
        // A later definition replaces an earlier one.
        if path.starts_with("messages") {
            self.functions.retain(|known| known.tool.name.text != name);
        }
        self.functions.push(Function {
            tool: Tool {
                name: Name::plain(name),
                description: tool.get("description").cow(),
                schema: schema.map(|schema| Schema::from(schema).placed("tools[].input_schema")),
                strict: tool.get("strict").bool(),
            },
            offered: !deferred,
            deferred,
        });
        Ok(())
    }

    /// Applies the change at `path`.
    pub(super) fn change(
        &mut self,
        change: &Change<'a>,
        path: &str,
        dropped: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let (name, offered) = match change {
            Change::Define(tool) => return self.add(tool, &format!("{path}.tool."), dropped),
            Change::Offer(name) => (name, true),
            Change::Withdraw(name) => (name, false),
        };
        let known = self.functions.iter_mut().filter(|known| known.tool.name.text == *name);
        let mut found = false;
        for function in known {
            function.offered = offered;
            found = true;
        }
        // The provider's own tools are already reported as dropped.
        if !found && !self.hosted.contains(name) && !dropped.iter().any(|known| known == path) {
            dropped.push(path.to_owned());
        }
        Ok(())
    }

    /// Whether `name` is one of the functions.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.functions.iter().any(|known| known.tool.name.text == name)
    }

    /// Whether the tool is offered.
    pub(super) fn offers(&self, name: &str) -> bool {
        self.functions.iter().any(|known| known.tool.name.text == name && self.shows(known))
    }

    /// Whether no tool is offered.
    pub(super) fn is_empty(&self) -> bool {
        !self.functions.iter().any(|known| self.shows(known))
    }

    /// Whether the tool is shown. If Anthropic would run the search, no other provider could find
    /// deferred tools, so they are shown.
    fn shows(&self, known: &Function<'_>) -> bool {
        known.offered || known.deferred && self.searched
    }

    /// Returns the offered functions. Deferred ones are reported as dropped, because they cannot be
    /// searched.
    pub(super) fn offered(self, dropped: &mut Vec<String>) -> Vec<Tool<'a>> {
        if !self.hosted.is_empty() && !dropped.iter().any(|known| known == "tools") {
            dropped.push("tools".to_owned());
        }
        if self.functions.iter().any(|known| known.deferred && !known.offered) {
            dropped.push(DEFERRED.to_owned());
        }
        let shown: Vec<bool> = self.functions.iter().map(|known| self.shows(known)).collect();
        let offered = self.functions.into_iter().zip(shown).filter(|(_, shown)| *shown);
        offered.map(|(known, _)| known.tool).collect()
    }
}
