//! Bytes on their way through: the same ones, in the same pieces, as soon as they come.

use std::time::Duration;

use domain::{Provider, log::Outcome};

use crate::{
    harness::{Setup, chat, chat_stream, soon},
    vendor::{STREAM, Vendor, answer, chunk, delta, json, said, stream_of},
};

#[tokio::test]
async fn of_a_request_only_the_model_changes() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::new();
    let up = setup.upstream("up", vendor.addr, &["sk-1"], |_| {});
    setup.route("alias", &[(up, Some("real \"ü\" model"))]);
    setup.route("same", &[(up, None)]);
    let hall = setup.start().await;
    let real = r#""real \"ü\" model""#;
    for (sent, got) in [
        (r#"{"model":"alias"}"#.to_owned(), format!(r#"{{"model":{real}}}"#)),
        (
            "{ \"a\" : 1.0e5,\t\"model\"  :\r\n \"al\\u0069as\" , \"model_\":\"model\", \"x\":{\"model\":\"alias\"}, \"u\":\"\\ud83d\\ude00é\" }  ".to_owned(),
            format!("{{ \"a\" : 1.0e5,\t\"model\"  :\r\n {real} , \"model_\":\"model\", \"x\":{{\"model\":\"alias\"}}, \"u\":\"\\ud83d\\ude00é\" }}  "),
        ),
        (r#"{"mod\u0065l":"alias","n":123456789012345678901234567890}"#.to_owned(), format!(r#"{{"mod\u0065l":{real},"n":123456789012345678901234567890}}"#)),
        (r#"{"messages":[],"model":"same","z":"\/"}"#.to_owned(), r#"{"messages":[],"model":"same","z":"\/"}"#.to_owned()),
        (r#"{"x":"model\":\"alias","model":"up/m"}"#.to_owned(), r#"{"x":"model\":\"alias","model":"m"}"#.to_owned()),
    ] {
        let reply = hall.ask(hall.post("/v1/chat/completions", &sent)).await;
        assert_eq!(reply.status, 200, "{sent}");
        assert_eq!(vendor.seen().last().unwrap().text(), got);
    }
}

#[tokio::test]
async fn what_goes_through_the_opaque_door_goes_through_byte_for_byte() {
    let vendor = Vendor::answering(|seen| {
        answer(200, &["content-type: application/octet-stream"], &seen.body)
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut noise: Vec<u8> =
        (0..70_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    noise.extend(b"{\"model\":\"x\"}");
    for size in [0, 1, 100, 4096, 16_383, 16_384, 16_385, 65_536, noise.len()] {
        for kind in
            ["application/json", "application/octet-stream", "multipart/form-data; boundary=x"]
        {
            let kind = format!("content-type: {kind}");
            let reply =
                hall.ask(hall.request("POST", "/proxy/up/x", &[&kind], &noise[..size])).await;
            assert_eq!(reply.body, &noise[..size], "{size} bytes of {kind}");
            assert_eq!(
                vendor.seen().last().unwrap().header("content-type"),
                kind.strip_prefix("content-type: ")
            );
        }
    }
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_whatever_the_pieces() {
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"grüße 世界 😀\"}}]}\r\n\r\n: ping\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
    for size in [1, 2, 3, 7, 1000] {
        let vendor = Vendor::talking(move |mut talk| async move {
            while talk.request().await.is_some() {
                talk.send(STREAM).await;
                for piece in text.as_bytes().chunks(size) {
                    talk.send(chunk(piece)).await;
                }
                talk.send("0\r\nx-trailer: dropped\r\n\r\n").await;
            }
        })
        .await;
        let hall = Setup::with(vendor.addr).start().await;
        let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
        let reply = hall.ask(hall.post("/v1/chat/completions", body)).await;
        assert_eq!(reply.text(), text, "pieces of {size}");
        assert!(reply.whole);
        let reply = hall.ask(hall.post("/proxy/up/v1/chat/completions", body)).await;
        assert_eq!(reply.text(), text, "pieces of {size}");
        assert_eq!(vendor.connections(), 1, "a whole answer leaves the connection");
        for entry in hall.entries().await {
            assert_eq!((entry.usage.input, entry.usage.output), (1, 2));
            assert_eq!((entry.outcome, entry.bytes_out), (Outcome::Completed, text.len() as u64));
        }
    }
}

#[tokio::test]
async fn every_event_goes_out_before_the_next_one_comes() {
    let (signal, go) = tokio::sync::mpsc::channel::<()>(1);
    let script = std::sync::Arc::new(tokio::sync::Mutex::new(go));
    let vendor = Vendor::talking(move |mut talk| {
        let script = script.clone();
        async move {
            talk.request().await;
            talk.send(STREAM).await;
            for n in 0..5 {
                talk.send(chunk(delta(&n.to_string()))).await;
                script.lock().await.recv().await;
            }
            talk.send(chunk("data: [DONE]\n\n")).await;
            talk.send("0\r\n\r\n").await;
        }
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
    assert!(peer.head().await.unwrap().starts_with("HTTP/1.1 200"));
    for n in 0..5 {
        assert_eq!(peer.chunk().await.unwrap(), delta(&n.to_string()).as_bytes());
        soon("the provider", signal.send(())).await.unwrap();
    }
    assert_eq!(peer.chunk().await.unwrap(), b"data: [DONE]\n\n");
}

#[tokio::test]
async fn a_slow_answer_shows_its_head_at_once_through_the_opaque_door() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(STREAM).await;
        talk.until_gone().await;
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.request("GET", "/proxy/up/events", &[], "")).await;
    let head = peer.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
}

#[tokio::test]
async fn the_usage_that_nobody_asked_for_is_asked_for_and_taken_out_again() {
    let vendor = Vendor::saying(stream_of(&[
        &delta("a"),
        &delta("b"),
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":4}}\n\n",
        "data: [DONE]\n\n",
    ]))
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
    assert_eq!(reply.text(), format!("{}{}data: [DONE]\n\n", delta("a"), delta("b")));
    assert!(
        vendor.only().text().contains(r#""stream":true,"stream_options":{"include_usage":true}"#)
    );
    let entry = hall.entry().await;
    assert_eq!((entry.usage.input, entry.usage.output), (11, 4));
    assert_eq!(entry.usage_source.as_str(), "reported");
    assert!(entry.streamed);
}

#[tokio::test]
async fn twenty_mebibytes_go_down_while_memory_stays_small() {
    let size = 20 << 20;
    let vendor = Vendor::talking(move |mut talk| async move {
        while talk.request().await.is_some() {
            talk.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n")).await;
            let piece: Vec<u8> = (0..65_536u32).map(|n| (n % 251) as u8).collect();
            for _ in 0..size / piece.len() {
                talk.send(&piece).await;
            }
        }
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let reply = hall.ask(hall.request("GET", "/proxy/up/big", &[], "")).await;
    assert_eq!(reply.body.len(), size);
    assert!(
        reply.body.chunks(65_536).all(|c| c.iter().enumerate().all(|(n, b)| *b == (n % 251) as u8))
    );
    assert_eq!(hall.entry().await.bytes_out, size as u64);
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    for (what, bytes) in [
        ("a length", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"half\":".to_owned()),
        ("chunks", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{\"half\":\r\n".to_owned()),
        ("a bad chunk", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{\"half\":\r\nzz\r\n".to_owned()),
    ] {
        for path in ["/v1/chat/completions", "/proxy/up/x"] {
            if what == "a bad chunk" && path != "/proxy/up/x" {
                // Nothing went out yet: that is a failed attempt.
                continue;
            }
            let bytes = bytes.clone();
            let vendor = Vendor::talking(move |mut talk| {
                let bytes = bytes.clone();
                async move {
                    talk.request().await;
                    talk.send(bytes).await;
                }
            })
            .await;
            let hall = Setup::with(vendor.addr).start().await;
            let reply = hall.ask(hall.post(path, &chat("m"))).await;
            assert!(!reply.whole, "{what} {path}: {}", reply.head);
            assert_eq!(reply.text(), "{\"half\":", "{what}");
            assert_eq!(hall.entry().await.outcome, Outcome::UpstreamBroke, "{what} {path}");
        }
    }
}

#[tokio::test]
async fn a_stream_without_framing_that_was_cut_is_told_from_one_that_ended() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    for (end, outcome) in [("", Outcome::UpstreamBroke), ("data: [DONE]\n\n", Outcome::Completed)] {
        let vendor = Vendor::talking(move |mut talk| async move {
            talk.request().await;
            talk.send(format!("{head}{}{end}", delta("a"))).await;
        })
        .await;
        let hall = Setup::with(vendor.addr).start().await;
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
        assert!(reply.text().starts_with(&delta("a")));
        assert_eq!(reply.text().contains("\"error\""), outcome == Outcome::UpstreamBroke);
        assert_eq!(hall.entry().await.outcome, outcome);
    }
}

#[tokio::test]
async fn a_provider_that_falls_silent_is_given_up() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send([STREAM.as_bytes(), &chunk(delta("a"))].concat()).await;
        talk.until_gone().await;
    })
    .await;
    for (idle, total, words) in
        [(60, 10_000, "fell silent in the middle"), (10_000, 150, "took longer than a call")]
    {
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1"], |up| {
            up.timeouts.idle = Duration::from_millis(idle);
            up.timeouts.total = Duration::from_millis(total);
        });
        let hall = setup.start().await;
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
        let told = reply.text();
        assert!(told.contains("upstream_timeout") && told.contains(words), "{told}");
        assert_eq!(hall.entry().await.outcome, Outcome::TimedOut);
    }
}

#[tokio::test]
async fn bytes_after_an_answer_are_never_the_next_one() {
    let vendor = Vendor::talking(|mut talk| async move {
        while let Some(seen) = talk.request().await {
            let mut bytes = json(200, &format!("\"{}\"", seen.target));
            bytes.extend(json(200, "\"smuggled\""));
            talk.send(bytes).await;
        }
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    for n in 0..5 {
        let reply = hall.ask(hall.request("GET", &format!("/proxy/up/{n}"), &[], "")).await;
        assert_eq!(reply.text(), format!("\"/{n}\""));
    }
    assert_eq!(vendor.connections(), 5, "each such connection is closed");
}

#[tokio::test]
async fn an_answer_before_the_request_was_sent_ends_the_connection() {
    let vendor = Vendor::talking(|mut talk| async move {
        while let Some(seen) = talk.head().await {
            // Says no without reading what follows, and would take it for the next request.
            if seen.target == "/big" {
                talk.send(json(400, "\"too much\"")).await;
                return std::future::pending().await;
            }
            talk.send(json(200, "\"small\"")).await;
        }
    })
    .await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.buffers.per_request = 64 << 20;
    let hall = setup.start().await;
    // More than the sockets between us hold.
    let body = vec![b'x'; 32 << 20];
    let reply = hall.ask(hall.request("POST", "/proxy/up/big", &[], &body)).await;
    assert_eq!((reply.status, reply.text()), (400, "\"too much\""));
    let reply = hall.ask(hall.request("GET", "/proxy/up/small", &[], "")).await;
    assert_eq!(reply.text(), "\"small\"");
    assert_eq!(vendor.connections(), 2);
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    for (status, said) in [
        (204, "HTTP/1.1 204 No Content\r\n\r\n"),
        (304, "HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 50\r\n\r\n"),
        (200, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        (
            200,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        let vendor = Vendor::saying(said).await;
        let hall = Setup::with(vendor.addr).start().await;
        let mut peer = hall.connect().await;
        for _ in 0..2 {
            peer.send(hall.request("GET", "/proxy/up/x", &[], "")).await;
            let reply = peer.reply().await;
            assert_eq!((reply.status, reply.body.len()), (status, 0));
        }
        assert_eq!(vendor.connections(), 1);
    }
}

#[tokio::test]
async fn the_three_dialects_pass_untouched() {
    for (path, provider) in [
        ("/v1/chat/completions", Provider::Custom),
        ("/v1/responses", Provider::Openai),
        ("/v1/embeddings", Provider::Openai),
        ("/v1/images/generations", Provider::Openai),
        ("/v1/messages", Provider::Anthropic),
        ("/v1/messages/count_tokens", Provider::Anthropic),
        ("/v1beta/models/m:generateContent", Provider::Gemini),
        ("/v1beta/models/m:streamGenerateContent?alt=sse", Provider::Gemini),
        ("/v1beta/models/m:countTokens", Provider::Gemini),
        ("/v1beta/models/m:embedContent", Provider::Gemini),
    ] {
        let said = r#"{ "anything" : [ 1, 2.50, "ü" ] }"#;
        let vendor = Vendor::saying(json(200, said)).await;
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1"], |up| {
            up.dialects = provider.dialects();
            up.key_placement = provider.key_placement();
        });
        let hall = setup.start().await;
        let body = r#"{ "model" : "m", "input" : "ü" }"#;
        let reply = hall.ask(hall.post(path, body)).await;
        assert_eq!((reply.status, reply.text()), (200, said), "{path}");
        let seen = vendor.only();
        assert_eq!((seen.target.as_str(), seen.text()), (path, body));
        let name = match provider {
            Provider::Anthropic => "x-api-key",
            Provider::Gemini => "x-goog-api-key",
            _ => "authorization",
        };
        assert!(seen.header(name).unwrap().ends_with("sk-1"));
    }
}
