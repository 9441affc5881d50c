//! Reduces JSON schemas to the form that Anthropic accepts for answers and strict tools.
//!
//! Objects must be closed, and bounds, lengths, patterns and most formats are refused. They are
//! written into the description instead, as Anthropic's own SDKs do (`transform_schema`), so that
//! the model may still follow them.
//! <https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations>

use crate::{
    Value,
    chat::Schema,
    write::{self, Object},
};

/// The supported formats of strings.
const FORMATS: &[&str] =
    &["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// Keywords without a constraint: they name the standard or describe the schema.
const SILENT: &[&str] =
    &["$schema", "$id", "$anchor", "$comment", "deprecated", "readOnly", "writeOnly"];

/// Most dropped keywords of one schema that are reported.
const MAX_NAMED: usize = 64;

/// Returns the schema in the form that Anthropic accepts. Dropped keywords are added to `dropped`,
/// with the path that the client gave the schema.
pub(super) fn taken(schema: &Schema<'_>, dropped: &mut Vec<String>) -> String {
    let Some(value) = schema.value().filter(Value::is_object) else {
        return schema.raw().to_owned();
    };
    let mut writer = Writer { lost: Vec::new() };
    let taken = write::object_text(|o| writer.schema(o, &value, schema.at()));
    for path in writer.lost {
        if !dropped.contains(&path) {
            dropped.push(path);
        }
    }
    taken
}

/// The treatment of a keyword.
enum Fate {
    Kept,
    /// It is dropped without loss.
    Silent,
    /// It is written into the description.
    Words,
}

struct Writer {
    lost: Vec<String>,
}

impl Writer {
    fn schema(&mut self, o: &mut Object<'_>, schema: &Value<'_>, at: &str) {
        let refers = schema.find("$ref").is_some();
        let object = is_object(schema);
        let mut words = String::new();
        for (name, value) in schema.members() {
            match fate(schema, name, value, refers) {
                Fate::Kept if name == "description" => {}
                Fate::Kept => self.keyword(o, name, value, at),
                Fate::Silent => {}
                Fate::Words => {
                    if !words.is_empty() {
                        words.push_str(", ");
                    }
                    words.push_str(name);
                    words.push_str(": ");
                    words.push_str(value.text().unwrap_or(value.raw()));
                    self.lose(format!("{at}.{name}"));
                }
            }
        }
        if refers {
            // No keyword is allowed beside a reference.
            return;
        }
        if object {
            if schema.find("type").is_none() {
                o.text("type", "object");
            }
            o.bool("additionalProperties", false);
        }
        let own = schema.get("description").text().filter(|text| !text.is_empty());
        match (own, words.is_empty()) {
            (Some(own), false) => o.text("description", &format!("{own}\n\n{{{words}}}")),
            (None, false) => o.text("description", &format!("{{{words}}}")),
            (own, true) => o.text_if("description", own),
        }
    }

    /// Writes a supported keyword and the schemas in it.
    fn keyword(&mut self, o: &mut Object<'_>, name: &str, value: &Value<'_>, at: &str) {
        let at = format!("{at}.{name}");
        match name {
            "properties" | "$defs" | "definitions" => o.object(name, |o| {
                for (name, inner) in value.members() {
                    let at = format!("{at}.{name}");
                    o.object(name, |o| self.schema(o, inner, &at));
                }
            }),
            "anyOf" | "oneOf" | "allOf" => {
                let name = if name == "oneOf" { "anyOf" } else { name };
                o.array(name, |a| {
                    for inner in value.items() {
                        a.object(|o| self.schema(o, inner, &format!("{at}[]")));
                    }
                });
            }
            "items" => o.object(name, |o| self.schema(o, value, &at)),
            _ => o.raw(name, value.raw()),
        }
    }

    fn lose(&mut self, path: String) {
        if self.lost.len() < MAX_NAMED && !self.lost.contains(&path) {
            self.lost.push(path);
        }
    }
}

fn fate(schema: &Value<'_>, name: &str, value: &Value<'_>, refers: bool) -> Fate {
    let kept = |kept: bool| if kept { Fate::Kept } else { Fate::Words };
    let other = |name: &str| schema.find(name).is_some();
    match name {
        "$ref" | "$defs" | "definitions" => Fate::Kept,
        "title" | "description" | "default" if refers => Fate::Silent,
        _ if value.is_null() && !matches!(name, "const" | "default") => Fate::Silent,
        _ if SILENT.contains(&name) => Fate::Silent,
        _ if refers => Fate::Words,
        "type" | "title" | "description" | "default" | "required" => Fate::Kept,
        "properties" => Fate::Kept,
        // Objects are always closed.
        "additionalProperties" if value.bool() == Some(false) => Fate::Silent,
        "enum" => kept(!value.items().is_empty() && value.items().iter().all(is_plain)),
        "const" => kept(is_plain(value)),
        "anyOf" => kept(value.is_array()),
        "oneOf" => kept(value.is_array() && !other("anyOf")),
        "allOf" => kept(value.is_array()),
        "items" => kept(value.is_object()),
        "minItems" => kept(matches!(value.u64(), Some(0 | 1))),
        "format" => kept(value.text().is_some_and(|format| FORMATS.contains(&format))),
        _ => Fate::Words,
    }
}

fn is_plain(value: &Value<'_>) -> bool {
    !value.is_object() && !value.is_array()
}

/// Whether a schema allows objects, perhaps among other types.
fn is_object(schema: &Value<'_>) -> bool {
    let kind = schema.get("type");
    let named = |kind: &Value<'_>| kind.text() == Some("object");
    match kind.is_null() {
        true => schema.get("properties").is_object(),
        false => named(kind) || kind.items().iter().any(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &str, expected: &str, lost: &[&str]) {
        let mut dropped = Vec::new();
        let value = Value::of(schema).unwrap();
        let taken = taken(&Schema::from(&value).placed("s"), &mut dropped);
        assert_eq!(taken, expected, "{schema}");
        assert_eq!(dropped, lost, "{schema}");
    }

    #[test]
    fn every_object_is_closed() {
        check(
            r#"{"type":"object","properties":{"a":{"type":["object","null"],"properties":{}},"b":{"type":"array","items":{"type":"object"}}},"$defs":{"D":{"properties":{"x":{"type":"null"}}}}}"#,
            r##"{"type":"object","properties":{"a":{"type":["object","null"],"properties":{},"additionalProperties":false},"b":{"type":"array","items":{"type":"object","additionalProperties":false}}},"$defs":{"D":{"properties":{"x":{"type":"null"}},"type":"object","additionalProperties":false}},"additionalProperties":false}"##,
            &[],
        );
        check(
            r#"{"type":"object","properties":{},"additionalProperties":{"type":"string"}}"#,
            r#"{"type":"object","properties":{},"additionalProperties":false,"description":"{additionalProperties: {\"type\":\"string\"}}"}"#,
            &["s.additionalProperties"],
        );
    }

    #[test]
    fn what_is_refused_becomes_words_and_is_named() {
        check(
            r#"{"type":"object","properties":{"name":{"type":"string","minLength":1}}}"#,
            r#"{"type":"object","properties":{"name":{"type":"string","description":"{minLength: 1}"}},"additionalProperties":false}"#,
            &["s.properties.name.minLength"],
        );
        check(
            r#"{"type":"integer","description":"A number","minimum":1,"maximum":1e2}"#,
            r#"{"type":"integer","description":"A number\n\n{minimum: 1, maximum: 1e2}"}"#,
            &["s.minimum", "s.maximum"],
        );
        check(
            r#"{"type":"string","format":"regex","pattern":"^\\d"}"#,
            r#"{"type":"string","description":"{format: regex, pattern: ^\\d}"}"#,
            &["s.format", "s.pattern"],
        );
        check(
            r#"{"type":"array","items":{"oneOf":[{"type":"number","multipleOf":2}]},"minItems":2,"uniqueItems":true}"#,
            r#"{"type":"array","items":{"anyOf":[{"type":"number","description":"{multipleOf: 2}"}]},"description":"{minItems: 2, uniqueItems: true}"}"#,
            &["s.items.oneOf[].multipleOf", "s.minItems", "s.uniqueItems"],
        );
    }

    #[test]
    fn what_is_taken_stays_as_it_was_written() {
        for schema in [
            r#"{"type":"string","format":"uuid"}"#,
            r#"{"type":"string","enum":["a","b"]}"#,
            r#"{"enum":[1.50,null]}"#,
            r#"{"const":null}"#,
            r#"{"type":"array","items":{"type":"string"},"minItems":1}"#,
            r#"{"anyOf":[{"type":"string"},{"type":"null"}],"title":"T","default":null}"#,
            r##"{"$ref":"#/$defs/D","$defs":{"D":{"type":"null"}}}"##,
        ] {
            check(schema, schema, &[]);
        }
        check(
            r##"{"$schema":"x","type":"array","items":{"$ref":"#/a","description":"d"}}"##,
            r##"{"type":"array","items":{"$ref":"#/a"}}"##,
            &[],
        );
    }
}
