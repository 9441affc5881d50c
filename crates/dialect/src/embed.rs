//! Conversion of embeddings between the two dialects that have them: OpenAI's and Gemini's.
//!
//! Each text yields a vector, in order. For clients that want numbers, vectors keep the original
//! text of the numbers; for base64 (the default of OpenAI's SDKs) they are packed as little-endian
//! 32-bit floats.

pub mod gemini;
pub mod openai;
mod vector;

use std::borrow::Cow;

pub use vector::Vector;

use crate::{Tokens, chat::Said};

/// A request for embeddings.
#[derive(Debug, Clone, Default)]
pub struct EmbedRequest<'a> {
    /// The model as the client named it.
    pub model: Cow<'a, str>,
    /// The texts; each yields one vector.
    pub inputs: Vec<Cow<'a, str>>,
    /// The requested length of the vectors.
    pub dimensions: Option<Said<'a, u64>>,
    /// The client's identifier of the end user.
    pub user: Option<Cow<'a, str>>,
    /// The requested form of the answer.
    pub wish: EmbedWish,
    /// Fields that the other dialect cannot express, as the client spelled them.
    pub dropped: Vec<String>,
}

/// The requested form of vectors.
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
    /// The usage, if the provider reported it.
    pub usage: Option<Tokens>,
}

#[cfg(test)]
mod tests;
