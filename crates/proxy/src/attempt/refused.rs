//! An answer that is none: a status that means failure, or an error where an answer was promised.
//! Whose fault it is, how long to wait, and what of it the client may read.
//!
//! What the client itself is to blame for is an answer: it goes on, byte for byte.

use std::time::Duration;

use bytes::Bytes;
use dialect::ProviderError;
use domain::{ErrorClass, Verdict};
use pingora_timeout::timeout;
use secrecy::ExposeSecret;

use crate::{
    attempt::{
        classify::{classify, classify_event},
        exchange::{Answer, Try, is_coded},
        failed::{Cause, Failed, Heard, Party},
    },
    headers,
    refusal::LastAnswer,
};

/// How much of a refused answer's body is kept, and how long it is waited for.
const ERROR_BODY_MAX: usize = 64 << 10;
const ERROR_BODY_TIME: Duration = Duration::from_secs(2);

impl Try<'_> {
    /// Reads what a provider said with a status of 400 or more. The answer, where it is one for
    /// the client, with nothing of it lost; the failure otherwise.
    pub(crate) async fn judged(&self, mut answer: Answer, opaque: bool) -> Result<Answer, Failed> {
        let read = timeout(ERROR_BODY_TIME, async {
            while answer.incoming.waiting() <= ERROR_BODY_MAX {
                if !matches!(answer.incoming.pull().await, Ok(true)) {
                    return;
                }
            }
        });
        let _ = read.await;
        let mut body = answer.incoming.ready.concat();
        let whole = answer.incoming.is_finished() && body.len() <= ERROR_BODY_MAX;
        body.truncate(ERROR_BODY_MAX);
        // Nothing can be found in what is compressed, and not every client asked for it.
        let clear = answer.unpacks || !is_coded(&answer.head);
        let seen = if clear { body.as_slice() } else { &[] };
        let verdict =
            classify(self.upstream, answer.head.status, answer.head.iter(), seen, self.clock.now());
        if verdict.class == ErrorClass::ClientFault {
            answer.verdict = Some(Box::new(verdict));
            return Ok(answer);
        }
        Err(self.refused(answer, verdict, body.into(), Body { whole, clear, opaque }))
    }

    /// Takes what a provider said when it refused.
    fn refused(&self, answer: Answer, verdict: Verdict, body: Bytes, is: Body) -> Failed {
        let status = answer.head.status;
        let party = Party::of(verdict.class, self.slot.is_some());
        let cause = Cause::Refused(verdict.class);
        let words = match &verdict.code {
            Some(code) => format!("the provider answered {status} ({code})"),
            None => format!("the provider answered {status}"),
        };
        let fields = headers::of_refusal(&answer.head, answer.unpacks);
        let head = answer.head.clone();
        if is.whole {
            self.keep(answer);
        }
        // What names our account or our key is not for the client.
        let secret = self.slot.map(|slot| slot.key.secret.expose_secret().as_bytes());
        let tells = secret.is_some_and(|secret| memchr::memmem::find(&body, secret).is_some());
        let fit = is.whole
            && (is.clear || is.opaque)
            && !body.is_empty()
            && !tells
            && !matches!(status, 401 | 403 | 407);
        let retry_after = verdict.retry_after;
        let told = fit.then(|| body.clone());
        let said = LastAnswer { status, fields, body: told, retry_after };
        let heard = Heard { head, body: is.clear.then_some(body) };
        Failed {
            status: Some(status),
            party,
            said: Some(Box::new(said)),
            heard: Some(Box::new(heard)),
            verdict: Box::new(verdict),
            ..Failed::upstream(cause, words)
        }
    }

    /// An error that came where an answer was promised; none where it is the client's fault, and
    /// so for the client.
    pub(crate) fn said_error(&self, error: &ProviderError, status: Option<u16>) -> Option<Failed> {
        let verdict = classify_event(self.upstream, error, status);
        if verdict.class == ErrorClass::ClientFault {
            return None;
        }
        let party = Party::of(verdict.class, self.slot.is_some());
        let words = format!("the provider's answer was an error ({})", error.code);
        let retry_after = verdict.retry_after;
        let said = LastAnswer { status: error.status, fields: Vec::new(), body: None, retry_after };
        Some(Failed {
            status,
            party,
            said: Some(Box::new(said)),
            verdict: Box::new(verdict),
            ..Failed::upstream(Cause::StreamError, words)
        })
    }
}

/// What a body that was read is like.
struct Body {
    /// Nothing of it is missing.
    whole: bool,
    /// It is not compressed.
    clear: bool,
    /// It passes however it is packed.
    opaque: bool,
}
