//! `/api/admin/roles` and `/api/admin/permissions`

use auth::{Permission, Role};
use serde_json::{Value, json};

use crate::{
    app::{App, Client, PASSWORD},
    auth::login,
};

const PATH: &str = "/api/admin/roles";

async fn with_role(app: &App, name: &str, role: &str) -> Client {
    let new = json!({"username": name, "password": PASSWORD, "role": role});
    app.admin().await.post("/api/admin/users", new).await.expect(201);
    let session = login(&app.anonymous(), name, PASSWORD).await.expect(200);
    app.anonymous().bearing(session["access_token"].as_str().unwrap())
}

fn desk() -> Value {
    json!({"name": "key-desk", "permissions": ["servicekey.write", "servicekey.read"],
        "description": "Hands out service keys", "data_scope": "all"})
}

#[tokio::test]
async fn the_roles_that_are_built_in_are_listed_and_read_only() {
    let app = App::start().await;
    let root = app.admin().await;
    let page = root.get(PATH).await.expect(200);
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), Role::ALL.len());
    for (item, role) in items.iter().zip(Role::ALL) {
        assert_eq!(item["name"], role.as_str());
        assert_eq!(item["built_in"], true);
        assert_eq!(item["permissions"], serde_json::to_value(role.permissions()).unwrap());
        let scope = if role.sees_all() { "all" } else { "own" };
        assert_eq!(item["data_scope"], scope);
        let path = format!("{PATH}/{}", item["id"]);
        let refused = root.patch(&path, json!({"description": "mine"})).await.faults(409);
        assert!(refused["id"].contains("built in"), "{refused:?}");
        assert!(root.delete(&path).await.faults(409).contains_key("id"));
    }
    let taken = root.post(PATH, json!({"name": "admin", "permissions": ["log.read"]})).await;
    assert!(taken.faults(409).contains_key("name"));
}

#[tokio::test]
async fn the_permissions_are_explained() {
    let app = App::start().await;
    let page = app.signed_in(Role::Admin).await.get("/api/admin/permissions").await.expect(200);
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 17);
    for (item, permission) in items.iter().zip(Permission::ALL) {
        assert_eq!(item["name"], permission.as_str());
        assert!(item["description"].as_str().unwrap().ends_with('.'));
        assert_eq!(item["held"], Role::Admin.may(permission));
    }
}

#[tokio::test]
async fn users_of_an_own_role_may_what_it_says_and_no_more() {
    let app = App::start().await;
    let root = app.admin().await;
    let made = root.post(PATH, desk()).await.expect(201);
    assert_eq!(made["permissions"], json!(["servicekey.read", "servicekey.write"]));
    let desk = with_role(&app, "kim", "key-desk").await;
    let me = desk.get("/api/auth/me").await.expect(200);
    assert_eq!(me["role"], "key-desk");
    assert_eq!(me["permissions"], made["permissions"]);
    root.post("/api/admin/service-keys", json!({"name": "of root"})).await.expect(201);
    let seen = desk.get("/api/admin/service-keys").await.expect(200);
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    assert_eq!(desk.get("/api/admin/upstreams").await.refused(403), "forbidden");

    // What is changed holds for the session that is open.
    let path = format!("{PATH}/{}", made["id"]);
    let narrow = json!({"permissions": ["servicekey.read"], "data_scope": "own"});
    root.patch(&path, narrow).await.expect(200);
    let seen = desk.get("/api/admin/service-keys").await.expect(200);
    assert_eq!(seen["items"].as_array().unwrap().len(), 0);
    let refused = desk.post("/api/admin/service-keys", json!({"name": "mine"})).await;
    assert_eq!(refused.refused(403), "forbidden");
}

#[tokio::test]
async fn a_role_that_users_have_stays() {
    let app = App::start().await;
    let root = app.admin().await;
    let made = root.post(PATH, desk()).await.expect(201);
    let path = format!("{PATH}/{}", made["id"]);
    with_role(&app, "kim", "key-desk").await;
    let faults = root.delete(&path).await.faults(409);
    assert!(faults["id"].contains("1 users"), "{faults:?}");
    let users = root.get("/api/admin/users?role=key-desk").await.expect(200);
    let kim = format!("/api/admin/users/{}", users["items"][0]["id"]);
    root.patch(&kim, json!({"role": "analyst"})).await.expect(200);
    assert_eq!(root.delete(&path).await.status, 204);
    assert_eq!(root.get(&path).await.refused(404), "not_found");
    let history = root.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(history["items"][0]["deleted"], true);
    assert_eq!(history["items"][1]["resource"]["name"], "key-desk");
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let app = App::start().await;
    let root = app.admin().await;
    let clerk = json!({"name": "clerk", "data_scope": "all",
        "permissions": ["user.read", "user.write", "role.assign", "log.read"]});
    root.post(PATH, clerk).await.expect(201);
    let clerk = with_role(&app, "kim", "clerk").await;
    let more = json!({"name": "more", "permissions": ["log.read", "log.body"]});
    assert_eq!(clerk.post(PATH, more.clone()).await.refused(403), "stronger_role");
    let less = json!({"name": "less", "permissions": ["log.read"]});
    let made = clerk.post(PATH, less).await.expect(201);
    let path = format!("{PATH}/{}", made["id"]);
    let refused = clerk.patch(&path, json!({"permissions": ["log.body"]})).await;
    assert_eq!(refused.refused(403), "stronger_role");
    // Neither what they must not give can be taken away by them.
    let strong = root.post(PATH, more).await.expect(201);
    let strong = format!("{PATH}/{}", strong["id"]);
    assert_eq!(clerk.delete(&strong).await.refused(403), "stronger_role");
    let refused = clerk.patch(&strong, json!({"permissions": ["log.read"]})).await;
    assert_eq!(refused.refused(403), "stronger_role");
    let user = json!({"username": "eve", "password": PASSWORD, "role": "more"});
    assert_eq!(clerk.post("/api/admin/users", user).await.refused(403), "stronger_role");
    let user = json!({"username": "eve", "password": PASSWORD, "role": "less"});
    clerk.post("/api/admin/users", user).await.expect(201);
}

#[tokio::test]
async fn every_field_of_a_bad_role_is_named() {
    let app = App::start().await;
    let root = app.admin().await;
    let bad = json!({"name": "Key Desk", "permissions": [], "description": "x".repeat(501)});
    let faults = root.post(PATH, bad).await.faults(422);
    let mut fields: Vec<_> = faults.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["description", "name", "permissions"]);
    let bad = json!({"name": "a", "permissions": ["log.read", "log.burn"], "data_scope": "team"});
    let faults = root.post(PATH, bad).await.faults(422);
    assert!(
        faults.contains_key("permissions[1]") && faults.contains_key("data_scope"),
        "{faults:?}"
    );
    let made = root.post(PATH, desk()).await.expect(201);
    let path = format!("{PATH}/{}", made["id"]);
    let faults = root.patch(&path, json!({"name": "other", "permissions": null})).await.faults(422);
    assert!(faults.contains_key("name") && faults.contains_key("permissions"), "{faults:?}");
}
