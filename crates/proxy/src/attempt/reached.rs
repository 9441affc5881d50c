//! The answer that a call got: as it is, or in another dialect.

use domain::ErrorClass;

use crate::{
    attempt::{conversion::Converted, exchange::Answer},
    http1::ResponseHead,
};

/// Who answered, and how it goes on.
#[derive(Debug)]
pub(crate) enum Reached {
    /// In the client's dialect: it passes as it is.
    AsItIs(Box<Answer>),
    /// In another one, from which it is said again.
    Converted(Converted),
}

impl Reached {
    /// The provider's status.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Reached::AsItIs(answer) => answer.head.status,
            Reached::Converted(Converted::Stream(flow)) => flow.answer.head.status,
            Reached::Converted(Converted::Whole(whole)) => whole.heard_status(),
        }
    }

    /// The head of the provider's answer; none where it was not asked.
    pub(crate) fn head(&self) -> Option<&ResponseHead> {
        match self {
            Reached::AsItIs(answer) => Some(&answer.head),
            Reached::Converted(Converted::Stream(flow)) => Some(&flow.answer.head),
            Reached::Converted(Converted::Whole(whole)) => whole.heard().map(|heard| &heard.head),
        }
    }

    /// What it was taken for, where it tells of a failure that is the client's own.
    pub(crate) fn class(&self) -> Option<ErrorClass> {
        let clients = match self {
            Reached::AsItIs(answer) => answer.verdict.is_some(),
            Reached::Converted(Converted::Stream(_)) => false,
            Reached::Converted(Converted::Whole(whole)) => whole.is_the_clients_fault(),
        };
        clients.then_some(ErrorClass::ClientFault)
    }
}
