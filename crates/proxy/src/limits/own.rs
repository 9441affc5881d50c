//! What a caller may know of the limits that concern it: how much of each is used. Nothing is reserved.

use std::sync::Arc;

use chrono_tz::Tz;
use cluster::{Counters, Measure};
use domain::{Limit, Scope};

use super::{
    LimitsIndex,
    prepared::{Counted, Prepared, Who, reset_us},
};

/// A limit that concerns a caller, and its use.
#[derive(Debug)]
pub(crate) struct OwnUse<'w> {
    pub(crate) limit: &'w Limit,
    /// What the limit counts by, for example the id of the service key.
    pub(crate) subject: Arc<str>,
    /// The used amount with the reservations of running calls, as far as this instance knows it.
    pub(crate) used: u64,
    /// The end of the period, or when all of it is there again if nothing more is used.
    pub(crate) resets_us: Option<i64>,
    /// The first moment of the calendar period.
    pub(crate) began_us: Option<i64>,
}

impl LimitsIndex {
    /// Lists the limits that concern `who`, at most `most`: those of all calls, of its address, user and
    /// service key, those of the model that `who` names, and those of single models that it may ask for.
    pub(crate) fn own(
        &self,
        who: &Who<'_>,
        counters: &Counters,
        now_us: i64,
        zone: Tz,
        most: usize,
    ) -> Vec<OwnUse<'_>> {
        let key = &who.caller.key;
        let of_key = self.service_keys.get(&key.id).into_iter().flatten();
        let of_user = self.users.get(&key.owner).into_iter().flatten();
        let of_models = self.models.values().flatten().filter(|prepared| {
            matches!(&prepared.limit.scope, Scope::Model(Some(model)) if who.caller.may_ask_for(model))
        });
        let all = of_key.chain(of_user).chain(&self.general).chain(of_models);
        let known = all.filter_map(|prepared| {
            let counted = prepared.counts(who)?;
            Some(own_use(prepared, counted, counters, now_us, zone))
        });
        let mut known: Vec<OwnUse<'_>> = known.take(most).collect();
        known.sort_by_key(|own| own.limit.id);
        known
    }
}

fn own_use<'w>(
    prepared: &'w Prepared,
    Counted { subject, counter }: Counted,
    counters: &Counters,
    now_us: i64,
    zone: Tz,
) -> OwnUse<'w> {
    let (limit, measure) = (prepared.limit.as_ref(), prepared.measure(now_us, zone));
    let used = counters.peek(&counter, &measure, now_us);
    let began_us = match measure {
        Measure::Period { start_us, .. } => Some(start_us),
        _ => None,
    };
    let resets_us = reset_us(&measure, limit.limit, used, now_us);
    OwnUse { limit, subject, used, resets_us, began_us }
}
