//! Requests that are odd, old or wrong, one by one: what is refused, how, and what becomes of the
//! connection.

use std::time::Duration;

use crate::{
    harness::{Setup, chat, chunked, request},
    vendor::{Vendor, answer, json, said},
};

#[tokio::test]
async fn what_two_parsers_could_read_differently_is_refused_and_the_connection_closed() {
    let vendor = Vendor::saying(said("x")).await;
    let hall = Setup::with(vendor.addr).start().await;
    let key = format!("authorization: Bearer {}\r\n", hall.key);
    let line = "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\n";
    let cases: Vec<(String, u16)> = vec![
        (
            format!("{line}{key}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        (format!("{line}{key}content-length: 5\r\ncontent-length: 5\r\n\r\nhello"), 400),
        (format!("{line}{key}content-length: 5, 5\r\n\r\nhello"), 400),
        (format!("{line}{key}content-length: -1\r\n\r\n"), 400),
        (format!("{line}{key}content-length: 99999999999999999999\r\n\r\n"), 400),
        (format!("{line}{key}transfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{line}{key}transfer-encoding : chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{line}{key}transfer-encoding: xchunked\r\n\r\n"), 400),
        (format!("{line}{key}x: a\r\n folded\r\n\r\n"), 400),
        (format!("{line}{key}x: a\nb: c\r\n\r\n"), 400),
        (format!("{line}{key}x: a\0b\r\n\r\n"), 400),
        (format!("{line}{key}x: a\rb\r\n\r\n"), 400),
        (format!("{line}{key}: nameless\r\n\r\n"), 400),
        (format!("{line}{key}host: other\r\n\r\n"), 400),
        (format!("{line}{key}connection: transfer-encoding\r\n\r\n"), 400),
        (format!("{line}{key}expect: something\r\n\r\n"), 417),
        ("POST / HTTP/1.1\r\n\r\n".into(), 400),
        ("POST / HTTP/1.1\nhost: h\n\n".into(), 400),
        ("POST /a b HTTP/1.1\r\nhost: h\r\n\r\n".into(), 400),
        ("POST http://elsewhere/v1/models HTTP/1.1\r\nhost: h\r\n\r\n".into(), 400),
        ("POST / HTTP/3.0\r\nhost: h\r\n\r\n".into(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 400),
        (format!("POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:abc\r\n{key}\r\n"), 400),
        (format!("POST /v1/chat/completions HTTP/1.1\r\nhost: :-1\r\n{key}\r\n"), 400),
        (format!("POST /v1/chat/completions HTTP/1.1\r\nhost: [::1\r\n{key}\r\n"), 400),
        (format!("POST /v1/chat/completions HTTP/1.1\r\nhost: a]b\r\n{key}\r\n"), 400),
        (format!("POST /v1/chat/completions HTTP/1.1\r\nhost: []\r\n{key}\r\n"), 400),
        ("CONNECT h:443 HTTP/1.1\r\nhost: h\r\n\r\n".into(), 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".into(), 400),
        (format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "x".repeat(9000)), 414),
        (format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "a: b\r\n".repeat(200)), 431),
        (format!("GET / HTTP/1.1\r\nhost: h\r\nbig: {}\r\n\r\n", "x".repeat(64 << 10)), 431),
    ];
    for (text, status) in cases {
        let mut peer = hall.connect().await;
        peer.send(&text).await;
        // Whatever follows must not be taken for a request.
        peer.send("GET /livez HTTP/1.1\r\nhost: h\r\n\r\n").await;
        let reply = peer.reply().await;
        assert_eq!(reply.status, status, "{text:?}: {}", reply.head);
        assert_eq!(reply.header("content-type"), Some("application/json"), "{text:?}");
        assert_eq!(reply.header("connection"), Some("close"), "{text:?}");
        assert!(!reply.code().is_empty());
        assert!(peer.is_closed().await, "{text:?}: said more: {:?}", peer.buf);
    }
    assert!(vendor.seen().is_empty(), "nothing of it reaches a provider");
    assert!(hall.entries().await.is_empty(), "nobody was let in");
}

#[tokio::test]
async fn a_slow_head_is_told_so_and_an_idle_connection_just_closed() {
    let mut setup = Setup::new();
    setup.settings.limits.head_time = Duration::from_millis(50);
    setup.settings.limits.keep_alive = Duration::from_secs(2);
    let hall = setup.start().await;
    let mut slow = hall.connect().await;
    slow.send("GET /livez HTTP/1.1\r\nho").await;
    let reply = slow.reply().await;
    assert_eq!((reply.status, reply.code().as_str()), (408, "request_timeout"));
    assert!(slow.is_closed().await);
    let mut idle = hall.connect().await;
    idle.send(request("GET", "/livez", &[], "")).await;
    assert_eq!(idle.reply().await.status, 200);
    assert!(idle.is_closed().await);
}

#[tokio::test]
async fn a_new_connection_that_says_nothing_lives_no_longer_than_a_head_may_take() {
    let mut setup = Setup::new();
    setup.settings.limits.head_time = Duration::from_millis(50);
    setup.settings.limits.keep_alive = crate::harness::PATIENCE * 10;
    let hall = setup.start().await;
    let mut silent = hall.connect().await;
    assert!(silent.is_closed().await);
}

#[tokio::test]
async fn a_head_in_single_bytes_is_a_head() {
    let hall = Setup::new().start().await;
    let mut peer = hall.connect().await;
    for byte in "GET /livez HTTP/1.1\r\nhost: h\r\n\r\n".bytes() {
        peer.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.reply().await.status, 200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let vendor =
        Vendor::answering(|seen| json(200, &format!("{{\"n\":{}}}", seen.text().len()))).await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    let mut all = Vec::new();
    for n in 1..=20 {
        all.extend(hall.request("POST", "/proxy/up/x", &[], "x".repeat(n)));
    }
    peer.send(&all).await;
    for n in 1..=20 {
        assert_eq!(peer.reply().await.text(), format!("{{\"n\":{n}}}"));
    }
    assert_eq!(hall.entries().await.len(), 20);
    assert_eq!(vendor.connections(), 1, "one connection serves them all");
}

#[tokio::test]
async fn the_unread_body_of_a_refused_request_never_becomes_the_next_one() {
    let vendor = Vendor::saying(said("x")).await;
    let hall = Setup::with(vendor.addr).start().await;
    let smuggled = hall.post("/v1/chat/completions", &chat("m"));
    for (framing, body) in [
        (format!("content-length: {}", smuggled.len()), smuggled.clone()),
        ("transfer-encoding: chunked".to_owned(), chunked(&smuggled, 7)),
    ] {
        let mut peer = hall.connect().await;
        let mut bytes =
            request("POST", "/v1/chat/completions", &["x-api-key: wrong", &framing], "");
        bytes.extend(body);
        peer.send(bytes).await;
        assert_eq!(peer.reply().await.status, 401);
        // The connection may stay, but then only for what really follows.
        peer.send("GET /livez HTTP/1.1\r\nhost: h\r\n\r\n").await;
        if let Some(reply) = peer.try_reply("GET").await {
            assert_eq!(reply.text(), r#"{"status":"live"}"#);
        }
    }
    assert!(vendor.seen().is_empty());
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_when_nothing_is_left_unread() {
    let hall = Setup::new().start().await;
    let mut peer = hall.connect().await;
    for _ in 0..3 {
        peer.send(request("GET", "/v1/models", &["x-api-key: wrong"], "")).await;
        assert_eq!(peer.reply().await.status, 401);
        peer.send(request("POST", "/v1/chat/completions", &["x-api-key: wrong"], chat("m"))).await;
        assert_eq!(peer.reply().await.status, 401);
        peer.send(hall.post("/v1/chat/completions", &chat("nobody"))).await;
        assert_eq!(peer.reply().await.status, 404);
    }
}

#[tokio::test]
async fn tricks_with_the_path_lead_nowhere() {
    let vendor = Vendor::saying(said("x")).await;
    let hall = Setup::with(vendor.addr).start().await;
    for path in [
        "/proxy/up/../up/x",
        "/proxy/up/./x",
        "/proxy/up/%2e%2e/x",
        "/proxy/up/%2E%2e/x",
        "/proxy/up%2fx",
        "/proxy/up/a%5Cb",
        "/proxy/up/a\\b",
        "/proxy/up//x",
        "/proxy/up/a;b",
        "/proxy/up/a%00",
        "//proxy/up/x",
        "/proxy",
        "/%70roxy/up/x",
        "/PROXY/up/x",
        "/v1/../api/x",
        "/v2/chat/completions",
        "/",
        "/metrics",
    ] {
        let reply = hall.ask(hall.request("GET", path, &[], "")).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "no_such_path"), "{path}");
    }
    assert!(vendor.seen().is_empty());
}

#[tokio::test]
async fn what_was_checked_is_what_is_forwarded() {
    let vendor = Vendor::saying(json(200, "{}")).await;
    let hall = Setup::with(vendor.addr).start().await;
    for path in
        ["/a%20b/%C3%BC/x?y=%2e%2e/&z=a;b#".trim_end_matches('#'), "/a:b@c/~d!e$f", "/x?", ""]
    {
        hall.ask(hall.request("GET", &format!("/proxy/up{path}"), &[], "")).await;
        let want = if path.is_empty() { "/" } else { path };
        assert_eq!(vendor.seen().last().unwrap().target, want);
    }
}

#[tokio::test]
async fn methods_are_as_wide_as_the_door() {
    let vendor = Vendor::saying(json(200, "{}")).await;
    let hall = Setup::with(vendor.addr).start().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT"] {
        let reply = hall.ask(hall.request(method, "/proxy/up/x", &[], "")).await;
        assert_eq!(reply.status, 200, "{method}");
        assert_eq!(vendor.seen().last().unwrap().method, method);
    }
    for (method, path) in [
        ("TRACE", "/proxy/up/x"),
        ("TRACK", "/proxy/up/x"),
        ("CONNECT", "/proxy/up/x"),
        ("TRACE", "/v1/models"),
        ("OPTIONS", "/v1/models"),
        ("PROPFIND", "/v1/x"),
        ("POST", "/livez"),
    ] {
        let reply = hall.ask(hall.request(method, path, &[], "")).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (405, "method_not_allowed"),
            "{method} {path}"
        );
        assert!(reply.header("allow").unwrap().contains("GET"));
    }
}

#[tokio::test]
async fn an_old_client_gets_an_answer_that_ends_with_the_connection() {
    let vendor = Vendor::answering(|seen| match seen.target.as_str() {
        "/length" => json(200, "{\"a\":1}"),
        _ => crate::vendor::stream_of(&["data: a\n\n", "data: b\n\n"]),
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    for (path, body) in [("length", "{\"a\":1}"), ("chunks", "data: a\n\ndata: b\n\n")] {
        let mut peer = hall.connect().await;
        peer.send(format!(
            "GET /proxy/up/{path} HTTP/1.0\r\nauthorization: Bearer {}\r\n\r\n",
            hall.key
        ))
        .await;
        let reply = peer.reply().await;
        assert_eq!((reply.status, reply.text()), (200, body));
        assert_eq!(reply.header("transfer-encoding"), None);
        assert!(peer.is_closed().await);
    }
}

#[tokio::test]
async fn a_head_request_gets_a_head() {
    let vendor = Vendor::talking(|mut talk| async move {
        while talk.request().await.is_some() {
            talk.send(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1234\r\n\r\n",
            )
            .await;
        }
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.models = vec!["m".into()]);
    let hall = setup.start().await;
    let mut peer = hall.connect().await;
    for path in ["/proxy/up/x", "/v1/files/f1"] {
        peer.send(hall.request("HEAD", path, &[], "")).await;
        let reply = peer.reply_to("HEAD").await;
        assert_eq!((reply.status, reply.header("content-length")), (200, Some("1234")), "{path}");
    }
    for path in ["/livez", "/v1/models", "/nowhere"] {
        peer.send(hall.request("HEAD", path, &[], "")).await;
        let reply = peer.reply_to("HEAD").await;
        assert!(reply.header("content-length").is_some(), "{path}");
    }
    peer.send(hall.request("GET", "/livez", &[], "")).await;
    assert_eq!(
        peer.reply().await.text(),
        r#"{"status":"live"}"#,
        "the connection is still in step"
    );
}

#[tokio::test]
async fn bodies_are_capped_whether_their_length_is_told_or_not() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.limits.body = 10_000;
    let hall = setup.start().await;
    let body = format!(r#"{{"model":"m","x":"{}"}}"#, "y".repeat(20_000));
    let fields = ["content-type: application/json"];
    let mut declared = hall.connect().await;
    declared.send(hall.request("POST", "/v1/chat/completions", &fields, &body)).await;
    let reply = declared.reply().await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "body_too_large"));
    let mut chunky = hall.connect().await;
    let mut bytes = hall.request(
        "POST",
        "/v1/chat/completions",
        &["content-type: application/json", "transfer-encoding: chunked"],
        "",
    );
    bytes.extend(chunked(body.as_bytes(), 1000));
    chunky.send(bytes).await;
    let reply = chunky.reply().await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "body_too_large"));
    assert!(chunky.is_closed().await);
    assert!(vendor.seen().is_empty());
}

