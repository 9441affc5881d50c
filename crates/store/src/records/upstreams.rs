//! Upstreams as they are entered, changed and read.

use chrono::{DateTime, Utc};
use domain::{
    Dialect, HeaderPolicy, HeaderRule, KeyPlacement, PathStyle, PoolPolicy, ProfileRule, Provider,
    QueryField, Strategy, Timeouts, Upstream, UserId,
};

/// An upstream to be made. What is `None` follows from the preset, from the provider or from our
/// defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewUpstream {
    /// Its name; unique.
    pub name: String,
    /// Where it is; checked against the outbound policy. A preset may know it.
    pub base_url: Option<String>,
    /// The preset to begin with.
    pub preset: Option<String>,
    /// Whose API it is; follows from the host when not given.
    pub provider: Option<Provider>,
    /// What it speaks.
    pub dialects: Option<Vec<Dialect>>,
    /// The models it serves; empty means any.
    pub models: Vec<String>,
    /// Whether calls are sent there; they are when nothing is said.
    pub enabled: Option<bool>,
    /// How a key of its pool is chosen.
    pub strategy: Option<Strategy>,
    /// How many attempts may follow the first.
    pub retry_count: Option<u32>,
    /// How long each part of a call may take.
    pub timeouts: Option<Timeouts>,
    /// Where the provider key goes.
    pub key_placement: Option<KeyPlacement>,
    /// Which of the client's headers go along.
    pub header_policy: Option<HeaderPolicy>,
    /// What is set or removed after the policy.
    pub header_rules: Option<Vec<HeaderRule>>,
    /// Whether bodies are recorded.
    pub record_bodies: bool,
    /// How the path of a call is joined to the address.
    pub paths: Option<PathStyle>,
    /// What every call has in its query.
    pub query: Option<Vec<QueryField>>,
    /// What is known of its models.
    pub model_profiles: Vec<ProfileRule>,
    /// Whether streams of Chat Completions are asked for their usage.
    pub ask_usage: Option<bool>,
    /// How its pool is used.
    pub policy: Option<PoolPolicy>,
    /// Who owns it; whoever makes it when not given.
    pub owner: Option<UserId>,
}

/// What to change of an upstream; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpstreamEdit {
    /// A new name.
    pub name: Option<String>,
    /// A new address. Another scheme, host or port than before is refused while the pool holds
    /// keys, unless [`clear_keys`](Self::clear_keys) is set: keys only go where they were entered.
    pub base_url: Option<String>,
    /// Deletes every key of the pool when the new address needs that.
    pub clear_keys: bool,
    /// Another provider.
    pub provider: Option<Provider>,
    /// What it speaks.
    pub dialects: Option<Vec<Dialect>>,
    /// The models it serves.
    pub models: Option<Vec<String>>,
    /// Whether calls are sent there.
    pub enabled: Option<bool>,
    /// How a key of its pool is chosen.
    pub strategy: Option<Strategy>,
    /// How many attempts may follow the first.
    pub retry_count: Option<u32>,
    /// How long each part of a call may take.
    pub timeouts: Option<Timeouts>,
    /// Where the provider key goes.
    pub key_placement: Option<KeyPlacement>,
    /// Which of the client's headers go along.
    pub header_policy: Option<HeaderPolicy>,
    /// What is set or removed after the policy.
    pub header_rules: Option<Vec<HeaderRule>>,
    /// Whether bodies are recorded.
    pub record_bodies: Option<bool>,
    /// Another preset, or none: only what is known of models follows from it.
    pub preset: Option<Option<String>>,
    /// How the path of a call is joined to the address.
    pub paths: Option<PathStyle>,
    /// What every call has in its query.
    pub query: Option<Vec<QueryField>>,
    /// What is known of its models.
    pub model_profiles: Option<Vec<ProfileRule>>,
    /// Whether streams of Chat Completions are asked for their usage.
    pub ask_usage: Option<bool>,
    /// How its pool is used.
    pub policy: Option<PoolPolicy>,
}

/// An upstream as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamRow {
    /// The upstream itself.
    pub upstream: Upstream,
    /// How many keys its pool holds.
    pub keys: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}
