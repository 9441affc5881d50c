//! Provider keys and service keys.

use auth::{Place, Role};
use chrono::{TimeDelta, Utc};
use domain::{KeyState, ProviderKeyId, Quota, ServiceKey, UpstreamId};
use entity::provider_keys;
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database, EntityTrait};
use secrecy::ExposeSecret;
use store::{MaskedKey, Page, ProviderKeyFilter, StoreError, TagFilter};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, actor, admin, key, service_key},
    upstreams::fields,
};

/// The secret of a key as the data plane gets it.
async fn served(store: &Fixture, upstream: UpstreamId, key: ProviderKeyId) -> Option<String> {
    let catalog = store.load_catalog().await.unwrap();
    let entry = catalog.upstreams.get(&upstream)?;
    let key = entry.keys.iter().find(|k| k.id == key)?;
    Some(key.secret.expose_secret().to_owned())
}

#[rstest]
#[tokio::test]
async fn a_secret_is_sealed_at_rest_and_served_open(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let mut new = key(upstream, "Key 1", "sk-live-1234567890abcd");
    (new.enable_quota, new.quota_total) = (true, Some(1000));
    (new.weight, new.note) = (5, "from lin".into());

    let id = store.make(new).await.unwrap().value.id;

    let row = store.value::<MaskedKey>(id).await;
    assert_eq!((row.name.as_str(), row.mask.as_str()), ("Key 1", "sk-…abcd"));
    assert_eq!((row.enable_quota, row.quota_total), (true, Some(1000)));
    assert_eq!((row.weight, row.note.as_str()), (5, "from lin"));
    assert_eq!(row.state, KeyState::Active);
    assert_eq!(served(&store, upstream, id).await.unwrap(), "sk-live-1234567890abcd");

    let db = Database::connect(store.address()).await.unwrap();
    let raw = provider_keys::Entity::find_by_id(id.0).one(&db).await.unwrap().unwrap();
    assert!(raw.secret.starts_with("v1.") && !raw.secret.contains("1234567890"));
    let place = Place { table: "provider_keys", column: "secret", row: id.0, owner: 0 };
    assert!(store.master.sealer().open(&place, &raw.secret).is_ok());
}

#[rstest]
#[tokio::test]
async fn the_quota_counts_only_when_it_is_switched_on(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let key = store.add_key(upstream, "one").await;
    let quota =
        async || store.load_catalog().await.unwrap().upstreams[&upstream].keys[0].quotas.clone();
    let edit = |enable, total| {
        move |key: &mut MaskedKey| (key.enable_quota, key.quota_total) = (enable, total)
    };

    store.alter(key, edit(false, Some(7))).await.unwrap();
    assert_eq!(quota().await, []);
    store.alter(key, edit(true, Some(7))).await.unwrap();
    assert_eq!(quota().await, [Quota::requests_a_day(7)]);
    let refused = store.alter(key, edit(true, None)).await;
    assert_eq!(fields(refused), ["quota_total"]);
}

#[rstest]
#[tokio::test]
async fn a_key_is_changed_and_its_secret_replaced(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let key = store.add_key(upstream, "one").await;
    let edit = |key: &mut MaskedKey| {
        (key.name, key.note, key.weight) = ("uno".into(), "changed".into(), 9);
        key.secret = Some("sk-another-secret-9999".into());
        key.decide(KeyState::Banned, Utc::now());
    };

    let edited = store.alter(key, edit).await.unwrap().value;

    assert!(edited.secret.is_none() && edited.mask == "sk-…9999", "{edited:?}");

    let row = store.value::<MaskedKey>(key).await;
    assert_eq!((row.name.as_str(), row.mask.as_str()), ("uno", "sk-…9999"));
    assert_eq!((row.state, row.weight, row.note.as_str()), (KeyState::Banned, 9, "changed"));
    assert_eq!(served(&store, upstream, key).await.unwrap(), "sk-another-secret-9999");

    store.alter(key, |key: &mut MaskedKey| key.name = "x".into()).await.unwrap();
    assert_eq!(served(&store, upstream, key).await.unwrap(), "sk-another-secret-9999");
}

#[rstest]
#[tokio::test]
async fn every_field_of_a_bad_key_is_named(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let mut bad = key(UpstreamId(99), " ", "has space");
    bad.weight = 0;
    bad.note = "x".repeat(3000);

    let refused = store.make(bad).await;

    let expected = ["name", "weight", "key_value", "note", "upstream_id"];
    assert_eq!(fields(refused), expected);
    let key = store.add_key(upstream, "one").await;
    let edit = |key: &mut MaskedKey| (key.secret, key.weight) = (Some("".into()), 1001);
    let refused = store.alter(key, edit).await;
    assert_eq!(fields(refused), ["weight", "key_value"]);
}

#[rstest]
#[tokio::test]
async fn a_name_is_given_once_in_a_pool(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    store.add_key(one, "key").await;
    store.add_key(two, "key").await;

    let again = store.make(key(one, "key", "sk-other")).await;

    assert!(matches!(again, Err(StoreError::Conflict { field: "name", .. })), "{again:?}");
}

