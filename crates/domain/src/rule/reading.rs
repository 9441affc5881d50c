//! What is known of a call, read once for all rules.

use std::{borrow::Cow, cell::OnceCell};

use serde_json::Value;

use super::{Observation, Rule};

/// What is known of a call. Bodies are decoded as text and as JSON when the first rule needs it.
#[derive(Debug)]
pub struct Reading<'a> {
    /// The observed parts of the call.
    pub seen: Observation<'a>,
    text: OnceCell<Cow<'a, str>>,
    json: OnceCell<Option<Value>>,
    event: OnceCell<Cow<'a, str>>,
}

impl<'a> Reading<'a> {
    /// Creates a reading without decoding anything.
    pub fn of(seen: Observation<'a>) -> Self {
        let (text, json, event) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { seen, text, json, event }
    }

    /// Returns the body as text, with invalid UTF-8 replaced.
    pub(super) fn text(&self) -> Option<&str> {
        let body = head(self.seen.body?);
        Some(self.text.get_or_init(|| String::from_utf8_lossy(body)))
    }

    /// Returns the body as JSON, if it is valid and complete.
    pub(super) fn json(&self) -> Option<&Value> {
        let body = self.seen.body?;
        self.json.get_or_init(|| serde_json::from_slice(head(body)).ok()).as_ref()
    }

    /// Returns the data of the event as text.
    pub(super) fn event(&self) -> Option<&str> {
        let event = head(self.seen.event?);
        Some(self.event.get_or_init(|| String::from_utf8_lossy(event)))
    }
}

/// Returns the part of the bytes that is tested.
fn head(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(Rule::BODY_MAX)]
}
