//! Default deny: every route with no credential, a wrong one, and each role.

use auth::{Permission, Role};
use axum::http::Method;

use crate::app::{App, Client};

/// Every route and what it needs; `None` is open to anybody.
const DOORS: &[(&str, &str, Option<Permission>)] = &[
    ("GET", "/api/admin/upstreams", Some(Permission::UpstreamRead)),
    ("POST", "/api/admin/upstreams", Some(Permission::UpstreamWrite)),
    ("GET", "/api/admin/upstreams/{id}", Some(Permission::UpstreamRead)),
    ("PATCH", "/api/admin/upstreams/{id}", Some(Permission::UpstreamWrite)),
    ("DELETE", "/api/admin/upstreams/{id}", Some(Permission::UpstreamWrite)),
    ("GET", "/api/admin/upstreams/{id}/history", Some(Permission::UpstreamRead)),
    ("POST", "/api/admin/upstreams/{id}/script-test", Some(Permission::UpstreamWrite)),
    ("GET", "/api/admin/upstreams/{id}/provider-models", Some(Permission::UpstreamWrite)),
    ("POST", "/api/admin/upstreams/{id}/adopt-models", Some(Permission::UpstreamWrite)),
    ("GET", "/api/admin/presets", Some(Permission::UpstreamRead)),
    ("GET", "/api/admin/keys", Some(Permission::ProviderKeyRead)),
    ("POST", "/api/admin/keys", Some(Permission::ProviderKeyWrite)),
    ("POST", "/api/admin/keys/import", Some(Permission::ProviderKeyWrite)),
    ("GET", "/api/admin/keys/export", Some(Permission::ProviderKeyRead)),
    ("POST", "/api/admin/keys/bulk", Some(Permission::ProviderKeyWrite)),
    ("POST", "/api/admin/keys/{id}/test", Some(Permission::ProviderKeyWrite)),
    ("GET", "/api/admin/keys/{id}/transitions", Some(Permission::ProviderKeyRead)),
    ("GET", "/api/admin/keys/{id}", Some(Permission::ProviderKeyRead)),
    ("PATCH", "/api/admin/keys/{id}", Some(Permission::ProviderKeyWrite)),
    ("DELETE", "/api/admin/keys/{id}", Some(Permission::ProviderKeyWrite)),
    ("GET", "/api/admin/keys/{id}/history", Some(Permission::ProviderKeyRead)),
    ("GET", "/api/admin/service-keys", Some(Permission::ServiceKeyRead)),
    ("POST", "/api/admin/service-keys", Some(Permission::ServiceKeyWrite)),
    ("GET", "/api/admin/service-keys/{id}", Some(Permission::ServiceKeyRead)),
    ("PATCH", "/api/admin/service-keys/{id}", Some(Permission::ServiceKeyWrite)),
    ("DELETE", "/api/admin/service-keys/{id}", Some(Permission::ServiceKeyWrite)),
    ("GET", "/api/admin/service-keys/{id}/history", Some(Permission::ServiceKeyRead)),
    ("POST", "/api/admin/service-keys/{id}/rotate", Some(Permission::ServiceKeyWrite)),
    ("GET", "/api/admin/routes", Some(Permission::UpstreamRead)),
    ("POST", "/api/admin/routes", Some(Permission::UpstreamWrite)),
    ("POST", "/api/admin/route-test", Some(Permission::UpstreamRead)),
    ("GET", "/api/admin/routes/{id}", Some(Permission::UpstreamRead)),
    ("PATCH", "/api/admin/routes/{id}", Some(Permission::UpstreamWrite)),
    ("DELETE", "/api/admin/routes/{id}", Some(Permission::UpstreamWrite)),
    ("GET", "/api/admin/routes/{id}/history", Some(Permission::UpstreamRead)),
    ("GET", "/api/admin/rules", Some(Permission::UpstreamRead)),
    ("POST", "/api/admin/rules", Some(Permission::RuleWrite)),
    ("GET", "/api/admin/rules/{id}", Some(Permission::UpstreamRead)),
    ("PATCH", "/api/admin/rules/{id}", Some(Permission::RuleWrite)),
    ("DELETE", "/api/admin/rules/{id}", Some(Permission::RuleWrite)),
    ("GET", "/api/admin/rules/{id}/history", Some(Permission::UpstreamRead)),
    ("GET", "/api/admin/rules/ready-made", Some(Permission::UpstreamRead)),
    ("POST", "/api/admin/rules/test", Some(Permission::RuleWrite)),
    ("POST", "/api/admin/rules/{id}/test", Some(Permission::RuleWrite)),
    ("GET", "/api/admin/rules/{id}/triggers", Some(Permission::UpstreamRead)),
    ("GET", "/api/admin/rule-triggers", Some(Permission::UpstreamRead)),
    ("GET", "/api/admin/users", Some(Permission::UserRead)),
    ("POST", "/api/admin/users", Some(Permission::UserWrite)),
    ("GET", "/api/admin/users/{id}", Some(Permission::UserRead)),
    ("PATCH", "/api/admin/users/{id}", Some(Permission::UserWrite)),
    ("DELETE", "/api/admin/users/{id}", Some(Permission::UserWrite)),
    ("GET", "/api/admin/users/{id}/history", Some(Permission::UserRead)),
    ("GET", "/api/admin/users/{id}/sessions", Some(Permission::UserRead)),
    ("DELETE", "/api/admin/users/{id}/sessions", Some(Permission::UserWrite)),
    ("DELETE", "/api/admin/users/{id}/sessions/{session}", Some(Permission::UserWrite)),
    ("GET", "/api/admin/roles", Some(Permission::UserRead)),
    ("POST", "/api/admin/roles", Some(Permission::RoleAssign)),
    ("GET", "/api/admin/roles/{id}", Some(Permission::UserRead)),
    ("PATCH", "/api/admin/roles/{id}", Some(Permission::RoleAssign)),
    ("DELETE", "/api/admin/roles/{id}", Some(Permission::RoleAssign)),
    ("GET", "/api/admin/roles/{id}/history", Some(Permission::UserRead)),
    ("GET", "/api/admin/permissions", Some(Permission::UserRead)),
    ("GET", "/api/admin/limits", Some(Permission::ServiceKeyRead)),
    ("POST", "/api/admin/limits", Some(Permission::RuleWrite)),
    ("GET", "/api/admin/limits/{id}", Some(Permission::ServiceKeyRead)),
    ("PATCH", "/api/admin/limits/{id}", Some(Permission::RuleWrite)),
    ("DELETE", "/api/admin/limits/{id}", Some(Permission::RuleWrite)),
    ("GET", "/api/admin/limits/{id}/history", Some(Permission::ServiceKeyRead)),
    ("GET", "/api/admin/sessions", Some(Permission::LogRead)),
    ("GET", "/api/admin/sessions/{id}", Some(Permission::LogRead)),
    ("GET", "/api/admin/sessions/{id}/calls", Some(Permission::LogRead)),
    ("GET", "/api/admin/logs", Some(Permission::LogRead)),
    ("GET", "/api/admin/logs/{id}", Some(Permission::LogRead)),
    ("GET", "/api/admin/logs/{id}/bodies", Some(Permission::LogBody)),
    ("GET", "/api/admin/refused-keys", Some(Permission::AuditRead)),
    ("GET", "/api/admin/alerts", Some(Permission::UpstreamRead)),
    ("GET", "/api/admin/alerts/{id}", Some(Permission::UpstreamRead)),
    ("POST", "/api/admin/alerts/{id}/acknowledge", Some(Permission::RuleWrite)),
    ("POST", "/api/admin/alerts/{id}/resolve", Some(Permission::RuleWrite)),
    ("GET", "/api/admin/tasks", Some(Permission::UpstreamRead)),
    ("POST", "/api/admin/tasks/{name}/run", Some(Permission::ConfigWrite)),
    ("GET", "/api/admin/audit", Some(Permission::AuditRead)),
    ("GET", "/api/admin/audit/export", Some(Permission::AuditRead)),
    ("GET", "/api/admin/dashboard/stats", Some(Permission::StatsRead)),
    ("POST", "/api/auth/login", None),
    ("POST", "/api/auth/setup", None),
    ("POST", "/api/auth/refresh", None),
    ("POST", "/api/auth/logout", None),
    ("GET", "/api/auth/me", None),
    ("PATCH", "/api/auth/me", None),
    ("POST", "/api/auth/password", None),
    ("GET", "/api/auth/sessions", None),
    ("DELETE", "/api/auth/sessions", None),
    ("DELETE", "/api/auth/sessions/{id}", None),
    ("GET", "/livez", None),
    ("GET", "/readyz", None),
    ("GET", "/healthz", None),
];

