//! `/api/admin/rules`

use auth::Role;
use chrono::{TimeDelta, Utc};
use domain::{ErrorClass, ProviderKeyId, UserId, log::LogEntry};
use serde_json::{Value, json};
use store::RecordedBody;

use crate::app::{App, entry};

const PATH: &str = "/api/admin/rules";

fn quota_used_up() -> Value {
    json!({
        "upstream_id": 1, "name": "quota used up",
        "conditions": {"type": "status_code", "operator": "equals", "value": 429},
        "actions": ["disable_key"], "auto_enable_delay_hours": 24,
    })
}

/// `rule` with these fields instead.
fn with(mut rule: Value, fields: Value) -> Value {
    let fields = fields.as_object().unwrap().clone();
    rule.as_object_mut().unwrap().extend(fields);
    rule
}

/// A call whose only attempt ended with this status, some minutes ago.
fn call(minutes: i64, key: i64, status: u16, class: Option<ErrorClass>) -> LogEntry {
    let mut entry = entry(1, UserId(1));
    entry.started_us = (Utc::now() - TimeDelta::minutes(minutes)).timestamp_micros();
    entry.attempts[0].provider_key = Some(ProviderKeyId(key));
    entry.attempts[0].provider_key_name = Some(format!("Key {key}"));
    entry.attempts[0].status = Some(status);
    if let Some(class) = class {
        entry.attempts[0].result = class.to_string();
        entry.attempts[0].class = Some(class);
    }
    entry
}

#[tokio::test]
async fn a_rule_is_made_changed_and_deleted() {
    let app = App::start().await;
    let admin = app.admin().await;
    app.upstream(&admin, "openai").await;
    let made = admin.post(PATH, quota_used_up()).await.expect(201);
    let path = format!("{PATH}/{}", made["id"]);
    for (field, value) in quota_used_up().as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    assert_eq!((&made["version"], &made["enabled"]), (&json!(1), &json!(true)));
    assert_eq!(made["auto_enable_delay_seconds"], 86_400);
    let edit = json!({
        "threshold": {"count": 5, "window_seconds": 60}, "cool_down_seconds": 2.5, "stop": true,
        "shadow": true, "priority": -3, "upstream_id": null, "auto_enable_delay_hours": 0.5,
    });
    let edited = admin.patch(&path, edit).await.expect(200);
    let threshold = json!({"count": 5, "last": null, "window_seconds": 60, "per": "key"});
    assert_eq!((&edited["threshold"], &edited["version"]), (&threshold, &json!(2)));
    assert_eq!((&edited["stop"], &edited["priority"]), (&json!(true), &json!(-3)));
    assert_eq!(edited["upstream_id"], json!(null));
    assert_eq!(edited["cool_down_seconds"], 2.5);
    assert_eq!(edited["auto_enable_delay_hours"], 0.5);
    assert_eq!(edited["conditions"], made["conditions"]);
    let plain = json!({"threshold": null, "auto_enable_delay_hours": null});
    let edited = admin.patch(&path, plain).await.expect(200);
    assert_eq!(edited["threshold"], json!(null));
    assert_eq!(edited["auto_enable_delay_seconds"], json!(null));
    assert_eq!(admin.get(PATH).await.expect(200)["items"][0], edited);
    let own = admin.get(&format!("{PATH}?upstream_id=1")).await.expect(200);
    assert_eq!(own["items"], json!([]));
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.refused(404), "not_found");
}

#[tokio::test]
async fn a_ready_made_rule_can_be_made_as_it_is() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let ready = format!("{PATH}/ready-made");
    let all = admin.get(&ready).await.expect(200);
    let all = all["items"].as_array().unwrap();
    assert_eq!(all.len(), domain::Rule::ready_made().len());
    for item in all {
        assert!(!item["title"].as_str().unwrap().is_empty(), "{item}");
        let made = admin.post(PATH, item["rule"].clone()).await.expect(201);
        for (field, value) in item["rule"].as_object().unwrap() {
            let unsaid = value.is_null() && field != "upstream_id" && field != "threshold";
            assert!(unsaid || made[field] == *value, "{field} of {made}");
        }
    }
    let own = admin.get(&format!("{ready}?provider=openai&upstream_id={id}")).await.expect(200);
    let own = own["items"].as_array().unwrap();
    assert!(own.iter().all(|item| item["rule"]["upstream_id"] == id));
    let providers: Vec<_> = own.iter().map(|item| &item["provider"]).collect();
    assert!(providers.contains(&&json!("openai")) && providers.contains(&&json!(null)));
    assert!(!providers.contains(&&json!("gemini")) && own.len() < all.len());
    admin.post(PATH, own[0]["rule"].clone()).await.expect(201);
    let faults = admin.get(&format!("{ready}?provider=acme")).await.faults(422);
    assert!(faults["provider"].contains("`openai`"), "{faults:?}");
}

