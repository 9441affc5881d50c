//! The providers' wire formats: pure functions over bytes.
//!
//! A call that stays in one dialect is never parsed into types and never written again: [`peek`]
//! finds the few values we act on, [`splice`] changes exactly those, and a [`Tap`] reads usage and
//! errors on the side while the answer passes byte for byte. What differs from one dialect to
//! another stands behind [`Grammar`]. No clock, no socket and no configuration is in here.

mod anthropic;
mod error;
mod form;
mod gemini;
mod gleaner;
mod grammar;
mod json;
mod listener;
mod openai;
mod peek;
mod plain;
mod provider_error;
mod splice;
mod sse;
mod tap;
mod tokens;
mod unpack;

pub use anthropic::ANTHROPIC;
pub use error::Malformed;
pub use form::{FormField, peek_form};
pub use gemini::GEMINI;
pub use gleaner::Gleaner;
pub use grammar::{ErrorWords, EventKind, Grammar};
pub use json::{MAX_DEPTH, Member, members, validate};
pub use openai::{OPENAI_CHAT, OPENAI_RESPONSES};
pub use peek::{Peek, Span, UsageAsked, peek};
pub use plain::PLAIN;
pub use provider_error::ProviderError;
pub use splice::{Edit, splice, splice_parts};
pub use sse::{Block, Fields, Splitter};
pub use tap::{First, Form, Tap, TapOptions};
pub use tokens::Tokens;
pub use unpack::Coding;
