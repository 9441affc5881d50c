//! The sums of sessions and of their agents, as the API shows them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::money::Cost;

/// The sums of the calls of a session, or of an agent of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionSums {
    /// When the first call was admitted.
    first_seen_at: DateTime<Utc>,
    /// When the last call ended.
    last_seen_at: DateTime<Utc>,
    /// Calls.
    calls: u64,
    /// Calls that count as errors.
    errors: u64,
    /// All tokens that went in.
    input_tokens: u64,
    /// Part of `input_tokens`: read from the provider's prompt cache.
    cached_tokens: u64,
    /// Part of `input_tokens`: written to the provider's prompt cache.
    cache_written_tokens: u64,
    /// All tokens that came out.
    output_tokens: u64,
    /// The part of the input tokens that was read from the provider's prompt cache, from 0 to 1;
    /// `null` where there were no input tokens.
    cache_share: Option<f64>,
    /// Dollars, of the calls whose cost is known.
    cost: Cost,
    /// Calls that used something and whose cost is not known: they are not in `cost`.
    unpriced_calls: u64,
}

impl From<store::SessionSum> for SessionSums {
    fn from(sum: store::SessionSum) -> Self {
        let share = |part: u64, all: u64| (all > 0).then(|| part.min(all) as f64 / all as f64);
        Self {
            first_seen_at: sum.first_at,
            last_seen_at: sum.last_at,
            calls: sum.calls,
            errors: sum.errors,
            input_tokens: sum.input,
            cached_tokens: sum.cached,
            cache_written_tokens: sum.cache_written,
            output_tokens: sum.output,
            cache_share: share(sum.cached, sum.input),
            cost: Cost(sum.cost_nano),
            unpriced_calls: sum.unpriced,
        }
    }
}
