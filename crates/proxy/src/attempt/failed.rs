//! Why an attempt is no answer, and whose fault that was.

use bytes::Bytes;
use domain::{ErrorClass, Verdict};

use crate::{
    attempt::classify::silent,
    http1::ResponseHead,
    pool::line::ConnectFault,
    refusal::{LastAnswer, Refusal},
};

/// Why an attempt is no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    /// In what way it failed.
    pub(crate) cause: Cause,
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

/// In what way an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The provider refused, by its status or by an error where an answer was promised.
    Refused(ErrorClass),
    /// No answer came in time.
    Timeout,
    /// No connection could be made.
    Connect,
    /// TLS could not be agreed on.
    Tls,
    /// The connection broke, or what came was no HTTP.
    Reset,
    /// The answer was empty.
    Empty,
    /// An error came where an answer was promised.
    StreamError,
    /// The answer is compressed in a way that is not known here.
    Coding,
    /// The answer is too large to be read whole.
    TooLarge,
    /// The gateway has no memory for the answer.
    Busy,
    /// The client left, or what it sent was at fault.
    Client,
    /// The answer sends the client elsewhere.
    Redirected,
    /// A rule did not want the answer.
    Rule,
}

impl Cause {
    /// The name in log entries.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Cause::Refused(class) => class.as_str(),
            Cause::Timeout => "timeout",
            Cause::Connect => "connect",
            Cause::Tls => "tls",
            Cause::Reset => "reset",
            Cause::Empty => "empty",
            Cause::StreamError => "stream_error",
            Cause::Coding => "coding",
            Cause::TooLarge => "too_large",
            Cause::Busy => "busy",
            Cause::Client => "client_gone",
            Cause::Redirected => "redirected",
            Cause::Rule => "rule",
        }
    }

    /// Whether time ran out, here or at the provider as its answer tells.
    pub(crate) fn is_timeout(self) -> bool {
        matches!(self, Cause::Timeout | Cause::Refused(ErrorClass::Timeout))
    }

    /// The class of the failure, where the provider did not tell more.
    fn class(self) -> ErrorClass {
        match self {
            Cause::Refused(class) => class,
            Cause::Timeout => ErrorClass::Timeout,
            Cause::Empty | Cause::StreamError => ErrorClass::StreamError,
            Cause::TooLarge | Cause::Busy | Cause::Client | Cause::Redirected => {
                ErrorClass::Unknown
            }
            Cause::Connect | Cause::Tls | Cause::Reset | Cause::Coding | Cause::Rule => {
                ErrorClass::Network
            }
        }
    }
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
    pub(crate) fn upstream(cause: Cause, words: impl Into<String>) -> Self {
        Self {
            cause,
            status: None,
            party: Party::Upstream,
            verdict: Box::new(silent(cause.class())),
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
        Self { party, refusal: Some(Box::new(refusal)), ..Self::upstream(Cause::Client, words) }
    }

    /// The provider sends the client elsewhere. Asking again changes nothing.
    pub(crate) fn redirected(status: u16) -> Self {
        let refusal = Refusal::Redirected(status);
        Self { status: Some(status), ..Self::upstream(Cause::Redirected, refusal.to_string()) }
    }

    /// A deadline passed.
    pub(crate) fn too_slow() -> Self {
        Self::upstream(Cause::Timeout, "the provider did not answer in time")
    }
}

impl From<ConnectFault> for Failed {
    fn from(fault: ConnectFault) -> Self {
        let cause = match &fault {
            ConnectFault::Resolve | ConnectFault::Denied(_) | ConnectFault::Connect => {
                Cause::Connect
            }
            ConnectFault::Tls => Cause::Tls,
            ConnectFault::TimedOut => Cause::Timeout,
        };
        Failed::upstream(cause, fault.to_string()).unasked()
    }
}

/// The connection ended where more should have come.
pub(crate) fn reset() -> Failed {
    Failed::upstream(Cause::Reset, "the provider broke the connection")
}
