//! Tokens as providers report them and as log entries have them.

use dialect::Tokens;
use domain::log::{Usage, UsageSource};

/// Bytes that are counted as one token.
pub(crate) const BYTES_PER_TOKEN: u64 = 4;

/// What was used, and how that is known.
pub(crate) type Measured = (Usage, UsageSource);

/// Tokens as a log entry has them.
pub(crate) fn of_tokens(tokens: &Tokens) -> Usage {
    let usage = Usage {
        input: tokens.input,
        cached: tokens.cached,
        cache_written: tokens.cache_written,
        input_audio: tokens.input_audio,
        output: tokens.output,
        reasoning: tokens.reasoning,
        output_audio: tokens.output_audio,
        duration_ms: tokens.duration_ms,
        ..Usage::default()
    };
    usage.believed()
}
