//! What went wrong at a provider, told in the client's dialect.

use dialect::{Failure, FailureKind};
use domain::{ErrorClass, Verdict};

use super::{
    converted::{Converted, JSON, Whole},
    wording::{Wording, told},
};
use crate::{
    attempt::{
        classify::silent,
        exchange::Try,
        failed::{Cause, Failed, Party},
    },
    client::Client,
    refusal::LastAnswer,
    usage::Measured,
};

impl Wording {
    /// What the client gets for a failure.
    fn error(&self, failure: &Failure, client: &Client<'_>) -> (u16, Vec<u8>) {
        let status = self.client.status(failure.kind);
        (status, self.client.grammar().failure(failure, status, &client.request_id))
    }

    /// An answer that says no: the client's own fault is the client's answer, and anything else the
    /// failure of the attempt. `status` is the provider's; `clients` where the answer was already
    /// found to be the client's fault.
    pub(super) fn no_answer(
        &self,
        failure: Failure,
        status: u16,
        clients: bool,
        attempt: &Try<'_>,
        client: &Client<'_>,
    ) -> Result<Converted, Failed> {
        if clients || is_the_clients(&failure, status) {
            let (status, body) = self.error(&failure, client);
            let fields = [JSON, &self.notes].concat();
            let whole =
                Whole { status, fields, body: body.into(), used: Measured::default(), heard: None };
            return Ok(Converted::Whole(whole));
        }
        let class = class_of(failure.kind);
        let party = Party::of(class, attempt.slot.is_some());
        let words = format!("the provider's answer was an error ({})", failure.kind.code());
        let retry_after = failure.retry_after;
        let failed = Failed::upstream(Cause::StreamError, words);
        let said = Some(Box::new(self.last(&told(failure), client)));
        let verdict = Verdict { status: Some(status), retry_after, ..silent(class) };
        let verdict = Box::new(verdict);
        Err(Failed { status: Some(status), party, verdict, said, ..failed })
    }

    /// A failed attempt with what the provider said in the client's dialect.
    pub(crate) fn retold(&self, mut failed: Failed, client: &Client<'_>) -> Failed {
        let Some(said) = failed.said.take() else { return failed };
        let body = said.body.as_deref().unwrap_or_default();
        let failure = told(self.target.decode_failure(said.status, body));
        let retry_after = said.retry_after.or(failure.retry_after);
        let last = LastAnswer { retry_after, ..self.last(&failure, client) };
        Failed { said: Some(Box::new(last)), ..failed }
    }

    fn last(&self, failure: &Failure, client: &Client<'_>) -> LastAnswer {
        let (status, body) = self.error(failure, client);
        let retry_after = failure.retry_after;
        LastAnswer { status, fields: JSON.to_vec(), body: Some(body.into()), retry_after }
    }
}

/// The class of a failure that is not the client's own.
fn class_of(kind: FailureKind) -> ErrorClass {
    match kind {
        FailureKind::Unauthenticated | FailureKind::Forbidden => ErrorClass::Auth,
        FailureKind::NoMoney => ErrorClass::QuotaExhausted,
        FailureKind::RateLimited => ErrorClass::RateLimited,
        FailureKind::Internal => ErrorClass::ServerFault,
        FailureKind::Overloaded => ErrorClass::Overloaded,
        FailureKind::Timeout => ErrorClass::Timeout,
        _ => ErrorClass::StreamError,
    }
}

/// Whether asking elsewhere would change nothing. An error under a status that says otherwise is
/// judged by what it says: Google refuses a key with 400.
fn is_the_clients(failure: &Failure, status: u16) -> bool {
    match failure.kind {
        FailureKind::Unauthenticated | FailureKind::Forbidden => false,
        FailureKind::BadRequest
        | FailureKind::NotFound
        | FailureKind::Conflict
        | FailureKind::TooLarge => true,
        _ => (400..500).contains(&status),
    }
}
