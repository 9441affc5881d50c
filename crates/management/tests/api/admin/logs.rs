//! `/api/admin/logs`

use auth::Role;
use domain::{ErrorClass, Event, RuleId, UserId, log::Outcome};
use serde_json::{Value, json};

use crate::app::{App, Client, entry, fired};

const PATH: &str = "/api/admin/logs";

async fn paths(client: &Client, query: &str) -> Vec<String> {
    let page = client.get(&format!("{PATH}?{query}")).await.expect(200);
    let path = |item: &Value| item["path"].as_str().unwrap().to_owned();
    page["items"].as_array().unwrap().iter().map(path).collect()
}

#[tokio::test]
async fn an_entry_says_everything_about_its_call() {
    let app = App::start().await;
    let admin = app.admin().await;
    let mut call = entry(5, UserId(1));
    call.id = uuid::Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
    call.started_us = 1_790_000_000_123_456;
    call.tags = vec!["paid".to_owned()];
    call.waited_us = 1_500;
    let mut failed = call.attempts[0].clone();
    failed.status = Some(429);
    failed.result = "rate_limited".to_owned();
    failed.class = Some(ErrorClass::QuotaExhausted);
    failed.rules = vec![RuleId(7)];
    call.attempts.insert(0, failed);
    app.log(std::slice::from_ref(&call)).await;
    let foreign = Event::Trigger(fired(9, uuid::Uuid::nil()));
    app.told(&[Event::Trigger(fired(7, call.id)), foreign]).await;
    let one = admin.get(&format!("{PATH}/{}", call.id)).await.expect(200);
    insta::assert_json_snapshot!(one, {".stored_at" => "[stored_at]"});
    // What fired is told with a single entry only: in a list it would cost too much.
    let mut listed = admin.get(&format!("{PATH}?limit=10")).await.expect(200)["items"][0].clone();
    assert_eq!(listed.get("rules"), None);
    listed["rules"] = one["rules"].clone();
    assert_eq!(listed, one);
    assert_eq!(admin.get(&format!("{PATH}/{}", uuid::Uuid::nil())).await.refused(404), "not_found");
    assert_eq!(admin.get(&format!("{PATH}/7")).await.refused(404), "no_such_path");
}

#[tokio::test]
async fn the_newest_come_first_a_page_at_a_time() {
    let app = App::start().await;
    let admin = app.admin().await;
    let calls: Vec<_> = (0..5)
        .map(|i| {
            let mut call = entry(1, UserId(1));
            call.started_us += i64::from(i) * 1000;
            call.path = format!("/{i}");
            call
        })
        .collect();
    app.log(&calls).await;
    let mut seen = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let page = admin.get(&format!("{PATH}?{query}")).await.expect(200);
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["path"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["/4", "/3", "/2", "/1", "/0"]);
}

#[tokio::test]
async fn a_program_copies_the_log_by_arrival() {
    let app = App::start().await;
    let admin = app.admin().await;
    let empty = admin.get(&format!("{PATH}?sort=arrival")).await.expect(200);
    let mut cursor = empty["next_cursor"].as_str().unwrap().to_owned();
    let mut seen = Vec::new();
    // A call that took long is stored after one that began later.
    for (path, age) in [("/short", 1), ("/long", 4000)] {
        let mut call = entry(1, UserId(1));
        call.path = path.to_owned();
        call.started_us -= age * 1000;
        app.log(&[call]).await;
        let page = format!("{PATH}?sort=arrival&cursor={cursor}");
        let page = admin.get(&page).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["path"].clone()));
        page["next_cursor"].as_str().unwrap().clone_into(&mut cursor);
    }
    assert_eq!(seen, ["/short", "/long"]);
    let faults = admin.get(&format!("{PATH}?cursor={cursor}")).await.faults(422);
    assert!(faults.contains_key("cursor"), "{faults:?}");
}

