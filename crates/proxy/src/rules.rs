//! Which rules fire on a call: those whose conditions hold, as often as they ask for, and not so
//! soon again. What is counted outlives every snapshot; a rule that was changed counts anew.
//!
//! What a rule then does to keys and upstreams is not done here.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use domain::{
    CompiledRule, ErrorClass, Event, Evidence, Observation, ProviderKeyId, Raised, Reading,
    Severity, Trigger, UpstreamId,
    rule::{Action, Per, Threshold},
};
use parking_lot::Mutex;
use uuid::Uuid;

/// Most keys and upstreams of which all rules together remember something.
const TALLIES_MAX: usize = 100_000;
/// Calls at once seldom wait for each other.
const SHARDS: usize = 16;

/// What is remembered of rules: how often their conditions held, and when they fired.
#[derive(Debug)]
pub(crate) struct RuleBook {
    shards: [Mutex<HashMap<Place, Tally>>; SHARDS],
}

/// What one tally is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    rule: i64,
    version: i64,
    /// A key, or an upstream where the calls of all its keys count together.
    about: (bool, i64),
}

/// How often a rule's conditions held for one key or upstream.
#[derive(Debug, Default)]
struct Tally {
    /// Of the last calls, whether they held; or none, where a window counts.
    last: VecDeque<bool>,
    /// How many of those are.
    held: u32,
    /// When they held, in microseconds; at most as many as the threshold.
    times: VecDeque<i64>,
    /// Until when the rule is quiet.
    quiet_until: i64,
    touched: i64,
}

/// Whose call is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) upstream: UpstreamId,
    pub(crate) key: Option<ProviderKeyId>,
    pub(crate) model: Option<&'a str>,
    /// The log entry of the call.
    pub(crate) log: Uuid,
}

/// A rule that fired.
#[derive(Debug, Clone)]
pub(crate) struct Fired {
    pub(crate) rule: Arc<CompiledRule>,
    /// Until when what it does lasts; none where that does not end by itself.
    pub(crate) until: Option<DateTime<Utc>>,
    /// It only tells what it would have done.
    pub(crate) shadow: bool,
}

impl Fired {
    /// What is to be done; nothing where it only tells.
    pub(crate) fn actions(&self) -> &[Action] {
        if self.shadow { &[] } else { &self.rule.rule.actions }
    }
}

impl Default for RuleBook {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl RuleBook {
    /// Which of `rules`, in this order, fire on a call of which `seen` is known.
    pub(crate) fn judge<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a Arc<CompiledRule>>,
        seen: &Observation<'_>,
        who: &Seen<'_>,
        now_us: i64,
    ) -> Vec<Fired> {
        let reading = Reading::of(*seen);
        let mut fired = Vec::new();
        for rule in rules {
            if !rule.concerns(seen.status, seen.class) {
                continue;
            }
            let may = rule.may_fire(seen.status, seen.class);
            let holds = may && rule.judge_reading(&reading);
            if !self.counts(rule, holds, who, now_us) {
                continue;
            }
            let lasts = rule.rule.actions.iter().filter_map(|action| rule.rule.lasts(*action));
            let until = lasts.max().and_then(|lasts| after(now_us, lasts.as_micros()));
            let (shadow, stops) = (rule.rule.shadow, rule.rule.stops);
            fired.push(Fired { rule: rule.clone(), until, shadow });
            // One that only tells what it would have done must not keep others from doing it.
            if stops && !shadow {
                break;
            }
        }
        fired
    }

