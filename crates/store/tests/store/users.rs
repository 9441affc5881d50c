//! Users and the first start.

use auth::Role;
use chrono::{TimeDelta, Utc};
use domain::UserId;
use rstest::rstest;
use store::{NewUser, StoreError, User, UserEdit};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, actor, admin, service_key, user},
    upstreams::fields,
};

#[rstest]
#[tokio::test]
async fn a_user_is_found_however_the_name_is_spelled(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_user("Ämilie", Role::Admin).await;

    for spelled in ["Ämilie", " ämilie ", "ÄMILIE", "A\u{308}milie"] {
        let found = store.credentials(spelled).await.unwrap().unwrap();
        assert_eq!(found.user.id, id, "{spelled}");
        assert_eq!(found.password_hash.as_deref(), Some("hash"));
        let again = store.create_user(&admin(), user(spelled, Role::Analyst)).await;
        assert!(matches!(again, Err(StoreError::Conflict { field: "name", .. })), "{spelled}");
    }
    assert_eq!(store.credentials("nobody").await.unwrap(), None);
    let row = store.user(id).await.unwrap();
    assert_eq!((row.name.as_str(), row.active), ("Ämilie", true));
    assert_eq!(row.grant, Role::Admin.into());
    assert_eq!(store.seen_by(&admin()).get::<User>(id).await.unwrap().value.name, "Ämilie");
}

#[rstest]
#[tokio::test]
async fn what_a_session_stands_on_ends_it_when_it_changes(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    store.add_user("root", Role::SuperAdmin).await;
    let id = store.add_user("lin", Role::Admin).await;
    let epoch = async || store.user(id).await.unwrap().epoch;
    let first = epoch().await;

    let harmless = UserEdit {
        name: Some("Lin".into()),
        email: Some(Some("lin@example.com".into())),
        role: Some(Role::Admin),
        ..UserEdit::default()
    };
    store.edit_user(&admin(), id, harmless).await.unwrap();
    assert_eq!(epoch().await, first);
    assert_eq!(store.user(id).await.unwrap().email.as_deref(), Some("lin@example.com"));
    for (i, edit) in (1..).zip([
        UserEdit { role: Some(Role::Operator), ..UserEdit::default() },
        UserEdit { password_hash: Some("other".into()), ..UserEdit::default() },
        UserEdit { active: Some(false), ..UserEdit::default() },
    ]) {
        store.edit_user(&admin(), id, edit).await.unwrap();
        assert_eq!(epoch().await, first + i);
    }
    let forget = UserEdit { email: Some(None), ..UserEdit::default() };
    store.edit_user(&admin(), id, forget).await.unwrap();
    assert_eq!(store.user(id).await.unwrap().email, None);
}

#[rstest]
#[tokio::test]
async fn the_last_active_super_administrator_stays_one(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let one = store.add_user("one", Role::SuperAdmin).await;
    let two = store.add_user("two", Role::SuperAdmin).await;
    let disable = || UserEdit { active: Some(false), ..UserEdit::default() };
    store.edit_user(&admin(), two, disable()).await.unwrap();

    let demote = UserEdit { role: Some(Role::Admin), ..UserEdit::default() };
    let demoted = store.edit_user(&admin(), one, demote).await;
    let disabled = store.edit_user(&admin(), one, disable()).await;
    let deleted = store.delete_user(&admin(), one).await;

    for refused in [demoted, disabled, deleted] {
        assert!(matches!(refused, Err(StoreError::Conflict { field: "role", .. })));
    }
    let enable = UserEdit { active: Some(true), ..UserEdit::default() };
    store.edit_user(&admin(), two, enable).await.unwrap();
    store.delete_user(&admin(), one).await.unwrap();
    assert!(matches!(store.user(one).await, Err(StoreError::NotFound("user"))));
}

