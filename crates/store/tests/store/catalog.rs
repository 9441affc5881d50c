//! Loading the catalog: only what changed, also across processes.

use std::{sync::Arc, time::Instant};

use auth::Role;
use domain::{Catalog, KeyState, ProviderKeyId, Revision, UpstreamId};
use rstest::rstest;
use secrecy::ExposeSecret;
use store::{KeyBulk, KeySet, MaskedKey, ProviderKeyFilter, UserEdit, WhichKeys};

use crate::fixture::{Fixture, On, Pg, Sqlite, admin, listed, route};

/// What tells two catalogs apart, as text.
fn told(catalog: &Catalog) -> String {
    format!("{catalog:#?}")
}

#[rstest]
#[tokio::test]
async fn an_empty_database_has_an_empty_catalog(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let catalog = store.load_catalog().await.unwrap();
    assert_eq!(told(&catalog), told(&Catalog::empty()));
    assert_eq!(store.revision().await.unwrap(), Revision(0));
}

#[rstest]
#[tokio::test]
async fn what_did_not_change_is_neither_read_nor_made_anew(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    for i in 0..20 {
        store.add_key(one, &format!("a{i}")).await;
        store.add_key(two, &format!("b{i}")).await;
    }
    let before = store.load_catalog().await.unwrap();
    let rows = store.rows_loaded();

    store.alter(ProviderKeyId(1), |key: &mut MaskedKey| key.weight = 2).await.unwrap();
    let after = store.load_catalog().await.unwrap();

    assert_eq!(store.rows_loaded() - rows, 1);
    assert!(!Arc::ptr_eq(&before.upstreams[&one], &after.upstreams[&one]));
    assert!(Arc::ptr_eq(&before.upstreams[&two], &after.upstreams[&two]));
    let (old, new) = (&before.upstreams[&one].keys, &after.upstreams[&one].keys);
    assert_eq!(new[0].weight, 2);
    assert!(old.iter().zip(new).skip(1).all(|(old, new)| Arc::ptr_eq(old, new)));
    assert!(Arc::ptr_eq(&after, &store.load_catalog().await.unwrap()));
}

#[rstest]
#[tokio::test]
async fn another_process_sees_every_kind_of_change(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let same = async || {
        let theirs = other.load_catalog().await.unwrap();
        let fresh = store.again().await.load_catalog().await.unwrap();
        assert_eq!(told(&theirs), told(&fresh));
        theirs
    };
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    same().await;
    let (a, b) = (store.add_key(one, "a").await, store.add_key(one, "b").await);
    let key = store.add_service_key("app").await;
    let lin = store.add_user("lin", Role::Operator).await;
    let route = store.make(route("m", vec![domain::Target::of(one)])).await.unwrap().value.id;
    let catalog = same().await;
    assert!(catalog.owners[&lin].active && catalog.owners[&lin].uses_all_upstreams);

    store.alter(one, |upstream: &mut domain::Upstream| upstream.enabled = false).await.unwrap();
    store.delete::<MaskedKey>(&admin(), a).await.unwrap();
    store.alter(b, |key: &mut MaskedKey| key.state = KeyState::Banned).await.unwrap();
    let edit = UserEdit { role: Some(Role::Developer), ..UserEdit::default() };
    store.edit_user(&admin(), lin, edit).await.unwrap();
    let catalog = same().await;
    assert!(!catalog.upstreams[&one].upstream.enabled);
    assert_eq!(catalog.upstreams[&one].keys.len(), 1);
    assert!(!catalog.owners[&lin].uses_all_upstreams);

    store.delete::<domain::ServiceKey>(&admin(), key).await.unwrap();
    store.delete::<domain::Route>(&admin(), route).await.unwrap();
    store.delete::<domain::Upstream>(&admin(), one).await.unwrap();
    store.delete_user(&admin(), lin).await.unwrap();
    let catalog = same().await;
    assert_eq!(catalog.upstreams.keys().collect::<Vec<_>>(), [&two]);
    assert!(catalog.service_keys.is_empty() && catalog.routes.is_empty());
    assert!(catalog.owners.is_empty());
    assert_eq!(catalog.revision, store.revision().await.unwrap());
}

