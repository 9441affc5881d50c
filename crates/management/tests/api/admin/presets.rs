//! `/api/admin/presets`, and upstreams that are made from them.

use serde_json::{Value, json};

use crate::app::App;

const PATH: &str = "/api/admin/presets";
const UPSTREAMS: &str = "/api/admin/upstreams";

#[tokio::test]
async fn every_preset_makes_an_upstream() {
    let app = App::start().await;
    let admin = app.admin().await;
    let listed = admin.get(PATH).await.expect(200);
    assert_eq!(listed["next_cursor"], Value::Null);
    let presets = listed["items"].as_array().unwrap();
    assert!(presets.len() > 30);
    for preset in presets {
        let id = preset["id"].as_str().unwrap();
        let mut new = json!({"preset": id, "name": id});
        let address = preset["base_url"].as_str().unwrap();
        if address.contains('{') {
            let faults = admin.post(UPSTREAMS, new.clone()).await.faults(422);
            assert!(faults["base_url"].contains(address), "{id}: {faults:?}");
            new["base_url"] = json!("https://mine.example");
        } else if address.starts_with("http:") {
            let faults = admin.post(UPSTREAMS, new.clone()).await.faults(422);
            assert!(faults["base_url"].contains("outbound.allow"), "{id}: {faults:?}");
            new["base_url"] = json!("https://mine.example");
        }
        let made = admin.post(UPSTREAMS, new.clone()).await.expect(201);
        assert_eq!(made["preset"], id);
        assert_eq!(made["base_url"], *new.get("base_url").unwrap_or(&preset["base_url"]), "{id}");
        for same in ["provider", "dialects", "key_placement", "paths", "query", "ask_usage"] {
            assert_eq!(made[same], preset[same], "{id} {same}");
        }
        assert_eq!(made["model_profiles"], json!([]), "what a preset knows stays with it");
    }
}

#[tokio::test]
async fn what_is_said_wins_over_the_preset() {
    let app = App::start().await;
    let admin = app.admin().await;
    let said = json!({
        "preset": "azure-openai-deployments", "name": "azure", "ask_usage": false,
        "base_url": "https://mine.openai.azure.com", "key_placement": "bearer",
        "paths": "versioned", "query": [], "dialects": ["openai_responses"],
    });
    let made = admin.post(UPSTREAMS, said.clone()).await.expect(201);
    for (field, value) in said.as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
}

#[tokio::test]
async fn a_preset_can_be_changed_and_forgotten() {
    let app = App::start().await;
    let admin = app.admin().await;
    let path = format!("{UPSTREAMS}/{}", app.upstream(&admin, "openai").await);
    let edited = admin.patch(&path, json!({"preset": "groq"})).await.expect(200);
    assert_eq!((&edited["preset"], &edited["provider"]), (&json!("groq"), &json!("openai")));
    let faults = admin.patch(&path, json!({"preset": "nobody"})).await.faults(422);
    assert!(faults.contains_key("preset"), "{faults:?}");
    let edited = admin.patch(&path, json!({"preset": null})).await.expect(200);
    assert_eq!(edited["preset"], Value::Null);
}
