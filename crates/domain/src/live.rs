//! The state of the running data plane, as a trait that it implements and the management plane
//! reads. The planes have no other interface.

use std::{future::Future, pin::Pin, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    BreakerState, Dialect, LimitId, ProviderKeyId, Revision, ServiceKeyId, Standing, UpstreamId,
    log::Considered, policy::HeaderScript,
};

/// The running data plane. Every method except [`Live::test_key`] and [`Live::provider_models`]
/// answers at once.
pub trait Live: Send + Sync {
    /// Returns the served revision.
    fn revision(&self) -> Revision;
    /// Returns the number of running calls.
    fn calls_in_flight(&self) -> u64;
    /// Returns the number of log entries in the journal.
    fn journal_len(&self) -> u64;
    /// Returns the state of a provider key; `None` if the pool does not have it.
    fn key(&self, upstream: UpstreamId, key: ProviderKeyId) -> Option<KeyReport>;
    /// Returns the keys that are not `active`, for all models or for one; `None` if there are more
    /// than `most`.
    fn keys_out(&self, most: usize) -> Option<Vec<ProviderKeyId>>;
    /// Returns the number of provider keys of all upstreams by state.
    fn key_states(&self) -> Vec<(&'static str, u64)>;
    /// Returns the health of an upstream; `None` if it does not exist.
    fn upstream(&self, upstream: UpstreamId) -> Option<UpstreamReport>;
    /// Returns the use of a limit by subject; the `most` subjects with the highest use.
    fn limit(&self, limit: LimitId, most: usize) -> Vec<LimitUse>;
    /// Plans a call without sending it.
    ///
    /// # Errors
    ///
    /// Returns the refusal that the client would get.
    fn route_test(&self, ask: &RouteAsk) -> Result<RouteTest, RouteRefused>;
    /// Asks the provider whether it accepts a key, with a request that costs nothing.
    fn test_key(
        &self,
        upstream: UpstreamId,
        key: ProviderKeyId,
    ) -> Pin<Box<dyn Future<Output = KeyTest> + Send + '_>>;
    /// Asks the provider of an upstream for its models, with a request that costs nothing. An error
    /// says in words why it failed.
    fn provider_models(
        &self,
        upstream: UpstreamId,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<String>, String>> + Send + '_>>;
    /// Runs a header script on a request.
    ///
    /// # Errors
    ///
    /// Returns the error message of the script.
    fn run_script(&self, script: &HeaderScript, on: &ScriptAsk) -> Result<ScriptDone, String>;
}

/// The state of a provider key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyReport {
    /// The state for all models; `None` if it is active.
    pub standing: Option<Standing>,
    /// The states for single models, where they are worse.
    pub models: Vec<(String, Standing)>,
    /// Its circuit breaker.
    pub breaker: BreakerState,
    /// The number of its running calls.
    pub in_flight: u32,
    /// The answered calls of a thousand recent ones; `None` before the first.
    pub success_permille: Option<u32>,
    /// The moving peak of its time to the first byte; `None` before the first.
    pub latency: Option<Duration>,
    /// The use of its quotas.
    pub quotas: Vec<QuotaUse>,
}

/// The use of a quota of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaUse {
    /// The quota.
    pub quota: crate::Quota,
    /// The used amount, including reservations of running calls.
    pub used: u64,
    /// The end of the period; `None` for `total`.
    pub resets_at: Option<DateTime<Utc>>,
}

/// The health of an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamReport {
    /// The end and the reason of its suspension, if it is suspended.
    pub rests: Option<(DateTime<Utc>, String)>,
    /// The circuit breakers that are not closed: model (`None` for all) and state.
    pub breakers: Vec<(Option<String>, BreakerState)>,
    /// The number of its running calls.
    pub in_flight: u32,
    /// The number of calls in its queue.
    pub waiting: u32,
    /// The answered calls of a thousand recent ones; `None` before the first.
    pub success_permille: Option<u32>,
    /// The moving average of its time to the first byte; `None` before the first.
    pub latency: Option<Duration>,
    /// The number of idle connections to it.
    pub idle_connections: u32,
    /// The number of its keys by state.
    pub keys: Vec<(&'static str, u64)>,
}

/// The use of a limit by one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitUse {
    /// The subject: the id, address or model that the limit counts by; `all` if it counts everybody
    /// together.
    pub subject: String,
    /// The used amount, including reservations of running calls.
    pub used: u64,
    /// The time when use is below the limit again, or the end of the period.
    pub resets_at: Option<DateTime<Utc>>,
}

/// A planned call.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteAsk {
    /// The service key.
    pub service_key: ServiceKeyId,
    /// The model.
    pub model: String,
    /// The dialect.
    pub dialect: Dialect,
    /// The headers, for routes that match on them.
    pub headers: Vec<(String, String)>,
    /// The value by which calls are kept on one target.
    pub session: Option<String>,
}

/// The plan of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTest {
    /// All candidates, with the reason for each that was skipped.
    pub considered: Vec<Considered>,
    /// The targets, in order.
    pub targets: Vec<RouteTarget>,
}

/// A target of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTarget {
    /// The upstream.
    pub upstream: UpstreamId,
    /// Its name.
    pub upstream_name: String,
    /// The model at the upstream.
    pub model: Option<String>,
    /// The dialect to which the call is converted; `None` without conversion.
    pub converted_to: Option<Dialect>,
    /// The key that would be used.
    pub key: Option<ProviderKeyId>,
    /// Its name.
    pub key_name: Option<String>,
    /// The reason why it cannot be asked now, if there is one.
    pub passed_over: Option<String>,
}

/// The refusal of a planned call.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteRefused {
    /// The status that the client would get.
    pub status: u16,
    /// The stable code.
    pub code: &'static str,
    /// The message.
    pub message: String,
}

/// The result of a key test.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyTest {
    /// Whether the provider accepts it; `None` if the provider could not be asked.
    pub accepted: Option<bool>,
    /// The provider's status, where one came.
    pub status: Option<u16>,
    /// The duration of the request.
    pub latency: Duration,
    /// Why the key is not accepted or not used, in words without secrets.
    pub words: Option<String>,
    /// The end of the key's suspension, for all models or one, although it is accepted.
    pub resting_until: Option<DateTime<Utc>>,
}

/// A request for a header script.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScriptAsk {
    /// The method.
    pub method: String,
    /// The path at the provider, without its query.
    pub path: String,
    /// The header lines as they would go out, credentials left out.
    pub headers: Vec<(String, String)>,
    /// The id of the key.
    pub key_id: Option<i64>,
    /// The name of the key.
    pub key_name: Option<String>,
    /// The quota group of the key.
    pub key_group: Option<String>,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

/// The result of a header script.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScriptDone {
    /// Headers to set, lowercase.
    pub set: Vec<(String, String)>,
    /// Headers to remove, lowercase.
    pub remove: Vec<String>,
}
