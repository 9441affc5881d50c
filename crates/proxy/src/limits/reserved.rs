//! What a call reserved of limits and quotas, and how that is corrected to what it used.

use cluster::{Ask, Counters, Held, Measure, Over};
use domain::{Unit, log::Usage};

/// What was reserved, and what of.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    held: Option<Held>,
    units: Vec<Unit>,
    /// What was asked of each counter.
    asks: Vec<Ask>,
    /// What was booked of a call that goes on, besides what is held.
    booked: Used,
}

/// What a call used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Calls that were answered: one, or none.
    pub(crate) requests: u64,
    pub(crate) usage: Usage,
    pub(crate) cost_nano: Option<i64>,
}

/// Up to how much a counter may be used.
fn most(ask: &Ask) -> u64 {
    match ask.measure {
        Measure::Bucket { burst, .. } => burst,
        _ => ask.limit,
    }
}

impl Reserved {
    pub(crate) fn new(held: Held, units: Vec<Unit>, asks: Vec<Ask>) -> Self {
        Self { held: Some(held), units, asks, booked: Used::default() }
    }

    /// Books what a call that goes on has used so far, whether there is room for it or not: now,
    /// for what was reserved may lie in a window that has passed. What is held stays held for what
    /// comes next. Whether there is room for more, that not counted.
    pub(crate) async fn book(&mut self, counters: &Counters, now_us: i64, used: &Used) -> bool {
        let Some(held) = &self.held else { return true };
        let own: Vec<u64> = held.amounts().collect();
        let since = |unit: Unit| used.of(unit, 0).saturating_sub(self.booked.of(unit, 0));
        let counted = self.units.iter().enumerate().filter(|(_, unit)| {
            !matches!(unit, Unit::Requests | Unit::Concurrency) && since(**unit) > 0
        });
        let rows: Vec<(usize, u64)> = counted.map(|(i, unit)| (i, since(*unit))).collect();
        let asks = rows.iter().map(|(i, _)| Ask { amount: 1, ..self.asks[*i].clone() });
        let asks: Vec<Ask> = asks.collect();
        if asks.is_empty() {
            return true;
        }
        let fits = |row: usize, before: u64| {
            let (i, more) = rows[row];
            before.saturating_add(more).saturating_sub(own[i]) < most(&self.asks[i])
        };
        match counters.reserve(now_us, &asks).await {
            Ok(booking) => {
                let room = booking.used().enumerate().all(|(row, now)| fits(row, now - 1));
                booking.settle_by(|row, _| rows[row].1);
                self.booked = *used;
                room
            }
            // It is settled when the call ends.
            Err(over) => fits(over.index, over.used),
        }
    }

    /// Corrects what was reserved to what was used.
    pub(crate) fn settle(&mut self, used: Option<&Used>) {
        let Some(held) = self.held.take() else { return };
        match used {
            Some(used) => held.settle_by(|i, held| {
                let (unit, booked) = (self.units[i], &self.booked);
                used.of(unit, held).saturating_sub(booked.of(unit, 0))
            }),
            None => held.release(),
        }
    }
}

impl Used {
    /// The sum of two.
    pub(crate) fn and(self, other: Option<Used>) -> Used {
        let Some(other) = other else { return self };
        let cost_nano = match (self.cost_nano, other.cost_nano) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        let requests = self.requests + other.requests;
        Used { requests, usage: self.usage.plus(&other.usage), cost_nano }
    }

    /// So much of a unit. What a call costs whose price is not known stays as it was reserved.
    fn of(&self, unit: Unit, reserved: u64) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::TokensIn => self.usage.input,
            Unit::TokensOut => self.usage.output,
            Unit::Tokens => self.usage.input.saturating_add(self.usage.output),
            Unit::Cost => self.cost_nano.map_or(reserved, |cost| u64::try_from(cost).unwrap_or(0)),
            Unit::Concurrency => 0,
        }
    }
}

/// Reserves all that is asked for, or nothing. Of what is only guessed no more is asked for than
/// there is left: a guess keeps nobody out who has room.
pub(super) async fn reserve(
    counters: &Counters,
    now_us: i64,
    asks: &mut [Ask],
    guessed: &mut [u64],
) -> Result<Held, Over> {
    for (ask, guessed) in asks.iter_mut().zip(&mut *guessed).filter(|(_, guessed)| **guessed > 0) {
        let room = counters.room(ask, now_us);
        guess_less(ask, guessed, room);
    }
    for _ in 0..GUESSES {
        let over = match counters.reserve(now_us, asks).await {
            Ok(held) => return Ok(held),
            Err(over) => over,
        };
        // Others used more of it than was known here.
        let room = over.most.saturating_sub(over.used);
        if !guess_less(&mut asks[over.index], &mut guessed[over.index], room) {
            return Err(over);
        }
    }
    counters.reserve(now_us, asks).await
}

/// So often a guess is made smaller when it turns out that there is less room than was known.
const GUESSES: usize = 2;

/// Asks for no more of what is guessed than there is room for; whether that is less than before.
pub(super) fn guess_less(ask: &mut Ask, guessed: &mut u64, room: u64) -> bool {
    let sure = ask.amount.saturating_sub(*guessed);
    let less = (*guessed).min(room.saturating_sub(sure).max(1));
    let changed = less < *guessed;
    *guessed = less;
    ask.amount = sure.saturating_add(less);
    changed
}
