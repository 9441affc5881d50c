//! What a call holds while it goes on: room in limits, in the quotas of a key, a place in line, the
//! key itself. All of it is settled once, with what the call used in fact.

use cluster::Held;
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
}

/// What was reserved, and what of.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    held: Option<Held>,
    units: Vec<Unit>,
}

/// What a call used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) usage: Usage,
    pub(crate) cost_nano: Option<i64>,
}

impl Reserved {
    pub(crate) fn new(held: Held, units: Vec<Unit>) -> Self {
        Self { held: Some(held), units }
    }

    /// Corrects what was reserved to what was used.
    fn settle(&mut self, used: Option<&Used>) {
        let Some(held) = self.held.take() else { return };
        match used {
            Some(used) => held.settle_by(|i, held| used.of(self.units[i], held)),
            None => held.release(),
        }
    }
}

impl Used {
    /// So much of a unit. What a call costs whose price is not known stays as it was reserved.
    fn of(&self, unit: Unit, reserved: u64) -> u64 {
        match unit {
            Unit::Requests => 1,
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
            ..Self::default()
        }
    }

    /// Takes back what was set aside for an answer that is wanted after all.
    pub(crate) fn restore(&mut self, aside: Self) {
        (self.key, self.picked, self.admitted) = (aside.key, aside.picked, aside.admitted);
        self.upstream = aside.upstream;
    }

    /// The attempt is over without an answer: its key and what was reserved of it are free again. A
    /// call that tries a breaker of the upstream goes on trying it.
    pub(crate) fn attempt_failed(&mut self) {
        self.key.settle(None);
        self.picked = None;
        self.admitted.take_if(|admitted| !admitted.tries());
    }

    /// The target is given up: the next one has a line of its own.
    pub(crate) fn target_failed(&mut self) {
        self.attempt_failed();
        self.admitted = None;
        self.upstream.settle(None);
        self.ticket = None;
    }

    /// The call is over: what it used counts; nothing does where it used nothing.
    pub(crate) fn settle(&mut self, used: Option<&Used>) {
        self.caller.settle(used);
        self.upstream.settle(used);
        self.key.settle(used);
        // Who waits in line looks for a key: ours is free before that.
        self.picked = None;
        self.admitted = None;
        self.ticket = None;
    }
}
