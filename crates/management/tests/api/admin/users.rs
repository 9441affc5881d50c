//! `/api/admin/users`

use auth::Role;
use serde_json::{Value, json};

use crate::{
    app::{App, Client, PASSWORD},
    auth::login,
};

const PATH: &str = "/api/admin/users";
const OTHER: &str = "another horse battery";

async fn id_of(by: &Client, name: &str) -> i64 {
    let page = by.get(&format!("{PATH}?search={name}&limit=100")).await.expect(200);
    let items = page["items"].as_array().unwrap().clone();
    let found = items.into_iter().find(|user| user["username"] == name);
    found.unwrap()["id"].as_i64().unwrap()
}

fn one(id: i64) -> String {
    format!("{PATH}/{id}")
}

fn new(name: &str, role: &str) -> Value {
    json!({"username": name, "password": OTHER, "role": role})
}

#[tokio::test]
async fn a_user_is_made_signs_in_and_is_switched_off() {
    let app = App::start().await;
    let admin = app.admin().await;
    let answer = admin.post(PATH, new("lin", "operator")).await;
    let location = answer.header("location").to_owned();
    let made = answer.expect(201);
    assert_eq!((&made["username"], &made["role"]), (&json!("lin"), &json!("operator")));
    assert_eq!(made["enabled"], true);
    assert!(!made.to_string().contains("horse"));
    assert_eq!(admin.get(&location).await.expect(200), made);

    let session = login(&app.anonymous(), "LIN", OTHER).await.expect(200);
    let lin = app.anonymous().bearing(session["access_token"].as_str().unwrap());
    lin.get("/api/admin/upstreams").await.expect(200);
    let off = admin.patch(&location, json!({"enabled": false})).await.expect(200);
    assert_eq!(off["enabled"], false);
    assert_eq!(lin.get("/api/auth/me").await.refused(401), "session_expired");
    assert_eq!(login(&app.anonymous(), "lin", OTHER).await.refused(401), "wrong_credentials");
}

