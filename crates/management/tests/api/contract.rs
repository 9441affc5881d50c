//! The description as a contract: it is whole, and every answer that any test here gets is one that
//! it describes.

use std::{collections::BTreeSet, sync::LazyLock};

use axum::http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

static DOCUMENT: LazyLock<Value> = LazyLock::new(management::document);

/// Panics unless the description has this answer: its status, and every field of its body. Paths
/// and methods that are not served are nobody's contract.
#[track_caller]
pub(crate) fn check(
    method: &Method,
    target: &str,
    status: StatusCode,
    headers: &HeaderMap,
    text: &str,
) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Some((template, operation)) = operation(method, path) else { return };
    let place = format!("{method} {template} {status}");
    if status == StatusCode::NOT_MODIFIED {
        return;
    }
    let answer = &operation["responses"][status.as_str()];
    assert!(answer.is_object(), "{place} is not described; it came with {text}");
    let answer = resolved(answer);
    if status.is_success() {
        let described: BTreeSet<&str> = list(&operation["parameters"])
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        for field in query.split('&').filter(|field| !field.is_empty()) {
            let name = field.split('=').next().unwrap_or_default();
            assert!(described.contains(name), "{place}: the parameter {name} is not described");
        }
    }
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap());
    let Some(kind) = kind.filter(|_| !text.is_empty()) else { return };
    let kind = kind.split(';').next().unwrap();
    let schema = &answer["content"][kind]["schema"];
    assert!(schema.is_object(), "{place}: {kind} is not described");
    let json = kind.ends_with("/json") || kind.ends_with("+json");
    if json && !headers.contains_key(header::CONTENT_ENCODING) {
        let value = serde_json::from_str(text).unwrap();
        if let Err(wrong) = fits(schema, &value, false) {
            panic!("{place}: {wrong}, in {text}");
        }
    }
}

/// The operation that answers, with the template of its path: the one that names most of it.
fn operation(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let method = method.as_str().to_lowercase();
    let variable = |template: &str| template.matches('{').count();
    let paths = DOCUMENT["paths"].as_object()?.iter();
    let (template, operations) = paths
        .filter(|(template, _)| {
            let (known, asked): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            known.len() == asked.len()
                && known
                    .iter()
                    .zip(asked)
                    .all(|(known, part)| known.starts_with('{') || *known == part)
        })
        .min_by_key(|(template, _)| variable(template))?;
    Some((template, operations.get(&method)?))
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether a value has the form of a schema, or what is wrong. `part` is one of several schemas
/// that together describe an object.
fn fits(schema: &'static Value, value: &Value, part: bool) -> Result<(), String> {
    let schema = resolved(schema);
    if let Some(parts) = schema["allOf"].as_array() {
        for schema in parts {
            fits(schema, value, true)?;
        }
        return known(&names(schema), value);
    }
    for choices in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choices].as_array() {
            let wrong: Vec<_> =
                choices.iter().filter_map(|choice| fits(choice, value, part).err()).collect();
            return if wrong.len() < choices.len() { Ok(()) } else { Err(wrong.join(" and ")) };
        }
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        return Err(format!("{value} is none of {words:?}"));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let whole = kind == "integer" && kinds.contains(&"number");
    if !kinds.is_empty() && !kinds.contains(&kind) && !whole {
        return Err(format!("{value} is not of {kinds:?}"));
    }
    if let (Some(value), Some(least)) = (value.as_f64(), schema["minimum"].as_f64()) {
        (value >= least).then_some(()).ok_or(format!("{value} is below {least}"))?;
    }
    if let (Some(value), Some(most)) = (value.as_f64(), schema["maximum"].as_f64()) {
        (value <= most).then_some(()).ok_or(format!("{value} is above {most}"))?;
    }
    for item in list(value) {
        fits(&schema["items"], item, false)?;
    }
    let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
    for required in list(&schema["required"]).filter_map(Value::as_str) {
        value.get(required).ok_or_else(|| format!("{required} is missing"))?;
    }
    for (name, schema) in properties {
        if let Some(value) = value.get(name) {
            fits(schema, value, false).map_err(|wrong| format!("{name}: {wrong}"))?;
        }
    }
    if part { Ok(()) } else { known(&names(schema), value) }
}

