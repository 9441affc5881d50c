//! `/api/admin/keys`: how keys stand, and how they came to.

use auth::Role;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    BreakerState, ErrorClass, Event, Evidence, KeyStatus, ProviderKeyId, RuleId, Standing,
    Transition, UpstreamId, live::KeyReport,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{App, Client};

const PATH: &str = "/api/admin/keys";
const LOG: Uuid = Uuid::from_u128(7);

fn later(minutes: i64) -> DateTime<Utc> {
    let now = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap();
    now + TimeDelta::minutes(minutes)
}

/// A step that the gateway made a moment ago.
fn step(key: i64, model: Option<&str>, status: KeyStatus) -> Transition {
    let evidence = Evidence {
        status: Some(429),
        code: Some("rate_limit".to_owned()),
        class: Some(ErrorClass::RateLimited),
        rule: Some(RuleId(3)),
        log: Some(LOG),
        words: "the provider asked for a pause".to_owned(),
    };
    Transition {
        key: ProviderKeyId(key),
        upstream: UpstreamId(1),
        model: model.map(str::to_owned),
        from: KeyStatus::Active,
        to: Standing {
            status,
            reason: "rate_limited".to_owned(),
            evidence,
            since: later(-1),
            strikes: 1,
        },
        actor: "gateway".to_owned(),
    }
}

fn evidence() -> Value {
    json!({
        "status": 429, "code": "rate_limit", "class": "rate_limited", "rule_id": 3, "log_id": LOG,
        "words": "the provider asked for a pause",
    })
}

/// Keys 1 to `n` of one pool.
async fn keys(app: &App, n: i64) -> Client {
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    for i in 1..=n {
        let name = format!("key {i}");
        let new =
            json!({"upstream_id": upstream, "name": name, "key_value": format!("sk-0123-{i}")});
        assert_eq!(admin.post(PATH, new).await.expect(201)["id"], i);
    }
    admin
}

