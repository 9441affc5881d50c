//! Reduces JSON Schema to the subset that older Gemini models accept (`Schema` of their API).
//!
//! References are resolved in place. A recursive reference, and everything beyond limits that no
//! ordinary schema reaches, becomes an object of any kind.

mod reduced;

use std::borrow::Cow;

use reduced::Reduced;

use crate::Value;

/// Most schemas in one: references may repeat the same schema.
const MOST: usize = 10_000;

/// Deepest nesting of schemas.
const DEEPEST: usize = 48;

/// Returns the schema of a function's parameters; `None` if it has no constraints.
pub(super) fn parameters(schema: &Value<'_>) -> Option<String> {
    let reduced = Reducer::new(schema).reduce(schema);
    let nothing = reduced.kind.as_deref().is_none_or(|kind| kind == "OBJECT")
        && reduced.properties.is_empty()
        && reduced.any_of.is_empty();
    (!nothing).then(|| reduced.text())
}

/// Returns the schema of an answer.
pub(super) fn answer(schema: &Value<'_>) -> String {
    Reducer::new(schema).reduce(schema).text()
}

/// Keywords that keep their names.
const KEPT: [&str; 10] = [
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "pattern",
    "default",
];

const FORMATS: [&str; 6] = ["date-time", "enum", "int32", "int64", "float", "double"];

struct Reducer<'v, 'a> {
    root: &'v Value<'a>,
    /// References that are being resolved.
    open: Vec<&'v str>,
    count: usize,
    depth: usize,
}

impl<'v, 'a> Reducer<'v, 'a> {
    fn new(root: &'v Value<'a>) -> Self {
        Self { root, open: Vec::new(), count: 0, depth: 0 }
    }

    fn reduce(&mut self, schema: &'v Value<'a>) -> Reduced<'v> {
        let mut reduced = self.gather(schema);
        reduced.settle();
        reduced
    }

    /// Reads `schema`, without ordering it: it may be only a part of another one.
    fn gather(&mut self, schema: &'v Value<'a>) -> Reduced<'v> {
        self.count += 1;
        if self.count > MOST || self.depth == DEEPEST {
            return Reduced::object();
        }
        self.depth += 1;
        let mut reduced = Reduced::default();
        self.read(schema, &mut reduced);
        self.depth -= 1;
        reduced
    }

    /// Reads `schema` into `into`, which may have keywords already.
    fn read(&mut self, schema: &'v Value<'a>, into: &mut Reduced<'v>) {
        if let Some(path) = schema.get("$ref").text() {
            let target = self.resolve(path).filter(|_| !self.open.contains(&path));
            match target {
                Some(target) if self.count <= MOST && self.depth < DEEPEST => {
                    self.count += 1;
                    self.depth += 1;
                    self.open.push(path);
                    self.read(target, into);
                    self.open.pop();
                    self.depth -= 1;
                }
                _ => into.merge(Reduced::object()),
            }
        }
        self.read_kind(schema.get("type"), into);
        into.title = schema.get("title").text().or(into.title);
        if let Some(text) = schema.get("description").text() {
            into.description = Some(Cow::Borrowed(text));
        }
        into.format = schema.get("format").text().filter(|f| FORMATS.contains(f)).or(into.format);
        into.nullable |= schema.get("nullable").bool() == Some(true);
        for name in KEPT {
            if let Some(value) = schema.find(name) {
                into.keep(name, Cow::Borrowed(value.raw()));
            }
        }
        if let Some(value) = schema.find("example") {
            into.keep("example", Cow::Borrowed(value.raw()));
        }
        exclusive(schema, into);
        read_choices(schema, into);
        for (name, property) in schema.get("properties").members() {
            if self.count > MOST {
                break;
            }
            let reduced = self.reduce(property);
            match into.properties.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.merge(reduced),
                None => into.properties.push((name, reduced)),
            }
        }
        into.required.extend(schema.get("required").items().iter().filter_map(Value::text));
        if let Some(items) = schema.find("items").filter(|items| items.is_object()) {
            into.items = Some(Box::new(self.reduce(items)));
        }
        for part in schema.get("allOf").items() {
            if self.count > MOST {
                break;
            }
            let gathered = self.gather(part);
            into.merge(gathered);
        }
        self.read_alternatives(schema, into);
    }

    fn read_kind(&mut self, kind: &'v Value<'a>, into: &mut Reduced<'v>) {
        let upper = |name: &str| Cow::Owned(name.to_ascii_uppercase());
        if let Some(name) = kind.text() {
            match name {
                "null" => into.nullable = true,
                _ => into.kind = Some(upper(name)),
            }
            return;
        }
        let names: Vec<&str> = kind.items().iter().filter_map(Value::text).collect();
        into.nullable |= names.contains(&"null");
        match names.iter().filter(|name| **name != "null").collect::<Vec<_>>()[..] {
            [] => {}
            [only] => into.kind = Some(upper(only)),
            ref several => {
                into.any_of.extend(
                    several
                        .iter()
                        .map(|name| Reduced { kind: Some(upper(name)), ..Reduced::default() }),
                );
            }
        }
    }

    fn read_alternatives(&mut self, schema: &'v Value<'a>, into: &mut Reduced<'v>) {
        let mut several = Vec::new();
        for part in schema.get("anyOf").items().iter().chain(schema.get("oneOf").items()) {
            if part.get("type").text() == Some("null") || is_null_const(part) {
                into.nullable = true;
            } else {
                several.push(self.gather(part));
            }
        }
        if several.len() == 1 {
            return several.into_iter().for_each(|only| into.merge(only));
        }
        several.iter_mut().for_each(Reduced::settle);
        // If one of them allows anything, they have no constraint together.
        if !several.iter().any(Reduced::is_open) {
            into.any_of.extend(several);
        }
    }

    /// Returns the target of a reference inside the document.
    fn resolve(&self, path: &str) -> Option<&'v Value<'a>> {
        let mut at = self.root;
        for step in path.strip_prefix('#')?.split('/').skip(1) {
            let name = step.replace("~1", "/").replace("~0", "~");
            at = match name.parse::<usize>() {
                Ok(n) if at.is_array() => at.items().get(n)?,
                _ => at.find(&name)?,
            };
        }
        Some(at)
    }
}

