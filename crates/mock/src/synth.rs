//! Values that fit a JSON schema: arguments for tools, and structured answers.

use serde_json::{Map, Value, json};

/// How deeply a schema is followed; a recursive one ends there.
const DEPTH: u32 = 12;

/// A plain value that fits `schema`. References are looked up in `schema` itself.
pub(crate) fn value(schema: &Value) -> Value {
    fit("value", schema, schema, DEPTH)
}

fn fit(name: &str, schema: &Value, root: &Value, depth: u32) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    if let Some(path) = schema["$ref"].as_str() {
        let found = path.strip_prefix('#').and_then(|path| root.pointer(path));
        return found.map_or(Value::Null, |found| fit(name, found, root, depth - 1));
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[choice].as_array().and_then(|all| all.first()) {
            return fit(name, first, root, depth - 1);
        }
    }
    match kind(schema).as_str() {
        "object" => object(schema, root, depth),
        "array" => json!([fit(name, &schema["items"], root, depth - 1)]),
        "integer" => schema.get("minimum").cloned().unwrap_or(json!(3)),
        "number" => schema.get("minimum").cloned().unwrap_or(json!(2.5)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(text(name, &schema["format"])),
    }
}

/// Google writes types in capitals, OpenAI lists null beside them.
fn kind(schema: &Value) -> String {
    let kinds = match &schema["type"] {
        Value::Array(all) => all.iter().find_map(|kind| kind.as_str().filter(|k| *k != "null")),
        one => one.as_str(),
    };
    match kinds {
        Some(kind) => kind.to_ascii_lowercase(),
        None if schema["properties"].is_object() => "object".to_owned(),
        None => "string".to_owned(),
    }
}

fn object(schema: &Value, root: &Value, depth: u32) -> Value {
    let Some(properties) = schema["properties"].as_object() else { return json!({}) };
    let required = schema["required"].as_array();
    let is_required =
        |name: &str| required.is_none_or(|all| all.iter().any(|required| required == name));
    let members = properties
        .iter()
        .filter(|(name, _)| is_required(name))
        .map(|(name, schema)| (name.clone(), fit(name, schema, root, depth - 1)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn text(name: &str, format: &Value) -> &'static str {
    match (format.as_str().unwrap_or_default(), name.to_ascii_lowercase().as_str()) {
        ("date", _) => "2026-11-21",
        ("date-time", _) => "2026-11-21T09:00:00Z",
        ("email", _) => "someone@example.com",
        ("uri" | "url", _) => "https://example.com/",
        (_, name) if name.contains("city") || name.contains("location") => "東京 (Tōkyō)",
        (_, name) if name.contains("command") => "ls",
        (_, name) if name.contains("path") || name.contains("file") => "README.md",
        _ => "mock “text” – 文字",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_their_schema() {
        let check = |schema: Value, want: Value| assert_eq!(value(&schema), want, "{schema}");
        check(json!({"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}), json!({"n": 3}));
        check(
            json!({"type": "object", "required": ["a"],
                "properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "string"}}}),
            json!({"a": "x"}),
        );
        check(json!({"type": ["null", "boolean"]}), json!(true));
        check(json!({"anyOf": [{"type": "number", "minimum": 7}]}), json!(7));
        check(
            json!({"$defs": {"d": {"type": "string", "format": "date"}},
                "type": "array", "items": {"$ref": "#/$defs/d"}}),
            json!(["2026-11-21"]),
        );
        check(json!({"type": "object"}), json!({}));
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert!(value(&schema).to_string().len() < 200);
    }
}
