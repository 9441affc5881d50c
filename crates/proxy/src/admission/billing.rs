//! What a call used and cost, attempt by attempt: entered in its log entry, and settled in the
//! limits and quotas that it holds of.

use dialect::{AnswerMetadata, SocketObserver};
use domain::{
    Price, Work,
    log::{Attempt, LogEntry, Outcome, Usage, UsageSource},
};

use super::{entry::CLIENT_GONE, permit::Permit};
use crate::{
    admission::demand::Demand,
    headers::push,
    journal::Reservation,
    limits::Used,
    usage::{BYTES_PER_TOKEN, Measured, of_tokens},
};

impl Permit {
    /// What the call is taken to have used if the process ends before it does.
    pub(super) fn reservation(&self) -> Option<Reservation> {
        let counts = self.metered && self.demand.work != Work::Free;
        counts.then(|| self.estimate.reservation(self.revision))
    }

    /// What the provider said about the answer that goes out.
    pub(crate) fn told(&mut self, told: &AnswerMetadata) {
        let answer = self.current;
        let Some(entry) = &mut self.entry.log else { return };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        entry.served.model = owned(told.model());
        entry.served.tier = owned(told.tier());
        entry.served.usage = told.usage();
        if let Some(attempt) = entry.attempts.get_mut(answer)
            && attempt.provider_request_id.is_none()
        {
            attempt.provider_request_id = owned(told.id());
        }
    }

    /// The last attempt has no answer that counts, and may be billed all the same: so much is
    /// taken for what it used.
    pub(crate) fn may_be_billed(&mut self, demand: &Demand, outlasted: bool) {
        if demand.work == Work::Free {
            return;
        }
        let Some(mut entry) = self.entry.log.take() else { return };
        let price = self.price(&entry);
        let directly = price.is_some_and(|price| price.bills_directly(&demand.direct(true)));
        let usage = match outlasted {
            true => demand.likely(directly),
            // Who leaves takes the connection along: most providers stop writing then.
            false => Usage { input: demand.input, ..Usage::default() },
        };
        let cost_nano = price.map(|price| price.cost(&usage));
        if let Some(attempt) = entry.attempts.last_mut() {
            attempt.usage = usage;
            attempt.usage_source = UsageSource::Estimated;
            attempt.cost_nano = cost_nano;
        }
        self.stake.billed = Some(Used { requests: 0, usage, cost_nano });
        self.entry.log = Some(entry);
    }

    /// It is not known whether the last attempt used anything.
    pub(crate) fn use_unknown(&mut self) {
        if let Some(attempt) = self.entry.log.as_mut().and_then(|entry| entry.attempts.last_mut()) {
            attempt.usage_source = UsageSource::Unknown;
        }
    }

    /// A socket told of more usage: it counts at once. Whether there is room for more.
    pub(crate) async fn used_more(&mut self, observer: &SocketObserver) -> bool {
        let Some(tokens) = observer.usage() else { return true };
        let usage = of_tokens(&tokens);
        self.told(observer.metadata());
        let Some(entry) = &mut self.entry.log else { return true };
        (entry.usage, entry.usage_source) = (usage, UsageSource::Reported);
        let cost_nano = self.entry.log.as_ref().and_then(|entry| {
            let price = self.price(entry)?;
            Some(price.cost(&usage))
        });
        let now_us = self.gateway.settings.clock.now_us();
        let used = Used { requests: 1, usage, cost_nano };
        self.stake.book(&self.gateway.counters, now_us, &used).await
    }

    /// Whether the head of the answer tells who answered, and what it cost.
    pub(crate) fn tells_details(&self) -> bool {
        self.gateway.settings.answer_details
    }

    /// Appends header lines that tell who answered, at which attempt, and what the answer cost; the
    /// cost only where all that was `used` is known before the head goes out.
    pub(crate) fn details(&self, used: Option<Measured>, fields: &mut Vec<u8>) {
        let Some(entry) = self.entry.log.as_ref().filter(|_| self.gateway.settings.answer_details)
        else {
            return;
        };
        if let Some(asked) = &self.asked {
            push(fields, b"x-tollgate-upstream", asked.upstream.name.as_bytes());
        }
        push(fields, b"x-tollgate-attempts", entry.attempts.len().to_string().as_bytes());
        let cost = used.and_then(|used| {
            let (usage, source) = self.completed(entry, used);
            self.cost(entry, &usage, source)
        });
        if let Some(nano) = cost {
            let dollars = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
            push(fields, b"x-tollgate-cost", dollars.as_bytes());
        }
    }

