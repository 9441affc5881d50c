//! The common model of conversations and answers: ordered blocks of content.
//!
//! A codec decodes its dialect into these values and encodes them in its dialect; it knows no other
//! dialect. Blocks are used because they are the richest of the four forms: they express where a
//! tool was called between two texts, and where reasoning was signed. Texts borrow from the body;
//! schemas, arguments and numbers keep their original text.

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