#[rstest]
#[tokio::test]
async fn a_user_goes_with_their_service_keys_but_not_with_upstreams(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    store.add_user("root", Role::SuperAdmin).await;
    let (dev, op) =
        (store.add_user("dev", Role::Developer).await, store.add_user("op", Role::Operator).await);
    let of_dev = actor(dev, Role::Developer);
    let key = store.make_by(&of_dev, service_key("a")).await.unwrap().value.id;
    let upstream = store.add_upstream("openai").await;
    let theirs = crate::fixture::key(upstream, "key", "sk-secret");
    store.make_by(&actor(op, Role::Operator), theirs).await.unwrap();

    store.delete_user(&admin(), dev).await.unwrap();
    let refused = store.delete_user(&admin(), op).await;

    assert!(matches!(store.look::<domain::ServiceKey>(key).await, Err(StoreError::NotFound(_))));
    assert!(!store.load_catalog().await.unwrap().service_keys.contains_key(&key));
    assert!(matches!(refused, Err(StoreError::Conflict { field: "id", .. })));
}

#[rstest]
#[tokio::test]
async fn every_field_of_a_bad_user_is_named(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let bad = NewUser { email: Some("nowhere".into()), ..user(" ", Role::Admin) };
    assert_eq!(fields(store.create_user(&admin(), bad).await), ["name", "email"]);
    let control = store.create_user(&admin(), user("a\u{7}", Role::Admin)).await;
    assert_eq!(fields(control), ["name"]);
    let nobody = store.edit_user(&admin(), UserId(7), UserEdit::default()).await;
    assert!(matches!(nobody, Err(StoreError::NotFound("user"))));
}

#[rstest]
#[tokio::test]
async fn a_password_is_hashed_anew_without_a_change(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_user("lin", Role::Admin).await;
    let before = (store.user(id).await.unwrap(), store.revision().await.unwrap());

    store.rehash_password(id, "newer".into()).await.unwrap();

    let found = store.credentials("lin").await.unwrap().unwrap();
    assert_eq!(found.password_hash.as_deref(), Some("newer"));
    assert_eq!((found.user, store.revision().await.unwrap()), before);
    let nobody = store.rehash_password(UserId(9), "x".into()).await;
    assert!(matches!(nobody, Err(StoreError::NotFound("user"))));
}

#[rstest]
#[tokio::test]
async fn the_set_up_token_makes_one_user_once(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let soon = Utc::now() + TimeDelta::hours(1);
    let root = || user("root", Role::SuperAdmin);
    assert!(store.needs_setup().await.unwrap());
    store.offer_setup_token(&[1; 32], soon).await.unwrap();
    store.offer_setup_token(&[2; 32], soon).await.unwrap();

    let replaced = store.set_up(&[1; 32], root()).await;
    assert!(matches!(replaced, Err(StoreError::NotFound("set-up token"))));
    let bad = NewUser { name: String::new(), ..root() };
    assert_eq!(fields(store.set_up(&[2; 32], bad).await), ["name"]);
    let id = store.set_up(&[2; 32], root()).await.unwrap();
    assert_eq!(store.user(id).await.unwrap().grant, Role::SuperAdmin.into());
    assert!(!store.needs_setup().await.unwrap());
    let spent = store.set_up(&[2; 32], user("second", Role::SuperAdmin)).await;
    assert!(matches!(spent, Err(StoreError::NotFound("set-up token"))));

    store.offer_setup_token(&[3; 32], soon).await.unwrap();
    let late = store.set_up(&[3; 32], user("second", Role::SuperAdmin)).await;
    assert!(matches!(late, Err(StoreError::Conflict { field: "token", .. })));
}

#[rstest]
#[tokio::test]
async fn an_old_set_up_token_is_worth_nothing(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    store.offer_setup_token(&[1; 32], Utc::now() - TimeDelta::seconds(1)).await.unwrap();
    let late = store.set_up(&[1; 32], user("root", Role::SuperAdmin)).await;
    assert!(matches!(late, Err(StoreError::NotFound("set-up token"))));
    assert!(store.needs_setup().await.unwrap());
}

#[rstest]
#[tokio::test]
async fn an_owner_of_upstreams_stays_until_they_are_gone(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let op = store.add_user("op", Role::Operator).await;
    let new = crate::fixture::named("own", "https://host");
    let by = actor(op, Role::Operator);
    let id = store.make_by(&by, new).await.unwrap().value.id;
    assert!(store.delete_user(&admin(), op).await.is_err());
    store.delete::<domain::Upstream>(&by, id).await.unwrap();
    store.delete_user(&admin(), op).await.unwrap();
}
