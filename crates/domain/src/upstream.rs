//! Upstreams.

use std::{fmt, str::FromStr, time::Duration};

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{
    BaseUrl, Dialect, Fault, Faults, KeyPlacement, ModelProfile, PoolPolicy, Preset, ProfileRule,
    Provider, Target, UpstreamId, UserId, tags,
};

/// A configured place to send calls: provider, address, timeouts. Its keys stand beside it in
/// [`UpstreamEntry`](crate::UpstreamEntry).
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its id.
    pub id: UpstreamId,
    /// The owner, who besides administrators is the only one who may use it.
    pub owner: UserId,
    /// Its name in `/proxy/{name}/…` and in `name/model`; unique.
    pub name: String,
    /// The provider.
    pub provider: Provider,
    /// The preset from which it was created; its profiles of models are used below the upstream's
    /// own.
    pub preset: Option<String>,
    /// The address.
    pub base_url: BaseUrl,
    /// The way in which paths of model routes are joined to the base URL.
    pub paths: PathStyle,
    /// Query fields that are added to calls on model routes; the client's own fields take
    /// precedence.
    pub query: Vec<QueryField>,
    /// The dialects.
    pub dialects: Vec<Dialect>,
    /// The models; if empty, any.
    pub models: Vec<String>,
    /// Whether the upstream is enabled.
    pub enabled: bool,
    /// The strategy of the key pool.
    pub strategy: Strategy,
    /// The number of attempts after the first.
    pub retry_count: u32,
    /// The timeouts of the parts of a call.
    pub timeouts: Timeouts,
    /// The placement of the provider key in requests.
    pub key_placement: KeyPlacement,
    /// The policy for the client's headers.
    pub header_policy: HeaderPolicy,
    /// The header rules after the policy, in order.
    pub header_rules: Vec<HeaderRule>,
    /// Whether request and answer bodies are recorded (capped and masked).
    pub record_bodies: bool,
    /// The profiles of its models.
    pub model_profiles: Vec<ProfileRule>,
    /// Whether the gateway requests usage in streams of Chat Completions; the usage event is hidden
    /// from clients that did not request it.
    pub ask_usage: bool,
    /// The policy of the key pool.
    pub policy: PoolPolicy,
    /// Labels by which people find it.
    pub tags: Vec<String>,
}

impl Upstream {
    /// Longest name.
    pub const NAME_MAX: usize = 64;
    /// Most attempts after the first.
    pub const RETRY_MAX: u32 = 10;

    /// Creates an upstream at `base_url` with defaults.
    pub fn new(id: UpstreamId, owner: UserId, name: impl Into<String>, base_url: BaseUrl) -> Self {
        let provider = Provider::of_host(base_url.host());
        Self {
            id,
            owner,
            name: name.into(),
            provider,
            preset: None,
            base_url,
            paths: PathStyle::Versioned,
            query: Vec::new(),
            dialects: provider.dialects(),
            models: Vec::new(),
            enabled: true,
            strategy: Strategy::RoundRobin,
            retry_count: 2,
            timeouts: Timeouts::default(),
            key_placement: provider.key_placement(),
            header_policy: HeaderPolicy::Hide,
            header_rules: Vec::new(),
            record_bodies: false,
            model_profiles: Vec::new(),
            ask_usage: true,
            policy: PoolPolicy::default(),
            tags: Vec::new(),
        }
    }

    /// Gives it another provider. What followed from the provider before follows from the new one.
    pub fn change_provider(&mut self, provider: Provider) {
        if self.dialects == self.provider.dialects() {
            self.dialects = provider.dialects();
        }
        if self.key_placement == self.provider.key_placement() {
            self.key_placement = provider.key_placement();
        }
        self.provider = provider;
    }

