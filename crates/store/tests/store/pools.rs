//! Pools of keys: quotas and groups of keys, lists that are imported, many keys at once.

use std::{collections::BTreeSet, time::Duration};

use domain::{
    KeyState, Period, ProviderKeyId, Quota, Route, ServiceKey, Strategy, Unit, UpstreamId,
    policy::Sticky,
};
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database};
use secrecy::ExposeSecret;
use store::{
    ImportResult, KeyBulk, KeySet, MaskedKey, Page, ProviderKeyFilter, RotatedServiceKey, Sort,
    SortBy, Store, StoreError, Stored, WhichKeys,
};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, actor, admin, key, listed, route, service_key},
    upstreams::fields,
};

fn quota(unit: Unit, period: Period, limit: u64) -> Quota {
    Quota { unit, period, limit, timezone: None }
}

#[rstest]
#[tokio::test]
async fn quotas_stand_beside_their_short_form_and_are_not_said_twice(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let mut new = key(upstream, "one", "sk-secret");
    let tokens = quota(Unit::Tokens, Period::Month, 5);
    (new.enable_quota, new.quota_total) = (true, Some(7));
    (new.quotas, new.group) = (vec![tokens], Some("account a".into()));
    let id = store.make(new).await.unwrap().value.id;

    let row = store.value::<MaskedKey>(id).await;
    assert_eq!((row.quotas.as_slice(), row.group.as_deref()), (&[tokens][..], Some("account a")));
    let served = store.load_catalog().await.unwrap().upstreams[&upstream].keys[0].clone();
    assert_eq!(served.quotas, [tokens, Quota::requests_a_day(7)]);
    assert_eq!(served.group.as_deref(), Some("account a"));

    let edit = |quotas| move |key: &mut MaskedKey| key.quotas = quotas;
    let twice = edit(vec![quota(Unit::Requests, Period::Day, 9)]);
    assert_eq!(fields(store.alter(id, twice).await), ["enable_quota"]);
    let odd = edit(vec![quota(Unit::Concurrency, Period::Day, 9)]);
    assert_eq!(fields(store.alter(id, odd).await), ["quotas[0].unit"]);
    let leave = |key: &mut MaskedKey| (key.group, key.quotas) = (None, Vec::new());
    store.alter(id, leave).await.unwrap();
    let row = store.value::<MaskedKey>(id).await;
    assert_eq!((row.quotas.len(), row.group), (0, None));
}

#[rstest]
#[tokio::test]
async fn who_says_that_a_key_is_active_voids_what_was_concluded(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let id = store.add_key(upstream, "one").await;
    let cleared = async || store.value::<MaskedKey>(id).await.cleared_at;
    let say = |state| move |key: &mut MaskedKey| key.decide(state, chrono::Utc::now());
    assert_eq!(cleared().await, None);
    store.alter(id, say(KeyState::Disabled)).await.unwrap();
    assert_eq!(cleared().await, None);
    store.alter(id, say(KeyState::Active)).await.unwrap();
    let first = cleared().await.unwrap();
    store.alter(id, say(KeyState::Active)).await.unwrap();
    let second = cleared().await.unwrap();
    assert!(second >= first);
    let served = store.load_catalog().await.unwrap().upstreams[&upstream].keys[0].cleared_at;
    assert_eq!(served, Some(second));
}

