//! `/api/admin/rule-triggers` and `/api/admin/rules/{id}/triggers`

use auth::Role;
use chrono::{TimeDelta, Utc};
use domain::{Event, ProviderKeyId, Trigger, UpstreamId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{App, Client, fired};

const PATH: &str = "/api/admin/rule-triggers";

async fn rule(admin: &Client, name: &str) -> i64 {
    let rule = json!({
        "name": name, "conditions": {"type": "status_code", "operator": "equals", "value": 429},
        "actions": ["disable_key"],
    });
    admin.post("/api/admin/rules", rule).await.expect(201)["id"].as_i64().unwrap()
}

/// The rule and the key of each trigger.
async fn found(client: &Client, path: &str) -> Vec<(i64, i64)> {
    let page = client.get(path).await.expect(200);
    let pair = |item: &Value| {
        (item["rule_id"].as_i64().unwrap(), item["key_id"].as_i64().unwrap_or_default())
    };
    page["items"].as_array().unwrap().iter().map(pair).collect()
}

#[tokio::test]
async fn what_fired_is_told_with_what_it_was_concluded_from() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = rule(&admin, "quota used up").await;
    let log = Uuid::from_u128(7);
    app.told(&[Event::Trigger(fired(id, log))]).await;
    let page = app.viewer().await.get(&format!("/api/admin/rules/{id}/triggers")).await.expect(200);
    let told = json!({
        "id": page["items"][0]["id"], "rule_id": id, "rule_version": 2, "upstream_id": 1,
        "key_id": 1, "model": "gpt-5-2026", "log_id": log, "at": "2026-09-21T14:13:20.200Z",
        "shadow": false, "actions": ["disable_key", "alert"],
        "until": "2026-09-21T15:13:20.200Z",
        "evidence": {
            "status": 429, "code": "insufficient_quota", "class": "quota_exhausted",
            "rule_id": id, "log_id": log, "words": "the status is 429",
        },
    });
    assert_eq!(page, json!({"items": [told], "next_cursor": null}));
    let unknown = admin.get("/api/admin/rules/99/triggers").await;
    assert_eq!(unknown.refused(404), "not_found");
}

#[tokio::test]
async fn triggers_are_found_by_what_they_are_about() {
    let app = App::start().await;
    let admin = app.admin().await;
    let (one, two) = (rule(&admin, "one").await, rule(&admin, "two").await);
    let (now, log) = (Utc::now(), Uuid::from_u128(7));
    let events = [
        fired(one, log),
        Trigger { key: Some(ProviderKeyId(2)), shadow: true, ..fired(one, log) },
        Trigger { upstream: UpstreamId(2), key: None, at: now, ..fired(two, log) },
    ];
    app.told(&events.map(Event::Trigger)).await;
    let (a, b, c) = ((one, 1), (one, 2), (two, 0));
    let day = (now - TimeDelta::days(1)).format("%Y-%m-%dT%H:%M:%SZ");
    for (query, expected) in [
        (String::new(), vec![c, b, a]),
        (format!("rule_id={one}"), vec![b, a]),
        ("upstream_id=2".to_owned(), vec![c]),
        ("key_id=2".to_owned(), vec![b]),
        ("shadow=true".to_owned(), vec![b]),
        ("shadow=false".to_owned(), vec![c, a]),
        ("from=2026-09-21T14:13:20.200Z&to=2026-09-21T14:13:20.201Z".to_owned(), vec![b, a]),
        ("to=2026-09-21T14:13:20.200Z".to_owned(), vec![]),
        (format!("from={day}&rule_id={two}"), vec![c]),
        ("rule_id=99".to_owned(), vec![]),
    ] {
        let expected: Vec<(i64, i64)> = expected;
        assert_eq!(found(&admin, &format!("{PATH}?{query}")).await, expected, "{query}");
    }
    let of_one = format!("/api/admin/rules/{one}/triggers");
    let page = admin.get(&format!("{of_one}?limit=1")).await.expect(200);
    let next = page["next_cursor"].as_str().unwrap();
    assert_eq!(found(&admin, &format!("{of_one}?limit=1&cursor={next}")).await, [a]);
    for (query, field) in [
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("shadow=perhaps", "shadow"),
        ("rule_id=one", "rule_id"),
        ("limit=101", "limit"),
        ("cursor=x", "cursor"),
    ] {
        let faults = admin.get(&format!("{PATH}?{query}")).await.faults(422);
        assert!(faults.contains_key(field), "{query}: {faults:?}");
    }
    // What a deleted rule did can still be read.
    admin.delete(&format!("/api/admin/rules/{one}")).await;
    assert_eq!(admin.get(&of_one).await.refused(404), "not_found");
    assert_eq!(found(&admin, &format!("{PATH}?rule_id={one}")).await, [b, a]);
}

#[tokio::test]
async fn a_developer_sees_what_fired_about_their_own_upstreams_only() {
    let app = App::start().await;
    let admin = app.admin().await;
    app.upstream(&admin, "theirs").await;
    let own = app.upstream_of(Role::Developer).await;
    let id = rule(&admin, "of all").await;
    let mine = Trigger { upstream: UpstreamId(own), key: None, ..fired(id, Uuid::nil()) };
    app.told(&[fired(id, Uuid::nil()), mine].map(Event::Trigger)).await;
    let developer = app.signed_in(Role::Developer).await;
    for query in ["", "?upstream_id=1", "?key_id=1", "?shadow=false"] {
        let page = developer.get(&format!("{PATH}{query}")).await.expect(200);
        let foreign = page["items"].as_array().unwrap().iter().any(|i| i["upstream_id"] != own);
        assert!(!foreign, "{query}");
    }
    assert_eq!(found(&developer, PATH).await, [(id, 0)]);
    // The rule itself is not theirs either.
    let foreign = developer.get(&format!("/api/admin/rules/{id}/triggers")).await;
    assert_eq!(foreign.refused(404), "not_found");
    assert_eq!(found(&admin, PATH).await.len(), 2);
}
