//! What the running gateway told is there after a restart, and other instances hear of it.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    BreakerState, BreakerStep, Event, Evidence, Guarded, KeyState, KeyStatus, ProviderKeyId,
    Raised, RuleId, Severity, Standing, StoredObject, Transition, Trigger, UpstreamId,
    rule::Action,
};
use rstest::rstest;
use store::{
    AlertFilter, AlertState, KeyBulk, MaskedKey, Page, ProviderKeyFilter, StoreError,
    TriggerFilter, WhichKeys,
};
use uuid::Uuid;

use crate::fixture::{Fixture, On, Pg, Sqlite, actor, admin};

const UPSTREAM: UpstreamId = UpstreamId(1);

/// Now, as exactly as columns hold it.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(Utc::now().timestamp_micros()).unwrap()
}

fn later(minutes: i64) -> DateTime<Utc> {
    now() + TimeDelta::minutes(minutes)
}

fn step(key: ProviderKeyId, model: Option<&str>, status: KeyStatus) -> Transition {
    step_at(key, model, status, now())
}

fn step_at(
    key: ProviderKeyId,
    model: Option<&str>,
    status: KeyStatus,
    since: DateTime<Utc>,
) -> Transition {
    let evidence = Evidence {
        status: Some(429),
        code: Some("rate_limit\0".into()),
        log: Some(Uuid::nil()),
        ..Evidence::default()
    };
    Transition {
        key,
        upstream: UPSTREAM,
        model: model.map(str::to_owned),
        from: KeyStatus::Active,
        to: Standing { status, reason: "rate_limited".into(), evidence, since, strikes: 2 },
        actor: "gateway".into(),
    }
}

fn raised(group: &str, severity: Severity, over: bool) -> Event {
    Event::Alert(Raised {
        group: group.into(),
        severity,
        title: format!("{group} is odd"),
        words: "very".into(),
        upstream: Some(UPSTREAM),
        key: None,
        rule: None,
        at: now(),
        over,
    })
}

