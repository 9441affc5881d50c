//! The Responses API over a WebSocket: each `response.create` is a call like any other, to every
//! upstream, whatever that one can do with sockets.

use std::sync::Arc;

use domain::{
    Dialect, Provider, Scope, Unit,
    log::{LogEntry, Outcome, UsageSource},
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::Semaphore};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::CloseFrame},
};

use crate::{
    budgets::{an_hour, limit},
    conversion::{claude_said, of},
    harness::{Hall, Setup, soon, until},
    vendor::{STREAM, Vendor, answer, chunk, json as says, said},
    websocket::HANDSHAKE,
};

/// A client of the socket.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn open(hall: &Hall) -> Socket {
        Socket::open_with(hall, &[]).await
    }

    async fn open_with(hall: &Hall, fields: &[(&'static str, &str)]) -> Socket {
        let stream = TcpStream::connect(hall.addr).await.unwrap();
        let mut request = format!("ws://{}/v1/responses", hall.addr).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("authorization", format!("Bearer {}", hall.key).parse().unwrap());
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        let (socket, _) = soon("the handshake", client_async(request, stream)).await.unwrap();
        Socket(socket)
    }

    async fn send(&mut self, event: Value) {
        self.0.send(Message::text(event.to_string())).await.unwrap();
    }

    /// The next event; what else comes is passed over.
    async fn event(&mut self) -> Value {
        loop {
            match soon("an event", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no event: {other:?}"),
            }
        }
    }

    /// The events of one response, to its last one.
    async fn response(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let kind = event["type"].as_str().unwrap().to_owned();
            events.push(event);
            if LAST.contains(&kind.as_str()) {
                return events;
            }
        }
    }

    /// Asks, and gives the last event.
    async fn ask(&mut self, event: Value) -> Value {
        self.send(event).await;
        self.response().await.pop().unwrap()
    }

    /// The close frame with which the socket ends.
    async fn closed(&mut self) -> CloseFrame {
        loop {
            match soon("the end", self.0.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame,
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            }
        }
    }
}

const LAST: [&str; 4] = ["response.completed", "response.incomplete", "response.failed", "error"];

fn create(fields: Value) -> Value {
    let mut event = json!({ "type": "response.create", "model": "m", "input": "hi" });
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event
}

/// A stream of Responses with this id, which says `text`.
fn streamed(id: &str, text: &str) -> Vec<u8> {
    let item = json!({ "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": text, "annotations": [] }] });
    let usage = json!({ "input_tokens": 7, "output_tokens": 3, "total_tokens": 10 });
    let events = [
        json!({ "type": "response.created", "response": { "id": id, "status": "in_progress", "output": [] } }),
        json!({ "type": "response.output_text.delta", "item_id": "msg_1", "delta": text }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": { "id": id, "status": "completed", "output": [item], "usage": usage } }),
    ];
    let mut out = STREAM.as_bytes().to_vec();
    for event in events {
        let kind = event["type"].as_str().unwrap();
        out.extend(chunk(format!("event: {kind}\ndata: {event}\n\n")));
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// A provider of Responses that answers each call with the next id.
async fn numbered() -> Vendor {
    let count = std::sync::atomic::AtomicUsize::new(1);
    Vendor::answering(move |_| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        streamed(&format!("resp_{n}"), &format!("answer {n}"))
    })
    .await
}

fn body(seen: &crate::vendor::Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

#[tokio::test]
async fn each_request_is_a_call_with_an_entry_of_its_own() {
    let vendor = numbered().await;
    let hall = Setup::with(vendor.addr).start().await;
    let beta = [("openai-beta", "responses_websockets=2026-02-06, other=1")];
    let mut socket = Socket::open_with(&hall, &beta).await;
    for n in 1..=2 {
        socket.send(create(json!({ "temperature": 0.5, "background": false }))).await;
        let events = socket.response().await;
        let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        let wanted = [
            "response.created",
            "response.output_text.delta",
            "response.output_item.done",
            "response.completed",
        ];
        assert_eq!(kinds, wanted);
        assert_eq!(events[1]["delta"], format!("answer {n}"));
    }
    let seen = vendor.seen();
    assert_eq!(seen.len(), 2, "and no handshake is tried");
    for seen in &seen {
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/responses"));
        assert_eq!((seen.key(), seen.header("upgrade")), ("sk-provider-one", None));
        assert_eq!(seen.header("openai-beta"), Some("other=1"));
        let input = json!([{ "type": "message", "role": "user", "content": "hi" }]);
        let wanted = json!({ "stream": true, "model": "m", "temperature": 0.5, "input": input });
        assert_eq!(body(seen), wanted);
    }
    let entries: Vec<LogEntry> = hall.entries().await;
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!((entry.outcome, entry.status), (Outcome::Completed, 200));
        assert_eq!((entry.usage.input, entry.usage.output), (7, 3));
        assert_eq!(entry.usage_source, UsageSource::Reported);
        assert_eq!((entry.method.as_str(), entry.path.as_str()), ("POST", "/v1/responses"));
    }
}

#[tokio::test]
async fn upstreams_of_other_dialects_are_asked_in_theirs() {
    for (provider, reply) in
        [(Provider::Anthropic, claude_said("from Claude")), (Provider::Custom, said("from a chat"))]
    {
        let vendor = Vendor::saying(reply).await;
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1"], |up| {
            of(provider)(up);
            up.dialects.truncate(1);
        });
        let hall = setup.start().await;
        let mut socket = Socket::open(&hall).await;
        let last = socket.ask(create(json!({ "max_output_tokens": 9 }))).await;
        assert_eq!(last["type"], "response.completed", "{last}");
        let text = &last["response"]["output"][0]["content"][0]["text"];
        assert!(text.as_str().unwrap().starts_with("from "), "{last}");
        assert_eq!(hall.entry().await.outcome, Outcome::Completed);
    }
}

