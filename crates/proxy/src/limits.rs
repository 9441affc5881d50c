//! Limits: which of them concern a call, what is reserved of each, and how a refusal is told.
//!
//! What a call may use at most is reserved before it is sent, in all counters that concern it or in
//! none, and corrected afterwards by whoever holds it.

mod alerts;
mod estimate;
mod keys;
mod own;
mod prepared;
mod refused;
mod reserved;
mod seeds;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono_tz::Tz;
use cluster::{Ask, Counters, Held, Measure, Over};
use domain::{Dialect, Limit, Scope, ServiceKeyId, Snapshot, Unit, Upstream, UpstreamId, UserId};

use self::{
    prepared::{Counted, Prepared, is_metered, reset_us},
    reserved::reserve,
};

pub(crate) use self::{
    alerts::BudgetAlerts,
    estimate::{Amount, Estimate},
    keys::{Bound, asks_of_key, uses_of_key},
    own::OwnUse,
    prepared::{Who, counters_of},
    refused::{LimitRefused, Why, dollars, push_headers},
    reserved::{Reserved, Used},
    seeds::seedings,
};

/// The limits that hold, by whom they concern.
#[derive(Debug, Default)]
pub(crate) struct LimitsIndex {
    /// Those that may concern anybody.
    general: Vec<Prepared>,
    service_keys: HashMap<ServiceKeyId, Vec<Prepared>>,
    users: HashMap<UserId, Vec<Prepared>>,
    models: HashMap<String, Vec<Prepared>>,
    each_upstream: Vec<Prepared>,
    upstreams: HashMap<UpstreamId, Vec<Prepared>>,
    /// Whether any of them counts tokens or money.
    metered: bool,
    /// The upstreams whose keys have quotas or limits of tokens or money.
    metered_pools: HashSet<UpstreamId>,
}

/// What is asked of limits for one call.
#[derive(Debug, Default)]
pub(crate) struct Asks<'w> {
    asks: Vec<Ask>,
    /// How much of each is only guessed.
    guessed: Vec<u64>,
    /// Whose they are, and by what they count.
    of: Vec<(&'w Arc<Limit>, Arc<str>)>,
    /// A limit in money for a call whose price is not known.
    unpriced: Option<(&'w Arc<Limit>, Arc<str>)>,
}

impl LimitsIndex {
    pub(crate) fn compile(snapshot: &Snapshot) -> Self {
        let mut index = Self::default();
        for limit in snapshot.limits() {
            index.metered |= is_metered(limit.unit);
            let list = match &limit.scope {
                Scope::Global
                | Scope::Ip(_)
                | Scope::User(None)
                | Scope::ServiceKey(None)
                | Scope::Model(None) => &mut index.general,
                Scope::User(Some(user)) => index.users.entry(*user).or_default(),
                Scope::ServiceKey(Some(key)) => index.service_keys.entry(*key).or_default(),
                Scope::Model(Some(model)) => index.models.entry(model.clone()).or_default(),
                Scope::Upstream(None) => &mut index.each_upstream,
                Scope::Upstream(Some(upstream)) => index.upstreams.entry(*upstream).or_default(),
            };
            list.push(Prepared::new(limit));
        }
        let metered = snapshot.upstreams().filter(|entry| {
            let policy = &entry.upstream.policy;
            let quotas = || entry.keys.iter().flat_map(|key| &key.quotas).chain(&policy.key_quotas);
            policy.key_limits.iter().any(|limit| is_metered(limit.unit))
                || quotas().any(|quota| is_metered(quota.unit))
        });
        index.metered_pools = metered.map(|entry| entry.upstream.id).collect();
        index
    }

    /// Whether it must be known what a call to one of these may use.
    pub(crate) fn meters(&self, mut upstreams: impl Iterator<Item = UpstreamId>) -> bool {
        self.metered || upstreams.any(|id| self.metered_pools.contains(&id))
    }

    /// What is asked of the limits that concern the caller.
    pub(crate) fn asks(
        &self,
        who: &Who<'_>,
        estimate: &Estimate,
        now_us: i64,
        zone: Tz,
    ) -> Asks<'_> {
        let mut asks = Asks::default();
        let key = &who.caller.key;
        let of_key = self.service_keys.get(&key.id).into_iter().flatten();
        let of_user = self.users.get(&key.owner).into_iter().flatten();
        let of_model = who.model.and_then(|model| self.models.get(model)).into_iter().flatten();
        for limit in self.general.iter().chain(of_key).chain(of_user).chain(of_model) {
            if let Some(counted) = limit.counts(who) {
                asks.add(limit, counted, estimate, limit.measure(now_us, zone));
            }
        }
        asks
    }

    /// What is asked of the limits of an upstream.
    pub(crate) fn asks_of_upstream(
        &self,
        upstream: &Upstream,
        estimate: &Estimate,
        now_us: i64,
        zone: Tz,
    ) -> Asks<'_> {
        let mut asks = Asks::default();
        let own = self.upstreams.get(&upstream.id).into_iter().flatten();
        for limit in self.each_upstream.iter().chain(own) {
            let counted = limit.counts_upstream(upstream.id);
            asks.add(limit, counted, estimate, limit.measure(now_us, zone));
        }
        asks
    }
}

