//! Reads fields of a request in either spelling and reports invalid ones.

use std::borrow::Cow;

use crate::{Failure, Value};

/// Returns the name of a field in camelCase: Google accepts `top_k` and `topK`.
pub(crate) fn camel(name: &str) -> Cow<'_, str> {
    let name = name.trim_start_matches('_');
    if !name.contains('_') {
        return Cow::Borrowed(name);
    }
    let mut camel = String::with_capacity(name.len());
    let mut words = name.split('_');
    camel.extend(words.next());
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    Cow::Owned(camel)
}

/// Returns the path of the field `name` in the object at `path`.
pub(crate) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

/// Returns the members of `object` that are not null: name in camelCase, path, value.
pub(crate) fn each<'v, 'a>(
    object: &'v Value<'a>,
    path: &str,
) -> impl Iterator<Item = (Cow<'v, str>, String, &'v Value<'a>)> {
    object
        .members()
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(move |(name, value)| (camel(name), join(path, name), value))
}

/// Creates the failure for a field with an invalid value.
pub(crate) fn wrong(path: &str, must_be: &str) -> Failure {
    Failure::unsayable(path, format!("`{path}` must be {must_be}"))
}

/// An object.
pub(crate) fn object<'v, 'a>(value: &'v Value<'a>, path: &str) -> Result<&'v Value<'a>, Failure> {
    value.is_object().then_some(value).ok_or_else(|| wrong(path, "an object"))
}

/// Returns the items of a list; a single value counts as a list of it.
pub(crate) fn list<'v, 'a>(value: &'v Value<'a>) -> &'v [Value<'a>] {
    match value.is_array() {
        true => value.items(),
        false => std::slice::from_ref(value),
    }
}

/// Returns the path of the nth item of a list; that of the list if it is a single value.
pub(crate) fn nth(list: &Value<'_>, path: &str, n: usize) -> String {
    match list.is_array() {
        true => format!("{path}[{n}]"),
        false => path.to_owned(),
    }
}

/// A text.
pub(crate) fn text<'a>(value: &Value<'a>, path: &str) -> Result<Cow<'a, str>, Failure> {
    value.cow().ok_or_else(|| wrong(path, "a string"))
}

/// Reads a number, also from a string.
pub(crate) fn number<'a>(value: &Value<'a>, path: &str) -> Result<&'a str, Failure> {
    let quoted = || {
        let digits = value.text()?;
        let raw = value.raw().strip_prefix('"')?.strip_suffix('"')?;
        (raw == digits && Value::of(raw).ok()?.number().is_some()).then_some(raw)
    };
    value.number().or_else(quoted).ok_or_else(|| wrong(path, "a number"))
}

/// Reads a non-negative whole number.
pub(crate) fn whole(value: &Value<'_>, path: &str) -> Result<u64, Failure> {
    let digits = number(value, path)?;
    let whole = Value::of(digits).ok().and_then(|value| value.u64());
    whole.ok_or_else(|| wrong(path, "a whole number"))
}

/// Reads a boolean.
pub(crate) fn truth(value: &Value<'_>, path: &str) -> Result<bool, Failure> {
    value.bool().ok_or_else(|| wrong(path, "true or false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_name() {
        for name in ["max_output_tokens", "maxOutputTokens", "_maxOutputTokens"] {
            assert_eq!(camel(name), "maxOutputTokens");
        }
        assert_eq!(camel("a__b_"), "aB");
    }

    #[test]
    fn numbers_may_stand_in_strings() {
        let value = Value::of(r#"["5", 5, 5.0, "x", "5\u0030", -1]"#).unwrap();
        let read: Vec<_> = value.items().iter().map(|v| whole(v, "n").ok()).collect();
        assert_eq!(read, [Some(5), Some(5), Some(5), None, None, None]);
        assert_eq!(number(&value.items()[2], "n").unwrap(), "5.0");
    }
}
