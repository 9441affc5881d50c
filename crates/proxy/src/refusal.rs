//! Every way in which the data plane says no, and how it is said in the caller's own dialect.

pub(crate) mod retry;
pub(crate) mod revoked;

use std::time::Duration;

use bytes::Bytes;
use dialect::{ErrorWords, Failure, Grammar, Malformed};
use domain::{ErrorClass, KeyFault};

use crate::{
    headers::{JSON, push},
    http1::BadHead,
    journal::JournalError,
    limits::LimitRefused,
    refusal::revoked::Revoked,
};

/// Why a call got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    BadHead(#[from] BadHead),
    #[error("the request head is larger than {0} bytes")]
    HeadTooLarge(usize),
    #[error("the request did not arrive in time")]
    TooSlow,
    #[error("the chunked body is malformed")]
    BadChunk,
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("the request body is larger than {0} bytes")]
    BodyTooLarge(u64),
    #[error(
        "the field `model` does not stand in the first {0} bytes of this form; send it before the file"
    )]
    ModelTooFar(u64),
    #[error(
        "the request body is compressed in a way that is not known here; use gzip, deflate, br, zstd or none"
    )]
    Compressed,
    #[error("the request body is not well compressed")]
    BadCoding,
    #[error("a service key is missing; send it as `Authorization: Bearer tg-…` or `x-api-key`")]
    KeyMissing,
    #[error("the service key is unknown")]
    KeyUnknown,
    #[error("the service key {}", .0.words())]
    KeyRefused(KeyFault),
    #[error("this service key is not accepted {0}")]
    KeptOut(&'static str),
    #[error("the request carries two different service keys; send one")]
    TwoKeys,
    #[error(
        "nothing is served at this path; calls go to /v1/…, /v1beta/… or /proxy/{{upstream}}/…"
    )]
    NoSuchPath,
    #[error("{}", management_hint(*.0))]
    ManagementPath(Option<u16>),
    #[error("the method {method} is not served here; use {allowed}")]
    Method { method: String, allowed: &'static str },
    #[error("there is no upstream `{0}` that this service key may use")]
    NoSuchUpstream(String),
    #[error("this service key may not ask for the model `{0}`")]
    ModelForbidden(String),
    #[error("this service key is for certain models only, and this call does not say its model")]
    ModelUntold,
    #[error("no model is named; the field `model` is required")]
    ModelMissing,
    #[error("no route or upstream serves the model `{0}`")]
    NoRoute(String),
    #[error("several upstreams serve `{model}`; ask for one of them: {candidates}")]
    Ambiguous { model: String, candidates: String },
    #[error(
        "there is no upstream `{first}`; those that take any model are {upstreams}: ask for `upstream/model`"
    )]
    NoSuchFirst { first: String, upstreams: String },
    #[error(
        "`{model}` is served by upstreams that speak {served}; a call in the dialect {asked} cannot be sent there, \
         use an SDK of that dialect"
    )]
    OtherDialect { model: String, asked: &'static str, served: String },
    #[error("{}", .0.message)]
    Unsayable(Box<Failure>),
    #[error("no upstream takes this over a WebSocket; ask without one")]
    NoWebSocket,
    #[error("a WebSocket needs `sec-websocket-version: 13` and a `sec-websocket-key`")]
    BadHandshake,
    #[error("the upstream `{0}` is switched off")]
    UpstreamOff(String),
    #[error(
        "the upstream `{0}` gives no ephemeral secrets: with one a client goes past the gateway; an administrator can allow them with `policy.ephemeral_secrets`"
    )]
    SecretsKept(String),
    #[error("every key of the upstream `{0}` is switched off")]
    NoUsableKey(String),
    #[error("every key of the upstream `{upstream}` rests; try again in {} s", retry_after.as_secs().max(1))]
    AllKeysRest { upstream: String, retry_after: Duration },
    #[error("every key of the upstream `{upstream}` is out of use ({class}){}", again(*retry_after))]
    AllKeysFail { upstream: String, class: ErrorClass, retry_after: Option<Duration> },
    #[error("the upstream `{upstream}` rests; try again in {} s", retry_after.as_secs().max(1))]
    UpstreamRests { upstream: String, retry_after: Duration },
    #[error("the upstream `{upstream}` has as many calls as it may; try again in {} s", retry_after.as_secs().max(1))]
    UpstreamBusy { upstream: String, retry_after: Duration },
    #[error(
        "this call may use more tokens than any key of the upstream `{0}` has left; ask for fewer (`max_tokens`)"
    )]
    TooLargeForKeys(String),
    #[error(
        "the keys of the upstream `{0}` have quotas in money, and the price of this call is not known; \
         set one in the `prices` of the upstream's policy"
    )]
    UnpricedForKeys(String),
    #[error("{0}")]
    Limited(Box<LimitRefused>),
    #[error("the header script of the upstream failed; nothing was sent")]
    Script,
    #[error("the gateway holds as many request bodies as it may; try again shortly")]
    Busy,
    #[error("the gateway cannot record calls now; nothing was sent")]
    Journal(#[from] JournalError),
    #[error("the gateway could not refresh its configuration for too long; nothing was sent")]
    Stale,
    #[error("no provider answered: {0}")]
    Unanswered(String),
    #[error("no provider answered in time")]
    TimedOut,
    #[error(
        "the provider answered with a redirect ({0}), which is not passed on: the prompt would go to another host; \
         the upstream's base URL may have to change"
    )]
    Redirected(u16),
    #[error("the provider broke off in the middle of its answer")]
    BrokeOff,
    #[error("the provider fell silent in the middle of its answer")]
    FellSilent,
    #[error("the answer took longer than a call to this upstream may")]
    TookTooLong,
    #[error("{0}")]
    Revoked(Revoked),
    #[error("the provider refused the call")]
    Provider(Box<LastAnswer>),
    #[error(
        "something went wrong in the gateway; the request id tells which log lines belong to it"
    )]
    Internal,
    #[error("the client left")]
    ClientGone,
}

