//! JSON schemas as the vendors take them: OpenAI's strict form, and Gemini's own `Schema`.

use serde_json::Value;

use super::{Fault, Sound, fault, must, one_of, only};

/// Every object says that nothing else may stand in it, and every property is required.
pub(super) fn strict(schema: &Value, at: &str) -> Sound {
    let Some(members) = schema.as_object() else { return Ok(()) };
    if let Some(properties) = schema["properties"].as_object() {
        let closed = schema["additionalProperties"] == false;
        must(closed, at, "'additionalProperties' is required to be false in a strict schema")?;
        let required = schema["required"].as_array();
        let all = properties
            .keys()
            .all(|name| required.is_some_and(|all| all.iter().any(|required| required == name)));
        must(all, at, "'required' must name every property in a strict schema")?;
        for (name, schema) in properties {
            strict(schema, &format!("{at}.{name}"))?;
        }
    }
    for name in ["items", "$defs", "anyOf"] {
        match members.get(name) {
            Some(Value::Array(all)) => all.iter().try_for_each(|schema| strict(schema, at))?,
            Some(Value::Object(all)) if name == "$defs" => {
                all.values().try_for_each(|schema| strict(schema, at))?;
            }
            Some(schema) => strict(schema, at)?,
            None => {}
        }
    }
    Ok(())
}

const GEMINI: &[&str] = &[
    "anyOf",
    "default",
    "description",
    "enum",
    "example",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "nullable",
    "pattern",
    "properties",
    "propertyOrdering",
    "required",
    "title",
    "type",
];

/// Gemini's `Schema`: few keywords, one type, and nothing that refers to elsewhere.
pub(super) fn gemini(schema: &Value, at: &str) -> Sound {
    only(schema, at, GEMINI)?;
    // It wants them in capitals, and takes them as they come.
    let kind = &Value::from(schema["type"].as_str().unwrap_or_default().to_ascii_uppercase());
    if schema.get("type").is_some() || schema.get("anyOf").is_none() {
        const KINDS: &[&str] =
            &["STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"];
        one_of(kind, &format!("{at}.type"), KINDS)?;
    }
    if kind == "ARRAY" {
        gemini(&schema["items"], &format!("{at}.items"))?;
    }
    if let Some(values) = schema["enum"].as_array() {
        let texts = kind == "STRING" && values.iter().all(Value::is_string);
        must(texts, at, "only strings may have an enum")?;
    }
    if let Some(format) = schema.get("format") {
        const FORMATS: &[&str] = &["date-time", "enum", "int32", "int64", "float", "double"];
        one_of(format, &format!("{at}.format"), FORMATS)?;
    }
    let none = serde_json::Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    if kind == "OBJECT" && schema.get("properties").is_some() {
        must(!properties.is_empty(), at, "properties: should be non-empty for OBJECT type")?;
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        let known = required.as_str().is_some_and(|name| properties.contains_key(name));
        must(known, at, "required: a property is not defined")?;
    }
    for (name, schema) in properties {
        gemini(schema, &format!("{at}.properties[{name}]"))?;
    }
    schema["anyOf"].as_array().into_iter().flatten().try_for_each(|schema| gemini(schema, at))
}

/// Keywords that Anthropic takes in the schemas of answers and of strict tools.
const ANTHROPIC: &[&str] = &[
    "$defs",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "definitions",
    "description",
    "enum",
    "format",
    "items",
    "minItems",
    "properties",
    "required",
    "title",
    "type",
];

