//! What all edits have in common: they are JSON merge patches, and two at once both stay.

use serde_json::{Value, json};

use crate::app::{App, Client};

/// A resource of each kind that can be edited: its path, and two patches of different fields.
async fn resources(app: &App, admin: &Client) -> Vec<(String, Vec<[Value; 2]>)> {
    let upstream = app.upstream(admin, "openai").await;
    let key = json!({"upstream_id": upstream, "name": "a", "key_value": "sk-test-a"});
    let route = json!({"name": "fast", "targets": [{"upstream_id": upstream}],
        "sticky": {"by": "user"}, "matching": {"model": "gpt-.*"}});
    let rule = json!({"name": "r", "actions": ["alert"],
        "conditions": {"type": "status_code", "operator": "equals", "value": 429},
        "threshold": {"count": 2, "last": 5}});
    let limit = json!({"scope": "global", "unit": "requests", "limit": 5, "window": "1h",
        "algorithm": "token_bucket"});
    let made = async |path: &str, new: Value| {
        let path = format!("/api/admin/{path}");
        let id = admin.post(&path, new).await.expect(201)["id"].clone();
        format!("{path}/{id}")
    };
    let two = |one: Value, other: Value| [one, other];
    let policy = |part: Value| json!({ "policy": part });
    vec![
        (
            format!("/api/admin/upstreams/{upstream}"),
            vec![
                two(policy(json!({"queue_timeout": 7})), policy(json!({"drain": 9}))),
                two(json!({"idle_timeout": 71}), json!({"connect_timeout": 8})),
                two(
                    policy(json!({"breaker": {"min_calls": 5}})),
                    policy(json!({"breaker": {"failure_percent": 60}})),
                ),
                two(
                    policy(json!({"sticky": {"ttl": 60}})),
                    policy(json!({"sticky": {"max_load_percent": 200}})),
                ),
                two(json!({"retry_count": 1}), json!({"models": ["gpt-5"]})),
            ],
        ),
        (made("keys", key).await, vec![two(json!({"weight": 3}), json!({"note": "mine"}))]),
        (
            made("service-keys", json!({"name": "app"})).await,
            vec![
                two(json!({"allowed_models": ["gpt-5"]}), json!({"name": "other"})),
                two(json!({"allowed_ips": ["10.0.0.0/8"]}), json!({"allowed_methods": ["GET"]})),
            ],
        ),
        (
            made("routes", route).await,
            vec![
                two(json!({"enabled": false}), json!({"strategy": "random"})),
                two(json!({"sticky": {"ttl": 60}}), json!({"sticky": {"max_load_percent": 200}})),
                two(json!({"matching": {"priority": 4}}), json!({"matching": {"path": "/v1/.*"}})),
            ],
        ),
        (
            made("rules", rule).await,
            vec![
                two(json!({"priority": 3}), json!({"stop": true})),
                two(json!({"threshold": {"count": 3}}), json!({"threshold": {"last": 9}})),
                two(
                    json!({"conditions": {"value": 500}}),
                    json!({"conditions": {"operator": "greater_than"}}),
                ),
            ],
        ),
        (made("limits", limit).await, vec![two(json!({"burst": 9}), json!({"window": "2h"}))]),
    ]
}

/// Whether everything that a patch says is so of a resource.
fn says(shown: &Value, patch: &Value) -> bool {
    match patch {
        Value::Object(fields) => fields.iter().all(|(name, value)| says(&shown[name], value)),
        plain => shown == plain,
    }
}

#[tokio::test]
async fn two_edits_of_different_fields_at_once_both_stay() {
    let app = App::start().await;
    let admin = app.admin().await;
    for (path, pairs) in resources(&app, &admin).await {
        for [one, other] in pairs {
            let before = admin.get(&path).await.expect(200);
            let (first, second) =
                tokio::join!(admin.patch(&path, one.clone()), admin.patch(&path, other.clone()));
            first.expect(200);
            second.expect(200);
            let now = admin.get(&path).await.expect(200);
            assert!(!says(&before, &one) && !says(&before, &other), "{path}: {before}");
            assert!(says(&now, &one), "{path}: {one} is lost in {now}");
            assert!(says(&now, &other), "{path}: {other} is lost in {now}");
        }
    }
}

