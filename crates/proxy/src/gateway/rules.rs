//! Which rules fire on a call: those whose conditions hold, as often as they ask for, and not so
//! soon again. What is counted outlives every snapshot; a rule that was changed counts anew.
//!
//! What a rule then does to keys and upstreams is not done here.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{
    CompiledRule, ErrorClass, Event, Evidence, Observation, ProviderKeyId, Raised, Severity,
    Trigger, UpstreamId,
    rule::{Action, Attempted, Tallies},
};
use parking_lot::Mutex;
use uuid::Uuid;

/// Calls at once seldom wait for each other.
const SHARDS: usize = 16;

/// What is remembered of rules: how often their conditions were met, and when they fired.
#[derive(Debug)]
pub(crate) struct RuleBook {
    shards: [Mutex<Tallies>; SHARDS],
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

    /// Whether the rules after it are not judged. One that only tells what it would have done must
    /// not keep others from doing it.
    pub(crate) fn stops(&self) -> bool {
        self.rule.rule.stops && !self.shadow
    }
}

impl Default for RuleBook {
    fn default() -> Self {
        let shard = |_| Mutex::new(Tallies::new(Tallies::MOST / SHARDS));
        Self { shards: std::array::from_fn(shard) }
    }
}

impl RuleBook {
    /// Which of `rules`, in this order, fire on an attempt of this status and class; `met` says
    /// whether it meets the conditions of one. Each rule must be asked once about an attempt.
    pub(crate) fn judge<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a Arc<CompiledRule>>,
        (status, class): (Option<u16>, Option<ErrorClass>),
        mut met: impl FnMut(&CompiledRule) -> bool,
        who: &Seen<'_>,
        now_us: i64,
    ) -> Vec<Fired> {
        let mut fired = Vec::new();
        for rule in rules {
            if !rule.concerns(status, class) {
                continue;
            }
            let met = rule.may_fire(status, class) && met(rule);
            if !self.fires(rule, met, who, now_us) {
                continue;
            }
            let lasts = rule.rule.actions.iter().filter_map(|action| rule.rule.lasts(*action));
            let until = lasts.max().and_then(|lasts| after(now_us, lasts.as_micros()));
            let one = Fired { rule: rule.clone(), until, shadow: rule.rule.shadow };
            let stops = one.stops();
            fired.push(one);
            if stops {
                break;
            }
        }
        fired
    }

    /// Counts one attempt, where there is anything to count.
    fn fires(&self, rule: &CompiledRule, met: bool, who: &Seen<'_>, now_us: i64) -> bool {
        let rule = &rule.rule;
        if !rule.counts() || (!met && !rule.counts_misses()) {
            return met;
        }
        let of = Attempted { upstream: who.upstream, key: who.key };
        let shard = of.together(rule) as usize % SHARDS;
        self.shards[shard].lock().observe(rule, of, met, now_us)
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

    use domain::{
        Condition, Rule, RuleId, UserId,
        rule::{Per, Threshold},
    };
    use proptest::prelude::*;
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

    fn judge(
        book: &RuleBook,
        rules: &[Arc<CompiledRule>],
        key: i64,
        status: u16,
        us: i64,
    ) -> Vec<Fired> {
        let seen = Observation { status: Some(status), ..Observation::default() };
        book.judge(rules, (Some(status), None), |rule| rule.judge(&seen), &who(key), us)
    }

    /// Whether one rule fires on calls: with which key, of which status, at which second.
    fn fires(rule: &Arc<CompiledRule>, calls: &[(i64, u16, i64)]) -> Vec<bool> {
        let book = RuleBook::default();
        let rules = [rule.clone()];
        let call = |&(key, status, at): &(i64, u16, i64)| {
            !judge(&book, &rules, key, status, at * SECOND).is_empty()
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
        let other = rule(&is_429(), |r| r.id = RuleId(2));
        let judge = |first: Arc<CompiledRule>| {
            let fired = judge(&RuleBook::default(), &[first, other.clone()], 1, 429, 0);
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
        let fired = judge(&RuleBook::default(), &[rule], 7, 429, 0);
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
    fn what_is_remembered_is_bounded() {
        let rule = rule(&is_429(), |r| r.cool_down = Duration::from_secs(3600));
        let (book, rules) = (RuleBook::default(), [rule]);
        let keys = Tallies::MOST as i64 + 1000;
        for key in 0..keys {
            assert_eq!(judge(&book, &rules, key, 429, key).len(), 1);
        }
        let remembered = book.shards.iter().map(|shard| shard.lock().len());
        assert!(remembered.sum::<usize>() <= Tallies::MOST);
        assert!(judge(&book, &rules, keys - 1, 429, keys).is_empty());
    }

    fn any_threshold() -> impl Strategy<Value = Option<Threshold>> {
        let per = prop::sample::select(vec![Per::Key, Per::Upstream]);
        let length = prop_oneof![
            (0..4_u32).prop_map(|more| (Some(more), None)),
            (1..20_u64).prop_map(|seconds| (None, Some(seconds))),
        ];
        prop::option::of((1..4_u32, length, per).prop_map(|(count, (more, seconds), per)| {
            let (last, window) = (more.map(|more| count + more), seconds.map(Duration::from_secs));
            Threshold { count, last, window, per }
        }))
    }

    proptest! {
        #[test]
        fn the_same_attempts_fire_live_as_they_do_when_they_are_replayed(
            threshold in any_threshold(),
            cool_down in 0..10_u64,
            attempts in prop::collection::vec((1..4_i64, any::<bool>(), 0..5_i64), 1..80),
        ) {
            let rule = rule(&is_429(), |r| {
                (r.threshold, r.cool_down) = (threshold, Duration::from_secs(cool_down));
            });
            let mut at = 0;
            let calls: Vec<_> = attempts.iter().map(|(key, met, pause)| {
                at += pause;
                (*key, if *met { 429 } else { 200 }, at)
            }).collect();
            let past = calls.iter().map(|(key, status, at)| {
                let who = who(*key);
                let of = Attempted { upstream: who.upstream, key: who.key };
                (of, *status == 429, at * SECOND)
            });
            prop_assert_eq!(fires(&rule, &calls), Tallies::replay(&rule.rule, past));
        }
    }
}