#[rstest]
#[tokio::test]
async fn a_list_is_imported_as_far_as_it_is_good(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let mut known = key(upstream, "key 000002", "sk-known");
    known.note = "first".into();
    let known = store.make(known).await.unwrap().value.id;
    // Entered by an older program, which made no fingerprints.
    let db = Database::connect(store.address()).await.unwrap();
    db.execute_unprepared("UPDATE provider_keys SET fingerprint = NULL").await.unwrap();
    let list = || {
        let mut keys: Vec<_> =
            ["sk-a", "sk-known", "sk a", "sk-a", "sk-b", "sk-c"].map(listed).into();
        keys[4].name = Some("key 000002".into());
        (keys[5].name, keys[5].weight, keys[5].quota_total) = (Some("c".into()), Some(9), Some(3));
        keys
    };

    let told = store.import_provider_keys(&admin(), upstream, list(), true).await.unwrap();
    assert_eq!(told[0], ImportResult::Created(None));
    assert_eq!(store.all::<MaskedKey>().await.len(), 1);
    let told = store.import_provider_keys(&admin(), upstream, list(), false).await.unwrap();

    let (a, c) = (ProviderKeyId(known.0 + 1), ProviderKeyId(known.0 + 2));
    assert_eq!(told[0], ImportResult::Created(Some(a)));
    assert_eq!(told[1], ImportResult::InPool(known));
    let ImportResult::Invalid(faults) = &told[2] else { panic!("{:?}", told[2]) };
    assert_eq!(faults.0[0].field, "key_value");
    assert_eq!(told[3], ImportResult::InList(0));
    let ImportResult::Invalid(faults) = &told[4] else { panic!("{:?}", told[4]) };
    assert_eq!(faults.0[0].field, "name");
    assert_eq!(told[5], ImportResult::Created(Some(c)));
    let catalog = store.load_catalog().await.unwrap();
    let keys = &catalog.upstreams[&upstream].keys;
    let names: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["key 000002", "key 000003", "c"]);
    assert_eq!(keys[1].secret.expose_secret(), "sk-a");
    assert_eq!((keys[2].weight, keys[2].quotas.as_slice()), (9, &[Quota::requests_a_day(3)][..]));
    let nowhere = store.import_provider_keys(&admin(), UpstreamId(9), list(), false).await;
    assert_eq!(fields(nowhere), ["upstream_id"]);
}

#[rstest]
#[tokio::test]
async fn lists_that_come_at_once_are_all_entered_and_no_key_twice(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    // Each list takes more than one change, and the lists have a part in common.
    let list = |from: u32| (from..from + 3000).map(|i| listed(&format!("sk-{i}"))).collect();
    let (admin, lists) = (admin(), [list(0), list(2000)]);
    let [one, other] = lists.map(|list| store.import_provider_keys(&admin, upstream, list, false));

    let (one, other) = tokio::join!(one, other);

    let told = [one.unwrap(), other.unwrap()].concat();
    let made = told.iter().filter(|result| matches!(result, ImportResult::Created(Some(_))));
    let held = told.iter().filter(|result| matches!(result, ImportResult::InPool(_)));
    assert_eq!((made.count(), held.count()), (5000, 1000));
    let catalog = store.load_catalog().await.unwrap();
    let keys = &catalog.upstreams[&upstream].keys;
    let secrets: BTreeSet<_> = keys.iter().map(|key| key.secret.expose_secret()).collect();
    assert_eq!((keys.len(), secrets.len()), (5000, 5000));
}

#[tokio::test]
async fn a_hundred_thousand_keys_come_in_one_list() {
    let store = Fixture::new(Sqlite).await;
    let upstream = store.add_upstream("openai").await;
    let list = (0..100_000).map(|i| listed(&format!("sk-{}", i % 99_990))).collect();

    let told = store.import_provider_keys(&admin(), upstream, list, false).await.unwrap();

    let made = told.iter().filter(|result| matches!(result, ImportResult::Created(Some(_))));
    assert_eq!((made.count(), told.len()), (99_990, 100_000));
    assert_eq!(told[99_999], ImportResult::InList(9));
    let catalog = store.load_catalog().await.unwrap();
    assert_eq!(catalog.upstreams[&upstream].keys.len(), 99_990);
    let more = (0..100_001).map(|_| listed("sk")).collect();
    let refused = store.import_provider_keys(&admin(), upstream, more, false).await;
    assert_eq!(fields(refused), ["text"]);
}

