//! Streams: what is understood of chunks.

use proptest::prelude::*;

use super::told::steps;
use crate::{NameRule, Names, chat::Name};

/// Chunks with these deltas, and the end mark.
fn stream(deltas: &[&str]) -> String {
    let chunk = |delta: &&str| format!("data: {{\"choices\":[{{\"index\":0,{delta}}}]}}\n\n");
    deltas.iter().map(chunk).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

#[track_caller]
fn check(stream: &str, want: &[&str]) {
    assert_eq!(steps([stream.as_bytes()], Names::default()), want, "{stream}");
}

#[track_caller]
fn check_calls(fragments: &[&str], want: &[&str]) {
    let deltas: Vec<String> =
        fragments.iter().map(|it| format!(r#""delta":{{"tool_calls":[{it}]}}"#)).collect();
    let mut deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
    deltas.push(r#""delta":{},"finish_reason":"stop""#);
    let all: Vec<&str> = ["start"]
        .into_iter()
        .chain(want.iter().copied())
        .chain(["0 finish Calls", "end"])
        .collect();
    check(&stream(&deltas), &all);
}

#[test]
fn thoughts_texts_and_refusals_are_blocks_of_their_own() {
    check(
        &stream(&[
            r#""delta":{"role":"assistant","content":"","tool_calls":[],"refusal":null}"#,
            r#""delta":{"reasoning_content":"a","reasoning":"a"}"#,
            r#""delta":{"reasoning":"b"}"#,
            r#""delta":{"content":"c"},"finish_reason":"""#,
            r#""delta":null"#,
            r#""delta":{"content":"d"},"finish_reason":"length""#,
            r#""delta":{"content":"late"}"#,
        ]),
        &[
            "start",
            "0.0 open thinking",
            "0.0 + a",
            "0.0 + b",
            "0.0 signature Unsigned ",
            "0.0 close",
            "0.1 open text",
            "0.1 + c",
            "0.1 + d",
            "0.1 close",
            "0 finish Length",
            "end",
        ],
    );
    check(
        &stream(&[r#""delta":{"refusal":"no"}"#, r#""delta":{},"finish_reason":"stop""#]),
        &["start", "0.0 open refusal", "0.0 + no", "0.0 close", "0 finish Filtered(None)", "end"],
    );
    check(
        &stream(&[
            r#""delta":{"thinking_blocks":[{"type":"thinking","thinking":"a"}],"reasoning_content":"a"}"#,
            r#""delta":{"thinking_blocks":[{"type":"thinking","thinking":"","signature":"s"}]}"#,
            r#""delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"b"}]}]}"#,
        ]),
        &[
            "start",
            "0.0 open thinking",
            "0.0 + a",
            "0.0 signature Anthropic s",
            "0.0 close",
            "0.1 open thinking",
            "0.1 + b",
            "0.1 signature Unsigned ",
            "0.1 close",
            "0 finish Stop",
            "end",
        ],
    );
}

#[test]
fn calls_are_told_apart_by_index_and_id() {
    // Interleaved; the first is not closed before its input is whole.
    check_calls(
        &[
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":""}}"#,
            r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}"#,
            r#"{"index":0,"function":{"arguments":"{\"x\":1"}}"#,
            r#"{"index":0,"function":{"arguments":"}"}}"#,
            r#"{"index":1,"function":{"arguments":"}"}}"#,
        ],
        &[
            "0.0 open function f a",
            "0.1 open function g b",
            "0.1 + {",
            "0.0 + {\"x\":1",
            "0.0 + }",
            "0.0 close",
            "0.1 + }",
            "0.1 close",
        ],
    );
    // Another id on the same index is another call; without an index the id decides.
    for index in [r#""index":0,"#, ""] {
        let first = format!(r#"{{{index}"id":"a","function":{{"name":"f","arguments":"{{}}"}}}}"#);
        let second = format!(r#"{{{index}"id":"b","function":{{"name":"f","arguments":""}}}}"#);
        let third = format!(r#"{{{index}"function":{{"arguments":"{{}}"}}}}"#);
        check_calls(
            &[&first, &second, &third],
            &[
                "0.0 open function f a",
                "0.0 + {}",
                "0.0 close",
                "0.1 open function f b",
                "0.1 + {}",
                "0.1 close",
            ],
        );
    }
    // Neither of them: a name behind a whole input begins a call.
    check_calls(
        &[
            r#"{"function":{"name":"f","arguments":"{}"}}"#,
            r#"{"function":{"name":"f","arguments":{"a": 1.0}}}"#,
        ],
        &[
            "0.0 open function f call__0_0",
            "0.0 + {}",
            "0.0 close",
            "0.1 open function f call__0_1",
            "0.1 + {\"a\": 1.0}",
            "0.1 close",
        ],
    );
}

#[test]
fn names_are_joined_and_repetitions_are_not() {
    check_calls(
        &[
            r#"{"index":0,"id":"a","function":{"name":"get_"}}"#,
            r#"{"index":0,"id":"a","function":{"name":"time","arguments":null}}"#,
            r#"{"index":0,"id":"a","function":{"name":"get_time","arguments":"{"}}"#,
            r#"{"index":0,"id":"a","function":{"name":"get_time","arguments":"}"}}"#,
        ],
        &["0.0 open function get_time a", "0.0 + {", "0.0 + }", "0.0 close"],
    );
    // An input waits for its name; what has none was no call.
    check_calls(
        &[
            r#"{"index":0,"id":"a","function":{"arguments":"{"}}"#,
            r#"{"index":0,"function":{"name":"f","arguments":"}"}}"#,
            r#"{"index":1,"id":"b","function":{"arguments":"{}"}}"#,
        ],
        &["0.0 open function f a", "0.0 + {}", "0.0 close"],
    );
    check_calls(
        &[r#"{"index":0,"id":"a","function":{"name":"f"}}"#],
        &["0.0 open function f a", "0.0 close"],
    );
    check_calls(
        &[
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}"#,
        ],
        &["0.0 open function f a", "0.0 signature Gemini s", "0.0 + {}", "0.0 close"],
    );
}

#[test]
fn names_come_back_as_the_client_spelled_them_and_free_forms_as_text() {
    let mut names = Names::default();
    let free = Name { free_form: true, ..Name::plain("a.b") };
    names.tell(&free, NameRule::Openai);
    let text = stream(&[
        r#""delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"a_b","arguments":"{\"input\":\"x\\"}}]}"#,
        r#""delta":{"tool_calls":[{"index":0,"function":{"arguments":"ny\"}"}}]},"finish_reason":"tool_calls""#,
    ]);
    let want = [
        "start",
        "0.0 open free-form a.b 1",
        "0.0 + x",
        "0.0 + \ny",
        "0.0 close",
        "0 finish Calls",
        "end",
    ];
    assert_eq!(steps([text.as_bytes()], names), want);
}

#[test]
fn several_candidates_are_followed() {
    check(
        "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}},{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n\
         data: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n\
         data: {\"choices\":[{\"index\":1,\"usage\":{\"completion_tokens\":3}}]}\n\n",
        &[
            "start",
            "1.0 open text",
            "1.0 + b",
            "0.0 open text",
            "0.0 + a",
            "0.0 close",
            "0 finish Stop",
            "1.0 close",
            "1 finish Length",
            "usage 1/2",
            "usage 1/3",
            "end",
        ],
    );
}

#[test]
fn an_end_is_told_from_a_break() {
    let begun = r#"data: {"choices":[{"delta":{"content":"a"}}]}"#;
    let open = ["start", "0.0 open text", "0.0 + a"];
    let cut = "failed BadGateway: the provider's stream ended before the answer was complete";
    check(&format!("{begun}\n\n"), &[&open[..], &[cut]].concat());
    check(
        &format!(
            "{begun}\n\ndata: {{\"error\":{{\"message\":\"busy\",\"code\":503}}}}\n\ndata: [DONE]\n\n"
        ),
        &[&open[..], &["failed Overloaded: busy"]].concat(),
    );
    check(
        &format!("{begun}\n\ndata: {{\"choi\n\n"),
        &[&open[..], &["failed BadGateway: an event of the provider is not valid JSON"]].concat(),
    );
    check(
        &format!(
            "{begun}\n\n{{\n \"error\": {{\n  \"code\": 429,\n  \"message\": \"slow\"\n }}\n}}"
        ),
        &[&open[..], &["failed RateLimited: slow"]].concat(),
    );
    let done = ["0.0 close", "0 finish Stop", "end"];
    check(&format!("{begun}\n\ndata:[DONE] \n\ndata: [DONE]"), &[&open[..], &done].concat());
    check("data: [DONE]\n\n", &[cut]);
    check("", &[cut]);
    check(
        r#"data: {"choices":[{"error":{"message":"m","code":503}}],"error":{}}"#,
        &["failed Overloaded: m"],
    );
    check("event: error\ndata: {\"message\":\"m\"}\n\n", &["failed BadGateway: m"]);
}

#[test]
fn a_document_is_told_as_a_stream() {
    let answer = r#" {"choices":[{"message":{"content":"a","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"},
        "extra_content":{"google":{"thought_signature":"s"}}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let want = [
        "start",
        "0.0 open text",
        "0.0 + a",
        "0.0 close",
        "0.1 open function f 1",
        "0.1 signature Gemini s",
        "0.1 + {}",
        "0.1 close",
        "0 finish Calls",
        "usage 1/2",
        "end",
    ];
    check(answer, &want);
    check(&format!("\u{feff}{answer}"), &want);
    check(
        r#"{"error":{"message":"no","type":"invalid_request_error"}}"#,
        &["failed BadRequest: no"],
    );
    check("[{\"error\":{\"message\":\"no\",\"code\":400}}]", &["failed BadRequest: no"]);
    check("{\"choices\":[]}", &["failed BadGateway: the provider's answer has no choices"]);
    check("{\"choi", &["failed BadGateway: the provider's answer is not valid JSON"]);
    check(
        r#"[{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}]"#,
        &["start", "0.0 open text", "0.0 + a", "0.0 close", "0 finish Stop", "end"],
    );
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_steps(size in 1..40_usize, end in "\n|\r|\r\n") {
        let text = stream(&[
            r#""delta":{"role":"assistant","reasoning_content":"é"}"#,
            r#""delta":{"content":"你好🌍"}"#,
            r#""delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]}"#,
            r#""delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"f","arguments":"{}"}}]}"#,
            r#""delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"🌍\"}"}}]},"finish_reason":"stop""#,
        ]);
        let text = format!("\u{feff}: comment\n\n{text}").replace('\n', &end);
        let whole = steps([text.as_bytes()], Names::default());
        prop_assert_eq!(whole.last().map(String::as_str), Some("end"));
        prop_assert_eq!(steps(text.as_bytes().chunks(size), Names::default()), whole);
    }
}