    /// Whether it serves `model`.
    pub fn serves(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|m| m == model)
    }

    /// Returns its preset: the one it names, or that of its provider.
    pub fn preset(&self) -> Option<&'static Preset> {
        Preset::find(self.preset.as_deref().unwrap_or_else(|| self.provider.as_str()))
    }

    /// Returns the profile of `model` (by its name at this upstream): from the target, then this
    /// upstream, then its preset.
    pub fn profile(&self, model: &str, target: Option<&Target>) -> ModelProfile {
        let own = ProfileRule::resolve(&self.model_profiles, model);
        let known = self.preset().map(|preset| preset.profile(model)).unwrap_or_default();
        target.and_then(|target| target.profile).unwrap_or_default().over(own).over(known)
    }

    /// Returns the time zone in which quotas are reset: its own, its provider's, or the gateway's.
    pub fn zone(&self, gateways: Tz) -> Tz {
        let providers = (self.provider == Provider::Gemini).then_some(Tz::America__Los_Angeles);
        self.policy.timezone.or(providers).unwrap_or(gateways)
    }

    /// Returns every invalid field.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let starts_plain =
            self.name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !starts_plain || self.name.len() > Self::NAME_MAX || !self.name.bytes().all(plain) {
            faults.add(
                "name",
                "must be 1 to 64 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit",
            );
        }
        if self.retry_count > Self::RETRY_MAX {
            faults.add("retry_count", format!("must be at most {}", Self::RETRY_MAX));
        }
        if self.models.iter().any(|m| m.is_empty() || m.len() > 256) {
            faults.add("models", "each must be 1 to 256 bytes");
        }
        faults.0.extend(tags::faults(&self.tags).0);
        self.timeouts.faults(&mut faults);
        for (i, rule) in self.header_rules.iter().enumerate() {
            if let Some(message) = rule.fault() {
                faults.add(format!("header_rules[{i}]"), message);
            }
        }
        QueryField::faults(&self.query, &self.key_placement, &mut faults);
        for fault in ProfileRule::faults(&self.model_profiles).0 {
            faults.add(format!("model_profiles{}", fault.field), fault.message);
        }
        for fault in self.policy.faults().0 {
            faults.add(format!("policy.{}", fault.field), fault.message);
        }
        faults
    }
}

/// The way in which paths of model routes are joined to the base URL. Paths under `/proxy/…` are
/// always appended unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathStyle {
    /// Appends the path of the call to the base URL: `/v1/chat/completions`. A version at the end
    /// of the base URL is not repeated.
    #[default]
    Versioned,
    /// Appends the path without its first segment (`/v1`, `/v1beta`): the base URL contains the
    /// version in its own spelling (`…/api/paas/v4`), or there is none.
    AsBase,
    /// `/openai/deployments/{model}` and the path without its version, for older Azure OpenAI
    /// resources; `{model}` is the upstream's model, escaped as one segment.
    Deployment,
}

impl PathStyle {
    /// All styles, in the order in which they are listed to people.
    pub const ALL: [PathStyle; 3] =
        [PathStyle::Versioned, PathStyle::AsBase, PathStyle::Deployment];

    /// The name in configuration and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            PathStyle::Versioned => "versioned",
            PathStyle::AsBase => "as_base",
            PathStyle::Deployment => "deployment",
        }
    }
}

impl fmt::Display for PathStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PathStyle {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        PathStyle::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| Fault::new("paths", "must be versioned, as_base or deployment"))
    }
}

/// A query field that is added to calls on model routes, such as `api-version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryField {
    /// Its name.
    pub name: String,
    /// The value. Name and value consist of characters that need no escape.
    pub value: String,
}

impl QueryField {
    /// Most fields of one upstream.
    pub const FIELDS_MAX: usize = 16;

    fn faults(fields: &[Self], key: &KeyPlacement, faults: &mut Faults) {
        if fields.len() > Self::FIELDS_MAX {
            faults.add("query", format!("must be at most {}", Self::FIELDS_MAX));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        for (i, field) in fields.iter().enumerate().take(Self::FIELDS_MAX) {
            if !(1..=64).contains(&field.name.len()) || !field.name.bytes().all(plain) {
                faults.add(format!("query[{i}].name"), "must be 1 to 64 of a-z, 0-9, `-._~`");
            } else if fields[..i].iter().any(|other| other.name == field.name) {
                faults.add(format!("query[{i}].name"), "is given twice");
            } else if matches!(key, KeyPlacement::Query(name) if *name == field.name) {
                faults.add(format!("query[{i}].name"), "is where the provider key goes");
            }
            if field.value.len() > 256 || !field.value.bytes().all(plain) {
                faults.add(format!("query[{i}].value"), "must be at most 256 of a-z, 0-9, `-._~`");
            }
        }
    }
}

/// The timeouts of the parts of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection is ready, including TLS.
    pub connect: Duration,
    /// From the end of the request to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two bytes of the answer.
    pub idle: Duration,
    /// All attempts and the whole answer together.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(120),
            total: Duration::from_secs(3600),
        }
    }
}

