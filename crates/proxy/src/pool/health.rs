//! What follows from how a call went: for its key, the keys that share its limits, and its
//! upstream. The class of a failure decides; what is decided is told as events.

mod figures;
mod key;
mod upstream;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use chrono_tz::Tz;
use domain::{
    BreakerStep, ErrorClass, Event, Evidence, Guarded, KeyStatus, Period, ProviderKey,
    ProviderKeyId, Raised, Severity, Transition, Upstream, Verdict, policy::AuthFailure,
};
use uuid::Uuid;

use self::upstream::{Hit, Struck};
use crate::clock::moment;

pub(crate) use self::{
    key::{KeyHealth, Out, QUOTA},
    upstream::{Admitted, UpstreamHealth},
};

/// However soon a provider may be asked again: the same call goes on with another key.
const SHORTEST_REST: Duration = Duration::from_millis(100);
/// A provider that names a longer rest is not believed: the key is tried again after this.
const LONGEST_REST: Duration = Duration::from_secs(31 * 86_400);
/// How long a key that asked too often rests when the provider did not say, at first and at most.
const COOLING: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// A word of the provider that is at least this long is taken for the reset of a used up quota.
const RESET: Duration = Duration::from_secs(3600);

/// The keys of a pool, as far as one key's failure concerns the others.
pub(crate) trait Keys: Sync {
    /// How one of them fares.
    fn health(&self, key: ProviderKeyId) -> Option<&Arc<KeyHealth>>;
    /// Those of one quota group.
    fn of_group(&self, group: &str) -> Vec<(ProviderKeyId, Arc<KeyHealth>)>;
    /// How many groups, and keys of no group, there are.
    fn groups(&self) -> usize;
    /// One of them may be used again sooner than it was said.
    fn back(&self, key: ProviderKeyId);
}

/// A call to an upstream, perhaps with a key.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) upstream: &'a Upstream,
    pub(crate) health: &'a Arc<UpstreamHealth>,
    pub(crate) keys: &'a dyn Keys,
    pub(crate) key: Option<(&'a ProviderKey, &'a Arc<KeyHealth>)>,
    pub(crate) model: Option<&'a str>,
    /// Whether the key rested, and the call tried it all the same.
    pub(crate) tries: bool,
    /// Its log entry.
    pub(crate) log: Uuid,
    pub(crate) now_us: i64,
    /// By the clock of which zone the key's quotas are reset.
    pub(crate) zone: Tz,
}

/// Draws the consequences of an answer.
pub(crate) fn answered(case: &Case<'_>, latency: Duration) -> Vec<Event> {
    let breaker = &case.upstream.policy.breaker;
    let (steps, calm) = case.health.answered(case.model, breaker, latency, case.now_us);
    let mut events: Vec<Event> = steps.into_iter().map(Event::Breaker).collect();
    if calm {
        events.push(Event::Alert(case.storm("a call was answered again", true)));
    }
    if case.tries {
        events.extend(recovered(case));
    }
    if let Some((_, key)) = case.key {
        key.figures.answered(latency, case.now_us);
        key.accepted();
        let closed = key.known_breaker().and_then(|b| b.answered(breaker, case.now_us));
        events.extend(closed.map(Event::Breaker));
    }
    events
}

/// Draws the consequences of a failed attempt for its key. What is not the key's own fault is held
/// against the upstream when the call ends without an answer ([`unanswered`]), and against the key
/// when another key answered it ([`failed_alone`]).
pub(crate) fn heed(case: &Case<'_>, verdict: &Verdict) -> Vec<Event> {
    let policy = &case.upstream.policy.breaker;
    match case.key {
        _ if verdict.class == ErrorClass::ClientFault => Vec::new(),
        Some((key, health)) if verdict.class.is_the_keys() => {
            health.figures.failed();
            let mut events = told(case.health.reached(case.model, policy, case.now_us));
            events.extend(against_the_key(case, key, health, verdict));
            events
        }
        None => {
            case.health.figures.failed();
            Vec::new()
        }
        Some((key, health)) => {
            case.health.figures.failed();
            let counts = matches!(verdict.class, ErrorClass::StreamError | ErrorClass::Unknown);
            if counts {
                health.figures.failed();
            }
            if !counts && !health.known_breaker().is_some_and(|breaker| breaker.is_tried()) {
                return Vec::new();
            }
            let breaker = health.breaker(|| guarded(case, key));
            let why = verdict.class.as_str();
            let step = breaker.failed(policy, case.now_us, why, None);
            step.map(Event::Breaker).into_iter().collect()
        }
    }
}

/// Whether one key may have a failure of this class where the others of its pool do not, although
/// it says nothing of keys.
pub(crate) fn may_be_one_keys(class: ErrorClass) -> bool {
    use ErrorClass::{Overloaded, ServerFault, StreamError, Timeout, Unknown};
    matches!(class, ServerFault | Overloaded | Timeout | StreamError | Unknown)
}

