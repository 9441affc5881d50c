//! Roles that administrators define, and the sessions that people see.

use auth::{DataScope, Grant, Permission, Permissions, Role};
use chrono::{TimeDelta, Utc};
use domain::RoleId;
use rstest::rstest;
use store::{RefreshToken, RoleDefinition, Store, StoreError, User};

use crate::fixture::{Fixture, On, Pg, Sqlite, actor, admin};

fn keeper(scope: DataScope) -> Grant {
    let permissions = [Permission::UpstreamRead, Permission::UpstreamWrite].into_iter().collect();
    Grant { role: "keeper".to_owned(), permissions, scope }
}

async fn define(store: &Store, grant: Grant) -> RoleId {
    let edit = |role: &mut RoleDefinition| {
        (role.permissions, role.scope) = (grant.permissions, grant.scope);
        Ok(())
    };
    let fresh = |id, _| RoleDefinition::new(id, grant.role.clone());
    store.create(&admin(), fresh, edit).await.unwrap().value.id
}

#[rstest]
#[tokio::test]
async fn a_role_follows_its_users_to_both_planes(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    store.add_user("root", Role::SuperAdmin).await;
    let role = define(&store, keeper(DataScope::Own)).await;
    assert!(role.0 > 100, "{role}");
    let id = store.add_user("kim", Role::Analyst).await;
    let give = |user: &mut User| {
        user.role = "keeper".to_owned();
        Ok(())
    };
    store.edit(&admin(), id, give).await.unwrap();
    assert_eq!(store.user(id).await.unwrap().grant, keeper(DataScope::Own));
    let uses_all =
        async |store: &Store| store.load_catalog().await.unwrap().owners[&id].uses_all_upstreams;
    let elsewhere = store.again().await;
    assert!(!uses_all(&store).await && !uses_all(&elsewhere).await);

    let widen = |role: &mut RoleDefinition| {
        role.scope = DataScope::All;
        Ok(())
    };
    store.edit(&admin(), role, widen).await.unwrap();

    assert_eq!(store.user(id).await.unwrap().grant, keeper(DataScope::All));
    assert!(uses_all(&store).await && uses_all(&elsewhere).await);
}

#[rstest]
#[tokio::test]
async fn a_role_that_is_not_there_is_given_to_nobody(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_user("kim", Role::Analyst).await;
    let give = |user: &mut User| {
        user.role = "king".to_owned();
        Ok(())
    };
    let refused = store.edit(&admin(), id, give).await;
    assert_eq!(crate::upstreams::fields(refused.map(drop)), ["role"]);
}

#[rstest]
#[tokio::test]
async fn what_is_built_in_is_written_anew_at_every_start(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let again = store.again().await;
    for (id, role) in (1..).map(RoleId).zip(Role::ALL) {
        let found = again.seen_by(&admin()).get::<RoleDefinition>(id).await.unwrap().value;
        assert_eq!(found.grant(), role.into());
        assert!(found.built_in());
    }
    let clash = store
        .create(
            &admin(),
            |id, _| RoleDefinition::new(id, "admin".to_owned()),
            |role| {
                role.permissions = Permissions::ALL;
                Ok(())
            },
        )
        .await;
    assert!(matches!(clash, Err(StoreError::Conflict { field: "name", .. })));
}

#[rstest]
#[tokio::test]
async fn people_see_their_open_sessions_and_end_them(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (lin, kim) =
        (store.add_user("lin", Role::Admin).await, store.add_user("kim", Role::Admin).await);
    let mut sessions = Vec::new();
    for (user, digest) in [(lin, 1), (lin, 2), (lin, 3), (kim, 4)] {
        let expires_at = Utc::now() + TimeDelta::days(1);
        let token = RefreshToken { digest: [digest; 32], expires_at };
        let by = actor(user, Role::Admin);
        let client = Some(format!("browser {digest}"));
        sessions.push(store.open_session(&by, user, token, client).await.unwrap());
    }
    let open = store.open_sessions(lin).await.unwrap();
    let clients: Vec<_> = open.iter().map(|session| session.client.as_deref().unwrap()).collect();
    assert_eq!(clients, ["browser 3", "browser 2", "browser 1"]);
    assert_eq!(open[0].address.as_deref(), Some("203.0.113.7"));

    let others = store.end_session_of(lin, sessions[3]).await;
    assert!(matches!(others, Err(StoreError::NotFound("session"))));
    store.end_session_of(lin, sessions[0]).await.unwrap();
    assert_eq!(store.end_sessions_of(lin, Some(sessions[1])).await.unwrap(), 1);

    let left: Vec<_> = store.open_sessions(lin).await.unwrap().iter().map(|it| it.id).collect();
    assert_eq!(left, [sessions[1]]);
    store.note_session_use(sessions[1]).await.unwrap();
    assert!(store.session_user(sessions[3]).await.unwrap().is_some());
    assert_eq!(store.session_user(sessions[2]).await.unwrap(), None);
}