#[rstest]
#[tokio::test]
async fn a_key_moved_in_by_the_same_change_as_a_deletion_is_kept_apart(
    #[values(Sqlite, Pg)] on: On,
) {
    let store = Fixture::new(on).await;
    let one = store.add_upstream("one").await;
    let other = store.again().await;
    other.load_catalog().await.unwrap();
    let gone = store.add_key(one, "a").await;
    store.delete::<MaskedKey>(&admin(), gone).await.unwrap();
    let stays = store.add_key(one, "a").await;

    let catalog = other.load_catalog().await.unwrap();

    let ids: Vec<_> = catalog.upstreams[&one].keys.iter().map(|key| key.id).collect();
    assert_eq!(ids, [stays]);
}

#[rstest]
#[tokio::test]
async fn among_a_hundred_thousand_keys_a_change_of_one_reads_one(#[values(Sqlite, Pg)] on: On) {
    const KEYS: u64 = 100_000;
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let keys = (0..KEYS).map(|i| listed(&format!("sk-{i}"))).collect();
    let began = Instant::now();
    store.import_provider_keys(&admin(), upstream, keys, false).await.unwrap();
    println!("{on:?}: entered {KEYS} keys in {:?}", began.elapsed());
    assert_eq!(store.rows_loaded(), 1, "what is imported is known already");

    let began = Instant::now();
    store.alter(ProviderKeyId(50_000), |key: &mut MaskedKey| key.weight = 3).await.unwrap();
    store.delete::<MaskedKey>(&admin(), ProviderKeyId(1)).await.unwrap();
    store.add_key(upstream, "one more").await;
    println!("{on:?}: changed, deleted and added one in {:?}", began.elapsed());

    assert_eq!(store.rows_loaded(), 4, "one row for each change");
    let catalog = store.load_catalog().await.unwrap();
    let keys = &catalog.upstreams[&UpstreamId(1)].keys;
    assert_eq!(keys.len(), 100_000);
    assert_eq!(keys[49_998].weight, 3);
    assert!(keys.is_sorted_by_key(|key| key.id));

    let other = store.again().await;
    other.load_catalog().await.unwrap();
    let whole = other.rows_loaded();
    store.delete::<MaskedKey>(&admin(), ProviderKeyId(2)).await.unwrap();
    other.load_catalog().await.unwrap();
    assert_eq!(other.rows_loaded() - whole, 1);
}

#[rstest]
#[tokio::test]
async fn a_change_of_many_keys_reads_none_and_makes_what_a_fresh_load_reads(
    #[values(Sqlite, Pg)] on: On,
) {
    const KEYS: u64 = 2500;
    let store = Fixture::new(on).await;
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    let secrets = |catalog: &Catalog| -> Vec<String> {
        let keys = catalog.upstreams.values().flat_map(|entry| &entry.keys);
        keys.map(|key| key.secret.expose_secret().to_owned()).collect()
    };
    let same = async || {
        let known = store.load_catalog().await.unwrap();
        let fresh = store.again().await.load_catalog().await.unwrap();
        assert_eq!(told(&known), told(&fresh));
        assert_eq!(secrets(&known), secrets(&fresh));
        known
    };
    for (upstream, prefix) in [(one, "a"), (two, "b")] {
        let mut keys: Vec<_> = (0..KEYS).map(|i| listed(&format!("sk-{prefix}{i}"))).collect();
        (keys[3].weight, keys[3].quota_total) = (Some(7), Some(100));
        store.import_provider_keys(&admin(), upstream, keys, false).await.unwrap();
        same().await;
    }
    let group = KeySet { weight: Some(5), group: Some(Some("g".to_owned())), note: None };
    let ungroup = KeySet { weight: None, group: Some(None), note: Some("n".to_owned()) };
    let of_one = ProviderKeyFilter { upstream: Some(one), ..ProviderKeyFilter::default() };
    let bulks = [
        KeyBulk::State(KeyState::Disabled),
        KeyBulk::State(KeyState::Active),
        KeyBulk::State(KeyState::Banned),
        KeyBulk::Set(group),
        KeyBulk::Set(ungroup),
    ];
    for bulk in bulks {
        let rows = store.rows_loaded();
        let which = WhichKeys::Filter(of_one.clone());
        let done = store.change_provider_keys(&admin(), &which, &bulk, None).await.unwrap();
        let catalog = same().await;
        assert_eq!((done.done, store.rows_loaded()), (KEYS, rows), "{bulk:?}");
        assert!(catalog.upstreams[&two].keys.iter().all(|key| key.state == KeyState::Active));
    }

    let which = WhichKeys::Filter(of_one);
    store.change_provider_keys(&admin(), &which, &KeyBulk::Delete, None).await.unwrap();

    assert!(same().await.upstreams[&one].keys.is_empty());
}
