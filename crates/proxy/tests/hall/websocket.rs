//! WebSockets: the handshake goes through, and then everything, both ways at once.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    harness::{Setup, soon, until},
    vendor::{Vendor, json},
};

pub(crate) const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
pub(crate) const HANDSHAKE: [&str; 4] = [
    "connection: keep-alive, Upgrade",
    "upgrade: websocket",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version: 13",
];

pub(crate) async fn echo() -> Vendor {
    Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(SWITCH).await;
        loop {
            let bytes = std::mem::take(&mut talk.buf);
            talk.send(bytes).await;
            if talk.fill().await.is_none() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_tunnel_carries_both_directions_at_once_under_load() {
    let vendor = echo().await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.request("GET", "/proxy/up/ws?a=b", &HANDSHAKE, "")).await;
    let head = peer.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    // More than all buffers on the way hold, written before anything is read.
    let size = 24 << 20;
    let load: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
    let (mut read, mut write) = peer.stream.split();
    let mut got = vec![0; load.len()];
    let both = async { tokio::join!(write.write_all(&load), read.read_exact(&mut got)) };
    let (sent, read_all) = soon("a loaded tunnel", both).await;
    sent.unwrap();
    read_all.unwrap();
    assert!(got == load);
    drop(peer);
    until("the provider is left", || vendor.gone() == 1).await;
    let entry = hall.entry().await;
    assert_eq!((entry.status, entry.bytes_in, entry.bytes_out), (101, size.into(), size.into()));
    let seen = vendor.only();
    assert_eq!(seen.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(seen.header("upgrade"), Some("websocket"));
}

#[tokio::test]
async fn the_last_words_of_a_provider_arrive() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(format!("{SWITCH}the end")).await;
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.request("GET", "/proxy/up/ws", &HANDSHAKE, "")).await;
    peer.send("frames that nobody reads").await;
    peer.head().await.unwrap();
    while peer.fill().await {}
    assert_eq!(peer.buf, b"the end");
    assert_eq!(hall.entry().await.outcome.as_str(), "completed");
}

#[tokio::test]
async fn realtime_names_its_model_in_the_query_and_its_key_among_the_protocols() {
    let vendor = echo().await;
    let mut setup = Setup::new();
    let up = setup.upstream("up", vendor.addr, &["sk-1"], |up| {
        up.header_policy = domain::HeaderPolicy::Keep;
    });
    setup.route("talk", &[(up, Some("gpt real"))]);
    let hall = setup.start().await;
    for (asked, used) in [("talk", "gpt%20real"), ("up%2Fgpt-x", "gpt-x"), ("up/gpt-y", "gpt-y")] {
        let protocols =
            format!("sec-websocket-protocol: realtime, openai-insecure-api-key.{}", hall.key);
        let mut fields = HANDSHAKE.to_vec();
        fields.push(&protocols);
        let mut peer = hall.connect().await;
        let path = format!("/v1/realtime?model={asked}&x=1");
        peer.send(crate::harness::request("GET", &path, &fields, "")).await;
        assert!(peer.head().await.unwrap().starts_with("HTTP/1.1 101"), "{asked}");
        let seen = vendor.seen().pop().unwrap();
        assert_eq!(seen.target, format!("/v1/realtime?model={used}&x=1"));
        assert_eq!(seen.header("sec-websocket-protocol"), Some("realtime"));
        assert_eq!(seen.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(seen.key(), "sk-1");
    }
}

#[tokio::test]
async fn a_refused_handshake_is_an_answer_like_any_other() {
    let vendor = Vendor::saying(json(404, "{\"error\":\"no such socket\"}")).await;
    let hall = Setup::with(vendor.addr).start().await;
    let reply = hall.ask(hall.request("GET", "/proxy/up/ws", &HANDSHAKE, "")).await;
    assert_eq!((reply.status, reply.text()), (404, "{\"error\":\"no such socket\"}"));
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_is_no_failure_of_the_upstream_or_its_key() {
    let vendor = Vendor::answering(|seen| match seen.method.as_str() {
        "GET" => json(500, "{}"),
        _ => crate::vendor::said("ok"),
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| {
        up.retry_count = 0;
        up.policy.breaker.failures_in_a_row = 1;
    });
    let hall = setup.start().await;
    for _ in 0..3 {
        let reply = hall.ask(hall.request("GET", "/proxy/up/ws", &HANDSHAKE, "")).await;
        assert_eq!(reply.status, 500);
    }
    let chat = hall.post("/v1/chat/completions", &crate::harness::chat("m"));
    assert_eq!(hall.ask(chat).await.status, 200);
}

#[tokio::test]
async fn close_codes_and_reasons_pass_and_are_noted() {
    let close = |code: u16, reason: &str| {
        let mut frame = vec![0x88, 2 + reason.len() as u8];
        frame.extend(code.to_be_bytes());
        frame.extend(reason.as_bytes());
        frame
    };
    for (code, noted) in [(4001, true), (1000, false)] {
        let frame = close(code, "enough for today");
        let last = frame.clone();
        let vendor = Vendor::talking(move |mut talk| {
            let last = last.clone();
            async move {
                talk.request().await;
                talk.send(SWITCH).await;
                talk.send(last).await;
            }
        })
        .await;
        let hall = Setup::with(vendor.addr).start().await;
        let mut peer = hall.connect().await;
        peer.send(hall.request("GET", "/v1/realtime?model=up/gpt-real", &HANDSHAKE, "")).await;
        peer.head().await.unwrap();
        while peer.fill().await {}
        assert_eq!(peer.buf, frame);
        let entry = hall.entry().await;
        assert_eq!(entry.outcome.as_str(), "completed");
        let words = "the provider closed the socket with code 4001";
        assert_eq!(entry.error.as_deref(), noted.then_some(words));
    }
}
