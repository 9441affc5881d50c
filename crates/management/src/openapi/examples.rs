//! An example of every answer, made from its schema: what a field is called says what it holds.

use serde_json::{Map, Value, json};

/// Most references that are followed: a schema may hold itself.
const DEEPEST: usize = 8;

/// Gives every schema of an answer an example.
pub(super) fn add(document: &mut Value) {
    let mut names: Vec<String> = Vec::new();
    for answer in answers(document) {
        let Some(name) = answer.strip_prefix("#/components/schemas/") else { continue };
        let item = name.strip_prefix("ListOf_").unwrap_or(name).to_owned();
        if !names.contains(&item) {
            names.push(item);
        }
    }
    for name in names {
        let schema = &document["components"]["schemas"][&name];
        if schema.get("example").is_none() && schema.is_object() {
            let example = of(schema, "", document, 0);
            document["components"]["schemas"][&name]["example"] = example;
        }
    }
}

/// The schemas of all answers that are no refusals.
fn answers(document: &Value) -> Vec<String> {
    let operations = document["paths"].as_object().into_iter().flatten();
    let operations = operations.flat_map(|(_, methods)| methods.as_object().into_iter().flatten());
    operations
        .flat_map(|(_, operation)| operation["responses"].as_object().into_iter().flatten())
        .filter(|(status, _)| status.starts_with('2'))
        .filter_map(|(_, answer)| {
            answer.pointer("/content/application~1json/schema/$ref")?.as_str()
        })
        .map(str::to_owned)
        .collect()
}

/// An example of a value of this schema, in a field of this name.
fn of(schema: &Value, field: &str, document: &Value, depth: usize) -> Value {
    if let Some(example) = schema.get("example").or(schema["examples"].get(0)) {
        return example.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    };
    if let Some(reference) = schema["$ref"].as_str().filter(|_| depth < DEEPEST) {
        let referred = document.pointer(reference.trim_start_matches('#'));
        return referred.map_or(Value::Null, |schema| of(schema, field, document, depth + 1));
    }
    if let Some(word) = schema["enum"].get(0) {
        return word.clone();
    }
    for choices in ["oneOf", "anyOf"] {
        let mut choices = schema[choices].as_array().into_iter().flatten();
        if let Some(choice) = choices.find(|choice| choice["type"] != "null") {
            return of(choice, field, document, depth);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in parts {
            if let Value::Object(members) = of(part, field, document, depth) {
                whole.extend(members);
            }
        }
        return whole.into();
    }
    match kind {
        Some("object") => object(schema, document, depth),
        Some("array") => json!([of(&schema["items"], field, document, depth)]),
        Some("boolean") => json!(true),
        Some("string") => text(schema, field).into(),
        Some("integer" | "number") => number(schema, field),
        _ => json!({}),
    }
}

fn object(schema: &Value, document: &Value, depth: usize) -> Value {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let member =
        |(name, schema): (&String, &Value)| (name.clone(), of(schema, name, document, depth));
    Value::Object(properties.map(member).collect())
}

fn text(schema: &Value, field: &str) -> &'static str {
    match (schema["format"].as_str(), field) {
        (Some("date-time"), _) => "2026-01-31T12:00:00Z",
        (Some("uuid"), _) => "0198c0de-0000-7000-8000-000000000001",
        (_, "name" | "upstream" | "upstream_name" | "candidate") => "openai",
        (_, "base_url") => "https://api.openai.com",
        (_, "provider_key" | "key_name" | "provider_key_name") => "Key 1",
        (_, "service_key_name") => "my app",
        (_, "model" | "models" | "model_asked" | "model_used" | "pattern") => "gpt-5",
        (_, "method") => "POST",
        (_, "path") => "/v1/chat/completions",
        (_, "username") => "admin",
        (_, "email") => "admin@gate.example",
        (_, "client_ip" | "address") => "203.0.113.7",
        (_, "timezone") => "Europe/Berlin",
        (_, "status") => "ok",
        (_, "state") => "closed",
        (_, "next_cursor") => "7b2269223a317d",
        (_, "cost" | "used" | "limit") => "0.0125",
        (_, "request_id") => "0198c0de-0000-7000-8000-000000000002",
        _ => "text",
    }
}

fn number(schema: &Value, field: &str) -> Value {
    let least = schema["minimum"].as_f64().filter(|least| *least > 1.0);
    match (field, least) {
        ("status", _) => json!(200),
        (_, Some(least)) if least.fract() == 0.0 => json!(least as i64),
        (_, Some(least)) => json!(least),
        _ => json!(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_the_form_of_its_schema() {
        let document = json!({"components": {"schemas": {
            "Unit": {"type": "string", "enum": ["requests", "cost"]},
            "Itself": {"type": "object", "properties": {"of": {"$ref": "#/components/schemas/Itself"}}},
        }}});
        let schema = json!({"type": "object", "properties": {
            "id": {"type": "integer"},
            "unit": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Unit"}]},
            "at": {"type": ["string", "null"], "format": "date-time"},
            "tags": {"type": "array", "items": {"type": "string", "example": "paid"}},
        }});
        let expected = json!({
            "id": 1, "unit": "requests", "at": "2026-01-31T12:00:00Z", "tags": ["paid"],
        });
        assert_eq!(of(&schema, "", &document, 0), expected);
        let itself = json!({"$ref": "#/components/schemas/Itself"});
        assert!(of(&itself, "", &document, 0).is_object(), "what holds itself has an end");
    }
}
