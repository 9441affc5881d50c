//! `/api/admin/routes`

use serde_json::json;

use crate::app::App;

const PATH: &str = "/api/admin/routes";

#[tokio::test]
async fn a_route_is_made_changed_and_deleted() {
    let app = App::start().await;
    let admin = app.admin().await;
    let (one, two) = (app.upstream(&admin, "one").await, app.upstream(&admin, "two").await);
    let new = json!({"name": "fast", "targets": [
        {"upstream_id": one, "model": "gpt-5-mini", "weight": 3},
        {"upstream_id": two, "priority": 1},
    ]});
    let made = admin.post(PATH, new).await.expect(201);
    let targets = json!([
        {
            "upstream_id": one, "model": "gpt-5-mini", "weight": 3, "priority": 0,
            "dialect": null, "profile": null,
        },
        {
            "upstream_id": two, "model": null, "weight": 1, "priority": 1,
            "dialect": null, "profile": null,
        },
    ]);
    assert_eq!(made["conversion"], "allow");
    assert_eq!((&made["targets"], &made["enabled"]), (&targets, &json!(true)));
    let path = format!("{PATH}/{}", made["id"]);
    let edited = admin.patch(&path, json!({"name": "faster", "enabled": false})).await.expect(200);
    assert_eq!((&edited["name"], &edited["targets"]), (&json!("faster"), &targets));
    let edited = admin.patch(&path, json!({"targets": [{"upstream_id": two}]})).await.expect(200);
    assert_eq!(edited["targets"].as_array().unwrap().len(), 1);
    assert_eq!(admin.get(PATH).await.expect(200)["items"][0], edited);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.refused(404), "not_found");
}

#[tokio::test]
async fn a_target_says_which_dialect_it_is_spoken_to_and_what_its_model_is() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let profile = json!({"thinking": "level", "reasoning": false, "default_max_tokens": 9});
    let target = json!({
        "upstream_id": id, "model": "m", "weight": 1, "priority": 0,
        "dialect": "openai_responses", "profile": profile,
    });
    let new = json!({"name": "fast", "conversion": "strict", "targets": [target]});
    let made = admin.post(PATH, new).await.expect(201);
    assert_eq!((&made["targets"][0], &made["conversion"]), (&target, &json!("strict")));
    let path = format!("{PATH}/{}", made["id"]);
    let edited = admin.patch(&path, json!({"conversion": "never"})).await.expect(200);
    assert_eq!((&edited["targets"][0], &edited["conversion"]), (&target, &json!("never")));

    let bad = json!({"conversion": "maybe", "targets": [
        {"upstream_id": id, "profile": {"telepathy": true}},
    ]});
    let faults = admin.patch(&path, bad).await.faults(422);
    assert!(faults["conversion"].contains("`strict`"), "{faults:?}");
    assert!(faults["targets[0].profile.telepathy"].contains("not known here"), "{faults:?}");
    let bad = json!({"targets": [
        {"upstream_id": id, "dialect": "gemini", "profile": {"default_max_tokens": 0}},
    ]});
    let faults = admin.patch(&path, bad).await.faults(422);
    assert!(faults["targets[0].dialect"].contains("does not speak gemini"), "{faults:?}");
    assert!(faults.contains_key("targets[0].profile.default_max_tokens"), "{faults:?}");
}

#[tokio::test]
async fn a_route_that_cannot_be_served_names_what_is_wrong() {
    let app = App::start().await;
    let admin = app.admin().await;
    let bad = json!({"name": "a b", "targets": [{"upstream_id": 99, "weight": 0}]});
    let faults = admin.post(PATH, bad).await.faults(422);
    for field in ["name", "targets[0].weight", "targets[0].upstream_id"] {
        assert!(faults.contains_key(field), "{field}: {faults:?}");
    }
    let faults = admin.post(PATH, json!({"name": "x", "targets": []})).await.faults(422);
    assert!(faults.contains_key("targets"), "{faults:?}");
}

#[tokio::test]
async fn what_is_out_of_range_is_told_beside_what_has_another_form() {
    let app = App::start().await;
    let admin = app.admin().await;
    let bad = json!({"name": "a b", "targets": [{"upstream_id": 1, "weight": 0}], "enabled": 1});
    assert_eq!(admin.post(PATH, bad.clone()).await.faults(422).len(), 3);
    assert_eq!(admin.patch(&format!("{PATH}/1"), bad).await.faults(422).len(), 3);
}
