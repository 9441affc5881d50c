//! The policy of a key pool: failures, breakers, prices, affinity. Every part has a default; stored
//! policies may lack any part.

use std::time::Duration;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{ErrorRule, Faults, KeyLimit, Price, Quota, matching::is_header_name};

/// The policy of the key pool of one upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolPolicy {
    /// The time zone in which quotas are reset; if `None`, the provider's if it is known (see
    /// [`Upstream::zone`](crate::Upstream::zone)), else the gateway's.
    pub timezone: Option<Tz>,
    /// Rows that take precedence over the provider's error table.
    pub error_rules: Vec<ErrorRule>,
    /// The treatment of a key that the provider rejects.
    pub on_auth_failure: AuthFailure,
    /// Limits that the provider sets for each key or group.
    pub key_limits: Vec<KeyLimit>,
    /// The quotas of keys without their own.
    pub key_quotas: Vec<Quota>,
    /// The affinity of related calls to one key.
    pub sticky: Option<Sticky>,
    /// The longest time that a call waits in the queue while every key is busy.
    pub queue_timeout: Duration,
    /// Most concurrent calls to this upstream; further calls wait in the queue, which is fair
    /// between service keys.
    pub max_in_flight: Option<u32>,
    /// The circuit breaker of the upstream and of its keys.
    pub breaker: Breaker,
    /// The probes of suspended keys.
    pub probe: Probe,
    /// The interval of trials while all keys are suspended for a time that the provider gave; zero
    /// disables trials.
    pub trial_every: Duration,
    /// The prices.
    pub prices: Vec<Price>,
    /// A script that sets headers.
    pub header_script: Option<HeaderScript>,
    /// The longest time that an answer is read for its usage after the client disconnected; zero
    /// counts what was sent.
    pub drain: Duration,
    /// The longest time that a stream continues after its service key or provider key was revoked;
    /// `None` lets it finish. WebSockets close at once.
    pub revocation_grace: Option<Duration>,
    /// Whether redirects of the provider (301 to 308) are passed to the client under `/proxy/`; on
    /// model routes they never are.
    pub pass_redirects: bool,
    /// The longest time from the arrival of a call to the beginning of its answer, over all
    /// attempts; if `None` only the total timeout applies.
    pub answer_timeout: Option<Duration>,
    /// Whether callers may get ephemeral secrets (of Realtime, Live, ChatKit). With one a client
    /// calls the provider directly: that use is not counted and no limit applies.
    pub ephemeral_secrets: bool,
    /// Whether the gateway fetches media that clients name by address.
    pub fetch_media: FetchMedia,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        Self {
            timezone: None,
            error_rules: Vec::new(),
            on_auth_failure: AuthFailure::default(),
            key_limits: Vec::new(),
            key_quotas: Vec::new(),
            sticky: None,
            queue_timeout: Duration::from_secs(5),
            max_in_flight: None,
            breaker: Breaker::default(),
            probe: Probe::default(),
            trial_every: Duration::from_secs(300),
            prices: Vec::new(),
            header_script: None,
            drain: Duration::ZERO,
            revocation_grace: None,
            pass_redirects: false,
            answer_timeout: None,
            ephemeral_secrets: false,
            fetch_media: FetchMedia::default(),
        }
    }
}

impl PoolPolicy {
    /// Most rows of the error table.
    pub const ERROR_RULES_MAX: usize = 256;

    /// Returns every invalid field.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let mut nest = |field: &str, inner: Faults| {
            for fault in inner.0 {
                faults.add(format!("{field}{}", fault.field), fault.message);
            }
        };
        nest("error_rules", ErrorRule::faults(&self.error_rules));
        nest("key_limits", KeyLimit::faults(&self.key_limits));
        nest("key_quotas", Quota::faults(&self.key_quotas));
        nest("prices", Price::faults(&self.prices));
        if self.error_rules.len() > Self::ERROR_RULES_MAX {
            faults.add("error_rules", format!("must be at most {}", Self::ERROR_RULES_MAX));
        }
        for (i, rule) in self.error_rules.iter().enumerate() {
            let long = |text: &Option<String>| text.as_ref().is_some_and(|t| t.len() > 1024);
            if rule.status.is_none() && rule.code.is_none() && rule.contains.is_none() {
                faults.add(format!("error_rules[{i}]"), "must name status, code or contains");
            }
            if long(&rule.code) || long(&rule.contains) {
                faults.add(format!("error_rules[{i}]"), "texts must be at most 1024 bytes");
            }
        }
        if let AuthFailure::Disable(time) = self.on_auth_failure
            && (time.is_zero() || time > Duration::from_secs(31 * 86_400))
        {
            faults.add("on_auth_failure", "must be more than 0 seconds and at most 31 days");
        }
        if self.probe.path.as_ref().is_some_and(|path| !Probe::is_path(path)) {
            let words = "must begin with / and be at most 1024 visible ASCII characters without \
                         spaces and `#`; escape others as in %20";
            faults.add("probe.path", words);
        }
        let trials = Duration::from_secs(10)..=Duration::from_secs(86_400);
        if !self.trial_every.is_zero() && !trials.contains(&self.trial_every) {
            faults.add("trial_every", "must be 10 s to a day, or 0 for never");
        }
        if self.queue_timeout > Duration::from_secs(600) {
            faults.add("queue_timeout", "must be at most 10 minutes");
        }
        if self.drain > Duration::from_secs(600) {
            faults.add("drain", "must be at most 10 minutes");
        }
        if self.revocation_grace.is_some_and(|time| time > Duration::from_secs(3600)) {
            faults.add("revocation_grace", "must be at most 1 hour");
        }
        let day = Duration::from_secs(86_400);
        if self.answer_timeout.is_some_and(|time| time.is_zero() || time > day) {
            faults.add("answer_timeout", "must be more than 0 seconds and at most a day");
        }
        if self.max_in_flight == Some(0) {
            faults.add("max_in_flight", "must be at least 1");
        }
        if let Some(script) = &self.header_script
            && !(1..=HeaderScript::SOURCE_MAX).contains(&script.source.len())
        {
            let most = HeaderScript::SOURCE_MAX;
            faults.add("header_script.source", format!("must be 1 to {most} bytes"));
        }
        self.breaker.faults(&mut faults);
        self.fetch_media.faults(&mut faults);
        if let Some(sticky) = &self.sticky {
            sticky.faults(&mut faults);
        }
        faults
    }
}

