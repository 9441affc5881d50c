//! `/api/admin/upstreams`

use auth::Role;
use serde_json::{Value, json};

use crate::app::App;

const PATH: &str = "/api/admin/upstreams";

#[tokio::test]
async fn what_is_not_said_follows_from_the_provider_and_from_our_defaults() {
    let app = App::start().await;
    let admin = app.admin().await;
    let new = json!({"name": "claude", "base_url": "https://api.anthropic.com"});
    let answer = admin.post(PATH, new).await;
    assert_eq!(answer.header("location"), "/api/admin/upstreams/1");
    let mut made = answer.expect(201);
    for time in ["created_at", "updated_at"] {
        assert!(made[time].as_str().unwrap().ends_with('Z'), "{}", made[time]);
        made[time] = json!("…");
    }
    insta::assert_json_snapshot!(made);
}

#[tokio::test]
async fn everything_that_is_said_is_kept() {
    let app = App::start().await;
    let admin = app.admin().await;
    let new = json!({
        "name": "own", "base_url": "https://llm.example/base", "provider": "custom",
        "dialects": ["anthropic_messages"], "models": ["m1", "m2"], "enabled": false,
        "strategy": "weighted", "retry_count": 0, "timeout": 1.5, "connect_timeout": 2,
        "idle_timeout": 3, "total_timeout": 4, "key_placement": "header:x-key",
        "header_policy": "strict", "record_bodies": true,
        "header_rules": [{"name": "x-team", "value": "a"}, {"name": "x-old", "value": null}],
        "preset": "deepseek", "paths": "as_base", "ask_usage": false,
        "query": [{"name": "api-version", "value": "2024-10-21"}],
        "model_profiles": [{"pattern": "m*", "profile": {"thinking": "budget", "penalties": true}}],
    });
    let made = admin.post(PATH, new.clone()).await.expect(201);
    for (field, value) in new.as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    let read = admin.get(&format!("{PATH}/{}", made["id"])).await.expect(200);
    assert_eq!(read, made);
}

#[tokio::test]
async fn an_edit_changes_what_it_names_and_nothing_else() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let path = format!("{PATH}/{id}");
    let before = admin.get(&path).await.expect(200);
    let edit = json!({"timeout": 7, "enabled": false, "models": ["gpt-5"]});
    let mut after = admin.patch(&path, edit).await.expect(200);
    assert_eq!(after["timeout"], 7);
    assert_eq!(after["idle_timeout"], before["idle_timeout"]);
    for changed in ["timeout", "enabled", "models", "updated_at"] {
        assert_ne!(after[changed], before[changed], "{changed}");
        after[changed] = before[changed].clone();
    }
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_change_that_cannot_be_served_names_every_field_and_is_not_kept() {
    let app = App::start().await;
    let admin = app.admin().await;
    let bad = json!({
        "name": "Not A Name", "base_url": "https://api.openai.com", "retry_count": 99, "timeout": 0,
    });
    let faults = admin.post(PATH, bad).await.faults(422);
    let mut fields: Vec<_> = faults.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["name", "retry_count", "timeout"], "{faults:?}");
    let none = admin.get(PATH).await.expect(200);
    assert_eq!(none, json!({"items": [], "next_cursor": null}));

    let id = app.upstream(&admin, "openai").await;
    let path = format!("{PATH}/{id}");
    let before = admin.get(&path).await.expect(200);
    let faults = admin.patch(&path, json!({"retry_count": 99, "enabled": false})).await.faults(422);
    assert!(faults.contains_key("retry_count"), "{faults:?}");
    assert_eq!(admin.get(&path).await.expect(200), before);
}

