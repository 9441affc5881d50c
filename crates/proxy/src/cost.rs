//! What a call cost: what it used, at the price of its model.

use domain::{Price, Upstream, log::Usage};

/// What `usage` of `model` cost, in billionths of a dollar; none where the price is not known.
pub(crate) fn of(upstream: &Upstream, model: &str, usage: &Usage) -> Option<i64> {
    Price::of(&upstream.policy.prices, model).map(|price| price.cost(usage))
}