/// The treatment of a key that the provider rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthFailure {
    /// The key is disabled for this time and then tried again.
    Disable(Duration),
    /// The key is banned.
    Ban,
}

impl Default for AuthFailure {
    fn default() -> Self {
        AuthFailure::Disable(Duration::from_secs(3600))
    }
}

/// The affinity of related calls to one key, as long as that key is healthy and not much busier
/// than the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sticky {
    /// The property by which calls are related.
    pub by: StickyBy,
    /// The lifetime of the affinity after the last call.
    pub ttl: Duration,
    /// The load, in percent of the average, above which another key is used.
    pub max_load_percent: u32,
}

/// The property by which calls are related.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyBy {
    /// The value of this header.
    Header(String),
    /// The beginning of the conversation, which providers cache.
    #[default]
    Conversation,
    /// The service key and the user that the call names.
    User,
}

impl Default for Sticky {
    fn default() -> Self {
        Self { by: StickyBy::default(), ttl: Duration::from_secs(300), max_load_percent: 150 }
    }
}

impl Sticky {
    pub(crate) fn faults(&self, faults: &mut Faults) {
        if self.ttl.is_zero() || self.ttl > Duration::from_secs(86_400) {
            faults.add("sticky.ttl", "must be more than 0 seconds and at most a day");
        }
        if !(100..=10_000).contains(&self.max_load_percent) {
            faults.add("sticky.max_load_percent", "must be 100 to 10000");
        }
        if matches!(&self.by, StickyBy::Header(name) if !is_header_name(name)) {
            let words = "what follows `header:` must be the name of a header, such as x-session-id";
            faults.add("sticky.by", words);
        }
    }
}

/// The settings of a circuit breaker, which opens after enough failures in a window, by count or by
/// ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breaker {
    /// The length of the window.
    pub window: Duration,
    /// The number of calls in the window below which it never opens.
    pub min_calls: u32,
    /// The percentage of failures at which it opens.
    pub failure_percent: u32,
    /// The number of consecutive failures at which it opens, whatever the ratio.
    pub failures_in_a_row: u32,
    /// The time that it stays open before a trial call.
    pub open_for: Duration,
    /// Whether the breaker is used.
    pub enabled: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            min_calls: 20,
            failure_percent: 50,
            failures_in_a_row: 20,
            open_for: Duration::from_secs(15),
            enabled: true,
        }
    }
}

impl Breaker {
    fn faults(&self, faults: &mut Faults) {
        let hour = Duration::from_secs(3600);
        if self.window < Duration::from_secs(1) || self.window > hour {
            faults.add("breaker.window", "must be 1 s to 1 h");
        }
        if self.open_for < Duration::from_secs(1) || self.open_for > hour {
            faults.add("breaker.open_for", "must be 1 s to 1 h");
        }
        if !(1..=100).contains(&self.failure_percent) {
            faults.add("breaker.failure_percent", "must be 1 to 100");
        }
        if self.min_calls == 0 || self.failures_in_a_row == 0 {
            faults.add("breaker", "min_calls and failures_in_a_row must be at least 1");
        }
    }
}

/// The probes of suspended keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// Whether probes are sent.
    pub enabled: bool,
    /// The path of a request that costs nothing; the provider's list of models if `None`.
    pub path: Option<String>,
}

impl Default for Probe {
    fn default() -> Self {
        Self { enabled: true, path: None }
    }
}

impl Probe {
    /// Whether `text` is valid in the first line of a request: a path with an optional query,
    /// without blanks and line breaks.
    pub fn is_path(text: &str) -> bool {
        let visible = |b: u8| (0x21..=0x7e).contains(&b) && b != b'#';
        text.starts_with('/') && text.len() <= 1024 && text.bytes().all(visible)
    }
}

