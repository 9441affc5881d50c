//! What rules look at of an answer's body, kept as it passes.

use std::sync::Arc;

use bytes::Bytes;
use dialect::{Block, Splitter};
use domain::{CompiledRule, Rule};

/// Most events of one answer that wait to be judged, and the largest that is looked at.
pub(crate) const EVENTS_MAX: usize = 256;
pub(crate) const EVENT_MAX: usize = 64 << 10;

/// What of an answer's body rules look at, as it passes.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) events: Option<(Splitter, Vec<Bytes>)>,
}

impl Watch {
    pub(crate) fn new(rules: &[Arc<CompiledRule>], streams: bool) -> Self {
        let events = streams && rules.iter().any(|rule| rule.wants_events());
        Self {
            body: rules.iter().any(|rule| rule.wants_body()).then(Vec::new),
            events: events.then(|| (Splitter::new(EVENT_MAX), Vec::new())),
        }
    }

    /// More of the body.
    pub(crate) fn see(&mut self, piece: &Bytes) {
        if let Some(body) = &mut self.body {
            let room = Rule::BODY_MAX.saturating_sub(body.len()).min(piece.len());
            body.extend_from_slice(&piece[..room]);
        }
        if let Some((splitter, events)) = &mut self.events {
            splitter.push(piece.clone(), |block| {
                if let Block::Event(event) = block
                    && events.len() < EVENTS_MAX
                {
                    events.push(event);
                }
            });
        }
    }
}