#[rstest]
#[tokio::test]
async fn how_keys_stand_is_known_after_a_restart(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let key = ProviderKeyId(7);
    let cooling = step(key, None, KeyStatus::Cooling(later(5)));
    let model = step(key, Some("gpt-5"), KeyStatus::Exhausted(later(60)));
    let over = step(ProviderKeyId(8), None, KeyStatus::Cooling(later(-1)));
    let events = [cooling.clone(), model.clone(), over].map(Event::Transition);
    store.keep_events(&events).await.unwrap();

    let again = store.again().await;

    let (standings, seq) = again.standings_since(0, 100).await.unwrap();
    let found: Vec<_> = standings.iter().map(|s| (s.model.clone(), s.standing.clone())).collect();
    assert_eq!(found, [(None, cooling.to), (Some("gpt-5".into()), model.to)]);
    assert!(standings.iter().all(|s| (s.key, s.upstream) == (key, UPSTREAM)));
    assert!(again.standings_since(seq, 100).await.unwrap().0.is_empty());
    assert_eq!(again.standings(&[key]).await.unwrap().len(), 2);
    assert!(again.standings(&[ProviderKeyId(8)]).await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn an_instance_hears_what_others_found_and_not_its_own_news(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let key = ProviderKeyId(7);
    let found = step(key, None, KeyStatus::Cooling(later(5)));
    store.keep_events(&[Event::Transition(found)]).await.unwrap();

    assert!(store.standings_since(0, 9).await.unwrap().0.is_empty());
    let (heard, seq) = other.standings_since(0, 9).await.unwrap();
    assert_eq!(heard.len(), 1);
    let back = step_at(key, None, KeyStatus::Active, later(1));
    store.keep_events(&[Event::Transition(back)]).await.unwrap();
    let (heard, seq) = other.standings_since(seq, 9).await.unwrap();
    assert_eq!(heard[0].standing.status, KeyStatus::Active);
    assert!(other.standings_since(seq, 9).await.unwrap().0.is_empty());
}

#[rstest]
#[tokio::test]
async fn what_keys_made_is_known_to_others_and_but_the_newest_is_forgotten(
    #[values(Sqlite, Pg)] on: On,
) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let made = |id: &str, key: i64| {
        let (id, key) = (id.to_owned(), ProviderKeyId(key));
        Event::Stored(StoredObject { id, upstream: UPSTREAM, key, at: now() })
    };
    store.keep_events(&[made("file-a", 1), made("file-b", 2), made("file-a", 3)]).await.unwrap();
    store.keep_events(&[made("resp_c", 1)]).await.unwrap();

    assert!(store.stored_objects_since(0, 9).await.unwrap().0.is_empty());
    let (heard, seq) = other.stored_objects_since(0, 2).await.unwrap();
    let heard: Vec<_> = heard.iter().map(|one| (one.id.as_str(), one.key.0)).collect();
    assert_eq!(heard, [("file-b", 2), ("file-a", 3)]);
    let (heard, _) = other.stored_objects_since(seq, 9).await.unwrap();
    assert_eq!(heard[0].id, "resp_c");

    assert_eq!(other.newest_stored_objects(3).await.unwrap(), 0);
    let upto = other.newest_stored_objects(1).await.unwrap();
    assert_eq!(upto, seq, "only the newest lies behind it");
    assert_eq!(store.forget_stored_objects(upto, 1).await.unwrap(), 1);
    assert_eq!(store.forget_stored_objects(upto, 9).await.unwrap(), 1);
    let (left, _) = other.stored_objects_since(0, 9).await.unwrap();
    assert_eq!(left.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["resp_c"]);
}

#[rstest]
#[tokio::test]
async fn an_earlier_finding_that_comes_late_does_not_undo_a_later_one(
    #[values(Sqlite, Pg)] on: On,
) {
    let store = Fixture::new(on).await;
    let key = ProviderKeyId(7);
    let late = step_at(key, None, KeyStatus::Cooling(later(5)), later(-2));
    let new = step_at(key, None, KeyStatus::DisabledAuto(later(50)), later(-1));

    store.keep_events(&[Event::Transition(new.clone())]).await.unwrap();
    store.keep_events(&[Event::Transition(late)]).await.unwrap();

    assert_eq!(store.standings(&[key]).await.unwrap()[0].standing, new.to);
    // It happened all the same.
    assert_eq!(store.transitions(key, Page::default()).await.unwrap().items.len(), 2);
}

#[rstest]
#[tokio::test]
async fn the_steps_of_a_key_are_listed_the_newest_first(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let key = ProviderKeyId(7);
    let events: Vec<_> = (0..5)
        .map(|i| Event::Transition(step(key, None, KeyStatus::Cooling(later(i)))))
        .chain([Event::Transition(step(ProviderKeyId(8), None, KeyStatus::Active))])
        .collect();
    store.keep_events(&events).await.unwrap();

    let first = store.transitions(key, Page::first(3)).await.unwrap();
    let page = Page::first(3).after(first.next_cursor.clone().unwrap());
    let second = store.transitions(key, page).await.unwrap();

    assert_eq!((first.items.len(), second.items.len()), (3, 2));
    let ids: Vec<_> = first.items.iter().chain(&second.items).map(|row| row.id).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
    assert_eq!(second.next_cursor, None);
    let newest = &first.items[0];
    assert_eq!((newest.from.as_str(), newest.to.as_str()), ("active", "cooling"));
    assert_eq!(newest.evidence.status, Some(429));
    let wrong = store.transitions(key, Page::default().after("x")).await;
    assert!(matches!(wrong, Err(StoreError::Unservable(_))));
}

#[rstest]
#[tokio::test]
async fn what_a_person_does_to_a_key_is_a_step_of_it(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let key = store.add_key(upstream, "one").await;
    let person = actor(store.add_user("somebody", auth::Role::Admin).await, auth::Role::Admin);
    let steps = async || {
        let steps = store.transitions(key, Page::default()).await.unwrap().items;
        let told = steps.into_iter().rev().map(|step| {
            format!("{} {} {} {}", step.from, step.to, step.model.unwrap_or_default(), step.actor)
        });
        told.collect::<Vec<_>>()
    };
    let edit = async |state| {
        let edit = |key: &mut MaskedKey| {
            key.decide(state, chrono::Utc::now());
            Ok(())
        };
        store.edit(&person, key, edit).await.unwrap();
    };
    let out = |model| step(key, model, KeyStatus::Cooling(later(5)));
    store
        .keep_events(&[Event::Transition(out(None)), Event::Transition(out(Some("m")))])
        .await
        .unwrap();
    edit(KeyState::Active).await;
    edit(KeyState::Active).await;
    edit(KeyState::Disabled).await;
    let bulk = async |state| {
        store
            .change_provider_keys(&person, &WhichKeys::Ids(vec![key]), &KeyBulk::State(state), None)
            .await
            .unwrap();
    };
    bulk(KeyState::Banned).await;
    bulk(KeyState::Active).await;
    let who = "somebody";
    assert_eq!(
        steps().await,
        [
            "active cooling  gateway".to_owned(),
            "active cooling m gateway".to_owned(),
            format!("cooling active  {who}"),
            format!("cooling active m {who}"),
            format!("active disabled_manual  {who}"),
            format!("disabled_manual banned  {who}"),
            format!("banned active  {who}"),
        ]
    );
}

#[rstest]
#[tokio::test]
async fn a_key_that_the_gateway_gave_up_is_banned_in_the_configuration(
    #[values(Sqlite, Pg)] on: On,
) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let key = store.add_key(upstream, "one").await;
    let before = store.revision().await.unwrap();
    let events = [
        Event::Transition(step(key, None, KeyStatus::Banned)),
        // A key that was deleted meanwhile keeps nothing from being kept.
        Event::Transition(step(ProviderKeyId(99), None, KeyStatus::Banned)),
    ];

    store.keep_events(&events).await.unwrap();
    store.keep_events(&events).await.unwrap();

    assert_eq!(store.value::<MaskedKey>(key).await.state, KeyState::Banned);
    assert_eq!(store.revision().await.unwrap().0, before.0 + 1);
    let last = store.audit(Page::first(1)).await.unwrap().items.remove(0);
    assert_eq!((last.actor.as_str(), last.action.as_str()), ("system", "edited"));
}

