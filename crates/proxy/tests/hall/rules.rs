//! Rules about streams: each observes an attempt once, however many events meet its conditions.

use std::time::Duration;

use domain::{
    Event,
    rule::{Action, Per, Threshold},
};
use serde_json::{Value, json as value};

use crate::{
    harness::{Hall, PATIENCE, Setup, chat, chat_stream, rule},
    vendor::{STREAM, Vendor, chunk, delta, said, stream_of},
};

fn often(count: u32, last: Option<u32>, seconds: Option<u64>) -> Option<Threshold> {
    Some(Threshold { count, last, window: seconds.map(Duration::from_secs), per: Per::Key })
}

fn sorry() -> Value {
    value!({"type": "stream_event", "operator": "contains", "value": "sorry"})
}

/// A stream in which so many of five events say sorry.
fn stream(sorry: usize) -> Vec<u8> {
    let event = |n| delta(if n < sorry { "sorry" } else { "fine" });
    let mut events: Vec<String> = (0..5).map(event).collect();
    events.push("data: [DONE]\n\n".to_owned());
    stream_of(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

/// How often each rule fired in each call, in order: `(call, rule)`.
async fn fired(hall: &Hall, calls: usize) -> Vec<(usize, i64)> {
    let mut events = hall.gateway.events().unwrap();
    let mut fired = Vec::new();
    for call in 0..calls {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        hall.entries().await;
        while let Ok(event) = events.try_recv() {
            if let Event::Trigger(trigger) = event {
                fired.push((call, trigger.rule.0));
            }
        }
    }
    fired
}

#[tokio::test]
async fn a_rule_about_events_counts_attempts_and_not_events() {
    for (in_each, threshold, expected) in [
        // Without a threshold once for each attempt, not for each event.
        (2, None, vec![0, 1, 2, 3]),
        // Two events of one attempt are one observation.
        (2, often(2, Some(20), None), vec![1, 3]),
        (2, often(2, None, Some(60)), vec![1, 3]),
        // The other events of an attempt are no misses.
        (1, often(2, Some(3), None), vec![1, 3]),
        (5, often(4, Some(4), None), vec![3]),
        // An attempt without such an event is one miss.
        (0, often(1, Some(1), None), vec![]),
    ] {
        let vendor = Vendor::saying(stream(in_each)).await;
        let mut setup = Setup::with(vendor.addr);
        rule(&mut setup, &sorry(), |rule| rule.threshold = threshold);
        let hall = setup.start().await;
        let calls: Vec<usize> = fired(&hall, 4).await.into_iter().map(|(call, _)| call).collect();
        assert_eq!(calls, expected, "{in_each} events in each, {threshold:?}");
    }
}

#[tokio::test]
async fn streams_that_are_converted_are_observed_once_as_well() {
    let vendor = Vendor::saying(stream(3)).await;
    let mut setup = Setup::with(vendor.addr);
    rule(&mut setup, &sorry(), |rule| rule.threshold = often(2, Some(3), None));
    let hall = setup.start().await;
    let mut events = hall.gateway.events().unwrap();
    let messages =
        r#"{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    for expected in [0, 1, 0, 1] {
        assert_eq!(hall.ask(hall.post("/v1/messages", messages)).await.status, 200);
        hall.entries().await;
        let mut triggers = 0;
        while let Ok(event) = events.try_recv() {
            triggers += usize::from(matches!(event, Event::Trigger(_)));
        }
        assert_eq!(triggers, expected);
    }
}

#[tokio::test]
async fn attempts_without_a_stream_and_those_cut_short_are_misses() {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let vendor = Vendor::answering(move |_| {
        match calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 3 {
            0 | 2 => stream(1),
            _ => said("whole"),
        }
    })
    .await;
    let mut setup = Setup::with(vendor.addr);
    rule(&mut setup, &sorry(), |rule| rule.threshold = often(2, Some(2), None));
    let hall = setup.start().await;
    let mut events = hall.gateway.events().unwrap();
    let mut triggers = Vec::new();
    for call in 0..4 {
        let body = if call % 3 == 1 { chat("m") } else { chat_stream("m") };
        assert_eq!(hall.ask(hall.post("/v1/chat/completions", &body)).await.status, 200);
        hall.entries().await;
        while let Ok(event) = events.try_recv() {
            triggers.extend(matches!(event, Event::Trigger(_)).then_some(call));
        }
    }
    // Met, missed, met, met: the last two follow each other.
    assert_eq!(triggers, [3]);
}

#[tokio::test]
async fn what_comes_after_the_client_left_is_observed_where_it_is_read_on() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let vendor = Vendor::talking(move |mut talk| {
        let mut wait = wait.clone();
        async move {
            talk.request().await;
            talk.send(STREAM).await;
            talk.send(chunk(delta("fine"))).await;
            let _ = wait.wait_for(|go| *go).await;
            talk.send(chunk(delta("sorry"))).await;
            talk.send(chunk("data: [DONE]\n\n")).await;
            talk.send("0\r\n\r\n").await;
            talk.until_gone().await;
        }
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.policy.drain = PATIENCE);
    rule(&mut setup, &sorry(), |rule| rule.actions = vec![Action::Tag]);
    let hall = setup.start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
    while !String::from_utf8_lossy(&peer.buf).contains("fine") {
        assert!(peer.fill().await);
    }
    drop(peer);
    go.send(true).unwrap();
    assert_eq!(hall.entry().await.tags, ["rule 1"]);
}

#[tokio::test]
async fn a_rule_may_look_at_the_events_and_the_body_of_one_stream() {
    let vendor = Vendor::saying(stream(1)).await;
    let mut setup = Setup::with(vendor.addr);
    let fine = value!({"type": "body_text", "operator": "contains", "value": "fine"});
    let missing = value!({"type": "body_text", "operator": "contains", "value": "nothing of that"});
    rule(&mut setup, &value!({"all": [sorry(), fine]}), |_| {});
    rule(&mut setup, &value!({"all": [sorry(), missing]}), |_| {});
    let hall = setup.start().await;
    assert_eq!(fired(&hall, 2).await, [(0, 1), (1, 1)]);
}

#[tokio::test]
async fn a_rule_that_stops_the_others_stops_those_about_events_too() {
    let vendor = Vendor::saying(stream(2)).await;
    for (first, second, expected) in [
        // By the head of the answer, before any event.
        (
            value!({"type": "status_code", "operator": "equals", "value": 200}),
            sorry(),
            vec![(0, 1)],
        ),
        (sorry(), sorry(), vec![(0, 1)]),
    ] {
        let mut setup = Setup::with(vendor.addr);
        rule(&mut setup, &first, |rule| rule.stops = true);
        rule(&mut setup, &second, |_| {});
        let hall = setup.start().await;
        assert_eq!(fired(&hall, 1).await, expected, "{first}");
    }
}
