//! What rules say of an attempt, and what is done then. What fails is judged at once, with all that
//! was said; an answer by its head when it begins, by its events as they pass, and by its body at
//! its end. Nothing of it holds a stream up.
//!
//! Each rule observes an attempt once, whatever it looks at: a rule about events when the first of
//! them meets its conditions, or else when the attempt has ended without one that did.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use dialect::{Block, Fields, Splitter};
use domain::{
    BreakerState, BreakerStep, CompiledRule, ErrorClass, Event, Evidence, Guarded, HeaderLines,
    KeyStatus, Observation, Reading, Rule, Ruleset, rule::Action,
};
use uuid::Uuid;

use crate::{
    admission::{Entry, Permit, judging::Judging},
    attempt::{
        conversion::Converted,
        exchange::Incoming,
        failed::Failed,
        reached::Reached,
        round::Round,
        watch::{EVENT_MAX, EVENTS_MAX, Watch},
    },
    gateway::{
        Gateway, Running,
        rules::{self, Fired, Seen},
    },
    http1::ResponseHead,
    pool::{balancer::Slot, health},
};

/// Judges the answer of one attempt, also after its round is over.
#[derive(Debug)]
pub(crate) struct Judge {
    gateway: Arc<Gateway>,
    running: Running,
    slot: Option<Arc<Slot>>,
    model: Option<String>,
    log: Uuid,
    /// The rules that look at what is still to come, in order; none where one has observed the
    /// attempt already.
    rules: Vec<Option<Arc<CompiledRule>>>,
    status: u16,
    class: Option<ErrorClass>,
    /// The head of the answer, where the client's dialect is the provider's or its stream is read.
    head: ResponseHead,
    latency: Duration,
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
    let (code, reading) = (failed.verdict.code.as_deref(), Reading::of(seen));
    let at = At::of(round, permit, slot);
    let met = |rule: &CompiledRule| rule.judge_reading(&reading);
    at.judge(&mut permit.entry, rules.all(), met, &seen, code, &failed.words);
}

/// Judges an answer that began well, by what is known of it; the rest as it passes. Whether a rule
/// wants another one, where the call `may_repeat`.
pub(crate) fn answered(
    round: &Round<'_>,
    permit: &mut Permit,
    slot: Option<&Arc<Slot>>,
    answer: &mut Reached,
    latency: Duration,
    may_repeat: bool,
) -> bool {
    let first = match answer {
        Reached::Converted(Converted::Stream(flow)) => std::mem::take(&mut flow.first),
        _ => Vec::new(),
    };
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
    let (ended, reading) = (whole.is_some(), Reading::of(seen));
    let now = rules.iter().filter(|rule| ended || !later(rule));
    let met = |rule: &CompiledRule| rule.judge_reading(&reading);
    let words = format_args!("the provider answered {status}");
    let said = at.judge(&mut permit.entry, now, met, &seen, code, &words);
    // What comes after a rule that stops the others is not judged later either.
    let stops = |one: &Arc<CompiledRule>| said.stops.as_ref().is_some_and(|s| Arc::ptr_eq(s, one));
    let judged = rules.iter().position(stops).unwrap_or(rules.len());
    let concerned = |rule: &&Arc<CompiledRule>| later(rule) && rule.concerns(Some(status), class);
    let rules: Vec<_> = rules[..judged].iter().filter(concerned).cloned().collect();
    let retry = said.retry && may_repeat;
    if ended || rules.is_empty() {
        return retry;
    }
    let (incoming, head) = match answer {
        Reached::AsItIs(answer) => (&mut answer.incoming, &answer.head),
        Reached::Converted(Converted::Stream(flow)) => {
            (&mut flow.answer.incoming, &flow.answer.head)
        }
        Reached::Converted(Converted::Whole(_)) => return retry,
    };
    let streams = head.is_event_stream();
    let mut watch = Watch::new(&rules, streams);
    first.iter().for_each(|piece| watch.see(piece));
    let judge = Judge {
        gateway: at.gateway.clone(),
        running: round.running.clone(),
        slot: slot.cloned(),
        model: at.model.map(str::to_owned),
        log: at.log,
        rules: rules.into_iter().map(Some).collect(),
        status,
        class,
        head: head.clone(),
        latency,
    };
    if retry {
        // Nobody reads this answer on, unless there is no other: its attempt ends here.
        judge.end(&mut permit.entry, None, false);
    } else {
        incoming.watch(watch);
        permit.judge = Some(Box::new(judge));
    }
    retry
}