/// The fields that a schema describes, those of its parts included.
fn names(schema: &'static Value) -> BTreeSet<&'static str> {
    let schema = resolved(schema);
    let own = schema["properties"].as_object().into_iter().flatten();
    let mut all: BTreeSet<&str> = own.map(|(name, _)| name.as_str()).collect();
    for parts in ["allOf", "oneOf", "anyOf"] {
        list(&schema[parts]).for_each(|part| all.extend(names(part)));
    }
    all
}

fn known(names: &BTreeSet<&str>, value: &Value) -> Result<(), String> {
    let mut fields = value.as_object().into_iter().flatten();
    match fields.find(|(name, _)| !names.contains(name.as_str())) {
        Some((name, _)) => Err(format!("{name} is not described")),
        None => Ok(()),
    }
}

/// Every operation with its place.
fn operations() -> impl Iterator<Item = (String, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

#[test]
fn every_property_and_parameter_says_what_it_is() {
    fn look(value: &Value, place: &str, silent: &mut Vec<String>) {
        let properties = value.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            if property["description"].as_str().is_none_or(str::is_empty) {
                silent.push(format!("{place}.{name}"));
            }
        }
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| {
                    look(
                        value,
                        if name.starts_with(char::is_uppercase) { name } else { place },
                        silent,
                    );
                });
            }
            Value::Array(items) => items.iter().for_each(|value| look(value, place, silent)),
            _ => {}
        }
    }
    let mut silent = Vec::new();
    look(&DOCUMENT["components"]["schemas"], "", &mut silent);
    for (place, operation) in operations() {
        let parameters = list(&operation["parameters"]);
        let without = parameters.filter(|it| it["description"].as_str().is_none_or(str::is_empty));
        silent.extend(without.map(|parameter| format!("{place} {}", parameter["name"])));
        look(operation, &place, &mut silent);
    }
    assert!(silent.is_empty(), "without a description: {silent:#?}");
}

#[test]
fn every_answer_has_a_status_of_its_own_and_words_of_its_own() {
    for (place, operation) in operations() {
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{place}");
        for (status, answer) in answers {
            assert!(status.parse::<u16>().is_ok(), "{place} {status}");
            let words = resolved(answer)["description"].as_str().unwrap();
            let vague = ["it is so", "it was", "why not", "ok"];
            let lower = words.to_lowercase();
            let vague = vague.iter().any(|vague| lower == *vague || lower.starts_with("it was"));
            assert!(!words.is_empty() && !vague, "{place} {status}: {words}");
        }
    }
}

#[test]
fn every_list_is_a_named_object_of_named_items() {
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        if name.starts_with("ListOf_") {
            let items = &schema["properties"]["items"]["items"]["$ref"];
            assert!(items.is_string(), "{name} does not name its items");
            assert!(schema["properties"]["next_cursor"].is_object(), "{name}");
        }
    }
    for (place, operation) in operations() {
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let content = &resolved(answer)["content"];
            let schema =
                content.get("application/json").or(content.get("application/problem+json"));
            let schema = &schema.unwrap_or(&Value::Null)["schema"];
            let named = schema.is_null() || schema["$ref"].is_string();
            assert!(named, "the answer {status} to {place} has no name");
        }
    }
}

#[test]
fn every_answer_and_every_body_has_an_example_that_fits() {
    for (place, operation) in operations() {
        let answers = operation["responses"].as_object().unwrap().iter();
        let answers = answers.filter(|(status, _)| status.starts_with('2'));
        let contents =
            answers.map(|(_, answer)| resolved(answer)).chain(operation.get("requestBody"));
        for schema in contents.map(|it| &it["content"]["application/json"]["schema"]) {
            let Some(name) = schema["$ref"].as_str() else { continue };
            let schema = resolved(schema);
            let (item, example) = match name.contains("ListOf_") {
                true => {
                    let item = resolved(&schema["properties"]["items"]["items"]);
                    (item, &item["example"])
                }
                false => (schema, &schema["example"]),
            };
            assert!(!example.is_null(), "{place}: {name} has no example");
            let wrong = fits(item, example, false);
            assert_eq!(wrong, Ok(()), "{place}: the example of {name}");
        }
    }
}
