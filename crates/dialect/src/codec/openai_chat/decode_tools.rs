//! Decodes the tools of a request and the choice among them.

use std::borrow::Cow;

use super::decode_faults::{missing, optional, unknown, wrong};
use crate::{
    Failure, Value,
    chat::{Name, Request, Said, Schema, Tool, ToolChoice},
};

/// Decodes `tools` and `tool_choice`, or the older `functions` and `function_call`.
pub(super) fn tools<'a>(root: &Value<'a>, request: &mut Request<'a>) -> Result<(), Failure> {
    let mut hosted = root.find("web_search_options").is_some();
    for (at, tool) in list(root, "tools")?.iter().enumerate() {
        let path = format!("tools[{at}]");
        match tool.get("type").text() {
            Some("function") => {
                let known = ["type", "function", "cache_control"];
                unknown(tool, &path, &[&known], &mut request.dropped);
                let path = format!("{path}.function");
                let inner = tool.find("function").ok_or_else(|| missing(path.as_str()))?;
                request.tools.push(function(inner, &path, &mut request.dropped)?);
            }
            Some("custom") => {
                let known = ["type", "custom", "cache_control"];
                unknown(tool, &path, &[&known], &mut request.dropped);
                let path = format!("{path}.custom");
                let inner = tool.find("custom").ok_or_else(|| missing(path.as_str()))?;
                let known = ["name", "description", "format"];
                unknown(inner, &path, &[&known], &mut request.dropped);
                request.tools.push(Tool {
                    name: Name { free_form: true, ..name(inner, &path)? },
                    description: optional(inner, &path, "description", "a string", Value::cow)?,
                    schema: inner.find("format").map(Schema::from),
                    strict: None,
                });
            }
            // A tool that the provider runs itself exists nowhere else.
            Some(_) => {
                hosted = true;
                if !request.dropped.iter().any(|path| path == "tools") {
                    request.dropped.push("tools".to_owned());
                }
            }
            None => return Err(wrong(format!("{path}.type"), "a string")),
        }
    }
    for (at, inner) in list(root, "functions")?.iter().enumerate() {
        let path = format!("functions[{at}]");
        request.tools.push(function(inner, &path, &mut request.dropped)?);
        // A client of that version reads one call, in another member.
        request.wish.function_call = root.find("tools").is_none();
        request.parallel_calls.get_or_insert_with(|| Said::new(false, "functions"));
    }
    request.tool_choice = match root.find("tool_choice") {
        Some(choice) => Some(Said::new(tool_choice(choice)?, "tool_choice")),
        None => function_call(root.get("function_call"))?,
    };
    if request.tools.is_empty() {
        // Without tools there is nothing to choose from.
        request.parallel_calls = None;
        let choice = request.tool_choice.take();
        if hosted && choice.is_some_and(|said| said.value == ToolChoice::Required) {
            return Err(not_here("a tool of the vendor's own"));
        }
    }
    Ok(())
}

fn list<'v, 'a>(root: &'v Value<'a>, name: &str) -> Result<&'v [Value<'a>], Failure> {
    match root.find(name) {
        None => Ok(&[]),
        Some(list) if list.is_array() => Ok(list.items()),
        Some(_) => Err(wrong(name, "a list")),
    }
}

fn name<'a>(inner: &Value<'a>, path: &str) -> Result<Name<'a>, Failure> {
    match inner.get("name").cow() {
        Some(name) if !name.is_empty() => Ok(Name::plain(name)),
        _ => Err(wrong(format!("{path}.name"), "a string that is not empty")),
    }
}

fn function<'a>(
    inner: &Value<'a>,
    path: &str,
    dropped: &mut Vec<String>,
) -> Result<Tool<'a>, Failure> {
    let schema = match inner.find("parameters") {
        None => None,
        Some(schema) if schema.is_object() => {
            let at = if path.starts_with("tools") { "tools[].function" } else { "functions[]" };
            Some(Schema::from(schema).placed(format!("{at}.parameters")))
        }
        Some(_) => return Err(wrong(format!("{path}.parameters"), "an object")),
    };
    let known = ["name", "description", "parameters", "strict", "cache_control"];
    unknown(inner, path, &[&known], dropped);
    Ok(Tool {
        name: name(inner, path)?,
        description: optional(inner, path, "description", "a string", Value::cow)?,
        schema,
        strict: optional(inner, path, "strict", "true or false", Value::bool)?,
    })
}

fn tool_choice<'a>(choice: &Value<'a>) -> Result<ToolChoice<'a>, Failure> {
    if let Some(word) = choice.text() {
        return match word {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(wrong("tool_choice", "`auto`, `none`, `required` or an object")),
        };
    }
    match choice.get("type").text() {
        Some("allowed_tools") => {
            let inner = choice.find("allowed_tools").unwrap_or(choice);
            let names = inner.get("tools").items().iter().map(named).collect::<Result<_, _>>()?;
            Ok(ToolChoice::Among(names, inner.get("mode").text() == Some("required")))
        }
        Some(_) => named(choice).map(ToolChoice::Tool),
        None => Err(wrong("tool_choice", "`auto`, `none`, `required` or an object")),
    }
}

/// `{"type": "function", "function": {"name": …}}`
fn named<'a>(one: &Value<'a>) -> Result<Name<'a>, Failure> {
    match one.get("type").text() {
        Some("function") => name(one.get("function"), "tool_choice.function"),
        Some("custom") => {
            let name = name(one.get("custom"), "tool_choice.custom")?;
            Ok(Name { free_form: true, ..name })
        }
        other => Err(not_here(other.unwrap_or("a tool without a type"))),
    }
}

fn not_here(what: &str) -> Failure {
    Failure::unsayable(
        "tool_choice",
        format!("`tool_choice`: {what} cannot be called on this model"),
    )
}

fn function_call<'a>(choice: &Value<'a>) -> Result<Option<Said<'a, ToolChoice<'a>>>, Failure> {
    let choice = match choice.text() {
        Some("auto") => ToolChoice::Auto,
        Some("none") => ToolChoice::None,
        _ if choice.is_null() => return Ok(None),
        _ if choice.is_object() => ToolChoice::Tool(name(choice, "function_call")?),
        _ => return Err(wrong("function_call", "`auto`, `none` or an object")),
    };
    Ok(Some(Said { value: choice, path: Cow::Borrowed("function_call") }))
}
