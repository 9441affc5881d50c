//! Provider keys and service keys.

use auth::{Place, Role};
use chrono::{TimeDelta, Utc};
use domain::{KeyState, ProviderKeyId, Quota, UpstreamId};
use entity::provider_keys;
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database, EntityTrait};
use secrecy::ExposeSecret;
use store::{NewProviderKey, NewServiceKey, Page, ProviderKeyEdit, ServiceKeyEdit, StoreError};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, actor, admin, service_key},
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
    let mut new = NewProviderKey::new(upstream, "Key 1", "sk-live-1234567890abcd".into());
    (new.enable_quota, new.quota_total) = (true, Some(1000));
    (new.weight, new.note) = (Some(5), "from lin".into());

    let id = store.create_provider_key(&admin(), new).await.unwrap();

    let row = store.provider_key(id).await.unwrap();
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
    let edit = |enable, total| ProviderKeyEdit {
        enable_quota: Some(enable),
        quota_total: Some(total),
        ..ProviderKeyEdit::default()
    };

    store.edit_provider_key(&admin(), key, edit(false, Some(7))).await.unwrap();
    assert_eq!(quota().await, []);
    store.edit_provider_key(&admin(), key, edit(true, Some(7))).await.unwrap();
    assert_eq!(quota().await, [Quota::requests_a_day(7)]);
    let refused = store.edit_provider_key(&admin(), key, edit(true, None)).await;
    assert_eq!(fields(refused), ["quota_total"]);
}

#[rstest]
#[tokio::test]
async fn a_key_is_changed_and_its_secret_replaced(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let key = store.add_key(upstream, "one").await;
    let edit = ProviderKeyEdit {
        name: Some("uno".into()),
        secret: Some("sk-another-secret-9999".into()),
        state: Some(KeyState::Banned),
        weight: Some(9),
        note: Some("changed".into()),
        ..ProviderKeyEdit::default()
    };

    store.edit_provider_key(&admin(), key, edit).await.unwrap();

    let row = store.provider_key(key).await.unwrap();
    assert_eq!((row.name.as_str(), row.mask.as_str()), ("uno", "sk-…9999"));
    assert_eq!((row.state, row.weight, row.note.as_str()), (KeyState::Banned, 9, "changed"));
    assert_eq!(served(&store, upstream, key).await.unwrap(), "sk-another-secret-9999");

    let name_only = ProviderKeyEdit { name: Some("x".into()), ..ProviderKeyEdit::default() };
    store.edit_provider_key(&admin(), key, name_only).await.unwrap();
    assert_eq!(served(&store, upstream, key).await.unwrap(), "sk-another-secret-9999");
}

#[rstest]
#[tokio::test]
async fn every_field_of_a_bad_key_is_named(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let mut bad = NewProviderKey::new(UpstreamId(99), " ", "has space".into());
    bad.weight = Some(0);
    bad.note = "x".repeat(3000);

    let refused = store.create_provider_key(&admin(), bad).await;

    let expected = ["name", "weight", "key_value", "note", "upstream_id"];
    assert_eq!(fields(refused), expected);
    let key = store.add_key(upstream, "one").await;
    let edit = ProviderKeyEdit {
        secret: Some("".into()),
        weight: Some(1001),
        ..ProviderKeyEdit::default()
    };
    let refused = store.edit_provider_key(&admin(), key, edit).await;
    assert_eq!(fields(refused), ["weight", "key_value"]);
}

#[rstest]
#[tokio::test]
async fn a_name_is_given_once_in_a_pool(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    store.add_key(one, "key").await;
    store.add_key(two, "key").await;

    let again = NewProviderKey::new(one, "key", "sk-other".into());
    let again = store.create_provider_key(&admin(), again).await;

    assert!(matches!(again, Err(StoreError::Conflict { field: "name", .. })), "{again:?}");
}

