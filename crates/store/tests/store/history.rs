//! The history of resources, and who may see what.

use auth::Role;
use domain::{
    Limit, LimitId, Route, Rule, RuleId, Scope, ServiceKey, Target, Unit, Upstream, UserId,
};
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database, EntityTrait};
use store::{
    Aged, KeyBulk, Listed, MaskedKey, Page, ProviderKeyFilter, Resource, StoreError, Version,
    WhichKeys,
};

use crate::fixture::{Fixture, On, Pg, Sqlite, actor, admin, listed, route};

async fn history<R: Resource>(
    store: &Fixture,
    id: R::Id,
) -> Result<Listed<Version<R>>, StoreError> {
    store.seen_by(&admin()).history(id, Page::default()).await
}

#[rstest]
#[tokio::test]
async fn every_change_of_a_resource_leaves_a_version(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let other = store.add_upstream("other").await;
    let lin = actor(store.add_user("lin", Role::Operator).await, Role::Operator);
    let edit = |upstream: &mut Upstream| {
        upstream.retry_count = 7;
        Ok(())
    };
    let edited = store.edit(&lin, id, edit).await.unwrap();
    store.alter(id, |upstream: &mut Upstream| upstream.retry_count = 99).await.unwrap_err();
    store.delete::<Upstream>(&admin(), id).await.unwrap();

    let versions = history::<Upstream>(&store, id).await.unwrap().items;
    let told: Vec<_> = versions
        .iter()
        .map(|it| (it.revision.0, it.action.as_str(), it.actor.as_str(), it.deleted))
        .collect();
    let expected = [
        (5, "deleted", "system", true),
        (4, "edited", "somebody", false),
        (1, "created", "system", false),
    ];
    assert_eq!(told, expected);
    assert_eq!(versions[0].resource, None);
    assert_eq!(versions[1].resource.as_ref(), Some(&edited));
    assert_eq!(versions[2].resource.as_ref().unwrap().value.retry_count, 2);
    assert_eq!(history::<Upstream>(&store, other).await.unwrap().items.len(), 1);
    let never = history::<Upstream>(&store, domain::UpstreamId(9)).await;
    assert!(matches!(never, Err(StoreError::NotFound("upstream"))));

    let first = store.seen_by(&lin).history::<Upstream>(id, Page::first(2)).await.unwrap();
    let rest = Page::first(2).after(first.next_cursor.unwrap());
    let rest = store.seen_by(&lin).history::<Upstream>(id, rest).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next_cursor), (2, 1, None));
}

#[rstest]
#[tokio::test]
async fn a_version_is_what_was_stored_without_what_is_secret(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let made = store.make(route("fast", vec![Target::of(upstream)])).await.unwrap();
    let more = |it: &mut Route| it.targets.push(Target { priority: 1, ..Target::of(upstream) });
    let edited = store.alter(made.value.id, more).await.unwrap();
    let versions = history::<Route>(&store, made.value.id).await.unwrap().items;
    let routes: Vec<_> = versions.into_iter().filter_map(|version| version.resource).collect();
    assert_eq!(routes, [edited, made]);

    let key = store.add_key(upstream, "one").await;
    let note = |it: &mut MaskedKey| it.note = "from lin".into();
    store.alter(key, note).await.unwrap();
    let versions = history::<MaskedKey>(&store, key).await.unwrap().items;
    assert_eq!(versions[0].resource.as_ref().unwrap().value.note, "from lin");
    let app = store.add_service_key("app").await;
    let versions = history::<ServiceKey>(&store, app).await.unwrap().items;
    assert_eq!(versions[0].resource.as_ref().unwrap().value.name, "app");
    let db = Database::connect(store.address()).await.unwrap();
    let rows = format!("{:?}", entity::history::Entity::find().all(&db).await.unwrap());
    for secret in ["sk-one", "v1.", "digest", "fingerprint"] {
        assert!(!rows.contains(secret), "{secret} is in {rows}");
    }
}

