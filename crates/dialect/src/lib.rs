//! The providers' wire formats: pure functions over bytes.
//!
//! There are two conversion modes. A call that stays in one dialect is neither parsed into types
//! nor written again: [`peek`] finds the few values that are needed, [`splice`] changes exactly
//! those, and a [`StreamObserver`] reads usage and errors while the answer passes byte for byte.
//! [`Grammar`] holds the differences between dialects in this mode.
//!
//! A call to another dialect is decoded into the common model ([`chat`]) and encoded again: every
//! dialect is one [`Codec`], which knows only itself and the common model. What the target cannot
//! express is returned as a list beside the result, or as a refusal.
//!
//! The crate has no clock, socket or configuration.

mod anthropic;
mod beginning;
pub mod chat;
pub mod codec;
mod count;
mod data_url;
pub mod embed;
mod error;
mod failure;
mod form;
pub mod free_form;
mod gemini;
mod grammar;
mod halves;
mod interpreter;
mod json;
mod metadata;
mod naming;
mod observer;
mod openai;
mod opening;
mod peek;
mod plain;
mod profile;
mod provider_error;
mod reader;
mod sequencer;
mod signature;
mod socket;
mod splice;
mod sse;
mod tokens;
mod unpack;
mod usage_scanner;
mod value;
pub mod write;

pub use anthropic::ANTHROPIC;
pub use beginning::Beginning;
pub use codec::{Ask, Codec, DecodeStream, EncodeStream, Encoded, Reply, Target};
pub use count::estimate;
pub use error::Malformed;
pub use failure::{Failure, FailureKind};
pub use form::{FormField, FormScan, form_text};
pub use gemini::GEMINI;
pub use grammar::{ErrorWords, EventKind, Grammar};
pub use json::{MAX_DEPTH, Member, SCAN_DEPTH, members, validate};
pub use metadata::{AnswerMetadata, answer_metadata};
pub use naming::{NameRule, Names};
pub use observer::{First, Form, ObserverOptions, StreamObserver};
pub use openai::{OPENAI_CHAT, OPENAI_RESPONSES};
pub use opening::opening;
pub use peek::{Peek, Span, UsageAsked, peek, text_at};
pub use plain::PLAIN;
pub use profile::{MaxTokensField, Profile, SystemRole, ThinkingForm};
pub use provider_error::ProviderError;
pub use reader::StreamReader;
pub use sequencer::Sequencer;
pub use signature::{OWN_MARK, Signature, Vendor};
pub use socket::SocketObserver;
pub use splice::{Edit, splice, splice_parts};
pub use sse::{Block, Fields, Splitter};
pub use tokens::Tokens;
pub use unpack::Coding;
pub use usage_scanner::UsageScanner;
pub use value::{Kind, Value};