/// Draws the consequences for the upstream of a call that it did not answer: this was one of the
/// failures on the way, and not because of a key.
pub(crate) fn unanswered(
    case: &Case<'_>,
    class: ErrorClass,
    asked: Option<Duration>,
) -> Vec<Event> {
    let policy = &case.upstream.policy.breaker;
    let (id, said) = (case.upstream.id, (class, asked));
    told(case.health.failed(id, case.model, said, policy, case.now_us))
}

/// Draws the consequences for the key of a call that failed with it and was answered with another:
/// the upstream is well.
pub(crate) fn failed_alone(case: &Case<'_>, class: ErrorClass) -> Vec<Event> {
    let Some((key, health)) = case.key else { return Vec::new() };
    // Those were counted when they happened.
    let counted = matches!(class, ErrorClass::StreamError | ErrorClass::Unknown);
    if counted || !may_be_one_keys(class) {
        return Vec::new();
    }
    health.figures.failed();
    let breaker = health.breaker(|| guarded(case, key));
    let policy = &case.upstream.policy.breaker;
    let step = breaker.failed_alone(policy, case.now_us, class.as_str());
    step.map(Event::Breaker).into_iter().collect()
}

/// Takes a key out of use, or lets it back, for all models or for one; and nothing else.
pub(crate) fn put(
    case: &Case<'_>,
    model: Option<&str>,
    status: KeyStatus,
    reason: &str,
    evidence: Evidence,
    actor: &str,
) -> Vec<Event> {
    let Some((key, health)) = case.key else { return Vec::new() };
    let step = health.put(model, status, reason, evidence, moment(case.now_us));
    step.map(|step| case.transition(key.id, model, step, actor)).into_iter().collect()
}

/// The provider accepted a key that it had refused.
pub(crate) fn probed(case: &Case<'_>) -> Vec<Event> {
    let Some((key, health)) = case.key else { return Vec::new() };
    let now = moment(case.now_us);
    if !health.standing(None, now).is_some_and(|standing| may_be_probed(&standing)) {
        return Vec::new();
    }
    health.accepted();
    let words = "the provider accepted the key".to_owned();
    let evidence = Evidence { words, ..Evidence::default() };
    let events = put(case, None, KeyStatus::Active, "probe", evidence, "gateway");
    case.keys.back(key.id);
    events
}

/// A key that rested by the provider's word answered a call: it is in use again.
fn recovered(case: &Case<'_>) -> Vec<Event> {
    let Some((key, health)) = case.key else { return Vec::new() };
    let mut events = Vec::new();
    for model in health.rests_by_word(case.model, moment(case.now_us)) {
        let words = "a call that tried it was answered".to_owned();
        let evidence = Evidence { words, log: Some(case.log), ..Evidence::default() };
        let active = KeyStatus::Active;
        events.extend(put(case, model.as_deref(), active, "trial", evidence, "gateway"));
    }
    case.keys.back(key.id);
    events
}

/// Whether a question that costs nothing can tell that a key is well again: a provider's list of
/// models says whether the key is accepted, and nothing of its limits. What a rule or a quota
/// ended is not for a probe to begin again.
pub(crate) fn may_be_probed(standing: &domain::Standing) -> bool {
    matches!(standing.status, KeyStatus::DisabledAuto(_))
        && standing.evidence.class == Some(ErrorClass::Auth)
        && standing.evidence.rule.is_none()
}