    /// Whether it is enough that the conditions held, or did not, for a rule to fire.
    fn counts(&self, compiled: &CompiledRule, holds: bool, who: &Seen<'_>, now: i64) -> bool {
        let rule = &compiled.rule;
        if rule.threshold.is_none() && rule.cool_down.is_zero() {
            return holds;
        }
        let per = rule.threshold.map_or(Per::Key, |threshold| threshold.per);
        let place = |per| Place {
            rule: rule.id.0,
            version: rule.version,
            about: match (per, who.key) {
                (Per::Key, Some(key)) => (true, key.0),
                _ => (false, who.upstream.0),
            },
        };
        let at = place(per);
        let reached = match &rule.threshold {
            // A window counts only those that met the conditions.
            Some(Threshold { last: None, .. }) if !holds => false,
            Some(threshold) => {
                let mut shard = self.shard(at);
                // Calls that say nothing of a key that said nothing yet need not be remembered.
                if !holds && !shard.contains_key(&at) {
                    return false;
                }
                tally(&mut shard, at, now).reached(threshold, holds, now)
            }
            None => holds,
        };
        if !reached || rule.cool_down.is_zero() {
            return reached;
        }
        // It is quiet about the key, whoever's calls count together.
        let about = place(Per::Key);
        let mut shard = self.shard(about);
        let tally = tally(&mut shard, about, now);
        let quiet = now < tally.quiet_until;
        if !quiet {
            let micros = i64::try_from(rule.cool_down.as_micros()).unwrap_or(i64::MAX);
            tally.quiet_until = now.saturating_add(micros);
        }
        !quiet
    }

    fn shard(&self, place: Place) -> parking_lot::MutexGuard<'_, HashMap<Place, Tally>> {
        let at = place.rule.wrapping_mul(31).wrapping_add(place.about.1) as usize % SHARDS;
        self.shards[at].lock()
    }
}

/// The tally of a place. When there is no more room, what was touched longest ago goes.
fn tally(shard: &mut HashMap<Place, Tally>, place: Place, now: i64) -> &mut Tally {
    if shard.len() >= TALLIES_MAX / SHARDS && !shard.contains_key(&place) {
        let mut touched: Vec<i64> = shard.values().map(|tally| tally.touched).collect();
        let middle = touched.len() / 2;
        let (_, median, _) = touched.select_nth_unstable(middle);
        let median = *median;
        let mut left = middle;
        shard.retain(|_, tally| {
            let goes = tally.touched <= median && left > 0;
            left -= usize::from(goes);
            !goes
        });
    }
    let tally = shard.entry(place).or_default();
    tally.touched = now;
    tally
}

impl Tally {
    /// Notes a call, and says whether the threshold is reached by it. Then it is counted anew.
    fn reached(&mut self, threshold: &Threshold, holds: bool, now: i64) -> bool {
        let held = if let Some(last) = threshold.last {
            self.last.push_back(holds);
            self.held += u32::from(holds);
            while self.last.len() > last as usize {
                self.held -= u32::from(self.last.pop_front().unwrap_or_default());
            }
            self.held
        } else {
            if holds {
                self.times.push_back(now);
            }
            let window = threshold.window.unwrap_or_default().as_micros();
            let start = now.saturating_sub(i64::try_from(window).unwrap_or(i64::MAX));
            while self.times.front().is_some_and(|at| *at <= start) {
                self.times.pop_front();
            }
            self.times.len() as u32
        };
        let reached = holds && held >= threshold.count;
        if reached {
            (self.last, self.times, self.held) = (VecDeque::new(), VecDeque::new(), 0);
        }
        reached
    }
}

/// A moment so many microseconds after `now_us`.
fn after(now_us: i64, micros: u128) -> Option<DateTime<Utc>> {
    let micros = i64::try_from(micros).ok()?;
    DateTime::from_timestamp_micros(now_us.checked_add(micros)?)
}

