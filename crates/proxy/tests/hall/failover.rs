//! What becomes of a call when a provider fails: who is asked next, which key rests, and what the
//! client hears when nobody is left.

use std::time::{Duration, Instant};

use domain::{Provider, UpstreamId, log::Outcome};

use crate::{
    harness::{PATIENCE, Setup, chat, chat_stream, until},
    vendor::{STREAM, Vendor, answer, chunk, delta, json, said, stream_of},
};

/// An address where nobody listens.
fn nowhere() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What a first upstream does, and what the log says of it.
async fn failing(what: &str) -> Vendor {
    match what {
        "429" => Vendor::saying(json(429, "{}")).await,
        "401" => Vendor::saying(json(401, "{}")).await,
        "403" => Vendor::saying(json(403, "{}")).await,
        "500" => Vendor::saying(json(500, "{}")).await,
        "503" => Vendor::saying(json(503, "{}")).await,
        "529" => Vendor::saying(json(529, "{}")).await,
        "reset" => {
            Vendor::talking(|mut talk| async move {
                talk.request().await;
                talk.reset();
            })
            .await
        }
        "half a head" => {
            Vendor::talking(|mut talk| async move {
                talk.request().await;
                talk.send("HTTP/1.1 200 OK\r\ncontent-ty").await;
            })
            .await
        }
        "garbage" => Vendor::saying("this is not HTTP\r\n\r\n").await,
        "no answer" => {
            Vendor::talking(|mut talk| async move {
                talk.request().await;
                talk.until_gone().await;
            })
            .await
        }
        "error event" => {
            Vendor::saying(stream_of(&[
                ": ping\n\n",
                "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n",
            ]))
            .await
        }
        "error in 200" => Vendor::saying(json(200, r#"{"error":{"message":"no"}}"#)).await,
        "empty" => Vendor::saying(json(200, "")).await,
        "empty stream" => Vendor::saying(format!("{STREAM}0\r\n\r\n")).await,
        "only done" => Vendor::saying(stream_of(&["data: [DONE]\n\n"])).await,
        "endless interim" => Vendor::saying("HTTP/1.1 102 Wait\r\n\r\n".repeat(20)).await,
        "switches protocols" => {
            Vendor::saying("HTTP/1.1 101 Switching\r\nupgrade: websocket\r\n\r\n").await
        }
        other => panic!("{other}?"),
    }
}

#[tokio::test]
async fn every_kind_of_failure_moves_on_to_the_next_upstream() {
    for (what, result) in [
        ("429", "rate_limited"),
        ("401", "auth"),
        ("403", "auth"),
        ("500", "server_fault"),
        ("503", "overloaded"),
        ("529", "overloaded"),
        ("reset", "reset"),
        ("half a head", "reset"),
        ("garbage", "reset"),
        ("no answer", "timeout"),
        ("error event", "stream_error"),
        ("error in 200", "stream_error"),
        ("empty", "empty"),
        ("empty stream", "empty"),
        ("only done", "empty"),
        ("endless interim", "reset"),
        ("switches protocols", "reset"),
    ] {
        let (bad, good) = (failing(what).await, Vendor::saying(said("good")).await);
        let mut setup = Setup::new();
        let first = setup.upstream("bad", bad.addr, &["sk-bad"], |up| {
            up.retry_count = 0;
            if what == "no answer" {
                up.timeouts.first_byte = Duration::from_millis(100);
            }
        });
        let second = setup.upstream("good", good.addr, &["sk-good"], |_| {});
        setup.route("r", &[(first, Some("m-bad")), (second, Some("m-good"))]);
        let hall = setup.start().await;
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat_stream("r"))).await;
        assert_eq!(reply.status, 200, "{what}");
        assert!(reply.text().contains("good"), "{what}");
        let entry = hall.entry().await;
        let results: Vec<&str> = entry.attempts.iter().map(|a| a.result.as_str()).collect();
        assert_eq!(results, [result, "answered"], "{what}");
        assert_eq!(entry.upstream_name.as_deref(), Some("good"), "{what}");
        assert_eq!(entry.model_used.as_deref(), Some("m-good"), "{what}");
        assert_eq!(entry.outcome, Outcome::Completed);
    }
}

#[tokio::test]
async fn where_nobody_listens_or_tls_fails_the_next_upstream_is_asked() {
    let plain = Vendor::talking(|mut talk| async move {
        talk.send("this is not TLS\r\n\r\n").await;
        talk.until_gone().await;
    })
    .await;
    for (url, result) in
        [(format!("http://{}", nowhere()), "connect"), (format!("https://{}", plain.addr), "tls")]
    {
        let good = Vendor::saying(said("good")).await;
        let mut setup = Setup::new();
        let first = setup.upstream("bad", nowhere(), &["sk-bad"], |up| {
            up.base_url = domain::BaseUrl::parse(&url).unwrap();
            up.retry_count = 1;
        });
        let second = setup.upstream("good", good.addr, &["sk-good"], |_| {});
        setup.route("r", &[(first, None), (second, None)]);
        let hall = setup.start().await;
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("r"))).await;
        assert_eq!(reply.status, 200, "{url}");
        let results: Vec<String> =
            hall.entry().await.attempts.into_iter().map(|a| a.result).collect();
        assert_eq!(results, [result, result, "answered"], "{url}");
    }
}

