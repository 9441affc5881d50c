//! Edits that come at once: each is applied to what the one before left, whichever process makes it.

use std::time::Duration;

use auth::Role;
use domain::{
    Algorithm, Condition, Route, Scope, Target, Unit,
    policy::Sticky,
    rule::{Action, Operator, Per, Subject, Test, Threshold},
};
use rstest::rstest;
use store::{
    LimitFilter, NewLimit, NewRoute, NewRule, ProviderKeyEdit, RouteEdit, RuleEdit, ServiceKeyEdit,
    UpstreamEdit, UserEdit,
};

use crate::fixture::{Fixture, On, Pg, Sqlite, admin};

/// Each pair of edits comes so often.
const ROUNDS: u64 = 5;

#[rstest]
#[tokio::test]
async fn two_edits_of_one_upstream_at_once_both_stay(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let id = store.add_upstream("openai").await;
    for round in 1..=ROUNDS {
        let seconds = Duration::from_secs(round);
        let queue = |now: &domain::Upstream| {
            let mut policy = now.policy.clone();
            policy.queue_timeout = seconds;
            Ok(UpstreamEdit { policy: Some(policy), ..UpstreamEdit::default() })
        };
        let drain = |now: &domain::Upstream| {
            let mut policy = now.policy.clone();
            policy.drain = seconds;
            let mut timeouts = now.timeouts;
            timeouts.idle = seconds;
            let (policy, timeouts) = (Some(policy), Some(timeouts));
            Ok(UpstreamEdit { policy, timeouts, ..UpstreamEdit::default() })
        };
        let (by, also_by) = (admin(), admin());
        let (one, two) = tokio::join!(
            store.edit_upstream(&by, id, queue),
            other.edit_upstream(&also_by, id, drain),
        );
        one.unwrap();
        two.unwrap();
        let now = store.upstream(id).await.unwrap().upstream;
        assert_eq!((now.policy.queue_timeout, now.policy.drain), (seconds, seconds));
        assert_eq!(now.timeouts.idle, seconds);
    }
}

#[rstest]
#[tokio::test]
async fn two_edits_of_one_route_at_once_both_stay(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let targets = vec![Target::of(store.add_upstream("openai").await)];
    let sticky = Some(Sticky::default());
    let new = NewRoute { name: "fast".into(), targets, sticky, ..NewRoute::default() };
    let id = store.create_route(&admin(), new).await.unwrap();
    for round in 1..=ROUNDS {
        let seconds = Duration::from_secs(round);
        let percent = 100 + u32::try_from(round).unwrap();
        let with = |now: &Route, edit: &dyn Fn(&mut Sticky)| {
            let mut sticky = now.sticky.clone().unwrap();
            edit(&mut sticky);
            Ok(RouteEdit { sticky: Some(Some(sticky)), ..RouteEdit::default() })
        };
        let (by, also_by) = (admin(), admin());
        let (one, two) = tokio::join!(
            store.edit_route(&by, id, |now| with(now, &|sticky| sticky.ttl = seconds)),
            other.edit_route(&also_by, id, |now| with(now, &|it| it.max_load_percent = percent)),
        );
        one.unwrap();
        two.unwrap();
        let now = store.route(id).await.unwrap().route.sticky.unwrap();
        assert_eq!((now.ttl, now.max_load_percent), (seconds, percent));
    }
}

#[rstest]
#[tokio::test]
async fn two_edits_of_one_rule_at_once_both_stay(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let id = store.create_rule(&admin(), rule()).await.unwrap();
    for round in 1..=ROUNDS {
        let count = u32::try_from(round).unwrap();
        let with = |now: &domain::Rule, edit: &dyn Fn(&mut Threshold)| {
            let mut threshold = now.threshold.unwrap();
            edit(&mut threshold);
            Ok(RuleEdit { threshold: Some(Some(threshold)), ..RuleEdit::default() })
        };
        let (by, also_by) = (admin(), admin());
        let (one, two) = tokio::join!(
            store.edit_rule(&by, id, |now| with(now, &|it| it.count = count)),
            other.edit_rule(&also_by, id, |now| with(now, &|it| it.last = Some(count + 10))),
        );
        one.unwrap();
        two.unwrap();
        let now = store.rule(id).await.unwrap().rule;
        let threshold = now.threshold.unwrap();
        assert_eq!((threshold.count, threshold.last), (count, Some(count + 10)));
        assert_eq!(now.version, i64::from(count) * 2 + 1);
    }
}

