//! The walk that users have in their scripts: its fields are fixed.

use domain::UserId;
use serde_json::json;

use crate::app::{App, entry};

#[tokio::test]
async fn the_walk_through_the_gateway() {
    let app = App::start().await;
    let admin = app.admin().await;

    let upstream = json!({"name": "openai", "base_url": "https://api.openai.com", "timeout": 60, "retry_count": 2});
    let upstream = admin.post("/api/admin/upstreams", upstream).await.expect(201);
    assert_eq!(upstream["id"], 1);
    assert_eq!((&upstream["timeout"], &upstream["retry_count"]), (&json!(60), &json!(2)));
    assert_eq!(upstream["provider"], "openai");

    let key = json!({"upstream_id": 1, "name": "Key 1", "key_value": "sk-xxxxx", "enable_quota": true, "quota_total": 1000});
    let key = admin.post("/api/admin/keys", key).await.expect(201);
    assert_eq!((&key["upstream_id"], &key["name"]), (&json!(1), &json!("Key 1")));
    assert_eq!((&key["enable_quota"], &key["quota_total"]), (&json!(true), &json!(1000)));
    assert!(!key.to_string().contains("sk-xxxxx"));

    let made = admin.post("/api/admin/service-keys", json!({"name": "my app"})).await.expect(201);
    assert_eq!(made["id"], 1);
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("tg-"));
    let again = admin.get("/api/admin/service-keys/1").await.expect(200);
    assert!(!again.to_string().contains(key));
    assert_eq!(again["key"], json!(null));

    app.log(&[entry(1, UserId(1))]).await;
    let logs = admin.get("/api/admin/logs?limit=10").await.expect(200);
    assert_eq!(logs["items"].as_array().unwrap().len(), 1);
    assert_eq!(logs["items"][0]["request_id"], "req-1");
    assert_eq!(logs["next_cursor"], json!(null));

    let stats = admin.get("/api/admin/dashboard/stats").await.expect(200);
    assert_eq!(stats["totals"]["requests"], 1);
    assert_eq!(stats["totals"]["input_tokens"], 30);
}