/// What is to be kept of rules that fired: a trigger each, and an alert where one is asked for.
/// `words` are what is known of the call, without secrets.
pub(crate) fn events(
    fired: &[Fired],
    who: &Seen<'_>,
    seen: &Observation<'_>,
    code: Option<&str>,
    words: &str,
    now: DateTime<Utc>,
) -> Vec<Event> {
    let mut events = Vec::with_capacity(fired.len());
    for one in fired {
        let rule = &one.rule.rule;
        let evidence = Evidence {
            status: seen.status,
            code: code.map(str::to_owned),
            class: seen.class,
            rule: Some(rule.id),
            log: Some(who.log),
            words: words.to_owned(),
        };
        events.push(Event::Trigger(Trigger {
            rule: rule.id,
            version: rule.version,
            upstream: who.upstream,
            key: who.key,
            model: who.model.map(str::to_owned),
            log: who.log,
            at: now,
            shadow: one.shadow,
            actions: rule.actions.clone(),
            until: one.until,
            evidence,
        }));
        if one.actions().contains(&Action::Alert) {
            events.push(Event::Alert(alert(one, who, seen.class, words, now)));
        }
    }
    events
}

fn alert(
    fired: &Fired,
    who: &Seen<'_>,
    class: Option<ErrorClass>,
    words: &str,
    now: DateTime<Utc>,
) -> Raised {
    let rule = &fired.rule.rule;
    let group = match who.key {
        Some(key) => format!("rule:{}:key:{key}", rule.id),
        None => format!("rule:{}:upstream:{}", rule.id, who.upstream),
    };
    let severity = match () {
        () if rule.actions.contains(&Action::DisableUpstream) => Severity::Critical,
        () if class.is_some() || fired.until.is_some() => Severity::Warning,
        () if rule.actions.contains(&Action::BanKey) => Severity::Warning,
        () => Severity::Info,
    };
    Raised {
        group,
        severity,
        title: format!("the rule `{}` fired", rule.name),
        words: words.to_owned(),
        upstream: Some(who.upstream),
        key: who.key,
        rule: Some(rule.id),
        at: now,
        over: false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::{Condition, Rule, RuleId, UserId};
    use serde_json::{Value, json};

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn rule(conditions: &Value, change: impl FnOnce(&mut Rule)) -> Arc<CompiledRule> {
        let mut rule = Rule {
            id: RuleId(1),
            owner: UserId(1),
            upstream: None,
            name: "busy".to_owned(),
            conditions: Condition::read(conditions).unwrap(),
            threshold: None,
            actions: vec![Action::DisableKey, Action::Alert],
            auto_enable_delay: None,
            cool_down: Duration::ZERO,
            priority: 0,
            stops: false,
            shadow: false,
            enabled: true,
            version: 1,
        };
        change(&mut rule);
        Arc::new(CompiledRule::compile(rule).unwrap())
    }

    fn is_429() -> Value {
        json!({"type": "status_code", "operator": "equals", "value": 429})
    }

    fn who(key: i64) -> Seen<'static> {
        let (upstream, key) = (UpstreamId(1), Some(ProviderKeyId(key)));
        Seen { upstream, key, model: Some("m"), log: Uuid::nil() }
    }

    /// Whether one rule fires on calls: with which key, of which status, at which second.
    fn fires(rule: &Arc<CompiledRule>, calls: &[(i64, u16, i64)]) -> Vec<bool> {
        let book = RuleBook::default();
        let rules = [rule.clone()];
        let call = |&(key, status, at): &(i64, u16, i64)| {
            let seen = Observation { status: Some(status), ..Observation::default() };
            !book.judge(&rules, &seen, &who(key), at * SECOND).is_empty()
        };
        calls.iter().map(call).collect()
    }

    fn often(count: u32, last: Option<u32>, seconds: Option<u64>, per: Per) -> Option<Threshold> {
        Some(Threshold { count, last, window: seconds.map(Duration::from_secs), per })
    }

    #[test]
    fn a_rule_without_a_threshold_fires_every_time() {
        let calls = [(1, 429, 0), (1, 200, 0), (1, 429, 0)];
        assert_eq!(fires(&rule(&is_429(), |_| {}), &calls), [true, false, true]);
    }

    #[test]
    fn so_many_of_the_last_calls_with_one_key_and_then_counted_anew() {
        let rule = rule(&is_429(), |r| r.threshold = often(2, Some(3), None, Per::Key));
        let calls = [(1, 429, 0), (2, 429, 0), (1, 200, 0), (1, 200, 0), (1, 429, 0)];
        assert_eq!(fires(&rule, &calls), [false; 5], "two calls lie between, or another key");
        let calls = [(1, 429, 0), (1, 200, 0), (1, 429, 0), (1, 429, 0), (1, 429, 0)];
        assert_eq!(fires(&rule, &calls), [false, false, true, false, true]);
    }

    #[test]
    fn so_many_in_a_window_with_all_keys_of_an_upstream() {
        let upstreams = rule(&is_429(), |r| r.threshold = often(2, None, Some(10), Per::Upstream));
        let calls = [(1, 429, 0), (2, 429, 10), (3, 200, 12), (3, 429, 19)];
        assert_eq!(fires(&upstreams, &calls), [false, false, false, true]);
        let keys = rule(&is_429(), |r| r.threshold = often(2, None, Some(10), Per::Key));
        assert_eq!(fires(&keys, &calls), [false; 4]);
    }

    #[test]
    fn it_is_quiet_about_the_same_key_for_a_while() {
        let rule = rule(&is_429(), |r| r.cool_down = Duration::from_secs(60));
        let calls = [(1, 429, 0), (1, 429, 30), (2, 429, 30), (1, 429, 60)];
        assert_eq!(fires(&rule, &calls), [true, false, true, true]);
    }

    #[test]
    fn one_may_stop_those_after_it_but_not_where_it_only_tells() {
        let seen = Observation { status: Some(429), ..Observation::default() };
        let other = rule(&is_429(), |r| r.id = RuleId(2));
        let judge = |first: Arc<CompiledRule>| {
            let fired = RuleBook::default().judge(&[first, other.clone()], &seen, &who(1), 0);
            fired.iter().map(|one| (one.rule.rule.id.0, one.actions().len())).collect::<Vec<_>>()
        };
        assert_eq!(judge(rule(&is_429(), |r| r.stops = true)), [(1, 2)]);
        let shadow = rule(&is_429(), |r| (r.stops, r.shadow) = (true, true));
        assert_eq!(judge(shadow), [(1, 0), (2, 2)]);
    }

    #[test]
    fn what_fired_is_told_with_its_evidence_and_until_when() {
        let rule = rule(&is_429(), |r| r.auto_enable_delay = Some(Duration::from_secs(86_400)));
        let seen = Observation { status: Some(429), ..Observation::default() };
        let fired = RuleBook::default().judge(&[rule], &seen, &who(7), 0);
        let now = DateTime::UNIX_EPOCH;
        let events = events(&fired, &who(7), &seen, Some("insufficient_quota"), "429", now);
        let [Event::Trigger(trigger), Event::Alert(alert)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(trigger.until, Some(now + Duration::from_secs(86_400)));
        assert_eq!(trigger.evidence.code.as_deref(), Some("insufficient_quota"));
        assert_eq!((trigger.key, trigger.version), (Some(ProviderKeyId(7)), 1));
        assert_eq!(alert.group, "rule:1:key:7");
        assert_eq!(alert.severity, Severity::Warning);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let rule = rule(&is_429(), |r| r.cool_down = Duration::from_secs(3600));
        let (book, rules) = (RuleBook::default(), [rule]);
        let seen = Observation { status: Some(429), ..Observation::default() };
        let keys = TALLIES_MAX as i64 + 1000;
        for key in 0..keys {
            assert_eq!(book.judge(&rules, &seen, &who(key), key).len(), 1);
        }
        assert!(book.shards.iter().map(|shard| shard.lock().len()).sum::<usize>() <= TALLIES_MAX);
        assert!(book.judge(&rules, &seen, &who(keys - 1), keys).is_empty());
    }
}
