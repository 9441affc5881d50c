//! How fast codecs are, in bytes a second: `cargo bench -p tollgate-dialect`.
//!
//! Each figure is a whole conversion, from one dialect's bytes to another's: a request of 100
//! messages, a request with an image of 1 MiB, and a stream of 1,000 events.

use bytes::Bytes;
use dialect::{
    Ask, Codec, Names, Reply, StreamReader, Target,
    codec::{ANTHROPIC, GEMINI, OPENAI_CHAT, OPENAI_RESPONSES},
};
use divan::{Bencher, counter::BytesCount};

fn main() {
    divan::main();
}

/// The ways between dialects that are measured: every dialect once on either side.
const WAYS: [&str; 4] =
    ["chat→anthropic", "anthropic→gemini", "gemini→responses", "responses→chat"];

struct Way {
    client: &'static dyn Codec,
    target: &'static dyn Codec,
}

fn way(name: &str) -> Way {
    let of = |name: &str| match name {
        "chat" => OPENAI_CHAT,
        "responses" => OPENAI_RESPONSES,
        "anthropic" => ANTHROPIC,
        _ => GEMINI,
    };
    let (client, target) = name.split_once('→').expect("a way leads from one to another");
    Way { client: of(client), target: of(target) }
}

impl Way {
    fn converts_request(&self, bencher: Bencher<'_, '_>, body: &str) {
        let profile = self.target.profile();
        let ask =
            Ask { body: body.as_bytes(), model: Some("model"), stream: false, as_array: false };
        bencher.counter(BytesCount::of_str(body)).bench(|| {
            let request = self.client.decode_request(ask).expect("the body is a good one");
            let target = Target { model: "model", profile: &profile };
            self.target.encode_request(&request, target).expect("the target can say it").body
        });
    }
}

/// A request of this dialect with a hundred turns, some of them calls of a tool and its results.
fn long_request(dialect: &str) -> String {
    let words =
        "The quick brown fox jumps over the lazy dog, \\\"again\\\" and again.\\n".repeat(4);
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
    let turn = |at: usize| match (dialect, at % 4) {
        ("chat", 0) => format!(r#"{{"role":"user","content":"{words}"}}"#),
        ("chat", 1) => format!(
            r#"{{"role":"assistant","content":"{words}","tool_calls":[{{"id":"call_{at}","type":"function","function":{{"name":"weather","arguments":"{{\"city\":\"Paris\"}}"}}}}]}}"#
        ),
        ("chat", 2) => {
            format!(r#"{{"role":"tool","tool_call_id":"call_{}","content":"{words}"}}"#, at - 1)
        }
        ("chat", _) => format!(r#"{{"role":"assistant","content":"{words}"}}"#),
        ("responses", 0) => format!(r#"{{"role":"user","content":"{words}"}}"#),
        ("responses", 1) => format!(
            r#"{{"type":"function_call","call_id":"call_{at}","name":"weather","arguments":"{{\"city\":\"Paris\"}}"}}"#
        ),
        ("responses", 2) => format!(
            r#"{{"type":"function_call_output","call_id":"call_{}","output":"{words}"}}"#,
            at - 1
        ),
        ("responses", _) => format!(r#"{{"role":"assistant","content":"{words}"}}"#),
        ("anthropic", 0) => format!(r#"{{"role":"user","content":"{words}"}}"#),
        ("anthropic", 1) => format!(
            r#"{{"role":"assistant","content":[{{"type":"text","text":"{words}"}},{{"type":"tool_use","id":"call_{at}","name":"weather","input":{{"city":"Paris"}}}}]}}"#
        ),
        ("anthropic", 2) => format!(
            r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"call_{}","content":"{words}"}}]}}"#,
            at - 1
        ),
        ("anthropic", _) => format!(r#"{{"role":"assistant","content":"{words}"}}"#),
        (_, 0) => format!(r#"{{"role":"user","parts":[{{"text":"{words}"}}]}}"#),
        (_, 1) => format!(
            r#"{{"role":"model","parts":[{{"text":"{words}"}},{{"functionCall":{{"id":"call_{at}","name":"weather","args":{{"city":"Paris"}}}}}}]}}"#
        ),
        (_, 2) => format!(
            r#"{{"role":"user","parts":[{{"functionResponse":{{"id":"call_{}","name":"weather","response":{{"output":"{words}"}}}}}}]}}"#,
            at - 1
        ),
        (_, _) => format!(r#"{{"role":"model","parts":[{{"text":"{words}"}}]}}"#),
    };
    let turns: Vec<String> = (0..100).map(turn).collect();
    let turns = turns.join(",");
    match dialect {
        "chat" => format!(
            r#"{{"model":"m","messages":[{turns}],"tools":[{{"type":"function","function":{{"name":"weather","parameters":{schema}}}}}]}}"#
        ),
        "responses" => format!(
            r#"{{"model":"m","input":[{turns}],"tools":[{{"type":"function","name":"weather","parameters":{schema}}}]}}"#
        ),
        "anthropic" => format!(
            r#"{{"model":"m","max_tokens":100,"messages":[{turns}],"tools":[{{"name":"weather","input_schema":{schema}}}]}}"#
        ),
        _ => format!(
            r#"{{"contents":[{turns}],"tools":[{{"functionDeclarations":[{{"name":"weather","parametersJsonSchema":{schema}}}]}}]}}"#
        ),
    }
}

/// A request of this dialect with an image of 1 MiB in it.
fn image_request(dialect: &str) -> String {
    let data = "iVBORw0KGgoAAAAN".repeat((1 << 20) / 16);
    match dialect {
        "chat" => format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"What is this?"}},{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}]}}"#
        ),
        "responses" => format!(
            r#"{{"model":"m","input":[{{"role":"user","content":[{{"type":"input_text","text":"What is this?"}},{{"type":"input_image","image_url":"data:image/png;base64,{data}"}}]}}]}}"#
        ),
        "anthropic" => format!(
            r#"{{"model":"m","max_tokens":100,"messages":[{{"role":"user","content":[{{"type":"text","text":"What is this?"}},{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}]}}]}}"#
        ),
        _ => format!(
            r#"{{"contents":[{{"role":"user","parts":[{{"text":"What is this?"}},{{"inlineData":{{"mimeType":"image/png","data":"{data}"}}}}]}}]}}"#
        ),
    }
}