#[rstest]
#[tokio::test]
async fn many_keys_come_as_one_change_or_not_at_all(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let key = |i: usize| NewProviderKey::new(upstream, format!("key {i}"), "sk-secret".into());

    let mut bad: Vec<_> = (0..5).map(key).collect();
    bad[1].name = String::new();
    bad[3].secret = "".into();
    let refused = store.create_provider_keys(&admin(), bad).await;
    assert_eq!(fields(refused), ["keys[1].name", "keys[3].key_value"]);
    let twice = store.create_provider_keys(&admin(), vec![key(0), key(0)]).await;
    assert!(matches!(twice, Err(StoreError::Conflict { field: "name", .. })));
    assert_eq!(store.upstream(upstream).await.unwrap().keys, 0);

    let ids = store.create_provider_keys(&admin(), (0..2500).map(key).collect()).await.unwrap();
    assert_eq!(ids, (1..=2500).map(ProviderKeyId).collect::<Vec<_>>());
    assert_eq!(store.revision().await.unwrap().0, 2);
    assert_eq!(store.load_catalog().await.unwrap().upstreams[&upstream].keys.len(), 2500);
    assert_eq!(store.create_provider_keys(&admin(), Vec::new()).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn a_deleted_key_leaves_the_pool(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let (one, two) = (store.add_key(upstream, "one").await, store.add_key(upstream, "two").await);

    store.delete_provider_key(&admin(), one).await.unwrap();

    assert!(served(&store, upstream, one).await.is_none());
    assert!(served(&store, upstream, two).await.is_some());
    let gone = store.delete_provider_key(&admin(), one).await;
    assert!(matches!(gone, Err(StoreError::NotFound("provider_key"))));
}

#[rstest]
#[tokio::test]
async fn keys_are_listed_by_pool(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    let (a, b) = (store.add_key(one, "a").await, store.add_key(two, "b").await);

    let ids = async |of| {
        let listed = store.provider_keys(of, Page::default()).await.unwrap();
        listed.items.into_iter().map(|key| key.id).collect::<Vec<_>>()
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
    let new = NewServiceKey {
        expires_at: Some(expires),
        allowed_upstreams: vec![upstream],
        allowed_models: vec!["gpt-5".into()],
        ..service_key("a")
    };
    let id = store.create_service_key(&admin(), new).await.unwrap();
    let key = store.service_key(id).await.unwrap();
    assert_eq!((key.id(), key.key.digest, key.key.last_four.as_str()), (id, [7; 32], "wxyz"));
    assert_eq!(key.key.allowed_upstreams, [upstream]);
    assert_eq!(key.key.expires_at.unwrap().timestamp_micros(), expires.timestamp_micros());

    let edit = ServiceKeyEdit {
        name: Some("renamed".into()),
        enabled: Some(false),
        expires_at: Some(None),
        allowed_upstreams: Some(Vec::new()),
        allowed_models: Some(Vec::new()),
        ..ServiceKeyEdit::default()
    };
    store.edit_service_key(&admin(), id, edit).await.unwrap();
    let key = store.service_key(id).await.unwrap().key;
    assert_eq!((key.name.as_str(), key.enabled, key.expires_at), ("renamed", false, None));
    assert_eq!(store.load_catalog().await.unwrap().service_keys[&id].as_ref(), &key);

    store.delete_service_key(&admin(), id).await.unwrap();
    assert!(store.load_catalog().await.unwrap().service_keys.is_empty());
    let gone = store.service_key(id).await;
    assert!(matches!(gone, Err(StoreError::NotFound("service_key"))));
}

#[rstest]
#[tokio::test]
async fn a_service_key_is_confined_only_to_what_there_is(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_service_key("a").await;
    let nowhere = || vec![UpstreamId(1), UpstreamId(2)];

    let edit = ServiceKeyEdit { allowed_upstreams: Some(nowhere()), ..ServiceKeyEdit::default() };
    let edited = store.edit_service_key(&admin(), id, edit).await;
    let new = NewServiceKey { allowed_upstreams: nowhere(), ..service_key("b") };
    let made = store.create_service_key(&admin(), new).await;
    let twice = store.create_service_key(&admin(), service_key("a")).await;

    assert_eq!(fields(edited), ["allowed_upstreams[0]", "allowed_upstreams[1]"]);
    assert_eq!(fields(made), ["allowed_upstreams[0]", "allowed_upstreams[1]"]);
    assert!(matches!(twice, Err(StoreError::Conflict { field: "public_id", .. })));
    let unnamed = NewServiceKey { name: "".into(), ..service_key("c") };
    let unnamed = store.create_service_key(&admin(), unnamed).await;
    assert_eq!(fields(unnamed), ["name"]);
}

#[rstest]
#[tokio::test]
async fn developers_change_their_own_service_keys_only(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let lin = actor(store.add_user("lin", Role::Developer).await, Role::Developer);
    let other = store.add_service_key("other").await;
    let own = store.create_service_key(&lin, service_key("own")).await.unwrap();

    let theirs = Page { owner: lin.user(), ..Page::default() };
    let listed = store.service_keys(theirs).await.unwrap();
    let ids: Vec<_> = listed.items.iter().map(|key| key.id()).collect();

    assert_eq!(ids, [own]);
    assert!(store.edit_service_key(&lin, own, ServiceKeyEdit::default()).await.is_ok());
    let refused = store.edit_service_key(&lin, other, ServiceKeyEdit::default()).await;
    assert!(matches!(refused, Err(StoreError::NotFound("service_key"))));
    let refused = store.delete_service_key(&lin, other).await;
    assert!(matches!(refused, Err(StoreError::NotFound("service_key"))));
}
