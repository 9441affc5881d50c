//! What rules say of an attempt, and what is done then. What fails is judged at once, with all that
//! was said; an answer by its head when it begins, by its events as they pass, and by its body at
//! its end. Nothing of it holds a stream up.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use dialect::{Block, Fields, Splitter};
use domain::{
    BreakerState, BreakerStep, CompiledRule, ErrorClass, Event, Evidence, Guarded, HeaderLines,
    KeyStatus, Observation, Rule, Ruleset, rule::Action,
};
use uuid::Uuid;

use crate::{
    admission::Permit,
    attempt::Incoming,
    balancer::Slot,
    conversion::Converted,
    failed::Failed,
    gateway::{Gateway, Running},
    health,
    http1::ResponseHead,
    rules::{self, Fired, Seen},
    upstream::{Reached, Round},
};

/// Most events of one answer that wait to be judged, and the largest that is looked at.
const EVENTS_MAX: usize = 256;
const EVENT_MAX: usize = 64 << 10;

/// Judges the answer of one attempt, also after its round is over.
#[derive(Debug)]
pub(crate) struct Judge {
    gateway: Arc<Gateway>,
    running: Running,
    slot: Option<Arc<Slot>>,
    model: Option<String>,
    log: Uuid,
    /// The rules that look at what is still to come.
    rules: Vec<Arc<CompiledRule>>,
    status: u16,
    class: Option<ErrorClass>,
    /// The head of the answer, where the client's dialect is the provider's or its stream is read.
    head: ResponseHead,
    latency: Duration,
}

/// What of an answer's body rules look at, as it passes.
#[derive(Debug)]
pub(crate) struct Watch {
    body: Option<Vec<u8>>,
    events: Option<(Splitter, Vec<Bytes>)>,
}

impl Watch {
    fn new(rules: &[Arc<CompiledRule>], streams: bool) -> Self {
        let events = streams && rules.iter().any(|rule| rule.wants_events());
        Self {
            body: rules.iter().any(|rule| rule.wants_body()).then(Vec::new),
            events: events.then(|| (Splitter::new(EVENT_MAX), Vec::new())),
        }
    }

    /// More of the body.
    pub(crate) fn see(&mut self, piece: &Bytes) {
        if let Some(body) = &mut self.body {
            let room = Rule::BODY_MAX.saturating_sub(body.len()).min(piece.len());
            body.extend_from_slice(&piece[..room]);
        }
        if let Some((splitter, events)) = &mut self.events {
            splitter.push(piece.clone(), |block| {
                if let Block::Event(event) = block
                    && events.len() < EVENTS_MAX
                {
                    events.push(event);
                }
            });
        }
    }
}

/// Judges a failed attempt.
pub(crate) fn failed(
    round: &Round<'_>,
    permit: &mut Permit,
    slot: Option<&Arc<Slot>>,
    failed: &Failed,
    latency: Duration,
) {
    let Some(rules) = rules_of(round) else { return };
    let heard = failed.heard.as_deref();
    let seen = Observation {
        status: failed.status,
        class: Some(failed.verdict.class),
        headers: heard.map(|heard| &heard.head as &dyn HeaderLines),
        body: heard.and_then(|heard| heard.body.as_deref()),
        event: None,
        latency: Some(latency),
    };
    let code = failed.verdict.code.as_deref();
    let at = At::of(round, permit, slot);
    at.judge(permit, rules.all(), &seen, code, &failed.words);
}

