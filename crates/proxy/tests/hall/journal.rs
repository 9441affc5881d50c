//! One entry for every call, with what it did, before its last byte is out.

use domain::log::{Outcome, UsageSource};

use crate::{
    harness::{Setup, chat, chat_stream},
    vendor::{STREAM, Vendor, chunk, delta, json, said},
};

#[tokio::test]
async fn whoever_has_the_last_byte_is_in_the_journal() {
    let vendor = Vendor::talking(|mut talk| async move {
        while let Some(seen) = talk.request().await {
            if seen.text().contains("stream") {
                talk.send(STREAM).await;
                talk.send(chunk(delta("a"))).await;
                talk.send(chunk("data: [DONE]\n\n")).await;
                talk.send("0\r\n\r\n").await;
            } else {
                talk.send(said("x")).await;
            }
        }
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    for _ in 0..20 {
        for body in [chat("m"), chat_stream("m"), chat("nobody/x")] {
            let reply = hall.ask(hall.post("/v1/chat/completions", &body)).await;
            assert!(reply.whole);
            // Not waited for: it must be there already.
            let entries = hall.entries_now();
            assert_eq!(entries.len(), 1, "{body}");
            assert_eq!(entries[0].status, reply.status);
            assert_eq!(Some(entries[0].request_id.as_str()), reply.header("x-request-id"));
        }
    }
}

#[tokio::test]
async fn an_entry_says_what_happened() {
    let vendor = Vendor::answering(|seen| match seen.key() {
        "sk-dead" => json(401, "{}"),
        _ => said("hello"),
    })
    .await;
    let mut setup = Setup::new();
    let up = setup.upstream("up", vendor.addr, &["sk-dead", "sk-live"], |_| {});
    setup.route("r", &[(up, Some("real"))]);
    let hall = setup.start().await;
    let body = chat("r");
    let fields = ["content-type: application/json", "x-request-id: my-own.id:1"];
    let reply =
        hall.ask(hall.request("POST", "/v1/chat/completions?x=secret", &fields, &body)).await;
    assert_eq!(reply.header("x-request-id"), Some("my-own.id:1"));
    let entry = hall.entry().await;
    assert_eq!(entry.request_id, "my-own.id:1");
    assert_eq!((entry.method.as_str(), entry.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!((entry.status, entry.outcome), (200, Outcome::Completed));
    assert_eq!((entry.bytes_in, entry.bytes_out), (body.len() as u64, reply.body.len() as u64));
    assert_eq!(entry.provider_key_name.as_deref(), Some("up key 2"));
    assert_eq!(
        (entry.model_asked.as_deref(), entry.model_used.as_deref()),
        (Some("r"), Some("real"))
    );
    assert_eq!((entry.usage.input, entry.usage.cached, entry.usage.output), (7, 2, 3));
    assert_eq!((entry.usage_source, entry.streamed), (UsageSource::Reported, false));
    let attempts: Vec<_> = entry.attempts.iter().map(|a| (a.result.as_str(), a.status)).collect();
    assert_eq!(attempts, [("auth", Some(401)), ("answered", Some(200))]);
    assert!(entry.attempts[1].started_us >= entry.attempts[0].started_us);
    assert!(entry.first_byte_us.unwrap() <= entry.latency_us);
    assert_eq!(entry.decision[0].candidate, "up/real");
    assert_eq!((entry.service_key_name.as_str(), entry.error), ("caller 1", None));
}

#[tokio::test]
async fn an_answer_without_usage_is_counted_and_marked_so() {
    let body = r#"{"choices":[{"message":{"content":"0123456789"}}]}"#;
    let vendor = Vendor::saying(json(200, body)).await;
    let hall = Setup::with(vendor.addr).start().await;
    hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    hall.ask(hall.post("/v1/embeddings", &chat("m"))).await;
    let entries = hall.entries().await;
    assert_eq!(entries[0].usage_source, UsageSource::Counted);
    assert_eq!(entries[0].usage.input, chat("m").len() as u64 / 4);
    assert_eq!(entries[0].usage.output, body.len() as u64 / 4);
    assert_eq!(entries[1].usage_source, UsageSource::Counted);
    let (input, output) = (entries[1].usage.input, entries[1].usage.output);
    assert_eq!((input, output), (chat("m").len() as u64 / 4, 0), "vectors are no text");
}
