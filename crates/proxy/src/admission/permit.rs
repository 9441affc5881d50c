//! The permit: a call that was let in, and the one log entry that it leaves.
//!
//! The intent is in the journal before a provider is asked, the entry before the last of the
//! answer goes out. A permit that is dropped unclosed (client gone, shutdown, panic) is entered
//! as cut short.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{Caller, UpstreamEntry, UpstreamId, log::Outcome};

use crate::{
    admission::{
        demand::Demand,
        entry::{Entry, Sent},
        judging::Judging,
        stake::Stake,
    },
    client::Client,
    events::recording::Recorded,
    gateway::{
        Gateway, InFlight, World,
        lease::{Grant, Lease},
        origins::{Learning, Maker},
    },
    limits::{Estimate, LimitRefused, Who},
    pool::balancer::Slot,
    request::inbound::Call,
};

/// A call that was let in.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(super) gateway: Arc<Gateway>,
    /// Its log entry.
    pub(crate) entry: Entry,
    /// The bodies, where the upstream has them recorded.
    pub(super) recorded: Option<Box<Recorded>>,
    /// What it holds of limits, quotas and lines.
    pub(crate) stake: Stake,
    /// Where it was sent last.
    pub(super) asked: Option<Arc<UpstreamEntry>>,
    /// Header lines of the answer: what is left of the limits.
    pub(crate) fields: Vec<u8>,
    /// Upper bounds of what it may use.
    pub(crate) estimate: Estimate,
    /// What it asks for.
    pub(crate) demand: Demand,
    /// Whether a limit or a quota counts tokens or money of it.
    pub(super) metered: bool,
    /// The model that a call names whose target names none.
    pub(super) named: Option<String>,
    /// The attempt whose answer goes out.
    pub(crate) current: usize,
    /// The configuration revision that the call sees.
    pub(super) revision: i64,
    /// Judges what is still to come of the answer.
    pub(crate) judge: Option<Box<dyn Judging>>,
    /// Looks in the answer for what was made.
    pub(crate) learning: Option<Learning>,
    _in_flight: InFlight,
}

impl Permit {
    /// Reserves of the limits that concern the caller.
    pub(super) async fn reserve(
        &mut self,
        world: &World,
        client: &Client<'_>,
        caller: &Caller,
        call: &Call,
    ) -> Result<(), LimitRefused> {
        let settings = &self.gateway.settings;
        let (now_us, zone) = (settings.clock.now_us(), settings.timezone);
        let who = Who { caller, ip: client.ip, model: call.model.as_deref() };
        let mut asks = world.limits.asks(&who, &self.estimate, now_us, zone);
        if asks.is_empty() {
            return Ok(());
        }
        let gateway = &self.gateway;
        let held = asks.reserve(&gateway.counters, now_us).await;
        gateway.teller.tell(gateway.budget_alerts.look(&asks, &held, now_us));
        let held = held?;
        asks.headers(&held, call.dialect(), now_us, &mut self.fields);
        self.stake.caller = asks.reserved(held);
        Ok(())
    }

    /// A call that holds nothing yet.
    pub(super) fn new(gateway: &Arc<Gateway>, entry: Entry) -> Self {
        Self {
            gateway: gateway.clone(),
            entry,
            recorded: None,
            stake: Stake::default(),
            asked: None,
            fields: Vec::new(),
            estimate: Estimate::default(),
            demand: Demand::default(),
            metered: false,
            named: None,
            current: 0,
            revision: 0,
            judge: None,
            learning: None,
            _in_flight: gateway.enter(),
        }
    }

    /// An attempt begins: where, with which key, for which model.
    pub(crate) fn attempting(
        &mut self,
        target: &Arc<UpstreamEntry>,
        slot: Option<&Slot>,
        model: Option<&str>,
    ) {
        self.asked = Some(target.clone());
        self.current = self.entry.attempting(target, slot, model);
    }

    /// Who answers it, as far as is known.
    pub(crate) fn sent_to(
        &mut self,
        target: &Arc<UpstreamEntry>,
        slot: Option<&Slot>,
        model: Option<&str>,
    ) {
        self.asked = Some(target.clone());
        self.entry.sent_to(target, slot, model);
    }

    /// How long its answer is read on after the client left.
    pub(crate) fn drains(&self) -> Duration {
        self.asked.as_ref().map_or(Duration::ZERO, |entry| entry.upstream.policy.drain)
    }