/// Judges an answer that began well, by what is known of it; the rest as it passes. Whether a rule
/// wants another one.
pub(crate) fn answered(
    round: &Round<'_>,
    permit: &mut Permit,
    slot: Option<&Arc<Slot>>,
    answer: &mut Reached,
    latency: Duration,
) -> bool {
    let Some(rules) = rules_of(round) else { return false };
    let (status, class) = (answer.status(), answer.class());
    let (head, whole, code) = match &*answer {
        Reached::AsItIs(answer) => {
            let code = answer.verdict.as_ref().and_then(|verdict| verdict.code.as_deref());
            (Some(&answer.head), None, code)
        }
        Reached::Converted(Converted::Stream(flow)) => (Some(&flow.answer.head), None, None),
        Reached::Converted(Converted::Whole(whole)) => {
            let heard = whole.heard();
            let body = heard.and_then(|heard| heard.body.as_ref());
            (heard.map(|heard| &heard.head), body, None)
        }
    };
    let rules = rules.of_answers(status);
    if rules.is_empty() {
        return false;
    }
    let seen = Observation {
        status: Some(status),
        class,
        headers: head.map(|head| head as &dyn HeaderLines),
        body: whole.map(AsRef::as_ref),
        event: None,
        latency: Some(latency),
    };
    let later = |rule: &&Arc<CompiledRule>| rule.wants_body() || rule.wants_events();
    let at = At::of(round, permit, slot);
    let ended = whole.is_some();
    let now = rules.iter().filter(|rule| ended || !later(rule));
    let words = format_args!("the provider answered {status}");
    let retry = at.judge(permit, now, &seen, code, &words);
    if retry || ended || !rules.iter().any(|rule| later(&rule)) {
        return retry;
    }
    let (answer, streams) = match answer {
        Reached::AsItIs(answer) => {
            let streams = answer.head.is_event_stream();
            (answer.as_mut(), streams)
        }
        Reached::Converted(Converted::Stream(flow)) => (&mut flow.answer, true),
        Reached::Converted(Converted::Whole(_)) => return retry,
    };
    let concerned = |rule: &&Arc<CompiledRule>| later(rule) && rule.concerns(Some(status), class);
    let rules: Vec<_> = rules.iter().filter(concerned).cloned().collect();
    answer.incoming.watch(Watch::new(&rules, streams));
    let judge = Judge {
        gateway: at.gateway.clone(),
        running: round.running.clone(),
        slot: slot.cloned(),
        model: at.model.map(str::to_owned),
        log: at.log,
        rules,
        status,
        class,
        head: answer.head.clone(),
        latency,
    };
    permit.judge = Some(Box::new(judge));
    false
}

/// Judges the events of an answer that have come, and at its end its body.
pub(crate) fn passing(permit: &mut Permit, incoming: &mut Incoming, ended: bool) {
    let Some(watch) = &mut incoming.watch else { return };
    let Some(judge) = permit.judge.take() else { return };
    if let Some((splitter, events)) = &mut watch.events {
        if ended && let Some(Block::Event(last)) = splitter.finish() {
            events.push(last);
        }
        for event in events.drain(..) {
            if let Some(data) = Fields::read(&event).data {
                judge.look(permit, None, Some(&data));
            }
        }
    }
    if ended {
        if let Some(body) = watch.body.take() {
            judge.look(permit, Some(&body), None);
        }
        incoming.watch = None;
    } else {
        permit.judge = Some(judge);
    }
}

impl Judge {
    fn look(&self, permit: &mut Permit, body: Option<&[u8]>, event: Option<&[u8]>) {
        let seen = Observation {
            status: Some(self.status),
            class: self.class,
            headers: Some(&self.head),
            body,
            event,
            latency: Some(self.latency),
        };
        let concerned = |rule: &&Arc<CompiledRule>| {
            if event.is_some() { rule.wants_events() } else { rule.wants_body() }
        };
        let rules = self.rules.iter().filter(concerned);
        let at = At {
            gateway: &self.gateway,
            running: &self.running,
            slot: self.slot.as_ref(),
            model: self.model.as_deref(),
            log: self.log,
        };
        let words = if event.is_some() { "an event of the stream" } else { "the whole answer" };
        at.judge(permit, rules, &seen, None, &words);
    }
}

/// Whose call is judged.
struct At<'a> {
    gateway: &'a Arc<Gateway>,
    running: &'a Running,
    slot: Option<&'a Arc<Slot>>,
    model: Option<&'a str>,
    log: Uuid,
}