impl<'w> Asks<'w> {
    fn add(
        &mut self,
        Prepared { limit, .. }: &'w Prepared,
        Counted { subject, counter }: Counted,
        estimate: &Estimate,
        measure: Measure,
    ) {
        let Some(Amount { sure, guessed }) = estimate.of(limit.unit) else {
            self.unpriced.get_or_insert((limit, subject));
            return;
        };
        let amount = sure.saturating_add(guessed);
        if amount == 0 && is_metered(limit.unit) {
            // What uses nothing of it is not kept out, however much is used.
            return;
        }
        self.asks.push(Ask { counter, measure, limit: limit.limit, amount });
        self.guessed.push(guessed);
        self.of.push((limit, subject));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.asks.is_empty() && self.unpriced.is_none()
    }

    /// What was reserved.
    pub(crate) fn reserved(self, held: Held) -> Reserved {
        let units = self.of.iter().map(|(limit, ..)| limit.unit).collect();
        Reserved::new(held, units, self.asks)
    }

    /// Reserves all of it, or nothing.
    pub(crate) async fn reserve(
        &mut self,
        counters: &Counters,
        now_us: i64,
    ) -> Result<Held, LimitRefused> {
        if let Some((limit, subject)) = &self.unpriced {
            return Err(LimitRefused::new(limit, subject, Why::Unpriced, now_us));
        }
        let over = match reserve(counters, now_us, &mut self.asks, &mut self.guessed).await {
            Ok(held) => return Ok(held),
            Err(over) => over,
        };
        let (limit, subject) = &self.of[over.index];
        let Over { used, until_us, most, .. } = over;
        let may_end = match limit.unit {
            Unit::Concurrency => most > 0,
            // A call that is under way is one request, whatever it comes to.
            Unit::Requests => false,
            _ => over.may_end,
        };
        let why = Why::Over { used, until_us, may_end };
        Err(LimitRefused::new(limit, subject, why, now_us))
    }

    /// The header lines of a good answer: what is left, of the tightest limit of each kind.
    pub(crate) fn headers(
        &self,
        held: &Held,
        dialect: Option<Dialect>,
        now_us: i64,
        fields: &mut Vec<u8>,
    ) {
        let used = held.used();
        let rows = self.of.iter().zip(&self.asks).zip(used).map(|(((limit, ..), ask), used)| {
            let left = limit.holds().saturating_sub(used);
            (limit.as_ref(), left, reset_us(&ask.measure, ask.limit, used, now_us))
        });
        push_headers(dialect, rows, now_us, fields);
    }
}

#[cfg(test)]
mod tests;
