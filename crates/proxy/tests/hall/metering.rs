//! Whatever a provider does not report is counted, estimated, or refused before it starts: no kind
//! of call passes a budget unseen.

use std::{sync::Arc, time::Duration};

use chrono_tz::Tz;
use domain::{
    Algorithm, Limit, LimitId, Period, Price, ProviderKey, Quota, Scope, Unit, UpstreamId,
    live::Live,
    log::{LogEntry, Outcome, UsageSource},
};

use crate::{
    harness::{Hall, OWNER, Peer, Setup, chat, chat_stream, until},
    vendor::{STREAM, Talk, Vendor, answer, chunk, delta, json, said, stream_of},
};

/// Five cents, in billionths of a dollar.
const BUDGET: u64 = 50_000_000;

const HANDSHAKE: [&str; 4] = [
    "connection: keep-alive, Upgrade",
    "upgrade: websocket",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version: 13",
];
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn limit(setup: &mut Setup, unit: Unit, most: u64) -> LimitId {
    let id = LimitId(setup.catalog.limits.len() as i64 + 1);
    let row = Limit {
        id,
        owner: OWNER,
        name: "budget".to_owned(),
        scope: Scope::Global,
        unit,
        algorithm: Algorithm::Calendar { period: Period::Day, timezone: Some(Tz::UTC) },
        limit: most,
        alert_percent: None,
        enabled: true,
    };
    setup.catalog.limits.insert(id, Arc::new(row));
    id
}

/// Two dollars a million tokens in, ten out.
fn by_tokens(model: &str) -> Price {
    let model = model.to_owned();
    Price { model, input: 2_000_000, output: 10_000_000, ..Price::default() }
}

/// A gateway before `vendor`, with a budget of five cents a day.
async fn with_budget(vendor: &Vendor, price: Price) -> (Hall, LimitId) {
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.policy.prices = vec![price]);
    let id = limit(&mut setup, Unit::Cost, BUDGET);
    (setup.start().await, id)
}

/// Calls until one is refused. Gives the entries of those that were let in, and checks that the
/// budget holds and that what it counted is what the log says.
async fn until_refused(hall: &Hall, id: LimitId, request: &[u8], code: &str) -> Vec<LogEntry> {
    let mut calls = 0;
    let refused = loop {
        let reply = hall.ask(request).await;
        if reply.status >= 400 {
            break reply;
        }
        calls += 1;
        assert!(calls < 60, "the budget has no end");
    };
    assert_eq!(refused.code(), code, "{}", refused.text());
    let mut entries = hall.entries().await;
    let last = entries.pop().unwrap();
    assert_eq!((last.outcome, last.usage_source), (Outcome::Refused, UsageSource::Nothing));
    let spent: i64 = entries.iter().filter_map(|entry| entry.cost_nano).sum();
    let used = hall.gateway.limit(id, 1).first().map_or(0, |used| used.used);
    assert_eq!(i64::try_from(used).unwrap(), spent, "the budget counts what the log says");
    entries
}

