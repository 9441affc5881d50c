//! Edits that come at once: each is applied to what the one before left, whichever process makes it.

use std::time::Duration;

use auth::Role;
use domain::{
    Algorithm, Condition, Limit, LimitId, Route, Rule, RuleId, Scope, ServiceKey, Target, Unit,
    Upstream, UserId,
    policy::Sticky,
    rule::{Action, Operator, Per, Subject, Test, Threshold},
};
use rstest::rstest;
use store::{MaskedKey, Resource, Store, UserEdit};

use crate::fixture::{Fixture, On, Pg, Sqlite, admin, route};

/// Each pair of edits comes so often.
const ROUNDS: u64 = 5;

/// Edits a resource in two processes at once, and gives it back as it is then.
async fn at_once<R: Resource>(
    store: &Fixture,
    other: &Store,
    id: R::Id,
    one: impl FnOnce(&mut R) + Send,
    two: impl FnOnce(&mut R) + Send,
) -> R {
    let by = admin();
    let two = |value: &mut R| {
        two(value);
        Ok(())
    };
    let (one, two) = tokio::join!(store.alter(id, one), other.edit(&by, id, two));
    one.unwrap();
    two.unwrap();
    store.value(id).await
}

#[rstest]
#[tokio::test]
async fn two_edits_of_one_upstream_at_once_both_stay(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let id = store.add_upstream("openai").await;
    for round in 1..=ROUNDS {
        let seconds = Duration::from_secs(round);
        let queue = |it: &mut Upstream| it.policy.queue_timeout = seconds;
        let drain = |it: &mut Upstream| (it.policy.drain, it.timeouts.idle) = (seconds, seconds);
        let now = at_once(&store, &other, id, queue, drain).await;
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
    let new = Route { sticky: Some(Sticky::default()), ..route("fast", targets) };
    let id = store.make(new).await.unwrap().value.id;
    for round in 1..=ROUNDS {
        let seconds = Duration::from_secs(round);
        let percent = 100 + u32::try_from(round).unwrap();
        let ttl = |it: &mut Route| it.sticky.as_mut().unwrap().ttl = seconds;
        let load = |it: &mut Route| it.sticky.as_mut().unwrap().max_load_percent = percent;
        let now = at_once(&store, &other, id, ttl, load).await.sticky.unwrap();
        assert_eq!((now.ttl, now.max_load_percent), (seconds, percent));
    }
}

#[rstest]
#[tokio::test]
async fn two_edits_of_one_rule_at_once_both_stay(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let id = store.make(rule()).await.unwrap().value.id;
    for round in 1..=ROUNDS {
        let count = u32::try_from(round).unwrap();
        let often = |it: &mut Rule| it.threshold.as_mut().unwrap().count = count;
        let last = |it: &mut Rule| it.threshold.as_mut().unwrap().last = Some(count + 10);
        let now = at_once(&store, &other, id, often, last).await;
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
    let new = Limit {
        id: LimitId(0),
        owner: UserId(0),
        name: String::new(),
        scope: Scope::Global,
        unit: Unit::Requests,
        algorithm: Algorithm::SlidingWindow { window: Duration::from_secs(60) },
        limit: 1,
        alert_percent: None,
        enabled: true,
    };
    let id = store.make(new).await.unwrap().value.id;
    for round in 1..=ROUNDS {
        let algorithm = Algorithm::SlidingWindow { window: Duration::from_secs(round * 60) };
        let amount = |it: &mut Limit| it.limit = round;
        let window = |it: &mut Limit| it.algorithm = algorithm;
        let now = at_once(&store, &other, id, amount, window).await;
        assert_eq!((now.limit, now.algorithm), (round, algorithm));
    }
}

#[rstest]
#[tokio::test]
async fn two_edits_of_one_provider_key_at_once_both_stay(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let upstream = store.add_upstream("openai").await;
    let id = store.add_key(upstream, "one").await;
    for round in 1..=ROUNDS {
        let (text, share) = (format!("round {round}"), u32::try_from(round).unwrap());
        let weight = |it: &mut MaskedKey| it.weight = share;
        let note = |it: &mut MaskedKey| it.note.clone_from(&text);
        let now = at_once(&store, &other, id, weight, note).await;
        assert_eq!((now.weight, &now.note), (share, &text));
    }
}

#[rstest]
#[tokio::test]
async fn two_edits_of_one_service_key_at_once_both_stay(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let id = store.add_service_key("app").await;
    for round in 1..=ROUNDS {
        let by_method = |it: &mut ServiceKey| it.access.methods = methods(round);
        let by_ip = |it: &mut ServiceKey| it.access.ips = networks(round);
        let now = at_once(&store, &other, id, by_method, by_ip).await.access;
        assert_eq!((now.methods, now.ips), (methods(round), networks(round)));
    }
}

#[rstest]
#[tokio::test]
async fn two_edits_of_one_user_at_once_both_stay(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let user = store.add_user("lin", Role::Developer).await;
    let (by, also_by) = (admin(), admin());
    for round in 1..=ROUNDS {
        let text = format!("round {round}");
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

fn rule() -> Rule {
    let test = Test {
        subject: Subject::StatusCode,
        name: None,
        operator: Operator::Equals,
        value: 429.into(),
    };
    let threshold = Threshold { count: 1, last: Some(20), window: None, per: Per::Key };
    let actions = vec![Action::Alert];
    let fresh = Rule::new(RuleId(0), UserId(0), "r", Condition::Is(test), actions);
    Rule { threshold: Some(threshold), ..fresh }
}