/// Anthropic's part of JSON schema: closed objects, without bounds, lengths and patterns.
pub(super) fn anthropic(schema: &Value, at: &str) -> Sound {
    only(schema, at, ANTHROPIC)?;
    let object = schema["type"] == "object" || schema["properties"].is_object();
    let closed = schema["additionalProperties"] == false;
    must(!object || closed, at, "'additionalProperties' must be explicitly set to false")?;
    must(schema["minItems"].as_u64().is_none_or(|n| n < 2), at, "'minItems' must be 0 or 1")?;
    if let Some(format) = schema.get("format") {
        const FORMATS: &[&str] = &[
            "date-time",
            "time",
            "date",
            "duration",
            "email",
            "hostname",
            "uri",
            "ipv4",
            "ipv6",
            "uuid",
        ];
        one_of(format, &format!("{at}.format"), FORMATS)?;
    }
    for name in ["properties", "$defs", "definitions"] {
        for (name, schema) in schema[name].as_object().into_iter().flatten() {
            anthropic(schema, &format!("{at}.{name}"))?;
        }
    }
    for name in ["anyOf", "allOf"] {
        let all = schema[name].as_array().into_iter().flatten();
        all.into_iter().try_for_each(|schema| anthropic(schema, at))?;
    }
    if schema["items"].is_object() { anthropic(&schema["items"], at) } else { Ok(()) }
}

/// A plain JSON schema of an object.
pub(super) fn object(schema: &Value, at: &str) -> Sound {
    match schema["type"].as_str() {
        Some("object") => Ok(()),
        _ => fault(at, "the schema must have the type 'object'"),
    }
}

/// The schema of a structured answer, which must have a name for OpenAI.
pub(super) fn answer(format: &Value, at: &str) -> Result<(), Fault> {
    only(format, at, &["type", "name", "description", "schema", "strict"])?;
    super::name(&format["name"], &format!("{at}.name"), 64)?;
    must(format["schema"].is_object(), at, "missing 'schema'")?;
    if format["strict"] == true { strict(&format["schema"], at) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strict_schema_leaves_nothing_open() {
        let check = |schema: Value, sound: bool| {
            assert_eq!(strict(&schema, "x").is_ok(), sound, "{schema}");
        };
        let closed = json!({"type": "object", "properties": {"a": {"type": "string"}},
            "required": ["a"], "additionalProperties": false});
        check(closed.clone(), true);
        check(json!({"type": "array", "items": closed}), true);
        let open = json!({"type": "object", "properties": {"a": {}}, "required": ["a"]});
        check(open.clone(), false);
        check(json!({"$defs": {"o": open}}), false);
        check(json!({"properties": {"a": {}}, "additionalProperties": false}), false);
    }

    #[test]
    fn anthropics_schema_is_closed_and_without_bounds() {
        let check = |schema: Value, sound: bool| {
            assert_eq!(anthropic(&schema, "x").is_ok(), sound, "{schema}");
        };
        let closed = |inner: Value| json!({"type": "object", "properties": {"a": inner}, "additionalProperties": false});
        check(closed(json!({"type": "string", "format": "uuid", "enum": ["a"]})), true);
        check(closed(json!({"type": "array", "items": {"type": "string"}, "minItems": 1})), true);
        check(json!({"type": "object"}), false);
        check(closed(json!({"type": "object", "properties": {}})), false);
        check(closed(json!({"type": "string", "minLength": 1})), false);
        check(closed(json!({"type": "string", "format": "regex"})), false);
        check(closed(json!({"type": "array", "minItems": 2})), false);
        check(json!({"anyOf": [{"type": "integer", "minimum": 0}]}), false);
    }

    #[test]
    fn geminis_schema_is_a_small_part() {
        let check = |schema: Value, sound: bool| {
            assert_eq!(gemini(&schema, "x").is_ok(), sound, "{schema}");
        };
        check(json!({"type": "STRING", "nullable": true, "enum": ["a"]}), true);
        check(json!({"type": "string"}), true);
        check(json!({"type": ["string", "null"]}), false);
        check(json!({"type": "ARRAY"}), false);
        check(json!({"type": "INTEGER", "enum": [1]}), false);
        check(json!({"type": "OBJECT", "properties": {}}), false);
        check(json!({"type": "OBJECT", "required": ["a"]}), false);
        check(json!({"type": "OBJECT", "additionalProperties": false}), false);
        check(json!({"anyOf": [{"type": "STRING"}, {"$ref": "#"}]}), false);
        check(json!({"type": "STRING", "format": "uuid"}), false);
    }
}
