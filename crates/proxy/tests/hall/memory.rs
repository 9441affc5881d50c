//! The memory for request bodies: nobody takes it from all others, by declaring, by sending, or by
//! taking time.

use std::time::Duration;

use crate::{
    harness::{Hall, Peer, Setup, chat, request},
    vendor::{Vendor, said},
};

const JSON: &str = "content-type: application/json";

/// The head of a chat with a body of this length, and the beginning of that body.
async fn begun(hall: &Hall, fields: &[&str], length: usize, here: usize) -> Peer {
    let length_field = format!("content-length: {length}");
    let fields = [&[JSON, &length_field], fields].concat();
    let mut bytes = request("POST", "/v1/chat/completions", &fields, "");
    bytes.extend(body(length).into_bytes().into_iter().take(here));
    let mut peer = hall.connect().await;
    peer.send(bytes).await;
    peer
}

/// The body of a chat that is `length` bytes long.
fn body(length: usize) -> String {
    let start = chat("m");
    let padding = " ".repeat(length.saturating_sub(start.len()));
    start + &padding
}

fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}")
}

#[tokio::test]
async fn what_is_declared_and_never_sent_takes_no_memory() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.limits.body = 32 << 20;
    setup.settings.buffers.total = 256 << 20;
    let hall = setup.start().await;
    let key = bearer(&hall.key);
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(begun(&hall, &[&key], 32 << 20, 10).await);
    }
    // All of them are read once the last of them was told to go ahead.
    let mut last = begun(&hall, &[&key, "expect: 100-continue"], 32 << 20, 0).await;
    assert_eq!(last.head().await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    let reply = hall.ask(hall.post("/v1/chat/completions", &body(1 << 20))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    drop(slow);
}

/// Begins bodies of `length` bytes that lack their last one, until one is refused before it is sent.
async fn filled(hall: &Hall, length: usize, fields: impl Fn(usize) -> Vec<String>) -> Vec<Peer> {
    let mut begun_ones = Vec::new();
    for n in 0..200 {
        let fields = fields(n);
        let mut fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        fields.push("expect: 100-continue");
        let mut peer = begun(hall, &fields, length, 0).await;
        let head = peer.head().await.unwrap();
        if !head.contains("100 Continue") {
            assert!(head.starts_with("HTTP/1.1 503"), "{head}");
            return begun_ones;
        }
        peer.send(&body(length)[..length - 1]).await;
        begun_ones.push(peer);
    }
    panic!("nothing was refused");
}

#[tokio::test]
async fn one_service_key_leaves_room_for_others() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.limits.body = 64 << 10;
    setup.settings.buffers.total = 512 << 10;
    let other = setup.caller(|_| {});
    let hall = setup.start().await;
    let (key, other) = (bearer(&hall.key), bearer(&other));
    let held = filled(&hall, 64 << 10, |_| vec![key.clone()]).await;
    let of_other = request("POST", "/v1/chat/completions", &[&other, JSON], body(64 << 10));
    let reply = hall.ask(of_other).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for mut peer in held {
        peer.send(" ").await;
        let reply = peer.reply().await;
        assert!(matches!(reply.status, 200 | 503), "{}", reply.text());
    }
    let again = hall.ask(hall.post("/v1/chat/completions", &body(64 << 10))).await;
    assert_eq!(again.status, 200, "what ended gives its memory back");
}

#[tokio::test]
async fn one_address_leaves_room_for_others_whatever_keys_it_shows() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.limits.body = 64 << 10;
    setup.settings.buffers.total = 512 << 10;
    setup.settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let keys: Vec<String> = (0..200).map(|_| bearer(&setup.caller(|_| {}))).collect();
    let hall = setup.start().await;
    let from = |ip: &str| format!("x-forwarded-for: {ip}");
    let held = filled(&hall, 64 << 10, |n| vec![keys[n].clone(), from("203.0.113.7")]).await;
    let fields = [&bearer(&hall.key), JSON, &from("203.0.113.8")];
    let reply = hall.ask(request("POST", "/v1/chat/completions", &fields, body(64 << 10))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    drop(held);
}

#[tokio::test]
async fn a_body_that_only_dribbles_is_refused_though_it_never_pauses() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.limits.body_rate_window = Duration::from_millis(300);
    let hall = setup.start().await;
    let key = bearer(&hall.key);
    for framing in ["content-length: 33554432", "transfer-encoding: chunked"] {
        let mut peer = hall.connect().await;
        peer.send(request("POST", "/v1/chat/completions", &[&key, JSON, framing], "")).await;
        let (mut read, mut write) = peer.stream.split();
        let dribble = async {
            let piece = if framing.contains("chunked") { "1\r\n \r\n" } else { " " };
            loop {
                use tokio::io::AsyncWriteExt;
                if write.write_all(piece.as_bytes()).await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let answer = async {
            let mut line = vec![0; 12];
            tokio::io::AsyncReadExt::read_exact(&mut read, &mut line).await.unwrap();
            String::from_utf8(line).unwrap()
        };
        let line = crate::harness::soon("being told", async {
            tokio::select! { line = answer => line, () = dribble => unreachable!() }
        });
        assert_eq!(line.await, "HTTP/1.1 408", "{framing}");
    }
    assert_eq!(hall.entries().await.len(), 2);
    assert!(vendor.seen().is_empty());
}