impl Timeouts {
    fn faults(&self, faults: &mut Faults) {
        let day = Duration::from_secs(86_400);
        for (field, value) in [
            ("connect_timeout", self.connect),
            ("timeout", self.first_byte),
            ("idle_timeout", self.idle),
            ("total_timeout", self.total),
        ] {
            if value.is_zero() || value > day {
                faults.add(field, "must be more than 0 seconds and at most a day");
            }
        }
    }
}

/// The strategy by which a key of a pool is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One after the other.
    RoundRobin,
    /// In proportion to the keys' weights, evenly spread.
    Weighted,
    /// Randomly, with equal probability.
    Random,
    /// In proportion to the remaining quotas of the keys.
    RemainingQuota,
    /// The same key for related calls, however many keys are added and removed.
    ConsistentHash,
    /// The fastest key: of two random ones, the one with the lower moving peak of the time to the
    /// first byte multiplied by its running calls.
    LeastLatency,
    /// The healthiest key by success, latency, running calls and remaining quota.
    BestHealth,
}

impl Strategy {
    /// All strategies, in the order in which they are listed to people.
    pub const ALL: [Strategy; 7] = [
        Strategy::RoundRobin,
        Strategy::Weighted,
        Strategy::Random,
        Strategy::RemainingQuota,
        Strategy::ConsistentHash,
        Strategy::LeastLatency,
        Strategy::BestHealth,
    ];

    /// The name in configuration and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Strategy::RoundRobin => "round_robin",
            Strategy::Weighted => "weighted",
            Strategy::Random => "random",
            Strategy::RemainingQuota => "remaining_quota",
            Strategy::ConsistentHash => "consistent_hash",
            Strategy::LeastLatency => "least_latency",
            Strategy::BestHealth => "best_health",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Strategy {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Strategy::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| {
            let all = Strategy::ALL.map(Strategy::as_str).join(", ");
            Fault::new("strategy", format!("must be one of {all}"))
        })
    }
}

/// The policy for a client's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderPolicy {
    /// All headers except those that reveal the client.
    Hide,
    /// All headers except hop-by-hop headers and credentials.
    Keep,
    /// Only headers that the providers' protocols need.
    Strict,
}

impl HeaderPolicy {
    /// All policies, in the order in which they are listed to people.
    pub const ALL: [HeaderPolicy; 3] =
        [HeaderPolicy::Hide, HeaderPolicy::Keep, HeaderPolicy::Strict];

    /// The name in configuration and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            HeaderPolicy::Hide => "hide",
            HeaderPolicy::Keep => "keep",
            HeaderPolicy::Strict => "strict",
        }
    }
}

impl fmt::Display for HeaderPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HeaderPolicy {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        HeaderPolicy::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| Fault::new("header_policy", "must be hide, keep or strict"))
    }
}

/// A header rule after the header policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderRule {
    /// The header's name, lowercase.
    pub name: String,
    /// The value to set; `None` removes the header.
    pub value: Option<String>,
}

impl HeaderRule {
    /// Headers that frame or address a message; rules may not change them.
    pub const FRAMING: [&'static str; 8] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
    ];

    /// Returns what is wrong with the rule.
    pub fn fault(&self) -> Option<&'static str> {
        let token =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.!#$%&'*+^`|~".contains(&b);
        if self.name.is_empty() || self.name.len() > 128 || !self.name.bytes().all(token) {
            return Some("the name must be a lowercase header name");
        }
        if Self::FRAMING.contains(&self.name.as_str()) {
            return Some(
                "the gateway frames and addresses messages itself; this header cannot be set",
            );
        }
        let value = self.value.as_deref().unwrap_or_default();
        if value.len() > 4096 || value.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Some("the value must be at most 4096 bytes without control characters");
        }
        None
    }
}
