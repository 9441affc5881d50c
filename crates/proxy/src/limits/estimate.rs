//! What a call may cost at most, and what is reserved for it in each unit.

use domain::Unit;

use crate::journal::Reservation;

/// So much, and more than that by a guess.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) sure: u64,
    pub(crate) guessed: u64,
}

impl Amount {
    pub(crate) fn sure(sure: u64) -> Self {
        Self { sure, guessed: 0 }
    }

    pub(crate) fn guess(guessed: u64) -> Self {
        Self { sure: 0, guessed }
    }

    /// With or without what is guessed.
    pub(crate) fn total(self, guess: bool) -> u64 {
        if guess { self.sure.saturating_add(self.guessed) } else { self.sure }
    }
}

/// What a call may use at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    input: u64,
    output: Amount,
    /// In billionths of a dollar; none where the price of a target is not known.
    cost: Option<Amount>,
}

impl Estimate {
    /// So many tokens in and out, and so much money; none where a price is not known.
    pub(crate) fn new(input: u64, output: Amount, cost: Option<Amount>) -> Self {
        Self { input, output, cost }
    }

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