    /// What let the call in, as far as it can be withdrawn while it runs. `public_id` is the part of
    /// the service key by which it is found.
    fn grant(&self, public_id: String, client: &Client<'_>) -> Grant {
        Grant {
            public_id,
            ip: client.ip,
            method: client.head.method().to_owned(),
            model: self.entry.log.as_ref().and_then(|entry| entry.model_asked.clone()),
            upstream: self.asked.as_ref().map(|entry| entry.upstream.id),
            slot: self.stake.picked.as_ref().map(|picked| picked.slot.clone()),
        }
    }

    /// The lease of a socket: it ends as soon as it is withdrawn.
    pub(crate) fn socket_lease(&self, public_id: String, client: &Client<'_>) -> Lease {
        self.gateway.leases.lease(self.grant(public_id, client), Duration::ZERO)
    }

    /// The lease of a stream, where its upstream does not let it finish once it is withdrawn.
    pub(crate) fn stream_lease(
        &self,
        streams: bool,
        public_id: impl FnOnce() -> String,
        client: &Client<'_>,
    ) -> Option<Lease> {
        let asked = self.asked.as_ref().filter(|_| streams)?;
        let grace = asked.upstream.policy.revocation_grace?;
        Some(self.gateway.leases.lease(self.grant(public_id(), client), grace))
    }

    /// The permit for whoever goes on with the call; this one is done with.
    pub(crate) fn handed_over(&mut self) -> Permit {
        Permit {
            gateway: self.gateway.clone(),
            entry: self.entry.handed_over(),
            recorded: self.recorded.take(),
            stake: std::mem::take(&mut self.stake),
            asked: self.asked.take(),
            fields: Vec::new(),
            estimate: std::mem::take(&mut self.estimate),
            demand: self.demand,
            metered: self.metered,
            named: self.named.take(),
            current: self.current,
            revision: self.revision,
            judge: self.judge.take(),
            learning: None,
            _in_flight: self.gateway.enter(),
        }
    }

    /// An answer with the key of `slot` begins: what it says it made belongs to that key.
    pub(crate) fn learns(&mut self, upstream: UpstreamId, slot: &Slot) {
        let maker = Maker { upstream, key: slot.key.id };
        let entry = self.entry.log.as_ref();
        self.learning = entry.and_then(|entry| Learning::of(&entry.method, &entry.path, maker));
    }

    /// Records the bodies of this call, of which the request's is `request`.
    pub(crate) fn record(&mut self, request: &Bytes) {
        let id = self.entry.log.as_ref().map(|entry| entry.id);
        self.recorded = id.map(|id| Box::new(Recorded::new(id, request)));
    }

    /// More of the answer's body goes out.
    pub(crate) fn passing(&mut self, pieces: &[Bytes]) {
        if let Some(recorded) = &mut self.recorded {
            recorded.passing(pieces);
        }
        let gateway = &self.gateway;
        self.learning.take_if(|learning| learning.see(pieces, |id, maker| gateway.made(id, maker)));
    }

    /// Writes the entry. `going` is how many bytes of the body are about to go out. What comes
    /// after this is not entered any more.
    pub(crate) async fn close(&mut self, outcome: Outcome, sent: impl Into<Sent>, going: u64) {
        self.judge_the_rest();
        let Some(mut entry) = self.entry.log.take() else { return };
        let sent = sent.into();
        entry.outcome = outcome;
        entry.latency_us = self.entry.elapsed_us();
        entry.bytes_in = sent.bytes_in;
        entry.bytes_out = sent.bytes_out + going;
        entry.status = sent.status.unwrap_or(entry.status);
        self.settle(&mut entry);
        if let Err(error) = self.gateway.journal.settle(&entry).await {
            // The journal itself says when it fails and when it is back; this is one of many.
            tracing::debug!(entry.id = %entry.id, "a log entry waits in memory: {error}");
        }
    }

    /// Rules that wait for more of an answer judge what came of it.
    fn judge_the_rest(&mut self) {
        if let Some(judge) = self.judge.take() {
            judge.end(&mut self.entry, None, false);
        }
    }

    /// Lets the call go without an entry: it never began.
    pub(super) fn forget(&mut self) {
        self.entry.log = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(recorded) = self.recorded.take() {
            self.gateway.recorder.put(*recorded);
        }
        self.judge_the_rest();
        let latency_us = self.entry.elapsed_us();
        if let Some(mut entry) = self.entry.log.take() {
            entry.latency_us = latency_us;
            entry.error.get_or_insert_with(|| "the call was cut short".to_owned());
            self.settle(&mut entry);
            self.gateway.journal.settle_now(&entry);
        }
    }
}
