//! `/api/admin/alerts`

use auth::Role;
use chrono::{DateTime, Utc};
use domain::{Event, ProviderKeyId, Raised, RuleId, Severity, UpstreamId};
use serde_json::{Value, json};
use store::Page;

use crate::app::{App, Client};

const PATH: &str = "/api/admin/alerts";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

fn raised(group: &str, severity: Severity, upstream: Option<i64>) -> Raised {
    Raised {
        group: group.to_owned(),
        severity,
        title: format!("{group} is odd"),
        words: "very".to_owned(),
        upstream: upstream.map(UpstreamId),
        key: Some(ProviderKeyId(12)),
        rule: Some(RuleId(7)),
        at: at(0),
        over: false,
    }
}

async fn groups(client: &Client, query: &str) -> Vec<String> {
    let page = client.get(&format!("{PATH}?{query}")).await.expect(200);
    let group = |item: &Value| item["group"].as_str().unwrap().to_owned();
    page["items"].as_array().unwrap().iter().map(group).collect()
}

#[tokio::test]
async fn an_alert_is_taken_on_and_over() {
    let app = App::start().await;
    let admin = app.admin().await;
    let first = raised("rule:7:key:12", Severity::Warning, Some(1));
    let again = Raised { at: at(9), severity: Severity::Critical, ..first.clone() };
    app.told(&[first, again].map(Event::Alert)).await;
    let id = admin.get(PATH).await.expect(200)["items"][0]["id"].as_i64().unwrap();
    let path = format!("{PATH}/{id}");
    let told = json!({
        "id": id, "group": "rule:7:key:12", "state": "firing", "severity": "critical",
        "title": "rule:7:key:12 is odd", "words": "very", "upstream_id": 1, "key_id": 12,
        "rule_id": 7, "count": 2, "first_at": "2026-01-01T00:00:00Z",
        "last_at": "2026-01-01T00:00:09Z", "acknowledged_by": null, "acknowledged_at": null,
        "resolved_by": null, "resolved_at": null,
    });
    assert_eq!(app.viewer().await.get(&path).await.expect(200), told);

    let taken = admin.post(&format!("{path}/acknowledge"), json!({})).await.expect(200);
    assert_eq!((&taken["state"], &taken["count"]), (&json!("acknowledged"), &json!(2)));
    assert_eq!(taken["acknowledged_by"], "super_admin");
    assert!(taken["acknowledged_at"].is_string());
    let operator = app.signed_in(Role::Operator).await;
    let twice = operator.post(&format!("{path}/acknowledge"), json!({})).await.expect(200);
    assert_eq!(twice, taken);

    let over = operator.post(&format!("{path}/resolve"), json!({})).await.expect(200);
    assert_eq!((&over["state"], &over["resolved_by"]), (&json!("resolved"), &json!("operator")));
    assert_eq!(over["acknowledged_by"], "super_admin");
    for late in ["acknowledge", "resolve"] {
        assert_eq!(admin.post(&format!("{path}/{late}"), json!({})).await.expect(200), over);
    }
    let lines = app.store.audit(Page::default()).await.unwrap().items;
    let lines: Vec<_> = lines
        .iter()
        .filter(|line| line.subject == "alert")
        .map(|line| (line.actor.as_str(), line.action.as_str(), line.subject_id))
        .collect();
    let (taken, over) = ("acknowledged", "resolved");
    assert_eq!(lines, [("operator", over, Some(id)), ("super_admin", taken, Some(id))]);
    for unknown in ["acknowledge", "resolve"] {
        let answer = admin.post(&format!("{PATH}/0/{unknown}"), json!({})).await;
        assert_eq!(answer.refused(404), "not_found");
    }
    assert_eq!(admin.get(&format!("{PATH}/0")).await.refused(404), "not_found");
}

#[tokio::test]
async fn whoever_may_look_may_not_take_on() {
    let app = App::start().await;
    app.told(&[Event::Alert(raised("a", Severity::Info, Some(1)))]).await;
    let viewer = app.viewer().await;
    let alert = viewer.get(PATH).await.expect(200)["items"][0].clone();
    let path = format!("{PATH}/{}", alert["id"]);
    for verb in ["acknowledge", "resolve"] {
        let answer = viewer.post(&format!("{path}/{verb}"), json!({})).await;
        assert_eq!(answer.refused(403), "forbidden", "{verb}");
    }
    assert_eq!(viewer.get(&path).await.expect(200), alert);
}

#[tokio::test]
async fn alerts_are_found_by_what_they_are_about() {
    let app = App::start().await;
    let admin = app.admin().await;
    let over = Raised { over: true, ..raised("d", Severity::Critical, None) };
    let events = [
        raised("a", Severity::Warning, Some(1)),
        raised("b", Severity::Info, Some(2)),
        raised("c", Severity::Critical, None),
        raised("d", Severity::Critical, None),
        over,
    ];
    app.told(&events.map(Event::Alert)).await;
    for (query, expected) in [
        ("", vec!["d", "c", "b", "a"]),
        ("open=true", vec!["c", "b", "a"]),
        ("open=false", vec!["d"]),
        ("state=resolved", vec!["d"]),
        ("state=acknowledged", vec![]),
        ("severity=critical", vec!["d", "c"]),
        ("severity=critical&open=true", vec!["c"]),
        ("upstream_id=2", vec!["b"]),
    ] {
        assert_eq!(groups(&admin, query).await, expected, "{query}");
    }
    let page = admin.get(&format!("{PATH}?limit=3")).await.expect(200);
    let next = format!("limit=3&cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(groups(&admin, &next).await, ["a"]);
    for (query, field) in [
        ("severity=loud", "severity"),
        ("state=odd", "state"),
        ("open=maybe", "open"),
        ("upstream_id=one", "upstream_id"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("colour=red", "colour"),
    ] {
        let faults = admin.get(&format!("{PATH}?{query}")).await.faults(422);
        assert!(faults.contains_key(field), "{query}: {faults:?}");
    }
}

#[tokio::test]
async fn a_developer_sees_alerts_about_their_own_upstreams_only() {
    let app = App::start().await;
    let theirs = app.upstream(&app.admin().await, "theirs").await;
    let own = app.upstream_of(Role::Developer).await;
    let events = [
        raised("own", Severity::Info, Some(own)),
        raised("theirs", Severity::Info, Some(theirs)),
        raised("nobody's", Severity::Info, None),
    ];
    app.told(&events.map(Event::Alert)).await;
    let developer = app.signed_in(Role::Developer).await;
    assert_eq!(groups(&developer, "").await, ["own"]);
    assert_eq!(groups(&developer, &format!("upstream_id={theirs}")).await, [""; 0]);
    let all = app.admin().await.get(PATH).await.expect(200)["items"].clone();
    for alert in all.as_array().unwrap() {
        let answer = developer.get(&format!("{PATH}/{}", alert["id"])).await;
        let expected = if alert["group"] == "own" { 200 } else { 404 };
        assert_eq!(answer.status, expected, "{}", alert["group"]);
    }
}
