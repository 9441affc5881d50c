//! Why an attempt is no answer, and whose fault that was.

use std::time::Duration;

use crate::{
    health::Fault,
    line::ConnectFault,
    refusal::{LastAnswer, Refusal},
};

/// Why an attempt is no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The name in log entries.
    pub(crate) result: &'static str,
    pub(crate) status: Option<u16>,
    pub(crate) party: Party,
    /// How long the provider wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// What it said, where it said something.
    pub(crate) said: Option<Box<LastAnswer>>,
    /// The same for people.
    pub(crate) words: String,
    /// What the client is told where it is the client's own fault.
    pub(crate) refusal: Option<Box<Refusal>>,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    /// This key's: another one may do.
    Key(Fault),
    /// The provider's, or the way's there.
    Upstream,
    /// The client's: it left, or sent what it should not.
    Client,
}

impl Failed {
    pub(crate) fn upstream(result: &'static str, words: impl Into<String>) -> Self {
        let (words, party) = (words.into(), Party::Upstream);
        Self { result, status: None, party, retry_after: None, said: None, words, refusal: None }
    }

    pub(crate) fn client(refusal: Refusal) -> Self {
        let (party, words) = (Party::Client, refusal.to_string());
        Self { party, refusal: Some(Box::new(refusal)), ..Self::upstream("client_gone", words) }
    }

    /// A deadline passed.
    pub(crate) fn too_slow() -> Self {
        Self::upstream("timeout", "the provider did not answer in time")
    }
}

impl From<ConnectFault> for Failed {
    fn from(fault: ConnectFault) -> Self {
        Failed::upstream(fault.as_str(), fault.to_string())
    }
}

/// The connection ended where more should have come.
pub(crate) fn reset() -> Failed {
    Failed::upstream("reset", "the provider broke the connection")
}
