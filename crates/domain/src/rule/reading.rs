//! What is known of a call, read once however many rules look at it.

use std::{borrow::Cow, cell::OnceCell};

use serde_json::Value;

use super::{Observation, Rule};

/// What is known of a call. Bodies are read as text, and as JSON, when the first rule asks.
#[derive(Debug)]
pub struct Reading<'a> {
    /// What there is to read.
    pub seen: Observation<'a>,
    text: OnceCell<Cow<'a, str>>,
    json: OnceCell<Option<Value>>,
    event: OnceCell<Cow<'a, str>>,
}

impl<'a> Reading<'a> {
    /// Nothing is read yet.
    pub fn of(seen: Observation<'a>) -> Self {
        let (text, json, event) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { seen, text, json, event }
    }

    /// The body as text; what is no UTF-8 in it is replaced.
    pub(super) fn text(&self) -> Option<&str> {
        let body = head(self.seen.body?);
        Some(self.text.get_or_init(|| String::from_utf8_lossy(body)))
    }

    /// The body as JSON, where it is that, and whole.
    pub(super) fn json(&self) -> Option<&Value> {
        let body = self.seen.body?;
        self.json.get_or_init(|| serde_json::from_slice(head(body)).ok()).as_ref()
    }

    /// The data of the event as text.
    pub(super) fn event(&self) -> Option<&str> {
        let event = head(self.seen.event?);
        Some(self.event.get_or_init(|| String::from_utf8_lossy(event)))
    }
}

/// As much of it as is looked at.
fn head(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(Rule::BODY_MAX)]
}