/// A stream of a target of this dialect: a thousand events, each as it is sent.
fn stream(dialect: &str) -> Vec<Bytes> {
    let (first, middle, last): (Vec<&str>, &str, Vec<&str>) = match dialect {
        "chat" => (
            vec![],
            r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}"#,
            vec![
                r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
                "data: [DONE]",
            ],
        ),
        "anthropic" => (
            vec![
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}",
                "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
            ],
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}",
            vec![
                "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}",
                "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}",
                "event: message_stop\ndata: {\"type\":\"message_stop\"}",
            ],
        ),
        "gemini" => (
            vec![],
            r#"data: {"candidates":[{"content":{"parts":[{"text":" word"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":9,"totalTokenCount":13},"modelVersion":"m","responseId":"r"}"#,
            vec![
                r#"data: {"candidates":[{"content":{"parts":[{"text":"."}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":9,"totalTokenCount":13},"modelVersion":"m"}"#,
            ],
        ),
        _ => (
            vec![
                r#"data: {"type":"response.created","sequence_number":0,"response":{"id":"r","status":"in_progress","output":[]}}"#,
                r#"data: {"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"type":"message","id":"i","status":"in_progress","role":"assistant","content":[]}}"#,
                r#"data: {"type":"response.content_part.added","sequence_number":2,"item_id":"i","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}"#,
            ],
            r#"data: {"type":"response.output_text.delta","sequence_number":3,"item_id":"i","output_index":0,"content_index":0,"delta":" word","logprobs":[]}"#,
            vec![
                r#"data: {"type":"response.completed","sequence_number":9,"response":{"id":"r","status":"completed","output":[],"usage":{"input_tokens":4,"output_tokens":9,"total_tokens":13}}}"#,
            ],
        ),
    };
    let events = first.into_iter().chain(std::iter::repeat_n(middle, 1000)).chain(last);
    events.map(|event| Bytes::from(format!("{event}\n\n"))).collect()
}

#[divan::bench(args = WAYS)]
fn request_of_100_messages(bencher: Bencher<'_, '_>, name: &str) {
    way(name).converts_request(bencher, &long_request(client(name)));
}

#[divan::bench(args = WAYS)]
fn request_with_an_image_of_1_mib(bencher: Bencher<'_, '_>, name: &str) {
    way(name).converts_request(bencher, &image_request(client(name)));
}

#[divan::bench(args = WAYS)]
fn stream_of_1000_events(bencher: Bencher<'_, '_>, name: &str) {
    let Way { client, target } = way(name);
    let pieces = stream(name.split_once('→').expect("a way leads from one to another").1);
    let size: usize = pieces.iter().map(Bytes::len).sum();
    bencher.counter(BytesCount::new(size)).bench(|| {
        let mut reader = StreamReader::new(target, Names::default());
        let mut encoder = client.encode_stream(Reply::default());
        let mut out = Vec::with_capacity(256);
        let mut sent = 0;
        for piece in &pieces {
            reader.push(piece.clone(), &mut |event| encoder.event(event, &mut out));
            sent += out.len();
            out.clear();
        }
        reader.finish(&mut |event| encoder.event(event, &mut out));
        assert!(sent > 1000, "nothing came out");
        sent + out.len()
    });
}

fn client(name: &str) -> &str {
    name.split_once('→').expect("a way leads from one to another").0
}
