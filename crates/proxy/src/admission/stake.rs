//! What a call holds while it goes on: room in limits, in the quotas of a key, a place in line, the
//! key itself. All of it is settled once, with what the call used in fact.

use cluster::Counters;

use crate::{
    limits::{Reserved, Used},
    pool::{balancer::Picked, health::Admitted, waiting::Ticket},
};

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
