//! The history of resources, and their tags.

use auth::Role;
use serde_json::json;

use crate::app::{App, Client};

async fn key(by: &Client, upstream: i64) -> i64 {
    let new = json!({"upstream_id": upstream, "name": "one", "key_value": "sk-one-0123456789"});
    by.post("/api/admin/keys", new).await.expect(201)["id"].as_i64().unwrap()
}

#[tokio::test]
async fn the_history_of_a_resource_tells_who_changed_what_the_newest_first() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let path = format!("/api/admin/upstreams/{id}");
    admin.patch(&path, json!({"retry_count": 7})).await.expect(200);
    let now = admin.get(&path).await.expect(200);

    let history = admin.get(&format!("{path}/history")).await.expect(200);

    let items = history["items"].as_array().unwrap();
    let told: Vec<_> = items.iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["edited", "created"]);
    assert_eq!((&items[0]["actor"], &items[0]["deleted"]), (&json!("super_admin"), &json!(false)));
    assert_eq!(items[0]["resource"]["retry_count"], 7);
    assert_eq!(items[0]["resource"]["updated_at"], now["updated_at"]);
    assert_eq!(items[1]["resource"]["retry_count"], 2);
    let page = admin.get(&format!("{path}/history?limit=1")).await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = admin.get(&format!("{path}/history?limit=1&cursor={cursor}")).await.expect(200);
    assert_eq!(rest["items"][0], items[1]);

    let key = key(&admin, id).await;
    let history = admin.get(&format!("/api/admin/keys/{key}/history")).await.expect(200);
    let version = &history["items"][0]["resource"];
    assert_eq!((&version["name"], &version["state"]), (&json!("one"), &json!("active")));
    let app_key = admin.post("/api/admin/service-keys", json!({"name": "app"})).await.expect(201);
    let path = format!("/api/admin/service-keys/{}/history", app_key["id"]);
    admin.get(&path).await.expect(200);
    assert_eq!(app.signed_in(Role::Developer).await.get(&path).await.status, 404);
    assert_eq!(admin.get("/api/admin/routes/9/history").await.status, 404);
}

#[tokio::test]
async fn tags_are_given_and_looked_for() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    app.upstream(&admin, "other").await;
    let key = key(&admin, id).await;
    let service_key = json!({"name": "app", "tags": ["team-a"]});
    admin.post("/api/admin/service-keys", service_key).await.expect(201);
    for path in [format!("upstreams/{id}"), format!("keys/{key}")] {
        let edited =
            admin.patch(&format!("/api/admin/{path}"), json!({"tags": ["team-a", "eu"]})).await;
        assert_eq!(edited.expect(200)["tags"], json!(["team-a", "eu"]), "{path}");
    }
    for list in ["upstreams", "keys", "service-keys"] {
        for (tag, found) in [("team-a", 1), ("team-b", 0)] {
            let listed = admin.get(&format!("/api/admin/{list}?tag={tag}")).await.expect(200);
            assert_eq!(listed["items"].as_array().unwrap().len(), found, "{list} {tag}");
        }
        let refused = admin.get(&format!("/api/admin/{list}?tag=Team%20A")).await;
        assert_eq!(refused.status, 422, "{list}");
    }
    let path = format!("/api/admin/upstreams/{id}");
    let refused = admin.patch(&path, json!({"tags": ["ok", "Not Ok"]})).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(refused.text.contains("tags[1]"), "{}", refused.text);
    let removed = admin.patch(&path, json!({"tags": null})).await.expect(200);
    assert_eq!(removed["tags"], json!([]));
    let bulk = json!({"filter": {"tag": "eu"}, "action": "disable", "dry_run": true});
    let counted = admin.post("/api/admin/keys/bulk", bulk).await.expect(200);
    assert_eq!(counted["matched"], 1);
}
