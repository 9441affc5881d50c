//! The permit: a call that was let in, and the one log entry that it leaves.
//!
//! The intent is in the journal before a provider is asked, the entry before the last of the
//! answer goes out. A permit that is dropped unclosed (client gone, shutdown, panic) is entered
//! as cut short.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use domain::{
    Caller, ClientProgram, ErrorClass, RuleId, UpstreamEntry, UpstreamId,
    log::{Attempt, Considered, LogEntry, Outcome, Served, Usage, UsageSource},
};
use ring::hmac;
use uuid::Uuid;

use crate::{
    admission::{demand::Demand, estimate, stake::Stake},
    attempt::judge::Judge,
    client::Client,
    door::Door,
    events::recording::Recorded,
    gateway::{
        Gateway, InFlight, World,
        lease::{Grant, Lease},
        origins::{Learning, Maker},
    },
    journal::{Health, Intent},
    limits::{Estimate, LimitRefused, Who},
    pool::balancer::Slot,
    refusal::Refusal,
    request::inbound::{Call, named_model},
    routing::Plan,
    settings::{ClientIp, Settings},
    usage::Measured,
};

/// What an attempt is called that has not ended.
pub(super) const CLIENT_GONE: &str = "client_gone";

/// What of a call went which way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) bytes_in: u64,
    bytes_out: u64,
    /// The status, if one was sent.
    status: Option<u16>,
}

impl From<&Client<'_>> for Sent {
    fn from(client: &Client<'_>) -> Self {
        let Client { bytes_in, bytes_out, status, .. } = *client;
        Self { bytes_in, bytes_out, status }
    }
}

/// A call that was let in.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(super) gateway: Arc<Gateway>,
    pub(super) started: Instant,
    /// Taken when the entry is written.
    pub(super) entry: Option<Box<LogEntry>>,
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
    pub(crate) judge: Option<Box<Judge>>,
    /// Looks in the answer for what was made.
    pub(crate) learning: Option<Learning>,
    _in_flight: InFlight,
}

/// Lets a call in, and notes that it is about to be sent.
pub(crate) async fn admit(
    gateway: &Arc<Gateway>,
    world: &World,
    client: &Client<'_>,
    caller: &Caller,
    call: &Call,
    plan: &Plan,
) -> Result<Permit, Refusal> {
    let decision = plan.considered.clone();
    let mut permit = Permit::new(gateway, client, caller, &call.door, call.model.clone(), decision);
    permit.metered = world.limits.meters(plan.targets.iter().map(|t| t.entry.upstream.id));
    permit.revision = world.snapshot.revision.0;
    permit.demand = Demand::of(call, &client.head, plan, permit.metered);
    if permit.metered {
        permit.named = named_model(call, &client.head);
        permit.estimate = estimate::estimate(&permit.demand, plan, permit.named.as_deref());
    }
    if let Err(refused) = permit.reserve(world, client, caller, call).await {
        let refusal = Refusal::Limited(Box::new(refused));
        permit.refused(&refusal);
        permit.close(Outcome::Refused, client, 0).await;
        return Err(refusal);
    }
    let entry = permit.entry.as_ref().expect("a new permit has its entry");
    let intent = Intent {
        id: entry.id,
        started_us: entry.started_us,
        request_id: &entry.request_id,
        service_key: entry.service_key,
        service_key_name: &entry.service_key_name,
        owner: entry.owner,
        model_asked: entry.model_asked.as_deref(),
        dialect: entry.dialect,
        method: &entry.method,
        path: &entry.path,
        client_ip: entry.client_ip.as_deref(),
        bytes_in: entry.bytes_in,
        origin: entry.origin.texts(),
        reserved: permit.reservation(),
    };
    if let Err(error) = gateway.journal.intend(&intent).await {
        permit.forget();
        return Err(error.into());
    }
    Ok(permit)
}

/// Enters a call that a known caller made and that we refused before any provider was asked.
pub(crate) async fn enter_refused(
    gateway: &Arc<Gateway>,
    client: &Client<'_>,
    caller: &Caller,
    door: &Door,
    model: Option<String>,
    refusal: &Refusal,
) {
    if gateway.journal.health() != Health::Good {
        // Calls that are let in come first; what does nothing must not fill what is left.
        return;
    }
    let mut permit = Permit::new(gateway, client, caller, door, model, Vec::new());
    permit.refused(refusal);
    permit.close(Outcome::Refused, client, 0).await;
}

