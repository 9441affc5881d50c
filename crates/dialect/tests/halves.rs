//! Characters whose halves come in two deltas, and halves that stay alone, between all dialects.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

use bytes::Bytes;
use dialect::{
    Ask, Codec, Names, Profile, Reply, StreamReader, Target,
    chat::{Event, Opening},
    codec::{ANTHROPIC, GEMINI, OPENAI_CHAT, OPENAI_RESPONSES},
};

const ALL: [(&str, &dyn Codec); 4] = [
    ("chat", OPENAI_CHAT),
    ("responses", OPENAI_RESPONSES),
    ("anthropic", ANTHROPIC),
    ("gemini", GEMINI),
];

/// A stream of each dialect whose thought, text and arguments come in these deltas, which are JSON
/// strings. Gemini has no deltas of arguments.
fn stream(target: &str, deltas: [&str; 2], arguments: [&str; 2]) -> String {
    let both = |template: &str, deltas: [&str; 2]| {
        deltas.map(|delta| format!("data: {}\n\n", template.replace('@', delta))).concat()
    };
    let one = |event: &str| format!("data: {event}\n\n");
    match target {
        "chat" => [
            both(r#"{"choices":[{"delta":{"reasoning_content":@}}]}"#, deltas),
            both(r#"{"choices":[{"delta":{"content":@}}]}"#, deltas),
            one(r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]}"#),
            both(r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":@}}]}}]}"#, arguments),
            one(r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#),
            one("[DONE]"),
        ]
        .concat(),
        "responses" => [
            one(r#"{"type":"response.created"}"#),
            one(r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"r"}}"#),
            both(r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":@}"#, deltas),
            one(r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"r"}}"#),
            one(r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"m"}}"#),
            both(r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":@}"#, deltas),
            one(r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"message","id":"m"}}"#),
            one(r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","id":"c","call_id":"a","name":"f"}}"#),
            both(r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":@}"#, arguments),
            one(r#"{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","id":"c"}}"#),
            one(r#"{"type":"response.completed","response":{"status":"completed"}}"#),
        ]
        .concat(),
        "anthropic" => {
            let block = |n: u32, start: &str, delta: &str, deltas| {
                [
                    one(&format!(r#"{{"type":"content_block_start","index":{n},"content_block":{start}}}"#)),
                    both(&format!(r#"{{"type":"content_block_delta","index":{n},"delta":{delta}}}"#), deltas),
                    one(&format!(r#"{{"type":"content_block_stop","index":{n}}}"#)),
                ]
                .concat()
            };
            [
                one(r#"{"type":"message_start","message":{}}"#),
                block(0, r#"{"type":"thinking"}"#, r#"{"type":"thinking_delta","thinking":@}"#, deltas),
                block(1, r#"{"type":"text"}"#, r#"{"type":"text_delta","text":@}"#, deltas),
                block(2, r#"{"type":"tool_use","id":"a","name":"f","input":{}}"#, r#"{"type":"input_json_delta","partial_json":@}"#, arguments),
                one(r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"}}"#),
                one(r#"{"type":"message_stop"}"#),
            ]
            .concat()
        }
        _ => [
            both(r#"{"candidates":[{"content":{"parts":[{"text":@,"thought":true}]}}]}"#, deltas),
            both(r#"{"candidates":[{"content":{"parts":[{"text":@}]}}]}"#, deltas),
            one(&format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{}}}}}]}},"finishReason":"STOP"}}]}}"#,
                arguments.map(|text| serde_json::from_str::<String>(text).unwrap_or_default()).concat()
            )),
        ]
        .concat(),
    }
}

/// What is told of a stream: its thought, its text and its arguments; and what a client of
/// `client` gets.
fn told(target: &'static dyn Codec, client: &dyn Codec, stream: &str) -> ([String; 3], String) {
    let mut reader = StreamReader::new(target, Names::default());
    let mut encoder = client.encode_stream(Reply::default());
    let (mut said, mut at, mut out) = ([(); 3].map(|()| String::new()), 0, Vec::new());
    let mut emit = |event: Event<'_>| {
        match &event {
            Event::Open { opening, .. } => {
                at = match opening {
                    Opening::Thinking => 0,
                    Opening::Call { .. } => 2,
                    _ => 1,
                };
            }
            Event::Delta { text, .. } => said[at].push_str(text),
            Event::Failed(failure) => panic!("{failure:?}"),
            _ => {}
        }
        encoder.event(event, &mut out);
    };
    reader.push(Bytes::copy_from_slice(stream.as_bytes()), &mut emit);
    reader.finish(&mut emit);
    (said, String::from_utf8(out).unwrap())
}

#[test]
fn a_character_may_be_cut_anywhere_between_all_dialects() {
    for (name, target) in ALL {
        let cut = [r#""a \ud83d""#, r#""\ude00 b""#];
        let arguments = match name {
            "gemini" => [r#""{\"q\":""#, r#""\"😀\"}""#],
            _ => [r#""{\"q\":\"\ud83d""#, r#""\ude00\"}""#],
        };
        for (client, codec) in ALL {
            let (said, out) = told(target, codec, &stream(name, cut, arguments));
            let wanted = ["a 😀 b", "a 😀 b", r#"{"q":"😀"}"#];
            assert_eq!(said, wanted, "{name} to {client}");
            assert!(!out.contains('\u{fffd}') && out.contains('😀'), "{name} to {client}: {out}");
        }
    }
}

#[test]
fn half_a_character_that_stays_alone_is_replaced_between_all_dialects() {
    for (name, target) in ALL {
        let alone = [r#""a \ud83d""#, r#""b""#];
        let arguments = [r#""{\"q\":\"cut \\ud83d""#, r#""\"}""#];
        for (client, codec) in ALL {
            let (said, out) = told(target, codec, &stream(name, alone, arguments));
            let wanted = ["a \u{fffd}b", "a \u{fffd}b", r#"{"q":"cut \ufffd"}"#];
            assert_eq!(said, wanted, "{name} to {client}");
            assert!(!out.contains("d83d"), "{name} to {client}: {out}");
        }
    }
}

/// A history with a call whose arguments hold half a character, as each client sends it.
fn history(client: &str) -> &'static str {
    match client {
        "chat" => {
            r#"{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"q\":\"cut \\ud83d\"}"}}]},{"role":"tool","tool_call_id":"a","content":"{\"r\":\"\\ude00\"}"}]}"#
        }
        "responses" => {
            r#"{"model":"m","input":[{"role":"user","content":"x"},{"type":"function_call","call_id":"a","name":"f","arguments":"{\"q\":\"cut \\ud83d\"}"},{"type":"function_call_output","call_id":"a","output":"{\"r\":\"\\ude00\"}"}]}"#
        }
        "anthropic" => {
            r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"q":"cut \ud83d"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"{\"r\":\"\\ude00\"}"}]}]}"#
        }
        _ => {
            r#"{"contents":[{"role":"user","parts":[{"text":"x"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"q":"cut \ud83d"}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"r":"\ude00"}}}]}]}"#
        }
    }
}

#[test]
fn json_that_is_copied_has_no_half_characters_in_requests() {
    for (client, codec) in ALL {
        let body = history(client).as_bytes();
        let ask = Ask { body, model: Some("m"), stream: false, as_array: false };
        let request = codec.decode_request(ask).unwrap();
        for (name, target) in ALL {
            let profile: Profile = target.profile();
            let told = target.encode_request(&request, Target { model: "m", profile: &profile });
            let told = String::from_utf8(told.unwrap().body).unwrap();
            assert!(!told.contains("\\ud83d"), "{client} to {name}: {told}");
            assert!(told.contains("cut \\ufffd") || told.contains("cut \\\\ufffd"), "{told}");
            // Readers that want UTF-8 take it.
            serde_json::from_str::<serde_json::Value>(&told).unwrap();
        }
    }
}
