//! Members of a request: read with their type, or refused by their name.

use std::borrow::Cow;

use crate::{Failure, Value};

/// A member and where it stands, for refusals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'v, 'a> {
    value: &'v Value<'a>,
    path: &'v str,
}

impl<'v, 'a> Object<'v, 'a> {
    /// `value`, which must be an object and stands at `path` (empty for the body itself).
    pub(super) fn of(value: &'v Value<'a>, path: &'v str) -> Result<Self, Failure> {
        match value.is_object() {
            true => Ok(Self { value, path }),
            false => Err(Failure::unsayable(path, format!("`{path}` must be an object"))),
        }
    }

    /// The object itself.
    pub(super) fn value(&self) -> &'v Value<'a> {
        self.value
    }

    /// Where the member `name` stands.
    pub(super) fn path(&self, name: &str) -> String {
        match self.path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// The member `name`; none where it is missing or null.
    pub(super) fn find(&self, name: &str) -> Option<&'v Value<'a>> {
        self.value.find(name)
    }

    /// A string.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Failure> {
        self.typed(name, "a string", Value::cow)
    }

    /// A string that must be there.
    pub(super) fn needed(&self, name: &str) -> Result<Cow<'a, str>, Failure> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    /// A boolean.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        self.typed(name, "a boolean", Value::bool)
    }

    /// A whole number.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, Failure> {
        self.typed(name, "a whole number, not below zero", Value::u64)
    }

    /// A number as it was written.
    pub(super) fn number(&self, name: &str) -> Result<Option<&'a str>, Failure> {
        self.typed(name, "a number", Value::number)
    }

    /// A list; empty where there is none.
    pub(super) fn list(&self, name: &str) -> Result<&'v [Value<'a>], Failure> {
        let list = self.typed(name, "a list", |value| value.is_array().then_some(()))?;
        Ok(list.and(self.find(name)).map_or(&[], Value::items))
    }

    /// An object; none where there is none.
    pub(super) fn object(&self, name: &str) -> Result<Option<&'v Value<'a>>, Failure> {
        let object = self.typed(name, "an object", |value| value.is_object().then_some(()))?;
        Ok(object.and(self.find(name)))
    }

    /// Notes the members that are not among `known` and ask for something. In lists they are noted
    /// once for all items (`input[].new`), because histories are long and headers are not.
    pub(super) fn strangers(&self, known: &[&str], dropped: &mut Vec<String>) {
        for (name, value) in self.value.members() {
            let nothing = value.is_null() || matches!(value.raw(), "[]" | "{}");
            if !nothing && !known.contains(&&**name) {
                drop_once(dropped, everywhere(&self.path(name)));
            }
        }
    }

    /// The refusal for a member that must be there.
    pub(super) fn missing(&self, name: &str) -> Failure {
        let path = self.path(name);
        let message = format!("`{path}` is missing");
        Failure::unsayable(path, message)
    }

    /// The refusal for a value that is none of those that are known.
    pub(super) fn unknown(&self, name: &str) -> Failure {
        let path = self.path(name);
        let value = self.find(name).map_or("null", Value::raw);
        let message = format!("`{path}` is none of the known values: {}", short(value));
        Failure::unsayable(path, message)
    }

    fn typed<T>(
        &self,
        name: &str,
        kind: &str,
        read: impl Fn(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = self.find(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| {
            let path = self.path(name);
            let message = format!("`{path}` must be {kind}");
            Failure::unsayable(path, message)
        })
    }
}

/// The path without the places in lists.
fn everywhere(path: &str) -> String {
    let mut told = String::with_capacity(path.len());
    for part in path.split_inclusive('[') {
        told.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    told
}

/// Notes that `path` is lost, once.
pub(super) fn drop_once(dropped: &mut Vec<String>, path: impl Into<String>) {
    let path = path.into();
    if !dropped.contains(&path) {
        dropped.push(path);
    }
}

/// The beginning of a value: messages do not repeat whole bodies.
fn short(value: &str) -> &str {
    let end = value.char_indices().nth(40).map_or(value.len(), |(at, _)| at);
    &value[..end]
}