#[rstest]
#[tokio::test]
async fn a_change_of_a_few_keys_leaves_versions_and_one_of_many_does_not(
    #[values(Sqlite, Pg)] on: On,
) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let list = (0..1001).map(|i| listed(&format!("sk-{i}"))).collect();
    store.import_provider_keys(&admin(), upstream, list, false).await.unwrap();
    let ids: Vec<_> = store.all::<MaskedKey>().await.iter().map(|key| key.id).collect();
    let some = WhichKeys::Ids(ids[..2].to_vec());
    let all = WhichKeys::Filter(ProviderKeyFilter::default());
    let off = KeyBulk::State(domain::KeyState::Disabled);
    store.change_provider_keys(&admin(), &some, &off, None).await.unwrap();
    store.change_provider_keys(&admin(), &all, &off, None).await.unwrap();

    let versions = history::<MaskedKey>(&store, ids[0]).await.unwrap().items;
    let told: Vec<_> = versions.iter().map(|version| version.action.as_str()).collect();
    assert_eq!(told, ["disabled"]);
    assert!(history::<MaskedKey>(&store, ids[5]).await.unwrap().items.is_empty());
}

#[rstest]
#[tokio::test]
async fn versions_are_kept_for_a_time(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let db = Database::connect(store.address()).await.unwrap();
    db.execute_unprepared("UPDATE history SET at_us = 0").await.unwrap();
    store.alter(id, |upstream: &mut Upstream| upstream.enabled = false).await.unwrap();
    let before = chrono::Utc::now() - chrono::TimeDelta::days(1);
    assert_eq!(store.delete_old(Aged::History, before, 100).await.unwrap(), 1);
    assert_eq!(history::<Upstream>(&store, id).await.unwrap().items.len(), 1);
}

/// What a developer sees of a resource of somebody else.
async fn hidden<R: Resource>(store: &Fixture, lin: &auth::Actor, id: R::Id) {
    let view = store.seen_by(lin);
    let unseen = |error| matches!(error, StoreError::NotFound(_));
    assert!(unseen(view.get::<R>(id).await.unwrap_err()), "{:?}", R::KIND);
    assert!(unseen(view.history::<R>(id, Page::default()).await.unwrap_err()), "{:?}", R::KIND);
    let listed = view.list::<R>(&R::Filter::default(), Page::default()).await.unwrap();
    assert!(listed.items.is_empty(), "{:?}", R::KIND);
    let edited = store.edit::<R>(lin, id, |_| Ok(())).await.unwrap_err();
    assert!(unseen(edited), "{:?}", R::KIND);
    assert!(store.seen_by(&admin()).get::<R>(id).await.is_ok(), "{:?}", R::KIND);
}

#[rstest]
#[tokio::test]
async fn nothing_of_another_user_is_seen_through_a_view(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let lin = actor(store.add_user("lin", Role::Developer).await, Role::Developer);
    let upstream = store.add_upstream("openai").await;
    let key = store.add_key(upstream, "one").await;
    let app = store.add_service_key("app").await;
    let fast = store.make(route("fast", vec![Target::of(upstream)])).await.unwrap().value.id;
    let test = domain::rule::Test {
        subject: domain::rule::Subject::StatusCode,
        name: None,
        operator: domain::rule::Operator::Equals,
        value: 429.into(),
    };
    let actions = vec![domain::rule::Action::Alert];
    let rule = Rule::new(RuleId(0), UserId(0), "r", domain::Condition::Is(test), actions);
    let rule = store.make(rule).await.unwrap().value.id;
    let limit = Limit {
        id: LimitId(0),
        owner: UserId(0),
        name: String::new(),
        scope: Scope::ServiceKey(Some(app)),
        unit: Unit::Concurrency,
        algorithm: domain::Algorithm::Concurrency,
        limit: 1,
        alert_percent: None,
        enabled: true,
    };
    let limit = store.make(limit).await.unwrap().value.id;

    hidden::<Upstream>(&store, &lin, upstream).await;
    hidden::<MaskedKey>(&store, &lin, key).await;
    hidden::<ServiceKey>(&store, &lin, app).await;
    hidden::<Route>(&store, &lin, fast).await;
    hidden::<Rule>(&store, &lin, rule).await;
    hidden::<Limit>(&store, &lin, limit).await;
    let view = store.seen_by(&lin);
    assert!(view.every_provider_key(&ProviderKeyFilter::default()).await.unwrap().is_empty());
    assert!(view.these_provider_keys(&[key]).await.unwrap().is_empty());
    let export = view.export_provider_keys(&ProviderKeyFilter::default(), true).await;
    assert!(export.unwrap().is_empty());
}