#[tokio::test]
async fn a_request_goes_on_from_a_response_of_this_socket_that_nobody_stores() {
    let vendor = Vendor::saying(said("four")).await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.dialects = vec![Dialect::OpenaiChat]);
    let hall = setup.start().await;
    let mut socket = Socket::open(&hall).await;
    let first = socket.ask(create(json!({ "input": "two and two?" }))).await;
    let id = first["response"]["id"].clone();
    let more =
        json!({ "previous_response_id": id, "input": [{ "role": "user", "content": "more?" }] });
    let second = socket.ask(create(more)).await;
    assert_eq!(second["type"], "response.completed", "{second}");
    let id = second["response"]["id"].clone();
    socket.ask(create(json!({ "previous_response_id": id, "input": "and now?" }))).await;
    let seen = vendor.seen();
    let said = |n: usize| -> Vec<(String, String)> {
        let messages = body(&seen[n])["messages"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        messages.iter().map(|m| (text(&m["role"]), text(&m["content"]))).collect()
    };
    let told = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(role, text)| ((*role).to_owned(), (*text).to_owned())).collect()
    };
    let all = [
        ("user", "two and two?"),
        ("assistant", "four"),
        ("user", "more?"),
        ("assistant", "four"),
        ("user", "and now?"),
    ];
    assert_eq!(said(0), told(&all[..1]));
    assert_eq!(said(1), told(&all[..3]));
    assert_eq!(said(2), told(&all));
}

#[tokio::test]
async fn a_response_that_its_provider_stores_is_named_and_any_other_is_sent_along() {
    for (store, named) in [(json!({}), true), (json!({ "store": false }), false)] {
        let vendor = numbered().await;
        let hall = Setup::with(vendor.addr).start().await;
        let mut socket = Socket::open(&hall).await;
        socket.ask(create(store.clone())).await;
        let mut next = json!({ "previous_response_id": "resp_1", "input": "more" });
        next.as_object_mut().unwrap().extend(store.as_object().unwrap().clone());
        socket.ask(create(next)).await;
        let sent = body(&vendor.seen()[1]);
        let items = sent["input"].as_array().unwrap().len();
        match named {
            true => assert_eq!((&sent["previous_response_id"], items), (&json!("resp_1"), 1)),
            false => assert_eq!((&sent["previous_response_id"], items), (&Value::Null, 3)),
        }
    }
}

#[tokio::test]
async fn a_warm_up_asks_nobody_and_can_be_gone_on_from() {
    let vendor = numbered().await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut socket = Socket::open(&hall).await;
    let warm = socket.ask(create(json!({ "generate": false, "input": "first" }))).await;
    assert_eq!(warm["type"], "response.completed");
    assert!(vendor.seen().is_empty());
    let id = warm["response"]["id"].clone();
    socket.ask(create(json!({ "previous_response_id": id, "input": "second" }))).await;
    let sent = body(&vendor.only());
    assert_eq!(sent["previous_response_id"], Value::Null);
    assert_eq!(sent["input"][0]["content"], "first");
    assert_eq!(sent["input"][1]["content"], "second");
    assert_eq!(sent["generate"], Value::Null);
}