#[rstest]
#[tokio::test]
async fn many_keys_are_decided_upon_and_deleted_as_one_change(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(store.add_key(upstream, name).await);
    }
    let before = store.revision().await.unwrap();
    let done = async |by: &auth::Actor, ids: &[ProviderKeyId], bulk: KeyBulk| {
        let which = WhichKeys::Ids(ids.to_vec());
        store.change_provider_keys(by, &which, &bulk, None).await.unwrap().done
    };
    let some = [ids[0], ids[1], ProviderKeyId(99)];
    assert_eq!(done(&admin(), &some, KeyBulk::State(KeyState::Disabled)).await, 2);
    assert_eq!(store.revision().await.unwrap().0, before.0 + 1);
    let filter = |state| ProviderKeyFilter { state: Some(state), ..ProviderKeyFilter::default() };
    let by = admin();
    let off = store.seen_by(&by).every_provider_key(&filter(KeyState::Disabled)).await.unwrap();
    assert_eq!(off.iter().map(|key| key.value.id).collect::<Vec<_>>(), ids[..2]);
    assert_eq!(done(&admin(), &ids, KeyBulk::State(KeyState::Active)).await, 3);
    assert!(store.value::<MaskedKey>(ids[2]).await.cleared_at.is_some());
    let lin = actor(store.add_user("lin", auth::Role::Developer).await, auth::Role::Developer);
    assert_eq!(done(&lin, &ids, KeyBulk::Delete).await, 0);
    assert_eq!(done(&admin(), &ids[1..], KeyBulk::Delete).await, 2);
    let catalog = store.load_catalog().await.unwrap();
    assert_eq!(catalog.upstreams[&upstream].keys.len(), 1);
}

#[rstest]
#[tokio::test]
async fn many_keys_are_found_by_filter_or_value_and_only_as_many_as_were_confirmed(
    #[values(Sqlite, Pg)] on: On,
) {
    let store = Fixture::new(on).await;
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    for name in ["a", "b", "c"] {
        store.add_key(one, name).await;
    }
    store.add_key(two, "a").await;
    let of_one = || ProviderKeyFilter { upstream: Some(one), ..ProviderKeyFilter::default() };
    let whole = WhichKeys::Filter(of_one());
    let counted = store.count_provider_keys(&admin(), &whole).await.unwrap();
    assert_eq!((counted.matched, counted.done, counted.ids.len()), (3, 3, 3));
    let before = store.revision().await.unwrap();
    let disable = KeyBulk::State(KeyState::Disabled);
    let refused = store.change_provider_keys(&admin(), &whole, &disable, Some(4)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { field: "confirm", .. })), "{refused:?}");
    assert_eq!(store.revision().await.unwrap(), before);
    store.change_provider_keys(&admin(), &whole, &disable, Some(3)).await.unwrap();
    let off = store.all::<MaskedKey>().await;
    let off: Vec<_> = off.iter().filter(|key| key.state == KeyState::Disabled).collect();
    assert!(off.len() == 3 && off.iter().all(|key| key.upstream == one));

    // Both pools have the secret of the first; nobody has the last.
    let values = ["sk-a-0123456789", "sk-c-0123456789", "sk-nobody"];
    let values = WhichKeys::Values(values.map(Into::into).to_vec());
    let set =
        KeySet { weight: Some(7), group: Some(Some("team".into())), note: Some("same".into()) };
    let changed = store.change_provider_keys(&admin(), &values, &KeyBulk::Set(set), None).await;
    let changed = changed.unwrap();
    assert_eq!((changed.matched, changed.done), (3, 3));
    for id in changed.ids {
        let key = store.value::<MaskedKey>(id).await;
        let set = (key.weight, key.group.as_deref(), key.note.as_str());
        assert_eq!(set, (7, Some("team"), "same"));
    }
    let b = store.value::<MaskedKey>(ProviderKeyId(2)).await;
    assert_eq!((b.weight, b.group), (1, None));
    let bad = KeyBulk::Set(KeySet { weight: Some(1001), ..KeySet::default() });
    let refused = store.change_provider_keys(&admin(), &whole, &bad, None).await;
    assert_eq!(fields(refused), ["set.weight"]);
}