#[rstest]
#[tokio::test]
async fn a_deleted_key_leaves_the_pool(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let (one, two) = (store.add_key(upstream, "one").await, store.add_key(upstream, "two").await);

    store.delete::<MaskedKey>(&admin(), one).await.unwrap();

    assert!(served(&store, upstream, one).await.is_none());
    assert!(served(&store, upstream, two).await.is_some());
    let gone = store.delete::<MaskedKey>(&admin(), one).await;
    assert!(matches!(gone, Err(StoreError::NotFound("provider_key"))));
}

#[rstest]
#[tokio::test]
async fn keys_are_listed_by_pool(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    let (a, b) = (store.add_key(one, "a").await, store.add_key(two, "b").await);

    let ids = async |upstream| {
        let filter = ProviderKeyFilter { upstream, ..ProviderKeyFilter::default() };
        let listed = store.seen_by(&admin()).list::<MaskedKey>(&filter, Page::default()).await;
        listed.unwrap().items.into_iter().map(|key| key.value.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(Some(one)).await, [a]);
    assert_eq!(ids(Some(two)).await, [b]);
    assert_eq!(ids(None).await, [a, b]);
}

#[rstest]
#[tokio::test]
async fn a_key_that_was_moved_to_another_row_is_left_out(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let (one, two) = (store.add_key(upstream, "one").await, store.add_key(upstream, "two").await);
    let db = Database::connect(store.address()).await.unwrap();
    let swap = "UPDATE provider_keys SET secret = \
                (SELECT secret FROM provider_keys WHERE id = 2) WHERE id = 1";
    db.execute_unprepared(swap).await.unwrap();

    let fresh = store.again().await;
    let catalog = fresh.load_catalog().await.unwrap();

    let ids: Vec<_> = catalog.upstreams[&upstream].keys.iter().map(|key| key.id).collect();
    assert_eq!(ids, [two], "{one} must not be served with another key's secret");
}

#[rstest]
#[tokio::test]
async fn a_service_key_is_kept_changed_and_deleted(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let expires = Utc::now() + TimeDelta::days(1);
    let new = ServiceKey {
        expires_at: Some(expires),
        allowed_upstreams: vec![upstream],
        allowed_models: vec!["gpt-5".into()],
        ..service_key("a")
    };
    let id = store.make(new).await.unwrap().value.id;
    let key = store.value::<ServiceKey>(id).await;
    assert_eq!((key.id, key.digest, key.last_four.as_str()), (id, [7; 32], "wxyz"));
    assert_eq!(key.allowed_upstreams, [upstream]);
    assert_eq!(key.expires_at.unwrap().timestamp_micros(), expires.timestamp_micros());

    let edit = |key: &mut ServiceKey| {
        (key.name, key.enabled, key.expires_at) = ("renamed".into(), false, None);
        key.allowed_upstreams.clear();
        key.allowed_models.clear();
    };
    store.alter(id, edit).await.unwrap();
    let key = store.value::<ServiceKey>(id).await;
    assert_eq!((key.name.as_str(), key.enabled, key.expires_at), ("renamed", false, None));
    assert_eq!(store.load_catalog().await.unwrap().service_keys[&id].as_ref(), &key);

    store.delete::<ServiceKey>(&admin(), id).await.unwrap();
    assert!(store.load_catalog().await.unwrap().service_keys.is_empty());
    let gone = store.look::<ServiceKey>(id).await;
    assert!(matches!(gone, Err(StoreError::NotFound("service_key"))));
}

#[rstest]
#[tokio::test]
async fn a_service_key_is_confined_only_to_what_there_is(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_service_key("a").await;
    let nowhere = || vec![UpstreamId(1), UpstreamId(2)];

    let edited = store.alter(id, |key: &mut ServiceKey| key.allowed_upstreams = nowhere()).await;
    let new = ServiceKey { allowed_upstreams: nowhere(), ..service_key("b") };
    let made = store.make(new).await;
    let twice = store.make(service_key("a")).await;

    assert_eq!(fields(edited), ["allowed_upstreams[0]", "allowed_upstreams[1]"]);
    assert_eq!(fields(made), ["allowed_upstreams[0]", "allowed_upstreams[1]"]);
    assert!(matches!(twice, Err(StoreError::Conflict { field: "public_id", .. })));
    let unnamed = store.make(ServiceKey { name: "".into(), ..service_key("c") }).await;
    assert_eq!(fields(unnamed), ["name"]);
}

#[rstest]
#[tokio::test]
async fn developers_change_their_own_service_keys_only(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let lin = actor(store.add_user("lin", Role::Developer).await, Role::Developer);
    let other = store.add_service_key("other").await;
    let own = store.make_by(&lin, service_key("own")).await.unwrap().value.id;

    let listed = store
        .seen_by(&lin)
        .list::<ServiceKey>(&TagFilter::default(), Page::default())
        .await
        .unwrap();
    let ids: Vec<_> = listed.items.iter().map(|key| key.value.id).collect();

    assert_eq!(ids, [own]);
    assert!(store.edit(&lin, own, |_: &mut ServiceKey| Ok(())).await.is_ok());
    let refused = store.edit(&lin, other, |_: &mut ServiceKey| Ok(())).await;
    assert!(matches!(refused, Err(StoreError::NotFound("service_key"))));
    let refused = store.delete::<ServiceKey>(&lin, other).await;
    assert!(matches!(refused, Err(StoreError::NotFound("service_key"))));
}
