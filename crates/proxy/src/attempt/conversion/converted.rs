//! An answer in the client's dialect: whole, or the beginning of a stream.

use bytes::Bytes;

use super::stream::Flow;
use crate::{attempt::failed::Heard, http1::ResponseHead, usage::Measured};

/// The header of every whole answer.
pub(crate) const JSON: &[u8] = b"content-type: application/json\r\n";

/// An answer in the client's dialect.
#[derive(Debug)]
pub(crate) enum Converted {
    /// All of it.
    Whole(Whole),
    /// The beginning of it, and where more comes from.
    Stream(Box<Flow>),
}

/// A whole answer in the client's dialect.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    /// Header lines.
    pub(crate) fields: Vec<u8>,
    pub(crate) body: Bytes,
    pub(crate) used: Measured,
    /// What the provider said; none where it was not asked.
    pub(crate) heard: Option<Box<Heard>>,
}

impl Whole {
    /// The provider's status; our own where it was not asked.
    pub(crate) fn heard_status(&self) -> u16 {
        self.heard.as_ref().map_or(self.status, |heard| heard.head.status)
    }

    /// Whether it tells the client of a fault of its own.
    pub(crate) fn is_the_clients_fault(&self) -> bool {
        self.status >= 400
    }

    /// What the provider said.
    pub(crate) fn heard(&self) -> Option<&Heard> {
        self.heard.as_deref()
    }
}

impl Converted {
    /// The same, with what the provider said.
    pub(crate) fn with(mut self, head: ResponseHead, body: Bytes) -> Self {
        if let Converted::Whole(whole) = &mut self {
            whole.heard = Some(Box::new(Heard { head, body: Some(body) }));
        }
        self
    }
}
