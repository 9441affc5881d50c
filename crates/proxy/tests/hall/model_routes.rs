//! What comes in on model routes, in whichever dialect and packed however: where it may go, and what
//! is looked for in it.

use domain::Provider;
use serde_json::json;

use crate::{
    conversion::{body_of, br, claude_said, gzip, of, routed},
    harness::{Setup, chat, request},
    vendor::{Vendor, answer, json as says, said},
};

#[tokio::test]
async fn a_compressed_request_is_unpacked_where_it_has_to_be_read() {
    let vendor = Vendor::saying(said("x")).await;
    let hall = routed(&[(&vendor, Provider::Custom)], |setup| {
        setup.settings.limits.body = 10_000;
    })
    .await;
    let sent = chat("r");
    let post = |coding: &str, body: &[u8]| {
        let coding = format!("content-encoding: {coding}");
        let fields = ["content-type: application/json", coding.as_str()];
        hall.request("POST", "/v1/chat/completions", &fields, body)
    };
    let reply = hall.ask(post("gzip", &gzip(sent.as_bytes()))).await;
    assert_eq!(reply.status, 200);
    let seen = vendor.only();
    assert_eq!(seen.text(), sent.replace("\"r\"", "\"m\""));
    assert_eq!(seen.header("content-encoding"), None);
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));

    let brotli = br(sent.as_bytes());
    let zstd = zstd::encode_all(sent.as_bytes(), 3).unwrap();
    for (coding, body) in [
        ("br", brotli.as_slice()),
        ("zstd", &zstd),
        ("identity, gzip", &gzip(sent.as_bytes())),
        ("zstd, gzip", &gzip(&zstd)),
        ("gzip\r\ncontent-encoding: br", &br(&gzip(sent.as_bytes()))),
    ] {
        let reply = hall.ask(post(coding, body)).await;
        assert_eq!(reply.status, 200, "{coding}: {}", reply.text());
        let seen = vendor.seen().pop().unwrap();
        assert_eq!(seen.text(), sent.replace("\"r\"", "\"m\""), "{coding}");
        assert_eq!(seen.header("content-encoding"), None, "{coding}");
    }

    let large = gzip(&[chat("r").into_bytes(), vec![b' '; 10_000]].concat());
    for (coding, body, status) in [
        ("gzip", large.as_slice(), 413),
        ("gzip", sent.as_bytes(), 400),
        ("br", &br(&vec![b' '; 10_001]), 413),
        ("zstd", &zstd::encode_all(vec![b' '; 10_001].as_slice(), 3).unwrap(), 413),
        ("br", sent.as_bytes(), 400),
        ("zstd", sent.as_bytes(), 400),
        ("compress", sent.as_bytes(), 415),
        ("identity", sent.as_bytes(), 200),
    ] {
        let reply = hall.ask(post(coding, body)).await;
        assert_eq!(reply.status, status, "{coding}");
    }
}

#[tokio::test]
async fn an_answer_that_is_to_be_converted_may_come_compressed() {
    let zstd = |text: &[u8]| zstd::encode_all(text, 3).unwrap();
    let plain = claude_said("packed");
    let at = plain.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let body = plain[at..].to_vec();
    for (coding, packed, status) in [
        ("gzip", gzip(&body), 200),
        ("br", br(&body), 200),
        ("zstd", zstd(&body), 200),
        ("zstd, br", br(&zstd(&body)), 200),
        ("compress", body.clone(), 502),
    ] {
        let field = format!("content-encoding: {coding}");
        let fields = ["content-type: application/json", field.as_str()];
        let vendor = Vendor::saying(answer(200, &fields, &packed)).await;
        let hall = routed(&[(&vendor, Provider::Anthropic)], |_| {}).await;
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("r"))).await;
        assert_eq!(reply.status, status, "{coding}: {}", reply.text());
        let wanted = if status == 200 { "packed" } else { "compressed in a way" };
        assert!(reply.text().contains(wanted), "{coding}: {}", reply.text());
    }
}

