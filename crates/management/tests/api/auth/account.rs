//! `/api/auth/me`, `/api/auth/password`, `/api/auth/sessions` and `/api/admin/users/{id}/sessions`

use auth::Role;
use serde_json::json;

use super::{Browser, login};
use crate::app::{App, Client, PASSWORD};

const OTHER: &str = "another horse battery";

async fn me(client: &Client) -> i64 {
    client.get("/api/auth/me").await.expect(200)["id"].as_i64().unwrap()
}

#[tokio::test]
async fn people_change_what_they_say_of_themselves_and_nothing_else() {
    let app = App::start().await;
    let developer = app.signed_in(Role::Developer).await;
    let edit = json!({"display_name": "Lin Wei", "email": "lin@example.com", "language": "zh-CN"});
    let edited = developer.patch("/api/auth/me", edit.clone()).await.expect(200);
    for (field, value) in edit.as_object().unwrap() {
        assert_eq!(&edited[field], value);
    }
    assert_eq!(developer.get("/api/auth/me").await.expect(200), edited);
    let cleared = developer.patch("/api/auth/me", json!({"email": null})).await.expect(200);
    assert_eq!((&cleared["email"], &cleared["language"]), (&json!(null), &json!("zh-CN")));
    for field in ["role", "username", "enabled", "permissions"] {
        let faults = developer.patch("/api/auth/me", json!({field: "admin"})).await.faults(422);
        assert!(faults[field].contains("not known here"), "{faults:?}");
    }
    let bad = json!({"email": "nowhere", "language": "?"});
    let faults = developer.patch("/api/auth/me", bad).await.faults(422);
    assert!(faults.contains_key("email") && faults.contains_key("language"), "{faults:?}");
}

#[tokio::test]
async fn another_password_needs_the_one_before_and_ends_all_other_sessions() {
    let app = App::start().await;
    let one = app.signed_in(Role::Developer).await;
    let two = app.signed_in(Role::Developer).await;
    let wrong = json!({"current_password": "wrong horse battery", "password": OTHER});
    let faults = one.post("/api/auth/password", wrong).await.faults(422);
    assert!(faults.contains_key("current_password"), "{faults:?}");
    let weak = json!({"current_password": PASSWORD, "password": "short"});
    assert!(one.post("/api/auth/password", weak).await.faults(422).contains_key("password"));
    two.get("/api/auth/me").await.expect(200);

    let right = json!({"current_password": PASSWORD, "password": OTHER});
    let answer = one.post("/api/auth/password", right).await;
    assert!(answer.cookie("__Host-tollgate-refresh").is_some());
    let session = answer.expect(200);
    let fresh = app.anonymous().bearing(session["access_token"].as_str().unwrap());
    fresh.get("/api/auth/me").await.expect(200);
    for ended in [&one, &two] {
        assert_eq!(ended.get("/api/auth/me").await.refused(401), "session_expired");
    }
    assert_eq!(login(&app.anonymous(), "developer", PASSWORD).await.status, 401);
    login(&app.anonymous(), "developer", OTHER).await.expect(200);
}

#[tokio::test]
async fn guesses_at_the_password_before_are_counted_as_sign_ins_are() {
    let app = App::start().await;
    let developer = app.signed_in(Role::Developer).await;
    let wrong = json!({"current_password": "wrong horse battery", "password": OTHER});
    for _ in 0..4 {
        developer.post("/api/auth/password", wrong.clone()).await.faults(422);
    }
    let scope = format!("account:{}", auth::name_mark("developer"));
    assert_eq!(app.store.login_failures(&scope).await.unwrap().count, 4);
}

#[tokio::test]
async fn people_see_their_sessions_and_end_them() {
    let app = App::start().await;
    let from_office = app.anonymous().from("198.51.100.7").with("user-agent", "office browser");
    let office = Browser::of(login(&from_office, "developer", PASSWORD).await).bearer(&app);
    let from_home = app.anonymous().from("192.0.2.9").with("user-agent", "home browser");
    let home = Browser::of(login(&from_home, "developer", PASSWORD).await).bearer(&app);
    let third = app.signed_in(Role::Developer).await;
    app.admin().await;

    let listed = home.get("/api/auth/sessions").await.expect(200);
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!((&items[1]["client"], &items[1]["current"]), (&json!("home browser"), &json!(true)));
    assert_eq!(
        (&items[2]["address"], &items[2]["current"]),
        (&json!("198.51.100.7"), &json!(false))
    );
    let path = format!("/api/auth/sessions/{}", items[2]["id"].as_str().unwrap());
    assert_eq!(app.signed_in(Role::Admin).await.delete(&path).await.refused(404), "not_found");
    assert_eq!(home.delete(&path).await.status, 204);
    assert_eq!(office.get("/api/auth/me").await.refused(401), "session_expired");
    assert_eq!(home.delete(&path).await.refused(404), "not_found");
    assert_eq!(home.delete("/api/auth/sessions/none").await.refused(404), "no_such_path");

    let ended = home.delete("/api/auth/sessions").await.expect(200);
    assert_eq!(ended, json!({"ended": 1}));
    assert_eq!(third.get("/api/auth/me").await.status, 401);
    home.get("/api/auth/me").await.expect(200);
}

#[tokio::test]
async fn an_administrator_ends_the_sessions_of_others_who_may_no_more() {
    let app = App::start().await;
    let admin = app.signed_in(Role::Admin).await;
    let (one, two) = (app.signed_in(Role::Operator).await, app.signed_in(Role::Operator).await);
    let path = format!("/api/admin/users/{}/sessions", me(&one).await);
    let listed = admin.get(&path).await.expect(200);
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let first = items[1]["id"].as_str().unwrap();
    assert_eq!(admin.delete(&format!("{path}/{first}")).await.status, 204);
    assert_eq!(one.get("/api/auth/me").await.status, 401);
    two.get("/api/auth/me").await.expect(200);
    assert_eq!(admin.delete(&path).await.expect(200), json!({"ended": 1}));
    assert_eq!(two.get("/api/auth/me").await.status, 401);

    let root = app.admin().await;
    let path = format!("/api/admin/users/{}/sessions", me(&root).await);
    assert_eq!(admin.delete(&path).await.refused(403), "stronger_role");
    root.get("/api/auth/me").await.expect(200);
    let lines = app.store.audit(store::Page::default()).await.unwrap().items;
    assert!(lines.iter().any(|line| line.action == "ended_sessions" && line.actor == "admin"));
}
