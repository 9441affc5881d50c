//! How the pool of an upstream is used, as the API spells it.

mod parts;

use domain::policy as of;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use parts::{
    AuthFailure, Breaker, ErrorRule, FetchMedia, HeaderScript, KeyLimit, Price, Probe, prices,
};

use crate::{
    api::{
        quotas::Quota,
        sticky::Sticky,
        values::{Seconds, Zone, all},
    },
    input::nullable,
};

/// How the pool of an upstream is used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Policy {
    /// By the clock of which zone quotas are reset; the provider's where it is known, else the
    /// gateway's.
    timezone: Option<Zone>,
    /// Rows that are asked before the provider's own table of errors; the first that fits decides.
    error_rules: Vec<ErrorRule>,
    /// What is done with a key that is not accepted.
    on_auth_failure: AuthFailure,
    /// Limits that the provider sets for each key or group.
    key_limits: Vec<KeyLimit>,
    /// The quotas of keys that have none of their own.
    key_quotas: Vec<Quota>,
    /// What keeps calls that belong together with one key.
    sticky: Option<Sticky>,
    /// Longest time, in seconds, that a call waits in the queue while every key is busy.
    queue_timeout: Seconds,
    /// Most calls at once to this upstream; further calls wait in the queue.
    max_in_flight: Option<u32>,
    /// When circuit breakers open.
    breaker: Breaker,
    /// How suspended keys are asked whether they are well again.
    probe: Probe,
    /// Seconds: where all keys rest for as long as the provider said, a call tries one of them this
    /// often; 0 leaves them alone.
    trial_every: Seconds,
    /// What calls of its models cost.
    prices: Vec<Price>,
    /// A script that sets headers.
    header_script: Option<HeaderScript>,
    /// Seconds for which an answer is read on for its usage after the client left; 0 counts what
    /// was sent.
    drain: Seconds,
    /// Seconds that a running stream may go on after its service key or its provider key was
    /// withdrawn; `null` lets it finish. WebSockets close at once.
    revocation_grace: Option<Seconds>,
    /// Whether redirects of the provider (301 to 308) pass to the client under `/proxy/`. On model
    /// routes they never do: an SDK would follow them and hand the prompt to another host.
    pass_redirects: bool,
    /// Seconds within which an answer must have begun, over all attempts; `null` leaves it to
    /// `total_timeout`.
    answer_timeout: Option<Seconds>,
    /// Whether callers may get ephemeral secrets (of Realtime, Live, ChatKit). A client that has one
    /// goes to the provider itself: what it does there is not counted and no limit holds.
    ephemeral_secrets: bool,
    /// Whether the gateway fetches images and PDFs that clients name by address, for dialects that
    /// take only the data (Gemini).
    fetch_media: FetchMedia,
}

/// How the pool of an upstream is to be used. In an edit what is not given stays, in objects too;
/// a list takes the place of the whole list, and `null` stands for what is usual.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EditPolicy {
    /// `null` for that of the provider or the gateway.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Zone>)]
    timezone: Option<Option<Zone>>,
    /// At most 256.
    error_rules: Option<Vec<ErrorRule>>,
    /// What is done with a key that is not accepted.
    on_auth_failure: Option<AuthFailure>,
    /// At most 32.
    key_limits: Option<Vec<KeyLimit>>,
    /// At most 8.
    key_quotas: Option<Vec<Quota>>,
    /// `null` lets go of it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Sticky>)]
    sticky: Option<Option<Sticky>>,
    /// At most 600.
    queue_timeout: Option<Seconds>,
    /// `null` for any number.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    max_in_flight: Option<Option<u32>>,
    /// When circuit breakers open.
    breaker: Option<Breaker>,
    /// How suspended keys are asked whether they are well again.
    probe: Option<Probe>,
    /// 10 to 86400, or 0.
    trial_every: Option<Seconds>,
    /// At most 1000.
    #[serde(deserialize_with = "prices")]
    prices: Option<Vec<Price>>,
    /// `null` for none.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<HeaderScript>)]
    header_script: Option<Option<HeaderScript>>,
    /// At most 600.
    drain: Option<Seconds>,
    /// At most 3600; `null` lets running streams finish.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Seconds>)]
    revocation_grace: Option<Option<Seconds>>,
    /// Whether redirects of the provider (301 to 308) pass to the client under `/proxy/`.
    pass_redirects: Option<bool>,
    /// More than 0 and at most 86400; `null` leaves it to `total_timeout`.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Seconds>)]
    answer_timeout: Option<Option<Seconds>>,
    /// Whether callers may get ephemeral secrets, with which a client goes past the gateway.
    ephemeral_secrets: Option<bool>,
    /// Whether the gateway fetches images and PDFs that clients name by address; off by default.
    fetch_media: Option<FetchMedia>,
}