#[tokio::test]
async fn conditions_have_short_forms() {
    let app = App::start().await;
    let admin = app.admin().await;
    app.upstream(&admin, "openai").await;
    let status = json!({"type": "status_code", "operator": "equals", "value": 429});
    let path =
        json!({"type": "json_path", "path": "$.error.code", "operator": "equals", "value": "x"});
    let named =
        json!({"type": "json_path", "name": "$.error.code", "operator": "equals", "value": "x"});
    let rows = [
        (json!([status]), json!({"all": [status]})),
        (json!([status, path]), json!({"all": [status, named]})),
        (json!({"any": [status, {"not": path}]}), json!({"any": [status, {"not": named}]})),
    ];
    for (i, (given, told)) in rows.into_iter().enumerate() {
        let rule = with(quota_used_up(), json!({"name": format!("{i}"), "conditions": given}));
        assert_eq!(admin.post(PATH, rule).await.expect(201)["conditions"], told);
    }
}

#[tokio::test]
async fn a_rule_that_cannot_be_judged_is_refused_with_the_place() {
    let app = App::start().await;
    let admin = app.admin().await;
    app.upstream(&admin, "openai").await;
    let status =
        |value: Value| json!({"type": "status_code", "operator": "equals", "value": value});
    let text = |value: &str| json!({"type": "body_regex", "operator": "matches", "value": value});
    let rows = [
        (
            json!({"conditions": {"all": [status(429.into()), text("(")]}}),
            "conditions.all[1].value",
        ),
        (json!({"conditions": [status(429.into()), status(99.into())]}), "conditions.all[1].value"),
        (json!({"conditions": {"all": [{"type": "mood"}]}}), "conditions.all[0].type"),
        (json!({"conditions": []}), "conditions.all"),
        (json!({"actions": []}), "actions"),
        (json!({"actions": ["sing"]}), "actions[0]"),
        (json!({"upstream_id": 9}), "upstream_id"),
        (json!({"name": " "}), "name"),
        (json!({"threshold": {"count": 1, "window_seconds": 0.5}}), "threshold.window_seconds"),
        (json!({"threshold": {"count": 3, "last": 2}}), "threshold.count"),
        (json!({"threshold": [3, 5]}), "threshold"),
        (json!({"actions": [1]}), "actions[0]"),
        (json!({"cool_down_seconds": 1e9}), "cool_down_seconds"),
        (json!({"auto_enable_delay_hours": 0.001}), "auto_enable_delay_hours"),
        (json!({"auto_enable_delay_seconds": 7200}), "auto_enable_delay_seconds"),
    ];
    for (fields, place) in rows {
        let rule = with(quota_used_up(), fields.clone());
        let faults = admin.post(PATH, rule).await.faults(422);
        assert!(faults.contains_key(place), "{fields}: {faults:?}");
    }
    let faults = admin
        .post(PATH, with(quota_used_up(), json!({"conditions": 1, "name": "", "upstream_id": 9})))
        .await
        .faults(422);
    assert!(faults.contains_key("conditions") && faults.contains_key("name"), "{faults:?}");
    admin.post(PATH, quota_used_up()).await.expect(201);
    assert_eq!(admin.post(PATH, quota_used_up()).await.refused(409), "conflict");
    let of_all = with(quota_used_up(), json!({"upstream_id": null}));
    admin.post(PATH, of_all.clone()).await.expect(201);
    assert_eq!(admin.post(PATH, of_all).await.refused(409), "conflict");
    let faults = admin.patch(&format!("{PATH}/1"), json!({"conditions": {"all": []}})).await;
    assert!(faults.faults(422).contains_key("conditions.all"));
}

