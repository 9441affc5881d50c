//! What a call may cost at most, and what is reserved for it in each unit.

use domain::{Price, Unit, Work, log::Usage};

pub(crate) use crate::demand::Amount;
use crate::{demand::Demand, journal::Reservation, routing::Plan};

/// What a call may use at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    input: u64,
    output: Amount,
    /// In billionths of a dollar; none where the price of a target is not known.
    cost: Option<Amount>,
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

impl Estimate {
    /// What the journal keeps of it until the call has ended.
    pub(crate) fn reservation(&self, price_version: i64) -> Reservation {
        let all = |amount: Amount| amount.sure.saturating_add(amount.guessed);
        let cost_nano = self.cost.map(|cost| i64::try_from(all(cost)).unwrap_or(i64::MAX));
        Reservation { input: self.input, output: all(self.output), cost_nano, price_version }
    }
}

/// What a call that asks for so much may use at most, whichever target of the plan answers it.
/// `named` is the model of a call whose target names none.
pub(crate) fn estimate(demand: &Demand, plan: &Plan, named: Option<&str>) -> Estimate {
    let Demand { input, output, .. } = *demand;
    Estimate { input, output, cost: cost(demand, plan, named) }
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
