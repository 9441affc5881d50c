//! What the dashboard shows, from the hourly statistics.

use chrono::{DateTime, Utc};

use super::TimeRange;

/// What happened in a time range. Statistics are kept by the hour, so the range is widened to
/// whole hours; `range` says what is covered.
#[derive(Debug, Clone, PartialEq)]
pub struct Dashboard {
    /// The hours covered.
    pub range: TimeRange,
    /// Everything together.
    pub totals: Totals,
    /// Half of the calls took at most this long, in microseconds (within a tenth).
    pub latency_p50_us: Option<u64>,
    /// All but a twentieth of the calls took at most this long, in microseconds.
    pub latency_p95_us: Option<u64>,
    /// Each upstream's share, the busiest first.
    pub upstreams: Vec<Share>,
    /// Each provider key's share, the busiest first, at most [`Dashboard::SHARES_MAX`].
    pub provider_keys: Vec<Share>,
    /// Each service key's share, the busiest first, at most [`Dashboard::SHARES_MAX`].
    pub service_keys: Vec<Share>,
    /// Each model's share (as used), the busiest first, at most [`Dashboard::SHARES_MAX`].
    pub models: Vec<Share>,
    /// Hour by hour; hours without a call are left out.
    pub hours: Vec<Hour>,
    /// How many upstreams there are now.
    pub upstream_count: u64,
    /// How many service keys there are now.
    pub service_key_count: u64,
    /// How many provider keys there are now, by state.
    pub key_counts: KeyCounts,
}

impl Dashboard {
    /// Most shares of one kind.
    pub const SHARES_MAX: u64 = 100;
}

/// Sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls.
    pub requests: u64,
    /// Those that were not answered well: a status of 400 or more, or not completed.
    pub errors: u64,
    /// Calls that used something whose price is not known: their cost is missing in `cost_nano`.
    pub unpriced: u64,
    /// Tokens that went in.
    pub input_tokens: u64,
    /// Those read from a provider's cache.
    pub cached_tokens: u64,
    /// Those written to a provider's cache.
    pub cache_written_tokens: u64,
    /// Tokens that came out.
    pub output_tokens: u64,
    /// Those spent on reasoning.
    pub reasoning_tokens: u64,
    /// What it cost in billionths of a dollar, where a price was known.
    pub cost_nano: i64,
    /// All latencies together, in microseconds.
    pub latency_us: u64,
}

/// The share of one upstream, key or model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Its id; none for models, and for calls that reached nobody.
    pub id: Option<i64>,
    /// What it is called; what it was called when it was last used where it was deleted. None for
    /// calls that reached nobody.
    pub name: Option<String>,
    /// Its part of the sums.
    pub totals: Totals,
}

/// One hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    /// When it began.
    pub at: DateTime<Utc>,
    /// Its part of the sums.
    pub totals: Totals,
}

/// Provider keys by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// In use.
    pub active: u64,
    /// Switched off by a person.
    pub disabled: u64,
    /// Given up.
    pub banned: u64,
}
