//! The common model: what all dialects can say, as ordered blocks of content.
//!
//! A codec reads its dialect into these values and writes them out in its dialect, and knows no
//! other one. The form is that of blocks, because that is the richest of the four: it says where
//! between two texts a tool was called, and where a thought was signed. Texts borrow from the body
//! they were read from; schemas, arguments and numbers stay as they were written.

mod answer;
mod event;
mod request;
mod tools;

pub use answer::{Answer, Block, Choice, Citation, Finish, Image, Logprob};
pub use event::{Event, Opening};
pub use request::{
    Effort, Format, Media, MediaKind, Piece, Request, Role, Said, Sampling, Source, Thinking, Turn,
    Wish,
};
pub use tools::{Name, Schema, Tool, ToolChoice};
