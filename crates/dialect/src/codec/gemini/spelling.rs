//! Converts Google's spelling of schemas to JSON Schema.
//!
//! Types become lower case, `nullable` becomes one of the types, bounds in strings become numbers,
//! and keywords that only Google reads (`propertyOrdering`, `format: enum`) are dropped.

use super::fields::camel;
use crate::{
    Value,
    chat::Schema,
    write::{self, Object},
};

/// Returns the schema as JSON Schema.
pub(super) fn lower(schema: &Value<'_>) -> Schema<'static> {
    let mut out = Vec::new();
    write::object(&mut out, |o| members(schema, o));
    Schema::written(String::from_utf8(out).expect("only text was written"))
}

fn members(schema: &Value<'_>, o: &mut Object<'_>) {
    let nullable = schema.get("nullable").bool() == Some(true);
    let mut typed = false;
    for (name, value) in schema.members() {
        let camel = camel(name);
        match &*camel {
            _ if value.is_null() && &*camel != "default" => {}
            "nullable" | "propertyOrdering" => {}
            "type" if value.text() == Some("TYPE_UNSPECIFIED") => {}
            "type" => {
                typed = true;
                kind(value, nullable, o);
            }
            "format" if value.text() == Some("enum") => {}
            "enum" if nullable => o.array("enum", |a| {
                value.items().iter().for_each(|item| a.raw(item.raw()));
                a.raw("null");
            }),
            "properties" => named(o, "properties", value),
            "defs" | "$defs" => named(o, "$defs", value),
            "items" | "additionalProperties" if value.is_object() => {
                o.object(&camel, |o| members(value, o));
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => o.array(&camel, |a| {
                for item in value.items() {
                    a.object(|o| members(item, o));
                }
                if nullable && &*camel == "anyOf" && schema.get("type").is_null() {
                    a.object(|o| o.text("type", "null"));
                }
            }),
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties"
            | "maxProperties" | "minimum" | "maximum" => o.raw(&camel, bound(value)),
            // JSON Schema has a list of examples.
            "example" => o.array("examples", |a| a.raw(value.raw())),
            "ref" => match value.text().and_then(|path| path.strip_prefix("#/defs/")) {
                Some(name) => o.joined("$ref", &["#/$defs/", name]),
                None => o.raw("$ref", value.raw()),
            },
            _ if name.starts_with('$') => o.raw(name, value.raw()),
            _ => o.raw(&camel, value.raw()),
        }
    }
    if nullable && !typed && schema.find("anyOf").or(schema.find("any_of")).is_none() {
        o.bool("nullable", true);
    }
}

/// Writes schemas by their names, which belong to the client.
fn named(o: &mut Object<'_>, name: &str, all: &Value<'_>) {
    o.object(name, |o| {
        for (name, schema) in all.members() {
            o.object(name, |o| members(schema, o));
        }
    });
}

fn kind(value: &Value<'_>, nullable: bool, o: &mut Object<'_>) {
    match value.text() {
        Some(name) if nullable => o.texts("type", [&*name.to_ascii_lowercase(), "null"]),
        Some(name) => o.text("type", &name.to_ascii_lowercase()),
        None => o.array("type", |a| {
            for name in value.items().iter().filter_map(Value::text) {
                a.text(&name.to_ascii_lowercase());
            }
        }),
    }
}

/// Reads a bound; Google writes 64-bit integers as strings.
fn bound<'a>(value: &Value<'a>) -> &'a str {
    let raw = value.raw();
    let bare = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    bare.filter(|bare| Value::of(bare).is_ok_and(|value| value.number().is_some())).unwrap_or(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str, expected: &str) {
        assert_eq!(lower(&Value::of(schema).unwrap()).raw(), expected, "{schema}");
    }

    #[test]
    fn googles_spelling_becomes_that_of_json_schema() {
        check(r#"{"type":"STRING"}"#, r#"{"type":"string"}"#);
        check(r#"{"type":"STRING","nullable":true}"#, r#"{"type":["string","null"]}"#);
        check(r#"{"type":"STRING","nullable":false}"#, r#"{"type":"string"}"#);
        check(
            r#"{"type":"STRING","format":"enum","enum":["A"],"nullable":true}"#,
            r#"{"type":["string","null"],"enum":["A",null]}"#,
        );
        check(
            r#"{"type":"ARRAY","min_items":"1","items":{"type":"INTEGER","format":"int32"}}"#,
            r#"{"type":"array","minItems":1,"items":{"type":"integer","format":"int32"}}"#,
        );
        check(
            r#"{"type":"OBJECT","properties":{"min_items":{"type":"NUMBER"},"TYPE":{}},"propertyOrdering":["TYPE"]}"#,
            r#"{"type":"object","properties":{"min_items":{"type":"number"},"TYPE":{}}}"#,
        );
        check(
            r#"{"any_of":[{"type":"STRING"}],"nullable":true,"title":null}"#,
            r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
        );
        check(
            r#"{"type":"STRING","example":"x","default":null}"#,
            r#"{"type":"string","examples":["x"],"default":null}"#,
        );
    }

    #[test]
    fn what_was_json_schema_already_stays() {
        let schema = r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"required":["a"],"$defs":{"A":{"type":["string","null"]}},"additionalProperties":false}"##;
        check(schema, schema);
        check(
            r##"{"ref":"#/defs/a_b","defs":{"a_b":{"type":"STRING"}}}"##,
            r##"{"$ref":"#/$defs/a_b","$defs":{"a_b":{"type":"string"}}}"##,
        );
    }
}
