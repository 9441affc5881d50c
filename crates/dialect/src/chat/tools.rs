//! Functions that a model may call.

use std::borrow::Cow;

use crate::{Value, halves::mended};

/// A function that the caller runs.
#[derive(Debug, Clone)]
pub struct Tool<'a> {
    /// What it is called.
    pub name: Name<'a>,
    /// What it is for.
    pub description: Option<Cow<'a, str>>,
    /// The JSON schema of its arguments; none where there are none. Of a free-form tool: the
    /// `format` object with its grammar.
    pub schema: Option<Schema<'a>>,
    /// Whether arguments must fit the schema strictly.
    pub strict: Option<bool>,
}

/// A JSON schema as text: as the client wrote it, or as its decoder wrote it anew where the dialect
/// spells schemas in its own way (Gemini's `parameters`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema<'a> {
    json: Cow<'a, str>,
    at: Cow<'static, str>,
}

impl<'a> Schema<'a> {
    /// A schema that was written anew; `json` is valid JSON.
    pub fn written(json: String) -> Self {
        Self { json: mended(Cow::Owned(json)), at: Cow::Borrowed("") }
    }

    /// The same, at its path in the request: what a target cannot take of it is named by that.
    pub fn placed(self, at: impl Into<Cow<'static, str>>) -> Self {
        Self { at: at.into(), ..self }
    }

    /// Its JSON.
    pub fn raw(&self) -> &str {
        &self.json
    }

    /// Its path in the request, in the client's spelling: `text.format.schema`.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Its JSON, read. None would be a decoder's fault.
    pub fn value(&self) -> Option<Value<'_>> {
        Value::of(&self.json).ok()
    }
}

impl<'a> From<&Value<'a>> for Schema<'a> {
    fn from(value: &Value<'a>) -> Self {
        Self { json: mended(Cow::Borrowed(value.raw())), at: Cow::Borrowed("") }
    }
}

/// The name of a tool, and of which kind it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<'a> {
    /// The name itself.
    pub text: Cow<'a, str>,
    /// The namespace it belongs to (Responses).
    pub namespace: Option<Cow<'a, str>>,
    /// Whether its input is plain text instead of JSON (`custom` tools of OpenAI).
    pub free_form: bool,
}

impl<'a> Name<'a> {
    /// The name of an ordinary function.
    pub fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), namespace: None, free_form: false }
    }

    /// The same, with a life of its own.
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
    /// As the model likes.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Tool(Name<'a>),
    /// Of these only; whether one must be called.
    Among(Vec<Name<'a>>, bool),
}