#[tokio::test]
async fn broken_chunks_are_refused() {
    let vendor = Vendor::saying(said("x")).await;
    let hall = Setup::with(vendor.addr).start().await;
    for body in [
        "x\r\n",
        "5\r\nhelloo\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello",
        "0x5\r\nhello\r\n",
        "5\nhello\r\n",
        "ffffffffffffffff\r\n",
        "5;\0\r\nhello\r\n",
        "\r\n",
    ] {
        for path in ["/v1/chat/completions", "/proxy/up/x"] {
            let mut peer = hall.connect().await;
            let fields = ["content-type: application/json", "transfer-encoding: chunked"];
            peer.send(hall.request("POST", path, &fields, "")).await;
            peer.send(body).await;
            let reply = peer.reply().await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (400, "malformed_request"),
                "{body:?} {path}"
            );
            assert!(peer.is_closed().await);
        }
    }
    assert!(vendor.seen().is_empty(), "no call was whole");
}

#[tokio::test]
async fn a_body_that_stalls_is_told_so() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.limits.body_idle = Duration::from_millis(60);
    let hall = setup.start().await;
    for path in ["/v1/chat/completions", "/proxy/up/x"] {
        for framing in ["content-length: 100", "transfer-encoding: chunked"] {
            let mut peer = hall.connect().await;
            peer.send(hall.request("POST", path, &["content-type: application/json", framing], ""))
                .await;
            let reply = peer.reply().await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (408, "request_timeout"),
                "{path} {framing}"
            );
            assert!(peer.is_closed().await);
        }
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_is_told_once_its_key_is_known() {
    let vendor = Vendor::answering(|seen| answer(200, &[], &seen.body)).await;
    let hall = Setup::with(vendor.addr).start().await;
    let big = "x".repeat(2 << 20);
    for (path, body) in
        [("/v1/chat/completions", chat("m")), ("/proxy/up/x", "small".into()), ("/proxy/up/x", big)]
    {
        let mut peer = hall.connect().await;
        let length = format!("content-length: {}", body.len());
        let fields = ["content-type: application/json", "expect: 100-continue", &length];
        peer.send(hall.request("POST", path, &fields, "")).await;
        assert_eq!(peer.head().await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        let (mut read, mut write) = peer.stream.split();
        let sending = async {
            tokio::io::AsyncWriteExt::write_all(&mut write, body.as_bytes()).await.unwrap()
        };
        let mut got = Vec::new();
        let reading = async {
            while !got.ends_with(body.as_bytes()) && got.len() < body.len() + 4000 {
                let mut scratch = vec![0; 1 << 16];
                let n = tokio::io::AsyncReadExt::read(&mut read, &mut scratch).await.unwrap();
                assert!(n > 0);
                got.extend_from_slice(&scratch[..n]);
            }
        };
        crate::harness::soon("both ways", async { tokio::join!(sending, reading) }).await;
        assert!(got.starts_with(b"HTTP/1.1 200"), "{path}: exactly one 100");
    }
    let mut stranger = hall.connect().await;
    let fields = ["x-api-key: wrong", "expect: 100-continue", "content-length: 100"];
    stranger.send(request("POST", "/v1/chat/completions", &fields, "")).await;
    assert!(
        stranger.head().await.unwrap().starts_with("HTTP/1.1 401"),
        "no 100 before the refusal"
    );
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused_in_the_callers_dialect() {
    let vendor = Vendor::saying(said("x")).await;
    let hall = Setup::with(vendor.addr).start().await;
    for body in [
        "{",
        "[]",
        "{\"model\":1}",
        "{\"model\":\"a\",\"model\":\"b\"}",
        "{}",
        "",
        "{\"model\":\"m\"} x",
        "\u{feff}{}",
    ] {
        for path in ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"] {
            let reply = hall.ask(hall.post(path, body)).await;
            assert_eq!(reply.status, 400, "{path} {body}");
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert!(reply.header("x-request-id").is_some());
            assert!(reply.json()["error"]["message"].is_string());
        }
    }
    assert!(vendor.seen().is_empty());
    let entries = hall.entries().await;
    assert_eq!(entries.len(), 24, "a known caller's refused calls are entered");
    assert!(entries.iter().all(|e| e.status == 400 && e.attempts.is_empty()));
}
