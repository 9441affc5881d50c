//! A call in one dialect, a target in another: what is sent there, what comes back, and what is
//! tried when that cannot be.

use std::io::Write;

use domain::{
    Conversion, Dialect, HeaderPolicy, HeaderRule, KeyPlacement, Provider, QueryField, Upstream,
    UpstreamId,
    log::{Outcome, UsageSource},
};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::{
    harness::{Hall, Reply, Setup, chat, soon},
    vendor::{Seen, Vendor, answer, json as says, said},
};

/// What an upstream of this vendor is like.
pub(crate) fn of(provider: Provider) -> impl Fn(&mut Upstream) {
    move |upstream| {
        upstream.provider = provider;
        upstream.dialects = provider.dialects();
        upstream.key_placement = provider.key_placement();
        upstream.retry_count = 0;
    }
}

/// An answer of Anthropic's that says `text`.
pub(crate) fn claude_said(text: &str) -> Vec<u8> {
    says(
        200,
        &json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
            "content": [{ "type": "text", "text": text }],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": { "input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 3 },
        })
        .to_string(),
    )
}

/// A hall in which the model `r` leads to these targets, one after the other.
pub(crate) async fn routed(targets: &[(&Vendor, Provider)], edit: impl FnOnce(&mut Setup)) -> Hall {
    let mut setup = Setup::new();
    let targets: Vec<(UpstreamId, Option<&str>)> = targets
        .iter()
        .zip(["one", "two", "three"])
        .map(|((vendor, provider), name)| {
            (setup.upstream(name, vendor.addr, &["sk-provider"], of(*provider)), Some("m"))
        })
        .collect();
    setup.route("r", &targets);
    edit(&mut setup);
    setup.start().await
}

fn conversion(setup: &mut Setup, conversion: Conversion) {
    let route = setup.catalog.routes.values_mut().next().unwrap();
    std::sync::Arc::make_mut(route).conversion = conversion;
}

