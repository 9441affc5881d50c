//! Functions that a model may call.

use std::borrow::Cow;

use crate::Value;

/// A function that the caller runs.
#[derive(Debug, Clone)]
pub struct Tool<'a> {
    /// What it is called.
    pub name: Name<'a>,
    /// What it is for.
    pub description: Option<Cow<'a, str>>,
    /// The JSON schema of its arguments; none where there are none. Of a free-form tool: the
    /// `format` object with its grammar.
    pub schema: Option<Value<'a>>,
    /// Whether arguments must fit the schema strictly.
    pub strict: Option<bool>,
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
