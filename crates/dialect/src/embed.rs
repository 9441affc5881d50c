//! Embeddings between the two dialects that have them: OpenAI's and Gemini's.
//!
//! A text goes in and a vector comes out, in order. Vectors keep the text of their numbers where
//! the client wants numbers; where it wants base64 (the default of OpenAI's SDKs) they are packed
//! as 32-bit floats, little end first.

pub mod gemini;
pub mod openai;
mod vector;

use std::borrow::Cow;

pub use vector::Vector;

use crate::{Tokens, chat::Said};

/// A call for embeddings.
#[derive(Debug, Clone, Default)]
pub struct EmbedRequest<'a> {
    /// The model as the client named it.
    pub model: Cow<'a, str>,
    /// The texts, one vector each.
    pub inputs: Vec<Cow<'a, str>>,
    /// How long the vectors are to be.
    pub dimensions: Option<Said<'a, u64>>,
    /// Who the end user is, in the client's own terms.
    pub user: Option<Cow<'a, str>>,
    /// How the client wants its answer.
    pub wish: EmbedWish,
    /// What was asked for and the other dialect cannot be told, as the client spelled it.
    pub dropped: Vec<String>,
}

/// How a client wants its vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EmbedWish {
    /// As base64 instead of numbers (OpenAI).
    pub base64: bool,
    /// As one vector instead of a list (Gemini's `embedContent`).
    pub single: bool,
}

/// Vectors, in the order of the texts.
#[derive(Debug, Clone, Default)]
pub struct EmbedAnswer<'a> {
    /// One for each text.
    pub vectors: Vec<Vector<'a>>,
    /// What it used, where the provider says so.
    pub usage: Option<Tokens>,
}

#[cfg(test)]
mod tests;