#[tokio::test]
async fn fields_of_another_form_are_named_all_at_once() {
    let app = App::start().await;
    let admin = app.admin().await;
    let bad = json!({
        "base_url": 5, "provider": "acme", "timeout": -1, "key_placement": "cookie:x",
        "dialects": ["morse"], "header_rules": [{"value": "x"}], "tiemout": 60,
    });
    let faults = admin.post(PATH, bad).await.faults(422);
    assert_eq!(faults["name"], "is required");
    assert_eq!(faults["base_url"], "must be a string");
    assert!(faults["provider"].contains("`openai`"));
    assert_eq!(faults["timeout"], "must be a number of seconds");
    assert!(faults["key_placement"].contains("`header:NAME`"));
    assert!(faults["dialects[0]"].contains("`openai_chat`"));
    assert_eq!(faults["header_rules[0].name"], "is required");
    assert!(faults["tiemout"].contains("not known here"));
    assert_eq!(faults.len(), 8, "{faults:?}");
    let bad = json!({
        "name": "x", "preset": "nobody", "paths": "winding", "query": [{"name": "a"}],
        "model_profiles": [{"pattern": "m", "profile": {"telepathy": 1}}],
    });
    let faults = admin.post(PATH, bad).await.faults(422);
    assert!(faults["preset"].contains("/api/admin/presets"));
    assert!(faults["base_url"].starts_with("is required"));
    assert!(faults["paths"].contains("`as_base`"));
    assert_eq!(faults["query[0].value"], "is required");
    assert!(faults["model_profiles[0].profile.telepathy"].contains("not known here"));
    assert_eq!(faults.len(), 5, "{faults:?}");
}

#[tokio::test]
async fn what_is_out_of_range_is_told_beside_what_has_another_form() {
    let app = App::start().await;
    let admin = app.admin().await;
    let bad = json!({"name": "Not A Name", "base_url": 5, "retry_count": 99, "header_rules": [
        {"name": "host", "value": "x"},
    ]});
    let faults = admin.post(PATH, bad).await.faults(422);
    let mut fields: Vec<_> = faults.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["base_url", "header_rules[0]", "name", "retry_count"], "{faults:?}");
    let id = app.upstream(&admin, "openai").await;
    let bad =
        json!({"timeout": "x", "idle_timeout": 0, "base_url": "ftp://x", "name": "Not A Name"});
    let faults = admin.patch(&format!("{PATH}/{id}"), bad).await.faults(422);
    assert_eq!(faults.len(), 4, "{faults:?}");
}

#[tokio::test]
async fn an_address_that_must_not_be_called_is_refused() {
    let app = App::start().await;
    let admin = app.admin().await;
    for base_url in [
        "http://api.openai.com",
        "ftp://api.openai.com",
        "https://127.0.0.1",
        "https://169.254.169.254",
        "https://[::ffff:10.0.0.1]",
        "https://user:pass@api.openai.com",
        "https://api.openai.com?x=1",
        "not an address",
    ] {
        let new = json!({"name": "x", "base_url": base_url});
        let faults = admin.post(PATH, new).await.faults(422);
        assert!(faults.contains_key("base_url"), "{base_url}: {faults:?}");
    }
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let app = App::start().await;
    let admin = app.admin().await;
    app.upstream(&admin, "openai").await;
    let again = json!({"name": "openai", "base_url": "https://api.openai.com"});
    let faults = admin.post(PATH, again).await.faults(409);
    assert!(faults.contains_key("name"), "{faults:?}");
    let other = app.upstream(&admin, "other").await;
    let renamed = admin.patch(&format!("{PATH}/{other}"), json!({"name": "openai"})).await;
    assert_eq!(renamed.refused(409), "conflict");
}

#[tokio::test]
async fn keys_only_go_where_they_were_entered() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let path = format!("{PATH}/{id}");
    let key = json!({"upstream_id": id, "name": "k", "key_value": "sk-1234567890abcdef"});
    admin.post("/api/admin/keys", key).await.expect(201);
    let elsewhere = json!({"base_url": "https://api.openai.example"});
    let refused = admin.patch(&path, elsewhere).await;
    assert!(refused.status.is_client_error(), "{}", refused.text);
    assert!(refused.text.contains("base_url"), "{}", refused.text);
    let moved = json!({"base_url": "https://api.openai.example", "clear_keys": true});
    let moved = admin.patch(&path, moved).await.expect(200);
    assert_eq!(moved["key_count"], 0);
}

#[tokio::test]
async fn a_deleted_upstream_is_gone_unless_a_route_needs_it() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let route = json!({"name": "fast", "targets": [{"upstream_id": id}]});
    let route = admin.post("/api/admin/routes", route).await.expect(201)["id"].clone();
    let path = format!("{PATH}/{id}");
    let refused = admin.delete(&path).await;
    assert!(matches!(refused.status.as_u16(), 409 | 422), "{}", refused.text);
    assert_eq!(admin.delete(&format!("/api/admin/routes/{route}")).await.status, 204);
    let gone = admin.delete(&path).await;
    assert_eq!((gone.status.as_u16(), gone.text.as_str()), (204, ""));
    assert_eq!(admin.get(&path).await.refused(404), "not_found");
}