#[rstest]
#[tokio::test]
async fn standings_that_are_over_become_steps_back_to_active(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (cooled, exhausted) = (ProviderKeyId(1), ProviderKeyId(2));
    let until = later(5);
    let events = [
        Event::Transition(step(cooled, None, KeyStatus::Cooling(until))),
        Event::Transition(step(exhausted, None, KeyStatus::Exhausted(until))),
        Event::Transition(step(ProviderKeyId(3), None, KeyStatus::Cooling(later(30)))),
        Event::Transition(step(ProviderKeyId(4), None, KeyStatus::DisabledManual)),
    ];
    store.keep_events(&events).await.unwrap();

    assert_eq!(store.end_standings(&["cooling", "exhausted"], later(4)).await.unwrap(), 0);
    assert_eq!(store.end_standings(&["cooling"], later(6)).await.unwrap(), 1);
    assert_eq!(store.end_standings(&["cooling"], later(6)).await.unwrap(), 0);
    assert_eq!(store.end_standings(&["exhausted"], later(6)).await.unwrap(), 1);

    let step = store.transitions(cooled, Page::first(1)).await.unwrap().items.remove(0);
    assert_eq!((step.from.as_str(), step.to.as_str()), ("cooling", "active"));
    assert_eq!((step.reason.as_str(), step.actor.as_str()), ("expired", "gateway"));
    assert_eq!(step.at, until);
    let standing = store.standings(&[cooled]).await.unwrap().remove(0).standing;
    assert_eq!((standing.status, standing.since), (KeyStatus::Active, until));
}