/// Judges the events of an answer that have come, and at its end its body.
pub(crate) fn passing(permit: &mut Permit, incoming: &mut Incoming, ended: bool) {
    let Some(watch) = &mut incoming.watch else { return };
    let Some(mut judge) = permit.judge.take() else { return };
    let streams = watch.events.is_some();
    if let Some((splitter, events)) = &mut watch.events {
        if ended && let Some(Block::Event(last)) = splitter.finish() {
            events.push(last);
        }
        for event in events.drain(..) {
            if let Some(data) = Fields::read(&event).data {
                judge.event(&mut permit.entry, &data);
            }
        }
    }
    if ended {
        judge.end(&mut permit.entry, watch.body.take().as_deref(), streams);
        incoming.watch = None;
    } else {
        permit.judge = Some(judge);
    }
}

impl Judge {
    fn seen<'a>(&'a self, body: Option<&'a [u8]>, event: Option<&'a [u8]>) -> Observation<'a> {
        Observation {
            status: Some(self.status),
            class: self.class,
            headers: Some(&self.head),
            body,
            event,
            latency: Some(self.latency),
        }
    }

    fn at(&self) -> At<'_> {
        At {
            gateway: &self.gateway,
            running: &self.running,
            slot: self.slot.as_ref(),
            model: self.model.as_deref(),
            log: self.log,
        }
    }
}

impl Judging for Judge {
    /// Rules that the event does not meet wait for the next one.
    fn event(&mut self, entry: &mut Entry, data: &[u8]) {
        for i in 0..self.rules.len() {
            let Some(Some(rule)) = self.rules.get(i) else { continue };
            let seen = self.seen(None, Some(data));
            let alone = rule.wants_events() && !rule.wants_body();
            if !alone || !rule.judge(&seen) {
                continue;
            }
            let said =
                self.at().judge(entry, [rule], |_| true, &seen, None, &"an event of the stream");
            self.rules[i] = None;
            if said.stops.is_some() {
                self.rules.truncate(i);
            }
        }
    }

    fn end(&self, entry: &mut Entry, body: Option<&[u8]>, streams: bool) {
        let left = self.rules.iter().flatten();
        let seen = self.seen(body, None);
        let reading = Reading::of(seen);
        let met = |rule: &CompiledRule| {
            let each = streams && rule.wants_body() && rule.wants_events();
            match body.filter(|_| each) {
                None => rule.judge_reading(&reading),
                Some(body) => {
                    let mut events = events_of(body).into_iter();
                    events.any(|event| rule.judge(&self.seen(Some(body), Some(&event))))
                }
            }
        };
        self.at().judge(entry, left, met, &seen, None, &"the whole answer");
    }
}

/// The data of the events in a body.
fn events_of(body: &[u8]) -> Vec<Vec<u8>> {
    let (mut splitter, mut events) = (Splitter::new(EVENT_MAX), Vec::new());
    let mut keep = |block| {
        if let Block::Event(event) = block
            && events.len() < EVENTS_MAX
            && let Some(data) = Fields::read(&event).data
        {
            events.push(data.to_vec());
        }
    };
    splitter.push(Bytes::copy_from_slice(body), &mut keep);
    splitter.finish().map(keep);
    events
}

/// What rules said of an attempt.
struct Ruled {
    /// One of them wants another answer.
    retry: bool,
    /// The one after which no other is judged.
    stops: Option<Arc<CompiledRule>>,
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
            log: permit.entry.id(),
        }
    }

    /// Does what the rules that fire say.
    fn judge<'r>(
        &self,
        entry: &mut Entry,
        rules: impl IntoIterator<Item = &'r Arc<CompiledRule>>,
        met: impl FnMut(&CompiledRule) -> bool,
        seen: &Observation<'_>,
        code: Option<&str>,
        words: &dyn fmt::Display,
    ) -> Ruled {
        let clock = &self.gateway.settings.clock;
        let who = Seen {
            upstream: self.running.entry.upstream.id,
            key: self.slot.map(|slot| slot.key.id),
            model: self.model,
            log: self.log,
        };
        let kind = (seen.status, seen.class);
        let fired = self.gateway.rules.judge(rules, kind, met, &who, clock.now_us());
        let mut ruled = Ruled { retry: false, stops: None };
        if fired.is_empty() {
            return ruled;
        }
        let (now, words) = (clock.now(), words.to_string());
        let events = rules::events(&fired, &who, seen, code, &words, now);
        for one in &fired {
            let rule = &one.rule.rule;
            entry.ruled(rule.id, None);
            for action in one.actions() {
                ruled.retry |= *action == Action::RetryNext;
                self.act(entry, *action, one, seen, &words, now);
            }
        }
        ruled.stops = fired.last().filter(|one| one.stops()).map(|one| one.rule.clone());
        self.gateway.teller.tell(events);
        ruled
    }

    fn act(
        &self,
        entry: &mut Entry,
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
                    rule.id = rule.id.0,
                    upstream.id = self.running.entry.upstream.id.0,
                    log.id = %self.log,
                    "the rule `{}` fired: {words}",
                    rule.name,
                );
            }
            Action::Tag => return entry.ruled(rule.id, Some(&rule.name)),
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