async fn knock(client: &Client, method: &str, path: &str) -> u16 {
    let id = if path.contains("logs") { "0198c0de-0000-7000-8000-000000000000" } else { "9999" };
    let body = matches!(method, "POST" | "PATCH").then(|| "{}".to_owned());
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let path = path.replace("{id}", id).replace("{name}", "nothing");
    let path = path.replace("{session}", "0198c0de-0000-7000-8000-000000000000");
    client.send(method, &path, body).await.status.as_u16()
}

#[test]
fn every_route_stands_in_the_table() {
    let document = serde_json::to_value(management::document()).unwrap();
    let mut described: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.push((method.to_uppercase(), path.clone()));
        }
    }
    let mut listed: Vec<(String, String)> =
        DOORS.iter().map(|(method, path, _)| ((*method).into(), (*path).into())).collect();
    described.sort();
    listed.sort();
    assert_eq!(described, listed);
}

#[tokio::test]
async fn nobody_passes_without_a_session() {
    let app = App::start().await;
    let service_key = app.master_key.service_keys().mint();
    let service_key = secrecy::ExposeSecret::expose_secret(&service_key.key).to_owned();
    let strangers = [
        app.anonymous(),
        app.anonymous().bearing("rubbish"),
        app.anonymous().bearing("e30.e30.e30"),
        app.anonymous().bearing(&service_key),
        app.anonymous().with("x-api-key", &service_key),
        app.anonymous().with("authorization", "Basic YWRtaW46YWRtaW4="),
        app.anonymous().with("x-original-url", "/livez").with("x-forwarded-host", "localhost"),
    ];
    for (method, path, needs) in DOORS {
        for stranger in strangers.iter().filter(|_| needs.is_some()) {
            assert_eq!(knock(stranger, method, path).await, 401, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn each_role_opens_its_doors_and_no_others() {
    let app = App::start().await;
    for role in Role::ALL {
        let client = app.signed_in(role).await;
        for (method, path, needs) in DOORS {
            let Some(needs) = needs else { continue };
            let status = knock(&client, method, path).await;
            let passed = matches!(status, 200 | 404 | 422);
            assert_eq!(passed, role.may(*needs), "{role} {method} {path}: {status}");
            assert!(passed || status == 403, "{role} {method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn two_credentials_are_none() {
    let app = App::start().await;
    let admin = app.admin().await;
    let both = admin.clone().bearing("rubbish");
    assert_eq!(admin.get("/api/admin/upstreams").await.status, 200);
    assert_eq!(both.get("/api/admin/upstreams").await.status, 401);
}

#[tokio::test]
async fn a_role_that_was_taken_away_opens_nothing_any_more() {
    let app = App::start().await;
    let operator = app.signed_in(Role::Operator).await;
    assert_eq!(operator.get("/api/admin/upstreams").await.status, 200);
    let me = operator.get("/api/auth/me").await.expect(200)["id"].as_i64().unwrap();
    let edit = store::UserEdit { active: Some(false), ..Default::default() };
    app.store.edit_user(&auth::Actor::System, domain::UserId(me), edit).await.unwrap();
    let gone = async {
        while operator.get("/api/admin/upstreams").await.status != 401 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.unwrap();
}
