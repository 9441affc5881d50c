//! What a provider key may use: its quotas, and the limits that the provider sets for it or its
//! group.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use cluster::{Ask, Counters, Held, Measure, Over};
use domain::{KeyLimit, ProviderKey, Quota, Sharing, Unit, Upstream, Window, live::QuotaUse};
use std::time::Duration;

use super::{Estimate, Reserved, prepared::is_metered, reserved::reserve};
use crate::clock::moment;

/// What is asked of a key's quotas and limits for one call.
#[derive(Debug, Default)]
pub(crate) struct KeyAsks {
    asks: Vec<Ask>,
    guessed: Vec<u64>,
    units: Vec<Unit>,
    pub(crate) bounds: Vec<Bound>,
    /// Whether there is a quota in money for a call whose price is not known.
    pub(crate) unpriced: bool,
}

/// What is bounded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// A quota, and when its period ends, where it does.
    Quota { quota: Quota, end: Option<DateTime<Utc>> },
    /// A limit that the provider sets, for all models or some.
    KeyLimit { of_model: bool },
}

/// The quotas of a key: its own, or those of its pool.
fn quotas<'a>(upstream: &'a Upstream, key: &'a ProviderKey) -> &'a [Quota] {
    if key.quotas.is_empty() { &upstream.policy.key_quotas } else { &key.quotas }
}

/// The name of a quota's counter, how it is measured and when its period ends.
pub(super) fn counter(
    key: &ProviderKey,
    quota: &Quota,
    now_us: i64,
    zone: Tz,
) -> (String, Measure, Option<DateTime<Utc>>) {
    let span = quota.period.around(moment(now_us), quota.timezone.unwrap_or(zone));
    let (id, unit, period) = (key.id, quota.unit, quota.period);
    let name = match quota.timezone {
        Some(zone) => format!("key:{id}:{unit}:{period}@{zone}"),
        None => format!("key:{id}:{unit}:{period}"),
    };
    let start_us = span.start.timestamp_micros();
    let end_us = span.end.map(|end| end.timestamp_micros());
    (name, Measure::Period { start_us, end_us }, span.end)
}

/// What is asked of the quotas and limits of `key` for a call.
pub(crate) fn asks_of_key(
    upstream: &Upstream,
    key: &ProviderKey,
    model: Option<&str>,
    estimate: &Estimate,
    now_us: i64,
    zone: Tz,
) -> KeyAsks {
    let mut asks = KeyAsks::default();
    for quota in quotas(upstream, key) {
        let (counter, measure, end) = counter(key, quota, now_us, zone);
        let bound = Bound::Quota { quota: *quota, end };
        asks.add(counter, measure, quota.limit, quota.unit, estimate, bound);
    }
    for limit in upstream.policy.key_limits.iter().filter(|limit| limit.concerns(model)) {
        let measure = match limit.window {
            None => Measure::AtOnce,
            Some(Window::Minute) => Measure::Sliding { window: Duration::from_secs(60) },
            Some(Window::Day) => Measure::Sliding { window: Duration::from_secs(86_400) },
        };
        let bound = Bound::KeyLimit { of_model: limit.model.is_some() };
        let counter = limit_counter(upstream, key, limit);
        asks.add(counter, measure, limit.limit, limit.unit, estimate, bound);
    }
    asks
}

/// The name of the counter of a limit that the provider sets.
fn limit_counter(upstream: &Upstream, key: &ProviderKey, limit: &KeyLimit) -> String {
    let whose = match (&key.group, limit.per) {
        (Some(group), Sharing::Group) => format!("group:{group}"),
        _ => format!("key:{}", key.id),
    };
    let window = match limit.window {
        None => "once",
        Some(Window::Minute) => "minute",
        Some(Window::Day) => "day",
    };
    let (id, unit) = (upstream.id, limit.unit);
    let model = limit.model.as_deref().unwrap_or("*");
    format!("pool:{id}:{unit}:{window}:{model}:{whose}")
}

/// How much of each of its quotas is used.
pub(crate) fn uses_of_key(
    counters: &Counters,
    upstream: &Upstream,
    key: &ProviderKey,
    now_us: i64,
    zone: Tz,
) -> Vec<QuotaUse> {
    let uses = quotas(upstream, key).iter().map(|quota| {
        let (counter, measure, resets_at) = counter(key, quota, now_us, zone);
        let used = counters.peek(&counter, &measure, now_us);
        QuotaUse { quota: *quota, used, resets_at }
    });
    uses.collect()
}

impl KeyAsks {
    fn add(
        &mut self,
        counter: String,
        measure: Measure,
        limit: u64,
        unit: Unit,
        estimate: &Estimate,
        bound: Bound,
    ) {
        let Some(amount) = estimate.of(unit) else {
            self.unpriced = true;
            return;
        };
        let asked = amount.sure.saturating_add(amount.guessed);
        if asked == 0 && is_metered(unit) {
            return;
        }
        self.asks.push(Ask { counter: counter.into(), measure, limit, amount: asked });
        self.guessed.push(amount.guessed);
        self.units.push(unit);
        self.bounds.push(bound);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    /// What was reserved.
    pub(crate) fn reserved(self, held: Held) -> Reserved {
        Reserved::new(held, self.units, self.asks)
    }

    /// Reserves all of it, or nothing.
    pub(crate) async fn reserve(&mut self, counters: &Counters, now_us: i64) -> Result<Held, Over> {
        reserve(counters, now_us, &mut self.asks, &mut self.guessed).await
    }

    /// Whether what has no room is used up, or as good as that; not only for a call that is large.
    pub(crate) fn is_used_up(&self, over: &Over) -> bool {
        over.most.saturating_sub(over.used) <= over.most / 100
    }

    /// Whether it is no more than this instance's share that has no room: others may have some.
    pub(crate) fn is_share(&self, over: &Over) -> bool {
        over.most < self.asks[over.index].limit
    }

    /// How much of the tightest quota is left with what is held, in a thousand parts.
    pub(crate) fn left_permille(&self, held: &Held) -> u32 {
        let rows = self.bounds.iter().zip(&self.asks).zip(held.used());
        let quotas = rows.filter(|((bound, _), _)| matches!(bound, Bound::Quota { .. }));
        let left = quotas.map(|((_, ask), used)| {
            let left = u128::from(ask.limit.saturating_sub(used)) * 1000;
            (left / u128::from(ask.limit.max(1))) as u32
        });
        left.min().unwrap_or(1000)
    }
}
