//! What a call holds while it goes on: room in limits, in the quotas of a key, a place in line, the
//! key itself. All of it is settled once, with what the call used in fact.

use cluster::{Ask, Counters, Held, Measure};
use domain::{Unit, log::Usage};

use crate::{balancer::Picked, health::Admitted, waiting::Ticket};

/// What a call holds while it goes on.
#[derive(Debug, Default)]
pub(crate) struct Stake {
    /// Of the limits that concern the caller.
    pub(crate) caller: Reserved,
    /// Of the limits of the upstream that is asked.
    pub(crate) upstream: Reserved,
    /// Of the quotas and limits of the key that is used.
    pub(crate) key: Reserved,
    /// The place in the upstream's line.
    pub(crate) ticket: Option<Ticket>,
    /// The key; it has this call to answer until then.
    pub(crate) picked: Option<Picked>,
    /// The call among those that the upstream answers; perhaps the one trial of a breaker.
    pub(crate) admitted: Option<Admitted>,
    /// What the attempt under way used although it failed.
    pub(crate) billed: Option<Used>,
    /// What failed attempts at this upstream used.
    tried: Option<Used>,
}

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
    async fn book(&mut self, counters: &Counters, now_us: i64, used: &Used) -> bool {
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
    fn settle(&mut self, used: Option<&Used>) {
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
    fn and(self, other: Option<Used>) -> Used {
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

impl Stake {
    /// Takes what the attempt holds out of it, as long as its answer may still be wanted.
    pub(crate) fn set_aside(&mut self) -> Self {
        Self {
            key: std::mem::take(&mut self.key),
            picked: self.picked.take(),
            admitted: self.admitted.take(),
            billed: self.billed.take(),
            ..Self::default()
        }
    }

    /// Takes back what was set aside for an answer that is wanted after all.
    pub(crate) fn restore(&mut self, aside: Self) {
        (self.key, self.picked, self.admitted) = (aside.key, aside.picked, aside.admitted);
        (self.upstream, self.tried) = (aside.upstream, aside.tried);
        self.billed = None;
    }

    /// What the call holds of the limits of an upstream goes with an answer of it that was set
    /// aside.
    pub(crate) fn move_upstream(&mut self, aside: &mut Self) {
        aside.upstream = std::mem::take(&mut self.upstream);
        aside.tried = self.tried.take();
    }

    /// The attempt is over without an answer: its key and what was reserved of it are free again,
    /// but for what it used all the same. A call that tries a breaker of the upstream goes on
    /// trying it.
    pub(crate) fn attempt_failed(&mut self) {
        let billed = self.billed.take();
        self.key.settle(billed.as_ref());
        if let Some(billed) = billed {
            self.tried = Some(billed.and(self.tried));
        }
        self.picked = None;
        self.admitted.take_if(|admitted| !admitted.tries());
    }

    /// The target is given up: the next one has a line of its own.
    pub(crate) fn target_failed(&mut self) {
        self.attempt_failed();
        self.admitted = None;
        let tried = self.tried.take();
        self.upstream.settle(tried.as_ref());
        self.ticket = None;
    }

    /// Books what a call that goes on has used so far. Whether all limits have room for more.
    pub(crate) async fn book(&mut self, counters: &Counters, now_us: i64, used: &Used) -> bool {
        // All of them are booked, whichever has no room.
        let caller = self.caller.book(counters, now_us, used).await;
        let upstream = self.upstream.book(counters, now_us, used).await;
        self.key.book(counters, now_us, used).await && upstream && caller
    }

    /// The call is over: what it used counts, for its caller all of it, and for the key that
    /// answered what the answer used. Nothing counts where it used nothing.
    pub(crate) fn settle(&mut self, all: Option<&Used>, answer: Option<&Used>) {
        let tried = self.tried.take();
        let at_upstream = answer.map(|answer| answer.and(tried)).or(tried);
        self.caller.settle(all);
        self.upstream.settle(at_upstream.as_ref());
        self.key.settle(answer);
        // Who waits in line looks for a key: ours is free before that.
        self.picked = None;
        self.admitted = None;
        self.ticket = None;
    }
}
