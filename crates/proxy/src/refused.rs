//! An answer that is none: a status that means failure, or an error where an answer was promised.
//! Whose fault it is, how long to wait, and what of it the client may read.

use std::time::Duration;

use bytes::Bytes;
use dialect::ProviderError;
use pingora_timeout::timeout;
use secrecy::ExposeSecret;

use crate::{
    attempt::{Answer, Try, is_coded},
    failed::{Failed, Party},
    headers,
    health::Fault,
    http1::ResponseHead,
    refusal::LastAnswer,
};

/// How much of a refused answer's body is kept, and how long it is waited for.
const ERROR_BODY_MAX: usize = 64 << 10;
const ERROR_BODY_TIME: Duration = Duration::from_secs(2);

impl Try<'_> {
    /// Whose fault an answer of this status is; none where it is an answer.
    pub(crate) fn at_fault(&self, status: u16) -> Option<Party> {
        match status {
            401 | 403 if self.slot.is_some() => Some(Party::Key(Fault::Auth)),
            429 if self.slot.is_some() => Some(Party::Key(Fault::RateLimited)),
            401 | 403 | 407 | 429 | 500.. => Some(Party::Upstream),
            _ => None,
        }
    }

    /// Takes what a provider said when it refused.
    pub(crate) async fn refused(&self, mut answer: Answer, party: Party, opaque: bool) -> Failed {
        let status = answer.head.status;
        let (result, words) = match (party, status) {
            (Party::Key(fault), _) => (fault.as_str(), format!("the provider answered {status}")),
            (_, 429) => ("rate_limited", "the provider answered 429".to_owned()),
            (_, 401 | 403 | 407) => ("auth", format!("the provider answered {status}")),
            _ => ("server_fault", format!("the provider answered {status}")),
        };
        let mut body = Vec::new();
        let read = timeout(ERROR_BODY_TIME, async {
            loop {
                answer.incoming.ready.drain(..).for_each(|piece| body.extend_from_slice(&piece));
                let more = body.len() <= ERROR_BODY_MAX && !answer.incoming.is_finished();
                if !more || answer.incoming.pull().await.is_err() {
                    return;
                }
            }
        });
        let _ = read.await;
        let whole = answer.incoming.is_finished() && body.len() <= ERROR_BODY_MAX;
        // Nothing can be found in what is compressed, and not every client asked for it.
        let readable = opaque || answer.unpacks || !is_coded(&answer.head);
        let fields = headers::of_refusal(&answer.head, answer.unpacks);
        let said = ProviderError::read(&body).filter(|_| whole);
        let retry_after = retry_after(&answer.head).or(said.and_then(|said| said.retry_after));
        if whole {
            self.keep(answer);
        }
        // What names our account or our key is not for the client.
        let secret = self.slot.map(|slot| slot.key.secret.expose_secret().as_bytes());
        let tells = secret.is_some_and(|secret| memchr::memmem::find(&body, secret).is_some());
        let fit =
            whole && readable && !body.is_empty() && !tells && !matches!(status, 401 | 403 | 407);
        let body = fit.then(|| Bytes::from(body));
        let said = Some(Box::new(LastAnswer { status, fields, body, retry_after }));
        let status = Some(status);
        Failed { result, status, party, retry_after, said, words, refusal: None }
    }

    /// An error that came where an answer was promised.
    pub(crate) fn said_error(&self, error: &dialect::ProviderError, status: Option<u16>) -> Failed {
        let party = match error.status {
            401 | 403 if self.slot.is_some() => Party::Key(Fault::Auth),
            429 if self.slot.is_some() => Party::Key(Fault::RateLimited),
            _ => Party::Upstream,
        };
        let words = format!("the provider's answer was an error ({})", error.code);
        let retry_after = error.retry_after;
        let said = LastAnswer { status: error.status, fields: Vec::new(), body: None, retry_after };
        let (result, said) = ("stream_error", Some(Box::new(said)));
        Failed { result, status, party, retry_after, said, words, refusal: None }
    }
}

/// When the provider wants to be asked again: `retry-after-ms`, or `retry-after` in seconds or as
/// a date (RFC 9110, 10.2.3).
fn retry_after(head: &ResponseHead) -> Option<Duration> {
    let millis = head.text("retry-after-ms").and_then(|v| v.trim().parse::<f64>().ok());
    if let Some(millis) = millis {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let value = head.text("retry-after")?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    (date.to_utc() - chrono::Utc::now()).to_std().ok()
}
