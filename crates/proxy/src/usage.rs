//! What a call used: as the provider reports it, and where it does not, as it passed.
//!
//! What is counted here is an estimate and is marked as one (`counted`): a token for every event
//! that carried text, or for every four bytes of it where events carry more than one; and a token
//! for every four bytes of the request. Providers' own tokenisers are a quarter off that to either
//! side for English text, and more for others.

use dialect::Tokens;
use domain::log::UsageSource;

use crate::attempt::Answer;

/// Bytes that are counted as one token.
pub(crate) const BYTES_PER_TOKEN: u64 = 4;

/// The tokens so far, and who counted them; none where there is nothing to count.
pub(crate) fn so_far(
    bytes_in: u64,
    generates_text: bool,
    answer: &Answer,
) -> Option<(Tokens, UsageSource)> {
    let tap = &answer.incoming.tap;
    let reported = tap.usage();
    if let Some(tokens) = reported.filter(|_| tap.complete() || !generates_text) {
        return Some((tokens, UsageSource::Provider));
    }
    if !generates_text || !(200..300).contains(&answer.head.status) {
        return None;
    }
    // A report from the beginning of a stream knows what went in and not what came out.
    let mut tokens = reported.unwrap_or_default();
    tokens.output = tokens.output.max(tap.counted());
    if reported.is_none() {
        tokens.input = bytes_in / BYTES_PER_TOKEN;
    }
    Some((tokens, UsageSource::Counted))
}
