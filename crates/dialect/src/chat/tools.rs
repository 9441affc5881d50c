//! Tools that a model may call.

use std::borrow::Cow;

use crate::{Value, halves::mended};

/// A tool that the client runs.
#[derive(Debug, Clone)]
pub struct Tool<'a> {
    /// The name of the tool.
    pub name: Name<'a>,
    /// The description of the tool.
    pub description: Option<Cow<'a, str>>,
    /// The JSON schema of the arguments; `None` if there are none. For a free-form tool, the
    /// `format` object with its grammar.
    pub schema: Option<Schema<'a>>,
    /// Whether the arguments must match the schema strictly.
    pub strict: Option<bool>,
}

/// A JSON schema as text: as the client wrote it, or rewritten by the decoder if the dialect spells
/// schemas differently (Gemini's `parameters`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema<'a> {
    json: Cow<'a, str>,
    at: Cow<'static, str>,
}

impl<'a> Schema<'a> {
    /// Creates a rewritten schema; `json` must be valid JSON.
    pub fn written(json: String) -> Self {
        Self { json: mended(Cow::Owned(json)), at: Cow::Borrowed("") }
    }

    /// Sets the path of the schema in the request, which names it in lists of dropped fields.
    pub fn placed(self, at: impl Into<Cow<'static, str>>) -> Self {
        Self { at: at.into(), ..self }
    }

    /// Returns the JSON of the schema.
    pub fn raw(&self) -> &str {
        &self.json
    }

    /// Returns the path in the request, in the client's spelling: `text.format.schema`.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Returns the parsed schema. `None` would be an error of the decoder.
    pub fn value(&self) -> Option<Value<'_>> {
        Value::of(&self.json).ok()
    }
}

impl<'a> From<&Value<'a>> for Schema<'a> {
    fn from(value: &Value<'a>) -> Self {
        Self { json: mended(Cow::Borrowed(value.raw())), at: Cow::Borrowed("") }
    }
}

/// The name and the kind of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<'a> {
    /// The name itself.
    pub text: Cow<'a, str>,
    /// The namespace it belongs to (Responses).
    pub namespace: Option<Cow<'a, str>>,
    /// Whether the input is plain text instead of JSON (OpenAI's `custom` tools).
    pub free_form: bool,
}

impl<'a> Name<'a> {
    /// Creates the name of an ordinary function.
    pub fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), namespace: None, free_form: false }
    }

    /// Returns an owned copy.
    pub fn into_owned(self) -> Name<'static> {
        Name {
            text: Cow::Owned(self.text.into_owned()),
            namespace: self.namespace.map(|text| Cow::Owned(text.into_owned())),
            free_form: self.free_form,
        }
    }
}

/// Which tools may or must be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// The model decides.
    Auto,
    /// No tool may be called.
    None,
    /// At least one tool must be called.
    Required,
    /// This tool must be called.
    Tool(Name<'a>),
    /// Only these may be called; whether one of them must be.
    Among(Vec<Name<'a>>, bool),
}