impl<'a> At<'a> {
    fn of(round: &Round<'a>, permit: &Permit, slot: Option<&'a Arc<Slot>>) -> Self {
        Self {
            gateway: round.asking.gateway,
            running: round.running,
            slot,
            model: round.target.model.as_deref(),
            log: permit.id(),
        }
    }

    /// Does what the rules that fire say. Whether one of them wants another answer.
    fn judge<'r>(
        &self,
        permit: &mut Permit,
        rules: impl IntoIterator<Item = &'r Arc<CompiledRule>>,
        seen: &Observation<'_>,
        code: Option<&str>,
        words: &dyn fmt::Display,
    ) -> bool {
        let clock = &self.gateway.settings.clock;
        let who = Seen {
            upstream: self.running.entry.upstream.id,
            key: self.slot.map(|slot| slot.key.id),
            model: self.model,
            log: self.log,
        };
        let fired = self.gateway.rules.judge(rules, seen, &who, clock.now_us());
        if fired.is_empty() {
            return false;
        }
        let (now, words) = (clock.now(), words.to_string());
        let events = rules::events(&fired, &who, seen, code, &words, now);
        let mut retry = false;
        for one in &fired {
            let rule = &one.rule.rule;
            permit.ruled(rule.id, None);
            for action in one.actions() {
                retry |= *action == Action::RetryNext;
                self.act(permit, *action, one, seen, &words, now);
            }
        }
        self.gateway.teller.tell(events);
        retry
    }

    fn act(
        &self,
        permit: &mut Permit,
        action: Action,
        fired: &Fired,
        seen: &Observation<'_>,
        words: &str,
        now: DateTime<Utc>,
    ) {
        let rule = &fired.rule.rule;
        let until = rule
            .lasts(action)
            .and_then(|lasts| now.checked_add_signed(chrono::TimeDelta::from_std(lasts).ok()?));
        let until = until.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let status = match action {
            Action::DisableKey => KeyStatus::DisabledAuto(until),
            Action::CoolKey => KeyStatus::Cooling(until),
            Action::BanKey => KeyStatus::Banned,
            Action::DisableUpstream => return self.rest(rule, until, now),
            Action::Log => {
                return tracing::info!(
                    rule.id = %rule.id,
                    upstream.id = %self.running.entry.upstream.id,
                    log.id = %self.log,
                    "the rule `{}` fired: {words}",
                    rule.name,
                );
            }
            Action::Tag => return permit.ruled(rule.id, Some(&rule.name)),
            Action::RetryNext | Action::Alert => return,
        };
        let now_us = now.timestamp_micros();
        let case = self.running.case(self.slot, self.model, self.log, now_us);
        let evidence = Evidence {
            status: seen.status,
            class: seen.class,
            rule: Some(rule.id),
            log: Some(self.log),
            words: words.to_owned(),
            ..Evidence::default()
        };
        self.gateway.teller.tell(health::put(&case, None, status, "rule", evidence, "rule"));
    }

    /// Lets the upstream rest.
    fn rest(&self, rule: &Rule, until: DateTime<Utc>, now: DateTime<Utc>) {
        let words = format!("the rule `{}` fired", rule.name);
        let upstream = self.running.entry.upstream.id;
        let (until_us, now_us) = (until.timestamp_micros(), now.timestamp_micros());
        self.running.health.rest_until(upstream, until_us, now_us, &words);
        let guarded = Guarded { upstream, key: None, model: None };
        let state = BreakerState::Open(until);
        let step = BreakerStep { guarded, state, openings: 1, at: now, words };
        self.gateway.teller.tell([Event::Breaker(step)]);
    }
}

fn rules_of<'a>(round: &Round<'a>) -> Option<&'a Ruleset> {
    round.asking.world.snapshot.rules(round.target.entry.upstream.id)
}

impl HeaderLines for ResponseHead {
    fn each(&self, name: &str, value: &mut dyn FnMut(&[u8])) {
        self.all(name).for_each(value);
    }
}