#[tokio::test]
async fn speech_is_counted_by_its_characters() {
    let vendor = Vendor::saying(answer(200, &["content-type: audio/mpeg"], [7; 3000])).await;
    // 15 dollars for a million characters.
    let price = Price { character: Some(15_000_000), ..named("tts-1") };
    let (hall, id) = with_budget(&vendor, price).await;
    let body = format!(r#"{{"model":"tts-1","voice":"alloy","input":"{}"}}"#, "ä".repeat(1000));
    let request = hall.post("/v1/audio/speech", &body);
    let entries = until_refused(&hall, id, &request, "budget_exceeded").await;
    assert_eq!(entries.len(), 3, "three times one and a half cents");
    let entry = &entries[0];
    assert_eq!((entry.usage.characters, entry.cost_nano), (1000, Some(15_000_000)));
    assert_eq!(entry.usage_source, UsageSource::Counted);
}

#[tokio::test]
async fn speech_that_is_priced_by_tokens_is_estimated() {
    let vendor = Vendor::saying(answer(200, &["content-type: audio/mpeg"], [7; 3000])).await;
    let (hall, id) = with_budget(&vendor, by_tokens("gpt-4o-mini-tts")).await;
    let body = format!(r#"{{"model":"gpt-4o-mini-tts","input":"{}"}}"#, "a".repeat(1000));
    let request = hall.post("/v1/audio/speech", &body);
    let entries = until_refused(&hall, id, &request, "budget_exceeded").await;
    let entry = &entries[0];
    assert_eq!(entry.usage_source, UsageSource::Estimated);
    assert_eq!((entry.usage.input, entry.usage.output), (250, 1500));
    assert_eq!(entry.cost_nano, Some(250 * 2_000 + 1500 * 10_000));
}

#[tokio::test]
async fn images_are_counted_by_their_number() {
    let body = r#"{"created":1,"data":[{"url":"https://x/1"},{"url":"https://x/2"}]}"#;
    let vendor = Vendor::saying(json(200, body)).await;
    let price = Price { image: Some(10_000_000), ..named("dall-e-3") };
    let (hall, id) = with_budget(&vendor, price).await;
    let request =
        hall.post("/v1/images/generations", r#"{"model":"dall-e-3","prompt":"a cat","n":2}"#);
    let entries = until_refused(&hall, id, &request, "budget_exceeded").await;
    assert_eq!(entries.len(), 2, "two times two cents");
    assert_eq!((entries[0].usage.images, entries[0].cost_nano), (2, Some(20_000_000)));
    assert_eq!(entries[0].usage_source, UsageSource::Counted);
}

#[tokio::test]
async fn images_whose_tokens_are_told_are_not_estimated() {
    let body = r#"{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":50,"output_tokens":1056,"total_tokens":1106}}"#;
    let vendor = Vendor::saying(json(200, body)).await;
    let (hall, id) = with_budget(&vendor, by_tokens("gpt-image-*")).await;
    let request =
        hall.post("/v1/images/generations", r#"{"model":"gpt-image-1","prompt":"a cat"}"#);
    let entries = until_refused(&hall, id, &request, "budget_exceeded").await;
    assert_eq!(entries[0].cost_nano, Some(50 * 2_000 + 1056 * 10_000));
    assert_eq!((entries[0].usage.images, entries[0].usage_source), (1, UsageSource::Reported));
}

#[tokio::test]
async fn vectors_without_usage_are_counted_by_what_went_in() {
    let vendor = Vendor::saying(json(200, r#"{"data":[{"embedding":[0.1,0.2]}]}"#)).await;
    let (hall, id) = with_budget(&vendor, by_tokens("embed")).await;
    let text = "a word ".repeat(4000);
    let request = hall.post("/v1/embeddings", &format!(r#"{{"model":"embed","input":"{text}"}}"#));
    let entries = until_refused(&hall, id, &request, "budget_exceeded").await;
    assert_eq!(entries[0].usage_source, UsageSource::Counted);
    assert!(entries[0].usage.input > 6000, "{:?}", entries[0].usage);
    assert!((2..6).contains(&entries.len()), "{}", entries.len());
}

/// A form with a recording of `size` bytes.
fn recording(size: usize) -> (Vec<u8>, &'static str) {
    let mut body = b"--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n".to_vec();
    body.extend(std::iter::repeat_n(b'a', size));
    body.extend_from_slice(b"\r\n--x--\r\n");
    (body, "content-type: multipart/form-data; boundary=x")
}

#[tokio::test]
async fn transcriptions_are_counted_by_time() {
    let (body, kind) = recording(60_000);
    for (told, source, cost) in [
        (r#"{"text":"hi","usage":{"type":"duration","seconds":120}}"#, UsageSource::Reported, 12),
        (r#"{"text":"hi","duration":120.0}"#, UsageSource::Reported, 12),
        // 60 kB at 32 kbit/s, rounded up.
        (r#"{"text":"hi"}"#, UsageSource::Estimated, 0),
    ] {
        let vendor = Vendor::saying(json(200, told)).await;
        let price = Price { minute: Some(6_000_000), ..named("whisper-1") };
        let (hall, id) = with_budget(&vendor, price).await;
        let request = hall.request("POST", "/v1/audio/transcriptions", &[kind], &body);
        let entries = until_refused(&hall, id, &request, "budget_exceeded").await;
        let entry = &entries[0];
        assert_eq!(entry.usage_source, source, "{told}");
        assert!(entry.usage.duration_ms >= 15_000, "{told}: {:?}", entry.usage);
        if cost > 0 {
            assert_eq!(entry.cost_nano, Some(cost * 1_000_000), "{told}");
        }
    }
}

/// A price of nothing but the model's name.
fn named(model: &str) -> Price {
    Price { model: model.to_owned(), ..Price::default() }
}

/// A text frame of a server.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut frame = vec![0x81, 126];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// What a Realtime provider says at the end of an answer of 20,000 tokens.
fn done() -> Vec<u8> {
    frame(
        r#"{"type":"response.done","response":{"id":"resp_1","model":"gpt-realtime-2","status":"completed","usage":{"total_tokens":20000,"input_tokens":16000,"output_tokens":4000}}}"#,
    )
}

/// A Realtime provider that answers once for each piece that it hears.
async fn realtime() -> Vendor {
    Vendor::talking(|mut talk: Talk| async move {
        talk.request().await;
        talk.send(SWITCH).await;
        while talk.fill().await.is_some() {
            talk.send(done()).await;
        }
    })
    .await
}

async fn socket(hall: &Hall, path: &str) -> (Peer, String) {
    let mut peer = hall.connect().await;
    peer.send(hall.request("GET", path, &HANDSHAKE, "")).await;
    let head = peer.head().await.unwrap();
    (peer, head)
}

#[tokio::test]
async fn sockets_are_counted_answer_by_answer() {
    for path in ["/v1/realtime?model=gpt-realtime", "/proxy/up/v1/realtime?model=gpt-realtime"] {
        let vendor = realtime().await;
        let mut setup = Setup::new();
        // 16,000 tokens in and 4,000 out cost 3.6 cents.
        setup.upstream("up", vendor.addr, &["sk-1"], |up| {
            up.models = vec!["gpt-realtime".to_owned()];
            up.policy.prices =
                vec![Price { input: 1_000_000, output: 5_000_000, ..named("gpt-realtime") }];
        });
        let id = limit(&mut setup, Unit::Cost, BUDGET);
        let hall = setup.start().await;
        let (mut peer, head) = socket(&hall, path).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{path}: {head}");
        peer.send("first").await;
        while peer.buf.len() < done().len() {
            assert!(peer.fill().await);
        }
        // It counts while the socket is still open.
        until("the answer is counted", || hall.gateway.limit(id, 1)[0].used >= 36_000_000).await;
        // The second answer uses the budget up: it arrives, and the socket is closed behind it.
        peer.send("second").await;
        while peer.fill().await {}
        assert!(peer.buf.ends_with(b"\x03\xf0a limit is used up"), "{path}");
        let entry = hall.entry().await;
        assert_eq!((entry.usage.input, entry.usage.output), (32_000, 8_000), "{path}");
        assert_eq!(entry.usage_source, UsageSource::Reported);
        assert_eq!(entry.cost_nano, Some(72_000_000));
        assert_eq!(hall.gateway.limit(id, 1)[0].used, 72_000_000);
        assert_eq!(entry.served.model.as_deref(), Some("gpt-realtime-2"));
        let (_, head) = socket(&hall, path).await;
        assert!(head.starts_with("HTTP/1.1 429"), "{path}: {head}");
    }
}

#[tokio::test]
async fn a_socket_counts_in_the_window_in_which_it_answers() {
    let vendor = realtime().await;
    let mut setup = Setup::with(vendor.addr);
    let id = limit(&mut setup, Unit::Tokens, 50_000);
    let row = setup.catalog.limits.get_mut(&id).unwrap();
    let algorithm = Algorithm::SlidingWindow { window: Duration::from_secs(60) };
    *row = Arc::new(Limit { algorithm, ..(**row).clone() });
    let clock = setup.settings.clock.clone();
    let hall = setup.start().await;
    let (mut peer, head) = socket(&hall, "/proxy/up/v1/realtime?model=m").await;
    assert!(head.starts_with("HTTP/1.1 101"));
    // Long after what was reserved for it has been forgotten.
    clock.forward(Duration::from_secs(600));
    for said in 1..=2 {
        peer.send("more").await;
        while peer.buf.len() < said * done().len() {
            assert!(peer.fill().await);
        }
        let used = || hall.gateway.limit(id, 1).first().map_or(0, |used| used.used);
        until("the answer is counted", || used() >= 20_000 * said as u64).await;
    }
    // A third one does not fit: it arrives, and the socket is closed behind it.
    peer.send("more").await;
    while peer.fill().await {}
    assert!(peer.buf.ends_with(b"\x03\xf0a limit is used up"));
    assert_eq!(hall.gateway.limit(id, 1)[0].used, 60_000);
}

#[tokio::test]
async fn a_socket_that_tells_no_usage_keeps_what_it_reserved() {
    let vendor = Vendor::talking(|mut talk: Talk| async move {
        talk.request().await;
        talk.send(SWITCH).await;
        talk.send(frame("{\"hello\":true}")).await;
        talk.until_gone().await;
    })
    .await;
    let mut setup = Setup::with(vendor.addr);
    let id = limit(&mut setup, Unit::Tokens, 5000);
    let hall = setup.start().await;
    let (mut peer, head) = socket(&hall, "/proxy/up/ws").await;
    assert!(head.starts_with("HTTP/1.1 101"));
    while peer.buf.is_empty() {
        assert!(peer.fill().await);
    }
    drop(peer);
    let entry = hall.entry().await;
    assert_eq!((entry.usage_source, entry.usage.output), (UsageSource::Estimated, 4096));
    assert_eq!(hall.gateway.limit(id, 1)[0].used, 4096);
}

#[tokio::test]
async fn streams_through_the_proxy_are_counted_where_no_usage_is_told() {
    let events = [delta("one"), delta("two"), "data: [DONE]\n\n".to_owned()];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let streamed = stream_of(&events);
    let vendor = Vendor::answering(move |_| streamed.clone()).await;
    let mut setup = Setup::with(vendor.addr);
    let id = limit(&mut setup, Unit::Tokens, 54);
    let hall = setup.start().await;
    let request = hall.post("/proxy/up/v1/chat/completions", &chat_stream("m"));
    let mut passed = 0;
    while hall.ask(&request).await.status == 200 {
        passed += 1;
        assert!(passed < 12, "the limit has no end");
    }
    let entries = hall.entries().await;
    assert_eq!(entries[0].usage_source, UsageSource::Counted);
    assert_eq!(entries[0].usage.output, 2);
    let used: u64 = entries.iter().map(|entry| entry.usage.input + entry.usage.output).sum();
    assert_eq!(hall.gateway.limit(id, 1)[0].used, used);
    assert!(used > 0);
}

#[tokio::test]
async fn what_is_written_in_the_background_keeps_what_it_reserved() {
    let body = r#"{"id":"resp_1","status":"queued","background":true,"model":"m","usage":null}"#;
    let vendor = Vendor::saying(json(200, body)).await;
    let (hall, id) = with_budget(&vendor, by_tokens("m")).await;
    let request = hall.post(
        "/v1/responses",
        r#"{"model":"m","input":"hi","background":true,"max_output_tokens":2000}"#,
    );
    let entries = until_refused(&hall, id, &request, "budget_exceeded").await;
    assert_eq!(entries.len(), 2, "two cents each");
    assert_eq!(entries[0].usage_source, UsageSource::Estimated);
    assert_eq!(entries[0].usage.output, 2000);
}

#[tokio::test]
async fn to_ask_for_a_background_response_costs_nothing_however_often() {
    let pending = r#"{"id":"resp_1","status":"queued","background":true,"model":"m","usage":null}"#;
    let done = r#"{"id":"resp_1","status":"completed","background":true,"model":"m","usage":{"input_tokens":900,"output_tokens":900,"total_tokens":1800}}"#;
    let vendor = Vendor::answering(move |seen| match seen.method.as_str() {
        "GET" => json(200, done),
        _ => json(200, pending),
    })
    .await;
    let (hall, id) = with_budget(&vendor, by_tokens("m")).await;
    let body = r#"{"model":"m","input":"hi","background":true,"max_output_tokens":100}"#;
    assert_eq!(hall.ask(hall.post("/v1/responses", body)).await.status, 200);
    let held = |hall: &Hall| hall.gateway.limit(id, 1)[0].used;
    let before = held(&hall);
    assert!(before > 0);
    for _ in 0..3 {
        let reply = hall.ask(hall.request("GET", "/v1/responses/resp_1", &[], "")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(held(&hall), before);
    let entries = hall.entries().await;
    assert_eq!(entries.len(), 4);
    assert_eq!(entries[0].usage_source, UsageSource::Estimated);
    for entry in &entries[1..] {
        assert_eq!((entry.usage_source, entry.usage.output), (UsageSource::Nothing, 0));
    }
}

#[tokio::test]
async fn a_budget_knows_the_model_of_a_call_through_the_proxy() {
    let vendor = Vendor::saying(said("ok")).await;
    let (hall, id) = with_budget(&vendor, by_tokens("m")).await;
    let reply = hall.ask(hall.post("/proxy/up/v1/chat/completions", &chat("m"))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(hall.entry().await.cost_nano, Some(7 * 2_000 + 3 * 10_000));
    assert_eq!(hall.gateway.limit(id, 1)[0].used, 44_000);
    let other = hall.ask(hall.post("/proxy/up/v1/chat/completions", &chat("other"))).await;
    assert_eq!((other.status, other.code().as_str()), (403, "price_unknown"));
}

#[tokio::test]
async fn what_costs_nothing_is_not_kept_out_by_money() {
    let vendor = Vendor::saying(json(
        200,
        r#"{"object":"list","data":[],"usage":{"total_tokens":9,"prompt_tokens":9}}"#,
    ))
    .await;
    let (hall, id) = with_budget(&vendor, by_tokens("m")).await;
    for used_up in [false, true] {
        for (method, path) in [
            ("GET", "/v1/files"),
            ("GET", "/v1/responses/resp_1"),
            ("DELETE", "/v1/files/file-1"),
            ("GET", "/proxy/up/v1/models"),
        ] {
            let reply = hall.ask(hall.request(method, path, &[], "")).await;
            assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text());
        }
        for entry in hall.entries().await {
            assert_eq!((entry.usage_source, entry.cost_nano), (UsageSource::Nothing, None));
            assert_eq!(entry.usage.input, 0, "what was stored is not used again");
        }
        if !used_up {
            // A batch costs something, and nobody knows what.
            let reply = hall.ask(hall.post("/v1/batches", r#"{"input_file_id":"f"}"#)).await;
            assert_eq!((reply.status, reply.code().as_str()), (403, "price_unknown"));
            let body = format!("{},\"max_tokens\":4900}}", chat("m").trim_end_matches('}'));
            hall.entries().await;
            let request = hall.post("/v1/chat/completions", &body);
            until_refused_by_reservation(&hall, &request).await;
        }
    }
    assert!(hall.gateway.limit(id, 1)[0].used > 0);
}

/// Calls until what a call reserves does not fit any more.
async fn until_refused_by_reservation(hall: &Hall, request: &[u8]) {
    let mut calls = 0;
    while hall.ask(request).await.status == 200 {
        calls += 1;
        assert!(calls < 100, "the budget has no end");
    }
    hall.entries().await;
}

#[tokio::test]
async fn a_key_with_a_quota_in_money_takes_no_call_without_a_price() {
    let vendor = Vendor::saying(said("ok")).await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.policy.prices = vec![by_tokens("m")]);
    let entry = setup.catalog.upstreams.get_mut(&UpstreamId(1)).unwrap();
    let mut changed = (**entry).clone();
    let key = ProviderKey {
        quotas: vec![Quota {
            unit: Unit::Cost,
            period: Period::Day,
            limit: BUDGET,
            timezone: None,
        }],
        ..(*changed.keys[0]).clone()
    };
    changed.keys = vec![Arc::new(key)];
    *entry = Arc::new(changed);
    let hall = setup.start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("other"))).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "price_unknown"));
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
    assert_eq!(hall.ask(hall.request("GET", "/v1/files", &[], "")).await.status, 200);
    assert_eq!(vendor.seen().len(), 2);
}

#[tokio::test]
async fn an_attempt_that_timed_out_is_estimated_and_counts() {
    let slow = Vendor::talking(|mut talk: Talk| async move {
        talk.request().await;
        talk.until_gone().await;
    })
    .await;
    let quick = Vendor::saying(said("ok")).await;
    let mut setup = Setup::new();
    let prices = vec![by_tokens("m")];
    let first = setup.upstream("slow", slow.addr, &["sk-1"], |up| {
        up.timeouts.first_byte = Duration::from_millis(200);
        up.retry_count = 0;
        up.policy.prices = prices.clone();
    });
    let second = setup.upstream("quick", quick.addr, &["sk-2"], |up| up.policy.prices = prices);
    setup.route("r", &[(first, Some("m")), (second, Some("m"))]);
    let id = limit(&mut setup, Unit::Cost, BUDGET);
    let hall = setup.start().await;
    let body = format!("{},\"max_tokens\":100}}", chat("r").trim_end_matches('}'));
    // A brace belongs to the messages.
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &body)).await.status, 200);
    let entry = hall.entry().await;
    let [late, good] = entry.attempts.as_slice() else { panic!("{:#?}", entry.attempts) };
    assert_eq!((late.result.as_str(), late.usage_source), ("timeout", UsageSource::Estimated));
    assert_eq!(late.usage.output, 100);
    assert_eq!((good.usage_source, good.cost_nano), (UsageSource::Reported, Some(44_000)));
    assert_eq!(entry.usage, good.usage.plus(&late.usage));
    assert_eq!(entry.usage_source, UsageSource::Estimated);
    let cost = entry.cost_nano.unwrap();
    assert_eq!(cost, 44_000 + late.cost_nano.unwrap());
    assert_eq!(hall.gateway.limit(id, 1)[0].used, u64::try_from(cost).unwrap());
}

#[tokio::test]
async fn an_entry_tells_who_called_and_what_the_provider_said() {
    let vendor = Vendor::saying(answer(
        200,
        &["content-type: application/json", "x-request-id: req_42"],
        r#"{"id":"c1","model":"gpt-5-2026-08-07","service_tier":"priority","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#,
    ))
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.policy.prices = vec![by_tokens("m")]);
    let hall = setup.start().await;
    let fields = [
        "content-type: application/json",
        "user-agent: claude-cli/2.1.258 (external, cli)",
        "X-Claude-Code-Session-Id: s-1",
        "X-Claude-Code-Agent-Id: a-2",
    ];
    hall.ask(hall.request("POST", "/v1/chat/completions", &fields, chat("m"))).await;
    let entry = hall.entry().await;
    assert_eq!(entry.origin.session.as_deref(), Some("s-1"));
    assert_eq!(entry.origin.agent.as_deref(), Some("a-2"));
    assert_eq!(entry.origin.program.as_deref(), Some("claude-code"));
    assert_eq!(entry.origin.version.as_deref(), Some("2.1.258"));
    assert_eq!(entry.served.model.as_deref(), Some("gpt-5-2026-08-07"));
    assert_eq!(entry.served.tier.as_deref(), Some("priority"));
    assert_eq!(
        entry.served.usage.as_deref(),
        Some(r#"{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}"#)
    );
    assert_eq!(entry.provider_request_id(), Some("req_42"));
    assert_eq!(entry.price_version, Some(1), "the revision of the configuration");
    assert_eq!(entry.attempts[0].cost_nano, entry.cost_nano);
}

#[tokio::test]
async fn a_stream_tells_the_same_also_where_it_is_said_again() {
    let start = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-5","content":[],"stop_reason":null,"usage":{"input_tokens":11,"output_tokens":1,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}

event: message_stop
data: {"type":"message_stop"}

"#;
    let vendor = Vendor::talking(move |mut talk: Talk| async move {
        while talk.request().await.is_some() {
            let head = STREAM.replace("\r\n\r\n", "\r\nrequest-id: req_7\r\n\r\n");
            talk.send(head).await;
            talk.send(chunk(start)).await;
            talk.send("0\r\n\r\n").await;
        }
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| {
        up.dialects = domain::Provider::Anthropic.dialects();
    });
    let hall = setup.start().await;
    let native = chat_stream("up/claude").replace("\"stream\"", "\"max_tokens\":9,\"stream\"");
    for (path, body) in
        [("/v1/messages", native.as_str()), ("/v1/chat/completions", &chat_stream("up/claude"))]
    {
        let reply = hall.ask(hall.post(path, body)).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let entry = hall.entry().await;
        assert_eq!(entry.served.model.as_deref(), Some("claude-sonnet-5"), "{path}");
        assert_eq!(entry.served.tier.as_deref(), Some("standard"), "{path}");
        let usage: serde_json::Value =
            serde_json::from_str(entry.served.usage.as_deref().unwrap()).unwrap();
        assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&11.into(), &5.into()));
        assert_eq!(entry.provider_request_id(), Some("req_7"), "{path}");
        assert_eq!(entry.usage_source, UsageSource::Reported);
    }
}