/// Whether, and within which bounds, the gateway fetches media that a client names by address, where
/// the target's dialect takes only the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FetchMedia {
    /// Whether they are fetched at all; otherwise such a call is refused.
    pub enabled: bool,
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// Most different addresses in one call.
    pub max_files: u32,
    /// Longest time for all files of a call together.
    pub timeout: Duration,
}

impl Default for FetchMedia {
    fn default() -> Self {
        let timeout = Duration::from_secs(15);
        Self { enabled: false, max_bytes: 10 << 20, max_files: 16, timeout }
    }
}

impl FetchMedia {
    /// Largest value of `max_bytes`: what Gemini takes of a document.
    pub const BYTES_MAX: u64 = 50 << 20;
    /// Largest value of `max_files`.
    pub const FILES_MAX: u32 = 64;

    fn faults(&self, faults: &mut Faults) {
        if !(1..=Self::BYTES_MAX).contains(&self.max_bytes) {
            let words = format!("must be 1 to {} bytes", Self::BYTES_MAX);
            faults.add("fetch_media.max_bytes", words);
        }
        if !(1..=Self::FILES_MAX).contains(&self.max_files) {
            faults.add("fetch_media.max_files", format!("must be 1 to {}", Self::FILES_MAX));
        }
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(120) {
            faults.add("fetch_media.timeout", "must be more than 0 and at most 120 seconds");
        }
    }
}

/// A script that sets headers of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderScript {
    /// The JavaScript: it defines a function `headers(request)`.
    pub source: String,
    /// The treatment of a call whose script fails.
    #[serde(default)]
    pub on_error: ScriptError,
}

impl HeaderScript {
    /// Longest script.
    pub const SOURCE_MAX: usize = 16 << 10;
}

/// The treatment of a call whose script fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptError {
    /// The call is refused.
    #[default]
    Refuse,
    /// The call is sent without the headers of the script.
    Skip,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of the faults of a policy that differs from the usual one.
    fn check(told: impl FnOnce(&mut PoolPolicy), expected: &[&str]) {
        let mut policy = PoolPolicy::default();
        told(&mut policy);
        let places: Vec<_> = policy.faults().0.into_iter().map(|fault| fault.field).collect();
        assert_eq!(places, expected, "{policy:?}");
    }

    #[test]
    fn what_is_asked_of_a_suspended_key_is_a_path() {
        let long = format!("/{}", "x".repeat(1024));
        for (path, good) in [
            ("/v1/models", true),
            ("/", true),
            ("/v1/models?limit=1&q=%20", true),
            ("", false),
            ("v1/models", false),
            ("/v1/mod els", false),
            ("/v1 HTTP/1.1\r\nhost: elsewhere\r\n\r\nGET /", false),
            ("/v1\n", false),
            ("/v1\t", false),
            ("/v1\u{7f}", false),
            ("/v1\0", false),
            ("/möbel", false),
            ("/v1#part", false),
            (&long, false),
        ] {
            let expected: &[_] = if good { &[] } else { &["probe.path"] };
            check(|policy| policy.probe.path = Some(path.to_owned()), expected);
        }
    }

    #[test]
    fn media_are_fetched_within_bounds_only() {
        let fetch = |max_bytes, max_files, seconds| {
            let timeout = Duration::from_secs(seconds);
            FetchMedia { enabled: true, max_bytes, max_files, timeout }
        };
        check(|policy| policy.fetch_media = fetch(1, 1, 1), &[]);
        check(|policy| policy.fetch_media = fetch(FetchMedia::BYTES_MAX, 64, 120), &[]);
        let all = ["fetch_media.max_bytes", "fetch_media.max_files", "fetch_media.timeout"];
        check(|policy| policy.fetch_media = fetch(0, 0, 0), &all);
        check(|policy| policy.fetch_media = fetch(FetchMedia::BYTES_MAX + 1, 65, 121), &all);
    }

    #[test]
    fn what_sticks_by_a_header_names_one() {
        for (name, good) in [("x-session-id", true), ("a b", false), ("", false), ("x\r", false)] {
            let by = StickyBy::Header(name.to_owned());
            let expected: &[_] = if good { &[] } else { &["sticky.by"] };
            check(|policy| policy.sticky = Some(Sticky { by, ..Sticky::default() }), expected);
        }
    }

    #[test]
    fn models_are_names_or_how_names_begin() {
        let price = |model: &str| Price {
            model: model.to_owned(),
            input: 1,
            output: 1,
            ..Price::default()
        };
        let limit = |model: &str| KeyLimit {
            model: Some(model.to_owned()),
            per: crate::Sharing::Key,
            unit: crate::Unit::Requests,
            window: Some(crate::Window::Minute),
            limit: 1,
        };
        let models = ["gpt-5", "gpt-*", "*", "g*t", "*gpt", "gpt-**"];
        check(
            |policy| policy.prices = models.map(price).to_vec(),
            &["prices[3].model", "prices[4].model", "prices[5].model"],
        );
        check(
            |policy| policy.key_limits = models.map(limit).to_vec(),
            &["key_limits[3].model", "key_limits[4].model", "key_limits[5].model"],
        );
    }
}
