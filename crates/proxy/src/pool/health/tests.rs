//! What follows from each class of failure, on a clock that stands still until a test moves it.

use std::{collections::BTreeMap, sync::Mutex};

use chrono_tz::Tz;
use domain::{BaseUrl, BreakerState, KeyState, Standing, UpstreamId, UserId};
use proptest::prelude::*;

use super::*;

const S: i64 = 1_000_000;
/// 15:06:40 on 14 November 2023, a Tuesday, in Greenwich; 7:06:40 at the Pacific.
const T0: i64 = 1_699_974_400 * S;

/// An upstream with its keys.
struct Stage {
    upstream: Upstream,
    health: Arc<UpstreamHealth>,
    keys: Vec<(ProviderKey, Arc<KeyHealth>)>,
    back: Mutex<Vec<ProviderKeyId>>,
    zone: Tz,
}

impl Keys for Stage {
    fn health(&self, key: ProviderKeyId) -> Option<&Arc<KeyHealth>> {
        self.keys.iter().find(|(k, _)| k.id == key).map(|(_, health)| health)
    }

    fn of_group(&self, group: &str) -> Vec<(ProviderKeyId, Arc<KeyHealth>)> {
        let members = self.keys.iter().filter(|(key, _)| key.group.as_deref() == Some(group));
        members.map(|(key, health)| (key.id, health.clone())).collect()
    }

    fn groups(&self) -> usize {
        self.keys.len()
    }

    fn back(&self, key: ProviderKeyId) {
        self.back.lock().unwrap().push(key);
    }
}

impl Stage {
    fn with(keys: i64) -> Self {
        let url = BaseUrl::parse("https://api.openai.com").unwrap();
        let upstream = Upstream::new(UpstreamId(1), UserId(1), "openai", url);
        let key = |id| ProviderKey {
            id: ProviderKeyId(id),
            upstream: UpstreamId(1),
            owner: UserId(1),
            name: format!("key {id}"),
            secret: format!("sk-{id}").into(),
            state: KeyState::Active,
            weight: 1,
            quotas: Vec::new(),
            group: None,
            cleared_at: None,
        };
        Self {
            upstream,
            health: Arc::default(),
            keys: (1..=keys).map(|id| (key(id), Arc::default())).collect(),
            back: Mutex::default(),
            zone: Tz::UTC,
        }
    }

