//! The client leaves, at any moment: the provider is left too, at once, and the entry says so.

use std::time::{Duration, Instant};

use domain::log::{LogEntry, Outcome, UsageSource};

use crate::{
    harness::{Hall, Peer, Setup, chat, chat_stream, until},
    vendor::{STREAM, Vendor, chunk, delta, json},
};

/// How soon the provider's connection must be gone.
const PROMPT: Duration = Duration::from_secs(1);

/// Leaves politely or not, and checks what becomes of it.
async fn leave(hall: &Hall, vendor: &Vendor, peer: Peer, politely: bool) -> LogEntry {
    let began = Instant::now();
    if politely {
        drop(peer)
    } else {
        peer.reset()
    }
    until("the provider is left", || vendor.gone() >= 1).await;
    // The machine may be busy: what is told apart here is "at once" and "after a time-out".
    assert!(began.elapsed() < PROMPT * 10, "after {:?}", began.elapsed());
    let entry = hall.entry().await;
    assert_eq!(entry.outcome, Outcome::ClientGone);
    assert_eq!(entry.attempts.len(), 1);
    entry
}

#[tokio::test]
async fn while_the_provider_thinks() {
    for politely in [true, false] {
        let vendor = Vendor::talking(|mut talk| async move {
            talk.request().await;
            talk.until_gone().await;
        })
        .await;
        let hall = Setup::with(vendor.addr).start().await;
        let mut peer = hall.connect().await;
        peer.send(hall.post("/v1/chat/completions", &chat("m"))).await;
        until("the provider is asked", || vendor.seen().len() == 1).await;
        let entry = leave(&hall, &vendor, peer, politely).await;
        // The provider had the question, and may answer it for nobody.
        assert_eq!(entry.usage_source, UsageSource::Estimated);
        assert!(entry.usage.input > 0);
    }
}

#[tokio::test]
async fn before_the_first_event() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(STREAM).await;
        talk.send(chunk(": ping\n\n")).await;
        talk.until_gone().await;
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
    until("the provider is asked", || vendor.seen().len() == 1).await;
    leave(&hall, &vendor, peer, true).await;
}

#[tokio::test]
async fn in_the_middle_of_a_stream_and_what_had_passed_is_counted() {
    for politely in [true, false] {
        let vendor = Vendor::talking(|mut talk| async move {
            talk.request().await;
            talk.send(STREAM).await;
            for n in 0..10 {
                talk.send(chunk(delta(&n.to_string()))).await;
            }
            talk.until_gone().await;
        })
        .await;
        let hall = Setup::with(vendor.addr).start().await;
        let mut peer = hall.connect().await;
        peer.send(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
        peer.head().await;
        let mut got = Vec::new();
        while !got.ends_with(delta("9").as_bytes()) {
            got.extend(peer.chunk().await.unwrap());
        }
        let began = Instant::now();
        if politely {
            drop(peer)
        } else {
            peer.reset()
        }
        until("the provider is left", || vendor.gone() == 1).await;
        assert!(began.elapsed() < PROMPT * 10);
        let entry = hall.entry().await;
        assert_eq!((entry.outcome, entry.status), (Outcome::ClientGone, 200));
        assert_eq!(entry.bytes_out, got.len() as u64);
        assert_eq!((entry.usage_source, entry.usage.output), (UsageSource::Counted, 10));
        assert_eq!(entry.usage.input, chat_stream("m").len() as u64 / 4);
        assert!(entry.first_byte_us.is_some() && entry.streamed);
    }
}

#[tokio::test]
async fn a_provider_that_falls_silent_is_not_read_on_for_ever() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(STREAM).await;
        talk.send(chunk(delta("one"))).await;
        talk.until_gone().await;
    })
    .await;
    let mut setup = Setup::new();
    let drain = Duration::from_millis(200);
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.policy.drain = drain);
    let hall = setup.start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
    peer.head().await;
    drop(peer);
    until("the provider is left", || vendor.gone() == 1).await;
    let entry = hall.entry().await;
    assert_eq!((entry.outcome, entry.usage_source), (Outcome::ClientGone, UsageSource::Counted));
    assert_eq!(entry.usage.output, 1);
}

#[tokio::test]
async fn while_a_flood_is_on_its_way() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(STREAM).await;
        while talk.send(chunk(delta(&"x".repeat(4000)))).await {}
        talk.until_gone().await;
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
    peer.head().await;
    drop(peer);
    until("the provider is left", || vendor.gone() == 1).await;
    let entry = hall.entry().await;
    assert_eq!(entry.outcome, Outcome::ClientGone);
    assert!(entry.usage.output > 0);
}

#[tokio::test]
async fn while_a_connection_is_being_made() {
    // A listener whose queue is full answers no handshake.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    loop {
        let connecting = tokio::net::TcpStream::connect(addr);
        match tokio::time::timeout(Duration::from_millis(300), connecting).await {
            Ok(stream) => filling.push(stream.unwrap()),
            Err(_) => break,
        }
        assert!(filling.len() < 10_000, "the queue has no end");
    }
    let mut setup = Setup::new();
    setup.upstream("up", addr, &["sk-1"], |up| up.timeouts.connect = Duration::from_secs(3600));
    let hall = setup.start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/chat/completions", &chat("m"))).await;
    until("the call is let in", || domain::live::Live::calls_in_flight(&*hall.gateway) == 1).await;
    drop(peer);
    let entry = hall.entry().await;
    assert_eq!((entry.outcome, entry.usage_source), (Outcome::ClientGone, UsageSource::Nothing));
}

#[tokio::test]
async fn between_two_attempts() {
    let vendor = Vendor::saying(json(500, "{}")).await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.retry_count = 10);
    let hall = setup.start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/chat/completions", &chat("m"))).await;
    until("some attempts", || vendor.seen().len() >= 3).await;
    drop(peer);
    let entry = hall.entry().await;
    assert_eq!(entry.outcome, Outcome::ClientGone);
    assert!(entry.attempts.len() < 11);
}

#[tokio::test]
async fn before_its_body_is_whole() {
    let vendor = Vendor::saying(json(200, "{}")).await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    let fields = ["content-type: application/json", "content-length: 100"];
    peer.send(hall.request("POST", "/v1/chat/completions", &fields, "")).await;
    peer.send("{\"model\":").await;
    drop(peer);
    let mut entries = Vec::new();
    while entries.is_empty() {
        entries = hall.entries().await;
        tokio::task::yield_now().await;
    }
    assert_eq!((entries[0].status, entries[0].attempts.len()), (499, 0));
    assert!(vendor.seen().is_empty());
}
