//! The log entry of a call while it goes on: what is noted of the call until its entry is written.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::{
    Caller, ClientProgram, Dialect, ErrorClass, RuleId, UpstreamEntry,
    log::{Attempt, Considered, LogEntry, Outcome, Served, Usage, UsageSource},
};
use ring::hmac;
use uuid::Uuid;

use crate::{
    client::Client,
    headers,
    http1::ResponseHead,
    pool::balancer::Slot,
    refusal::Refusal,
    settings::{ClientIp, Settings},
    usage::Measured,
};

/// What an attempt is called that has not ended.
pub(super) const CLIENT_GONE: &str = "client_gone";

/// What of a call went which way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// The status, if one was sent.
    pub(super) status: Option<u16>,
}

impl From<&Client<'_>> for Sent {
    fn from(client: &Client<'_>) -> Self {
        let Client { bytes_in, bytes_out, status, .. } = *client;
        Self { bytes_in, bytes_out, status }
    }
}

/// The log entry of a call that goes on.
#[derive(Debug)]
pub(crate) struct Entry {
    started: Instant,
    /// Taken when it is written.
    pub(super) log: Option<Box<LogEntry>>,
}

impl Entry {
    /// The entry of a call that nothing is known of but what came with it.
    pub(super) fn new(
        settings: &Settings,
        client: &Client<'_>,
        caller: &Caller,
        dialect: Option<Dialect>,
        model_asked: Option<String>,
        decision: Vec<Considered>,
    ) -> Self {
        let now = chrono::Utc::now().timestamp_micros();
        let log = LogEntry {
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
            client_ip: client.ip.and_then(|ip| masked(ip, settings)),
            decision,
            tags: Vec::new(),
            metadata: BTreeMap::new(),
            waited_us: 0,
            origin: ClientProgram::origin(client.head.iter()),
            served: Served::default(),
        };
        Self { started: client.started, log: Some(Box::new(log)) }
    }

    /// The entry for whoever goes on with the call; nothing more is noted here.
    pub(super) fn handed_over(&mut self) -> Self {
        Self { started: self.started, log: self.log.take() }
    }

    /// An attempt begins: where, with which key, for which model. Gives its place among all.
    pub(super) fn attempting(
        &mut self,
        target: &UpstreamEntry,
        slot: Option<&Slot>,
        model: Option<&str>,
    ) -> usize {
        self.sent_to(target, slot, model);
        let upstream = &target.upstream;
        let started_us = self.elapsed_us();
        let Some(entry) = &mut self.log else { return 0 };
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
        entry.attempts.len() - 1
    }

    /// Who answers it, as far as is known.
    pub(super) fn sent_to(
        &mut self,
        target: &UpstreamEntry,
        slot: Option<&Slot>,
        model: Option<&str>,
    ) {
        let Some(entry) = &mut self.log else { return };
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
        let Some(attempt) = self.log.as_mut().and_then(|e| e.attempts.last_mut()) else { return };
        attempt.duration_us = now.saturating_sub(attempt.started_us);
        attempt.status = status;
        result.clone_into(&mut attempt.result);
    }

    /// The last attempt failed in this way.
    pub(crate) fn classed(&mut self, class: ErrorClass) {
        if let Some(attempt) = self.log.as_mut().and_then(|e| e.attempts.last_mut()) {
            attempt.class = Some(class);
        }
    }

    /// The answer holds an ephemeral secret.
    pub(crate) fn gave_a_secret(&mut self) {
        let Some(entry) = &mut self.log else { return };
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
        let Some(entry) = &mut self.log else { return };
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
        if let Some(entry) = &mut self.log {
            entry.waited_us += u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        }
    }

    /// The log entry that this call leaves.
    pub(crate) fn id(&self) -> Uuid {
        self.log.as_ref().map_or(Uuid::nil(), |entry| entry.id)
    }

    /// A candidate that was planned for was passed over in the end.
    pub(crate) fn passed_over(&mut self, candidate: &str, reason: &str) {
        let Some(entry) = &mut self.log else { return };
        let (candidate, passed_over) = (candidate.to_owned(), Some(reason.to_owned()));
        entry.decision.push(Considered { candidate, passed_over });
    }

    /// The first of the answer is here.
    pub(crate) fn answering(&mut self, streamed: bool) {
        let now = self.elapsed_us();
        let Some(entry) = &mut self.log else { return };
        entry.first_byte_us = Some(now);
        entry.streamed = streamed;
    }

    /// So much of an answer has passed, and so much was used: what is entered if it ends here.
    pub(crate) fn passed(&mut self, sent: impl Into<Sent>, status: u16, (usage, source): Measured) {
        let Some(entry) = &mut self.log else { return };
        let sent = sent.into();
        entry.status = status;
        entry.bytes_in = sent.bytes_in;
        entry.bytes_out = sent.bytes_out;
        (entry.usage, entry.usage_source) = (usage, source);
    }

    /// What went wrong, in words.
    pub(crate) fn noted(&mut self, error: String) {
        if let Some(entry) = &mut self.log {
            entry.error = Some(error);
        }
    }

    /// The call is refused: the client will get this status and this reason.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        let Some(entry) = &mut self.log else { return };
        entry.status = refusal.status();
        entry.error = Some(refusal.to_string());
    }

    /// Whether the entry is still to be written.
    pub(crate) fn is_open(&self) -> bool {
        self.log.is_some()
    }

    /// How long the call has been going on, in microseconds.
    pub(crate) fn elapsed_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// The provider's own id of the last attempt's request.
    pub(crate) fn identified(&mut self, head: &ResponseHead) {
        let Some(id) = headers::request_id(head) else { return };
        if let Some(attempt) = self.log.as_mut().and_then(|entry| entry.attempts.last_mut()) {
            attempt.provider_request_id = Some(id.to_owned());
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