    /// The price of the model that was asked for; where none was named, of the one that answered.
    fn price(&self, entry: &LogEntry) -> Option<&Price> {
        let prices = &self.asked.as_ref()?.upstream.policy.prices;
        if prices.is_empty() {
            return None;
        }
        let named = entry.model_used.as_deref().or(self.named.as_deref());
        Price::of(prices, named.or(entry.served.model.as_deref()).unwrap_or_default())
    }

    /// Lets go of what the call holds, and enters what it cost.
    pub(super) fn settle(&mut self, entry: &mut LogEntry) {
        let answered = entry.first_byte_us.is_some() && entry.status < 400;
        let under_way = entry.attempts.last().is_some_and(|last| last.result == CLIENT_GONE);
        let left = under_way && !answered;
        let mut answer = None;
        if answered {
            let (usage, source) = self.completed(entry, (entry.usage, entry.usage_source));
            let cost_nano = self.cost(entry, &usage, source);
            answer = Some(Used { requests: 1, usage, cost_nano });
            (entry.usage, entry.usage_source, entry.cost_nano) = (usage, source, cost_nano);
            if let Some(attempt) = entry.attempts.get_mut(self.current) {
                attempt.usage = usage;
                attempt.usage_source = source;
                attempt.cost_nano = cost_nano;
            }
        } else if left && self.demand.work != Work::Free {
            self.left(entry);
        }
        if !entry.attempts.is_empty() {
            sum_up(entry);
        }
        entry.price_version = entry.cost_nano.map(|_| self.revision);
        let counts = answered || left || !entry.usage.is_nothing();
        let requests = u64::from(answered || (left && entry.outcome == Outcome::ClientGone));
        let all = Used { requests, usage: entry.usage, cost_nano: entry.cost_nano };
        self.stake.settle(counts.then_some(&all), answer.as_ref());
    }

    /// The provider had the question, and may well answer it for nobody.
    fn left(&self, entry: &mut LogEntry) {
        let asked = Usage { input: entry.bytes_in / BYTES_PER_TOKEN, ..Usage::default() };
        let cost_nano = self.price(entry).map(|price| price.cost(&asked));
        // One that has ended has its usage already, where it has any.
        let under_way = |last: &&mut Attempt| last.duration_us == 0 && last.usage.is_nothing();
        if let Some(attempt) = entry.attempts.last_mut().filter(under_way) {
            attempt.usage = asked;
            attempt.usage_source = UsageSource::Estimated;
            attempt.cost_nano = cost_nano;
        }
    }

    /// What an answer used, where the provider does not tell all of it: what cannot be counted is
    /// as much as was reserved for it, and what is not billed directly is estimated in tokens.
    fn completed(&self, entry: &LogEntry, (usage, source): Measured) -> Measured {
        let demand = &self.demand;
        let price = self.price(entry);
        let directly = |usage: &Usage| price.is_some_and(|price| price.bills_directly(usage));
        match source {
            UsageSource::Unknown if demand.measured => {
                let usage = demand.usage(true, directly(&demand.direct(true)));
                (usage, UsageSource::Estimated)
            }
            UsageSource::Counted | UsageSource::Estimated
                if !usage_passes(demand.work)
                    && !directly(&usage)
                    && (price.is_some() || self.metered) =>
            {
                let tokens = demand.usage(true, false);
                let usage = Usage { input: tokens.input, output: tokens.output, ..usage };
                (usage, UsageSource::Estimated)
            }
            _ => (usage, source),
        }
    }

    /// What an answer cost; none where that is not known.
    fn cost(&self, entry: &LogEntry, usage: &Usage, source: UsageSource) -> Option<i64> {
        if matches!(source, UsageSource::Unknown | UsageSource::Nothing) {
            return None;
        }
        self.price(entry).map(|price| price.cost(usage))
    }
}

/// Whether what such work uses passes through here, so that it can be counted in tokens.
fn usage_passes(work: Work) -> bool {
    matches!(work, Work::Text | Work::Embedding | Work::Free | Work::Other)
}

/// The entry has the sum of its attempts.
fn sum_up(entry: &mut LogEntry) {
    let (mut usage, mut source, mut cost) = (Usage::default(), UsageSource::Nothing, None);
    for attempt in &entry.attempts {
        usage = usage.plus(&attempt.usage);
        source = source.and(attempt.usage_source);
        cost = match (cost, attempt.cost_nano) {
            (Some(sum), Some(more)) => Some(i64::saturating_add(sum, more)),
            (sum, more) => sum.or(more),
        };
    }
    (entry.usage, entry.usage_source, entry.cost_nano) = (usage, source, cost);
}