#[tokio::test]
async fn a_list_comes_in_pages_in_order_and_by_search() {
    let app = App::start().await;
    let admin = app.admin().await;
    for name in ["beta", "alpha", "gamma_2", "gammax2"] {
        app.upstream(&admin, name).await;
    }
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut path = format!("{PATH}?limit=3&sort=-name");
    loop {
        let page = admin.get(&path).await.expect(200);
        seen.extend(names(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{PATH}?limit=3&sort=-name&cursor={cursor}");
    }
    assert_eq!(seen, ["gammax2", "gamma_2", "beta", "alpha"]);
    let page = admin.get(&format!("{PATH}?search=a_2")).await.expect(200);
    assert_eq!(names(&page), ["gamma_2"]);
    let page = admin.get(&format!("{PATH}?search=ALP")).await.expect(200);
    assert_eq!(names(&page), ["alpha"]);
    assert_eq!(names(&admin.get(PATH).await.expect(200)), ["beta", "alpha", "gamma_2", "gammax2"]);
}

#[tokio::test]
async fn what_belongs_to_others_does_not_exist_for_a_developer() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let developer = app.signed_in(Role::Developer).await;
    assert_eq!(developer.get(&format!("{PATH}/{id}")).await.refused(404), "not_found");
    assert_eq!(developer.get(PATH).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn null_keeps_a_new_upstream_as_usual() {
    let app = App::start().await;
    let admin = app.admin().await;
    let new = json!({
        "name": "x", "base_url": "https://api.openai.com", "timeout": null,
        "policy": {"breaker": null, "drain": null},
    });
    let made = admin.post(PATH, new).await.expect(201);
    assert_eq!((&made["timeout"], &made["policy"]["drain"]), (&json!(300), &json!(0)));
    let faults = admin.patch(&format!("{PATH}/1"), json!({"name": null})).await.faults(422);
    assert!(faults["name"].starts_with("must not be null"), "{faults:?}");
}

#[tokio::test]
async fn what_a_policy_cannot_be_is_named() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let price =
        |model: &str| json!({"model": model, "input_per_million": 1, "output_per_million": 2});
    let limit =
        |model: &str| json!({"model": model, "unit": "requests", "window": "day", "limit": 1});
    let rows = [
        (
            json!({"probe": {"path": "/v1 HTTP/1.1\r\nhost: elsewhere\r\n\r\n"}}),
            "policy.probe.path",
        ),
        (json!({"probe": {"path": "/mod els"}}), "policy.probe.path"),
        (json!({"probe": {"path": "/möbel"}}), "policy.probe.path"),
        (json!({"probe": {"path": "/v1#x"}}), "policy.probe.path"),
        (json!({"probe": {"path": "models"}}), "policy.probe.path"),
        (json!({"sticky": {"by": "header:a b"}}), "policy.sticky.by"),
        (json!({"prices": [price("gpt-*"), price("g*t")]}), "policy.prices[1].model"),
        (json!({"key_limits": [limit("*-mini")]}), "policy.key_limits[0].model"),
        (json!({"header_script": {"source": "a\0"}}), "policy.header_script.source"),
    ];
    for (policy, place) in rows {
        let body = json!({"policy": policy});
        let faults = admin.patch(&format!("{PATH}/{id}"), body).await.faults(422);
        assert!(faults.contains_key(place), "{policy}: {faults:?}");
        let new = json!({"name": "x", "base_url": "https://api.openai.com", "policy": policy});
        let faults = admin.post(PATH, new).await.faults(422);
        assert!(faults.contains_key(place), "{policy}: {faults:?}");
    }
}

#[tokio::test]
async fn a_list_never_stands_for_an_object() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let path = format!("{PATH}/{id}");
    let before = admin.get(&path).await.expect(200);
    let rows = [
        (json!(["Asia/Tokyo"]), "policy"),
        (json!({"breaker": [true, 30, 5]}), "policy.breaker"),
        (json!({"probe": [false]}), "policy.probe"),
        (json!({"sticky": ["user", 60, 150]}), "policy.sticky"),
        (json!({"key_limits": [[null, "key", "requests", "day", 5]]}), "policy.key_limits[0]"),
        (json!({"key_quotas": [["requests", "day", 5, null]]}), "policy.key_quotas[0]"),
        (
            json!({"error_rules": [[429, null, null, null, "auth", false, null]]}),
            "policy.error_rules[0]",
        ),
        (json!({"header_script": ["function headers() {}", "skip"]}), "policy.header_script"),
    ];
    for (policy, place) in rows {
        let faults = admin.patch(&path, json!({"policy": policy})).await.faults(422);
        assert_eq!(faults[place], "must be an object", "{policy}");
    }
    let faults = admin.patch(&path, json!({"policy": {"on_auth_failure": [60]}})).await.faults(422);
    assert!(faults["policy.on_auth_failure"].contains("disable_seconds"), "{faults:?}");
    let faults = admin.patch(&path, json!({"header_rules": [["x-a", "b"]]})).await.faults(422);
    assert_eq!(faults["header_rules[0]"], "must be an object");
    let faults = admin.patch(&path, json!({"strategy": 3, "paths": null})).await.faults(422);
    assert!(faults["strategy"].starts_with("must be one of `round_robin`, "), "{faults:?}");
    assert_eq!(admin.get(&path).await.expect(200), before);
}

#[tokio::test]
async fn a_script_is_only_tried_on_what_could_be_a_request() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let path = format!("{PATH}/{id}/script-test");
    let good = json!({"source": "function headers() {}", "path": "/v1/models", "method": "M-SEARCH",
        "headers": {"X-Team": "a"}});
    assert_eq!(admin.post(&path, good.clone()).await.expect(200)["set"]["x-path"], "/v1/models");
    for (fields, place) in [
        (json!({"path": "v1/models"}), "path"),
        (json!({"path": "/v1/mod els"}), "path"),
        (json!({"path": "/v1\r\n"}), "path"),
        (json!({"method": "PO ST"}), "method"),
        (json!({"method": ""}), "method"),
        (json!({"headers": {"x team": "a"}}), "headers"),
        (json!({"headers": {"x-team": "a\r\nb: c"}}), "headers"),
    ] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let faults = admin.post(&path, bad).await.faults(422);
        assert_eq!(faults.keys().collect::<Vec<_>>(), [place], "{fields}");
    }
}

