//! What a call used: as the provider reports it, and where it does not, as it passed.
//!
//! What is counted here is marked as such (`counted`): a token for every event that carried text, or
//! for every four bytes of it where events carry more than one; and a token for every four bytes
//! of the request. Providers' own tokenisers are a quarter off that to either side for English
//! text, and more for others. What neither is reported nor passed is estimated from the request.

use domain::{
    Work,
    log::{Usage, UsageSource},
};

use crate::{
    admission::demand::Demand,
    attempt::exchange::Answer,
    usage::{BYTES_PER_TOKEN, Measured, of_tokens},
};

/// What an answer used so far, of which `bytes_in` were asked.
pub(crate) fn so_far(bytes_in: u64, demand: &Demand, answer: &Answer) -> Measured {
    let nothing = (Usage::default(), UsageSource::Nothing);
    if demand.work == Work::Free {
        // Whoever looks at a stored answer sees its usage again, and does not pay again.
        return nothing;
    }
    let observer = &answer.incoming.observer;
    let reported = observer.usage();
    let is_text = demand.work == Work::Text;
    if let Some(tokens) = reported.filter(|_| observer.complete() || !is_text) {
        let mut usage = of_tokens(&tokens);
        let asked = demand.direct(false);
        (usage.characters, usage.images) = (asked.characters, asked.images);
        return (usage, UsageSource::Reported);
    }
    if !(200..300).contains(&answer.head.status) {
        return nothing;
    }
    let direct = demand.direct(false);
    match demand.work {
        Work::Free => nothing,
        // It is written later, where nobody looks on (`"background": true`).
        Work::Text
            if reported.is_none() && observer.ended() && observer.metadata().is_pending() =>
        {
            (Usage::default(), UsageSource::Unknown)
        }
        Work::Text => {
            // A report from the beginning of a stream knows what went in and not what came out.
            let mut tokens = reported.unwrap_or_default();
            tokens.output = tokens.output.max(observer.counted());
            if reported.is_none() {
                tokens.input = bytes_in / BYTES_PER_TOKEN;
            }
            (of_tokens(&tokens), UsageSource::Counted)
        }
        Work::Embedding => {
            let input = bytes_in / BYTES_PER_TOKEN;
            (Usage { input, ..Usage::default() }, UsageSource::Counted)
        }
        Work::Speech | Work::Image | Work::Video => {
            (Usage { input: demand.input, ..direct }, UsageSource::Counted)
        }
        Work::Transcription => match observer.metadata().duration_ms() {
            Some(duration_ms) => (Usage { duration_ms, ..Usage::default() }, UsageSource::Reported),
            None => (demand.direct(true), UsageSource::Estimated),
        },
        Work::Other => (Usage::default(), UsageSource::Unknown),
    }
}