impl Permit {
    /// Reserves of the limits that concern the caller.
    async fn reserve(
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

    fn new(
        gateway: &Arc<Gateway>,
        client: &Client<'_>,
        caller: &Caller,
        door: &Door,
        model_asked: Option<String>,
        decision: Vec<Considered>,
    ) -> Self {
        let dialect = match door {
            Door::Model(endpoint) => Some(endpoint.dialect),
            _ => None,
        };
        let now = chrono::Utc::now().timestamp_micros();
        let entry = LogEntry {
            id: Uuid::now_v7(),
            request_id: client.request_id.clone(),
            started_us: now - client.elapsed().as_micros() as i64,
            service_key: caller.key.id,
            service_key_name: caller.key.name.clone(),
            owner: caller.key.owner,
            upstream: None,
            upstream_name: None,
            provider_key: None,
            provider_key_name: None,
            model_asked,
            model_used: None,
            dialect,
            method: client.head.method().to_owned(),
            path: client.head.path().to_owned(),
            status: 0,
            outcome: Outcome::Interrupted,
            bytes_in: client.bytes_in,
            bytes_out: 0,
            latency_us: 0,
            first_byte_us: None,
            streamed: false,
            usage: Usage::default(),
            usage_source: UsageSource::Nothing,
            cost_nano: None,
            price_version: None,
            attempts: Vec::new(),
            error: None,
            client_ip: client.ip.and_then(|ip| masked(ip, &gateway.settings)),
            decision,
            tags: Vec::new(),
            waited_us: 0,
            origin: ClientProgram::origin(client.head.iter()),
            served: Served::default(),
        };
        Self {
            gateway: gateway.clone(),
            started: client.started,
            entry: Some(Box::new(entry)),
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

    /// How long the call has been going on, in microseconds.
    pub(crate) fn elapsed_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// An attempt begins: where, with which key, for which model.
    pub(crate) fn attempting(
        &mut self,
        target: &Arc<UpstreamEntry>,
        slot: Option<&Slot>,
        model: Option<&str>,
    ) {
        self.sent_to(target, slot, model);
        let upstream = &target.upstream;
        let started_us = self.elapsed_us();
        let Some(entry) = &mut self.entry else { return };
        self.current = entry.attempts.len();
        entry.attempts.push(Attempt {
            upstream: upstream.id,
            upstream_name: upstream.name.clone(),
            provider_key: entry.provider_key,
            provider_key_name: entry.provider_key_name.clone(),
            started_us,
            duration_us: 0,
            status: None,
            result: CLIENT_GONE.to_owned(),
            class: None,
            rules: Vec::new(),
            provider_request_id: None,
            usage: Usage::default(),
            usage_source: UsageSource::Nothing,
            cost_nano: None,
        });
    }

    /// Who answers it, as far as is known.
    pub(crate) fn sent_to(
        &mut self,
        target: &Arc<UpstreamEntry>,
        slot: Option<&Slot>,
        model: Option<&str>,
    ) {
        self.asked = Some(target.clone());
        let Some(entry) = &mut self.entry else { return };
        let (key, name) = slot.map(|slot| (slot.key.id, slot.key.name.clone())).unzip();
        entry.upstream = Some(target.upstream.id);
        entry.upstream_name = Some(target.upstream.name.clone());
        entry.provider_key = key;
        entry.provider_key_name = name;
        entry.model_used = model.map(str::to_owned);
    }

    /// The attempt ended so.
    pub(crate) fn attempted(&mut self, result: &str, status: Option<u16>) {
        let now = self.elapsed_us();
        let Some(attempt) = self.entry.as_mut().and_then(|e| e.attempts.last_mut()) else { return };
        attempt.duration_us = now.saturating_sub(attempt.started_us);
        attempt.status = status;
        result.clone_into(&mut attempt.result);
    }

    /// The last attempt failed in this way.
    pub(crate) fn classed(&mut self, class: ErrorClass) {
        if let Some(attempt) = self.entry.as_mut().and_then(|e| e.attempts.last_mut()) {
            attempt.class = Some(class);
        }
    }

    /// The answer holds an ephemeral secret.
    pub(crate) fn gave_a_secret(&mut self) {
        let Some(entry) = &mut self.entry else { return };
        tracing::info!(
            request_id = entry.request_id,
            service_key = entry.service_key_name,
            upstream = entry.upstream_name,
            "an ephemeral secret was handed out: what it is used for is not counted here"
        );
        entry.tags.push("ephemeral_secret".to_owned());
    }

    /// A rule fired about the last attempt.
    pub(crate) fn ruled(&mut self, rule: RuleId, tag: Option<&str>) {
        let Some(entry) = &mut self.entry else { return };
        if let Some(attempt) = entry.attempts.last_mut()
            && !attempt.rules.contains(&rule)
        {
            attempt.rules.push(rule);
        }
        if let Some(tag) = tag.filter(|tag| !entry.tags.iter().any(|known| known == tag)) {
            entry.tags.push(tag.to_owned());
        }
    }

    /// The call waited in line.
    pub(crate) fn waited(&mut self, time: Duration) {
        if let Some(entry) = &mut self.entry {
            entry.waited_us += u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        }
    }

    /// The log entry that this call leaves.
    pub(crate) fn id(&self) -> Uuid {
        self.entry.as_ref().map_or(Uuid::nil(), |entry| entry.id)
    }

    /// How long its answer is read on after the client left.
    pub(crate) fn drains(&self) -> Duration {
        self.asked.as_ref().map_or(Duration::ZERO, |entry| entry.upstream.policy.drain)
    }

    /// What let the call in, as far as it can be withdrawn while it runs. `public_id` is the part of
    /// the service key by which it is found.
    pub(crate) fn grant(&self, public_id: String, client: &Client<'_>) -> Grant {
        Grant {
            public_id,
            ip: client.ip,
            method: client.head.method().to_owned(),
            model: self.entry.as_ref().and_then(|entry| entry.model_asked.clone()),
            upstream: self.asked.as_ref().map(|entry| entry.upstream.id),
            slot: self.stake.picked.as_ref().map(|picked| picked.slot.clone()),
        }
    }

    /// The lease of a stream, where its upstream does not let it finish once it is withdrawn.
    pub(crate) fn stream_lease(
        &self,
        streams: bool,
        gateway: &Arc<Gateway>,
        public_id: impl FnOnce() -> String,
        client: &Client<'_>,
    ) -> Option<Lease> {
        let asked = self.asked.as_ref().filter(|_| streams)?;
        let grace = asked.upstream.policy.revocation_grace?;
        Some(gateway.leases.lease(self.grant(public_id(), client), grace))
    }

    /// The permit for whoever goes on with the call; this one is done with.
    pub(crate) fn handed_over(&mut self) -> Permit {
        Permit {
            gateway: self.gateway.clone(),
            started: self.started,
            entry: self.entry.take(),
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

    /// A candidate that was planned for was passed over in the end.
    pub(crate) fn passed_over(&mut self, candidate: &str, reason: &str) {
        let Some(entry) = &mut self.entry else { return };
        let (candidate, passed_over) = (candidate.to_owned(), Some(reason.to_owned()));
        entry.decision.push(Considered { candidate, passed_over });
    }

    /// An answer with the key of `slot` begins: what it says it made belongs to that key.
    pub(crate) fn learns(&mut self, upstream: UpstreamId, slot: &Slot) {
        let maker = Maker { upstream, key: slot.key.id };
        let entry = self.entry.as_ref();
        self.learning = entry.and_then(|entry| Learning::of(&entry.method, &entry.path, maker));
    }

    /// The first of the answer is here.
    pub(crate) fn answering(&mut self, streamed: bool) {
        let now = self.elapsed_us();
        let Some(entry) = &mut self.entry else { return };
        entry.first_byte_us = Some(now);
        entry.streamed = streamed;
    }

    /// Records the bodies of this call, of which the request's is `request`.
    pub(crate) fn record(&mut self, request: &Bytes) {
        let id = self.entry.as_ref().map(|entry| entry.id);
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

    /// So much of an answer has passed, and so much was used: what is entered if it ends here.
    pub(crate) fn passed(&mut self, sent: impl Into<Sent>, status: u16, (usage, source): Measured) {
        let Some(entry) = &mut self.entry else { return };
        let sent = sent.into();
        entry.status = status;
        entry.bytes_in = sent.bytes_in;
        entry.bytes_out = sent.bytes_out;
        (entry.usage, entry.usage_source) = (usage, source);
    }

    /// What went wrong, in words.
    pub(crate) fn noted(&mut self, error: String) {
        if let Some(entry) = &mut self.entry {
            entry.error = Some(error);
        }
    }

    /// The call is refused: the client will get this status and this reason.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        let Some(entry) = &mut self.entry else { return };
        entry.status = refusal.status();
        entry.error = Some(refusal.to_string());
    }

    /// Whether the entry is still to be written.
    pub(crate) fn is_open(&self) -> bool {
        self.entry.is_some()
    }

    /// Writes the entry. `going` is how many bytes of the body are about to go out. What comes
    /// after this is not entered any more.
    pub(crate) async fn close(&mut self, outcome: Outcome, sent: impl Into<Sent>, going: u64) {
        self.judge_the_rest();
        let Some(mut entry) = self.entry.take() else { return };
        let sent = sent.into();
        entry.outcome = outcome;
        entry.latency_us = self.elapsed_us();
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
            judge.cut_short(self);
        }
    }

    /// Lets the call go without an entry: it never began.
    fn forget(mut self) {
        self.entry = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(recorded) = self.recorded.take() {
            self.gateway.recorder.put(*recorded);
        }
        self.judge_the_rest();
        let latency_us = self.elapsed_us();
        if let Some(mut entry) = self.entry.take() {
            entry.latency_us = latency_us;
            entry.error.get_or_insert_with(|| "the call was cut short".to_owned());
            self.settle(&mut entry);
            self.gateway.journal.settle_now(&entry);
        }
    }
}

/// What is kept of a client's address.
pub(crate) fn masked(ip: IpAddr, settings: &Settings) -> Option<String> {
    match settings.client_ip {
        ClientIp::Full => Some(ip.to_string()),
        ClientIp::Network => Some(match ip {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                format!("{a}.{b}.{c}.0/24")
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                format!("{a:x}:{b:x}:{c:x}::/48")
            }
        }),
        ClientIp::Hashed => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &settings.client_ip_key);
            let digest = hmac::sign(&key, ip.to_canonical().to_string().as_bytes());
            Some(format!("hash:{}", BASE64_URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12])))
        }
        ClientIp::Off => None,
    }
}
