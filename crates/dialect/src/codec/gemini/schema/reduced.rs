//! A schema of the subset, while it is read and written.

use std::{borrow::Cow, collections::HashSet};

use crate::write;

/// A schema of the subset. Numbers and values are kept as they were written.
#[derive(Debug, Clone, Default)]
pub(super) struct Reduced<'v> {
    pub(super) kind: Option<Cow<'v, str>>,
    pub(super) title: Option<&'v str>,
    pub(super) description: Option<Cow<'v, str>>,
    pub(super) format: Option<&'v str>,
    pub(super) nullable: bool,
    pub(super) choices: Option<Vec<&'v str>>,
    pub(super) properties: Vec<(&'v str, Reduced<'v>)>,
    pub(super) required: Vec<&'v str>,
    pub(super) items: Option<Box<Reduced<'v>>>,
    pub(super) any_of: Vec<Reduced<'v>>,
    /// Bounds, pattern, default and example: by their name.
    pub(super) kept: Vec<(&'static str, Cow<'v, str>)>,
}

impl<'v> Reduced<'v> {
    /// An object of any kind.
    pub(super) fn object() -> Self {
        Self { kind: Some(Cow::Borrowed("OBJECT")), ..Self::default() }
    }

    /// Keeps a keyword under its own name.
    pub(super) fn keep(&mut self, name: &'static str, value: Cow<'v, str>) {
        match self.kept.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.kept.push((name, value)),
        }
    }

    /// Merges two schemas that must both hold; on conflict the newer one wins.
    pub(super) fn merge(&mut self, newer: Reduced<'v>) {
        self.kind = newer.kind.or(self.kind.take());
        self.title = self.title.or(newer.title);
        self.description = self.description.take().or(newer.description);
        self.format = newer.format.or(self.format);
        self.nullable |= newer.nullable;
        self.choices = newer.choices.or(self.choices.take());
        for (name, property) in newer.properties {
            match self.properties.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => known.merge(property),
                None => self.properties.push((name, property)),
            }
        }
        self.required.extend(newer.required);
        self.items = newer.items.or(self.items.take());
        self.any_of.extend(newer.any_of);
        for (name, value) in newer.kept {
            self.keep(name, value);
        }
    }

    /// Orders the keywords as Google requires.
    pub(super) fn settle(&mut self) {
        let mut known: HashSet<&str> = self.properties.iter().map(|(name, _)| *name).collect();
        // Each name once: a found name is removed.
        self.required.retain(|name| known.remove(name));
        if self.kind.is_none() && !self.properties.is_empty() {
            self.kind = Some(Cow::Borrowed("OBJECT"));
        }
        if self.kind.is_none() && self.items.is_some() {
            self.kind = Some(Cow::Borrowed("ARRAY"));
        }
        if self.kind.as_deref() == Some("ARRAY") && self.items.is_none() {
            let text = Some(Cow::Borrowed("STRING"));
            self.items = Some(Box::new(Reduced { kind: text, ..Reduced::default() }));
        }
        if self.kind.as_deref() != Some("STRING") {
            self.choices = None;
        }
    }

    /// Whether it allows any value.
    pub(super) fn is_open(&self) -> bool {
        self.kind.is_none()
            && self.choices.is_none()
            && self.items.is_none()
            && self.properties.is_empty()
            && self.any_of.is_empty()
            && self.kept.is_empty()
    }

    /// Returns its JSON.
    pub(super) fn text(&self) -> String {
        write::object_text(|o| self.write(o))
    }

    fn write(&self, o: &mut write::Object<'_>) {
        o.text_if("type", self.kind.as_deref());
        o.text_if("title", self.title);
        o.text_if("description", self.description.as_deref());
        o.text_if("format", self.format);
        if self.nullable {
            o.bool("nullable", true);
        }
        if let Some(choices) = &self.choices {
            o.texts("enum", choices.iter().copied());
        }
        if !self.properties.is_empty() {
            o.object("properties", |o| {
                for (name, property) in &self.properties {
                    o.object(name, |o| property.write(o));
                }
            });
        }
        if !self.required.is_empty() {
            o.texts("required", self.required.iter().copied());
        }
        if let Some(items) = &self.items {
            o.object("items", |o| items.write(o));
        }
        if !self.any_of.is_empty() {
            o.array("anyOf", |a| {
                for part in &self.any_of {
                    a.object(|o| part.write(o));
                }
            });
        }
        for (name, value) in &self.kept {
            o.raw(name, value);
        }
    }
}