#[tokio::test]
async fn filters_find_what_they_name() {
    let app = App::start().await;
    let admin = app.admin().await;
    let mut failed = entry(2, UserId(2));
    failed.path = "/failed".to_owned();
    failed.status = 502;
    failed.outcome = Outcome::Failed;
    failed.model_asked = Some("claude".to_owned());
    failed.model_used = None;
    failed.upstream = None;
    failed.request_id = "12345".to_owned();
    let mut well = entry(1, UserId(1));
    well.path = "/well".to_owned();
    app.log(&[failed, well]).await;
    for (query, expected) in [
        ("status=502", "/failed"),
        ("status=5xx", "/failed"),
        ("status=errors", "/failed"),
        ("status=2xx", "/well"),
        ("outcome=failed", "/failed"),
        ("model=claude", "/failed"),
        ("model=gpt-5-2026", "/well"),
        ("upstream_id=1", "/well"),
        ("provider_key_id=1&status=200", "/well"),
        ("service_key_id=2", "/failed"),
        ("owner_id=1", "/well"),
        ("request_id=12345", "/failed"),
        ("ended_from=2020-01-01T00:00:00Z&sort=-ended_at&status=2xx", "/well"),
        ("request_id=req-1&from=2020-01-01T00:00:00Z", "/well"),
    ] {
        assert_eq!(paths(&admin, query).await, [expected], "{query}");
    }
    for query in ["to=2020-01-01T00:00:00Z", "ended_to=2020-01-01T00:00:00Z&sort=ended_at"] {
        assert_eq!(paths(&admin, query).await, [""; 0], "{query}");
    }
    let faults = admin.get(&format!("{PATH}?status=7xx&outcome=odd&from=now")).await.faults(422);
    assert!(faults.contains_key("outcome") && faults.contains_key("from"), "{faults:?}");
    let faults = admin.get(&format!("{PATH}?status=7xx")).await.faults(422);
    assert!(faults["status"].contains("4xx"), "{faults:?}");
}

#[tokio::test]
async fn a_developer_sees_their_own_calls_only() {
    let app = App::start().await;
    let developer = app.signed_in(Role::Developer).await;
    let me = developer.get("/api/auth/me").await.expect(200)["id"].as_i64().unwrap();
    let (own, theirs) = (entry(1, UserId(me)), entry(2, UserId(1)));
    app.log(&[own.clone(), theirs.clone()]).await;
    for query in ["", "owner_id=1", "service_key_id=2"] {
        let page = developer.get(&format!("{PATH}?{query}")).await.expect(200);
        let foreign = page["items"].as_array().unwrap().iter().any(|i| i["owner_id"] != json!(me));
        assert!(!foreign, "{query}");
    }
    assert_eq!(developer.get(&format!("{PATH}/{}", own.id)).await.status, 200);
    let foreign = developer.get(&format!("{PATH}/{}", theirs.id)).await;
    assert_eq!(foreign.refused(404), "not_found");
}

#[tokio::test]
async fn recorded_bodies_are_shown_to_who_may_see_them() {
    let app = App::start().await;
    let call = entry(1, UserId(1));
    app.log(std::slice::from_ref(&call)).await;
    let body = |answer, bytes: &[u8]| store::RecordedBody {
        log: call.id,
        answer,
        bytes: bytes.to_vec(),
        cut: answer,
    };
    app.store.append_bodies(vec![body(true, b"\xffno text"), body(false, b"{}")]).await.unwrap();
    let path = format!("{PATH}/{}/bodies", call.id);
    let shown = json!({"items": [
        {"of": "request", "text": "{}", "cut": false},
        {"of": "answer", "text": "\u{fffd}no text", "cut": true},
    ]});
    assert_eq!(app.admin().await.get(&path).await.expect(200), shown);
    assert_eq!(app.viewer().await.get(&path).await.refused(403), "forbidden");
    let unknown = format!("{PATH}/{}/bodies", uuid::Uuid::nil());
    assert_eq!(app.admin().await.get(&unknown).await.refused(404), "not_found");
}