async fn ask_chat(hall: &Hall, more: &str) -> Reply {
    let body = format!(r#"{{"model":"r","messages":[{{"role":"user","content":"hello"}}]{more}}}"#);
    hall.ask(hall.post("/v1/chat/completions", &body)).await
}

pub(crate) fn body_of(seen: &Seen) -> serde_json::Value {
    serde_json::from_slice(&seen.body).unwrap()
}

pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn br(text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    brotli::CompressorWriter::new(&mut packed, 4096, 5, 22).write_all(text).unwrap();
    packed
}

#[tokio::test]
async fn a_call_reaches_a_target_of_another_dialect_and_nothing_of_the_client_does() {
    let vendor = Vendor::saying(claude_said("hi")).await;
    let hall = routed(&[(&vendor, Provider::Anthropic)], |_| {}).await;
    let fields = [
        "content-type: application/json",
        "openai-organization: org-1",
        "openai-beta: x=1",
        "x-stainless-lang: python",
        "idempotency-key: i",
        "x-forwarded-for: 1.2.3.4",
        "user-agent: OpenAI/Python",
        "traceparent: 00-x",
        "accept-encoding: gzip",
    ];
    let reply = hall.ask(hall.request("POST", "/v1/chat/completions", &fields, chat("r"))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = reply.json();
    assert_eq!(said["choices"][0]["message"]["content"], "hi");
    assert_eq!((&said["model"], &said["object"]), (&json!("r"), &json!("chat.completion")));
    assert_eq!(said["usage"]["prompt_tokens"], 9);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-tollgate-dropped"), None);

    let seen = vendor.only();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/messages"));
    assert_eq!(seen.header("x-api-key"), Some("sk-provider"));
    assert!(seen.header("anthropic-version").is_some());
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert!(seen.header("user-agent").unwrap().starts_with("tollgate/"));
    for name in [
        "authorization",
        "openai-organization",
        "openai-beta",
        "x-stainless-lang",
        "idempotency-key",
        "x-forwarded-for",
        "traceparent",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert!(!seen.head.contains(&hall.key));
    assert_eq!(body_of(&seen)["model"], "m");

    let entry = hall.entry().await;
    assert_eq!((entry.outcome, entry.status, entry.streamed), (Outcome::Completed, 200, false));
    assert_eq!((entry.usage.input, entry.usage.cached, entry.usage.output), (9, 4, 3));
    assert_eq!(entry.usage_source, UsageSource::Reported);
    assert_eq!(entry.dialect, Some(Dialect::OpenaiChat));
    assert_eq!(entry.model_used.as_deref(), Some("m"));
    assert_eq!(entry.bytes_out, reply.body.len() as u64);
    assert_eq!(entry.decision[0].candidate, "one/m as anthropic_messages");
}

#[tokio::test]
async fn what_the_upstream_says_of_headers_path_and_query_holds_for_converted_calls() {
    let vendor = Vendor::saying(claude_said("hi")).await;
    let mut setup = Setup::new();
    setup.upstream("one", vendor.addr, &["sk&key"], |up| {
        of(Provider::Anthropic)(up);
        up.base_url = domain::BaseUrl::parse(&format!("http://{}/x/v1", vendor.addr)).unwrap();
        up.header_policy = HeaderPolicy::Keep;
        let rule = |name: &str, value: Option<&str>| HeaderRule {
            name: name.into(),
            value: value.map(str::to_owned),
        };
        up.header_rules = vec![
            rule("anthropic-version", Some("2099-01-01")),
            rule("user-agent", None),
            rule("x-mine", Some("1")),
        ];
        up.query = vec![QueryField { name: "api-version".into(), value: "7".into() }];
        up.key_placement = KeyPlacement::Query("key".into());
    });
    let hall = setup.start().await;
    let fields = ["content-type: application/json", "traceparent: 00-x", "openai-beta: y"];
    let body = chat("one/m");
    let reply = hall.ask(hall.request("POST", "/v1/chat/completions", &fields, body)).await;
    assert_eq!(reply.status, 200);
    let seen = vendor.only();
    assert_eq!(seen.target, "/x/v1/messages?api-version=7&key=sk%26key");
    assert_eq!(seen.header("anthropic-version"), Some("2099-01-01"));
    assert_eq!((seen.header("user-agent"), seen.header("x-mine")), (None, Some("1")));
    assert_eq!((seen.header("traceparent"), seen.header("openai-beta")), (Some("00-x"), None));
}

#[tokio::test]
async fn a_route_may_go_from_one_dialect_to_another_and_back() {
    let (chat_down, claude) =
        (Vendor::saying(says(500, "{}")).await, Vendor::saying(claude_said("claude")).await);
    let hall =
        routed(&[(&chat_down, Provider::Custom), (&claude, Provider::Anthropic)], |_| {}).await;
    let sent = r#"{"model":"r",  "messages":[{"role":"user","content":"hello"}],"seed":1e2}"#;
    let reply = hall.ask(hall.post("/v1/chat/completions", sent)).await;
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "claude");
    assert_eq!(reply.header("x-tollgate-dropped"), Some("seed"));
    let untouched = sent.replace("\"r\"", "\"m\"");
    assert_eq!(chat_down.only().text(), untouched, "the first target is asked byte for byte");
    let entry = hall.entry().await;
    let results: Vec<&str> = entry.attempts.iter().map(|a| a.result.as_str()).collect();
    assert_eq!(results, ["server_fault", "answered"]);

    let (claude_down, chat_up) =
        (Vendor::saying(says(529, "{}")).await, Vendor::saying(said("chat")).await);
    let hall =
        routed(&[(&claude_down, Provider::Anthropic), (&chat_up, Provider::Custom)], |_| {}).await;
    let reply = hall.ask(hall.post("/v1/chat/completions", sent)).await;
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "chat");
    assert_eq!(reply.header("x-tollgate-dropped"), None, "nothing was lost on the way there");
    assert_eq!(chat_up.only().text(), untouched);
}

#[tokio::test]
async fn a_target_that_cannot_be_told_is_passed_over_before_it_is_asked() {
    let (claude, other) =
        (Vendor::saying(claude_said("claude")).await, Vendor::saying(said("chat")).await);
    let hall = routed(&[(&claude, Provider::Anthropic), (&other, Provider::Custom)], |_| {}).await;
    let reply = ask_chat(&hall, r#","n":2"#).await;
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "chat");
    assert!(claude.seen().is_empty());
    let entry = hall.entry().await;
    let passed = entry.decision.iter().filter(|c| c.passed_over.is_some());
    assert_eq!(passed.map(|c| c.candidate.as_str()).collect::<Vec<_>>(), ["one"]);

    let hall = routed(&[(&claude, Provider::Anthropic)], |_| {}).await;
    let reply = ask_chat(&hall, r#","n":2"#).await;
    assert_eq!(reply.status, 400);
    let error = &reply.json()["error"];
    assert_eq!((&error["param"], &error["type"]), (&json!("n"), &json!("invalid_request_error")));
    assert!(claude.seen().is_empty());
    let entry = hall.entry().await;
    assert_eq!((entry.outcome, entry.status), (Outcome::Refused, 400));
    assert!(entry.attempts.is_empty());
}

#[tokio::test]
async fn a_route_says_how_much_may_be_lost() {
    let vendor = Vendor::saying(claude_said("hi")).await;
    for (mode, more, status, param) in [
        (Conversion::Allow, r#","seed":1"#, 200, None),
        (Conversion::Strict, r#","seed":1"#, 400, Some("seed")),
        (Conversion::Strict, "", 200, None),
        (Conversion::Never, "", 404, None),
    ] {
        let target = [(&vendor, Provider::Anthropic)];
        let hall = routed(&target, |setup| conversion(setup, mode)).await;
        let reply = ask_chat(&hall, more).await;
        assert_eq!(reply.status, status, "{mode} {more}");
        assert_eq!(reply.json()["error"]["param"].as_str(), param, "{mode} {more}");
    }
    assert_eq!(vendor.seen().len(), 2);
}

#[tokio::test]
async fn a_targets_dialect_is_spoken_whatever_the_client_speaks() {
    let vendor = Vendor::saying(says(400, r#"{"error":{"message":"no"}}"#)).await;
    let force = |setup: &mut Setup| {
        let route = setup.catalog.routes.values_mut().next().unwrap();
        let target = &mut std::sync::Arc::make_mut(route).targets[0];
        target.dialect = Some(Dialect::OpenaiResponses);
    };
    let hall = routed(&[(&vendor, Provider::Custom)], force).await;
    ask_chat(&hall, "").await;
    hall.ask(hall.post("/v1/responses", r#"{"model":"r","input":"x"}"#)).await;
    let targets: Vec<String> = vendor.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/v1/responses", "/v1/responses"]);
    assert_eq!(vendor.seen()[1].text(), r#"{"model":"m","input":"x"}"#);
}

#[tokio::test]
async fn what_a_provider_refuses_is_said_in_the_clients_dialect() {
    let retry = r#"[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED",
        "details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"18.2s"}]}}]"#;
    let html = "<html>Bad gateway</html>";
    let bad = r#"{"error":{"code":400,"message":"too long","status":"INVALID_ARGUMENT"}}"#;
    let key = r#"{"error":{"code":403,"message":"account 12345","status":"PERMISSION_DENIED"}}"#;
    let refused = r#"{"error":{"code":400,"message":"account 12345","status":"INVALID_ARGUMENT",
        "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
    for (upstream, status, body, wanted, kind, outcome) in [
        ("400 key", 400, refused, 502, "api_error", Outcome::Failed),
        ("429", 429, retry, 429, "rate_limit_error", Outcome::Failed),
        ("html", 503, html, 502, "api_error", Outcome::Failed),
        ("400", 400, bad, 400, "invalid_request_error", Outcome::Completed),
        ("403", 403, key, 502, "api_error", Outcome::Failed),
    ] {
        let vendor = Vendor::saying(says(status, body)).await;
        let hall = routed(&[(&vendor, Provider::Gemini)], |_| {}).await;
        let body = r#"{"model":"r","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
        let reply = hall.ask(hall.post("/v1/messages", body)).await;
        assert_eq!(reply.status, wanted, "{upstream}: {}", reply.text());
        let error = reply.json();
        assert_eq!(error["type"], "error", "{upstream}");
        assert_eq!(error["error"]["type"], kind, "{upstream}");
        assert!(!reply.text().contains("12345") && !reply.text().contains("<html"));
        assert_eq!(reply.header("retry-after"), (wanted == 429).then_some("19"), "{upstream}");
        let entry = hall.entry().await;
        assert_eq!((entry.outcome, entry.status), (outcome, wanted), "{upstream}");
        assert_eq!(entry.attempts[0].status, Some(status));
    }
}

#[tokio::test]
async fn an_answer_without_sense_is_the_failure_of_an_attempt() {
    for (what, bad) in [
        ("empty", says(200, "")),
        ("no JSON", says(200, "<html>")),
        ("an error", says(200, r#"{"error":{"message":"oh","type":"server_error"}}"#)),
        ("no candidate", says(200, r#"{"candidates":[]}"#)),
    ] {
        let (bad, good) = (Vendor::saying(bad).await, Vendor::saying(claude_said("good")).await);
        let targets = [(&bad, Provider::Gemini), (&good, Provider::Anthropic)];
        let hall = routed(&targets, |_| {}).await;
        let reply = ask_chat(&hall, "").await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        assert_eq!(reply.json()["choices"][0]["message"]["content"], "good");
        let entry = hall.entry().await;
        assert_eq!(entry.attempts.len(), 2, "{what}");
        assert_ne!(entry.attempts[0].result, "answered", "{what}");
        assert_eq!(entry.attempts[0].status, Some(200));

        let hall = routed(&[(&bad, Provider::Gemini)], |_| {}).await;
        let reply = ask_chat(&hall, "").await;
        assert!(reply.status >= 500, "{what}: {}", reply.text());
        assert!(reply.json()["error"]["message"].is_string(), "{what}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_read_although_nobody_asked_for_it() {
    let plain = claude_said("packed");
    let body = gzip(&plain[plain.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4..]);
    let coded = ["content-type: application/json", "content-encoding: gzip"];
    let vendor = Vendor::saying(answer(200, &coded, &body)).await;
    let hall = routed(&[(&vendor, Provider::Anthropic)], |_| {}).await;
    let reply = ask_chat(&hall, "").await;
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "packed");
    assert_eq!(reply.header("content-encoding"), None);

    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy here"}}"#;
    let vendor = Vendor::saying(answer(529, &coded, gzip(error.as_bytes()))).await;
    let hall = routed(&[(&vendor, Provider::Anthropic)], |_| {}).await;
    let reply = ask_chat(&hall, "").await;
    assert_eq!((reply.status, &reply.json()["error"]["message"]), (503, &json!("busy here")));
}

#[tokio::test]
async fn tokens_are_counted_by_the_target_or_estimated_without_it() {
    let body = r#"{"model":"r","messages":[{"role":"user","content":"How many is this?"}]}"#;
    let gemini = Vendor::saying(says(200, r#"{"totalTokens":5}"#)).await;
    let hall = routed(&[(&gemini, Provider::Gemini)], |_| {}).await;
    let reply = hall.ask(hall.post("/v1/messages/count_tokens", body)).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "input_tokens": 5 })));
    assert_eq!(reply.header("x-tollgate-estimated"), None);
    assert!(gemini.only().target.ends_with("/models/m:countTokens"));

    let chat = Vendor::saying(says(500, "{}")).await;
    let hall = routed(&[(&chat, Provider::Custom)], |_| {}).await;
    let reply = hall.ask(hall.post("/v1/messages/count_tokens", body)).await;
    assert_eq!(reply.status, 200);
    assert!(reply.json()["input_tokens"].as_u64().unwrap() > 0);
    assert_eq!(reply.header("x-tollgate-estimated"), Some("true"));
    assert!(chat.seen().is_empty());
    let entry = hall.entry().await;
    assert_eq!((entry.outcome, entry.attempts.len()), (Outcome::Completed, 0));
}

#[tokio::test]
async fn vectors_are_asked_for_in_the_targets_way() {
    let vectors = r#"{"embeddings":[{"values":[0.5,-0.25]},{"values":[0.125,1.0]}]}"#;
    let gemini = Vendor::saying(says(200, vectors)).await;
    let claude = Vendor::saying(claude_said("no")).await;
    let targets = [(&claude, Provider::Anthropic), (&gemini, Provider::Gemini)];
    let hall = routed(&targets, |_| {}).await;
    let body = r#"{"model":"r","input":["a","b"],"dimensions":2}"#;
    let reply = hall.ask(hall.post("/v1/embeddings", body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = reply.json();
    assert_eq!(said["data"][1]["embedding"], json!([0.125, 1.0]));
    assert_eq!(said["model"], "r");
    let seen = gemini.only();
    assert!(seen.target.ends_with("/models/m:batchEmbedContents"), "{}", seen.target);
    assert_eq!(body_of(&seen)["requests"][0]["outputDimensionality"], 2);
    assert!(claude.seen().is_empty());
    let entry = hall.entry().await;
    assert_eq!((entry.outcome, entry.usage_source), (Outcome::Completed, UsageSource::Counted));

    let vectors = r#"{"data":[{"index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":3}}"#;
    let openai = Vendor::saying(says(200, vectors)).await;
    let hall = routed(&[(&openai, Provider::Custom)], |_| {}).await;
    let body = r#"{"content":{"parts":[{"text":"a"}]}}"#;
    let reply = hall.ask(hall.post("/v1beta/models/r:embedContent", body)).await;
    assert_eq!(reply.json()["embedding"]["values"], json!([0.5]), "{}", reply.text());
    assert_eq!(openai.only().target, "/v1/embeddings");
    assert_eq!(hall.entry().await.usage.input, 3);
}

/// The vectors of Gemini for a batch: the number in each text, or a refusal of too many.
fn batch(seen: &Seen) -> Vec<u8> {
    let body = body_of(seen);
    let asked = body["requests"].as_array().unwrap();
    if asked.len() > 100 {
        let error = json!({"error": {"code": 400, "status": "INVALID_ARGUMENT",
            "message": "at most 100 requests can be in one batch"}});
        return says(400, &error.to_string());
    }
    let number = |ask: &serde_json::Value| {
        ask["content"]["parts"][0]["text"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let vectors: Vec<_> = asked.iter().map(|ask| json!({"values": [number(ask)]})).collect();
    let usage = json!({"promptTokenCount": asked.len()});
    says(200, &json!({"embeddings": vectors, "usageMetadata": usage}).to_string())
}

#[tokio::test]
async fn more_texts_than_a_target_takes_are_asked_for_in_several_calls() {
    let gemini = Vendor::answering(batch).await;
    let hall = routed(&[(&gemini, Provider::Gemini)], |_| {}).await;
    let texts: Vec<String> = (0..201).map(|n| n.to_string()).collect();
    let body = json!({"model": "r", "input": texts, "encoding_format": "float"}).to_string();
    let reply = hall.ask(hall.post("/v1/embeddings", &body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = reply.json();
    for n in 0..201 {
        let one = &said["data"][n];
        assert_eq!((&one["index"], &one["embedding"]), (&json!(n), &json!([n])));
    }
    assert_eq!(said["usage"]["prompt_tokens"], 201);
    let sizes: Vec<usize> = gemini
        .seen()
        .iter()
        .map(|seen| body_of(seen)["requests"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [100, 100, 1]);
    let entry = hall.entry().await;
    assert_eq!((entry.outcome, entry.usage.input), (Outcome::Completed, 201));
    let results: Vec<&str> = entry.attempts.iter().map(|attempt| &*attempt.result).collect();
    assert_eq!(results, ["answered"; 3]);

    let texts = vec!["0"; 2049];
    let body = json!({"model": "r", "input": texts}).to_string();
    let reply = hall.ask(hall.post("/v1/embeddings", &body)).await;
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!("input")));
}

#[tokio::test]
async fn a_batch_that_fails_in_the_middle_goes_on_where_it_stopped() {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let gemini = Vendor::answering(move |seen| {
        match calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            1 => says(503, r#"{"error":{"code":503,"status":"UNAVAILABLE","message":"busy"}}"#),
            _ => batch(seen),
        }
    })
    .await;
    let mut setup = Setup::new();
    let upstream = setup.upstream("one", gemini.addr, &["sk-provider"], |upstream| {
        of(Provider::Gemini)(upstream);
        upstream.retry_count = 1;
    });
    setup.route("r", &[(upstream, Some("m"))]);
    let hall = setup.start().await;
    let texts: Vec<String> = (0..150).map(|n| n.to_string()).collect();
    let body = json!({"model": "r", "input": texts, "encoding_format": "float"}).to_string();
    let reply = hall.ask(hall.post("/v1/embeddings", &body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["data"][149]["embedding"], json!([149]));
    let seen = gemini.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(body_of(&seen[1]), body_of(&seen[2]));
}

#[tokio::test]
async fn an_answer_of_which_nothing_is_left_is_the_next_targets_turn() {
    let empty = json!({"candidates": [{"content": {"role": "model"}, "finishReason": "STOP"}]});
    let gemini = Vendor::saying(says(200, &empty.to_string())).await;
    let claude = Vendor::saying(claude_said("hi")).await;
    let targets = [(&gemini, Provider::Gemini), (&claude, Provider::Anthropic)];
    let hall = routed(&targets, |_| {}).await;
    let reply = ask_chat(&hall, "").await;
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "hi", "{}", reply.text());
    assert_eq!((gemini.seen().len(), claude.seen().len()), (1, 1));

    // As a stream, whose first steps say nothing, and without another target: words.
    let chunk = format!("data: {empty}\n\n");
    let stream = answer(200, &["content-type: text/event-stream"], chunk);
    let gemini = Vendor::saying(stream).await;
    let hall = routed(&[(&gemini, Provider::Gemini)], |_| {}).await;
    let reply = ask_chat(&hall, r#","stream":true"#).await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("nothing"));
}

#[tokio::test]
async fn what_is_recorded_is_what_the_client_sent_and_got() {
    let vendor = Vendor::saying(claude_said("hi")).await;
    let mut recorded = None;
    let mut setup = Setup::new();
    setup.upstream("one", vendor.addr, &["sk-1"], |up| {
        of(Provider::Anthropic)(up);
        up.record_bodies = true;
    });
    let hall = setup.start_with(|gateway| recorded = gateway.recorded()).await;
    for body in [chat("one/m"), crate::harness::chat_stream("one/m")] {
        let reply = hall.ask(hall.post("/v1/chat/completions", &body)).await;
        let kept = soon("the recording", recorded.as_mut().unwrap().recv()).await.unwrap();
        assert_eq!(kept.request.bytes, body.as_bytes());
        assert_eq!(kept.answer.bytes, reply.body);
    }
}
