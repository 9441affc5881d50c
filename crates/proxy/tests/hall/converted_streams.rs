//! Streams between two dialects: each step as it comes, the first one as proof that there is an
//! answer, and an end that tells how it ended.

use std::{sync::Arc, time::Duration};

use domain::{
    Provider,
    log::{Outcome, UsageSource},
};
use tokio::sync::{Notify, Semaphore};

use crate::{
    conversion::{claude_said, of},
    harness::{Hall, Peer, Setup, chat_stream, soon, until},
    vendor::{STREAM, Vendor, chunk, delta, json, said, stream_of},
};

const FINISH: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A stream that an Anthropic client asks for.
fn ask() -> String {
    r#"{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#
        .to_owned()
}

/// One upstream of Chat Completions, and clients that speak Anthropic's dialect.
async fn hall(vendor: &Vendor) -> Hall {
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], of(Provider::Custom));
    setup.start().await
}

/// Reads until `mark` has come.
async fn read_to(peer: &mut Peer, got: &mut String, mark: &str) {
    soon(mark, async {
        while !got.contains(mark) {
            got.push_str(std::str::from_utf8(&peer.chunk().await.unwrap()).unwrap());
        }
    })
    .await;
}

#[tokio::test]
async fn every_step_goes_out_before_the_next_one_comes() {
    let (next, over) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (wait, end) = (next.clone(), over.clone());
    let vendor = Vendor::talking(move |mut talk| {
        let (wait, end) = (wait.clone(), end.clone());
        async move {
            while talk.request().await.is_some() {
                talk.send(STREAM).await;
                for event in [&delta("one"), &delta("two"), FINISH, USAGE, DONE] {
                    wait.acquire().await.unwrap().forget();
                    talk.send(chunk(event)).await;
                }
                // The end of the body comes after the client has its own.
                end.acquire().await.unwrap().forget();
                talk.send("0\r\n\r\n").await;
            }
        }
    })
    .await;
    let hall = hall(&vendor).await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/messages", &ask())).await;
    next.add_permits(1);
    let head = peer.head().await.unwrap().to_ascii_lowercase();
    for line in [
        "content-type: text/event-stream",
        "cache-control: no-cache",
        "x-accel-buffering: no",
        "x-request-id: ",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let mut got = String::new();
    read_to(&mut peer, &mut got, "one").await;
    assert!(got.starts_with("event: message_start\n"), "{got}");
    next.add_permits(1);
    read_to(&mut peer, &mut got, "two").await;
    next.add_permits(3);
    read_to(&mut peer, &mut got, "event: message_stop\n").await;
    assert!(peer.chunk().await.unwrap().is_empty(), "and the body ends");
    assert!(got.contains("\"output_tokens\":3"), "{got}");
    let entry = hall.entry().await;
    assert_eq!((entry.outcome, entry.streamed), (Outcome::Completed, true));
    assert_eq!((entry.usage.input, entry.usage.output), (7, 3));
    assert_eq!(entry.usage_source, UsageSource::Reported);
    assert_eq!(entry.bytes_out, got.len() as u64);
    over.add_permits(1);
}

#[tokio::test]
async fn a_connection_carries_the_next_stream_too() {
    let events = stream_of(&[&delta("x"), FINISH, USAGE, DONE, ": something behind the end\n\n"]);
    let vendor = Vendor::saying(events).await;
    let hall = hall(&vendor).await;
    for _ in 0..3 {
        let reply = hall.ask(hall.post("/v1/messages", &ask())).await;
        assert!(reply.text().contains("event: message_stop\n"));
    }
    assert_eq!(vendor.connections(), 1);
}

#[tokio::test]
async fn a_stream_that_begins_with_an_error_is_no_answer() {
    let start = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n";
    for (what, bad) in [
        ("an error", stream_of(&[error])),
        ("a start and an error", stream_of(&[": ping\n\n", start, error])),
        ("nothing", stream_of(&[])),
        ("only the end", stream_of(&[DONE])),
        ("only a start", stream_of(&[start])),
        ("an error as JSON", json(200, r#"{"error":{"message":"oh","code":500}}"#)),
        ("an error by its status", json(500, r#"{"error":{"message":"oh"}}"#)),
    ] {
        let (bad, good) = (Vendor::saying(bad).await, Vendor::saying(claude_said("good")).await);
        let mut setup = Setup::new();
        let first = setup.upstream("bad", bad.addr, &["sk-1"], of(Provider::Custom));
        let second = setup.upstream("good", good.addr, &["sk-2"], of(Provider::Anthropic));
        setup.route("m", &[(first, None), (second, None)]);
        let hall = setup.start().await;
        let reply = hall.ask(hall.post("/v1/messages", &ask())).await;
        assert_eq!(reply.status, 200, "{what}");
        assert!(reply.text().contains("good"), "{what}: {}", reply.text());
        let entry = hall.entry().await;
        assert_eq!(entry.attempts.len(), 2, "{what}");
        assert_ne!(entry.attempts[0].result, "answered", "{what}");
    }
    let vendor = Vendor::saying(stream_of(&[error])).await;
    let hall = hall(&vendor).await;
    let reply = hall.ask(hall.post("/v1/messages", &ask())).await;
    assert_eq!((reply.status, &reply.json()["error"]["message"]), (529, &"overloaded".into()));
    assert_eq!(hall.entry().await.outcome, Outcome::Failed);
}

#[tokio::test]
async fn what_breaks_later_is_told_in_the_stream() {
    for (what, last, outcome) in [
        ("cut off", "", Outcome::UpstreamBroke),
        ("an error", "data: {\"error\":{\"message\":\"it broke\"}}\n\n", Outcome::UpstreamBroke),
        ("finished without its mark", FINISH, Outcome::Completed),
    ] {
        let vendor = Vendor::saying(stream_of(&[&delta("half"), last])).await;
        let hall = hall(&vendor).await;
        let reply = hall.ask(hall.post("/v1/messages", &ask())).await;
        assert!(reply.whole && reply.text().contains("half"), "{what}");
        let failed = reply.text().contains("event: error\n");
        assert_eq!(failed, outcome != Outcome::Completed, "{what}: {}", reply.text());
        assert_eq!(reply.text().contains("event: message_stop\n"), !failed, "{what}");
        let entry = hall.entry().await;
        assert_eq!((entry.outcome, entry.status, entry.attempts.len()), (outcome, 200, 1));
        assert_eq!(entry.usage_source, UsageSource::Counted, "{what}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_too() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(STREAM).await;
        talk.send(chunk(delta("half"))).await;
        talk.reset();
    })
    .await;
    let hall = hall(&vendor).await;
    let reply = hall.ask(hall.post("/v1/messages", &ask())).await;
    assert!(reply.whole && reply.text().contains("half"), "{}", reply.text());
    assert!(reply.text().contains("event: error\n"), "{}", reply.text());
    assert_eq!(hall.entry().await.outcome, Outcome::UpstreamBroke);
}

#[tokio::test]
async fn when_the_client_leaves_the_provider_is_left_at_once() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(STREAM).await;
        talk.send(chunk(delta("half of it"))).await;
        talk.until_gone().await;
    })
    .await;
    let hall = hall(&vendor).await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/messages", &ask())).await;
    peer.head().await;
    let mut got = String::new();
    read_to(&mut peer, &mut got, "half").await;
    drop(peer);
    until("the provider is left", || vendor.gone() >= 1).await;
    let entry = hall.entry().await;
    assert_eq!((entry.outcome, entry.usage_source), (Outcome::ClientGone, UsageSource::Counted));
    assert!(entry.usage.output > 0);

    // Also while nothing has been said yet.
    let silent = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(STREAM).await;
        talk.until_gone().await;
    })
    .await;
    let hall = self::hall(&silent).await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/messages", &ask())).await;
    until("it is asked", || !silent.seen().is_empty()).await;
    drop(peer);
    until("the provider is left", || silent.gone() >= 1).await;
    assert_eq!(hall.entry().await.outcome, Outcome::ClientGone);
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_as_the_dialect_has_it() {
    for (path, body, sign) in [
        ("/v1/messages", ask(), "event: ping\n"),
        ("/v1/chat/completions", chat_stream("m"), "\n:"),
        (
            "/v1/responses",
            r#"{"model":"m","stream":true,"input":"x"}"#.to_owned(),
            "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":",
        ),
    ] {
        let goes_on = Arc::new(Notify::new());
        let wait = goes_on.clone();
        let chat = path != "/v1/chat/completions";
        let vendor = Vendor::talking(move |mut talk| {
            let wait = wait.clone();
            async move {
                talk.request().await;
                talk.send(STREAM).await;
                let events = if chat { vec![delta("one")] } else { claude_begins() };
                for event in events {
                    talk.send(chunk(event)).await;
                }
                wait.notified().await;
                talk.send("0\r\n\r\n").await;
            }
        })
        .await;
        let mut setup = Setup::new();
        setup.settings.stream_keep_alive = Duration::from_millis(20);
        let provider = if chat { Provider::Custom } else { Provider::Anthropic };
        setup.upstream("up", vendor.addr, &["sk-1"], |up| {
            of(provider)(up);
            up.dialects.truncate(1);
        });
        let hall = setup.start().await;
        let mut peer = hall.connect().await;
        peer.send(hall.post(path, &body)).await;
        peer.head().await;
        let mut got = String::new();
        read_to(&mut peer, &mut got, "one").await;
        let before = got.len();
        read_to(&mut peer, &mut got, sign).await;
        assert!(got[before - 2..].contains(sign), "{got}");
        goes_on.notify_one();
    }
}

/// The beginning of a stream of Anthropic's that says `one`.
fn claude_begins() -> Vec<String> {
    [
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"c","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"one"}}"#,
    ]
    .iter()
    .map(|data| {
        let kind = data.split('"').nth(3).unwrap();
        format!("event: {kind}\ndata: {data}\n\n")
    })
    .collect()
}

#[tokio::test]
async fn what_was_left_out_is_told_with_a_stream_too() {
    let vendor = Vendor::saying(stream_of(&[&delta("x"), FINISH, USAGE, DONE])).await;
    let hall = hall(&vendor).await;
    let reply =
        hall.ask(hall.post("/v1/messages", &ask().replace("\"max", "\"top_k\":5,\"max"))).await;
    assert_eq!(reply.header("x-tollgate-dropped"), Some("top_k"));
    assert!(reply.text().contains("event: message_stop\n"));
}

#[tokio::test]
async fn a_whole_answer_in_place_of_a_stream_is_streamed() {
    let vendor = Vendor::saying(said("all at once")).await;
    let hall = hall(&vendor).await;
    let reply = hall.ask(hall.post("/v1/messages", &ask())).await;
    assert!(reply.text().contains("all at once"), "{}", reply.text());
    assert!(reply.text().contains("event: message_stop\n"));
    assert_eq!(hall.entry().await.usage.output, 3);
}

#[tokio::test]
async fn usage_is_asked_for_where_the_upstream_allows_it() {
    for ask_usage in [true, false] {
        let vendor = Vendor::saying(stream_of(&[&delta("x"), FINISH, USAGE, DONE])).await;
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1"], |up| up.ask_usage = ask_usage);
        let hall = setup.start().await;
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
        assert_eq!(vendor.only().text().contains("include_usage"), ask_usage);
        assert_eq!(reply.text().contains("prompt_tokens"), !ask_usage);
        assert_eq!(hall.entry().await.usage.input, 7);
    }
}
