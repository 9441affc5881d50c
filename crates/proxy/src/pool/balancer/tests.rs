//! Pools of keys, on a clock that stands still until a test moves it.

use std::{collections::HashMap, sync::atomic::AtomicUsize, time::Duration};

use domain::{
    BaseUrl, Evidence, KeyStatus, ProviderKey, Upstream, UpstreamId, UserId,
    policy::{Sticky, StickyBy},
};

use super::*;

const S: i64 = 1_000_000;
const T0: i64 = 1_700_000_000 * S;

fn entry(strategy: Strategy, weights: &[u32]) -> UpstreamEntry {
    let url = BaseUrl::parse("https://api.openai.com").unwrap();
    let mut upstream = Upstream::new(UpstreamId(1), UserId(1), "openai", url);
    upstream.strategy = strategy;
    let keys = weights.iter().zip(1..).map(|(weight, id)| {
        Arc::new(ProviderKey {
            id: ProviderKeyId(id),
            upstream: UpstreamId(1),
            owner: UserId(1),
            name: format!("key {id}"),
            secret: "sk-test".to_owned().into(),
            state: KeyState::Active,
            weight: *weight,
            quotas: Vec::new(),
            group: None,
            cleared_at: None,
        })
    });
    UpstreamEntry { upstream, keys: keys.collect() }
}

fn pool(strategy: Strategy, weights: &[u32]) -> Arc<Pool> {
    Arc::new(Pool::new(&entry(strategy, weights), None))
}

fn hint(now_us: i64) -> Hint<'static> {
    Hint { model: None, belongs: None, only: None, tried: &[], looks: false, now_us }
}

/// The keys of calls that each end before the next begins.
fn picks(pool: &Arc<Pool>, n: usize) -> Vec<i64> {
    (0..n).map(|_| pool.pick(&hint(T0)).unwrap().slot.key.id.0).collect()
}

fn rest(pool: &Pool, id: i64, model: Option<&str>, seconds: i64) {
    let health = &pool.slot(ProviderKeyId(id)).unwrap().health;
    let status = KeyStatus::Cooling(moment(T0 + seconds * S));
    health.put(model, status, "rate_limited", Evidence::default(), moment(T0)).unwrap();
}

