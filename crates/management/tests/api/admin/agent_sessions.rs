//! `/api/admin/sessions`

use auth::Role;
use domain::{UserId, log::LogEntry};
use serde_json::{Value, json};

use crate::app::{App, entry};

const PATH: &str = "/api/admin/sessions";

fn call(owner: UserId, session: &str, agent: Option<(&str, Option<&str>)>) -> LogEntry {
    let mut call = entry(1, owner);
    call.cost_nano = Some(1_500_000);
    call.origin.session = Some(session.to_owned());
    call.origin.agent = agent.map(|(agent, _)| agent.to_owned());
    call.origin.parent_agent = agent.and_then(|(_, parent)| parent).map(str::to_owned);
    call
}

#[tokio::test]
async fn a_session_is_told_with_its_agents_as_a_tree_and_its_calls() {
    let app = App::start().await;
    let admin = app.admin().await;
    let owner = UserId(1);
    let mut child = call(owner, "child", None);
    child.origin.parent_session = Some("s".to_owned());
    app.log(&[
        call(owner, "s", None),
        call(owner, "s", Some(("scout", None))),
        call(owner, "s", Some(("helper of scout", Some("scout")))),
        call(owner, "s", Some(("reviewer", None))),
        child,
    ])
    .await;
    let list = admin.get(&format!("{PATH}?session=s")).await.expect(200);
    let one = &list["items"][0];
    assert_eq!((&one["calls"], &one["turns"], &one["errors"]), (&json!(4), &json!(1), &json!(0)));
    assert!(one["cost"].is_string() && one["cache_share"].is_number(), "{one}");

    let id = &one["id"];
    let whole = admin.get(&format!("{PATH}/{id}")).await.expect(200);
    let agents: Vec<(Value, Value)> = whole["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| (agent["depth"].clone(), agent["agent"].clone()))
        .collect();
    let tree = [(0, Value::Null), (1, "scout".into()), (2, "helper of scout".into())];
    let tree = tree.into_iter().chain([(1, "reviewer".into())]);
    assert_eq!(agents, tree.map(|(depth, agent)| (depth.into(), agent)).collect::<Vec<_>>());
    assert_eq!(whole["sessions"][0]["session"]["session"], "child");
    assert_eq!(whole["sessions"][0]["depth"], 1);
    let costs = (&whole["session"]["cost"], &whole["cost_with_sessions"]);
    assert_eq!(costs, (&json!("0.006"), &json!("0.0075")));

    let calls = admin.get(&format!("{PATH}/{id}/calls?limit=3")).await.expect(200);
    assert_eq!(calls["items"].as_array().unwrap().len(), 3);
    assert!(calls["next_cursor"].is_string());
    let of_child = admin.get(&format!("{PATH}?parent_session=s")).await.expect(200);
    assert_eq!(of_child["items"][0]["parent_session"], "s");
}

#[tokio::test]
async fn who_sees_only_their_own_sees_no_session_of_others() {
    let app = App::start().await;
    let admin = app.admin().await;
    let developer = app.signed_in(Role::Developer).await;
    let me = developer.get("/api/auth/me").await.expect(200)["id"].as_i64().unwrap();
    app.log(&[call(UserId(1), "theirs", None), call(UserId(me), "mine", None)]).await;
    let all = admin.get(PATH).await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    for query in ["", "?owner_id=1", "?session=theirs"] {
        let seen = developer.get(&format!("{PATH}{query}")).await.expect(200);
        let names: Vec<&Value> =
            seen["items"].as_array().unwrap().iter().map(|item| &item["session"]).collect();
        assert!(names.iter().all(|name| *name == "mine"), "{query}: {names:?}");
    }
    let theirs = all["items"].as_array().unwrap().iter().find(|item| item["session"] == "theirs");
    let id = &theirs.unwrap()["id"];
    for path in [format!("{PATH}/{id}"), format!("{PATH}/{id}/calls")] {
        assert_eq!(developer.get(&path).await.refused(404), "not_found");
    }
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_is_told() {
    let app = App::start().await;
    let admin = app.admin().await;
    let query = "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z";
    let faults = admin.get(&format!("{PATH}?{query}")).await.faults(422);
    assert!(faults.contains_key("to"), "{faults:?}");
}