#[tokio::test]
async fn an_upstream_is_asked_as_often_as_it_says_and_not_once_more() {
    for (retries, asked) in [(0, 1), (1, 2), (3, 4)] {
        let vendor = Vendor::saying(json(500, r#"{"error":"sorry"}"#)).await;
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1", "sk-2"], |up| up.retry_count = retries);
        let hall = setup.start().await;
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!((reply.status, reply.text()), (500, r#"{"error":"sorry"}"#));
        assert_eq!(vendor.seen().len(), asked);
        assert_eq!(hall.entry().await.outcome, Outcome::Failed);
    }
}

#[tokio::test]
async fn twelve_keys_of_which_eleven_are_dead_serve_every_call() {
    let vendor = Vendor::answering(|seen| match seen.key() {
        "sk-7" => said("alive"),
        key if key.ends_with(['1', '3', '5']) => json(429, "{}"),
        _ => json(401, "{}"),
    })
    .await;
    let keys: Vec<String> = (0..12).map(|n| format!("sk-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &keys, |up| up.retry_count = 0);
    let hall = setup.start().await;
    for _ in 0..40 {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200);
    }
    // A dead key is found out once, and then rests.
    assert_eq!(vendor.seen().len(), 40 + 11);
    for n in (1..=12).filter(|n| *n != 8) {
        let standing = hall.standing(100 + n).unwrap();
        assert!(matches!(standing.reason.as_str(), "auth" | "rate_limited"));
    }
    assert_eq!(hall.standing(108), None);
}

#[tokio::test]
async fn a_limited_key_rests_as_long_as_the_provider_says() {
    let date = (chrono::Utc::now() + chrono::Duration::seconds(90)).to_rfc2822();
    let date = format!("retry-after: {}", date.replace("+0000", "GMT"));
    for (field, seconds) in [
        ("retry-after: 30", 30.0),
        ("retry-after: 1.5", 1.5),
        ("retry-after-ms: 2500", 2.5),
        (date.as_str(), 90.0),
        ("retry-after: 999999999", 31.0 * 86_400.0),
        ("retry-after: soon", 2.0),
        ("x-none: 1", 2.0),
    ] {
        let vendor = Vendor::saying(answer(429, &[field], r#"{"error":"slow down"}"#)).await;
        let hall = Setup::with(vendor.addr).start().await;
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!((reply.status, reply.text()), (429, r#"{"error":"slow down"}"#), "{field}");
        let until = hall.standing(101).and_then(|standing| standing.status.until()).unwrap();
        let left = (until - chrono::Utc::now()).as_seconds_f64();
        assert!(left <= seconds + 0.1 && left > seconds - 3.0, "{field}: {left} s");
        let told: f64 = reply.header("retry-after").unwrap().parse().unwrap();
        // After five minutes a call tries the key, whatever the provider said.
        assert!((told - seconds.min(300.0)).abs() <= 2.0, "{field}: told {told} s");
        let again = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!((again.status, again.code().as_str()), (429, "all_keys_resting"));
        assert!(again.header("retry-after").is_some() && again.header("retry-after-ms").is_some());
        assert_eq!(vendor.seen().len(), 1, "a resting key is left alone");
        let last = hall.entries().await.pop().unwrap();
        assert_eq!((last.outcome, last.attempts.len()), (Outcome::Refused, 0));
    }
}

#[tokio::test]
async fn googles_own_way_to_say_when_is_understood() {
    let body = r#"{"error":{"code":429,"details":[{"retryDelay":"18.2s"}]}}"#;
    let vendor = Vendor::saying(json(429, body)).await;
    let hall = Setup::with(vendor.addr).start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((reply.status, reply.text()), (429, body));
    assert_eq!(reply.header("retry-after"), Some("19"));
    let until = hall.standing(101).and_then(|standing| standing.status.until()).unwrap();
    assert!((until - chrono::Utc::now()).as_seconds_f64() > 10.0);
}

#[tokio::test]
async fn a_provider_that_says_at_once_is_not_asked_for_ever() {
    let vendor = Vendor::saying(answer(429, &["retry-after: 0"], "{}")).await;
    let hall = Setup::with(vendor.addr).start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!(reply.status, 429);
    assert!(vendor.seen().len() <= 2, "asked {} times", vendor.seen().len());
}

#[tokio::test]
async fn of_a_whole_pool_at_rest_the_soonest_is_told() {
    let vendor = Vendor::answering(|seen| {
        let after = if seen.key() == "sk-2" { "retry-after: 20" } else { "retry-after: 500" };
        answer(429, &[after], format!("{{\"key\":\"{}\"}}", &seen.key()[3..]))
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1", "sk-2", "sk-3"], |_| {});
    let hall = setup.start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((reply.status, reply.text()), (429, r#"{"key":"3"}"#), "the last word, as it came");
    assert_eq!(reply.header("retry-after"), Some("20"));
    assert_eq!(vendor.seen().len(), 3);
}

#[tokio::test]
async fn a_provider_with_too_much_to_do_is_believed_whatever_keys_rest() {
    let vendor = Vendor::answering(|seen| match seen.key() {
        "sk-1" => answer(429, &["retry-after: 300"], "{}"),
        _ => answer(503, &["retry-after: 11"], "{}"),
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1", "sk-2"], |upstream| upstream.retry_count = 0);
    let hall = setup.start().await;
    // The second call begins with the other key.
    for _ in 0..2 {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("11")));
    }
    assert!(vendor.seen().iter().any(|seen| seen.key() == "sk-1"), "no key was limited");
}

#[tokio::test]
async fn the_clients_own_faults_are_never_tried_again_and_rest_no_key() {
    for status in [400, 404, 413, 415, 422] {
        let words = format!(r#"{{"error":{{"message":"your fault","n":{status}}}}}"#);
        let vendor = Vendor::saying(json(status, &words)).await;
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1", "sk-2"], |_| {});
        let hall = setup.start().await;
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!((reply.status, reply.text()), (status, words.as_str()));
        assert_eq!(vendor.seen().len(), 1);
        for key in [101, 102] {
            assert_eq!(hall.standing(key), None);
        }
        let entry = hall.entry().await;
        assert_eq!((entry.status, entry.outcome), (status, Outcome::Completed));
    }
}

#[tokio::test]
async fn a_provider_that_refuses_our_key_is_our_trouble() {
    for (path, provider, wanted) in [
        ("/v1/chat/completions", Provider::Custom, "/error/code"),
        ("/v1/messages", Provider::Anthropic, "/error/message"),
        ("/proxy/up/x", Provider::Custom, "/error/code"),
    ] {
        for status in [401, 403] {
            let vendor = Vendor::saying(json(status, r#"{"error":"key of account 12345"}"#)).await;
            let mut setup = Setup::new();
            setup.upstream("up", vendor.addr, &["sk-1"], |up| {
                up.dialects = provider.dialects();
                up.key_placement = provider.key_placement();
            });
            let hall = setup.start().await;
            let reply = hall.ask(hall.post(path, &chat("m"))).await;
            assert_eq!(reply.status, 502, "{path}");
            assert!(reply.json().pointer(wanted).is_some(), "{}", reply.text());
            assert!(!reply.text().contains("12345"));
        }
    }
}

#[tokio::test]
async fn a_connection_that_died_while_it_waited_costs_nothing() {
    let vendor = Vendor::talking(|mut talk| async move {
        // Serves one call, and closes when the second is on its way.
        talk.request().await;
        talk.send(said("once")).await;
        talk.head().await;
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.retry_count = 0);
    let hall = setup.start().await;
    for _ in 0..5 {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200);
    }
    for entry in hall.entries().await {
        assert_eq!(entry.attempts.len(), 1, "it is no attempt of its own");
    }
}

#[tokio::test]
async fn nothing_is_tried_again_after_the_first_byte() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(STREAM).await;
        talk.send(chunk(delta("half"))).await;
        talk.reset();
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
    assert_eq!(reply.status, 200);
    assert!(reply.text().starts_with(&delta("half")));
    let told = "\"the provider broke off in the middle of its answer\"";
    assert!(reply.text().contains(told), "an event tells: {}", reply.text());
    assert!(reply.text().contains("upstream_broke_off") && !reply.text().contains("os error"));
    assert_eq!(vendor.seen().len(), 1);
    let entry = hall.entry().await;
    assert_eq!((entry.outcome, entry.status), (Outcome::UpstreamBroke, 200));
    assert_eq!(entry.error.as_deref(), Some("the provider broke off in the middle of its answer"));
}

#[tokio::test]
async fn attempts_end_with_the_time_of_the_call_or_with_that_for_its_answer() {
    for answer_timeout in [None, Some(Duration::from_millis(400))] {
        let vendor = failing("no answer").await;
        let mut setup = Setup::new();
        let mut targets = Vec::new();
        for name in ["one", "two"] {
            let up = setup.upstream(name, vendor.addr, &["sk-1"], |up| {
                up.retry_count = 10;
                up.timeouts.first_byte = Duration::from_millis(80);
                up.timeouts.total = Duration::from_millis(match answer_timeout {
                    Some(_) => 3_600_000,
                    None => 400,
                });
                up.policy.answer_timeout = answer_timeout;
            });
            targets.push((up, Some("m")));
        }
        setup.route("m", &targets);
        let hall = setup.start().await;
        let began = Instant::now();
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!((reply.status, reply.code().as_str()), (504, "upstream_timeout"));
        assert!(began.elapsed() < PATIENCE / 4, "took {:?}", began.elapsed());
        let entry = hall.entry().await;
        assert_eq!((entry.outcome, entry.status), (Outcome::TimedOut, 504));
        assert!(!entry.attempts.is_empty() && entry.attempts.len() <= 6, "{:?}", entry.attempts);
    }
}

#[tokio::test]
async fn the_time_for_an_answer_is_not_the_time_for_all_of_it() {
    let over = std::sync::Arc::new(tokio::sync::Notify::new());
    let end = over.clone();
    let vendor = Vendor::talking(move |mut talk| {
        let end = end.clone();
        async move {
            talk.request().await;
            talk.send(STREAM).await;
            talk.send(chunk(delta("one"))).await;
            end.notified().await;
            talk.send(chunk("data: [DONE]\n\n")).await;
            talk.send("0\r\n\r\n").await;
        }
    })
    .await;
    let mut setup = Setup::new();
    let most = Duration::from_millis(200);
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.policy.answer_timeout = Some(most));
    let hall = setup.start().await;
    let began = Instant::now();
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
    peer.head().await.unwrap();
    until("the time for the answer is over", || began.elapsed() > most).await;
    over.notify_one();
    let mut got = Vec::new();
    while let Some(chunk) = peer.chunk().await.filter(|chunk| !chunk.is_empty()) {
        got.extend(chunk);
    }
    assert!(String::from_utf8(got).unwrap().ends_with("data: [DONE]\n\n"));
    assert_eq!(hall.entry().await.outcome, Outcome::Completed);
}

#[tokio::test]
async fn an_error_keeps_its_coding_and_its_headers() {
    let body = b"\x1f\x8b not really gzip but bytes".to_vec();
    let vendor = Vendor::saying(answer(
        500,
        &["content-type: text/html", "content-encoding: gzip", "x-theirs: 1", "set-cookie: a=b"],
        &body,
    ))
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.retry_count = 0);
    let hall = setup.start().await;
    let reply = hall.ask(hall.request("GET", "/proxy/up/x", &[], "")).await;
    assert_eq!((reply.status, &reply.body), (500, &body));
    assert_eq!(reply.header("content-type"), Some("text/html"));
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    assert_eq!((reply.header("x-theirs"), reply.header("set-cookie")), (Some("1"), None));
}

#[tokio::test]
async fn a_key_whose_secret_is_replaced_is_rested_no_more() {
    let vendor = Vendor::answering(|seen| match seen.key() {
        "sk-new" => said("good"),
        _ => json(401, "{}"),
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 502);
    hall.install(|catalog| {
        let entry = catalog.upstreams.get_mut(&UpstreamId(1)).unwrap();
        let entry = std::sync::Arc::make_mut(entry);
        std::sync::Arc::make_mut(&mut entry.keys[0]).secret = "sk-new".to_owned().into();
    });
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
}

#[tokio::test]
async fn nobody_is_made_to_wait_until_a_far_reset() {
    let (paths, far) = (["/v1/chat/completions", "/v1/messages", "/v1/responses"], 86_400);
    for path in paths {
        let dialect = match path {
            "/v1/messages" => domain::Dialect::AnthropicMessages,
            "/v1/responses" => domain::Dialect::OpenaiResponses,
            _ => domain::Dialect::OpenaiChat,
        };
        let after = format!("retry-after: {far}");
        let vendor = Vendor::saying(answer(429, &[&after, "x-should-retry: true"], "{}")).await;
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1"], |up| up.dialects = vec![dialect]);
        let hall = setup.start().await;
        let body = r#"{"model":"m","max_tokens":9,"input":"hi","messages":[{"role":"user","content":"hi"}]}"#;
        // The provider's own refusal, and then ours.
        for call in 0..2 {
            let reply = hall.ask(hall.post(path, body)).await;
            assert_eq!(
                (reply.status, reply.header("x-should-retry")),
                (429, Some("false")),
                "{path} {call}"
            );
            let told = reply.header("retry-after").map(|wait| wait.parse::<u64>().unwrap());
            match path {
                "/v1/responses" => assert_eq!((told, reply.header("retry-after-ms")), (None, None)),
                _ => assert!(told.is_some_and(|wait| wait > 60 && wait <= far), "{path}: {told:?}"),
            }
        }
    }
}