#[rstest]
#[tokio::test]
async fn breakers_stand_after_a_restart_as_before(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let of = |key, model: Option<&str>, state, openings| BreakerStep {
        guarded: Guarded { upstream: UPSTREAM, key, model: model.map(str::to_owned) },
        state,
        openings,
        at: now(),
        words: "3 of 4 calls failed".into(),
    };
    let whole = of(None, None, BreakerState::Open(later(1)), 2);
    let closed = of(None, None, BreakerState::Closed, 2);
    let key = of(Some(ProviderKeyId(3)), Some("gpt"), BreakerState::HalfOpen, 1);
    let events = [whole.clone(), closed.clone(), key.clone()].map(Event::Breaker);
    store.keep_events(&events).await.unwrap();
    let other = store.again().await;

    let (steps, seq) = other.breakers_since(0, 9).await.unwrap();
    assert_eq!(steps, [closed, key]);
    store.keep_events(&[Event::Breaker(whole.clone())]).await.unwrap_or_default();
    let reopened = BreakerStep { at: later(1), ..whole };
    store.keep_events(&[Event::Breaker(reopened.clone())]).await.unwrap();
    assert_eq!(other.breakers_since(seq, 9).await.unwrap().0, [reopened]);
    assert!(store.breakers_since(0, 9).await.unwrap().0.is_empty());
}

#[rstest]
#[tokio::test]
async fn triggers_are_found_by_rule_key_upstream_and_call(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let log = Uuid::now_v7();
    let fired = |rule, key, log| Trigger {
        rule: RuleId(rule),
        version: 3,
        upstream: UpstreamId(rule),
        key: Some(ProviderKeyId(key)),
        model: Some("gpt".into()),
        log,
        at: now(),
        shadow: true,
        actions: vec![Action::DisableKey, Action::Alert],
        until: Some(later(5)),
        evidence: Evidence { status: Some(429), ..Evidence::default() },
    };
    let all = [fired(1, 1, log), fired(1, 2, Uuid::nil()), fired(2, 1, log)];
    store.keep_events(&all.clone().map(Event::Trigger)).await.unwrap();

    let found = async |filter| {
        let rows = store.triggers(filter, Page::default()).await.unwrap().items;
        rows.iter().map(|row| (row.rule.0, row.key.unwrap().0)).collect::<Vec<_>>()
    };
    let any = TriggerFilter::default();
    assert_eq!(found(any).await, [(2, 1), (1, 2), (1, 1)]);
    assert_eq!(found(TriggerFilter { rule: Some(RuleId(1)), ..any }).await, [(1, 2), (1, 1)]);
    assert_eq!(found(TriggerFilter { key: Some(ProviderKeyId(2)), ..any }).await, [(1, 2)]);
    assert_eq!(found(TriggerFilter { upstream: Some(UpstreamId(2)), ..any }).await, [(2, 1)]);
    assert_eq!(found(TriggerFilter { shadow: Some(true), ..any }).await.len(), 3);
    assert!(found(TriggerFilter { shadow: Some(false), ..any }).await.is_empty());
    let (first, last) = (all[0].at, all[2].at);
    assert_eq!(found(TriggerFilter { from: Some(first), ..any }).await.len(), 3);
    assert!(found(TriggerFilter { to: Some(first), ..any }).await.is_empty());
    let after = last + TimeDelta::microseconds(1);
    assert!(found(TriggerFilter { from: Some(after), ..any }).await.is_empty());
    assert_eq!(found(TriggerFilter { to: Some(after), ..any }).await.len(), 3);
    let nobodys = TriggerFilter { owner: Some(domain::UserId(5)), ..any };
    assert!(found(nobodys).await.is_empty());

    let of_call = store.triggers_of(log).await.unwrap();
    assert_eq!(of_call.iter().map(|row| row.rule.0).collect::<Vec<_>>(), [1, 2]);
    let (row, told) = (&of_call[0], &all[0]);
    assert_eq!((row.version, row.shadow, row.log), (3, true, log));
    assert_eq!(
        (&row.actions, &row.evidence, row.until),
        (&told.actions, &told.evidence, told.until)
    );
}

