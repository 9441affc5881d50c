//! The permit: a call that was let in, and the one log entry that it leaves.
//!
//! The intent is in the journal before a provider is asked, the entry before the last of the
//! answer goes out. A permit that is dropped unclosed (client gone, shutdown, panic) is entered
//! as cut short.

use std::{net::IpAddr, sync::Arc, time::Instant};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use dialect::Tokens;
use domain::{
    Caller, Upstream,
    log::{Attempt, Considered, LogEntry, Outcome, Usage, UsageSource},
};
use ring::hmac;
use uuid::Uuid;

use crate::{
    balancer::Slot,
    client::Client,
    door::Door,
    gateway::{Gateway, InFlight},
    inbound::Call,
    journal::{Health, Intent},
    recording::Recorded,
    refusal::Refusal,
    routing::Plan,
    settings::{ClientIp, Settings},
};

/// A call that was let in.
#[derive(Debug)]
pub(crate) struct Permit {
    gateway: Arc<Gateway>,
    started: Instant,
    /// Taken when the entry is written.
    entry: Option<Box<LogEntry>>,
    /// The bodies, where the upstream has them recorded.
    recorded: Option<Box<Recorded>>,
    _in_flight: InFlight,
}

/// Lets a call in, and notes that it is about to be sent.
pub(crate) async fn admit(
    gateway: &Arc<Gateway>,
    client: &Client<'_>,
    caller: &Caller,
    call: &Call,
    plan: &Plan,
) -> Result<Permit, Refusal> {
    let decision = plan.considered.clone();
    let permit = Permit::new(gateway, client, caller, &call.door, call.model.clone(), decision);
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
            usage_source: UsageSource::None,
            cost_nano: None,
            attempts: Vec::new(),
            error: None,
            client_ip: client.ip.and_then(|ip| masked(ip, &gateway.settings)),
            decision,
        };
        Self {
            gateway: gateway.clone(),
            started: client.started,
            entry: Some(Box::new(entry)),
            recorded: None,
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
        upstream: &Upstream,
        slot: Option<&Slot>,
        model: Option<&str>,
    ) {
        let started_us = self.elapsed_us();
        let Some(entry) = &mut self.entry else { return };
        let (key, name) = slot.map(|s| (s.key.id, s.key.name.clone())).unzip();
        entry.upstream = Some(upstream.id);
        entry.upstream_name = Some(upstream.name.clone());
        entry.provider_key = key;
        entry.provider_key_name = name.clone();
        entry.model_used = model.map(str::to_owned);
        entry.attempts.push(Attempt {
            upstream: upstream.id,
            upstream_name: upstream.name.clone(),
            provider_key: key,
            provider_key_name: name,
            started_us,
            duration_us: 0,
            status: None,
            result: "client_gone".to_owned(),
        });
    }

    /// The attempt ended so.
    pub(crate) fn attempted(&mut self, result: &str, status: Option<u16>) {
        let now = self.elapsed_us();
        let Some(attempt) = self.entry.as_mut().and_then(|e| e.attempts.last_mut()) else { return };
        attempt.duration_us = now.saturating_sub(attempt.started_us);
        attempt.status = status;
        result.clone_into(&mut attempt.result);
    }

    /// A candidate that was planned for was passed over in the end.
    pub(crate) fn passed_over(&mut self, candidate: &str, reason: &str) {
        let Some(entry) = &mut self.entry else { return };
        let (candidate, passed_over) = (candidate.to_owned(), Some(reason.to_owned()));
        entry.decision.push(Considered { candidate, passed_over });
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
    }

    /// So much of an answer has passed, and so much was used: what is entered if it ends here.
    pub(crate) fn passed(
        &mut self,
        client: &Client<'_>,
        status: u16,
        used: Option<(Tokens, UsageSource)>,
    ) {
        let Some(entry) = &mut self.entry else { return };
        entry.status = status;
        entry.bytes_in = client.bytes_in;
        entry.bytes_out = client.bytes_out;
        if let Some((tokens, source)) = used {
            entry.usage = Usage {
                input: tokens.input,
                cached: tokens.cached,
                cache_written: tokens.cache_written,
                input_audio: tokens.input_audio,
                output: tokens.output,
                reasoning: tokens.reasoning,
                output_audio: tokens.output_audio,
            };
            entry.usage_source = source;
        }
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
    pub(crate) async fn close(&mut self, outcome: Outcome, client: &Client<'_>, going: u64) {
        let Some(mut entry) = self.entry.take() else { return };
        entry.outcome = outcome;
        entry.latency_us = self.elapsed_us();
        entry.bytes_in = client.bytes_in;
        entry.bytes_out = client.bytes_out + going;
        entry.status = client.status.unwrap_or(entry.status);
        if let Err(error) = self.gateway.journal.settle(&entry).await {
            // The journal itself says when it fails and when it is back; this is one of many.
            tracing::debug!(entry.id = %entry.id, "a log entry waits in memory: {error}");
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
        let latency_us = self.elapsed_us();
        if let Some(mut entry) = self.entry.take() {
            entry.latency_us = latency_us;
            entry.error.get_or_insert_with(|| "the call was cut short".to_owned());
            self.gateway.journal.settle_now(&entry);
        }
    }
}

/// What is kept of a client's address.
fn masked(ip: IpAddr, settings: &Settings) -> Option<String> {
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
