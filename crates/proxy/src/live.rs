//! What the management plane may know of the running data plane, and ask of it.

use std::{future::Future, pin::Pin, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use chrono::SecondsFormat;
use domain::{
    Dialect, LimitId, ProviderKeyId, Revision, UpstreamId,
    live::{
        KeyReport, KeyTest, LimitUse, Live, RouteAsk, RouteRefused, RouteTarget, RouteTest,
        ScriptAsk, ScriptDone, UpstreamReport,
    },
    policy::HeaderScript,
};

use crate::{
    attempt::probe,
    clock::moment,
    door::Door,
    gateway::{Gateway, World},
    http1::RequestHead,
    limits,
    models::question,
    pool::balancer::Hint,
    refusal::Refusal,
    request::inbound::{Body, Call},
    routing::{self, Chance, Planned, belongs, road::Road},
};

impl Live for Gateway {
    fn revision(&self) -> Revision {
        self.world().snapshot.revision
    }

    fn calls_in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn journal_len(&self) -> u64 {
        self.journal.len()
    }

    fn key(&self, upstream: UpstreamId, key: ProviderKeyId) -> Option<KeyReport> {
        let (world, clock) = (self.world(), &self.settings.clock);
        let running = world.running(upstream)?;
        let slot = running.pool.slot(key)?;
        let (now, now_us) = (clock.now(), clock.now_us());
        let (health, on) = (&slot.health, &running.entry.upstream);
        Some(KeyReport {
            standing: health.standing(None, now),
            models: health.models(now),
            breaker: health.breaker_state(),
            in_flight: health.in_flight(),
            success_permille: health.figures.success_permille(),
            latency: health.figures.latency(now_us),
            quotas: limits::uses_of_key(&self.counters, on, &slot.key, now_us, running.zone),
        })
    }

    fn keys_out(&self, most: usize) -> Option<Vec<ProviderKeyId>> {
        let (world, now) = (self.world(), self.settings.clock.now());
        let pools = world.all_running().map(|running| &running.pool);
        let out = pools.flat_map(|pool| pool.keys_out(now)).take(most.saturating_add(1));
        let out: Vec<_> = out.collect();
        (out.len() <= most).then_some(out)
    }

    fn key_states(&self) -> Vec<(&'static str, u64)> {
        let (world, now) = (self.world(), self.settings.clock.now());
        let mut states: Vec<(&'static str, u64)> = Vec::new();
        for (state, keys) in world.all_running().flat_map(|running| running.pool.counts(now)) {
            match states.iter_mut().find(|(known, _)| *known == state) {
                Some((_, sum)) => *sum += keys,
                None => states.push((state, keys)),
            }
        }
        states
    }

    fn upstream(&self, upstream: UpstreamId) -> Option<UpstreamReport> {
        let (world, clock) = (self.world(), &self.settings.clock);
        let running = world.running(upstream)?;
        let (now, now_us) = (clock.now(), clock.now_us());
        let health = &running.health;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Some(UpstreamReport {
            rests: health.blocks(None, now_us).map(|(until_us, why)| (moment(until_us), why)),
            breakers: health.breakers(),
            in_flight: health.in_flight(),
            waiting: count(running.queue.waiting()),
            success_permille: health.figures.success_permille(),
            latency: health.figures.latency(now_us),
            idle_connections: count(running.line.idle_connections()),
            keys: running.pool.counts(now),
        })
    }

    fn limit(&self, limit: LimitId, most: usize) -> Vec<LimitUse> {
        let world = self.world();
        let Some(limit) = world.snapshot.limits().iter().find(|l| l.id == limit) else {
            return Vec::new();
        };
        let prefix = limits::counters_of(limit);
        let found = self.counters.find(&prefix, self.settings.clock.now_us(), most);
        let uses = found.into_iter().map(|used| LimitUse {
            subject: used.counter[prefix.len()..].to_owned(),
            used: used.used,
            resets_at: used.until_us.map(moment),
        });
        uses.collect()
    }

    fn route_test(&self, ask: &RouteAsk) -> Result<RouteTest, RouteRefused> {
        let tested = self.tested(ask);
        tested.map_err(|refusal| RouteRefused {
            status: refusal.status(),
            code: refusal.code(),
            message: refusal.to_string(),
        })
    }

    fn test_key(
        &self,
        upstream: UpstreamId,
        key: ProviderKeyId,
    ) -> Pin<Box<dyn Future<Output = KeyTest> + Send + '_>> {
        Box::pin(async move {
            let world = self.world();
            let running = world.running(upstream);
            let slot = running.and_then(|running| running.pool.slot(key));
            let (Some(running), Some(slot)) = (running, slot) else {
                let words = "the key is switched off, or not served yet".to_owned();
                let latency = Duration::ZERO;
                let words = Some(words);
                return KeyTest {
                    accepted: None,
                    status: None,
                    latency,
                    words,
                    resting_until: None,
                };
            };
            let mut test = probe::ask((&self.connector, &self.settings.clock), running, slot).await;
            self.probed(upstream, key, &test);
            if test.accepted == Some(true)
                && let Some(standing) = slot.health.worst(self.settings.clock.now())
            {
                let status = standing.status;
                test.resting_until = status.until();
                let until = match status.until() {
                    Some(until) => until.to_rfc3339_opts(SecondsFormat::Secs, true),
                    None => "a person ends it".to_owned(),
                };
                let words = format!(
                    "accepted, still resting until {until} ({}): {{\"state\": \"active\"}} ends it at once",
                    status.as_str(),
                );
                test.words = Some(words);
            }
            test
        })
    }

    fn provider_models(
        &self,
        upstream: UpstreamId,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<String>, String>> + Send + '_>> {
        Box::pin(async move {
            let world = self.world();
            let running = world.running(upstream);
            let running = running.ok_or_else(|| "the upstream is not served yet".to_owned())?;
            let names = question::ask((&self.connector, &self.settings.clock), running).await?;
            Ok(names.iter().cloned().collect())
        })
    }

    fn run_script(&self, script: &HeaderScript, on: &ScriptAsk) -> Result<ScriptDone, String> {
        self.scripts.run(script, on)
    }
}

impl Gateway {
    /// Plans a call that nobody makes.
    fn tested(&self, ask: &RouteAsk) -> Result<RouteTest, Refusal> {
        let (world, clock) = (self.world(), &self.settings.clock);
        let caller = world.snapshot.caller_of(ask.service_key).cloned();
        let caller = caller.ok_or(Refusal::KeyUnknown)?;
        if let Some(why) = caller.refused_at(clock.now()) {
            return Err(Refusal::KeyRefused(why));
        }
        // From which address nobody says.
        if let Some(what) = caller.kept_out_at("POST", clock.now()) {
            return Err(Refusal::KeptOut(what));
        }
        let head = head_of(ask)?;
        let call = Call {
            door: Door::of(&head)?,
            model: Some(ask.model.clone()),
            body: Body::Held { bytes: Bytes::new(), memory: None },
            model_at: None,
            ask_usage: None,
            wrapped_signatures: Vec::new(),
            unpacked: false,
            websocket: false,
            model_in_query: false,
            model_differs: false,
        };
        let session = ask.session.as_deref().unwrap_or_default();
        let number = belongs::of_session(session, &caller);
        let chance = Chance {
            path: call.door.path(&head),
            header: &|name| {
                let named = |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
                ask.headers.iter().find(named).map(|(_, value)| value.as_str())
            },
            belongs: &|_| number,
            maker: None,
            secret: call.door.gives_a_secret(&head),
            now_us: clock.now_us(),
        };
        let plan = routing::plan(&world, &caller, &call, &chance)?;
        let targets = plan.targets.iter().map(|planned| target(&world, planned, chance.now_us));
        Ok(RouteTest { targets: targets.collect(), considered: plan.considered })
    }
}

/// The head of a request for this model in this dialect.
fn head_of(ask: &RouteAsk) -> Result<RequestHead, Refusal> {
    let path = match ask.dialect {
        Dialect::OpenaiChat => "/v1/chat/completions".to_owned(),
        Dialect::OpenaiResponses => "/v1/responses".to_owned(),
        Dialect::AnthropicMessages => "/v1/messages".to_owned(),
        Dialect::Gemini => {
            let model: String = ask.model.bytes().map(escaped).collect();
            format!("/v1beta/models/{model}:generateContent")
        }
    };
    let raw = format!("POST {path} HTTP/1.1\r\nhost: gateway\r\n\r\n");
    Ok(RequestHead::parse(raw.into(), 8, 8 << 10)?)
}

/// A byte as it may stand in a path.
fn escaped(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    }
}

/// How a target would be asked now.
fn target(world: &World, planned: &Planned, now_us: i64) -> RouteTarget {
    let (upstream, model) = (&planned.entry.upstream, planned.model.as_deref());
    let mut target = RouteTarget {
        upstream: upstream.id,
        upstream_name: upstream.name.clone(),
        model: planned.model.clone(),
        converted_to: match planned.road {
            Road::Into(dialect) => Some(dialect),
            Road::AsItIs => None,
        },
        key: None,
        key_name: None,
        passed_over: None,
    };
    let Some(running) = world.running(upstream.id) else { return target };
    if let Some((_, why)) = running.health.blocks(model, now_us) {
        target.passed_over = Some(format!("it rests: {why}"));
        return target;
    }
    let hint =
        Hint { model, belongs: planned.belongs, only: None, tried: &[], looks: true, now_us };
    match running.pool.preview(&hint) {
        Ok(slot) => {
            target.key = Some(slot.key.id);
            target.key_name = Some(slot.key.name.clone());
        }
        Err(none) => target.passed_over = none.passed_over(),
    }
    target
}
