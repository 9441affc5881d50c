//! An upstream: a configured place to send calls.

use std::{fmt, str::FromStr, time::Duration};

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{
    BaseUrl, Dialect, Fault, Faults, KeyPlacement, ModelProfile, PoolPolicy, Preset, ProfileRule,
    Provider, Target, UpstreamId, UserId,
};

/// A configured place to send calls: provider, address, timeouts. Its keys stand beside it in
/// [`UpstreamEntry`](crate::UpstreamEntry).
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its id.
    pub id: UpstreamId,
    /// Who made it, and besides administrators the only one who may use it.
    pub owner: UserId,
    /// Its name in `/proxy/{name}/…` and in `name/model`; unique.
    pub name: String,
    /// Whose API it is.
    pub provider: Provider,
    /// The preset it was made from, whose knowledge of models stands below this upstream's own.
    pub preset: Option<String>,
    /// Where it is.
    pub base_url: BaseUrl,
    /// How the path of a call on a model route is joined to the base URL.
    pub paths: PathStyle,
    /// What every call on a model route has in its query beside the client's own fields, which
    /// win where the name is the same.
    pub query: Vec<QueryField>,
    /// What it speaks.
    pub dialects: Vec<Dialect>,
    /// The models it serves; empty means any.
    pub models: Vec<String>,
    /// Whether calls are sent there.
    pub enabled: bool,
    /// How a key of its pool is chosen.
    pub strategy: Strategy,
    /// How many attempts may follow the first.
    pub retry_count: u32,
    /// How long each part of a call may take.
    pub timeouts: Timeouts,
    /// Where the provider key goes in a request.
    pub key_placement: KeyPlacement,
    /// Which of the client's headers go along.
    pub header_policy: HeaderPolicy,
    /// What is set or removed after the policy, in order.
    pub header_rules: Vec<HeaderRule>,
    /// Whether request and answer bodies are recorded (capped and masked).
    pub record_bodies: bool,
    /// What is known of its models beyond its dialects.
    pub model_profiles: Vec<ProfileRule>,
    /// Whether a stream of Chat Completions is asked for its usage although the client did not;
    /// the event with the usage is then kept from the client.
    pub ask_usage: bool,
    /// How its pool of keys is used.
    pub policy: PoolPolicy,
}

impl Upstream {
    /// Longest name.
    pub const NAME_MAX: usize = 64;
    /// Most attempts after the first.
    pub const RETRY_MAX: u32 = 10;

    /// What an upstream at `base_url` is like when nothing else is said.
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

    /// Whether it may be asked for `model`.
    pub fn serves(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|m| m == model)
    }

    /// The preset it stands on: the one it names, or that of its provider.
    pub fn preset(&self) -> Option<&'static Preset> {
        Preset::find(self.preset.as_deref().unwrap_or_else(|| self.provider.as_str()))
    }

    /// All that is known of `model` (the name it has at this upstream) as `target` sees it, the
    /// nearest first: the target, this upstream's rules, its preset's rules.
    pub fn profile(&self, model: &str, target: Option<&Target>) -> ModelProfile {
        let own = ProfileRule::resolve(&self.model_profiles, model);
        let known = self.preset().map(|preset| preset.profile(model)).unwrap_or_default();
        target.and_then(|target| target.profile).unwrap_or_default().over(own).over(known)
    }

    /// By the clock of which zone the quotas of its keys are reset: as it says, or where its
    /// provider resets them, or `gateways`.
    pub fn zone(&self, gateways: Tz) -> Tz {
        let providers = (self.provider == Provider::Gemini).then_some(Tz::America__Los_Angeles);
        self.policy.timezone.or(providers).unwrap_or(gateways)
    }

    /// Everything about it that could not be served.
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

/// How the path of a call on a model route becomes the provider's. What comes by `/proxy/…` is
/// joined to the base URL as it is, whatever stands here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathStyle {
    /// The call's own path behind the base URL: `/v1/chat/completions`. A version that the base
    /// URL ends with is not said twice.
    #[default]
    Versioned,
    /// The base URL holds the version, however it is spelled (`…/api/paas/v4`), or there is none:
    /// the first segment of the call's own path (`/v1`, `/v1beta`) is left out.
    AsBase,
    /// `/openai/deployments/{model}` and the call's own path without its version, as older
    /// Azure OpenAI resources want it; `{model}` is the upstream's model, escaped as one segment.
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

/// A field of the query that every call on a model route has, such as `api-version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryField {
    /// Its name.
    pub name: String,
    /// Its value. Both go out as they are: they consist of characters that need no escape.
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

/// How long each part of a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To a ready connection, TLS included.
    pub connect: Duration,
    /// From the request sent to the first byte of the answer's body or head.
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

/// How a key of a pool is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One after the other.
    RoundRobin,
    /// In proportion to the keys' weights, evenly spread.
    Weighted,
    /// Any, with equal chance.
    Random,
    /// In proportion to what is left of the keys' quotas.
    RemainingQuota,
    /// The same key for calls that belong together, however many keys come and go.
    ConsistentHash,
    /// The one that answers soonest: of two at random, that with the lower moving peak of the time
    /// to the first byte, times the calls it has.
    LeastLatency,
    /// The one in the best health: by success, latency, calls at once and quota left.
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

/// Which of a client's headers reach the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderPolicy {
    /// All but what tells who the client is.
    Hide,
    /// All but hop-by-hop headers and credentials.
    Keep,
    /// Only what the providers' protocols need.
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

/// One step after the header policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderRule {
    /// The header's name, lowercase.
    pub name: String,
    /// The value to set; `None` removes the header.
    pub value: Option<String>,
}

impl HeaderRule {
    /// Headers that frame or address a message; a rule may not touch them.
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

    /// What is wrong with it.
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