#[rstest]
#[tokio::test]
async fn two_edits_of_one_limit_at_once_both_stay(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let new = NewLimit {
        name: String::new(),
        scope: Scope::Global,
        unit: Unit::Requests,
        algorithm: Algorithm::SlidingWindow { window: Duration::from_secs(60) },
        limit: 1,
        alert_percent: None,
        enabled: true,
        owner: None,
    };
    let id = store.create_limit(&admin(), new).await.unwrap();
    for round in 1..=ROUNDS {
        let window = Duration::from_secs(round * 60);
        let (by, also_by) = (admin(), admin());
        let (one, two) = tokio::join!(
            store.edit_limit(&by, id, |it| {
                it.limit = round;
                Ok(())
            }),
            other.edit_limit(&also_by, id, |it| {
                it.algorithm = Algorithm::SlidingWindow { window };
                Ok(())
            }),
        );
        one.unwrap();
        two.unwrap();
        let now = store.limit(id, &LimitFilter::default()).await.unwrap().limit;
        assert_eq!((now.limit, now.algorithm), (round, Algorithm::SlidingWindow { window }));
    }
}

#[rstest]
#[tokio::test]
async fn two_edits_of_one_key_or_user_at_once_both_stay(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let upstream = store.add_upstream("openai").await;
    let key = store.add_key(upstream, "one").await;
    let service_key = store.add_service_key("app").await;
    let user = store.add_user("lin", Role::Developer).await;
    let (by, also_by) = (admin(), admin());
    for round in 1..=ROUNDS {
        let text = format!("round {round}");
        let weight = u32::try_from(round).unwrap();
        let one = ProviderKeyEdit { weight: Some(weight), ..ProviderKeyEdit::default() };
        let two = ProviderKeyEdit { note: Some(text.clone()), ..ProviderKeyEdit::default() };
        let (one, two) = tokio::join!(
            store.edit_provider_key(&by, key, one),
            other.edit_provider_key(&also_by, key, two),
        );
        one.unwrap();
        two.unwrap();
        let now = store.provider_key(key).await.unwrap();
        assert_eq!((now.weight, &now.note), (weight, &text));

        let one = ServiceKeyEdit { allowed_methods: Some(methods(round)), ..Default::default() };
        let two = ServiceKeyEdit { allowed_ips: Some(networks(round)), ..Default::default() };
        let (one, two) = tokio::join!(
            store.edit_service_key(&by, service_key, one),
            other.edit_service_key(&also_by, service_key, two),
        );
        one.unwrap();
        two.unwrap();
        let now = store.service_key(service_key).await.unwrap().key.access;
        assert_eq!((now.methods, now.ips), (methods(round), networks(round)));

        let one = UserEdit { name: Some(text.clone()), ..UserEdit::default() };
        let email = Some(format!("{round}@example.com"));
        let two = UserEdit { email: Some(email.clone()), ..UserEdit::default() };
        let (one, two) =
            tokio::join!(store.edit_user(&by, user, one), other.edit_user(&also_by, user, two));
        one.unwrap();
        two.unwrap();
        let now = store.user(user).await.unwrap();
        assert_eq!((now.name, now.email), (text, email));
    }
}

fn methods(round: u64) -> Vec<String> {
    ["GET", "POST", "PUT"].map(str::to_owned)[..usize::try_from(round % 3 + 1).unwrap()].to_vec()
}

fn networks(round: u64) -> Vec<ipnet::IpNet> {
    vec![format!("10.{round}.0.0/16").parse().unwrap()]
}

fn rule() -> NewRule {
    let test = Test {
        subject: Subject::StatusCode,
        name: None,
        operator: Operator::Equals,
        value: 429.into(),
    };
    NewRule {
        upstream: None,
        name: "r".into(),
        conditions: Condition::Is(test),
        threshold: Some(Threshold { count: 1, last: Some(20), window: None, per: Per::Key }),
        actions: vec![Action::Alert],
        auto_enable_delay: None,
        cool_down: Duration::ZERO,
        priority: 0,
        stops: false,
        shadow: false,
        enabled: true,
        owner: None,
    }
}
