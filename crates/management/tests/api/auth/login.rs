//! `POST /api/auth/login`

use auth::{Actor, Role};
use management::Settings;
use serde_json::json;
use store::UserEdit;

use super::login;
use crate::app::{App, PASSWORD};

#[tokio::test]
async fn the_right_password_opens_a_session() {
    let app = App::start().await;
    let answer = login(&app.anonymous(), "super_admin", PASSWORD).await;
    let cookies: Vec<_> =
        answer.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!(cookies.len(), 2);
    for cookie in &cookies {
        assert!(cookie.starts_with("__Host-tollgate-"), "{cookie}");
        assert!(cookie.ends_with("; Secure"), "{cookie}");
        assert!(cookie.contains("; Path=/; ") && cookie.contains("; SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    assert!(cookies[0].contains("-refresh=") && cookies[0].contains("; HttpOnly"));
    let body = answer.expect(200);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(body["user"]["username"], "super_admin");
    let access = body["access_token"].as_str().unwrap();
    assert_eq!(app.anonymous().bearing(access).get("/api/auth/me").await.status, 200);
}

#[tokio::test]
async fn the_name_is_the_same_in_any_spelling() {
    let app = App::start().await;
    for name in ["SUPER_ADMIN", " super_admin ", "Super_Admin"] {
        assert_eq!(login(&app.anonymous(), name, PASSWORD).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_name_get_the_same_answer() {
    let app = App::start().await;
    let known = app.anonymous().with("x-request-id", "same");
    let wrong = login(&known, "super_admin", "wrong horse battery").await;
    let unknown = login(&known, "nobody", "wrong horse battery").await;
    assert_eq!((wrong.status, &wrong.text), (unknown.status, &unknown.text));
    assert_eq!(wrong.refused(401), "wrong_credentials");
}

#[tokio::test]
async fn nobody_signs_in_who_is_switched_off_or_has_no_password() {
    let app = App::start().await;
    let id = app.user("lin", Role::Admin).await;
    let off = UserEdit { active: Some(false), ..Default::default() };
    app.store.edit_user(&Actor::System, id, off).await.unwrap();
    assert_eq!(login(&app.anonymous(), "lin", PASSWORD).await.refused(401), "wrong_credentials");
    let silent = store::NewUser {
        name: "robot".to_owned(),
        email: None,
        role: Role::ServiceAccount,
        password_hash: None,
    };
    app.store.create_user(&Actor::System, silent).await.unwrap();
    assert_eq!(login(&app.anonymous(), "robot", "").await.refused(401), "wrong_credentials");
}

async fn more_failures(app: &App, scope: &str) {
    for _ in 0..12 {
        app.store.add_login_failure(&[scope]).await.unwrap();
    }
}

#[tokio::test]
async fn the_fifth_failure_makes_everybody_wait_who_tries_that_account() {
    let app = App::start().await;
    for i in 0..5 {
        let from = format!("198.51.100.{i}");
        let refused = login(&app.anonymous().from(&from), "Super_Admin ", "wrong wrong").await;
        assert_eq!(refused.refused(401), "wrong_credentials", "{i}");
    }
    // So many more that the wait is longer than any machine is slow.
    let scope = format!("account:{}", auth::name_mark("super_admin"));
    assert_eq!(app.store.login_failures(&scope).await.unwrap().count, 5);
    more_failures(&app, &scope).await;
    let elsewhere = app.anonymous().from("192.0.2.1");
    let throttled = login(&elsewhere, "super_admin", PASSWORD).await;
    let wait: u64 = throttled.header("retry-after").parse().unwrap();
    assert!((600..=900).contains(&wait), "{wait}");
    assert_eq!(throttled.refused(429), "throttled");
    assert_eq!(login(&elsewhere, "admin", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn who_hangs_up_before_the_answer_is_counted_too() {
    let app = App::start().await;
    let client = app.anonymous();
    let attempt = login(&client, "super_admin", "wrong wrong");
    let nothing = tokio::time::timeout(std::time::Duration::ZERO, attempt).await;
    assert!(nothing.is_err(), "the answer came at once");
    let scope = format!("account:{}", auth::name_mark("super_admin"));
    let counted = async {
        while app.store.login_failures(&scope).await.unwrap().count == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), counted).await.unwrap();
}

#[tokio::test]
async fn a_network_that_fails_with_many_names_waits_and_others_do_not() {
    let app = App::start().await;
    for i in 0..5 {
        let from = format!("2001:db8::{i}");
        let refused = login(&app.anonymous().from(&from), &format!("name{i}"), "wrong wrong").await;
        assert_eq!(refused.status, 401);
    }
    let scope = "network:2001:db8::/64";
    assert_eq!(app.store.login_failures(scope).await.unwrap().count, 5);
    more_failures(&app, scope).await;
    let same_network = app.anonymous().from("2001:db8::ffff");
    assert_eq!(login(&same_network, "super_admin", PASSWORD).await.refused(429), "throttled");
    let other_network = app.anonymous().from("2001:db8:1::1");
    assert_eq!(login(&other_network, "super_admin", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_success_forgives_the_account_but_not_the_network() {
    let app = App::start().await;
    for round in 0..2 {
        for i in 0..4 {
            let from = format!("198.51.100.{}", round * 10 + i);
            login(&app.anonymous().from(&from), "super_admin", "wrong wrong").await.refused(401);
        }
        let answer = login(&app.anonymous().from("192.0.2.1"), "super_admin", PASSWORD).await;
        assert_eq!(answer.status, 200);
    }
    let network = app.anonymous().from("192.0.2.7");
    for _ in 0..4 {
        login(&network, "super_admin", "wrong wrong").await.refused(401);
    }
    login(&network, "super_admin", PASSWORD).await.expect(200);
    let failures = async |scope: &str| app.store.login_failures(scope).await.unwrap().count;
    assert_eq!(failures("network:192.0.2.7/32").await, 4);
    assert_eq!(failures(&format!("account:{}", auth::name_mark("super_admin"))).await, 0);
}

#[tokio::test]
async fn a_hash_of_another_cost_is_renewed_without_ending_sessions() {
    let app = App::start().await;
    let before = app.store.credentials("operator").await.unwrap().unwrap();
    let hash = app.passwords.clone().at_cost(5).hash(&PASSWORD.into()).unwrap();
    app.store.rehash_password(before.user.id, hash).await.unwrap();
    let session = app.signed_in(Role::Operator).await;
    let after = app.store.credentials("operator").await.unwrap().unwrap();
    assert!(after.password_hash.unwrap().contains("$04$"));
    assert_eq!(session.get("/api/auth/me").await.status, 200);
}

#[tokio::test]
async fn a_sign_in_with_missing_or_further_fields_names_them() {
    let app = App::start().await;
    let body = json!({"user": "admin"});
    let faults = app.anonymous().post("/api/auth/login", body).await.faults(422);
    assert_eq!(
        (&faults["username"], &faults["password"]),
        (&"is required".into(), &"is required".into())
    );
    assert!(faults["user"].contains("not known here"));
}

#[tokio::test]
async fn who_sits_at_this_machine_gets_cookies_that_every_program_keeps() {
    let app = App::start().await;
    let here = app.anonymous().from("127.0.0.1").with("host", "localhost:9090");
    let answer = login(&here, "admin", PASSWORD).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("tollgate-refresh="), "{cookie}");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains("Secure"), "{cookie}");
    let csrf = answer.cookie("tollgate-csrf").unwrap();
    let refresh = format!("tollgate-refresh={}", answer.cookie("tollgate-refresh").unwrap());
    let again = here.clone().with("cookie", &refresh).with("x-csrf-token", &csrf);
    assert_eq!(again.post("/api/auth/refresh", json!({})).await.status, 200);

    for elsewhere in [
        here.clone().with("origin", "https://localhost:9090"),
        here.clone().with("x-forwarded-proto", "https"),
        here.clone().with("x-forwarded-for", "127.0.0.1"),
        here.clone().from("192.0.2.1"),
        app.anonymous().from("127.0.0.1"),
    ] {
        let answer = login(&elsewhere, "admin", PASSWORD).await;
        assert!(answer.header("set-cookie").ends_with("; Secure"), "{:?}", elsewhere.headers);
    }
}

#[tokio::test]
async fn secure_cookies_can_be_switched_off() {
    let app = App::with(Settings { secure_cookies: false, ..Default::default() }).await;
    app.user("lin", Role::Admin).await;
    let answer = login(&app.anonymous(), "lin", PASSWORD).await;
    assert!(!answer.header("set-cookie").contains("Secure"));
}