    /// A call with key `id`, the `log`-th one.
    fn case(&self, id: i64, log: u128, model: Option<&'static str>, now_us: i64) -> Case<'_> {
        let key = self.keys.iter().find(|(key, _)| key.id.0 == id);
        Case {
            upstream: &self.upstream,
            health: &self.health,
            keys: self,
            key: key.map(|(key, health)| (key, health)),
            model,
            tries: false,
            log: Uuid::from_u128(log),
            now_us,
            zone: self.zone,
        }
    }

    fn standing(&self, id: i64, model: Option<&str>, now_us: i64) -> Option<Standing> {
        self.health(ProviderKeyId(id)).unwrap().standing(model, moment(now_us))
    }

    fn status(&self, id: i64, model: Option<&str>, now_us: i64) -> KeyStatus {
        self.standing(id, model, now_us).map_or(KeyStatus::Active, |standing| standing.status)
    }
}

fn verdict(class: ErrorClass) -> Verdict {
    Verdict {
        class,
        of_model: false,
        retry_after: None,
        period: None,
        status: Some(429),
        code: Some("code".to_owned()),
    }
}

/// A call that failed, and had no other attempt.
fn heed(case: &Case<'_>, verdict: &Verdict) -> Vec<Event> {
    let mut events = super::heed(case, verdict);
    if !verdict.class.is_the_keys() && verdict.class != ErrorClass::ClientFault {
        events.extend(unanswered(case, verdict.class, verdict.retry_after));
    }
    events
}

fn transitions(events: &[Event]) -> Vec<(i64, &'static str, &'static str, String)> {
    let steps = events.iter().filter_map(|event| match event {
        Event::Transition(t) => {
            Some((t.key.0, t.from.as_str(), t.to.status.as_str(), t.to.reason.clone()))
        }
        _ => None,
    });
    steps.collect()
}

fn alerts(events: &[Event]) -> Vec<bool> {
    let raised = events.iter().filter_map(|event| match event {
        Event::Alert(raised) => Some(raised.over),
        _ => None,
    });
    raised.collect()
}

#[test]
fn each_class_has_its_consequence() {
    let after = |seconds: i64| moment(T0 + seconds * S);
    let midnight = "2023-11-15T00:00:00Z".parse().unwrap();
    for (class, status) in [
        (ErrorClass::ClientFault, KeyStatus::Active),
        (ErrorClass::Auth, KeyStatus::DisabledAuto(after(3600))),
        (ErrorClass::RateLimited, KeyStatus::Cooling(after(2))),
        (ErrorClass::QuotaExhausted, KeyStatus::Exhausted(midnight)),
        (ErrorClass::Overloaded, KeyStatus::Active),
        (ErrorClass::ServerFault, KeyStatus::Active),
        (ErrorClass::Timeout, KeyStatus::Active),
        (ErrorClass::Network, KeyStatus::Active),
        (ErrorClass::StreamError, KeyStatus::Active),
        (ErrorClass::Unknown, KeyStatus::Active),
    ] {
        let stage = Stage::with(1);
        let events = heed(&stage.case(1, 1, None, T0), &verdict(class));
        assert_eq!(stage.status(1, None, T0), status, "{class}");
        let steps = transitions(&events);
        match status {
            KeyStatus::Active => assert!(steps.is_empty(), "{class}"),
            status => {
                assert_eq!(steps, [(1, "active", status.as_str(), class.as_str().to_owned())]);
                let evidence = stage.standing(1, None, T0).unwrap().evidence;
                assert_eq!((evidence.status, evidence.class), (Some(429), Some(class)));
                assert_eq!(evidence.log, Some(Uuid::from_u128(1)));
            }
        }
    }
}

#[test]
fn the_provider_decides_how_long_but_not_for_ever() {
    let long = 31 * 86_400;
    for (asked, seconds) in [(7_000, 7.0), (0, 0.1), (u64::MAX, long as f64)] {
        let stage = Stage::with(1);
        let told = Verdict {
            retry_after: Some(Duration::from_millis(asked)),
            ..verdict(ErrorClass::RateLimited)
        };
        heed(&stage.case(1, 1, None, T0), &told);
        let until = stage.status(1, None, T0).until().unwrap();
        assert_eq!((until - moment(T0)).as_seconds_f64(), seconds);
    }
}

#[test]
fn a_rest_grows_with_every_failure_in_a_row_and_an_answer_ends_the_row() {
    let (stage, mut now) = (Stage::with(1), T0);
    let mut rests = Vec::new();
    for _ in 0..8 {
        heed(&stage.case(1, 1, None, now), &verdict(ErrorClass::RateLimited));
        let until = stage.status(1, None, now).until().unwrap().timestamp_micros();
        rests.push((until - now) / S);
        now = until;
    }
    assert_eq!(rests, [2, 4, 8, 16, 32, 60, 60, 60]);
    answered(&stage.case(1, 2, None, now), Duration::from_millis(1));
    heed(&stage.case(1, 3, None, now), &verdict(ErrorClass::RateLimited));
    assert_eq!(stage.status(1, None, now), KeyStatus::Cooling(moment(now + 2 * S)));
}

#[test]
fn a_days_quota_is_waited_for_by_the_clock_of_the_provider() {
    let mut stage = Stage::with(1);
    stage.zone = Tz::America__Los_Angeles;
    let told = Verdict {
        period: Some(Period::Day),
        retry_after: Some(Duration::from_secs(37)),
        of_model: true,
        ..verdict(ErrorClass::QuotaExhausted)
    };
    heed(&stage.case(1, 1, Some("gemini-2.5-pro"), T0), &told);
    let reset = "2023-11-15T08:00:00Z".parse().unwrap();
    assert_eq!(stage.status(1, Some("gemini-2.5-pro"), T0), KeyStatus::Exhausted(reset));
    assert_eq!(stage.status(1, None, T0), KeyStatus::Active, "it is of that model alone");
    let health = stage.health(ProviderKeyId(1)).unwrap();
    assert_eq!(health.out(Some("gemini-2.5-flash"), T0), None);
    assert!(health.out(Some("gemini-2.5-pro"), T0).is_some());
}

#[test]
fn a_shorter_word_does_not_shorten_a_longer_rest() {
    let stage = Stage::with(1);
    heed(&stage.case(1, 1, None, T0), &verdict(ErrorClass::Auth));
    let events = heed(&stage.case(1, 2, None, T0 + S), &verdict(ErrorClass::RateLimited));
    assert!(transitions(&events).is_empty());
    assert_eq!(stage.status(1, None, T0 + S).as_str(), "disabled_auto");
}

#[test]
fn many_calls_that_meet_the_same_limit_are_one_step() {
    let stage = Stage::with(1);
    let told =
        Verdict { retry_after: Some(Duration::from_secs(30)), ..verdict(ErrorClass::RateLimited) };
    let steps: usize = (0..50)
        .map(|n| transitions(&heed(&stage.case(1, n, None, T0 + n as i64 * 1000), &told)).len())
        .sum();
    assert_eq!(steps, 1);
}

#[test]
fn a_ban_is_for_a_person_to_take_back() {
    let mut stage = Stage::with(1);
    stage.upstream.policy.on_auth_failure = AuthFailure::Ban;
    heed(&stage.case(1, 1, None, T0), &verdict(ErrorClass::Auth));
    let years = T0 + 10 * 365 * 86_400 * S;
    assert_eq!(stage.status(1, None, years), KeyStatus::Banned);
    probed(&stage.case(1, 2, None, years));
    assert_eq!(stage.status(1, None, years), KeyStatus::Banned, "the machine never ends it");
    stage.health(ProviderKeyId(1)).unwrap().clear(moment(years));
    assert_eq!(stage.status(1, None, years), KeyStatus::Active);
}

#[test]
fn a_group_rests_together_for_the_model() {
    let mut stage = Stage::with(3);
    for (key, _) in &mut stage.keys[..2] {
        key.group = Some("project".to_owned());
    }
    let told =
        Verdict { retry_after: Some(Duration::from_secs(30)), ..verdict(ErrorClass::RateLimited) };
    let events = heed(&stage.case(1, 1, Some("m"), T0), &told);
    let reasons: Vec<String> = transitions(&events).into_iter().map(|(.., why)| why).collect();
    assert_eq!(reasons, ["rate_limited", "group"]);
    let cooling = KeyStatus::Cooling(moment(T0 + 30 * S));
    assert_eq!(stage.status(2, Some("m"), T0), cooling);
    assert_eq!(stage.status(2, None, T0), KeyStatus::Active);
    assert_eq!(stage.status(3, Some("m"), T0), KeyStatus::Active);
}

#[test]
fn an_outage_opens_the_breaker_and_leaves_the_keys_alone() {
    for class in [ErrorClass::ServerFault, ErrorClass::Overloaded, ErrorClass::Timeout] {
        let stage = Stage::with(3);
        let mut opened = None;
        for n in 0..20 {
            let events = heed(&stage.case(n % 3 + 1, n as u128, Some("m"), T0), &verdict(class));
            opened = events.into_iter().find(|event| matches!(event, Event::Breaker(_)));
        }
        assert!(opened.is_some(), "{class}");
        assert!(stage.health.enter(Some("m"), T0).is_err());
        assert!(stage.health.enter(Some("other"), T0).is_ok(), "another model is not concerned");
        for id in 1..=3 {
            assert_eq!(stage.status(id, Some("m"), T0), KeyStatus::Active);
        }
    }
}

#[test]
fn what_the_provider_asks_for_keeps_an_open_breaker_open() {
    let stage = Stage::with(1);
    let told =
        Verdict { retry_after: Some(Duration::from_secs(120)), ..verdict(ErrorClass::Overloaded) };
    (0..20).for_each(|n| drop(heed(&stage.case(1, n, Some("m"), T0), &told)));
    let (until_us, why) = stage.health.enter(Some("m"), T0).unwrap_err();
    assert_eq!(until_us, T0 + 120 * S);
    assert!(why.contains("overloaded"), "{why}");
}

#[test]
fn half_open_lets_exactly_one_call_try() {
    let stage = Stage::with(1);
    (0..20).for_each(|n| {
        drop(heed(&stage.case(1, n, Some("m"), T0), &verdict(ErrorClass::ServerFault)));
    });
    let later = T0 + 15 * S;
    let passed = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    if let Ok(admitted) = stage.health.enter(Some("m"), later) {
                        passed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        std::mem::forget(admitted);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 1);
    let events = answered(&stage.case(1, 99, Some("m"), later), Duration::from_millis(1));
    let closed =
        |event: &Event| matches!(event, Event::Breaker(s) if s.state == BreakerState::Closed);
    assert!(events.iter().any(closed));
    assert!(stage.health.enter(Some("m"), later).is_ok());
}

/// Calls that try one key after the other, until one may not be sent any more.
fn storm(stage: &Stage, class: ErrorClass, keys: i64, per_call: i64, now_us: i64) -> Vec<Event> {
    let calls = (1..=keys).map(|id| (id, ((id - 1) / per_call) as u128));
    calls
        .flat_map(|(id, log)| heed(&stage.case(id, log, Some("m"), now_us + id), &verdict(class)))
        .collect()
}

#[test]
fn the_same_failure_on_many_keys_is_not_believed_of_the_keys() {
    for class in [ErrorClass::Auth, ErrorClass::RateLimited, ErrorClass::QuotaExhausted] {
        for keys in [4, 12, 30] {
            let stage = Stage::with(keys);
            let events = storm(&stage, class, keys.min(20), 1, T0);
            assert_eq!(alerts(&events), [false], "{class} with {keys} keys: one alert");
            for id in 1..=keys {
                let status = stage.status(id, None, T0 + S);
                assert_eq!(status, KeyStatus::Active, "{class}: key {id} of {keys}");
            }
            let rests = stage.health.enter(Some("m"), T0 + S).map(drop).unwrap_err();
            assert!((T0 + 30 * S..T0 + 31 * S).contains(&rests.0), "{class}");
            // When it has rested one call tries, and an answer ends it all.
            let trial = stage.health.enter(Some("m"), T0 + 31 * S).unwrap();
            let events = answered(&stage.case(1, 77, Some("m"), T0 + 31 * S), Duration::ZERO);
            assert_eq!(alerts(&events), [true]);
            drop(trial);
            assert!(stage.health.enter(Some("m"), T0 + 31 * S).is_ok());
        }
    }
}

#[test]
fn a_storm_that_goes_on_keeps_the_upstream_resting_for_longer() {
    let stage = Stage::with(30);
    storm(&stage, ErrorClass::Auth, 20, 1, T0);
    let later = T0 + 40 * S;
    let _trial = stage.health.enter(Some("m"), later).unwrap();
    // The call that tries meets eight keys that fail the same way.
    for id in 1..=8 {
        heed(&stage.case(id, 500, Some("m"), later), &verdict(ErrorClass::Auth));
    }
    let (until_us, _) = stage.health.enter(Some("m"), later).map(drop).unwrap_err();
    assert_eq!(until_us, later + 60 * S);
    assert!((1..=30).all(|id| stage.status(id, None, later) == KeyStatus::Active));
}

#[test]
fn dead_keys_are_no_storm() {
    // One call that tries them all; a pool that is too small; an answer in between; keys that were
    // bad from the beginning where others are good.
    let one_call = Stage::with(12);
    assert!(alerts(&storm(&one_call, ErrorClass::Auth, 12, 12, T0)).is_empty());
    let small = Stage::with(3);
    assert!(alerts(&storm(&small, ErrorClass::Auth, 3, 1, T0)).is_empty());
    let between = Stage::with(12);
    let mut events = storm(&between, ErrorClass::Auth, 11, 1, T0);
    answered(&between.case(12, 50, Some("m"), T0 + 100), Duration::ZERO);
    events.extend(heed(&between.case(12, 51, Some("m"), T0 + 200), &verdict(ErrorClass::Auth)));
    assert!(alerts(&events).is_empty());
    let imported = Stage::with(40);
    answered(&imported.case(40, 50, Some("m"), T0 - 60 * S), Duration::ZERO);
    assert!(alerts(&storm(&imported, ErrorClass::Auth, 39, 1, T0)).is_empty());
    for (stage, dead) in [(one_call, 12), (small, 3), (between, 12), (imported, 39)] {
        for id in 1..=dead {
            assert_eq!(stage.status(id, None, T0 + S).as_str(), "disabled_auto");
        }
    }
}

#[test]
fn a_probe_ends_what_the_provider_refused_and_nothing_else() {
    let stage = Stage::with(3);
    heed(&stage.case(1, 1, None, T0), &verdict(ErrorClass::Auth));
    heed(&stage.case(2, 1, None, T0), &verdict(ErrorClass::QuotaExhausted));
    let rule = Evidence { rule: Some(domain::RuleId(1)), ..Evidence::default() };
    let until = KeyStatus::DisabledAuto(moment(T0 + 3600 * S));
    put(&stage.case(3, 1, None, T0), None, until, "rule", rule, "rule");
    for id in 1..=3 {
        probed(&stage.case(id, 0, None, T0 + S));
    }
    let states = [1, 2, 3].map(|id| stage.status(id, None, T0 + S).as_str());
    assert_eq!(states, ["active", "exhausted", "disabled_auto"]);
    assert_eq!(*stage.back.lock().unwrap(), [ProviderKeyId(1)]);
}

#[test]
fn what_was_kept_is_taken_over_unless_more_is_known() {
    let stage = Stage::with(1);
    let health = stage.health(ProviderKeyId(1)).unwrap();
    let standing = |since: i64, seconds: i64| Standing {
        status: KeyStatus::Cooling(moment(T0 + seconds * S)),
        reason: "rate_limited".to_owned(),
        evidence: Evidence::default(),
        since: moment(T0 + since * S),
        strikes: 3,
    };
    health.restore(None, standing(0, 60));
    assert_eq!(health.out(None, T0).map(|out| out.until_us), Some(T0 + 60 * S));
    health.restore(None, standing(-10, 90));
    assert_eq!(health.out(None, T0).map(|out| out.until_us), Some(T0 + 60 * S));
    let over = Standing { status: KeyStatus::Active, ..standing(5, 0) };
    health.restore(None, over);
    assert_eq!(health.out(None, T0), None);
}

#[derive(Debug, Clone, Copy)]
enum Happens {
    Fails(ErrorClass, Option<u64>, bool),
    Answered,
    Probed,
    Waits(i64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let class = proptest::sample::select(ErrorClass::ALL.to_vec());
    prop_oneof![
        4 => (class, proptest::option::of(0..100_000_000_u64), any::<bool>())
            .prop_map(|(class, after, of_model)| Happens::Fails(class, after, of_model)),
        2 => Just(Happens::Answered),
        1 => Just(Happens::Probed),
        2 => (0..100_000_i64).prop_map(Happens::Waits),
    ]
}

proptest! {
    /// Whatever happens, a key that is not used has a standing that says why and until when, or
    /// belongs to an open breaker that somebody can see; and all of it ends by itself.
    #[test]
    fn no_key_is_out_without_a_reason_or_for_ever(
        story in proptest::collection::vec((1..=3_i64, happens()), 1..200),
    ) {
        let (stage, mut now) = (Stage::with(3), T0);
        let mut kept: BTreeMap<(i64, Option<String>), KeyStatus> = BTreeMap::new();
        for (n, (id, what)) in story.into_iter().enumerate() {
            let case = stage.case(id, n as u128, Some("m"), now);
            let events = match what {
                Happens::Fails(class, after, of_model) => {
                    let retry_after = after.map(Duration::from_millis);
                    heed(&case, &Verdict { retry_after, of_model, ..verdict(class) })
                }
                Happens::Answered => answered(&case, Duration::from_millis(5)),
                Happens::Probed => probed(&case),
                Happens::Waits(seconds) => {
                    now += seconds * S;
                    Vec::new()
                }
            };
            // Whoever only hears of the steps knows the same as the gateway.
            for event in &events {
                if let Event::Transition(step) = event {
                    kept.insert((step.key.0, step.model.clone()), step.to.status);
                    prop_assert!(!step.to.reason.is_empty());
                }
            }
            for id in 1..=3 {
                let health = stage.health(ProviderKeyId(id)).unwrap();
                let Some(out) = health.out(Some("m"), now) else { continue };
                let seen = [None, Some("m")].iter().any(|model| stage.standing(id, *model, now).is_some());
                prop_assert!(seen || health.breaker_state() != BreakerState::Closed);
                prop_assert!(out.until_us <= now + 32 * 86_400 * S, "it ends by itself");
                for model in [None, Some("m")] {
                    if let Some(standing) = stage.standing(id, model, now) {
                        let told = kept.get(&(id, model.map(str::to_owned))).map(|s| s.as_str());
                        prop_assert_eq!(told, Some(standing.status.as_str()));
                    }
                }
            }
        }
        let later = now + 400 * 86_400 * S;
        for id in 1..=3 {
            let out = stage.health(ProviderKeyId(id)).unwrap().out(Some("m"), later);
            prop_assert!(out.is_none_or(|out| out.until_us <= later + S), "{out:?}");
        }
    }
}

#[test]
fn a_server_fault_that_stays_with_one_key_opens_the_breaker_of_that_key() {
    let stage = Stage::with(3);
    for n in 0..3 {
        let now = T0 + n * S;
        let bad = stage.case(1, n as u128, Some("m"), now);
        assert!(super::heed(&bad, &verdict(ErrorClass::ServerFault)).is_empty());
        // The same call is answered with another key.
        answered(&stage.case(2, n as u128, Some("m"), now), Duration::from_millis(1));
        let steps = failed_alone(&bad, ErrorClass::ServerFault);
        assert_eq!(steps.len(), usize::from(n == 2), "the third in a row opens it");
    }
    let key = |id| stage.health(ProviderKeyId(id)).unwrap();
    assert!(key(1).out(Some("m"), T0 + 3 * S).is_some());
    assert_eq!(key(2).out(Some("m"), T0 + 3 * S), None);
    assert!(stage.health.enter(Some("m"), T0 + 3 * S).is_ok(), "the upstream is well");
    assert_eq!(stage.status(1, None, T0 + 3 * S), KeyStatus::Active, "its state is as it was");
}

#[test]
fn an_answer_with_the_key_between_two_faults_ends_the_row() {
    let stage = Stage::with(2);
    for n in 0..12 {
        let bad = stage.case(1, n as u128, None, T0);
        super::heed(&bad, &verdict(ErrorClass::Overloaded));
        assert!(failed_alone(&bad, ErrorClass::Overloaded).is_empty());
        if n % 2 == 1 {
            answered(&stage.case(1, 100 + n as u128, None, T0), Duration::from_millis(1));
        }
    }
}

#[test]
fn a_key_of_which_nothing_is_known_takes_little_room() {
    // Times 100,000 keys, and most of them stand well.
    let size = size_of::<KeyHealth>();
    assert!(size <= 256, "{size} bytes");
}