async fn ids(client: &Client, query: &str) -> Vec<i64> {
    let page = client.get(&format!("{PATH}?{query}")).await.expect(200);
    let id = |item: &Value| item["id"].as_i64().unwrap();
    page["items"].as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn without_a_data_plane_keys_are_told_as_they_are_kept() {
    let app = App::start().await.alone();
    let admin = keys(&app, 5).await;
    let (hour, past) = (later(60), later(-1));
    let events = [
        step(1, None, KeyStatus::Cooling(hour)),
        step(2, None, KeyStatus::Cooling(past)),
        step(3, Some("gpt-5"), KeyStatus::Exhausted(hour)),
        step(3, Some("gpt-5-mini"), KeyStatus::Cooling(past)),
        step(4, None, KeyStatus::DisabledAuto(hour)),
        step(5, None, KeyStatus::DisabledAuto(hour)),
    ];
    let (since, since_of_model) = (events[0].to.since, events[2].to.since);
    app.told(&events.map(Event::Transition)).await;
    let void = admin.patch(&format!("{PATH}/4"), json!({"state": "active"})).await.expect(200);
    assert_eq!((&void["state"], &void["until"]), (&json!("active"), &json!(null)));

    let cooling = admin.get(&format!("{PATH}/1")).await.expect(200);
    assert_eq!(
        (&cooling["state"], &cooling["reason"]),
        (&json!("cooling"), &json!("rate_limited"))
    );
    assert_eq!((&cooling["until"], &cooling["since"]), (&json!(hour), &json!(since)));
    assert_eq!((&cooling["evidence"], &cooling["models"]), (&evidence(), &json!([])));
    assert_eq!((&cooling["breaker"], &cooling["in_flight"]), (&json!(null), &json!(null)));
    let rested = admin.get(&format!("{PATH}/2")).await.expect(200);
    for field in ["until", "reason", "evidence", "since"] {
        assert_eq!(rested[field], json!(null), "{field}");
    }
    assert_eq!(rested["state"], "active");
    let of_model = admin.get(&format!("{PATH}/3")).await.expect(200);
    let models = json!([{
        "model": "gpt-5", "state": "exhausted", "until": hour, "reason": "rate_limited",
        "evidence": evidence(), "since": since_of_model,
    }]);
    let shown = (&of_model["state"], &of_model["until"], &of_model["models"]);
    assert_eq!(shown, (&json!("exhausted"), &json!(hour), &models));

    // Filters mean the same as what is shown.
    assert_eq!(ids(&admin, "").await, [1, 2, 3, 4, 5]);
    for (state, expected) in [
        ("active", vec![2, 4]),
        ("cooling", vec![1]),
        ("exhausted", vec![3]),
        ("disabled_auto", vec![5]),
        ("disabled_manual", vec![]),
        ("banned", vec![]),
    ] {
        assert_eq!(ids(&admin, &format!("state={state}")).await, expected, "{state}");
    }
    let first = admin.get(&format!("{PATH}?state=active&limit=1")).await.expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&admin, &format!("state=active&limit=1&cursor={cursor}")).await, [4]);
    let off = json!({"filter": {"state": "disabled_auto"}, "action": "disable"});
    let off = admin.post(&format!("{PATH}/bulk"), off).await.expect(200);
    assert_eq!((&off["matched"], &off["done"]), (&json!(1), &json!(1)));
    assert_eq!(ids(&admin, "state=disabled_manual").await, [5]);
    // Why the gateway put it out is not why it is out now.
    let off = admin.get(&format!("{PATH}/5")).await.expect(200);
    assert_eq!((&off["reason"], &off["evidence"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn the_data_plane_knows_better_than_what_is_kept() {
    let app = App::start().await;
    let admin = keys(&app, 2).await;
    let hour = later(60);
    let events = [1, 2].map(|key| step(key, None, KeyStatus::Cooling(hour)));
    app.told(&events.map(Event::Transition)).await;
    let report = KeyReport {
        standing: None,
        models: vec![("gpt-5".to_owned(), step(1, None, KeyStatus::Exhausted(hour)).to)],
        breaker: BreakerState::Closed,
        in_flight: 2,
        success_permille: None,
        latency: None,
        quotas: Vec::new(),
    };
    app.live.keys.lock().unwrap().insert(1, report);
    let known = admin.get(&format!("{PATH}/1")).await.expect(200);
    assert_eq!((&known["state"], &known["in_flight"]), (&json!("exhausted"), &json!(2)));
    assert_eq!(known["models"][0]["evidence"], evidence());
    // What it does not have (its upstream is off, or it was just entered) is told as kept.
    assert_eq!(ids(&admin, "state=cooling").await, [2]);
    assert_eq!(ids(&admin, "state=exhausted").await, [1]);
}

#[tokio::test]
async fn a_key_that_a_rule_gave_up_says_why() {
    let app = App::start().await.alone();
    let admin = keys(&app, 2).await;
    app.told(&[Event::Transition(step(1, None, KeyStatus::Banned))]).await;
    let banned = admin.get(&format!("{PATH}/1")).await.expect(200);
    assert_eq!((&banned["state"], &banned["until"]), (&json!("banned"), &json!(null)));
    assert_eq!((&banned["reason"], &banned["evidence"]), (&json!("rate_limited"), &evidence()));
    assert_eq!(ids(&admin, "state=banned").await, [1]);
    let back = admin.patch(&format!("{PATH}/1"), json!({"state": "active"})).await.expect(200);
    assert_eq!((&back["state"], &back["reason"]), (&json!("active"), &json!(null)));
    assert_eq!(ids(&admin, "state=banned").await, [0; 0]);
}

#[tokio::test]
async fn the_steps_of_a_key_are_told_the_newest_first() {
    let app = App::start().await;
    let admin = keys(&app, 2).await;
    let hour = later(60);
    let steps = [
        step(1, None, KeyStatus::Cooling(hour)),
        step(2, None, KeyStatus::Cooling(hour)),
        Transition {
            from: KeyStatus::Cooling(hour),
            actor: "lin".to_owned(),
            ..step(1, None, KeyStatus::Active)
        },
        step(1, Some("gpt-5"), KeyStatus::Exhausted(hour)),
    ];
    let at = steps[3].to.since;
    app.told(&steps.map(Event::Transition)).await;
    let path = format!("{PATH}/1/transitions");
    let auditor = app.signed_in(Role::SecurityAuditor).await;
    let page = auditor.get(&format!("{path}?limit=2")).await.expect(200);
    let newest = json!({
        "id": page["items"][0]["id"], "key_id": 1, "upstream_id": 1, "model": "gpt-5",
        "from": "active", "to": "exhausted", "until": hour, "reason": "rate_limited",
        "evidence": evidence(), "actor": "gateway", "at": at,
    });
    assert_eq!(page["items"][0], newest);
    let back = &page["items"][1];
    assert_eq!((&back["from"], &back["to"]), (&json!("cooling"), &json!("active")));
    assert_eq!((&back["actor"], &back["model"]), (&json!("lin"), &json!(null)));
    let next = page["next_cursor"].as_str().unwrap();
    let rest = auditor.get(&format!("{path}?limit=2&cursor={next}")).await.expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!((&rest["items"][0]["to"], &rest["next_cursor"]), (&json!("cooling"), &json!(null)));

    let unknown = admin.get(&format!("{PATH}/99/transitions")).await;
    assert_eq!(unknown.refused(404), "not_found");
    for (query, field) in [("limit=0", "limit"), ("cursor=x", "cursor"), ("sort=id", "sort")] {
        let faults = admin.get(&format!("{path}?{query}")).await.faults(422);
        assert!(faults.contains_key(field), "{query}: {faults:?}");
    }
    assert_eq!(app.viewer().await.get(&path).await.refused(403), "forbidden");
}