/// Takes a key, and those that share its limits, out of use for as long as is to be believed; or
/// lets the upstream rest, where too many keys fail alike.
fn against_the_key(
    case: &Case<'_>,
    key: &ProviderKey,
    health: &Arc<KeyHealth>,
    verdict: &Verdict,
) -> Vec<Event> {
    if case.health.is_stormy(verdict.class, case.now_us) {
        return Vec::new();
    }
    let proven = health.figures.ever_answered();
    let strikes = health.strike();
    let status = status_after(case, verdict, strikes);
    let shares = verdict.class != ErrorClass::Auth;
    let members = match key.group.as_deref().filter(|_| shares) {
        Some(group) => case.keys.of_group(group),
        None => Vec::new(),
    };
    // What a group asks too often for is a model; what it has used up may be its money.
    let of_model = !members.is_empty() && verdict.class == ErrorClass::RateLimited;
    let model = case.model.filter(|_| verdict.of_model || of_model);
    let class = verdict.class.as_str();
    let words = match (&verdict.status, &verdict.code) {
        (Some(status), Some(code)) => format!("the provider answered {status} ({code})"),
        (Some(status), None) => format!("the provider answered {status}"),
        (None, _) => format!("the provider's answer was an error ({class})"),
    };
    let evidence = Evidence {
        status: verdict.status,
        code: verdict.code.clone(),
        class: Some(verdict.class),
        rule: None,
        log: Some(case.log),
        words,
    };
    let mut events = Vec::new();
    let mut struck: Vec<Struck> = Vec::new();
    let mut strike = |id: ProviderKeyId, health: &KeyHealth, reason: &str| {
        let step = health.put(model, status, reason, evidence.clone(), moment(case.now_us));
        if let Some(step) = step {
            struck.push((id, model.map(str::to_owned)));
            events.push(case.transition(id, model, step, "gateway"));
        }
    };
    if case.tries {
        let step = health.put_anew(model, status, class, evidence.clone(), moment(case.now_us));
        let step = step.map(|step| case.transition(key.id, model, step, "gateway"));
        return step.into_iter().collect();
    }
    strike(key.id, health, class);
    for (id, member) in members.iter().filter(|(id, _)| *id != key.id) {
        strike(*id, member, "group");
    }
    let hit = Hit {
        class: verdict.class,
        group: key.group.clone().ok_or(key.id),
        log: case.log,
        struck,
        at_us: case.now_us,
        proven,
    };
    if !case.upstream.policy.breaker.enabled {
        return events;
    }
    if let Some((step, struck)) = case.health.struck(case.upstream.id, hit, case.keys.groups()) {
        events.push(Event::Alert(case.storm(&step.words, false)));
        events.extend(struck.iter().filter_map(|(id, model)| forgive(case, *id, model.as_deref())));
        events.push(Event::Breaker(step));
    }
    events
}

/// How a key stands after a failure that is its own.
fn status_after(case: &Case<'_>, verdict: &Verdict, strikes: u32) -> KeyStatus {
    let now = moment(case.now_us);
    let after = |rest: Duration| {
        let rest = rest.clamp(SHORTEST_REST, LONGEST_REST);
        now.checked_add_signed(TimeDelta::from_std(rest).unwrap_or(TimeDelta::MAX)).unwrap_or(now)
    };
    let end = |period: Period| period.around(now, case.zone).end;
    match verdict.class {
        ErrorClass::Auth => match case.upstream.policy.on_auth_failure {
            AuthFailure::Disable(time) => KeyStatus::DisabledAuto(after(time)),
            AuthFailure::Ban => KeyStatus::Banned,
        },
        ErrorClass::QuotaExhausted => {
            let reset = verdict.period.and_then(end);
            let asked = verdict.retry_after.filter(|asked| *asked >= RESET).map(after);
            let day = || end(Period::Day).unwrap_or_else(|| after(RESET));
            KeyStatus::Exhausted(reset.or(asked).unwrap_or_else(day))
        }
        _ => {
            let (first, longest) = COOLING;
            let usual = first.saturating_mul(1 << strikes.saturating_sub(1).min(16)).min(longest);
            KeyStatus::Cooling(after(verdict.retry_after.unwrap_or(usual)))
        }
    }
}

/// Lets a key be used again that was struck in a storm.
fn forgive(case: &Case<'_>, id: ProviderKeyId, model: Option<&str>) -> Option<Event> {
    let health = case.keys.health(id)?;
    let words = "many keys failed alike: it is not believed of this one".to_owned();
    let evidence = Evidence { log: Some(case.log), words, ..Evidence::default() };
    let now = moment(case.now_us);
    let step = health.put(model, KeyStatus::Active, "upstream", evidence, now)?;
    case.keys.back(id);
    Some(case.transition(id, model, step, "gateway"))
}

fn told(steps: Vec<BreakerStep>) -> Vec<Event> {
    steps.into_iter().map(Event::Breaker).collect()
}

fn guarded(case: &Case<'_>, key: &ProviderKey) -> Guarded {
    Guarded { upstream: case.upstream.id, key: Some(key.id), model: None }
}

impl Case<'_> {
    fn transition(
        &self,
        key: ProviderKeyId,
        model: Option<&str>,
        step: key::Step,
        actor: &str,
    ) -> Event {
        Event::Transition(Transition {
            key,
            upstream: self.upstream.id,
            model: model.map(str::to_owned),
            from: step.from,
            to: step.to,
            actor: actor.to_owned(),
        })
    }

    fn storm(&self, words: &str, over: bool) -> Raised {
        let Upstream { id, name, .. } = self.upstream;
        Raised {
            group: format!("upstream:{id}:storm"),
            severity: Severity::Critical,
            title: format!("many keys of the upstream `{name}` fail alike; it rests"),
            words: words.to_owned(),
            upstream: Some(*id),
            key: None,
            rule: None,
            at: moment(self.now_us),
            over,
        }
    }
}

#[cfg(test)]
mod tests;