/// `target` as RFC 7396 merges `patch` into it, for patches that remove nothing.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(fields) = patch else { return patch.clone() };
    let mut target = target.as_object().cloned().unwrap_or_default();
    for (name, value) in fields {
        let whole = merged(target.get(name).unwrap_or(&Value::Null), value);
        target.insert(name.clone(), whole);
    }
    target.into()
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_keeps_the_siblings() {
    let app = App::start().await;
    let admin = app.admin().await.with("content-type", "application/merge-patch+json");
    for (path, pairs) in resources(&app, &app.admin().await).await {
        for patch in pairs.into_iter().flatten() {
            let before = admin.get(&path).await.expect(200);
            let mut after = admin.patch(&path, patch.clone()).await.expect(200);
            let mut expected = merged(&before, &patch);
            for changing in ["updated_at", "version", "health"] {
                after[changing] = Value::Null;
                expected[changing] = Value::Null;
            }
            if path.contains("/limits/") {
                (after["use"], expected["use"]) = (Value::Null, Value::Null);
            }
            // What was nothing begins with its usual parts.
            if before["policy"]["sticky"].is_null() && !after["policy"]["sticky"].is_null() {
                expected["policy"]["sticky"] = after["policy"]["sticky"].clone();
                assert!(says(&after, &patch), "{path} {patch}");
            }
            assert_eq!(after, expected, "{path} {patch}");
        }
    }
}

#[tokio::test]
async fn null_puts_a_field_back_and_what_must_be_there_stays() {
    let app = App::start().await;
    let admin = app.admin().await;
    let path = format!("/api/admin/upstreams/{}", app.upstream(&admin, "openai").await);
    let usual = admin.get(&path).await.expect(200);
    let edit = json!({
        "timeout": 7, "models": ["gpt-5"], "strategy": "random", "enabled": false,
        "dialects": ["gemini"],
        "policy": {"queue_timeout": 1, "sticky": {"ttl": 60}, "max_in_flight": 3,
            "breaker": {"min_calls": 5, "open_for": 99}, "on_auth_failure": "ban"},
    });
    admin.patch(&path, edit).await.expect(200);
    let part = json!({"policy": {"breaker": {"min_calls": null}}});
    let now = admin.patch(&path, part).await.expect(200);
    let breaker = &now["policy"]["breaker"];
    assert_eq!(breaker["min_calls"], usual["policy"]["breaker"]["min_calls"]);
    assert_eq!(breaker["open_for"], 99);
    let back = json!({
        "timeout": null, "models": null, "strategy": null, "enabled": null, "dialects": null,
        "policy": {"queue_timeout": null, "sticky": null, "max_in_flight": null, "breaker": null,
            "on_auth_failure": null},
    });
    let mut now = admin.patch(&path, back).await.expect(200);
    now["updated_at"] = usual["updated_at"].clone();
    now["health"] = usual["health"].clone();
    assert_eq!(now, usual);
    admin.patch(&path, json!({"retry_count": 9, "policy": {"drain": 3}})).await.expect(200);
    let now = admin.patch(&path, json!({"retry_count": null, "policy": null})).await.expect(200);
    assert_eq!((&now["retry_count"], &now["policy"]), (&usual["retry_count"], &usual["policy"]));

    for (path, _) in resources_beside(&app, &admin).await {
        let faults = admin.patch(&path, json!({"name": null, "scope": null})).await.faults(422);
        assert!(!faults.is_empty(), "{path}");
    }
}

/// The other resources, where an upstream is there already.
async fn resources_beside(app: &App, admin: &Client) -> Vec<(String, Vec<[Value; 2]>)> {
    admin.delete("/api/admin/upstreams/1").await;
    resources(app, admin).await
}

#[tokio::test]
async fn conditions_of_another_kind_take_the_place_of_the_whole() {
    let app = App::start().await;
    let admin = app.admin().await;
    let header = json!({"type": "header", "name": "x-a", "operator": "equals", "value": "b"});
    let status = json!({"type": "status_code", "operator": "equals", "value": 429});
    let rule = json!({"name": "r", "actions": ["alert"], "conditions": header});
    let id = admin.post("/api/admin/rules", rule).await.expect(201)["id"].clone();
    let path = format!("/api/admin/rules/{id}");
    for (patch, told) in [
        (
            json!({"value": "c"}),
            json!({"type": "header", "name": "x-a", "operator": "equals", "value": "c"}),
        ),
        (status.clone(), status.clone()),
        (json!({"any": [status, header]}), json!({"any": [status, header]})),
        (json!([status]), json!({"all": [status]})),
        (json!({"not": header}), json!({"not": header})),
        (
            json!({"not": {"name": "x-b"}}),
            json!({"not": {"type": "header", "name": "x-b", "operator": "equals", "value": "b"}}),
        ),
        (header.clone(), header.clone()),
    ] {
        let edited = admin.patch(&path, json!({"conditions": patch})).await.expect(200);
        assert_eq!(edited["conditions"], told, "{patch}");
    }
}
