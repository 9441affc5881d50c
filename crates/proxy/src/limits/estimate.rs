//! What a call may use at most: what goes in, counted from its bytes; what comes out, as much as it
//! allows the model to write. Where it allows any amount, so much is guessed.

use domain::{Dialect, Price, Unit, log::Usage};

use crate::{inbound::Call, routing::Plan, usage::BYTES_PER_TOKEN};

/// So many tokens a model is guessed to write where the call does not say how many it may.
const OUTPUT_GUESS: u64 = 4096;
/// A text longer than this without a blank at its beginning is no text but a file.
const FILE_MIN: usize = 2048;
/// So many tokens a file is guessed to be: about an image of a megapixel.
const FILE_TOKENS: u64 = 1600;
/// Where calls say how many tokens the model may write.
const OUTPUT_FIELDS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/// What a call may use at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    input: u64,
    output: Amount,
    /// In billionths of a dollar; none where the price of a target is not known.
    cost: Option<Amount>,
}

/// So much, and more than that by a guess.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) sure: u64,
    pub(crate) guessed: u64,
}

impl Estimate {
    /// So many tokens in, and nothing else.
    #[cfg(test)]
    pub(crate) fn of_input(input: u64) -> Self {
        Self { input, ..Self::default() }
    }

    /// How much of a unit; none of money that cannot be told.
    pub(crate) fn of(&self, unit: Unit) -> Option<Amount> {
        let sure = |sure| Amount { sure, guessed: 0 };
        Some(match unit {
            Unit::Requests | Unit::Concurrency => sure(1),
            Unit::TokensIn => sure(self.input),
            Unit::TokensOut => self.output,
            Unit::Tokens => Amount {
                sure: self.input.saturating_add(self.output.sure),
                guessed: self.output.guessed,
            },
            Unit::Cost => return self.cost,
        })
    }
}

/// What `call` may use at most, whichever target of the plan answers it.
pub(crate) fn estimate(call: &Call, plan: &Plan) -> Estimate {
    let body = call.held();
    let input = tokens_in(body);
    let allowed = allowed_out(body, call.dialect());
    let output = match allowed {
        Some(sure) => Amount { sure, guessed: 0 },
        None if call.generates_text() => Amount { sure: 0, guessed: OUTPUT_GUESS },
        None => Amount::default(),
    };
    Estimate { input, output, cost: cost(plan, input, output) }
}

/// The dearest of the targets decides.
fn cost(plan: &Plan, input: u64, output: Amount) -> Option<Amount> {
    let mut dearest = Amount::default();
    for target in &plan.targets {
        let prices = &target.entry.upstream.policy.prices;
        let price = Price::of(prices, target.model.as_deref()?)?;
        let of = |output| {
            let usage = Usage { input, output, ..Usage::default() };
            // A prompt that is written to the provider's cache may cost more than one that is not.
            let written = Usage { cache_written: input, ..usage };
            price.cost(&usage).max(price.cost(&written)).max(0) as u64
        };
        let sure = of(output.sure);
        let guessed = of(output.sure.saturating_add(output.guessed)) - sure;
        if sure + guessed > dearest.sure + dearest.guessed {
            dearest = Amount { sure, guessed };
        }
    }
    Some(dearest)
}

/// A token for every four bytes, but files that stand in the body by their number.
fn tokens_in(body: &[u8]) -> u64 {
    let (mut bytes, mut files) = (body.len(), 0);
    if body.len() > FILE_MIN {
        for part in body.split(|byte| *byte == b'"') {
            if part.len() > FILE_MIN && !part[..FILE_MIN].contains(&b' ') {
                bytes -= part.len();
                files += 1;
            }
        }
    }
    (bytes as u64).div_ceil(BYTES_PER_TOKEN) + files * FILE_TOKENS
}

/// How many tokens the model may write, where the call says so.
fn allowed_out(body: &[u8], dialect: Option<Dialect>) -> Option<u64> {
    let (mut most, mut answers) = (None, 1);
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse::<u64>().ok();
    let gemini = dialect == Some(Dialect::Gemini);
    // What is no JSON says nothing.
    let _ = dialect::members(body, |member| {
        let value = &body[member.value.clone()];
        if OUTPUT_FIELDS.iter().any(|name| member.is(body, name)) {
            most = number(value).or(most);
        } else if member.is(body, "n") {
            answers = number(value).unwrap_or(1);
        } else if gemini
            && ["generationConfig", "generation_config"].iter().any(|n| member.is(body, n))
        {
            let _ = dialect::members(value, |inner| {
                let said = &value[inner.value.clone()];
                let is = |names: [&str; 2]| names.iter().any(|name| inner.is(value, name));
                if is(["maxOutputTokens", "max_output_tokens"]) {
                    most = number(said).or(most);
                } else if is(["candidateCount", "candidate_count"]) {
                    answers = number(said).unwrap_or(1);
                }
            });
        }
    });
    most.map(|most| most.saturating_mul(answers.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_may_write_is_read_from_the_call() {
        let openai = Some(Dialect::OpenaiChat);
        for (dialect, body, most) in [
            (openai, r#"{"max_tokens": 100}"#, Some(100)),
            (openai, r#"{"n": 3, "max_completion_tokens": 50}"#, Some(150)),
            (Some(Dialect::OpenaiResponses), r#"{"max_output_tokens":7}"#, Some(7)),
            (Some(Dialect::Gemini), r#"{"generationConfig":{"maxOutputTokens":9}}"#, Some(9)),
            (openai, r#"{"messages": [{"max_tokens": 5}]}"#, None),
            (openai, r#"{"max_tokens": null}"#, None),
            (openai, "not JSON", None),
        ] {
            assert_eq!(allowed_out(body.as_bytes(), dialect), most, "{body}");
        }
    }

    #[test]
    fn a_file_in_a_body_does_not_count_by_its_bytes() {
        assert_eq!(tokens_in(&[b'x'; 400]), 100);
        let image = format!(r#"{{"text":"what is this?","url":"{}"}}"#, "A".repeat(1 << 20));
        assert!((1600..1620).contains(&tokens_in(image.as_bytes())));
        let long = "a word ".repeat(1000);
        assert_eq!(tokens_in(long.as_bytes()), 1750);
    }
}
