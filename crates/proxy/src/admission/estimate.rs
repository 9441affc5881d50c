//! What a call may use at most, by what it asks for and by the prices of the targets it may go to.

use domain::{Price, Work, log::Usage};

use crate::{
    admission::demand::Demand,
    limits::{Amount, Estimate},
    routing::Plan,
};

/// What a call that asks for so much may use at most, whichever target of the plan answers it.
/// `named` is the model of a call whose target names none.
pub(crate) fn estimate(demand: &Demand, plan: &Plan, named: Option<&str>) -> Estimate {
    let Demand { input, output, .. } = *demand;
    Estimate::new(input, output, cost(demand, plan, named))
}

/// The dearest of the targets decides.
fn cost(demand: &Demand, plan: &Plan, named: Option<&str>) -> Option<Amount> {
    if demand.work == Work::Free {
        return Some(Amount::default());
    }
    let mut dearest = Amount::default();
    for target in &plan.targets {
        let prices = &target.entry.upstream.policy.prices;
        let price = Price::of(prices, target.model.as_deref().or(named).unwrap_or_default())?;
        let directly = price.bills_directly(&demand.direct(true));
        let of = |guess| {
            let usage = demand.usage(guess, directly);
            // A prompt that is written to the provider's cache may cost more than one that is not.
            let written = Usage { cache_written: usage.input, ..usage };
            price.cost(&usage).max(price.cost(&written)).max(0) as u64
        };
        let sure = of(false);
        let guessed = of(true).saturating_sub(sure);
        if sure.saturating_add(guessed) > dearest.sure.saturating_add(dearest.guessed) {
            dearest = Amount { sure, guessed };
        }
    }
    Some(dearest)
}
