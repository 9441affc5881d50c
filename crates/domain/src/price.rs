//! Prices of calls.

use serde::{Deserialize, Serialize};

use crate::{Faults, log::Usage, model_pattern};

/// The prices of one model, or of models with one prefix. Tokens and characters are in billionths
/// of a dollar per thousand, so that a dollar per million is 1,000,000; all others are in
/// billionths of a dollar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// The model at this upstream, or its beginning and `*`.
    pub model: String,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Tokens read from the provider's prompt cache; the price of `input` if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// Tokens written to the provider's prompt cache; the price of `input` if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_written: Option<u64>,
    /// Input audio tokens; the price of `input` if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<u64>,
    /// Output audio tokens; the price of `output` if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_audio: Option<u64>,
    /// Each call.
    #[serde(default)]
    pub request: u64,
    /// A thousand characters converted to speech.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub character: Option<u64>,
    /// Each generated image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<u64>,
    /// Each second of transcribed audio or generated video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<u64>,
    /// Each minute of transcribed audio or generated video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<u64>,
}

impl Price {
    /// Most prices of one upstream.
    pub const PER_UPSTREAM_MAX: usize = 1000;

    /// Returns the price with the longest matching pattern.
    pub fn of<'a>(prices: &'a [Price], model: &str) -> Option<&'a Price> {
        let fits = prices.iter().filter(|price| model_pattern::fits(&price.model, model));
        fits.max_by_key(|price| (price.model.len(), !price.model.ends_with('*')))
    }

    /// Returns the cost of a usage in billionths of a dollar, rounded up.
    pub fn cost(&self, usage: &Usage) -> i64 {
        let written = usage.cached.saturating_add(usage.cache_written);
        let plain = usage.input.saturating_sub(written);
        // Cached audio has the price of the cache.
        let audio_in = usage.input_audio.min(plain);
        let audio_out = usage.output_audio.min(usage.output);
        let by_thousands = [
            (plain - audio_in, self.input),
            (audio_in, self.input_audio.unwrap_or(self.input)),
            (usage.cached, self.cached.unwrap_or(self.input)),
            (usage.cache_written, self.cache_written.unwrap_or(self.input)),
            (usage.output - audio_out, self.output),
            (audio_out, self.output_audio.unwrap_or(self.output)),
            (usage.characters, self.character.unwrap_or(0)),
            (usage.duration_ms, self.second.unwrap_or(0)),
        ];
        let product = |(n, price): (u64, u64)| u128::from(n) * u128::from(price);
        let thousands: u128 = by_thousands.into_iter().map(product).sum();
        let minutes = product((usage.duration_ms, self.minute.unwrap_or(0)));
        let total = thousands.div_ceil(1000)
            + minutes.div_ceil(60_000)
            + product((usage.images, self.image.unwrap_or(0)))
            + u128::from(self.request);
        i64::try_from(total).unwrap_or(i64::MAX)
    }

    /// Whether a usage is billed by its characters, images or time instead of its tokens.
    pub fn bills_directly(&self, usage: &Usage) -> bool {
        (usage.characters > 0 && self.character.is_some())
            || (usage.images > 0 && self.image.is_some())
            || (usage.duration_ms > 0 && (self.second.is_some() || self.minute.is_some()))
    }

    /// Whether it has a price.
    pub fn says_something(&self) -> bool {
        *self != Price { model: self.model.clone(), ..Price::default() }
    }

    /// Returns the invalid fields of a list of prices; paths begin with the index.
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
        Price { model, input, output: 10 * input, cached: Some(input / 10), ..Price::default() }
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
    #[test]
    fn what_is_not_billed_by_tokens_has_its_own_unit() {
        let free = || Price { model: "m".to_owned(), ..Price::default() };
        let cases = [
            // 15 dollars for a million characters.
            (
                Price { character: Some(15_000_000), ..free() },
                Usage { characters: 1000, ..Usage::default() },
                15_000_000,
            ),
            (
                Price { image: Some(40_000_000), ..free() },
                Usage { images: 2, ..Usage::default() },
                80_000_000,
            ),
            // 0.006 dollars a minute, 0.1 dollars a second.
            (
                Price { minute: Some(6_000_000), ..free() },
                Usage { duration_ms: 90_000, ..Usage::default() },
                9_000_000,
            ),
            (
                Price { second: Some(100_000_000), ..free() },
                Usage { duration_ms: 4_000, ..Usage::default() },
                400_000_000,
            ),
        ];
        for (price, usage, nano) in cases {
            assert_eq!(price.cost(&usage), nano, "{price:?}");
            assert!(price.bills_directly(&usage) && price.says_something());
            assert!(!free().bills_directly(&usage));
        }
        assert!(!free().says_something());
    }

    #[test]
    fn audio_tokens_have_a_price_of_their_own() {
        let price = Price {
            input: 4_000_000,
            output: 16_000_000,
            cached: Some(400_000),
            input_audio: Some(32_000_000),
            output_audio: Some(64_000_000),
            ..price("m", 0)
        };
        let usage = Usage {
            input: 100,
            cached: 20,
            input_audio: 50,
            output: 30,
            output_audio: 20,
            ..Usage::default()
        };
        let thousandths = 30 * 4_000 + 50 * 32_000 + 20 * 400 + 10 * 16_000 + 20 * 64_000;
        assert_eq!(price.cost(&usage), thousandths);
        let plain = Price { input_audio: None, output_audio: None, ..price };
        assert_eq!(plain.cost(&usage), 80 * 4_000 + 20 * 400 + 30 * 16_000);
    }
}
