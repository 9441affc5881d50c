//! The providers' wire formats: pure functions over bytes.
//!
//! Two roads lead through here. A call that stays in one dialect is never parsed into types and
//! never written again: [`peek`] finds the few values we act on, [`splice`] changes exactly those,
//! and a [`StreamObserver`] reads usage and errors on the side while the answer passes byte for byte. What
//! differs from one dialect to another on this road stands behind [`Grammar`].
//!
//! A call that goes to another dialect is read into the common model ([`chat`]) and written out
//! again: every dialect is one [`Codec`], which knows itself and the common model and no other
//! dialect. What the target cannot say comes back as a list beside the result, or as a refusal.
//!
//! No clock, no socket and no configuration is in here.

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