#[tokio::test]
async fn a_rule_is_tested_against_the_past() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    assert_eq!(id, 1);
    let limited = Some(ErrorClass::RateLimited);
    let calls = [
        call(1500, 1, 429, limited),
        call(50, 1, 429, limited),
        call(40, 1, 429, limited),
        call(30, 2, 429, limited),
        call(20, 1, 200, None),
        call(10, 1, 429, limited),
    ];
    app.log(&calls).await;

    let past = admin.post(&format!("{PATH}/test"), quota_used_up()).await.expect(200);
    assert_eq!((&past["would_have_fired"], &past["calls"]), (&json!(4), &json!(5)));
    let keys = json!([
        {"id": 1, "name": "Key 1", "upstream_id": 1, "count": 3},
        {"id": 2, "name": "Key 2", "upstream_id": 1, "count": 1},
    ]);
    assert_eq!((&past["keys"], &past["truncated"]), (&keys, &json!(false)));
    let newest_first: Vec<_> = [5, 3, 2, 1].map(|i: usize| json!(calls[i].id)).to_vec();
    assert_eq!(past["examples"], json!(newest_first));
    assert_eq!(past["body_unknown"], 0);

    let thrice = json!({"threshold": {"count": 3, "window_seconds": 3600}});
    let made = admin.post(PATH, with(quota_used_up(), thrice)).await.expect(201);
    let test = format!("{PATH}/{}/test", made["id"]);
    let past = admin.post(&test, json!({})).await.expect(200);
    assert_eq!((&past["would_have_fired"], &past["met"]), (&json!(1), &json!(4)));
    assert_eq!(past["keys"][0]["id"], 1);
    let past = admin.post(&format!("{test}?hours=48"), json!({})).await.expect(200);
    assert_eq!(past["met"], 5);
    let faults = admin.post(&format!("{test}?hours=0"), json!({})).await.faults(422);
    assert!(faults.contains_key("hours"));

    let quiet = with(quota_used_up(), json!({"cool_down_seconds": 1800}));
    let past = admin.post(&format!("{PATH}/test"), quiet).await.expect(200);
    assert_eq!(past["would_have_fired"], 3);
    let per_upstream = json!({"threshold": {"count": 4, "last": 5, "per": "upstream"}});
    let past = with(quota_used_up(), per_upstream);
    let past = admin.post(&format!("{PATH}/test"), past).await.expect(200);
    assert_eq!(past["would_have_fired"], 1);
    let other = app.upstream(&admin, "other").await;
    let elsewhere = with(quota_used_up(), json!({"upstream_id": other}));
    let past = admin.post(&format!("{PATH}/test"), elsewhere).await.expect(200);
    assert_eq!((&past["calls"], &past["would_have_fired"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_rule_of_no_upstream_is_neither_tested_nor_ready() {
    let app = App::start().await;
    let admin = app.admin().await;
    let nowhere = with(quota_used_up(), json!({"upstream_id": 99_999, "name": "x"}));
    let made = admin.post(PATH, nowhere.clone()).await.faults(422);
    assert!(made.contains_key("upstream_id"), "{made:?}");
    let tested = admin.post(&format!("{PATH}/test"), nowhere.clone()).await.faults(422);
    assert_eq!(tested, made);
    let bad = with(nowhere, json!({"actions": []}));
    let tested = admin.post(&format!("{PATH}/test"), bad).await.faults(422);
    assert_eq!(tested.len(), 2, "{tested:?}");
    let ready = admin.get(&format!("{PATH}/ready-made?upstream_id=99999")).await;
    assert_eq!(ready.refused(404), "not_found");
    let own = app.upstream(&admin, "openai").await;
    let developer = app.signed_in(Role::Developer).await;
    let ready = developer.get(&format!("{PATH}/ready-made?upstream_id={own}")).await;
    assert_eq!(ready.refused(404), "not_found");
}

#[tokio::test]
async fn recorded_answers_are_judged_for_whoever_may_read_them() {
    let app = App::start().await;
    let admin = app.admin().await;
    app.upstream(&admin, "openai").await;
    let calls = [call(20, 1, 200, None), call(10, 2, 200, None)];
    app.log(&calls).await;
    let bytes = br#"{"choices":[{"finish_reason":"content_filter"}]}"#.to_vec();
    let body = RecordedBody { log: calls[0].id, answer: true, bytes, cut: false };
    app.store.append_bodies(vec![body]).await.unwrap();
    let filtered = json!({
        "type": "body_text", "operator": "contains", "value": "content_filter",
    });
    let rule = with(quota_used_up(), json!({"conditions": filtered}));

    let past = admin.post(&format!("{PATH}/test"), rule.clone()).await.expect(200);
    assert_eq!((&past["would_have_fired"], &past["body_unknown"]), (&json!(1), &json!(1)));
    assert_eq!(past["keys"][0]["id"], 1);
    // Else whoever may not read bodies would learn from what matches what stands in them.
    let operator = app.signed_in(Role::Operator).await;
    let past = operator.post(&format!("{PATH}/test"), rule).await.expect(200);
    assert_eq!((&past["would_have_fired"], &past["body_unknown"]), (&json!(0), &json!(2)));

    let header = json!({"type": "header", "name": "x-a", "operator": "exists"});
    let rule = with(quota_used_up(), json!({"conditions": {"any": [header]}}));
    let past = admin.post(&format!("{PATH}/test"), rule).await.expect(200);
    assert_eq!(past["not_logged"], json!(["header"]));
}
