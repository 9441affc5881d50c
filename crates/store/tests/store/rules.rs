//! Rules and limits.

use std::time::Duration;

use auth::Role;
use domain::{
    Algorithm, Condition, Limit, LimitId, Period, Rule, RuleId, Scope, Unit, UserId,
    log::{Attempt, Usage, UsageSource},
    rule::{Action, Operator, Per, Subject, Test, Threshold},
};
use rstest::rstest;
use store::{JournalPosition, LimitFilter, Page, StoreError};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, actor, admin, entry, service_key},
    upstreams::fields,
};

fn status(status: u16) -> Condition {
    let (subject, operator) = (Subject::StatusCode, Operator::Equals);
    Condition::Is(Test { subject, name: None, operator, value: status.into() })
}

fn rule(name: &str, upstream: Option<domain::UpstreamId>) -> Rule {
    let actions = vec![Action::DisableKey, Action::Alert];
    Rule {
        upstream,
        auto_enable_delay: Some(Duration::from_secs(86_400)),
        ..Rule::new(RuleId(0), UserId(0), name, status(429), actions)
    }
}

fn limit(scope: Scope) -> Limit {
    Limit {
        id: LimitId(0),
        owner: UserId(0),
        name: "some".into(),
        scope,
        unit: Unit::Requests,
        algorithm: Algorithm::SlidingWindow { window: Duration::from_secs(3600) },
        limit: 50,
        alert_percent: None,
        enabled: true,
    }
}