#[tokio::test]
async fn lanes_run_side_by_side_and_their_events_say_which_is_which() {
    let more = Arc::new(Semaphore::new(0));
    let wait = more.clone();
    let vendor = Vendor::talking(move |mut talk| {
        let wait = wait.clone();
        async move {
            while let Some(seen) = talk.request().await {
                let input = body(&seen)["input"][0]["content"].as_str().unwrap().to_owned();
                if input == "slow" {
                    wait.acquire().await.unwrap().forget();
                }
                talk.send(streamed(&format!("resp_{input}"), &input)).await;
            }
        }
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut socket = Socket::open(&hall).await;
    socket.send(create(json!({ "stream_id": "a", "input": "slow" }))).await;
    socket.send(create(json!({ "stream_id": "a", "input": "after" }))).await;
    socket.send(create(json!({ "stream_id": "b", "input": "quick" }))).await;
    for (lane, text, go_on) in [("b", "quick", true), ("a", "slow", false), ("a", "after", false)] {
        let events = socket.response().await;
        assert!(events.iter().all(|event| event["stream_id"] == lane), "{events:?}");
        assert_eq!(events[1]["delta"], text);
        if go_on {
            more.add_permits(1);
        }
    }
}

#[tokio::test]
async fn what_is_refused_is_told_and_the_socket_goes_on() {
    let vendor = Vendor::answering(|seen| match body(seen)["model"].as_str() {
        Some("limited") => answer(
            429,
            &["content-type: application/json", "retry-after: 7"],
            r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#,
        ),
        Some("bad") => {
            says(400, r#"{"error":{"message":"no","type":"invalid_request_error","code":null}}"#)
        }
        _ => streamed("resp_1", "good"),
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| {
        up.retry_count = 0;
        up.models = vec!["limited".into(), "bad".into(), "m".into()];
    });
    let hall = setup.start().await;
    let mut socket = Socket::open(&hall).await;
    let told = socket.ask(create(json!({ "model": "nobody/has-it" }))).await;
    assert_eq!((&told["type"], &told["status"]), (&json!("error"), &json!(404)), "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("nobody/has-it"));
    let told = socket.ask(create(json!({ "model": "bad" }))).await;
    assert_eq!((&told["status"], &told["error"]["message"]), (&json!(400), &json!("no")));
    let told = socket.ask(create(json!({ "model": "m" }))).await;
    assert_eq!(told["type"], "response.completed");
    let told = socket.ask(create(json!({ "model": "limited" }))).await;
    assert_eq!(
        (&told["status"], &told["error"]["code"]),
        (&json!(429), &json!("rate_limit_exceeded"))
    );
    assert_eq!(told["headers"]["retry-after"], "7", "{told}");
    assert!(told["headers"]["x-request-id"].is_string());
    for (event, code) in [
        (json!({ "type": "session.update" }), "invalid_event"),
        (json!([]), "invalid_event"),
        (create(json!({ "input": 7 })), "invalid_event"),
    ] {
        let told = socket.ask(event).await;
        assert_eq!((&told["status"], &told["error"]["code"]), (&json!(400), &json!(code)));
    }
    socket.send(json!({ "type": "response.processed", "response_id": "resp_1" })).await;
    socket
        .send(json!({ "type": "response.steer", "previous_response_id": "resp_1", "input": "x" }))
        .await;
    let told = socket.event().await;
    assert_eq!(told["type"], "response.steer.failed", "what needs no answer gets none");
    assert_eq!(told["error"]["code"], "steering_not_supported");
    assert_eq!(told["steer"]["input"], "x");
}

#[tokio::test]
async fn another_target_answers_where_one_fails() {
    let broken = Vendor::saying(says(500, "{}")).await;
    let good = numbered().await;
    let mut setup = Setup::new();
    let one = setup.upstream("one", broken.addr, &["sk-1"], |up| up.retry_count = 0);
    let two = setup.upstream("two", good.addr, &["sk-2"], |_| {});
    setup.route("m", &[(one, None), (two, None)]);
    let hall = setup.start().await;
    let mut socket = Socket::open(&hall).await;
    assert_eq!(socket.ask(create(json!({}))).await["type"], "response.completed");
    assert_eq!(hall.entry().await.attempts.len(), 2);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_and_the_socket_goes_on() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        let whole = streamed("resp_1", "half");
        let end = whole.windows(5).rposition(|w| w == b"event").unwrap();
        talk.send(&whole[..end]).await;
        talk.reset();
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut socket = Socket::open(&hall).await;
    for _ in 0..2 {
        let told = socket.ask(create(json!({}))).await;
        assert_eq!((&told["type"], &told["status"]), (&json!("error"), &json!(502)), "{told}");
        assert_eq!(told["error"]["code"], "upstream_broke_off");
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_call_with_it() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(STREAM).await;
        talk.send(chunk("event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\n")).await;
        talk.send(chunk("event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n")).await;
        talk.until_gone().await;
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut socket = Socket::open(&hall).await;
    socket.send(create(json!({}))).await;
    while socket.event().await["delta"] != "x" {}
    // A ping is answered although a response runs.
    socket.0.send(Message::Ping("there?".into())).await.unwrap();
    let pong = soon("a pong", socket.0.next()).await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong("there?".into()));
    drop(socket);
    until("the provider is left", || vendor.gone() == 1).await;
    assert_eq!(hall.entry().await.outcome, Outcome::ClientGone);
}

#[tokio::test]
async fn a_socket_whose_key_is_withdrawn_says_so_and_closes() {
    let vendor = numbered().await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut socket = Socket::open(&hall).await;
    socket.ask(create(json!({}))).await;
    hall.install(|catalog| catalog.service_keys.clear());
    let told = socket.event().await;
    assert_eq!((&told["status"], &told["error"]["code"]), (&json!(401), &json!("access_revoked")));
    let frame = socket.closed().await;
    assert_eq!((u16::from(frame.code), frame.reason.contains("deleted")), (1008, true));
}

#[tokio::test]
async fn a_limit_holds_for_each_request_of_a_socket() {
    let vendor = numbered().await;
    let mut setup = Setup::with(vendor.addr);
    limit(&mut setup, Scope::Global, Unit::Requests, an_hour(), 1);
    let hall = setup.start().await;
    let mut socket = Socket::open(&hall).await;
    assert_eq!(socket.ask(create(json!({}))).await["type"], "response.completed");
    let told = socket.ask(create(json!({}))).await;
    assert_eq!((&told["type"], &told["status"]), (&json!("error"), &json!(429)), "{told}");
    assert_eq!(vendor.seen().len(), 1);
}

#[tokio::test]
async fn what_breaks_the_protocol_closes_the_socket_in_words() {
    let vendor = numbered().await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.limits.body = 64 << 10;
    let hall = setup.start().await;
    let large = Message::text("x".repeat(128 << 10));
    for (message, code) in [(Message::binary(vec![1, 2]), 1003), (large, 1009)] {
        let mut socket = Socket::open(&hall).await;
        socket.0.send(message).await.unwrap();
        assert_eq!(u16::from(socket.closed().await.code), code);
    }
    let bare: Vec<&str> =
        HANDSHAKE.into_iter().filter(|line| !line.starts_with("sec-websocket-key")).collect();
    let reply = hall.ask(hall.request("GET", "/v1/responses", &bare, "")).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "bad_websocket_handshake"));
    // A closing handshake is answered.
    let mut socket = Socket::open(&hall).await;
    socket.0.close(None).await.unwrap();
    until("the socket is gone", || domain::live::Live::calls_in_flight(&*hall.gateway) == 0).await;
    assert!(matches!(soon("the end", socket.0.next()).await, Some(Ok(Message::Close(_))) | None));
    assert!(vendor.seen().is_empty());
}

#[tokio::test]
async fn a_gateway_that_leaves_lets_a_response_finish_and_closes_the_socket() {
    let more = Arc::new(Semaphore::new(0));
    let wait = more.clone();
    let vendor = Vendor::talking(move |mut talk| {
        let wait = wait.clone();
        async move {
            while talk.request().await.is_some() {
                wait.acquire().await.unwrap().forget();
                talk.send(streamed("resp_1", "the last")).await;
            }
        }
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let (mut busy, mut idle) = (Socket::open(&hall).await, Socket::open(&hall).await);
    busy.send(create(json!({}))).await;
    until("a response runs", || vendor.seen().len() == 1).await;
    hall.gateway.drain();
    assert_eq!(u16::from(idle.closed().await.code), 1012);
    more.add_permits(1);
    assert_eq!(busy.response().await.pop().unwrap()["type"], "response.completed");
    assert_eq!(u16::from(busy.closed().await.code), 1012);
}
