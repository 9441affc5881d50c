//! Decodes functions and the choice among them.

use super::{
    fields::{each, list, nth, object, text, wrong},
    spelling,
};
use crate::{
    Failure, Value,
    chat::{Name, Request, Said, Schema, Tool, ToolChoice},
};

/// Decodes `tools`. Tools that Google runs itself are only noted.
pub(super) fn tools<'a>(
    value: &Value<'a>,
    path: &str,
    request: &mut Request<'a>,
) -> Result<(), Failure> {
    let mut hosted = false;
    for (n, tool) in list(value).iter().enumerate() {
        let at = nth(value, path, n);
        for (name, path, declarations) in each(object(tool, &at)?, &at) {
            if &*name != "functionDeclarations" {
                hosted = true;
                continue;
            }
            for (n, declaration) in list(declarations).iter().enumerate() {
                let path = nth(declarations, &path, n);
                request.tools.push(function(declaration, &path, &mut request.dropped)?);
            }
        }
    }
    if hosted {
        request.dropped.push(path.to_owned());
    }
    Ok(())
}

fn function<'a>(
    declaration: &Value<'a>,
    path: &str,
    dropped: &mut Vec<String>,
) -> Result<Tool<'a>, Failure> {
    let name = declaration.get("name").cow().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| wrong(&format!("{path}.name"), "the name of a function"))?;
    let mut tool = Tool { name: Name::plain(name), description: None, schema: None, strict: None };
    let mut own = None;
    for (name, path, value) in each(object(declaration, path)?, path) {
        match &*name {
            "name" => {}
            "description" => tool.description = Some(text(value, &path)?),
            "parametersJsonSchema" => tool.schema = Some(Schema::from(value)),
            "parameters" => own = Some(object(value, &path)?),
            _ => dropped.push(path),
        }
    }
    tool.schema = tool.schema.or_else(|| own.map(spelling::lower));
    Ok(tool)
}

/// Reads `toolConfig`.
pub(super) fn tool_config<'a>(
    value: &Value<'a>,
    path: &str,
    request: &mut Request<'a>,
) -> Result<(), Failure> {
    for (name, path, value) in each(object(value, path)?, path) {
        match &*name {
            "functionCallingConfig" => calling(value, path, request)?,
            _ => request.dropped.push(path),
        }
    }
    Ok(())
}

fn calling<'a>(value: &Value<'a>, path: String, request: &mut Request<'a>) -> Result<(), Failure> {
    let mut mode = "AUTO".into();
    let mut mode_path = path.clone();
    let mut allowed = Vec::new();
    for (name, path, value) in each(object(value, &path)?, &path) {
        match &*name {
            "mode" => {
                mode = text(value, &path)?;
                mode_path = path;
            }
            "allowedFunctionNames" => {
                for name in list(value) {
                    allowed.push(Name::plain(text(name, &path)?));
                }
            }
            // Calls are always sent whole.
            "streamFunctionCallArguments" => {}
            _ => request.dropped.push(path),
        }
    }
    let only = allowed.len() == 1;
    let choice = match &*mode.to_ascii_uppercase() {
        "NONE" => ToolChoice::None,
        "ANY" if only => ToolChoice::Tool(allowed.swap_remove(0)),
        "ANY" if allowed.is_empty() => ToolChoice::Required,
        "ANY" => ToolChoice::Among(allowed, true),
        "AUTO" | "VALIDATED" | "MODE_UNSPECIFIED" if allowed.is_empty() => ToolChoice::Auto,
        "AUTO" | "VALIDATED" | "MODE_UNSPECIFIED" => ToolChoice::Among(allowed, false),
        _ => return Err(wrong(&mode_path, "`AUTO`, `ANY`, `NONE` or `VALIDATED`")),
    };
    request.tool_choice = Some(Said::new(choice, path));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, expected: ToolChoice<'_>) {
        let config = format!(r#"{{"function_calling_config":{config}}}"#);
        let value = Value::of(&config).unwrap();
        let mut request = Request::default();
        tool_config(&value, "tool_config", &mut request).unwrap();
        let said = Said::new(expected, "tool_config.function_calling_config");
        assert_eq!(request.tool_choice, Some(said), "{config}");
    }

    #[test]
    fn choices_are_those_of_all_dialects() {
        let names = || vec![Name::plain("f"), Name::plain("g")];
        check(r#"{"mode":"AUTO"}"#, ToolChoice::Auto);
        check("{}", ToolChoice::Auto);
        check(r#"{"mode":"none"}"#, ToolChoice::None);
        check(r#"{"mode":"ANY"}"#, ToolChoice::Required);
        check(
            r#"{"mode":"ANY","allowed_function_names":["f"]}"#,
            ToolChoice::Tool(Name::plain("f")),
        );
        check(
            r#"{"mode":"ANY","allowedFunctionNames":["f","g"]}"#,
            ToolChoice::Among(names(), true),
        );
        check(
            r#"{"mode":"VALIDATED","allowedFunctionNames":["f","g"]}"#,
            ToolChoice::Among(names(), false),
        );
    }

    #[test]
    fn a_schema_may_come_in_either_form() {
        let declared = r#"[{"function_declarations":[
            {"name":"f","description":"d","parameters":{"type":"STRING","nullable":true}},
            {"name":"g","parameters_json_schema":{"some_key":{}},"parameters":{"type":"STRING"}},
            {"name":"h","response":{}}]}]"#;
        let value = Value::of(declared).unwrap();
        let mut request = Request::default();
        tools(&value, "tools", &mut request).unwrap();
        let schemas: Vec<_> =
            request.tools.iter().map(|tool| tool.schema.as_ref().map(Schema::raw)).collect();
        assert_eq!(
            schemas,
            [Some(r#"{"type":["string","null"]}"#), Some(r#"{"some_key":{}}"#), None]
        );
        assert_eq!(request.dropped, ["tools[0].function_declarations[2].response"]);
    }
}