#[tokio::test]
async fn the_models_of_a_provider_are_shown_and_taken_over_by_one_call() {
    let app = App::start().await;
    let admin = app.admin().await;
    for name in ["one", "two", "three"] {
        app.upstream(&admin, name).await;
    }
    let path = |id: i64, what: &str| format!("/api/admin/upstreams/{id}/{what}");
    let shown = admin.get(&path(1, "provider-models")).await.expect(200);
    assert_eq!(shown, json!({"models": ["gpt-4o", "gpt-4o-mini"], "message": null}));
    let shown = admin.get(&path(3, "provider-models")).await.expect(200);
    assert_eq!(shown, json!({"models": null, "message": "the provider answered 401"}));

    let adopted = admin.post(&path(1, "adopt-models"), json!({})).await.expect(200);
    assert_eq!(adopted["models"], json!(["gpt-4o", "gpt-4o-mini"]));
    let kept = admin.get("/api/admin/upstreams/1").await.expect(200);
    assert_eq!(kept["models"], adopted["models"]);
    for (id, why) in [(2, "lists no models"), (3, "answered 401")] {
        let faults = admin.post(&path(id, "adopt-models"), json!({})).await.faults(422);
        assert!(faults["models"].contains(why), "{faults:?}");
        assert_eq!(
            admin.get(&format!("/api/admin/upstreams/{id}")).await.expect(200)["models"],
            json!([])
        );
    }
    let viewer = app.viewer().await;
    assert_eq!(viewer.post(&path(1, "adopt-models"), json!({})).await.refused(403), "forbidden");
    assert_eq!(admin.post(&path(9, "adopt-models"), json!({})).await.refused(404), "not_found");
    let alone = app.without_data_plane(admin);
    assert_eq!(alone.get(&path(1, "provider-models")).await.refused(503), "no_data_plane");
}