impl EditPolicy {
    /// The policy that this makes of `now`.
    pub(super) fn onto(self, now: of::PoolPolicy) -> of::PoolPolicy {
        let zone = |zone: Option<Zone>| zone.map(|zone| zone.0);
        let time = |time: Option<Seconds>| time.map(|time| time.0);
        of::PoolPolicy {
            timezone: self.timezone.map_or(now.timezone, zone),
            error_rules: self.error_rules.map_or(now.error_rules, all),
            on_auth_failure: self.on_auth_failure.map_or(now.on_auth_failure, Into::into),
            key_limits: self.key_limits.map_or(now.key_limits, all),
            key_quotas: self.key_quotas.map_or(now.key_quotas, all),
            sticky: self.sticky.map_or(now.sticky, |sticky| sticky.map(Into::into)),
            queue_timeout: self.queue_timeout.map_or(now.queue_timeout, |time| time.0),
            max_in_flight: self.max_in_flight.unwrap_or(now.max_in_flight),
            breaker: self.breaker.map_or(now.breaker, Into::into),
            probe: self.probe.map_or(now.probe, Into::into),
            trial_every: self.trial_every.map_or(now.trial_every, |time| time.0),
            prices: self.prices.map_or(now.prices, all),
            header_script: self
                .header_script
                .map_or(now.header_script, |script| script.map(Into::into)),
            drain: self.drain.map_or(now.drain, |time| time.0),
            revocation_grace: self.revocation_grace.map_or(now.revocation_grace, time),
            pass_redirects: self.pass_redirects.unwrap_or(now.pass_redirects),
            answer_timeout: self.answer_timeout.map_or(now.answer_timeout, time),
            ephemeral_secrets: self.ephemeral_secrets.unwrap_or(now.ephemeral_secrets),
            fetch_media: self.fetch_media.map_or(now.fetch_media, Into::into),
        }
    }

    /// The script that is given, if one is.
    pub(super) fn script(&self) -> Option<of::HeaderScript> {
        self.header_script.clone().flatten().map(Into::into)
    }
}

impl From<of::PoolPolicy> for Policy {
    fn from(policy: of::PoolPolicy) -> Self {
        Self {
            timezone: policy.timezone.map(Zone),
            error_rules: all(policy.error_rules),
            on_auth_failure: policy.on_auth_failure.into(),
            key_limits: all(policy.key_limits),
            key_quotas: all(policy.key_quotas),
            sticky: policy.sticky.map(Into::into),
            queue_timeout: Seconds(policy.queue_timeout),
            max_in_flight: policy.max_in_flight,
            breaker: policy.breaker.into(),
            probe: policy.probe.into(),
            trial_every: Seconds(policy.trial_every),
            prices: all(policy.prices),
            header_script: policy.header_script.map(Into::into),
            drain: Seconds(policy.drain),
            revocation_grace: policy.revocation_grace.map(Seconds),
            pass_redirects: policy.pass_redirects,
            answer_timeout: policy.answer_timeout.map(Seconds),
            ephemeral_secrets: policy.ephemeral_secrets,
            fetch_media: policy.fetch_media.into(),
        }
    }
}