#[tokio::test]
async fn json_is_read_whatever_the_client_calls_it() {
    let vendor = Vendor::saying(said("x")).await;
    let hall = routed(&[(&vendor, Provider::Custom)], |_| {}).await;
    let key = format!("authorization: Bearer {}", hall.key);
    for (path, kind) in [
        ("/v1/chat/completions", None),
        ("/v1/responses", None),
        ("/v1/responses", Some("content-type: text/plain")),
        ("/v1/moderations", None),
    ] {
        let fields: Vec<&str> = std::iter::once(key.as_str()).chain(kind).collect();
        hall.ask(request("POST", path, &fields, r#"{"model":"r","input":[]}"#)).await;
        let seen = vendor.seen().pop().unwrap();
        assert_eq!(seen.text(), r#"{"model":"m","input":[]}"#, "{path} {kind:?}");
    }
}

#[tokio::test]
async fn proofs_of_our_own_never_reach_a_vendor() {
    let vendor = Vendor::saying(claude_said("hi")).await;
    let hall = routed(&[(&vendor, Provider::Anthropic)], |_| {}).await;
    let own = dialect::Signature::new(dialect::Vendor::Openai, "gAAAA").wrapped();
    let body = |thinking: &str| {
        format!(
            r#"{{"model":"r", "max_tokens":9,"messages":[{{"role":"assistant","content":[{thinking}{{"type":"text","text":"A"}}]}}]}}"#
        )
    };
    let theirs = r#"{"type":"thinking","thinking":"T","signature":"EqQBCgIYAg=="},"#;
    let ours = format!(r#"{{"type":"thinking","thinking":"O","signature":"{own}"}},"#);
    let sent = body(&format!("{theirs}{ours}"));
    let reply = hall.ask(hall.post("/v1/messages", &sent)).await;
    assert_eq!(reply.status, 200);
    let seen = vendor.only();
    assert!(!seen.text().contains(dialect::OWN_MARK));
    let wanted: serde_json::Value = serde_json::from_str(&body(theirs)).unwrap();
    assert_eq!(body_of(&seen)["messages"], wanted["messages"]);
    assert!(seen.text().starts_with(r#"{"model":"m", "max_tokens":9,"#), "{}", seen.text());
}

#[tokio::test]
async fn what_cannot_be_converted_is_not_found_there() {
    let vendor = Vendor::saying(says(200, "{}")).await;
    let hall = routed(&[(&vendor, Provider::Anthropic)], |_| {}).await;
    for (path, body) in [
        ("/v1/completions", r#"{"model":"r","prompt":"x"}"#),
        ("/v1/embeddings", r#"{"model":"r","input":"x"}"#),
        ("/v1/audio/speech", r#"{"model":"r","input":"x"}"#),
        ("/v1beta/models/r:predict", "{}"),
        ("/v1/files", "{}"),
    ] {
        let reply = hall.ask(hall.post(path, body)).await;
        assert_eq!((reply.status, reply.json()["error"].is_object()), (404, true), "{path}");
    }
    let upgrade = ["connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13"];
    let reply = hall.ask(hall.request("GET", "/v1/realtime", &upgrade, "")).await;
    assert_eq!((reply.status, reply.code().as_str()), (426, "websocket_not_served"));
    assert!(vendor.seen().is_empty());
}

#[tokio::test]
async fn of_several_upstreams_the_one_that_speaks_the_clients_dialect_is_meant() {
    let (claude, chat) =
        (Vendor::saying(claude_said("claude")).await, Vendor::saying(said("chat")).await);
    let mut setup = Setup::new();
    setup.upstream("claude", claude.addr, &["sk-1"], of(Provider::Anthropic));
    setup.upstream("chat", chat.addr, &["sk-2"], of(Provider::Custom));
    let hall = setup.start().await;
    let ask = r#"{"model":"any","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
    let reply = hall.ask(hall.post("/v1/chat/completions", ask)).await;
    assert!(reply.text().contains("chat"), "{}", reply.text());
    let reply = hall.ask(hall.post("/v1/messages", ask)).await;
    assert!(reply.text().contains("claude"), "{}", reply.text());
    let gemini = r#"{"contents":[{"parts":[{"text":"x"}]}]}"#;
    let reply = hall.ask(hall.post("/v1beta/models/any:generateContent", gemini)).await;
    assert_eq!(reply.status, 400, "which of the two is not for us to guess");
    let path = "/v1beta/models/claude/any:generateContent";
    let reply = hall.ask(hall.post(path, gemini)).await;
    assert_eq!(reply.json()["candidates"][0]["content"]["parts"][0]["text"], "claude");
}

#[tokio::test]
async fn a_list_of_models_names_those_of_every_dialect_in_the_askers_own() {
    let vendor = Vendor::saying(claude_said("x")).await;
    let targets = [(&vendor, Provider::Anthropic), (&vendor, Provider::Gemini)];
    let hall = routed(&targets, |setup| {
        setup.upstream("four", vendor.addr, &["sk-4"], |up| {
            of(Provider::Custom)(up);
            up.models = vec!["plain".into()];
        });
    })
    .await;
    let version = "anthropic-version: 2023-06-01";
    for (path, field, list, id) in [
        ("/v1/models", "x-none: 1", "data", "id"),
        ("/v1/models?limit=1000", version, "data", "id"),
        ("/v1beta/models?pageSize=50", "x-none: 1", "models", "name"),
        ("/v1/models?key=dummy", "x-none: 1", "models", "name"),
    ] {
        let reply = hall.ask(hall.request("GET", path, &[field], "")).await.json();
        let names: Vec<&str> =
            reply[list].as_array().unwrap().iter().filter_map(|m| m[id].as_str()).collect();
        let names: Vec<&str> =
            names.iter().map(|name| name.trim_start_matches("models/")).collect();
        assert_eq!(names, ["plain", "r"], "{path}");
    }
    let two = hall.ask(hall.request("GET", "/v1/models?limit=1", &[version], "")).await.json();
    assert_eq!((&two["has_more"], &two["last_id"]), (&json!(true), &json!("plain")));
    let one = hall.ask(hall.request("GET", "/v1/models/r", &[version], "")).await.json();
    assert_eq!((&one["type"], &one["lifecycle"]), (&json!("model"), &json!("active")));
    // Those that take any model are asked for their lists, and remembered not to have one.
    assert!(vendor.seen().iter().all(|seen| seen.method == "GET"));
    assert!(vendor.seen().len() <= 2, "{:?}", vendor.seen());
}

#[tokio::test]
async fn an_upload_goes_to_an_upstream_of_google_and_names_no_key_of_ours() {
    for (url, told) in [
        ("https://g.test/upload/v1beta/files?upload_id=1", true),
        ("https://g.test/upload/v1beta/files?key=sk-provider&upload_id=1", false),
    ] {
        let field = format!("x-goog-upload-url: {url}");
        let vendor = Vendor::saying(answer(200, &[&field], "")).await;
        let hall = routed(&[(&vendor, Provider::Gemini)], |_| {}).await;
        let start = ["x-goog-upload-protocol: resumable", "content-type: application/json"];
        let body = r#"{"file":{"display_name":"a"}}"#;
        let reply = hall.ask(hall.request("POST", "/upload/v1beta/files", &start, body)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-goog-upload-url"), told.then_some(url));
        let seen = vendor.only();
        assert_eq!((seen.target.as_str(), seen.text()), ("/upload/v1beta/files", body));
        assert_eq!(seen.header("x-goog-api-key"), Some("sk-provider"));
    }
}
