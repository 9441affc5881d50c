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
async fn a_route_says_what_it_takes_and_how_it_chooses() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let matching = json!({
        "model": "gpt-.*|o[0-9]", "path": "/v2/.*", "priority": -5,
        "headers": [{"name": "x-tier", "value": "gold"}],
    });
    let sticky = json!({"by": "header:x-session-id", "ttl": 60, "max_load_percent": 200});
    let new = json!({
        "name": "gold", "matching": matching, "sticky": sticky, "strategy": "consistent_hash",
        "targets": [{"upstream_id": id, "weight": 5, "priority": 2}],
    });
    let made = admin.post(PATH, new.clone()).await.expect(201);
    for field in ["matching", "sticky", "strategy"] {
        assert_eq!(made[field], new[field]);
    }
    let target = &made["targets"][0];
    assert_eq!((&target["weight"], &target["priority"]), (&json!(5), &json!(2)));
    let path = format!("{PATH}/{}", made["id"]);
    let edited = admin.patch(&path, json!({"matching": {"path": "/v1/.*"}})).await.expect(200);
    let mut told = matching.clone();
    told["path"] = json!("/v1/.*");
    assert_eq!((&edited["matching"], &edited["sticky"]), (&told, &sticky));
    let edit = json!({"matching": null, "sticky": null, "strategy": "weighted"});
    let edited = admin.patch(&path, edit).await.expect(200);
    assert_eq!((&edited["matching"], &edited["sticky"]), (&json!(null), &json!(null)));
    assert_eq!(edited["strategy"], "weighted");
    assert_eq!(admin.get(&path).await.expect(200), edited);
}

#[tokio::test]
async fn what_a_route_cannot_look_for_or_choose_by_is_named() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let header = |name: &str, value: &str| json!([{"name": name, "value": value}]);
    let rows = [
        (json!({"matching": {}}), "matching"),
        (json!({"matching": {"model": "("}}), "matching.model"),
        (json!({"matching": {"model": "a)|(b"}}), "matching.model"),
        (json!({"matching": {"path": ""}}), "matching.path"),
        (json!({"matching": {"paths": ["/v1"]}}), "matching.paths"),
        (json!({"matching": {"model": ".*", "priority": 0.5}}), "matching.priority"),
        (json!({"matching": {"headers": header("x y", ".*")}}), "matching.headers[0].name"),
        (json!({"matching": {"headers": header("x", "[")}}), "matching.headers[0].value"),
        (json!({"matching": {"headers": [{"name": "x"}]}}), "matching.headers[0].value"),
        (
            json!({"matching": {"headers": vec![header("x", "y")[0].clone(); 17]}}),
            "matching.headers",
        ),
        (json!({"strategy": "luck"}), "strategy"),
        (json!({"sticky": {"by": "mood"}}), "sticky.by"),
        (json!({"sticky": {"by": "header:a b"}}), "sticky.by"),
        (json!({"sticky": ["user", 60, 150]}), "sticky"),
        (json!({"matching": ["gpt-.*"]}), "matching"),
        (json!({"targets": [[id, null, 1]]}), "targets[0]"),
        (json!({"targets": [{"upstream_id": id, "model": "gpt\0"}]}), "targets[0].model"),
        (json!({"conversion": 1}), "conversion"),
        (json!({"sticky": {"ttl": 0}}), "sticky.ttl"),
        (json!({"targets": [{"upstream_id": id, "priority": -1}]}), "targets[0].priority"),
        (json!({"targets": [{"upstream_id": id, "priority": 2e9 as u32}]}), "targets[0].priority"),
        (json!({"targets": [{"upstream_id": id, "weight": 1001}]}), "targets[0].weight"),
    ];
    let good = json!({"name": "good", "targets": [{"upstream_id": id}]});
    let made = admin.post(PATH, good.clone()).await.expect(201);
    let path = format!("{PATH}/{}", made["id"]);
    for (fields, place) in rows {
        let mut new = good.clone();
        new.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        new["name"] = json!("bad");
        let faults = admin.post(PATH, new.clone()).await.faults(422);
        assert!(faults.contains_key(place), "{fields}: {faults:?}");
        // Also beside a field that has not even its form.
        new["enabled"] = json!("yes");
        let faults = admin.post(PATH, new).await.faults(422);
        assert!(
            faults.contains_key(place) && faults.contains_key("enabled"),
            "{fields}: {faults:?}"
        );
        let faults = admin.patch(&path, fields.clone()).await.faults(422);
        assert!(faults.contains_key(place), "{fields}: {faults:?}");
    }
    let faults = admin.patch(&path, json!({"matching": {"model": "(a"}})).await.faults(422);
    assert!(faults["matching.model"].contains("unclosed group"), "{faults:?}");
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

#[tokio::test]
async fn a_call_is_only_planned_that_could_be_made() {
    let app = App::start().await;
    let admin = app.admin().await;
    admin.post("/api/admin/service-keys", json!({"name": "my app"})).await.expect(201);
    for (name, value, place) in [
        ("x tier", "gold", "headers[0].name"),
        ("", "gold", "headers[0].name"),
        ("x-tier", "gold\r\nhost: elsewhere", "headers[0].value"),
        ("x-tier", "go\u{7f}ld", "headers[0].value"),
    ] {
        let headers = json!([{"name": name, "value": value}]);
        let test = json!({"service_key_id": 1, "model": "m", "headers": headers});
        let faults = admin.post("/api/admin/route-test", test).await.faults(422);
        assert_eq!(faults.keys().collect::<Vec<_>>(), [place], "{name:?} {value:?}");
    }
    let headers = json!([{"name": "X-Tier", "value": "gold und silber"}]);
    let test = json!({"service_key_id": 1, "model": "m", "headers": headers});
    admin.post("/api/admin/route-test", test).await.expect(200);
}