#[rstest]
#[tokio::test]
async fn what_belongs_together_is_one_alert_until_it_is_over(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let list = async || store.alerts(AlertFilter::default(), Page::default()).await.unwrap().items;
    let (warning, critical) = (Severity::Warning, Severity::Critical);
    let batch = [raised("a", warning, false), raised("a", critical, false)];
    store.keep_events(&batch).await.unwrap();
    store.keep_events(&[raised("a", warning, false), raised("b", warning, false)]).await.unwrap();

    let alerts = list().await;
    assert_eq!(alerts.len(), 2);
    let a = &alerts[1];
    assert_eq!((a.group.as_str(), a.count, a.severity), ("a", 3, critical));
    assert_eq!((a.state, a.upstream), (AlertState::Firing, Some(UPSTREAM)));

    store.keep_events(&[raised("a", warning, true)]).await.unwrap();
    store.keep_events(&[raised("never raised", warning, true)]).await.unwrap();
    let a = &list().await[1];
    assert_eq!(a.state, AlertState::Resolved);
    assert_eq!(a.resolved.as_ref().unwrap().0, "gateway");

    // In one batch over and raised again: two alerts.
    let batch = [raised("b", warning, true), raised("b", warning, false)];
    store.keep_events(&batch).await.unwrap();
    let firing = AlertFilter { state: Some(AlertState::Firing), ..AlertFilter::default() };
    let firing = store.alerts(firing, Page::default()).await.unwrap().items;
    assert_eq!((firing.len(), firing[0].group.as_str(), firing[0].count), (1, "b", 1));
    assert_eq!(list().await.len(), 3);
}

#[rstest]
#[tokio::test]
async fn a_person_takes_an_alert_on_and_says_that_it_is_over(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let lin = store.add_user("lin", auth::Role::Operator).await;
    let by = actor(lin, auth::Role::Operator);
    store.keep_events(&[raised("a", Severity::Info, false)]).await.unwrap();
    let id = store.alerts(AlertFilter::default(), Page::default()).await.unwrap().items[0].id;

    store.acknowledge_alert(&by, id).await.unwrap();
    store.keep_events(&[raised("a", Severity::Info, false)]).await.unwrap();
    let alert = store.alert(id, None).await.unwrap();
    assert_eq!((alert.state, alert.count), (AlertState::Acknowledged, 2));
    assert_eq!(alert.acknowledged.as_ref().unwrap().0, "somebody");

    store.resolve_alert(&by, id).await.unwrap();
    store.acknowledge_alert(&admin(), id).await.unwrap();
    let alert = store.alert(id, None).await.unwrap();
    assert_eq!(alert.state, AlertState::Resolved);
    assert_eq!(alert.resolved.unwrap().0, "somebody");
    let none = store.resolve_alert(&by, domain::AlertId(0)).await;
    assert!(matches!(none, Err(StoreError::NotFound("alert"))));
    // What changed nothing is not told either.
    let told = store.audit(Page::default()).await.unwrap().items;
    let told: Vec<_> = told.iter().filter(|line| line.subject == "alert").collect();
    let actions: Vec<_> = told.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["resolved", "acknowledged"]);
    assert!(told.iter().all(|line| (line.user, line.subject_id) == (Some(lin), Some(id.0))));
    assert_eq!(store.verify_audit().await.unwrap().broken_at, None);
}

