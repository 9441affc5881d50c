//! `/api/admin/service-keys`

use auth::Role;
use serde_json::json;

use crate::app::App;

const PATH: &str = "/api/admin/service-keys";

#[tokio::test]
async fn the_key_is_shown_once_and_is_the_one_that_is_stored() {
    let app = App::start().await;
    let admin = app.admin().await;
    let made = admin.post(PATH, json!({"name": "my app"})).await.expect(201);
    let key = made["key"].as_str().unwrap();
    let stored = app
        .store
        .seen_by(&auth::Actor::System)
        .get::<domain::ServiceKey>(domain::ServiceKeyId(1))
        .await
        .unwrap()
        .value;
    let keys = app.master_key.service_keys();
    let shown = keys.present(key).unwrap();
    assert_eq!(shown.public_id(), stored.public_id);
    assert!(shown.is(&stored.digest));
    let mask = made["mask"].as_str().unwrap();
    assert!(mask.starts_with(&key[..12]) && mask.ends_with(&key[56..]), "{mask}");
    let text = admin.get(PATH).await.text;
    assert!(!text.contains(&key[12..40]) && text.contains(mask), "{text}");
}

#[tokio::test]
async fn restrictions_are_kept_changed_and_lifted() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let new = json!({"name": "k", "expires_at": "2030-01-02T03:04:05Z", "enabled": false,
        "allowed_upstreams": [upstream], "allowed_models": ["gpt-5"]});
    let made = admin.post(PATH, new.clone()).await.expect(201);
    for (field, value) in new.as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    let path = format!("{PATH}/1");
    let edit = json!({"expires_at": null, "allowed_models": [], "enabled": true});
    let edited = admin.patch(&path, edit).await.expect(200);
    assert_eq!(edited["expires_at"], json!(null));
    assert_eq!((&edited["allowed_models"], &edited["enabled"]), (&json!([]), &json!(true)));
    assert_eq!(edited["allowed_upstreams"], json!([upstream]));
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.refused(404), "not_found");
}

#[tokio::test]
async fn a_time_that_is_none_is_refused() {
    let app = App::start().await;
    let bad = json!({"name": "k", "expires_at": "tomorrow", "allowed_upstreams": ["1"]});
    let faults = app.admin().await.post(PATH, bad).await.faults(422);
    assert!(faults["expires_at"].contains("2026-01-31T12:00:00Z"), "{faults:?}");
    assert!(faults["allowed_upstreams[0]"].contains("whole number"), "{faults:?}");
}

#[tokio::test]
async fn a_developer_has_their_own_keys_and_sees_no_others() {
    let app = App::start().await;
    let admin = app.admin().await;
    let developer = app.signed_in(Role::Developer).await;
    admin.post(PATH, json!({"name": "theirs"})).await.expect(201);
    let own = developer.post(PATH, json!({"name": "mine"})).await.expect(201);
    let items = developer.get(PATH).await.expect(200)["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 1);
    assert_eq!(items[0]["name"], "mine");
    let theirs = format!("{PATH}/1");
    assert_eq!(developer.get(&theirs).await.refused(404), "not_found");
    assert_eq!(developer.patch(&theirs, json!({"name": "x"})).await.refused(404), "not_found");
    assert_eq!(developer.delete(&theirs).await.refused(404), "not_found");
    assert_eq!(admin.get(PATH).await.expect(200)["items"].as_array().unwrap().len(), 2);
    assert_eq!(developer.delete(&format!("{PATH}/{}", own["id"])).await.status, 204);
}

#[tokio::test]
async fn what_is_out_of_range_is_told_beside_what_has_another_form() {
    let app = App::start().await;
    let admin = app.admin().await;
    let bad = json!({"name": "", "allowed_models": [""], "enabled": 1});
    assert_eq!(admin.post(PATH, bad.clone()).await.faults(422).len(), 3);
    assert_eq!(admin.patch(&format!("{PATH}/1"), bad).await.faults(422).len(), 3);
}

#[tokio::test]
async fn models_are_allowed_by_name_or_by_how_names_begin() {
    let app = App::start().await;
    let admin = app.admin().await;
    let some = json!({"name": "k", "allowed_models": ["gpt-*", "o3", "*"]});
    let made = admin.post(PATH, some.clone()).await.expect(201);
    assert_eq!(made["allowed_models"], some["allowed_models"]);
    for (models, place) in [
        (json!(["gpt-5", "g*t"]), "allowed_models[1]"),
        (json!(["*-mini"]), "allowed_models[0]"),
        (json!(["gpt-**"]), "allowed_models[0]"),
        (json!([""]), "allowed_models[0]"),
        (json!(["gpt\0"]), "allowed_models[0]"),
    ] {
        let new = json!({"name": "bad", "allowed_models": models});
        let faults = admin.post(PATH, new).await.faults(422);
        assert_eq!(faults.keys().collect::<Vec<_>>(), [place], "{models}");
        let edit = json!({"allowed_models": models});
        let faults = admin.patch(&format!("{PATH}/1"), edit).await.faults(422);
        assert_eq!(faults.keys().collect::<Vec<_>>(), [place], "{models}");
    }
}

#[tokio::test]
async fn a_network_is_kept_in_the_form_that_addresses_have() {
    let app = App::start().await;
    let admin = app.admin().await;
    let given = json!(["::ffff:127.0.0.1", "::ffff:10.1.2.3/104", "10.1.2.3/8", "2001:db8::/32"]);
    let made = admin.post(PATH, json!({"name": "k", "allowed_ips": given})).await.expect(201);
    let kept = json!(["127.0.0.1/32", "10.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"]);
    assert_eq!(made["allowed_ips"], kept);
}
