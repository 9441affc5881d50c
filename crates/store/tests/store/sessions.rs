//! Sessions, refresh tokens and the throttle.

use std::time::Duration;

use auth::Role;
use chrono::{TimeDelta, Utc};
use domain::UserId;
use rstest::rstest;
use store::{RefreshToken, Renewal, Result, Spent, Store, StoreError, UserEdit};
use uuid::Uuid;

use crate::fixture::{Fixture, On, Pg, Sqlite, actor, admin};

fn token(digest: u8) -> RefreshToken {
    RefreshToken { digest: [digest; 32], expires_at: Utc::now() + TimeDelta::days(1) }
}

/// Shows the token `shown`, whose successors are those numbered `next`, with this grace.
async fn renew(store: &Store, shown: u8, next: &[u8], grace: Duration) -> Result<Spent> {
    let successors: Vec<_> = next.iter().map(|next| [*next; 32]).collect();
    let expires_at = token(0).expires_at;
    let renewal = Renewal { shown: [shown; 32], successors: &successors, expires_at, grace };
    store.spend_refresh_token(renewal).await
}

/// The same without a grace.
async fn spend(store: &Store, shown: u8, next: u8) -> Spent {
    renew(store, shown, &[next], Duration::ZERO).await.unwrap()
}

async fn signed_in(on: On) -> (Fixture, UserId, Uuid) {
    let store = Fixture::new(on).await;
    let user = store.add_user("lin", Role::Admin).await;
    let by = actor(user, Role::Admin);
    let session = store.open_session(&by, user, token(1), None).await.unwrap();
    (store, user, session)
}

#[rstest]
#[tokio::test]
async fn a_token_is_spent_once_and_the_next_takes_its_place(#[values(Sqlite, Pg)] on: On) {
    let (store, user, session) = signed_in(on).await;
    assert_eq!(store.session_user(session).await.unwrap().unwrap().id, user);

    for digest in 1..5 {
        let spent = spend(&store, digest, digest + 1).await;
        assert!(matches!(spent, Spent::Renewed { session: s, .. } if s == session));
    }
    let unknown = spend(&store, 99, 100).await;
    assert_eq!(unknown, Spent::Refused);
    assert!(store.session_user(session).await.unwrap().is_some());
}

#[rstest]
#[tokio::test]
async fn a_copied_token_ends_the_session(#[values(Sqlite, Pg)] on: On) {
    let (store, _, session) = signed_in(on).await;
    spend(&store, 1, 2).await;

    let thief = spend(&store, 1, 3).await;

    assert_eq!(thief, Spent::Reused);
    assert_eq!(store.session_user(session).await.unwrap(), None);
    let honest = spend(&store, 2, 4).await;
    assert_eq!(honest, Spent::Refused);
}

#[rstest]
#[tokio::test]
async fn of_two_that_show_a_token_at_once_one_gets_the_next(#[values(Sqlite, Pg)] on: On) {
    let (store, ..) = signed_in(on).await;
    let other = store.again().await;
    let (one, two) = tokio::join!(spend(&store, 1, 2), spend(&other, 1, 3),);
    let renewed =
        [one, two].into_iter().filter(|spent| matches!(spent, Spent::Renewed { .. })).count();
    assert_eq!(renewed, 1);
}

#[rstest]
#[tokio::test]
async fn within_the_grace_a_spent_token_leads_to_the_one_that_is_good(
    #[values(Sqlite, Pg)] on: On,
) {
    const GRACE: Duration = Duration::from_secs(3600);
    let (store, ..) = signed_in(on).await;
    let other = store.again().await;
    let place = |spent: Result<Spent>| match spent.unwrap() {
        Spent::Renewed { successor, .. } => Some(successor),
        _ => None,
    };
    let (one, two) =
        tokio::join!(renew(&store, 1, &[2, 3], GRACE), renew(&other, 1, &[2, 3], GRACE));
    assert_eq!((place(one), place(two)), (Some(0), Some(0)));

    assert_eq!(place(renew(&store, 2, &[3], GRACE).await), Some(0));
    assert_eq!(place(renew(&other, 1, &[2, 3], GRACE).await), Some(1));
    assert_eq!(place(renew(&store, 1, &[88], GRACE).await), None, "of another family");
    assert_eq!(place(renew(&store, 3, &[4], GRACE).await), Some(0), "the session goes on");

    assert_eq!(renew(&store, 1, &[2, 3], Duration::ZERO).await.unwrap(), Spent::Reused);
    assert_eq!(place(renew(&store, 4, &[5], GRACE).await), None);
}

#[rstest]
#[tokio::test]
async fn a_session_ends_by_sign_out_by_its_token_or_with_its_time(#[values(Sqlite, Pg)] on: On) {
    let (store, user, session) = signed_in(on).await;
    store.end_session(session).await.unwrap();
    store.end_session(session).await.unwrap();
    assert_eq!(store.session_user(session).await.unwrap(), None);
    assert_eq!(spend(&store, 1, 9).await, Spent::Refused);

    let by_token = store.open_session(&admin(), user, token(2), None).await.unwrap();
    store.end_session_of_token(&[2; 32]).await.unwrap();
    store.end_session_of_token(&[77; 32]).await.unwrap();
    assert_eq!(store.session_user(by_token).await.unwrap(), None);

    let old = RefreshToken { expires_at: Utc::now() - TimeDelta::seconds(1), ..token(3) };
    let late = store.open_session(&admin(), user, old, None).await.unwrap();
    assert_eq!(store.session_user(late).await.unwrap(), None);
    assert_eq!(spend(&store, 3, 4).await, Spent::Refused);
    assert_eq!(store.session_user(Uuid::nil()).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_session_does_not_outlive_what_it_stands_on(#[values(Sqlite, Pg)] on: On) {
    let (store, user, session) = signed_in(on).await;

    let edit = UserEdit { password_hash: Some("other".into()), ..UserEdit::default() };
    store.edit_user(&admin(), user, edit).await.unwrap();

    assert_eq!(store.session_user(session).await.unwrap(), None);
    assert_eq!(spend(&store, 1, 2).await, Spent::Refused);
    let edit = UserEdit { active: Some(false), ..UserEdit::default() };
    store.edit_user(&admin(), user, edit).await.unwrap();
    let inactive = store.open_session(&admin(), user, token(5), None).await;
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
