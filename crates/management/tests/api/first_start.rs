//! The first administrator: from a given password, or with a one-time token.

use auth::{Opaque, OpaqueKind};
use chrono::{Duration, Utc};
use management::{FirstStart, FirstStartError, first_start};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::app::{App, PASSWORD, secret};

async fn offered(app: &App) -> String {
    let started =
        first_start(&app.store, &app.master_key, &app.passwords, None, Utc::now()).await.unwrap();
    let FirstStart::SetupToken(token) = started else { panic!("{started:?}") };
    token.expose_secret().to_owned()
}

#[tokio::test]
async fn a_given_password_makes_the_administrator_once() {
    let app = App::empty().await;
    let password = secret(PASSWORD);
    let start = async || {
        first_start(&app.store, &app.master_key, &app.passwords, Some(&password), Utc::now()).await
    };
    assert!(matches!(start().await, Ok(FirstStart::Created)));
    assert!(matches!(start().await, Ok(FirstStart::Done)));
    let login = json!({"username": "admin", "password": PASSWORD});
    let session = app.anonymous().post("/api/auth/login", login).await.expect(200);
    assert_eq!(session["user"]["role"], "super_admin");
}

#[tokio::test]
async fn a_password_that_anybody_guesses_makes_none() {
    let app = App::empty().await;
    for weak in ["admin", "short", "administrator1", "password2026"] {
        let password = secret(weak);
        let start =
            first_start(&app.store, &app.master_key, &app.passwords, Some(&password), Utc::now())
                .await;
        assert!(matches!(start, Err(FirstStartError::Password(_))), "{weak}");
    }
}

#[tokio::test]
async fn the_token_makes_the_administrator_and_is_spent() {
    let app = App::empty().await;
    let token = offered(&app).await;
    let body = json!({"token": token, "password": PASSWORD, "username": "lin"});
    let answer = app.anonymous().post("/api/auth/setup", body.clone()).await;
    assert!(answer.cookie("__Host-tollgate-refresh").is_some());
    let session = answer.expect(201);
    assert_eq!(session["user"]["username"], "lin");
    let lin = app.anonymous().bearing(session["access_token"].as_str().unwrap());
    assert_eq!(lin.get("/api/admin/upstreams").await.status, 200);

    assert_eq!(
        app.anonymous().post("/api/auth/setup", body).await.refused(403),
        "wrong_setup_token"
    );
    let start = first_start(&app.store, &app.master_key, &app.passwords, None, Utc::now()).await;
    assert!(matches!(start, Ok(FirstStart::Done)));
}

#[tokio::test]
async fn the_administrator_is_called_admin_unless_said_otherwise() {
    let app = App::empty().await;
    let body = json!({"token": offered(&app).await, "password": PASSWORD});
    let session = app.anonymous().post("/api/auth/setup", body).await.expect(201);
    assert_eq!(session["user"]["username"], "admin");
}

#[tokio::test]
async fn a_wrong_an_old_and_a_replaced_token_make_nobody() {
    let app = App::empty().await;
    let replaced = offered(&app).await;
    let other = Opaque::mint(OpaqueKind::Setup).token;
    let late = Opaque::mint(OpaqueKind::Setup);
    app.store.offer_setup_token(&late.digest, Utc::now() - Duration::seconds(1)).await.unwrap();
    for token in [replaced.as_str(), other.expose_secret(), "tgs-short", ""] {
        let body = json!({"token": token, "password": PASSWORD});
        let refused = app.anonymous().post("/api/auth/setup", body).await.refused(403);
        assert_eq!(refused, "wrong_setup_token");
    }
    let body = json!({"token": late.token.expose_secret(), "password": PASSWORD});
    let client = app.anonymous().from("203.0.113.99");
    assert_eq!(client.post("/api/auth/setup", body).await.refused(403), "wrong_setup_token");
    assert!(app.store.needs_setup().await.unwrap());
}

#[tokio::test]
async fn a_weak_password_or_an_odd_name_leaves_the_token_good() {
    let app = App::empty().await;
    let token = offered(&app).await;
    let body = json!({"token": token, "password": "short", "username": "a b"});
    let faults = app.anonymous().post("/api/auth/setup", body).await.faults(422);
    assert!(faults.contains_key("password") && faults.contains_key("username"), "{faults:?}");
    let body = json!({"token": token, "password": PASSWORD});
    app.anonymous().post("/api/auth/setup", body).await.expect(201);
}

#[tokio::test]
async fn instances_that_start_at_once_make_one_administrator() {
    let app = App::empty().await;
    let password = secret(PASSWORD);
    let (store, key, passwords) = (&app.store, &app.master_key, &app.passwords);
    let start = || first_start(store, key, passwords, Some(&password), Utc::now());
    let (a, b, c) = tokio::join!(start(), start(), start());
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    let made = all.iter().filter(|one| matches!(one, FirstStart::Created)).count();
    assert_eq!(made, 1, "{all:?}");
}

#[tokio::test]
async fn instances_that_start_at_once_offer_one_token_and_a_late_start_a_fresh_one() {
    let app = App::empty().await;
    let (a, b, c) = tokio::join!(offered(&app), offered(&app), offered(&app));
    assert!(a == b && b == c, "{a} {b} {c}");
    let later = Utc::now() + Duration::minutes(40);
    let fresh =
        first_start(&app.store, &app.master_key, &app.passwords, None, later).await.unwrap();
    let FirstStart::SetupToken(fresh) = fresh else { panic!("{fresh:?}") };
    assert_ne!(fresh.expose_secret(), a);
    let body = json!({"token": fresh.expose_secret(), "password": PASSWORD});
    app.anonymous().post("/api/auth/setup", body).await.expect(201);
}