#[test]
fn round_robin_goes_round() {
    let pool = pool(Strategy::RoundRobin, &[1, 9, 1]);
    assert_eq!(picks(&pool, 7), [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn a_resting_key_is_passed_over_and_comes_back() {
    for strategy in Strategy::ALL {
        let pool = pool(strategy, &[1, 1, 1]);
        rest(&pool, 2, None, 10);
        assert!(!picks(&pool, 30).contains(&2), "{strategy}");
        let hint = |n| Hint { belongs: Some(n), ..hint(T0 + 10 * S) };
        let after: Vec<i64> =
            (0..300).map(|n| pool.pick(&hint(n)).unwrap().slot.key.id.0).collect();
        assert!(after.contains(&2), "{strategy}");
    }
}

#[test]
fn a_key_that_rests_for_a_model_serves_the_others() {
    let pool = pool(Strategy::RoundRobin, &[1, 1]);
    rest(&pool, 1, Some("gpt-5"), 10);
    let hint = |model, at| Hint { model: Some(model), ..hint(T0 + at * S) };
    let of = |model, at| pool.pick(&hint(model, at)).unwrap().slot.key.id.0;
    assert_eq!([of("gpt-5", 0), of("gpt-5", 0), of("gpt-5", 0)], [2, 2, 2]);
    let others = [of("gpt-4", 0), of("gpt-4", 0), of("gpt-4", 0), of("gpt-4", 0)];
    assert!(others.contains(&1) && others.contains(&2), "{others:?}");
    let after = [of("gpt-5", 10), of("gpt-5", 10)];
    assert!(after.contains(&1), "{after:?}");
}

#[test]
fn when_all_rest_the_soonest_is_told() {
    let pool = pool(Strategy::RoundRobin, &[1, 1]);
    rest(&pool, 1, None, 30);
    rest(&pool, 2, None, 10);
    let none = NoKey::AllResting { until_us: T0 + 10 * S };
    assert_eq!(pool.pick(&hint(T0)).unwrap_err(), none);
    assert_eq!(pool.soonest(None, T0), Some(T0 + 10 * S));
    assert!(pool.is_out(None, T0) && !pool.is_out(None, T0 + 10 * S));
}

/// Lets a key rest because its provider said so, from `since` on, for a month.
fn locked(pool: &Pool, id: i64, since: i64) {
    let health = &pool.slot(ProviderKeyId(id)).unwrap().health;
    let class = Some(domain::ErrorClass::QuotaExhausted);
    let evidence = Evidence { class, ..Evidence::default() };
    let status = KeyStatus::Exhausted(moment(since + 30 * 86_400 * S));
    health.put(None, status, "quota_exhausted", evidence, moment(since)).unwrap();
}

#[test]
fn when_all_rest_for_long_one_call_tries_one_of_them_every_five_minutes() {
    let pool = pool(Strategy::RoundRobin, &[1, 1]);
    locked(&pool, 1, T0);
    locked(&pool, 2, T0);
    assert!(pool.pick(&hint(T0)).is_err(), "the provider is believed at first");
    assert_eq!(pool.soonest(None, T0), Some(T0 + 300 * S));
    let later = T0 + 400 * S;
    assert!(!pool.is_out(None, later), "routes send the call that tries");
    let first = pool.pick(&hint(later)).unwrap();
    assert!(first.tries);
    assert!(pool.pick(&hint(later)).is_err() && pool.is_out(None, later), "one call at a time");
    assert!(pool.pick(&hint(later + 299 * S)).is_err());
    pool.tried(false, later);
    let second = pool.pick(&hint(later + 300 * S)).unwrap();
    assert_ne!(second.slot.key.id, first.slot.key.id, "another one, if there is one");
}

#[test]
fn a_key_whose_rest_was_not_true_lets_the_others_be_tried_soon() {
    let pool = pool(Strategy::RoundRobin, &[1, 1, 1]);
    (1..=3).for_each(|id| locked(&pool, id, T0));
    let mut now = T0 + 400 * S;
    let mut back = Vec::new();
    for _ in 0..3 {
        let picked = pool.pick(&hint(now)).unwrap();
        assert!(picked.tries);
        back.push(picked.slot.key.id.0);
        let health = &picked.slot.health;
        health.put(None, KeyStatus::Active, "trial", Evidence::default(), moment(now)).unwrap();
        pool.back(picked.slot.key.id);
        pool.tried(true, now);
        now += S;
    }
    back.sort_unstable();
    assert_eq!(back, [1, 2, 3]);
    assert!(!pool.pick(&hint(now)).unwrap().tries, "all are in use again");
}

#[test]
fn only_the_providers_word_about_limits_is_tried() {
    for (reason, class, rule) in [
        ("quota", None, None),
        ("rule", Some(domain::ErrorClass::RateLimited), Some(domain::RuleId(1))),
        ("auth", Some(domain::ErrorClass::Auth), None),
    ] {
        let pool = pool(Strategy::RoundRobin, &[1]);
        let health = &pool.slot(ProviderKeyId(1)).unwrap().health;
        let until = moment(T0 + 86_400 * S);
        let status = match reason {
            "auth" => KeyStatus::DisabledAuto(until),
            _ => KeyStatus::Exhausted(until),
        };
        let evidence = Evidence { class, rule, ..Evidence::default() };
        health.put(None, status, reason, evidence, moment(T0)).unwrap();
        assert!(pool.pick(&hint(T0 + 3600 * S)).is_err(), "{reason}");
    }
    let mut never = entry(Strategy::RoundRobin, &[1]);
    never.upstream.policy.trial_every = Duration::ZERO;
    let pool = Arc::new(Pool::new(&never, None));
    locked(&pool, 1, T0);
    assert!(pool.pick(&hint(T0 + 86_400 * S)).is_err());
}

#[test]
fn a_key_without_room_is_looked_at_again_when_a_call_of_it_has_ended() {
    let pool = pool(Strategy::RoundRobin, &[1]);
    let mut call = pool.pick(&hint(T0)).unwrap();
    call.holds();
    call.slot.health.busy(None, T0 + S);
    let busy = NoKey::AllBusy { until_us: T0 + S };
    assert_eq!(pool.pick(&hint(T0)).unwrap_err(), busy);
    drop(call);
    assert!(pool.pick(&hint(T0)).is_ok());
}

#[test]
fn a_call_that_found_no_room_does_not_make_any() {
    let pool = pool(Strategy::RoundRobin, &[1]);
    let picked = pool.pick(&hint(T0)).unwrap();
    picked.slot.health.busy(None, T0 + S);
    drop(picked);
    assert_eq!(pool.pick(&hint(T0)).unwrap_err(), NoKey::AllBusy { until_us: T0 + S });
    assert!(pool.pick(&hint(T0 + S)).is_ok());
}

#[test]
fn a_key_that_was_tried_is_not_picked_again_for_the_call() {
    for strategy in Strategy::ALL {
        let pool = pool(strategy, &[1, 5, 1, 9]);
        for call in 0..50 {
            let mut tried = Vec::new();
            for _ in 0..4 {
                let hint = Hint { belongs: Some(call), tried: &tried, ..hint(T0) };
                let id = pool.pick(&hint).unwrap().slot.key.id;
                assert!(!tried.contains(&id), "{strategy}");
                tried.push(id);
            }
            let hint = Hint { belongs: Some(call), tried: &tried, ..hint(T0) };
            assert!(matches!(pool.pick(&hint), Err(NoKey::AllResting { .. })), "{strategy}");
        }
    }
}

#[test]
fn keys_that_a_person_took_out_are_never_picked() {
    let mut one = entry(Strategy::RoundRobin, &[1, 1]);
    Arc::make_mut(&mut one.keys[0]).state = KeyState::Banned;
    assert_eq!(picks(&Arc::new(Pool::new(&one, None)), 3), [2, 2, 2]);
    Arc::make_mut(&mut one.keys[1]).state = KeyState::Disabled;
    let off = Arc::new(Pool::new(&one, None));
    assert_eq!(off.pick(&hint(T0)).unwrap_err(), NoKey::AllUnusable);
    let bare = pool(Strategy::RoundRobin, &[]);
    assert_eq!(bare.pick(&hint(T0)).unwrap_err(), NoKey::NotNeeded);
}

#[test]
fn health_outlives_a_change_of_the_pool_and_ends_where_a_person_says_so() {
    let mut one = entry(Strategy::RoundRobin, &[1, 1]);
    let before = Pool::new(&one, None);
    rest(&before, 1, None, 60);
    let after = Arc::new(Pool::new(&one, Some(&before)));
    assert_eq!(picks(&after, 2), [2, 2]);
    Arc::make_mut(&mut one.keys[0]).cleared_at = Some(moment(T0 + S));
    let cleared = Arc::new(Pool::new(&one, Some(&after)));
    assert_eq!(picks(&cleared, 2), [1, 2]);
}

#[test]
fn calls_that_belong_together_stay_with_a_key_that_is_well_and_not_busier_than_the_others() {
    for strategy in Strategy::ALL {
        let mut one = entry(strategy, &[1; 10]);
        let by = StickyBy::Conversation;
        one.upstream.policy.sticky =
            Some(Sticky { by, ttl: Duration::from_secs(60), max_load_percent: 150 });
        let pool = Arc::new(Pool::new(&one, None));
        let of = |call, at| Hint { belongs: Some(call), ..hint(T0 + at * S) };
        let id = |call, at| pool.pick(&of(call, at)).unwrap().slot.key.id.0;
        let kept = id(7, 0);
        for other in 100..120 {
            id(other, 1);
        }
        assert_eq!(id(7, 59), kept, "{strategy}");
        rest(&pool, kept, None, 100);
        assert_ne!(id(7, 60), kept, "{strategy}");
        // Ten calls at once of one conversation are not all for one key.
        let held: Vec<Picked> = (0..10).map(|_| pool.pick(&of(9, 0)).unwrap()).collect();
        let mut loads: HashMap<i64, u32> = HashMap::new();
        held.iter().for_each(|call| *loads.entry(call.slot.key.id.0).or_default() += 1);
        if !matches!(strategy, Strategy::ConsistentHash) {
            assert!(loads.len() > 3, "{strategy}: {loads:?}");
        }
    }
}

#[test]
fn a_large_pool_with_almost_all_keys_resting_pays_for_each_only_once() {
    for strategy in [Strategy::RoundRobin, Strategy::Weighted] {
        let pool = pool(strategy, &[1; 50_000]);
        for id in 1..50_000 {
            rest(&pool, id, None, 60);
        }
        assert_eq!(picks(&pool, 3), [50_000, 50_000, 50_000], "{strategy}");
        assert!(pool.lane.turn(&pool.slots, None, T0).len() <= 2, "{strategy}");
    }
}

#[test]
fn a_change_of_strategy_keeps_what_is_known_of_the_keys() {
    let mut one = entry(Strategy::RoundRobin, &[1, 1, 1]);
    let mut pool = Arc::new(Pool::new(&one, None));
    rest(&pool, 3, None, 60);
    for strategy in Strategy::ALL {
        one.upstream.strategy = strategy;
        pool = Arc::new(Pool::new(&one, Some(&pool)));
        assert!(!picks(&pool, 20).contains(&3), "{strategy}");
    }
}

#[test]
fn who_only_looks_takes_no_trial_from_a_call() {
    let pool = pool(Strategy::RoundRobin, &[1]);
    let guarded = domain::Guarded { upstream: UpstreamId(1), key: None, model: None };
    let breaker = pool.slots[0].health.breaker(|| guarded);
    breaker.trip(std::time::Duration::from_secs(15), T0, "it failed");
    let looks = |at| Hint { looks: true, ..hint(at) };
    assert!(pool.preview(&looks(T0 + S)).is_err());
    for _ in 0..2 {
        assert!(pool.preview(&looks(T0 + 20 * S)).is_ok());
    }
    let picked = pool.pick(&hint(T0 + 20 * S)).unwrap();
    assert_eq!(picked.step.as_ref().map(|step| step.state), Some(domain::BreakerState::HalfOpen));
    assert!(pool.preview(&looks(T0 + 20 * S)).is_err(), "another call tries");
}

#[test]
fn threads_that_pick_at_once_share_the_turn() {
    let pool = pool(Strategy::Weighted, &[3, 1]);
    let (heavy, all) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let id = pool.pick(&hint(T0)).unwrap().slot.key.id.0;
                    heavy.fetch_add(usize::from(id == 1), Ordering::Relaxed);
                    all.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((heavy.into_inner(), all.into_inner()), (3000, 4000));
    assert_eq!(pool.in_flight.load(Ordering::Relaxed), 0);
}

#[test]
fn keys_are_counted_by_how_they_stand() {
    let mut one = entry(Strategy::RoundRobin, &[1, 1, 1]);
    Arc::make_mut(&mut one.keys[0]).state = KeyState::Disabled;
    let pool = Pool::new(&one, None);
    rest(&pool, 2, None, 60);
    let counts: HashMap<_, _> = pool.counts(moment(T0)).into_iter().collect();
    let of = |name| counts[name];
    assert_eq!([of("active"), of("cooling"), of("disabled_manual"), of("banned")], [1, 1, 1, 0]);
}