#[rstest]
#[tokio::test]
async fn a_rule_is_kept_as_it_is_and_grows_a_version_with_every_change(
    #[values(Sqlite, Pg)] on: On,
) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let threshold =
        Threshold { count: 3, last: None, window: Some(Duration::from_secs(60)), per: Per::Key };
    let conditions = Condition::All { all: vec![status(429), status(429)] };
    let new = Rule {
        threshold: Some(threshold),
        conditions: conditions.clone(),
        ..rule("a", Some(upstream))
    };
    let id = store.make(new).await.unwrap().value.id;

    let kept = store.value::<Rule>(id).await;
    assert_eq!((&kept.conditions, kept.threshold, kept.version), (&conditions, Some(threshold), 1));
    assert_eq!(store.load_catalog().await.unwrap().rules[&id].rule, kept);
    let edit = |rule: &mut Rule| {
        (rule.upstream, rule.threshold) = (None, None);
        (rule.conditions, rule.shadow) = (status(503), true);
    };
    let edited = store.alter(id, edit).await.unwrap().value;
    let kept = store.value::<Rule>(id).await;
    assert_eq!(edited, kept);
    assert_eq!((kept.upstream, kept.threshold, kept.version), (None, None, 2));
    assert_eq!((&kept.conditions, kept.shadow), (&status(503), true));
    assert_eq!(store.load_catalog().await.unwrap().rules[&id].rule, kept);
    let admin = admin();
    let of = async |of| store.seen_by(&admin).list::<Rule>(&of, Page::default()).await;
    assert_eq!(of(None).await.unwrap().items.len(), 1);
    assert_eq!(of(Some(upstream)).await.unwrap().items.len(), 0);

    store.delete::<Rule>(&admin, id).await.unwrap();
    assert!(matches!(store.look::<Rule>(id).await, Err(StoreError::NotFound("rule"))));
    assert!(store.load_catalog().await.unwrap().rules.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_rule_that_cannot_be_judged_is_not_kept(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let bad = Rule {
        conditions: Condition::All { all: vec![status(429), status(99)] },
        ..rule("a", Some(domain::UpstreamId(9)))
    };
    let refused = store.make(bad).await;
    assert_eq!(fields(refused), ["conditions.all[1].value", "upstream_id"]);

    for of in [Some(upstream), None] {
        let id = store.make(rule("a", of)).await.unwrap().value.id;
        let twice = store.make(rule("a", of)).await;
        assert!(matches!(twice, Err(StoreError::Conflict { field: "name", .. })));
        let refused = store.alter(id, |rule: &mut Rule| rule.actions.clear()).await;
        assert_eq!(fields(refused), ["actions"]);
        assert_eq!(store.value::<Rule>(id).await.version, 1);
    }
}

#[rstest]
#[tokio::test]
async fn limits_of_every_kind_are_kept_as_they_are(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let key = store.add_service_key("app").await;
    let user = store.add_user("lin", Role::Developer).await;
    let window = Duration::from_millis(1500);
    let zone = Some(chrono_tz::Asia::Shanghai);
    let scopes = [
        Scope::Global,
        Scope::Ip(Some("203.0.113.0/24".parse().unwrap())),
        Scope::User(Some(user)),
        Scope::ServiceKey(Some(key)),
        Scope::Model(Some("gpt-5".into())),
        Scope::Upstream(Some(upstream)),
        Scope::Ip(None),
    ];
    let algorithms = [
        (Unit::Tokens, Algorithm::TokenBucket { window, burst: Some(7) }),
        (Unit::Requests, Algorithm::TokenBucket { window, burst: None }),
        (Unit::TokensOut, Algorithm::SlidingWindow { window }),
        (Unit::Concurrency, Algorithm::Concurrency),
        (Unit::Cost, Algorithm::Calendar { period: Period::Month, timezone: zone }),
        (Unit::Cost, Algorithm::Calendar { period: Period::Total, timezone: None }),
        (Unit::TokensIn, Algorithm::SlidingWindow { window }),
    ];
    for (scope, (unit, algorithm)) in scopes.into_iter().zip(algorithms) {
        let new = Limit { unit, algorithm, limit: i64::MAX as u64, ..limit(scope.clone()) };
        let id = store.make(new).await.unwrap().value.id;
        let kept = store.value::<Limit>(id).await;
        assert_eq!((&kept.scope, kept.unit, kept.algorithm), (&scope, unit, algorithm));
        assert_eq!(kept.limit, i64::MAX as u64);
        assert_eq!(store.load_catalog().await.unwrap().limits[&id].as_ref(), &kept);
    }
    let filter = LimitFilter { scope: Some("model"), ..LimitFilter::default() };
    let by = admin();
    let found = store.seen_by(&by).list::<Limit>(&filter, Page::default()).await.unwrap().items;
    assert_eq!(found.len(), 1);
    let id = found[0].value.id;

    let edit = |limit: &mut domain::Limit| {
        limit.limit = 3;
        limit.id = LimitId(99);
        Ok(())
    };
    store.edit(&by, id, edit).await.unwrap();
    assert_eq!(store.value::<Limit>(id).await.limit, 3);
    let bad = |limit: &mut domain::Limit| {
        limit.scope = Scope::User(Some(domain::UserId(99)));
        Ok(())
    };
    assert_eq!(fields(store.edit(&by, id, bad).await), ["scope_id"]);
    let gone = domain::ServiceKeyId(99);
    let refused = store.make(limit(Scope::ServiceKey(Some(gone)))).await;
    assert_eq!(fields(refused), ["scope_id"]);
    store.delete::<Limit>(&admin(), id).await.unwrap();
    assert!(!store.load_catalog().await.unwrap().limits.contains_key(&id));
}

#[rstest]
#[tokio::test]
async fn limits_and_rules_go_with_whom_they_are_about(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    let user = store.add_user("lin", Role::Developer).await;
    let own = actor(user, Role::Developer);
    let theirs = store.make_by(&own, service_key("theirs")).await.unwrap().value.id;
    let key = store.add_service_key("app").await;
    for upstream in [Some(one), Some(two), None] {
        store.make(rule("a", upstream)).await.unwrap();
    }
    let scopes = [
        Scope::Upstream(Some(one)),
        Scope::Upstream(Some(two)),
        Scope::User(Some(user)),
        Scope::ServiceKey(Some(theirs)),
        Scope::ServiceKey(Some(key)),
        Scope::User(None),
    ];
    for scope in scopes {
        store.make(limit(scope)).await.unwrap();
    }
    let seen = store.seen_by(&own).list::<Limit>(&LimitFilter::default(), Page::default()).await;
    let seen: Vec<_> = seen.unwrap().items.into_iter().map(|row| row.value.scope).collect();
    assert_eq!(seen, [Scope::User(Some(user)), Scope::ServiceKey(Some(theirs))]);
    other.load_catalog().await.unwrap();

    store.delete::<domain::Upstream>(&admin(), one).await.unwrap();
    store.delete_user(&admin(), user).await.unwrap();
    store.delete::<domain::ServiceKey>(&admin(), key).await.unwrap();

    for catalog in [store.load_catalog().await.unwrap(), other.load_catalog().await.unwrap()] {
        let rules: Vec<_> = catalog.rules.values().map(|rule| rule.rule.upstream).collect();
        assert_eq!(rules, [Some(two), None]);
        let limits: Vec<_> = catalog.limits.values().map(|limit| &limit.scope).collect();
        assert_eq!(limits, [&Scope::Upstream(Some(two)), &Scope::User(None)]);
    }
    assert_eq!(store.all::<Rule>().await.len(), 2);
}

#[rstest]
#[tokio::test]
async fn the_past_is_read_from_the_newest_call_to_the_oldest(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let attempt = Attempt {
        upstream: domain::UpstreamId(1),
        upstream_name: "openai".into(),
        provider_key: None,
        provider_key_name: None,
        started_us: 1,
        duration_us: 2,
        status: Some(429),
        result: "rate_limited".into(),
        class: None,
        rules: Vec::new(),
        provider_request_id: None,
        usage: Usage::default(),
        usage_source: UsageSource::Nothing,
        cost_nano: None,
    };
    let mut calls: Vec<_> = (0..2500).map(|i| entry(1000 + i / 2)).collect();
    calls[2499].attempts.push(attempt.clone());
    let position = JournalPosition { journal: "a".into(), segment: 1, offset: 1 };
    store.append_log(&calls, position).await.unwrap();

    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = store.past_calls(1001, last.as_ref()).await.unwrap();
        let Some(oldest) = page.last().cloned() else { break };
        seen.extend(page);
        last = Some(oldest);
    }
    assert_eq!(seen.len(), 2498);
    assert!(seen.is_sorted_by(|a, b| (a.started_us, a.id) > (b.started_us, b.id)));
    let with_attempt: Vec<_> = seen.iter().filter(|call| !call.attempts.is_empty()).collect();
    assert_eq!(with_attempt[0].attempts, [attempt]);
}
