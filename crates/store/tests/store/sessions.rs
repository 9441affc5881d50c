//! Sessions, refresh tokens and the throttle.

use auth::Role;
use chrono::{TimeDelta, Utc};
use domain::UserId;
use rstest::rstest;
use store::{RefreshToken, Spent, StoreError, UserEdit};
use uuid::Uuid;

use crate::fixture::{Fixture, On, Pg, Sqlite, actor, admin};

fn token(digest: u8) -> RefreshToken {
    RefreshToken { digest: [digest; 32], expires_at: Utc::now() + TimeDelta::days(1) }
}

async fn signed_in(on: On) -> (Fixture, UserId, Uuid) {
    let store = Fixture::new(on).await;
    let user = store.add_user("lin", Role::Admin).await;
    let by = actor(user, Role::Admin);
    let session = store.open_session(&by, user, token(1)).await.unwrap();
    (store, user, session)
}

#[rstest]
#[tokio::test]
async fn a_token_is_spent_once_and_the_next_takes_its_place(#[values(Sqlite, Pg)] on: On) {
    let (store, user, session) = signed_in(on).await;
    assert_eq!(store.session_user(session).await.unwrap().unwrap().id, user);

    for digest in 1..5 {
        let spent = store.spend_refresh_token(&[digest; 32], token(digest + 1)).await.unwrap();
        assert!(matches!(spent, Spent::Renewed { session: s, .. } if s == session));
    }
    let unknown = store.spend_refresh_token(&[99; 32], token(100)).await.unwrap();
    assert_eq!(unknown, Spent::Refused);
    assert!(store.session_user(session).await.unwrap().is_some());
}

#[rstest]
#[tokio::test]
async fn a_copied_token_ends_the_session(#[values(Sqlite, Pg)] on: On) {
    let (store, _, session) = signed_in(on).await;
    store.spend_refresh_token(&[1; 32], token(2)).await.unwrap();

    let thief = store.spend_refresh_token(&[1; 32], token(3)).await.unwrap();

    assert_eq!(thief, Spent::Reused);
    assert_eq!(store.session_user(session).await.unwrap(), None);
    let honest = store.spend_refresh_token(&[2; 32], token(4)).await.unwrap();
    assert_eq!(honest, Spent::Refused);
}

#[rstest]
#[tokio::test]
async fn of_two_that_show_a_token_at_once_one_gets_the_next(#[values(Sqlite, Pg)] on: On) {
    let (store, ..) = signed_in(on).await;
    let other = store.again().await;
    let (one, two) = tokio::join!(
        store.spend_refresh_token(&[1; 32], token(2)),
        other.spend_refresh_token(&[1; 32], token(3)),
    );
    let renewed = [one.unwrap(), two.unwrap()]
        .into_iter()
        .filter(|spent| matches!(spent, Spent::Renewed { .. }))
        .count();
    assert_eq!(renewed, 1);
}

#[rstest]
#[tokio::test]
async fn a_session_ends_by_sign_out_by_its_token_or_with_its_time(#[values(Sqlite, Pg)] on: On) {
    let (store, user, session) = signed_in(on).await;
    store.end_session(session).await.unwrap();
    store.end_session(session).await.unwrap();
    assert_eq!(store.session_user(session).await.unwrap(), None);
    assert_eq!(store.spend_refresh_token(&[1; 32], token(9)).await.unwrap(), Spent::Refused);

    let by_token = store.open_session(&admin(), user, token(2)).await.unwrap();
    store.end_session_of_token(&[2; 32]).await.unwrap();
    store.end_session_of_token(&[77; 32]).await.unwrap();
    assert_eq!(store.session_user(by_token).await.unwrap(), None);

    let old = RefreshToken { expires_at: Utc::now() - TimeDelta::seconds(1), ..token(3) };
    let late = store.open_session(&admin(), user, old).await.unwrap();
    assert_eq!(store.session_user(late).await.unwrap(), None);
    assert_eq!(store.spend_refresh_token(&[3; 32], token(4)).await.unwrap(), Spent::Refused);
    assert_eq!(store.session_user(Uuid::nil()).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_session_does_not_outlive_what_it_stands_on(#[values(Sqlite, Pg)] on: On) {
    let (store, user, session) = signed_in(on).await;

    let edit = UserEdit { password_hash: Some("other".into()), ..UserEdit::default() };
    store.edit_user(&admin(), user, edit).await.unwrap();

    assert_eq!(store.session_user(session).await.unwrap(), None);
    assert_eq!(store.spend_refresh_token(&[1; 32], token(2)).await.unwrap(), Spent::Refused);
    let edit = UserEdit { active: Some(false), ..UserEdit::default() };
    store.edit_user(&admin(), user, edit).await.unwrap();
    let inactive = store.open_session(&admin(), user, token(5)).await;
    assert!(matches!(inactive, Err(StoreError::NotFound("user"))));
}

#[rstest]
#[tokio::test]
async fn failures_are_counted_by_scope_until_they_are_forgotten(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (account, network) = ("account:lin", "network:203.0.113.0/32");
    assert_eq!(store.login_failures(account).await.unwrap().count, 0);

    store.add_login_failure(&[account, network]).await.unwrap();
    let counts = store.add_login_failure(&[account, network]).await.unwrap();
    assert_eq!(counts.iter().map(|f| f.count).collect::<Vec<_>>(), [2, 2]);
    store.forget_login_failures(account).await.unwrap();

    assert_eq!(store.login_failures(account).await.unwrap().count, 0);
    let left = store.again().await.login_failures(network).await.unwrap();
    assert_eq!(left.count, 2);
    assert!(left.last_at.is_some_and(|at| Utc::now() - at < TimeDelta::minutes(1)));
}
