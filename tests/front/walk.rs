//! The walk-through of the manual. Its fields are fixed: people have scripts like it.

use mock::{Mock, Script};
use serde_json::{Value, json};
use testkit::{Gateway, until};

use crate::{TOLLGATE, client};

async fn gateway() -> Gateway {
    let mut gateway = Gateway::new(TOLLGATE).with("TOLLGATE_OUTBOUND__ALLOW", "127.0.0.0/8");
    gateway.start().await;
    gateway
}

#[tokio::test]
async fn the_walk_through_of_the_manual_works_word_for_word() {
    let (gateway, providers) = (gateway().await, Mock::start(Script::default()).await.unwrap());
    let admin = gateway.admin().await;

    let upstream = json!({"name": "openai", "base_url": providers.base_url(), "timeout": 60, "retry_count": 2});
    let upstream = admin.post("/api/admin/upstreams", upstream).await;
    assert_eq!(upstream["id"], 1);
    let key = json!({"upstream_id": 1, "name": "Key 1", "key_value": "sk-xxxxx", "enable_quota": true, "quota_total": 1000});
    let key = admin.post("/api/admin/keys", key).await;
    assert!(!key.to_string().contains("sk-xxxxx"), "a key's value is never returned: {key}");
    let service = admin.post("/api/admin/service-keys", json!({"name": "my app"})).await;
    assert_eq!(service["id"], 1);
    let service_key = service["key"].as_str().unwrap();
    assert!(service_key.starts_with("tg-"));

    let chat = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]});
    let url = format!("http://{}/proxy/openai/v1/chat/completions", gateway.proxy());
    let call = client().post(url).bearer_auth(service_key).json(&chat);
    let answer = until("the data plane serves the change", || {
        let answer = call.try_clone().unwrap().send();
        async { answer.await.ok().filter(|answer| answer.status() == 200) }
    })
    .await;
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let answer: Value = answer.json().await.unwrap();
    assert!(answer["choices"][0]["message"]["content"].is_string(), "{answer}");
    let (admin, request_id) = (&admin, request_id.as_str());
    let entry = until("the log entry is there", || async move {
        let list = admin.get("/api/admin/logs?limit=10").await;
        list["items"].as_array().unwrap().iter().find(|e| e["request_id"] == request_id).cloned()
    })
    .await;
    assert_eq!(entry["status"], 200);
    assert_eq!((&entry["upstream"], &entry["provider_key"]), (&json!("openai"), &json!("Key 1")));
    let stats = admin.get("/api/admin/dashboard/stats").await;
    assert!(stats["totals"]["requests"].as_u64().unwrap() >= 1, "{stats}");

    let hint =
        client().get(format!("http://{}/api/admin/logs", gateway.proxy())).send().await.unwrap();
    assert_eq!(hint.status(), 404);
    let port = gateway.management().port().to_string();
    assert!(hint.text().await.unwrap().contains(&port), "the hint names the management port");
}

#[tokio::test]
async fn a_change_reaches_the_data_plane_in_less_than_a_second() {
    let (gateway, providers) = (gateway().await, Mock::start(Script::default()).await.unwrap());
    let admin = gateway.admin().await;
    admin.upstream("openai", &providers.base_url(), &["sk-1"]).await;
    let (id, key) = admin.service_key("my app").await;
    let url = format!("http://{}/v1/models", gateway.proxy());
    let models = client().get(url).bearer_auth(key);
    let answers = |status: u16| {
        let asked = models.try_clone().unwrap().send();
        async move { (asked.await.unwrap().status() == status).then_some(()) }
    };
    for (change, status) in [(json!({"enabled": true}), 200), (json!({"enabled": false}), 401)] {
        let path = format!("/api/admin/service-keys/{id}");
        admin.patch(&path, change).await;
        let begun = std::time::Instant::now();
        until("the change is served", || answers(status)).await;
        assert!(begun.elapsed().as_millis() < 1000, "it took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn the_first_start_without_a_password_offers_a_token_that_works_once() {
    let mut gateway = Gateway::new(TOLLGATE).with("TOLLGATE_ADMIN_PASSWORD", "");
    gateway.start().await;
    let line = gateway.said("nobody can sign in yet").await;
    let token = line.split("tgs-").nth(1).expect("the token is in the line");
    let token: String = token.chars().take_while(char::is_ascii_alphanumeric).collect();
    let set_up = json!({"token": format!("tgs-{token}"), "password": "a long enough phrase 77"});
    let url = format!("http://{}/api/auth/setup", gateway.management());
    let first = client().post(&url).json(&set_up).send().await.unwrap();
    assert!(first.status().is_success(), "{}", first.text().await.unwrap());
    let again = client().post(&url).json(&set_up).send().await.unwrap();
    assert!(again.status().is_client_error());
}
