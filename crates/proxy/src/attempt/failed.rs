//! Why an attempt is no answer, and whose fault that was.

use bytes::Bytes;
use domain::{ErrorClass, Verdict};

use crate::{
    attempt::classify::silent,
    http1::ResponseHead,
    pool::line::ConnectFault,
    refusal::{LastAnswer, Refusal},
};

/// The result of an attempt that was answered with a redirect.
pub(crate) const REDIRECTED: &str = "redirected";

/// Why an attempt is no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The name in log entries.
    pub(crate) result: &'static str,
    pub(crate) status: Option<u16>,
    pub(crate) party: Party,
    /// What kind of failure it is.
    pub(crate) verdict: Box<Verdict>,
    /// What it said, where it said something.
    pub(crate) said: Option<Box<LastAnswer>>,
    /// The same for people.
    pub(crate) words: String,
    /// What the client is told where it is the client's own fault.
    pub(crate) refusal: Option<Box<Refusal>>,
    /// What there is for rules to look at.
    pub(crate) heard: Option<Box<Heard>>,
    /// Whether the provider may have had the question.
    pub(crate) asked: bool,
}

/// An answer that was none, as it came.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) head: ResponseHead,
    /// Its body, capped; none where it is compressed.
    pub(crate) body: Option<Bytes>,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    /// This key's: another one may do.
    Key,
    /// The provider's, or the way's there.
    Upstream,
    /// The client's: it left, or sent what it should not.
    Client,
}

impl Party {
    /// Whose fault a failure of this class is. Where no key went along, none is at fault.
    pub(crate) fn of(class: ErrorClass, keyed: bool) -> Self {
        match class {
            class if keyed && class.is_the_keys() => Party::Key,
            _ => Party::Upstream,
        }
    }
}

impl Failed {
    pub(crate) fn upstream(result: &'static str, words: impl Into<String>) -> Self {
        let class = match result {
            "timeout" | "connect_timeout" => ErrorClass::Timeout,
            "empty" | "stream_error" => ErrorClass::StreamError,
            "too_large" | "busy" | "client_gone" | REDIRECTED => ErrorClass::Unknown,
            _ => ErrorClass::Network,
        };
        Self {
            result,
            status: None,
            party: Party::Upstream,
            verdict: Box::new(silent(class)),
            said: None,
            words: words.into(),
            refusal: None,
            heard: None,
            asked: true,
        }
    }

    /// The same where there was no connection yet.
    pub(crate) fn unasked(self) -> Self {
        Self { asked: false, ..self }
    }

    pub(crate) fn client(refusal: Refusal) -> Self {
        let (party, words) = (Party::Client, refusal.to_string());
        Self { party, refusal: Some(Box::new(refusal)), ..Self::upstream("client_gone", words) }
    }

    /// The provider sends the client elsewhere. Asking again changes nothing.
    pub(crate) fn redirected(status: u16) -> Self {
        let refusal = Refusal::Redirected(status);
        Self { status: Some(status), ..Self::upstream(REDIRECTED, refusal.to_string()) }
    }

    /// A deadline passed.
    pub(crate) fn too_slow() -> Self {
        Self::upstream("timeout", "the provider did not answer in time")
    }
}

impl From<ConnectFault> for Failed {
    fn from(fault: ConnectFault) -> Self {
        Failed::upstream(fault.as_str(), fault.to_string()).unasked()
    }
}

/// The connection ended where more should have come.
pub(crate) fn reset() -> Failed {
    Failed::upstream("reset", "the provider broke the connection")
}
