//! What rules do to the keys of a pool and to the answers of its calls.

use std::time::Duration;

use domain::{Event, Quota, Rule, RuleId, rule::Action};
use serde_json::json as value;

use crate::{
    harness::{self, Setup, chat},
    pools::quotas,
    vendor::{Vendor, answer, json, said},
};

/// A rule that disables the key.
fn rule(setup: &mut Setup, conditions: &serde_json::Value, edit: impl FnOnce(&mut Rule)) {
    harness::rule(setup, conditions, |rule| {
        rule.actions = vec![Action::DisableKey];
        edit(rule);
    });
}

#[tokio::test]
async fn a_rule_takes_a_key_out_tells_of_it_and_lets_it_back() {
    let vendor = Vendor::answering(|seen| match seen.key() {
        "sk-1" => json(429, r#"{"error":{"message":"monthly allowance used up"}}"#),
        _ => said("ok"),
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1", "sk-2"], |_| {});
    let conditions = value!({"all": [
        {"type": "status_code", "operator": "equals", "value": 429},
        {"type": "body_text", "operator": "contains", "value": "allowance"},
    ]});
    rule(&mut setup, &conditions, |rule| {
        rule.actions = vec![Action::DisableKey, Action::Tag];
        rule.auto_enable_delay = Some(Duration::from_secs(24 * 3600));
    });
    rule(&mut setup, &value!({"type": "status_code", "operator": "equals", "value": 429}), |r| {
        r.actions = vec![Action::BanKey];
        r.shadow = true;
    });
    let clock = setup.settings.clock.clone();
    let hall = setup.start().await;
    let mut events = hall.gateway.events().unwrap();
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
    let standing = hall.standing(101).unwrap();
    assert_eq!((standing.status.as_str(), standing.reason.as_str()), ("disabled_auto", "rule"));
    assert_eq!(standing.evidence.rule, Some(RuleId(1)));
    let entry = hall.entry().await;
    assert_eq!(entry.attempts[0].rules, [RuleId(1), RuleId(2)]);
    assert_eq!(entry.tags, ["rule 1"]);
    let mut triggers = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Trigger(trigger) = event {
            triggers.push((trigger.rule.0, trigger.shadow, trigger.log, trigger.until.is_some()));
        }
    }
    assert_eq!(triggers, [(1, false, entry.id, true), (2, true, entry.id, false)]);
    clock.forward(Duration::from_secs(24 * 3600 - 60));
    assert!(hall.standing(101).is_some());
    clock.forward(Duration::from_secs(61));
    assert_eq!(hall.standing(101), None);
}

#[tokio::test]
async fn a_rule_may_want_another_answer() {
    let half = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,
        "message":{"role":"assistant","content":"half"},"finish_reason":"stop"}]}"#;
    let vendor = Vendor::answering(move |seen| match seen.key() {
        "sk-1" => answer(200, &["content-type: application/json", "x-degraded: yes"], half),
        _ => said("whole"),
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1", "sk-2"], |_| {});
    let conditions =
        value!({"type": "header", "name": "x-degraded", "operator": "equals", "value": "yes"});
    rule(&mut setup, &conditions, |rule| rule.actions = vec![Action::RetryNext]);
    let hall = setup.start().await;
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    for _ in 0..4 {
        for call in [
            hall.post("/v1/chat/completions", &chat("m")),
            // It is the provider's answer that is judged, however it is said again.
            hall.post("/v1/messages", messages),
        ] {
            let reply = hall.ask(call).await;
            assert!(reply.status == 200 && reply.text().contains("whole"), "{}", reply.text());
        }
    }
}

#[tokio::test]
async fn an_answer_that_a_rule_did_not_want_is_the_answer_where_there_is_no_other() {
    let missing = r#"{"error":{"message":"no such thing","type":"invalid_request_error"}}"#;
    let vendor = Vendor::answering(move |seen| match seen.key() {
        "sk-good" => said("found"),
        _ => json(404, missing),
    })
    .await;
    let unwanted = value!({"type": "status_code", "operator": "equals", "value": 404});
    for (keys, status, calls) in [
        (&["sk-1", "sk-2", "sk-good"][..], 200, 3),
        (&["sk-1", "sk-2"], 404, 2),
        (&["sk-1"], 404, 1),
    ] {
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, keys, |up| up.retry_count = 0);
        rule(&mut setup, &unwanted, |rule| rule.actions = vec![Action::RetryNext]);
        quotas(&mut setup, Quota::requests_a_day(100));
        let hall = setup.start().await;
        let before = vendor.seen().len();
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, status, "{keys:?}: {}", reply.text());
        assert_eq!(vendor.seen().len() - before, calls, "{keys:?}");
        let entry = hall.entry().await;
        let last = entry.attempts.last().unwrap();
        assert_eq!((entry.status, entry.provider_key), (status, last.provider_key), "{keys:?}");
        if status == 404 {
            assert!(reply.text().contains("no such thing"), "{}", reply.text());
            assert_eq!((last.result.as_str(), last.status), ("rule", Some(404)));
        }
    }
}

#[tokio::test]
async fn rules_know_the_faults_of_clients() {
    let bad = r#"{"error":{"message":"no","type":"invalid_request_error","code":"bad_thing"}}"#;
    let vendor = Vendor::answering(move |_| json(400, bad)).await;
    let mut setup = Setup::with(vendor.addr);
    let class = value!({"type": "error_class", "operator": "equals", "value": "client_fault"});
    let text = value!({"type": "body_text", "operator": "contains", "value": "bad_thing"});
    let both = value!({"all": [class, text]});
    rule(&mut setup, &class, |rule| rule.actions = vec![Action::Tag]);
    rule(&mut setup, &both, |rule| rule.actions = vec![Action::Tag]);
    let hall = setup.start().await;
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    for call in [
        hall.post("/v1/chat/completions", &chat("m")),
        // Said again in another dialect.
        hall.post("/v1/messages", messages),
    ] {
        assert_eq!(hall.ask(call).await.status, 400);
        let entry = hall.entry().await;
        assert_eq!(entry.attempts[0].class, Some(domain::ErrorClass::ClientFault));
        assert_eq!(entry.tags, ["rule 1", "rule 2"]);
        assert_eq!(hall.standing(101), None);
    }
}