/// Whether the schema is `{"const": null}`, which reads like a missing member.
fn is_null_const(schema: &Value<'_>) -> bool {
    matches!(schema.members(), [(name, value)] if name == "const" && value.is_null())
}

/// Reads exclusive bounds: the next number for integers, the bound itself for others.
fn exclusive<'v>(schema: &'v Value<'_>, into: &mut Reduced<'v>) {
    let integer = into.kind.as_deref() == Some("INTEGER");
    for (exclusive, name, step) in
        [("exclusiveMinimum", "minimum", 1_i128), ("exclusiveMaximum", "maximum", -1)]
    {
        let Some(bound) = schema.find(exclusive).and_then(Value::number) else { continue };
        if schema.find(name).is_some() {
            continue;
        }
        let next = bound.parse::<i128>().ok().and_then(|n| n.checked_add(step));
        into.keep(
            name,
            match next.filter(|_| integer) {
                Some(next) => Cow::Owned(next.to_string()),
                None => Cow::Borrowed(bound),
            },
        );
    }
}

/// Reads `enum` and `const`. Only strings can be enumerated; other values are described.
fn read_choices<'v>(schema: &'v Value<'_>, into: &mut Reduced<'v>) {
    let only = schema.find("const").into_iter();
    let values: Vec<_> = schema.get("enum").items().iter().chain(only).collect();
    into.nullable |= values.iter().any(|value| value.is_null()) && values.len() > 1;
    let values: Vec<_> = values.into_iter().filter(|value| !value.is_null()).collect();
    if values.is_empty() {
        return;
    }
    if values.iter().all(|value| value.text().is_some()) {
        into.choices = Some(values.iter().filter_map(|value| value.text()).collect());
        into.kind.get_or_insert(Cow::Borrowed("STRING"));
        return;
    }
    let all: Vec<&str> = values.iter().map(|value| value.raw()).collect();
    let told = format!("One of: {}", all.join(", "));
    into.description = Some(Cow::Owned(match into.description.take() {
        Some(text) => format!("{text} ({told})"),
        None => told,
    }));
    let kind = |value: &Value<'_>| match value.kind() {
        crate::Kind::Bool(_) => Some("BOOLEAN"),
        crate::Kind::Number if value.raw().contains(['.', 'e', 'E']) => Some("NUMBER"),
        crate::Kind::Number => Some("INTEGER"),
        _ => None,
    };
    let first = values.first().and_then(|value| kind(value));
    if into.kind.is_none() && values.iter().all(|value| kind(value) == first) {
        into.kind = first.map(Cow::Borrowed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(schema: &str, expected: &str) {
        assert_eq!(answer(&Value::of(schema).unwrap()), expected, "{schema}");
    }

    #[test]
    fn what_the_subset_cannot_say_is_said_otherwise_or_left_out() {
        check(r#"{"type":"string","const":"a"}"#, r#"{"type":"STRING","enum":["a"]}"#);
        check(
            r#"{"enum":["a","b",null]}"#,
            r#"{"type":"STRING","nullable":true,"enum":["a","b"]}"#,
        );
        check(
            r#"{"type":"integer","enum":[1,2]}"#,
            r#"{"type":"INTEGER","description":"One of: 1, 2"}"#,
        );
        check(
            r#"{"description":"d","const":true}"#,
            r#"{"type":"BOOLEAN","description":"d (One of: true)"}"#,
        );
        check(r#"{"type":["string","null"]}"#, r#"{"type":"STRING","nullable":true}"#);
        check(
            r#"{"type":["string","integer"]}"#,
            r#"{"anyOf":[{"type":"STRING"},{"type":"INTEGER"}]}"#,
        );
        check(
            r#"{"oneOf":[{"type":"string"},{"type":"number"},{"type":"null"}]}"#,
            r#"{"nullable":true,"anyOf":[{"type":"STRING"},{"type":"NUMBER"}]}"#,
        );
        check(r#"{"type":"integer","exclusiveMaximum":5}"#, r#"{"type":"INTEGER","maximum":4}"#);
        check(
            r#"{"type":"integer","exclusiveMinimum":12345678901234567890}"#,
            r#"{"type":"INTEGER","minimum":12345678901234567891}"#,
        );
        check(r#"{"type":"number","exclusiveMinimum":0.5}"#, r#"{"type":"NUMBER","minimum":0.5}"#);
        check(
            r#"{"type":"array","uniqueItems":true,"minItems":12345678901234567890}"#,
            r#"{"type":"ARRAY","items":{"type":"STRING"},"minItems":12345678901234567890}"#,
        );
        check(
            r#"{"type":"object","properties":{"a":{"type":"string","format":"email"}},"required":["a","b"],
                "patternProperties":{},"not":{},"if":{},"additionalProperties":false}"#,
            r#"{"type":"OBJECT","properties":{"a":{"type":"STRING"}},"required":["a"]}"#,
        );
        check(
            r#"{"allOf":[{"properties":{"a":{"type":"string"}},"required":["a"]},{"properties":{"b":{"type":"number"}}}]}"#,
            r#"{"type":"OBJECT","properties":{"a":{"type":"STRING"},"b":{"type":"NUMBER"}},"required":["a"]}"#,
        );
    }

    #[test]
    fn parts_of_a_schema_are_not_schemas_by_themselves() {
        check(
            r#"{"properties":{"a":{"type":"string"}},"allOf":[{"required":["a"]}]}"#,
            r#"{"type":"OBJECT","properties":{"a":{"type":"STRING"}},"required":["a"]}"#,
        );
        check(
            r#"{"properties":{"a":{"type":"string"},"b":{"type":"string"}},
                "oneOf":[{"required":["a"]},{"required":["b"]}]}"#,
            r#"{"type":"OBJECT","properties":{"a":{"type":"STRING"},"b":{"type":"STRING"}}}"#,
        );
    }

    #[test]
    fn references_are_resolved_where_they_stand() {
        check(
            r##"{"type":"object","properties":{"a":{"$ref":"#/definitions/x~1y","description":"d"}},
                "definitions":{"x/y":{"type":"string","description":"e"}}}"##,
            r#"{"type":"OBJECT","properties":{"a":{"type":"STRING","description":"d"}}}"#,
        );
        check(
            r##"{"type":"object","properties":{"next":{"$ref":"#"}}}"##,
            r#"{"type":"OBJECT","properties":{"next":{"type":"OBJECT","properties":{"next":{"type":"OBJECT"}}}}}"#,
        );
        check(r##"{"$ref":"#/$defs/nothing"}"##, r#"{"type":"OBJECT"}"#);
        check(r##"{"$ref":"https://example.com/x"}"##, r#"{"type":"OBJECT"}"#);
    }

    #[test]
    fn a_function_without_properties_has_no_parameters() {
        for schema in ["{}", "true", r#"{"type":"object"}"#, r#"{"type":"object","properties":{}}"#]
        {
            assert_eq!(parameters(&Value::of(schema).unwrap()), None, "{schema}");
        }
    }

    #[test]
    fn references_that_multiply_end() {
        let defs: Vec<String> = (0..40)
            .map(|n| {
                let next = n + 1;
                format!(r##""d{n}":{{"properties":{{"a":{{"$ref":"#/$defs/d{next}"}},"b":{{"$ref":"#/$defs/d{next}"}}}}}}"##)
            })
            .collect();
        let schema = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{}}}}}"##, defs.join(","));
        let text = answer(&Value::of(&schema).unwrap());
        assert!(text.len() < 100 * MOST, "{}", text.len());
    }

    /// A schema that refers to others and to itself.
    fn schemas() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just(r##"{"$ref":"#"}"##.to_owned()),
            Just(r##"{"$ref":"#/properties/a"}"##.to_owned()),
            Just(r##"{"$ref":"#/anyOf/0"}"##.to_owned()),
            Just(r#"{"type":["string","null"],"enum":["a",1,null]}"#.to_owned()),
            Just("true".to_owned()),
            Just("[]".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!(
                    r#"{{"properties":{{"a":{a},"b":{b}}},"required":["a","c"]}}"#
                )),
                (inner.clone(), inner.clone())
                    .prop_map(|(a, b)| format!(r#"{{"anyOf":[{a},{b}],"allOf":[{b}]}}"#)),
                inner.prop_map(|a| format!(r##"{{"type":"array","items":{a},"$ref":"#"}}"##)),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_schema_ends_as_bounded_json(schema in schemas()) {
            let text = answer(&Value::of(&schema).unwrap());
            prop_assert!(text.len() < 400 * MOST, "{}", text.len());
            let whole = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert!(whole, "{text}");
        }
    }
}
