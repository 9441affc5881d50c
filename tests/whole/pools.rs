//! Key pools, rules and limits as their owner sets and sees them: through the API of the running
//! binary, across `kill -9` and on two instances.

use std::sync::atomic::{AtomicUsize, Ordering};

use mock::Mock;
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Admin, Caller, Ended, Gateway, Planes, Postgres, Redis};

use super::{gateway, providers, until_served};

/// An upstream with keys of these secrets, and a caller.
async fn pool(gateway: &Gateway, providers: &Mock, keys: &[&str]) -> (Admin, Caller, String) {
    let admin = gateway.admin().await;
    admin.upstream("openai", &providers.base_url(), keys).await;
    let (_, key) = admin.service_key("my app").await;
    let caller = gateway.caller(&key);
    (admin, caller, key)
}

/// How often the provider was asked with a key.
fn asked(providers: &Mock, key: &str) -> usize {
    let shown = format!("Bearer {key}");
    let received = providers.received();
    received.iter().filter(|one| one.header("authorization") == Some(shown.as_str())).count()
}

/// The key of this name, once it stands as `state`.
async fn key_that_is(admin: &Admin, name: &str, state: &str) -> Value {
    testkit::until("the key stands so", || async {
        let keys = admin.get("/api/admin/keys").await;
        let keys = keys["items"].as_array().unwrap().clone();
        keys.into_iter().find(|key| key["name"] == name && key["state"] == state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_takes_a_key_out_and_the_reason_outlives_kill_9() {
    let providers = providers().await;
    providers.behave("sk-one", "429");
    let mut gateway = gateway();
    gateway.start().await;
    let admin = gateway.admin().await;
    admin.upstream("openai", &providers.base_url(), &["sk-one", "sk-two"]).await;
    let rule = json!({
        "upstream_id": 1, "name": "quota used up",
        "conditions": {"type": "status_code", "operator": "equals", "value": 429},
        "actions": ["disable_key"], "auto_enable_delay_hours": 24,
    });
    let rule = admin.post("/api/admin/rules", rule).await;
    // Where this one is known, so is the rule.
    let (_, key) = admin.service_key("my app").await;
    let caller = gateway.caller(&key);
    until_served(&caller, "first").await;
    for n in 0..4 {
        caller.answered(&format!("call-{n}")).await;
    }
    let out = key_that_is(&admin, "Key 0", "disabled_auto").await;
    assert_eq!(out["reason"], "rule");
    assert_eq!(out["evidence"]["status"], 429);
    let until: chrono::DateTime<chrono::Utc> = out["until"].as_str().unwrap().parse().unwrap();
    let hours = (until - chrono::Utc::now()).as_seconds_f64() / 3600.0;
    assert!((23.9..=24.0).contains(&hours), "{hours}");
    let before = asked(&providers, "sk-one");
    let steps = format!("/api/admin/keys/{}/transitions", out["id"]);
    testkit::until("the step is stored", || async {
        let steps = admin.get(&steps).await;
        let steps = steps["items"].as_array().unwrap().clone();
        steps
            .iter()
            .any(|step| step["to"] == "disabled_auto" && step["actor"] == "rule")
            .then_some(())
    })
    .await;
    let triggers = admin.get(&format!("/api/admin/rules/{}/triggers", rule["id"])).await;
    assert_eq!(triggers["items"][0]["rule_id"], rule["id"], "{triggers}");

    gateway.kill();
    gateway.start().await;
    let admin = gateway.admin().await;
    let again = key_that_is(&admin, "Key 0", "disabled_auto").await;
    assert_eq!((&again["until"], &again["reason"]), (&out["until"], &out["reason"]));
    let caller = gateway.caller(&key);
    for n in 0..4 {
        caller.answered(&format!("later-{n}")).await;
    }
    assert_eq!(asked(&providers, "sk-one"), before, "it is left alone after the restart");

    // A person takes it back.
    providers.behave("sk-one", "");
    let path = format!("/api/admin/keys/{}", out["id"]);
    admin.patch(&path, json!({"state": "active"})).await;
    testkit::until("it is used again", || async {
        caller.answered("back").await;
        (asked(&providers, "sk-one") > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_not_forgotten_by_kill_9() {
    let providers = providers().await;
    let mut gateway = gateway();
    gateway.start().await;
    let (admin, caller, key) = pool(&gateway, &providers, &["sk-one"]).await;
    until_served(&caller, "first").await;
    let used = admin.log().await.len();
    let limit = json!({
        "scope": "service_key", "scope_id": 1, "unit": "requests", "limit": used + 5, "period": "month",
    });
    let limit = admin.post("/api/admin/limits", limit).await;
    let calls = |caller: Caller, name: &'static str| async move {
        let mut answered = 0;
        for n in 0..30 {
            match caller.call(&format!("{name}-{n}"), false).await {
                Ended::Answered => answered += 1,
                Ended::Refused(status) => {
                    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
                    return answered;
                }
                Ended::Broken => panic!("{name}-{n} broke"),
            }
        }
        panic!("the limit never held")
    };
    let before = calls(caller, "before").await;
    assert!(before >= 5);
    gateway.kill();
    gateway.start().await;
    let caller = gateway.caller(&key);
    assert_eq!(calls(caller.clone(), "after").await, 0, "it is used up still");
    let refused = caller.chat("words", false).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    let words = refused.text().await.unwrap();
    assert!(words.contains("budget_exceeded") && words.contains("service key 1"), "{words}");
    let admin = gateway.admin().await;
    testkit::until("people are told", || async {
        let alerts = admin.get("/api/admin/alerts").await;
        let found = alerts["items"].as_array()?.iter().find(|alert| {
            alert["severity"] == "critical" && alert["title"].as_str().unwrap().contains("used up")
        });
        found.map(|_| ())
    })
    .await;
    let shown = admin.get(&format!("/api/admin/limits/{}", limit["id"])).await;
    assert!(shown["use"][0]["used"].as_u64().is_some_and(|used| used >= 5), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_instance_finds_of_a_key_the_other_knows() {
    let database = Postgres::shared().database();
    let providers = providers().await;
    providers.behave("sk-one", "401");
    let mut first = gateway().with("TOLLGATE_DATABASE__URL", database.as_str());
    first.start().await;
    let (admin, caller, key) = pool(&first, &providers, &["sk-one", "sk-two"]).await;
    until_served(&caller, "first").await;
    for n in 0..2 {
        caller.answered(&format!("call-{n}")).await;
    }
    key_that_is(&admin, "Key 0", "disabled_auto").await;
    let before = asked(&providers, "sk-one");
    let mut second = first.beside().planes(Planes::Proxy);
    second.start().await;
    let other = second.caller(&key);
    for n in 0..6 {
        other.answered(&format!("other-{n}")).await;
    }
    assert_eq!(asked(&providers, "sk-one"), before, "the other instance leaves it alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_continued_with_its_key_after_a_restart_and_on_another_instance() {
    let database = Postgres::shared().database();
    let providers = providers().await;
    let keys = ["sk-one", "sk-two", "sk-three"];
    let mut first = gateway().with("TOLLGATE_DATABASE__URL", database.as_str());
    first.start().await;
    let (_, caller, key) = pool(&first, &providers, &keys).await;
    until_served(&caller, "first").await;
    let made = caller.post("/v1/responses", &json!({"model": "gpt-4o", "input": "hi"})).await;
    let id = made["id"].as_str().unwrap().to_owned();
    let by = providers.received().last().unwrap().header("authorization").unwrap().to_owned();
    // At its end a process keeps what it knows.
    first.stop().await;

    first.start().await;
    let mut second = first.beside().planes(Planes::Proxy);
    second.start().await;
    let next = json!({"model": "gpt-4o", "input": "go on", "previous_response_id": id});
    for gateway in [&first, &second] {
        let caller = gateway.caller(&key);
        for _ in 0..4 {
            caller.post("/v1/responses", &next).await;
            let received = providers.received();
            assert_eq!(received.last().unwrap().header("authorization"), Some(by.as_str()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_with_one_redis_share_a_budget_also_when_its_data_are_lost() {
    const LIMIT: usize = 40;
    let (database, mut redis) = (Postgres::shared().database(), Redis::start());
    let providers = providers().await;
    let mut first = gateway()
        .with("TOLLGATE_DATABASE__URL", database.as_str())
        .with("TOLLGATE_REDIS__URL", redis.url());
    first.start().await;
    let admin = first.admin().await;
    admin.upstream("openai", &providers.base_url(), &["sk-one"]).await;
    // Whoever knows the key knows the limit of each key, for that was there before.
    let limit = json!({
        "scope": "service_key", "unit": "requests", "limit": LIMIT, "period": "day",
    });
    admin.post("/api/admin/limits", limit).await;
    let (_, key) = admin.service_key("my app").await;
    let mut second = first.beside().planes(Planes::Proxy);
    second.start().await;
    let callers = [first.caller(&key), second.caller(&key)];
    // How many of a call to each were answered.
    let calls = |name: &'static str| {
        let callers = callers.clone();
        async move {
            let mut answered = 0;
            for caller in &callers {
                match caller.call(name, false).await {
                    Ended::Answered => answered += 1,
                    Ended::Refused(StatusCode::TOO_MANY_REQUESTS) => {}
                    // The key is not known yet.
                    Ended::Refused(StatusCode::UNAUTHORIZED) if name == "before" => {}
                    other => panic!("{other:?}"),
                }
            }
            answered
        }
    };
    let mut answered = 0;
    while answered < LIMIT / 2 {
        answered += calls("before").await;
    }
    redis.kill();
    redis.restart();
    // Each has its share until Redis is heard again, and then there is one count again.
    let all = AtomicUsize::new(answered);
    testkit::until("all of it is used", || async {
        let more = calls("after").await;
        (all.fetch_add(more, Ordering::Relaxed) + more >= LIMIT).then_some(())
    })
    .await;
    for _ in 0..5 {
        all.fetch_add(calls("rest").await, Ordering::Relaxed);
    }
    // While Redis was away neither knew of the other's calls; a count that began anew would let
    // half as many more pass.
    let all = all.into_inner();
    assert!((LIMIT..=LIMIT * 5 / 4).contains(&all), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_answers_why_a_call_went_there_and_a_route_can_be_asked_before() {
    let providers = providers().await;
    providers.behave("sk-one", "503");
    let mut gateway = gateway();
    gateway.start().await;
    let (admin, caller, _) = pool(&gateway, &providers, &["sk-one"]).await;
    admin.upstream("spare", &providers.base_url(), &["sk-spare"]).await;
    let route = json!({
        "name": "gpt-4o",
        "targets": [{"upstream_id": 1, "priority": 1}, {"upstream_id": 2, "priority": 2}],
    });
    admin.post("/api/admin/routes", route).await;
    until_served(&caller, "first").await;
    caller.answered("asked").await;
    let entry = testkit::until("the entry is stored", || async {
        let found = admin.get("/api/admin/logs?limit=100").await;
        let items = found["items"].as_array().unwrap().clone();
        items.into_iter().find(|item| item["request_id"] == "asked")
    })
    .await;
    let entry = admin.get(&format!("/api/admin/logs/{}", entry["id"].as_str().unwrap())).await;
    let attempts = entry["attempts"].as_array().unwrap();
    assert_eq!(attempts[0]["upstream"], "openai", "{entry}");
    assert_eq!(attempts[0]["class"], "overloaded");
    assert_eq!(attempts.last().unwrap()["upstream"], "spare");
    assert!(entry["decision"].as_array().is_some_and(|all| all.len() >= 2), "{entry}");
    let sent = providers.received().len();
    let ask = json!({"service_key_id": 1, "model": "gpt-4o", "dialect": "openai_chat"});
    let test = admin.post("/api/admin/route-test", ask).await;
    assert_eq!(test["targets"][0]["upstream_name"], "openai", "{test}");
    assert_eq!(test["targets"][1]["key_name"], "Key 0");
    let gold = json!({
        "name": "gold", "targets": [{"upstream_id": 2}],
        "matching": {"model": "gpt-.*", "headers": [{"name": "x-tier", "value": "gold"}]},
    });
    admin.post("/api/admin/routes", gold).await;
    let ask = json!({
        "service_key_id": 1, "model": "gpt-4o", "headers": [{"name": "X-Tier", "value": "gold"}],
    });
    testkit::until("the route is served", || async {
        let test = admin.post("/api/admin/route-test", ask.clone()).await;
        (test["targets"][0]["upstream_name"] == "spare").then_some(())
    })
    .await;
    assert_eq!(providers.received().len(), sent, "nothing is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_by_the_clock_and_when_they_are_asked_for() {
    let mut gateway = gateway();
    gateway.start().await;
    let admin = gateway.admin().await;
    let tasks = || async {
        let tasks = admin.get("/api/admin/tasks").await;
        tasks["items"].as_array().or(tasks.as_array()).unwrap().clone()
    };
    testkit::until("the tasks are known", || async {
        let names: Vec<Value> =
            tasks().await.into_iter().map(|task| task["name"].clone()).collect();
        ["clear_logs", "forget_objects", "probe_keys", "reset_quotas", "roll_up", "sweep_keys"]
            .iter()
            .all(|name| names.contains(&json!(name)))
            .then_some(())
    })
    .await;
    let runs = |task: &Value| task["runs"].as_array().map_or(0, Vec::len);
    let of =
        |tasks: Vec<Value>| tasks.into_iter().find(|task| task["name"] == "clear_logs").unwrap();
    testkit::until("what was due has run", || async {
        (runs(&of(tasks().await)) > 0).then_some(())
    })
    .await;
    admin.post("/api/admin/tasks/clear_logs/run", Value::Null).await;
    testkit::until("it runs again", || async {
        let task = of(tasks().await);
        (runs(&task) > 1 && task["runs"][0]["ok"] != json!(false)).then_some(())
    })
    .await;
}
