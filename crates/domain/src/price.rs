//! What calls cost.

use serde::{Deserialize, Serialize};

use crate::{Faults, log::Usage, model_pattern};

/// What the tokens of one model, or of those whose names begin alike, cost: billionths of a dollar
/// for a thousand tokens, so that a dollar for a million tokens is 1,000,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// The model at this upstream, or its beginning and `*`.
    pub model: String,
    /// Tokens that go in.
    pub input: u64,
    /// Tokens that come out.
    pub output: u64,
    /// Tokens read from the provider's prompt cache; as `input` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// Tokens written to the provider's prompt cache; as `input` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_written: Option<u64>,
    /// Each call, in billionths of a dollar.
    #[serde(default)]
    pub request: u64,
}

impl Price {
    /// Most prices of one upstream.
    pub const PER_UPSTREAM_MAX: usize = 1000;

    /// The price of `model`: that with the longest name that fits.
    pub fn of<'a>(prices: &'a [Price], model: &str) -> Option<&'a Price> {
        let fits = prices.iter().filter(|price| model_pattern::fits(&price.model, model));
        fits.max_by_key(|price| (price.model.len(), !price.model.ends_with('*')))
    }

    /// What a call with this usage cost, in billionths of a dollar, rounded up.
    pub fn cost(&self, usage: &Usage) -> i64 {
        let plain = usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_written);
        let parts = [
            (plain, self.input),
            (usage.cached, self.cached.unwrap_or(self.input)),
            (usage.cache_written, self.cache_written.unwrap_or(self.input)),
            (usage.output, self.output),
        ];
        let thousands: u128 =
            parts.iter().map(|(n, price)| u128::from(*n) * u128::from(*price)).sum();
        let total = thousands.div_ceil(1000) + u128::from(self.request);
        i64::try_from(total).unwrap_or(i64::MAX)
    }

    /// What is wrong with a list of prices; field paths begin with the place in it.
    pub fn faults(prices: &[Price]) -> Faults {
        let mut faults = Faults::default();
        if prices.len() > Self::PER_UPSTREAM_MAX {
            faults.add("", format!("must be at most {}", Self::PER_UPSTREAM_MAX));
        }
        for (i, price) in prices.iter().enumerate() {
            if let Some(words) = model_pattern::fault(&price.model) {
                faults.add(format!("[{i}].model"), words);
            }
            if prices[..i].iter().any(|other| other.model == price.model) {
                faults.add(format!("[{i}].model"), "is given twice");
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(model: &str, input: u64) -> Price {
        let model = model.to_owned();
        Price {
            model,
            input,
            output: 10 * input,
            cached: Some(input / 10),
            cache_written: None,
            request: 0,
        }
    }

    #[test]
    fn the_longest_name_that_fits_has_the_price() {
        let prices = [price("gpt-*", 1), price("gpt-5", 2), price("gpt-5*", 3), price("*", 4)];
        for (model, input) in [("gpt-5", 3), ("gpt-5-mini", 3), ("gpt-4", 1), ("claude", 4)] {
            assert_eq!(Price::of(&prices, model).map(|price| price.input), Some(input), "{model}");
        }
    }

    #[test]
    fn a_call_costs_its_parts() {
        // 1.25 dollars for a million tokens, a tenth of it for cached ones, ten times for output.
        let price = price("m", 1_250_000);
        let usage = Usage { input: 1000, cached: 400, output: 10, ..Usage::default() };
        let dollars = 600.0 * 1.25e-6 + 400.0 * 0.125e-6 + 10.0 * 12.5e-6;
        assert_eq!(price.cost(&usage), (dollars * 1e9) as i64);
        assert_eq!(price.cost(&Usage::default()), 0);
        let much = Usage { input: u64::MAX, ..Usage::default() };
        assert_eq!(price.cost(&much), i64::MAX);
    }
}
