//! The audit trail: lines, filters, refusals, files.

use auth::Role;
use domain::UserId;
use serde_json::{Value, json};

use crate::app::{App, Client, PASSWORD, entry};

async fn lines(by: &Client, query: &str) -> Vec<Value> {
    let page = by.get(&format!("/api/admin/audit{query}")).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

fn actions(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_change_is_a_line_with_who_from_where_before_and_after() {
    let app = App::start().await;
    let admin = app.admin().await.from("198.51.100.4");
    let id = app.upstream(&admin, "openai").await;
    let path = format!("/api/admin/upstreams/{id}");
    admin.patch(&path, json!({"retry_count": 7})).await.expect(200);
    admin.delete(&path).await.expect(204);

    let told = lines(&admin, "?object_kind=upstream").await;

    assert_eq!(actions(&told), ["upstream.delete", "upstream.edit", "upstream.create"]);
    let edit = &told[1];
    assert_eq!((&edit["actor"], &edit["result"]), (&json!("super_admin"), &json!("done")));
    assert_eq!(edit["address"], "198.51.100.4");
    assert_eq!((&edit["object_id"], &edit["object_name"]), (&json!(id), &json!("openai")));
    assert_eq!(
        (&edit["before"], &edit["after"]),
        (&json!({"retry_count": 2}), &json!({"retry_count": 7}))
    );
    assert!(edit["revision"].as_i64() < told[0]["revision"].as_i64());
    let page = admin.get("/api/admin/audit?object_kind=upstream&limit=2").await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = lines(&admin, &format!("?object_kind=upstream&limit=2&cursor={cursor}")).await;
    assert_eq!(actions(&rest), ["upstream.create"]);
    assert_eq!(lines(&admin, "?action=upstream.edit&actor=SUPER").await.len(), 1);
    assert_eq!(lines(&admin, "?action=upstream.edit&address=198.51.100.5").await.len(), 0);
    let me = edit["actor_id"].as_i64().unwrap();
    assert_eq!(lines(&admin, &format!("?actor_id={me}&action=upstream.create")).await.len(), 1);
    let at = edit["at"].as_str().unwrap();
    assert_eq!(lines(&admin, &format!("?object_kind=upstream&from={at}")).await.len(), 2);
    assert_eq!(lines(&admin, &format!("?object_kind=upstream&to={at}")).await.len(), 1);
}

#[tokio::test]
async fn a_filter_that_cannot_be_is_refused_with_every_field() {
    let app = App::start().await;
    let admin = app.admin().await;
    let faults =
        admin.get("/api/admin/audit?result=maybe&address=here&actor_id=x").await.faults(422);
    assert_eq!(faults.len(), 3, "{faults:?}");
    let at = "2026-01-01T00:00:00Z";
    let faults = admin.get(&format!("/api/admin/audit?from={at}&to={at}")).await.faults(422);
    assert!(faults.contains_key("to"), "{faults:?}");
    assert!(admin.get("/api/admin/audit?action=edited").await.faults(422).contains_key("action"));
    assert!(admin.get("/api/admin/audit?cursor=x").await.faults(422).contains_key("cursor"));
}

#[tokio::test]
async fn failed_sign_ins_and_missing_permissions_are_lines() {
    let app = App::start().await;
    let login = json!({"username": "super_admin", "password": "wrong wrong wrong"});
    let stranger = app.anonymous().from("198.51.100.77");
    stranger.post("/api/auth/login", login).await.refused(401);
    app.signed_in(Role::Analyst).await.delete("/api/admin/routes/1").await.refused(403);
    let admin = app.admin().await;

    let refused = lines(&admin, "?result=refused").await;

    assert_eq!(actions(&refused), ["access.refused", "auth.login_failed"]);
    let detail = json!({
        "method": "DELETE", "path": "/api/admin/routes/1", "permission": "upstream.write",
    });
    assert_eq!((&refused[0]["actor"], &refused[0]["detail"]), (&json!("analyst"), &detail));
    let failed = &refused[1];
    assert_eq!(
        (&failed["actor"], &failed["address"]),
        (&json!("super_admin"), &json!("198.51.100.77"))
    );
    assert_eq!(failed["actor_id"], Value::Null);
    assert!(!format!("{refused:?}").contains("wrong"));
    assert_eq!(app.store.verify_audit().await.unwrap().broken_at, None);
}

#[tokio::test]
async fn whoever_is_refused_again_and_again_does_not_flood_the_trail() {
    let app = App::start().await;
    let analyst = app.signed_in(Role::Analyst).await;
    for _ in 0..30 {
        analyst.delete("/api/admin/routes/1").await.refused(403);
    }
    let admin = app.admin().await;
    assert_eq!(lines(&admin, "?action=access.refused").await.len(), 10);
    let elsewhere = analyst.clone().from("198.51.100.8");
    elsewhere.delete("/api/admin/routes/1").await.refused(403);
    let told = lines(&admin, "?action=access.refused&limit=1").await;
    assert_eq!(told[0]["detail"]["left_out_before"], 20);
}

#[tokio::test]
async fn signing_in_and_out_and_looking_at_secrets_are_lines() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let key = json!({"upstream_id": id, "name": "one", "key_value": "sk-one-0123456789"});
    admin.post("/api/admin/keys", key).await.expect(201);
    admin.get("/api/admin/keys/export?reveal=true").await;
    let call = entry(1, UserId(1));
    app.log(std::slice::from_ref(&call)).await;
    let body =
        store::RecordedBody { log: call.id, answer: false, bytes: b"{}".to_vec(), cut: false };
    app.store.append_bodies(vec![body]).await.unwrap();
    admin.get(&format!("/api/admin/logs/{}/bodies", call.id)).await.expect(200);
    app.signed_in(Role::Admin).await.post("/api/auth/logout", json!({})).await.expect(204);

    let told = lines(&admin, "?limit=6").await;

    let expected = ["auth.logout", "auth.login", "log.bodies_read", "provider_key.reveal"];
    assert_eq!(actions(&told)[..4], expected);
    assert_eq!(told[2]["object_name"], call.id.to_string());
    assert_eq!(told[0]["actor"], "admin");
    assert!(!format!("{told:?}").contains("sk-one") && !format!("{told:?}").contains(PASSWORD));
}

#[tokio::test]
async fn the_trail_is_exported_whole_as_lines_of_json_and_as_csv() {
    let app = App::start().await;
    let admin = app.admin().await;
    for i in 0..1100 {
        app.store.note(&auth::Actor::System, "noted", "thing", Some(i)).await.unwrap();
    }
    let formula = json!({"name": "-cmd"});
    admin.post("/api/admin/service-keys", formula).await.expect(201);

    let file = admin.get("/api/admin/audit/export").await;

    assert_eq!(file.header("content-type"), "application/x-ndjson");
    let read: Vec<Value> =
        file.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<i64> = read.iter().map(|line| line["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (1..=ids.len() as i64).collect::<Vec<_>>());
    assert!(ids.len() > 1100);
    let told = lines(&admin, "?limit=1").await;
    assert_eq!(told[0]["action"], "audit.export");

    let query = "/api/admin/audit/export?format=csv&action=service_key.create";
    let file = admin.get(query).await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    let rows: Vec<&str> = file.text.lines().collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].starts_with("id,at,action,result,actor,"));
    assert!(rows[1].contains("\"service_key.create\",\"done\",\"super_admin\""), "{}", rows[1]);
    assert!(rows[1].contains("\"'-cmd\""), "no formula: {}", rows[1]);
    admin.get("/api/admin/audit/export?format=xml").await.refused(422);
}

#[tokio::test]
async fn only_who_may_read_the_trail_does() {
    let app = App::start().await;
    for role in Role::ALL {
        let client = app.signed_in(role).await;
        for path in ["/api/admin/audit", "/api/admin/audit/export"] {
            let status = client.get(path).await.status.as_u16();
            let may = role.may(auth::Permission::AuditRead);
            assert_eq!(status, if may { 200 } else { 403 }, "{role} {path}");
        }
    }
}