/// The last answer of a provider when none was good: it goes to the client, who can act on it.
#[derive(Debug)]
pub(crate) struct LastAnswer {
    /// The provider's status.
    pub(crate) status: u16,
    /// Its header lines, as far as they are for the client.
    pub(crate) fields: Vec<u8>,
    /// Its body, capped, without our key; none where it is not fit to be passed on.
    pub(crate) body: Option<Bytes>,
    /// When the first key of the pool is back.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// Stable, for machines: dashboards and callers match on it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Refusal::BadHead(_) => "bad_request_head",
            Refusal::HeadTooLarge(_) => "head_too_large",
            Refusal::TooSlow => "request_timeout",
            Refusal::BadChunk | Refusal::Malformed(_) => "malformed_request",
            Refusal::BodyTooLarge(_) | Refusal::ModelTooFar(_) => "body_too_large",
            Refusal::Compressed => "unsupported_content_encoding",
            Refusal::BadCoding => "malformed_request",
            Refusal::KeyMissing => "missing_service_key",
            Refusal::KeyUnknown => "invalid_service_key",
            Refusal::KeyRefused(_) => "service_key_not_active",
            Refusal::KeptOut(_) => "service_key_not_allowed_here",
            Refusal::TwoKeys => "ambiguous_service_key",
            Refusal::NoSuchPath => "no_such_path",
            Refusal::ManagementPath(_) => "management_path",
            Refusal::Method { .. } => "method_not_allowed",
            Refusal::NoSuchUpstream(_) => "no_such_upstream",
            Refusal::ModelForbidden(_) | Refusal::ModelUntold => "model_not_allowed",
            Refusal::ModelMissing => "model_missing",
            Refusal::NoRoute(_) | Refusal::NoSuchFirst { .. } => "no_route",
            Refusal::Ambiguous { .. } => "ambiguous_model",
            Refusal::OtherDialect { .. } => "dialect_not_served",
            Refusal::Unsayable(failure) => failure.kind.code(),
            Refusal::NoWebSocket => "websocket_not_served",
            Refusal::BadHandshake => "bad_websocket_handshake",
            Refusal::UpstreamOff(_) => "upstream_disabled",
            Refusal::SecretsKept(_) => "ephemeral_secrets_not_allowed",
            Refusal::NoUsableKey(_) => "no_usable_key",
            Refusal::AllKeysRest { .. } => "all_keys_resting",
            Refusal::AllKeysFail { class, .. } => match class {
                ErrorClass::Auth => "all_keys_resting_auth",
                ErrorClass::ServerFault => "all_keys_resting_server_fault",
                ErrorClass::StreamError => "all_keys_resting_stream_error",
                _ => "all_keys_resting_unknown",
            },
            Refusal::UpstreamRests { .. } => "upstream_resting",
            Refusal::UpstreamBusy { .. } => "upstream_busy",
            Refusal::TooLargeForKeys(_) => "key_limit_exceeded",
            Refusal::UnpricedForKeys(_) => "price_unknown",
            Refusal::Limited(refused) => refused.code(),
            Refusal::Script => "header_script_failed",
            Refusal::Busy => "gateway_busy",
            Refusal::Journal(_) => "journal_unavailable",
            Refusal::Stale => "stale_configuration",
            Refusal::Unanswered(_) => "no_upstream_answered",
            Refusal::TimedOut | Refusal::FellSilent | Refusal::TookTooLong => "upstream_timeout",
            Refusal::BrokeOff => "upstream_broke_off",
            Refusal::Redirected(_) => "upstream_redirected",
            Refusal::Revoked(_) => "access_revoked",
            Refusal::Provider(_) => "provider_error",
            Refusal::Internal => "internal_error",
            Refusal::ClientGone => "client_gone",
        }
    }

    /// The HTTP status of the answer.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Refusal::BadHead(BadHead::Expectation) => 417,
            Refusal::BadHead(BadHead::TargetTooLong) => 414,
            Refusal::BadHead(BadHead::TooMany) | Refusal::HeadTooLarge(_) => 431,
            Refusal::BadHead(_) | Refusal::BadChunk | Refusal::Malformed(_) => 400,
            Refusal::TwoKeys | Refusal::Ambiguous { .. } | Refusal::ModelMissing => 400,
            Refusal::BadCoding => 400,
            Refusal::OtherDialect { .. } | Refusal::NoSuchFirst { .. } => 404,
            Refusal::Unsayable(failure) => failure.kind.status(),
            Refusal::NoWebSocket => 426,
            Refusal::BadHandshake => 400,
            Refusal::TooSlow => 408,
            Refusal::BodyTooLarge(_) | Refusal::ModelTooFar(_) => 413,
            Refusal::Compressed => 415,
            Refusal::KeyMissing | Refusal::KeyUnknown | Refusal::KeyRefused(_) => 401,
            Refusal::ModelForbidden(_) | Refusal::ModelUntold | Refusal::KeptOut(_) => 403,
            Refusal::UnpricedForKeys(_) => 403,
            Refusal::SecretsKept(_) => 403,
            Refusal::NoSuchPath | Refusal::ManagementPath(_) => 404,
            Refusal::NoSuchUpstream(_) | Refusal::NoRoute(_) => 404,
            Refusal::Method { .. } => 405,
            Refusal::AllKeysRest { .. } | Refusal::TooLargeForKeys(_) => 429,
            Refusal::Limited(refused) => refused.status(),
            Refusal::UpstreamRests { .. }
            | Refusal::UpstreamBusy { .. }
            | Refusal::AllKeysFail { .. } => 503,
            Refusal::Script => 500,
            Refusal::UpstreamOff(_) | Refusal::NoUsableKey(_) => 503,
            Refusal::Busy | Refusal::Journal(_) | Refusal::Stale => 503,
            Refusal::Unanswered(_) | Refusal::BrokeOff | Refusal::Redirected(_) => 502,
            Refusal::TimedOut | Refusal::FellSilent | Refusal::TookTooLong => 504,
            Refusal::Revoked(why) => why.status(),
            // A provider that does not take our key is our trouble, not the client's.
            Refusal::Provider(last) if matches!(last.status, 401 | 403 | 407) => 502,
            // Errors that came as the first event of a stream have no status of their own.
            Refusal::Provider(last) if last.status < 400 => 502,
            Refusal::Provider(last) => last.status,
            Refusal::Internal => 500,
            Refusal::ClientGone => 499,
        }
    }

    /// In how many seconds it makes sense to try again, where that is known.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::AllKeysRest { retry_after, .. } => Some(*retry_after),
            Refusal::UpstreamRests { retry_after, .. }
            | Refusal::UpstreamBusy { retry_after, .. } => Some(*retry_after),
            Refusal::AllKeysFail { retry_after, .. } => *retry_after,
            Refusal::Limited(refused) => refused.retry_after(),
            Refusal::Provider(last) => last.retry_after,
            Refusal::Busy | Refusal::Journal(_) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Whether what follows on the connection could be misread as the next request.
    pub(crate) fn closes(&self) -> bool {
        matches!(
            self,
            Refusal::BadHead(_)
                | Refusal::HeadTooLarge(_)
                | Refusal::TooSlow
                | Refusal::BadChunk
                | Refusal::BodyTooLarge(_)
                | Refusal::ModelTooFar(_)
                | Refusal::ClientGone
        )
    }

    /// The header lines and the body of the answer, in the client's dialect where the provider's
    /// own words are not at hand.
    pub(crate) fn answer(&self, grammar: &dyn Grammar, request_id: &str) -> (Vec<u8>, Bytes) {
        if let Refusal::Provider(last) = self
            && let Some(body) = &last.body
        {
            return (last.fields.clone(), body.clone());
        }
        let message = self.to_string();
        let mut fields = JSON.to_vec();
        match self {
            Refusal::Method { allowed, .. } => push(&mut fields, b"allow", allowed.as_bytes()),
            Refusal::Unsayable(failure) => {
                return (fields, grammar.failure(failure, self.status(), request_id).into());
            }
            _ => {}
        }
        (fields, grammar.error(&self.words(&message, request_id)).into())
    }

    /// What the client's dialect has to say.
    pub(crate) fn words<'a>(&self, message: &'a str, request_id: &'a str) -> ErrorWords<'a> {
        ErrorWords { status: self.status(), code: self.code(), message, request_id }
    }
}

/// When to try again, where that is known.
fn again(after: Option<Duration>) -> String {
    match after {
        Some(after) => format!("; try again in {} s", after.as_secs().max(1)),
        None => "; none of them comes back by itself".to_owned(),
    }
}

fn management_hint(port: Option<u16>) -> String {
    let place = match port {
        Some(port) => format!("the management port, {port}"),
        None => "the management port of the process that runs it".to_owned(),
    };
    format!("the management API is not served here; it is on {place}")
}