#[rstest]
#[tokio::test]
async fn alerts_are_found_by_what_they_are_about(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let lin = store.add_user("lin", auth::Role::Developer).await;
    let by = actor(lin, auth::Role::Developer);
    store.add_upstream("theirs").await;
    let new = crate::fixture::named("own", "https://api.openai.com");
    let own = store.make_by(&by, new).await.unwrap().value.id;
    let about = |group, upstream| match raised(group, Severity::Info, false) {
        Event::Alert(raised) => Event::Alert(Raised { upstream, ..raised }),
        other => other,
    };
    let events = [
        about("a", Some(UPSTREAM)),
        about("b", Some(own)),
        about("c", None),
        raised("d", Severity::Critical, false),
        raised("d", Severity::Critical, true),
    ];
    store.keep_events(&events).await.unwrap();

    let found = async |filter| {
        let rows = store.alerts(filter, Page::default()).await.unwrap().items;
        rows.into_iter().map(|row| row.group).collect::<Vec<_>>()
    };
    let any = AlertFilter::default();
    assert_eq!(found(any).await, ["d", "c", "b", "a"]);
    assert_eq!(found(AlertFilter { open: Some(true), ..any }).await, ["c", "b", "a"]);
    assert_eq!(found(AlertFilter { open: Some(false), ..any }).await, ["d"]);
    assert_eq!(found(AlertFilter { severity: Some(Severity::Critical), ..any }).await, ["d"]);
    assert_eq!(found(AlertFilter { upstream: Some(own), ..any }).await, ["b"]);
    assert_eq!(found(AlertFilter { owner: Some(lin), ..any }).await, ["b"]);

    let alerts = store.alerts(any, Page::default()).await.unwrap().items;
    let (nobodys, mine, theirs) = (alerts[1].id, alerts[2].id, alerts[3].id);
    assert_eq!(store.alert(mine, Some(lin)).await.unwrap().group, "b");
    store.acknowledge_alert(&by, mine).await.unwrap();
    for foreign in [nobodys, theirs] {
        let hidden = store.alert(foreign, Some(lin)).await;
        assert!(matches!(hidden, Err(StoreError::NotFound("alert"))));
        let hidden = store.resolve_alert(&by, foreign).await;
        assert!(matches!(hidden, Err(StoreError::NotFound("alert"))));
    }
}

#[rstest]
#[tokio::test]
async fn what_a_person_made_void_is_not_told_with_a_key(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let (voided, held) = (store.add_key(upstream, "a").await, store.add_key(upstream, "b").await);
    let before = [
        step(voided, None, KeyStatus::DisabledAuto(later(60))),
        step(held, None, KeyStatus::DisabledAuto(later(60))),
    ];
    store.keep_events(&before.map(Event::Transition)).await.unwrap();
    let active = |key: &mut MaskedKey| key.decide(KeyState::Active, chrono::Utc::now());
    store.alter(voided, active).await.unwrap();
    let listed = async || {
        let all = ProviderKeyFilter::default();
        let keys = store.seen_by(&admin()).list::<MaskedKey>(&all, Page::default()).await;
        let keys = keys.unwrap().items.into_iter();
        keys.map(|key| (key.value.id, key.extra.len())).collect::<Vec<_>>()
    };

    assert_eq!(listed().await, [(voided, 0), (held, 1)]);
    let since = later(1);
    let after = step_at(voided, Some("gpt-5"), KeyStatus::Cooling(later(5)), since);
    store.keep_events(&[Event::Transition(after)]).await.unwrap();
    assert_eq!(listed().await, [(voided, 1), (held, 1)]);
}

#[rstest]
#[tokio::test]
async fn instances_that_tell_at_once_neither_lose_nor_double(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let mut telling = Vec::new();
    for i in 0..8 {
        let store = store.store.clone();
        telling.push(tokio::spawn(async move {
            let cooling = step(ProviderKeyId(i), None, KeyStatus::Cooling(later(5)));
            let events = [raised("a", Severity::Info, false), Event::Transition(cooling)];
            store.keep_events(&events).await
        }));
    }
    for told in telling {
        told.await.unwrap().unwrap();
    }

    let alerts = store.alerts(AlertFilter::default(), Page::default()).await.unwrap().items;
    assert_eq!((alerts.len(), alerts[0].count), (1, 8));
    let (standings, _) = store.again().await.standings_since(0, 100).await.unwrap();
    assert_eq!(standings.len(), 8);
}
