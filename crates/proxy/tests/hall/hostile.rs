//! Whatever bytes come in, what goes out is an answer that refuses them, or the end.

use std::sync::Arc;

use domain::{Dialect, log::Outcome};
use parking_lot::Mutex;
use proptest::{prelude::*, test_runner::Config};

use crate::{
    harness::{PATIENCE, Setup},
    vendor::{Vendor, answer, said},
};

/// Bytes that nearly are a request.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"POST /v1/chat/completions HTTP/1.1\r\n".to_vec()),
        Just(b"GET /proxy/up/x HTTP/1.1\r\n".to_vec()),
        Just(b"host: h\r\n".to_vec()),
        Just(b"content-length: 5\r\n".to_vec()),
        Just(b"transfer-encoding: chunked\r\n".to_vec()),
        Just(b"expect: 100-continue\r\n".to_vec()),
        Just(b"connection: upgrade\r\nupgrade: websocket\r\n".to_vec()),
        Just(b"authorization: Bearer tg-x\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        Just(b"5\r\nhello\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

#[test]
fn no_bytes_are_taken_for_a_call_of_somebody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (hall, vendor) = runtime.block_on(async {
        let vendor = Vendor::saying(said("x")).await;
        (Setup::with(vendor.addr).start().await, vendor)
    });
    proptest!(Config { cases: 300, ..Config::default() }, |(bytes in nearly())| {
        let answer = runtime.block_on(async {
            let mut peer = hall.connect().await;
            peer.send(&bytes).await;
            tokio::io::AsyncWriteExt::shutdown(&mut peer.stream).await.ok();
            tokio::time::timeout(PATIENCE, async { while peer.fill().await {} }).await.unwrap();
            peer.buf
        });
        let text = String::from_utf8_lossy(&answer);
        for line in text.split("\r\n").filter(|line| line.starts_with("HTTP/1.1 ")) {
            prop_assert!(line[9..].starts_with('4'), "{line} to {:?}", String::from_utf8_lossy(&bytes));
        }
        prop_assert!(answer.is_empty() || text.starts_with("HTTP/1.1 4"));
    });
    assert!(vendor.seen().is_empty());
    assert_eq!(runtime.block_on(hall.entries()).len(), 0);
}

/// One question in each dialect, with the path it goes to.
fn questions(stream: bool) -> Vec<(Dialect, String, String)> {
    let verb = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    let turns = r#""messages":[{"role":"user","content":"x"}]"#;
    let contents = r#"{"contents":[{"parts":[{"text":"x"}]}]}"#;
    Dialect::ALL
        .into_iter()
        .map(|dialect| {
            let (path, body) = match dialect {
                Dialect::OpenaiChat => ("/v1/chat/completions", turns.to_owned()),
                Dialect::OpenaiResponses => ("/v1/responses", r#""input":"x""#.to_owned()),
                Dialect::AnthropicMessages => {
                    ("/v1/messages", format!(r#""max_tokens":9,{turns}"#))
                }
                Dialect::Gemini => {
                    let path = format!("/v1beta/models/r:{verb}");
                    return (dialect, path, contents.to_owned());
                }
            };
            (dialect, path.to_owned(), format!(r#"{{"model":"r","stream":{stream},{body}}}"#))
        })
        .collect()
}

#[tokio::test]
async fn nonsense_in_place_of_an_answer_is_an_error_in_the_clients_dialect() {
    const NONSENSE: [&str; 10] = [
        "",
        "null",
        "[]",
        "{}",
        r#"{"choices":3,"candidates":{},"content":"x","output":"x"}"#,
        "data: {\"choices\":[{\"delta\":[]}]}\n\n",
        "event: message_start\ndata: \n\nevent: content_block_delta\ndata: {\"index\":-1}\n\n",
        "event: response.output_item.done\ndata: {\"item\":null}\n\n",
        "data: {\"candidates\":[null]}\n\n",
        "data: \u{0}\n\n\r\r\n:::\n\ndata",
    ];
    for target in Dialect::ALL {
        let say = Arc::new(Mutex::new(Vec::new()));
        let said = say.clone();
        let vendor = Vendor::answering(move |_| said.lock().clone()).await;
        let mut setup = Setup::new();
        let up = setup.upstream("up", vendor.addr, &["sk-1"], |up| {
            up.dialects = vec![target];
            up.retry_count = 0;
            up.policy.breaker.enabled = false;
        });
        setup.route("r", &[(up, None)]);
        let hall = setup.start().await;
        for (nonsense, stream) in NONSENSE.iter().flat_map(|n| [(n, false), (n, true)]) {
            let events = nonsense.starts_with(['d', 'e']);
            let kind = if events { "text/event-stream" } else { "application/json" };
            *say.lock() = answer(200, &[&format!("content-type: {kind}")], nonsense);
            for (client, path, question) in questions(stream) {
                if client == target {
                    continue;
                }
                let reply = hall.ask(hall.post(&path, &question)).await;
                let what = format!("{client} of {target}, {nonsense:?}: {}", reply.text());
                assert_eq!(reply.status, 502, "{what}");
                assert!(reply.json()["error"]["message"].is_string(), "{what}");
            }
        }
        let entries = hall.entries().await;
        assert_eq!(entries.len(), NONSENSE.len() * 2 * 3);
        assert!(entries.iter().all(|entry| entry.outcome == Outcome::Failed));
    }
}
