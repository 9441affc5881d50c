//! What the planes may know of each other: the state of the running data plane, as a trait that
//! it implements and the management plane reads.

use std::{future::Future, pin::Pin, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    BreakerState, Dialect, LimitId, ProviderKeyId, Revision, ServiceKeyId, Standing, UpstreamId,
    log::Considered, policy::HeaderScript,
};

/// The running data plane, as seen from outside. Every call but [`Live::test_key`]
/// and [`Live::provider_models`] answers at once.
pub trait Live: Send + Sync {
    /// The revision that is being served.
    fn revision(&self) -> Revision;
    /// Calls that are being answered now.
    fn calls_in_flight(&self) -> u64;
    /// Log entries that wait in the journal.
    fn journal_len(&self) -> u64;
    /// How a provider key fares; none where the pool does not have it.
    fn key(&self, upstream: UpstreamId, key: ProviderKeyId) -> Option<KeyReport>;
    /// The keys that are not plainly active, for all models or for one; none where there are more
    /// than `most`.
    fn keys_out(&self, most: usize) -> Option<Vec<ProviderKeyId>>;
    /// How an upstream fares; none where there is none.
    fn upstream(&self, upstream: UpstreamId) -> Option<UpstreamReport>;
    /// How much of a limit is used, by whom; at most `most` of those who used most.
    fn limit(&self, limit: LimitId, most: usize) -> Vec<LimitUse>;
    /// Where a call would go, without sending it; or why nowhere.
    fn route_test(&self, ask: &RouteAsk) -> Result<RouteTest, RouteRefused>;
    /// Asks the provider whether it accepts a key, with a question that costs nothing.
    fn test_key(
        &self,
        upstream: UpstreamId,
        key: ProviderKeyId,
    ) -> Pin<Box<dyn Future<Output = KeyTest> + Send + '_>>;
    /// Asks the provider of an upstream now which models it has, with a question that costs nothing;
    /// or says in words why it did not tell.
    fn provider_models(
        &self,
        upstream: UpstreamId,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<String>, String>> + Send + '_>>;
    /// What a script would do for a request.
    fn run_script(&self, script: &HeaderScript, on: &ScriptAsk) -> Result<ScriptDone, String>;
}

/// How a provider key fares.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyReport {
    /// How it stands for all models; none where it is plainly active.
    pub standing: Option<Standing>,
    /// How it stands for single models, where that is worse.
    pub models: Vec<(String, Standing)>,
    /// Its circuit breaker.
    pub breaker: BreakerState,
    /// Calls that it answers now.
    pub in_flight: u32,
    /// Of its last calls, how many of a thousand were answered; none before the first.
    pub success_permille: Option<u32>,
    /// The moving peak of its time to the first byte; none before the first.
    pub latency: Option<Duration>,
    /// What is used of each of its quotas.
    pub quotas: Vec<QuotaUse>,
}

/// How much of a quota of a key is used.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaUse {
    /// Which one.
    pub quota: crate::Quota,
    /// How much, what is reserved for calls under way included.
    pub used: u64,
    /// When it starts anew; never for `total`.
    pub resets_at: Option<DateTime<Utc>>,
}

/// How an upstream fares.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamReport {
    /// Until when it rests and why, where it does.
    pub rests: Option<(DateTime<Utc>, String)>,
    /// Its circuit breakers that are not closed: the model, or none for all, and how it stands.
    pub breakers: Vec<(Option<String>, BreakerState)>,
    /// Calls that it answers now.
    pub in_flight: u32,
    /// Calls that wait in line for it.
    pub waiting: u32,
    /// Of its last calls, how many of a thousand were answered; none before the first.
    pub success_permille: Option<u32>,
    /// The moving average of its time to the first byte; none before the first.
    pub latency: Option<Duration>,
    /// Idle connections that are kept to it.
    pub idle_connections: u32,
    /// How many of its keys stand how, by the names of the statuses.
    pub keys: Vec<(&'static str, u64)>,
}

/// How much somebody used of a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitUse {
    /// Who: the id, address or model that the limit counts by; `all` where it counts everybody
    /// together.
    pub subject: String,
    /// How much, what is reserved for calls under way included.
    pub used: u64,
    /// When there is room again, or the period ends.
    pub resets_at: Option<DateTime<Utc>>,
}

/// A call that might be made.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteAsk {
    /// With which service key.
    pub service_key: ServiceKeyId,
    /// For which model.
    pub model: String,
    /// In which dialect.
    pub dialect: Dialect,
    /// Its headers, for routes that look at them.
    pub headers: Vec<(String, String)>,
    /// Calls with the same value belong together.
    pub session: Option<String>,
}

/// Where a call would go.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTest {
    /// Everything that was considered, and why each was passed over.
    pub considered: Vec<Considered>,
    /// The targets in the order in which they would be asked.
    pub targets: Vec<RouteTarget>,
}

/// A target of a call that might be made.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTarget {
    /// Where.
    pub upstream: UpstreamId,
    /// Its name.
    pub upstream_name: String,
    /// For which model there.
    pub model: Option<String>,
    /// The dialect into which the call is converted; none where it passes as it is.
    pub converted_to: Option<Dialect>,
    /// The key that would be used.
    pub key: Option<ProviderKeyId>,
    /// Its name.
    pub key_name: Option<String>,
    /// Why it could not be asked now, where that is so.
    pub passed_over: Option<String>,
}

/// Why a call would go nowhere.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteRefused {
    /// The status that the client would get.
    pub status: u16,
    /// The stable code.
    pub code: &'static str,
    /// The same in words.
    pub message: String,
}

/// What a provider says of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyTest {
    /// Whether it is accepted; none where the provider could not be asked.
    pub accepted: Option<bool>,
    /// The provider's status, where one came.
    pub status: Option<u16>,
    /// How long it took.
    pub latency: Duration,
    /// Why not, in words without secrets; or that the key rests all the same.
    pub words: Option<String>,
    /// Until when the key rests, for all models or one, although it is accepted.
    pub resting_until: Option<DateTime<Utc>>,
}

/// A request that a header script is asked about.
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

/// What a header script did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScriptDone {
    /// Headers to set, lowercase.
    pub set: Vec<(String, String)>,
    /// Headers to remove, lowercase.
    pub remove: Vec<String>,
}