#[rstest]
#[tokio::test]
async fn each_of_many_keys_has_the_step_that_it_would_have_alone(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let lin = actor(store.add_user("lin", auth::Role::Operator).await, auth::Role::Operator);
    let mut ids = Vec::new();
    for i in 0..20 {
        ids.push(store.add_key(upstream, &format!("key {i}")).await);
    }
    let all = WhichKeys::Ids(ids.clone());
    let some = WhichKeys::Ids(ids[..5].to_vec());
    for (which, state) in [
        (&some, KeyState::Banned),
        (&all, KeyState::Disabled),
        (&all, KeyState::Disabled),
        (&all, KeyState::Active),
    ] {
        store.change_provider_keys(&lin, which, &KeyBulk::State(state), None).await.unwrap();
    }
    for (i, id) in ids.into_iter().enumerate() {
        let steps = store.transitions(id, Page::default()).await.unwrap().items;
        let told: Vec<_> =
            steps.iter().rev().map(|step| (step.from.as_str(), step.to.as_str())).collect();
        let (off, back) = (("active", "disabled_manual"), ("disabled_manual", "active"));
        let expected = match i < 5 {
            true => vec![("active", "banned"), ("banned", "disabled_manual"), back],
            false => vec![off, back],
        };
        assert_eq!(told, expected, "{id}");
        let (actor, reason) = (&steps[0].actor, &steps[0].reason);
        assert_eq!((actor.as_str(), reason.as_str()), ("somebody", "person"));
    }
}

#[rstest]
#[tokio::test]
async fn a_pool_has_a_secret_once(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    let id = store.add_key(one, "a").await;
    let other = store.add_key(one, "b").await;
    store.add_key(two, "a").await;
    let again = || key(one, "again", "sk-a-0123456789");
    let refused = |result: Result<Stored<MaskedKey>, StoreError>| match result {
        Err(StoreError::Conflict { field: "key_value", message }) => {
            assert!(message.contains("`a` (id 1)") && !message.contains("sk-a"), "{message}");
        }
        other => panic!("{other:?}"),
    };
    refused(store.make(again()).await);
    let secret = |text: &'static str| move |key: &mut MaskedKey| key.secret = Some(text.into());
    refused(store.alter(other, secret("sk-a-0123456789")).await);
    store.alter(id, secret("sk-a-0123456789")).await.unwrap();
    // Also where it was entered before there were fingerprints.
    let db = Database::connect(store.address()).await.unwrap();
    db.execute_unprepared("UPDATE provider_keys SET fingerprint = NULL").await.unwrap();
    refused(store.make(again()).await);
    let values = WhichKeys::Values(vec!["sk-a-0123456789".into()]);
    assert_eq!(store.count_provider_keys(&admin(), &values).await.unwrap().done, 2);
    store.alter(id, secret("sk-new-0123456789")).await.unwrap();
    store.make(again()).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn secrets_are_exported_only_when_they_are_to_be_and_that_is_noted(
    #[values(Sqlite, Pg)] on: On,
) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    store.add_key(upstream, "a").await;
    let all = ProviderKeyFilter::default();
    let export =
        async |reveal| store.seen_by(&admin()).export_provider_keys(&all, reveal).await.unwrap();
    assert!(export(false).await[0].secret.is_none());
    let last = async || store.audit(Page::first(1)).await.unwrap().items[0].action.clone();
    assert_eq!(last().await, "created");
    assert_eq!(export(true).await[0].secret.as_ref().unwrap().expose_secret(), "sk-a-0123456789");
    assert_eq!(last().await, "revealed");
}