#[tokio::test]
async fn a_list_is_filtered_searched_and_sorted() {
    let app = App::start().await;
    let admin = app.admin().await;
    admin.post(PATH, new("zoe", "operator")).await.expect(201);
    let id = id_of(&admin, "zoe").await;
    admin.patch(&one(id), json!({"enabled": false})).await.expect(200);
    let names = async |query: &str| {
        let page = admin.get(&format!("{PATH}?{query}")).await.expect(200);
        let names = page["items"].as_array().unwrap().iter();
        names.map(|user| user["username"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("role=operator").await, ["operator", "zoe"]);
    assert_eq!(names("role=operator&enabled=true").await, ["operator"]);
    assert_eq!(names("enabled=false").await, ["zoe"]);
    assert_eq!(names("search=ANAL").await, ["analyst"]);
    assert_eq!(names("sort=-name&limit=1").await, ["zoe"]);
    let faults = admin.get(&format!("{PATH}?enabled=perhaps&limit=0")).await.faults(422);
    assert!(faults.contains_key("enabled"), "{faults:?}");
}

#[tokio::test]
async fn every_field_at_fault_is_told_at_once() {
    let app = App::start().await;
    let admin = app.admin().await;
    let bad = json!({"username": "two words", "password": "short", "role": "king",
        "email": "nowhere", "language": "?", "display_name": ""});
    let faults = admin.post(PATH, bad).await.faults(422);
    let mut fields: Vec<_> = faults.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["display_name", "email", "language", "password", "role", "username"]);
    let faults = admin.post(PATH, json!({"name": "lin", "enabled": 1})).await.faults(422);
    assert_eq!(faults["username"], "is required");
    assert_eq!(faults["role"], "is required");
    assert!(faults["name"].contains("not known here"), "{faults:?}");
    assert!(faults.contains_key("enabled"));
    assert_eq!(admin.post(PATH, json!([])).await.refused(400), "not_an_object");
    let weak = json!({"password": "operator-operator", "username": null});
    let id = id_of(&admin, "operator").await;
    let faults = admin.patch(&one(id), weak).await.faults(422);
    assert_eq!(faults.len(), 1, "{faults:?}");
    let faults = admin.patch(&one(id), json!({"password": "short"})).await.faults(422);
    assert!(faults.contains_key("password"), "{faults:?}");
}

#[tokio::test]
async fn a_name_is_taken_in_any_spelling() {
    let app = App::start().await;
    let admin = app.admin().await;
    let faults = admin.post(PATH, new("ADMIN", "operator")).await.faults(409);
    assert!(faults["username"].contains("another user"), "{faults:?}");
    let id = id_of(&admin, "operator").await;
    let faults = admin.patch(&one(id), json!({"username": "Analyst"})).await.faults(409);
    assert!(faults.contains_key("username"), "{faults:?}");
    assert_eq!(admin.get(&one(9999)).await.refused(404), "not_found");
}

#[tokio::test]
async fn an_administrator_makes_and_changes_nobody_stronger() {
    let app = App::start().await;
    let admin = app.signed_in(Role::Admin).await;
    let root = id_of(&admin, "super_admin").await;
    assert_eq!(admin.post(PATH, new("eve", "super_admin")).await.refused(403), "stronger_role");
    for edit in [
        json!({"password": OTHER}),
        json!({"enabled": false}),
        json!({"email": "eve@example.com"}),
        json!({"role": "analyst"}),
    ] {
        assert_eq!(admin.patch(&one(root), edit.clone()).await.status, 403, "{edit}");
    }
    assert_eq!(admin.delete(&one(root)).await.refused(403), "stronger_role");
    // To give another role is a permission of its own.
    let analyst = id_of(&admin, "analyst").await;
    let refused = admin.patch(&one(analyst), json!({"role": "operator"})).await;
    assert_eq!(refused.refused(403), "forbidden");
    admin.patch(&one(analyst), json!({"password": OTHER})).await.expect(200);
    admin.post(PATH, new("bob", "admin")).await.expect(201);
    let root = app.admin().await;
    root.patch(&one(analyst), json!({"role": "operator"})).await.expect(200);
}

#[tokio::test]
async fn the_last_super_administrator_stays() {
    let app = App::start().await;
    let root = app.admin().await;
    let id = id_of(&root, "super_admin").await;
    for edit in [json!({"enabled": false}), json!({"role": "admin"})] {
        let faults = root.patch(&one(id), edit).await.faults(409);
        assert!(faults["role"].contains("last active super administrator"), "{faults:?}");
    }
    assert!(root.delete(&one(id)).await.faults(409).contains_key("role"));
    root.post(PATH, new("second", "super_admin")).await.expect(201);
    root.patch(&one(id), json!({"role": "admin"})).await.expect(200);
}

#[tokio::test]
async fn another_role_and_another_password_end_all_sessions() {
    let app = App::start().await;
    let root = app.admin().await;
    for (name, role, edit) in [
        ("operator", Role::Operator, json!({"role": "analyst"})),
        ("developer", Role::Developer, json!({"password": OTHER})),
    ] {
        let session = app.signed_in(role).await;
        session.get("/api/auth/me").await.expect(200);
        let id = id_of(&root, name).await;
        root.patch(&one(id), json!({"display_name": "Somebody"})).await.expect(200);
        session.get("/api/auth/me").await.expect(200);
        root.patch(&one(id), edit).await.expect(200);
        assert_eq!(session.get("/api/auth/me").await.refused(401), "session_expired");
    }
    assert_eq!(login(&app.anonymous(), "developer", PASSWORD).await.status, 401);
    login(&app.anonymous(), "developer", OTHER).await.expect(200);
}

#[tokio::test]
async fn a_deleted_user_stays_in_the_books() {
    let app = App::start().await;
    let root = app.admin().await;
    let made = root.post(PATH, new("lin", "developer")).await.expect(201);
    let path = one(made["id"].as_i64().unwrap());
    let session = login(&app.anonymous(), "lin", OTHER).await.expect(200);
    let lin = app.anonymous().bearing(session["access_token"].as_str().unwrap());
    let key = lin.post("/api/admin/service-keys", json!({"name": "k"})).await.expect(201);
    assert_eq!(root.delete(&path).await.status, 204);
    assert_eq!(lin.get("/api/auth/me").await.status, 401);
    assert_eq!(root.get(&path).await.refused(404), "not_found");
    assert_eq!(root.get(&format!("/api/admin/service-keys/{}", key["id"])).await.status, 404);

    let history = root.get(&format!("{path}/history")).await.expect(200);
    let items = history["items"].as_array().unwrap();
    let actions: Vec<_> = items.iter().map(|version| version["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["deleted", "created"]);
    assert_eq!(items[1]["resource"]["username"], "lin");
    assert_eq!(items[0]["actor"], "super_admin");
    // The same name can be given again, to somebody else.
    let again = root.post(PATH, new("lin", "developer")).await.expect(201);
    assert_ne!(again["id"], made["id"]);
}

#[tokio::test]
async fn no_secret_of_a_user_is_in_the_history() {
    let app = App::start().await;
    let root = app.admin().await;
    let made = root.post(PATH, new("lin", "analyst")).await.expect(201);
    let path = one(made["id"].as_i64().unwrap());
    root.patch(&path, json!({"password": "yet another horse"})).await.expect(200);
    let history = root.get(&format!("{path}/history")).await;
    assert!(!history.text.contains("horse") && !history.text.contains("tg1$"), "{}", history.text);
    assert_eq!(history.expect(200)["items"].as_array().unwrap().len(), 2);
    for line in app.store.audit(store::Page::default()).await.unwrap().items {
        let told = line.detail.to_string();
        assert!(!told.contains("tg1$"), "{told}");
    }
}

#[tokio::test]
async fn an_outdated_version_is_refused() {
    let app = App::start().await;
    let root = app.admin().await;
    let id = id_of(&root, "operator").await;
    let tag = root.get(&one(id)).await.header("etag").to_owned();
    root.patch(&one(id), json!({"display_name": "One"})).await.expect(200);
    let late = root.clone().with("if-match", &tag);
    assert_eq!(late.patch(&one(id), json!({"display_name": "Two"})).await.refused(412), "changed");
}