#[rstest]
#[tokio::test]
async fn a_list_of_what_no_column_says_is_walked_to_its_end(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    for i in 0..9 {
        store.add_key(upstream, &format!("key {i}")).await;
    }
    for by in [SortBy::Id, SortBy::Name, SortBy::UpdatedAt] {
        let sort = Sort { by, descending: true };
        let mut page = Page { sort, ..Page::first(2) };
        let mut found = Vec::new();
        loop {
            let odd = |key: &Stored<MaskedKey>| key.value.id.0 % 2 == 1;
            let (by, filter) = (admin(), ProviderKeyFilter::default());
            let (view, most) = (store.seen_by(&by), Store::KEYS_LOOKED_AT);
            let listed = view.list_that(&filter, page.clone(), most, odd).await.unwrap();
            found.extend(listed.items.iter().map(|key| key.value.id.0));
            let Some(cursor) = listed.next_cursor else { break };
            page = page.after(cursor);
        }
        assert_eq!(found, [9, 7, 5, 3, 1]);
    }
}

#[rstest]
#[tokio::test]
async fn a_rotated_service_key_has_a_new_id_and_the_old_one_for_a_while(
    #[values(Sqlite, Pg)] on: On,
) {
    let store = Fixture::new(on).await;
    let id = store.add_service_key("a").await;
    let other = store.add_service_key("b").await;
    let rotated = |public_id: &str, grace| RotatedServiceKey {
        public_id: public_id.into(),
        digest: [8; 32],
        last_four: "abcd".into(),
        grace: Duration::from_secs(grace),
    };
    store.rotate_service_key(&admin(), id, rotated("idnew", 60)).await.unwrap();

    let key = store.load_catalog().await.unwrap().service_keys[&id].clone();
    assert_eq!(
        (key.public_id.as_str(), key.digest, key.last_four.as_str()),
        ("idnew", [8; 32], "abcd")
    );
    let previous = key.previous.clone().unwrap();
    assert_eq!((previous.public_id.as_str(), previous.digest), ("ida", [7; 32]));
    assert!(previous.until > chrono::Utc::now());
    let taken = store.rotate_service_key(&admin(), other, rotated("ida", 60)).await;
    assert!(matches!(taken, Err(StoreError::Conflict { field: "public_id", .. })), "{taken:?}");
    let taken = store.make(service_key("a")).await;
    assert!(matches!(taken, Err(StoreError::Conflict { field: "public_id", .. })), "{taken:?}");
    store.rotate_service_key(&admin(), id, rotated("idnewer", 0)).await.unwrap();
    assert_eq!(store.value::<ServiceKey>(id).await.previous, None);
}

#[rstest]
#[tokio::test]
async fn from_where_and_for_what_a_service_key_is_accepted_is_kept(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_service_key("a").await;
    let ips = vec!["10.0.0.0/8".parse().unwrap()];
    store.alter(id, |key: &mut ServiceKey| key.access.ips.clone_from(&ips)).await.unwrap();
    let methods = |method: &'static str| {
        move |key: &mut ServiceKey| key.access.methods = vec![method.to_owned()]
    };
    store.alter(id, methods("POST")).await.unwrap();
    let access = store.load_catalog().await.unwrap().service_keys[&id].access.clone();
    assert_eq!((access.ips, access.methods), (ips, vec!["POST".to_owned()]));
    let refused = store.alter(id, methods("post")).await;
    assert_eq!(fields(refused), ["allowed_methods"]);
}

#[rstest]
#[tokio::test]
async fn a_route_keeps_how_it_chooses(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let new = route("fast", vec![domain::Target::of(upstream)]);
    let id = store.make(new).await.unwrap().value.id;
    let route = store.value::<Route>(id).await;
    assert_eq!((route.strategy, route.sticky), (Strategy::Weighted, None));
    let edit = |sticky| {
        move |route: &mut Route| (route.strategy, route.sticky) = (Strategy::LeastLatency, sticky)
    };
    store.alter(id, edit(Some(Sticky::default()))).await.unwrap();
    let route = store.load_catalog().await.unwrap().routes[&id].clone();
    assert_eq!(
        (route.strategy, route.sticky.clone()),
        (Strategy::LeastLatency, Some(Sticky::default()))
    );
    let odd = Sticky { ttl: Duration::ZERO, ..Sticky::default() };
    let refused = store.alter(id, edit(Some(odd))).await;
    assert_eq!(fields(refused), ["sticky.ttl"]);
}
