//! What a target is told of a request, and what is lost on the way.

use super::{decode, encode};
use crate::{MaxTokensField, Profile, SystemRole, codec};

fn usual() -> Profile {
    codec::OPENAI_CHAT.profile()
}

/// Reads `fields` beside a message, and compares what is written beside model and messages.
#[track_caller]
fn check(fields: &str, profile: &Profile, told: &str, dropped: &[&str]) {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{fields}}}"#);
    let request = decode(&body).unwrap();
    let encoded = encode(&request, profile).unwrap();
    let want = format!(r#"{{"model":"up","messages":[{{"role":"user","content":"x"}}]{told}}}"#);
    assert_eq!(String::from_utf8(encoded.body).unwrap(), want);
    assert_eq!(encoded.dropped, dropped, "{fields}");
}

/// Reads messages and compares those that are written.
#[track_caller]
fn check_messages(messages: &str, profile: &Profile, told: &str) {
    let body = format!(r#"{{"model":"m","messages":[{messages}]}}"#);
    let request = decode(&body).unwrap();
    let encoded = encode(&request, profile).unwrap();
    let want = format!(r#"{{"model":"up","messages":[{told}]}}"#);
    assert_eq!(String::from_utf8(encoded.body).unwrap(), want);
    assert_eq!(encoded.dropped, [""; 0]);
}

#[test]
fn what_the_dialect_knows_goes_as_it_came() {
    let same = [
        r#","max_completion_tokens":7"#,
        r#","stop":["a","b"],"n":2,"logprobs":true,"top_logprobs":3,"safety_identifier":"u""#,
        r#","temperature":0.70,"top_p":1e-1,"seed":12345678901234567890"#,
        r#","presence_penalty":0,"frequency_penalty":-0.5,"logit_bias":{"5":-100}"#,
        r#","response_format":{"type":"json_object"}"#,
        r#","response_format":{"type":"json_schema","json_schema":{"name":"p","description":"d","schema":{"b":1,"a":2.0},"strict":false}}"#,
        r#","tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"z":1.0,"a":{}},"strict":true}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false"#,
        r#","tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
    ];
    for fields in same {
        check(fields, &usual(), fields, &[]);
    }
}

#[test]
fn what_asks_for_nothing_is_lost_in_silence() {
    let fields = r#","n":1,"logprobs":false,"top_logprobs":0,"store":true,"stream":false,"stop":[],
        "metadata":{"a":"b"},"service_tier":"flex","prompt_cache_key":"k","verbosity":"low",
        "prediction":{"type":"content","content":""},"logit_bias":{},"tools":[],"audio":null,
        "tool_choice":"auto","parallel_tool_calls":true,"modalities":["text"],"x":null,
        "response_format":{"type":"text"},"stream_options":{"include_usage":true}"#;
    check(fields, &usual(), "", &[]);
}

#[test]
fn what_nobody_else_knows_is_named_as_it_was_spelled() {
    check(
        r#","top_k":5,"web_search_options":{},"moderation":{},"reasoning_effort":"extreme",
        "stream_options":{"x":1},"thinking":{"type":"enabled"},
        "tools":[{"type":"web_search"},{"type":"mcp"},
            {"type":"function","y":1,"function":{"name":"f","z":1}}]"#,
        &usual(),
        r#","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]"#,
        &[
            "stream_options.x",
            "reasoning_effort",
            "tools",
            "tools[].y",
            "tools[].function.z",
            "top_k",
            "web_search_options",
            "moderation",
            "thinking",
        ],
    );
    let body = r#"{"model":"m","messages":[
        {"role":"user","name":"Ann","content":[{"type":"text","text":"x","y":1,"cache_control":{}}]},
        {"role":"assistant","name":"Bo","content":"a","annotations":[],"reasoning_details":[{}]},
        {"role":"assistant","tool_calls":[{"id":"1","type":"function","w":1,"function":{"name":"f"}}]}]}"#;
    let dropped = decode(body).unwrap().dropped;
    assert_eq!(
        dropped,
        [
            "messages[].content[].y",
            "messages[].name",
            "messages[].reasoning_details",
            "messages[].tool_calls[].w"
        ]
    );
}

#[test]
fn a_profile_decides_what_a_target_is_told() {
    let profile = Profile {
        sampling_params: false,
        penalties: false,
        forced_tool_choice: false,
        reasoning: true,
        max_tokens_field: MaxTokensField::MaxTokens,
        ..usual()
    };
    check(
        r#","max_tokens":5,"temperature":0,"top_p":1,"presence_penalty":1,"reasoning_effort":"xhigh""#,
        &profile,
        r#","max_tokens":5,"reasoning_effort":"xhigh""#,
        &["temperature", "top_p", "presence_penalty"],
    );
    let tool = r#","tools":[{"type":"function","function":{"name":"f","parameters":{}}}]"#;
    check(
        &format!(r#"{tool},"tool_choice":"required""#),
        &profile,
        &format!(r#"{tool},"tool_choice":"auto""#),
        &["tool_choice"],
    );
    check(r#","reasoning_effort":"low""#, &usual(), "", &["reasoning_effort"]);
    check(r#","reasoning_effort":"none""#, &usual(), "", &[]);
    check(
        r#","reasoning_effort":"none""#,
        &Profile { thinking_always_on: true, ..profile.clone() },
        r#","reasoning_effort":"low""#,
        &["reasoning_effort"],
    );
    check(r#","reasoning_effort":"none""#, &profile, r#","reasoning_effort":"none""#, &[]);
}

#[test]
fn limits_are_kept() {
    check(r#","stop":["1","2","3","4","5"]"#, &usual(), r#","stop":["1","2","3","4"]"#, &["stop"]);
    check(r#","stop":"END""#, &usual(), r#","stop":["END"]"#, &[]);
    check(
        r#","max_tokens":1,"max_completion_tokens":2,"user":"a","safety_identifier":"b""#,
        &usual(),
        r#","max_completion_tokens":2,"safety_identifier":"b""#,
        &[],
    );
    check(r#","user":"a""#, &usual(), r#","user":"a""#, &[]);
    let long = "é".repeat(129);
    check(
        &format!(r#","safety_identifier":"{long}""#),
        &usual(),
        r#","safety_identifier":"a62bf20794e9afb2766a5305affe539386952b597ef3107ff06b810cf3edc29d""#,
        &[],
    );
}

#[test]
fn streams_always_ask_for_usage() {
    check(
        r#","stream":true"#,
        &usual(),
        r#","stream":true,"stream_options":{"include_usage":true}"#,
        &[],
    );
    let asked = |fields: &str| {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":""}}]{fields}}}"#);
        decode(&body).unwrap().wish.include_usage
    };
    assert!(asked(r#","stream":true,"stream_options":{"include_usage":true}"#));
    assert!(!asked(r#","stream":true"#));
}

#[test]
fn names_that_openai_refuses_are_told_otherwise_everywhere() {
    let body = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[
        {"id":"1","type":"function","function":{"name":"a.b","arguments":""}}]},
        {"role":"tool","tool_call_id":"1","content":"r"}],
        "tools":[{"type":"function","function":{"name":"a.b","parameters":{}}}],
        "tool_choice":{"type":"function","function":{"name":"a.b"}}}"#;
    let encoded = encode(&decode(body).unwrap(), &usual()).unwrap();
    let told = String::from_utf8(encoded.body).unwrap();
    assert_eq!(
        (told.matches(r#""name":"a_b""#).count(), told.contains("a.b")),
        (3, false),
        "{told}"
    );
    assert_eq!(encoded.names.back("a_b".into()).text, "a.b");
    assert!(told.contains(r#""arguments":"{}""#), "{told}");
}

#[test]
fn free_form_tools_become_functions() {
    check(
        r#","tools":[{"type":"custom","custom":{"name":"p","description":"d","format":{"type":"grammar","grammar":{"syntax":"regex","definition":"a+"}}}}],"tool_choice":{"type":"custom","custom":{"name":"p"}}"#,
        &usual(),
        r#","tools":[{"type":"function","function":{"name":"p","description":"d\n\nThe input must follow this grammar (regex):\na+","parameters":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}}}],"tool_choice":{"type":"function","function":{"name":"p"}}"#,
        &[],
    );
    check_messages(
        r#"{"role":"assistant","tool_calls":[{"id":"1","type":"custom","custom":{"name":"p","input":"a\"b"}}]}"#,
        &usual(),
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"p","arguments":"{\"input\":\"a\\\"b\"}"}}]}"#,
    );
}

#[test]
fn functions_of_old_become_tools() {
    let body = r#"{"model":"m","messages":[
        {"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"a\":1}"}},
        {"role":"function","name":"f","content":"r"}],
        "functions":[{"name":"f","parameters":{}}],"function_call":{"name":"f"}}"#;
    let request = decode(body).unwrap();
    assert!(request.wish.function_call);
    let told = encode(&request, &usual()).unwrap().body;
    let want = r#"{"model":"up","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"call_1","content":"r"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false}"#;
    assert_eq!(String::from_utf8(told).unwrap(), want);
}

#[test]
fn messages_keep_their_order_and_system_messages_their_place() {
    let developer = Profile { system_role: SystemRole::Developer, ..usual() };
    check_messages(
        r#"{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"user","content":"c"},{"role":"user","content":"d"},
            {"role":"assistant","content":[{"type":"text","text":"e"},{"type":"refusal","refusal":"f"}]},
            {"role":"assistant","content":"g"},
            {"role":"developer","content":"h"}"#,
        &developer,
        r#"{"role":"developer","content":"a"},{"role":"developer","content":"b"},{"role":"user","content":"c"},{"role":"user","content":"d"},{"role":"assistant","content":"e","refusal":"f"},{"role":"assistant","content":"g"},{"role":"developer","content":"h"}"#,
    );
    check_messages(
        r#"{"role":"system","content":"x-anthropic-billing-header: cc_version=1"},{"role":"user","content":""}"#,
        &usual(),
        r#"{"role":"user","content":""}"#,
    );
}

#[test]
fn results_stand_directly_behind_the_calls_and_what_is_not_text_behind_them() {
    check_messages(
        r#"{"role":"assistant","content":"","tool_calls":[
                {"id":"1","type":"function","function":{"name":"f","arguments":"{}"}},
                {"id":"2","type":"function","function":{"name":"f","arguments":"{"}}]},
            {"role":"system","content":"s"},
            {"role":"user","content":"before"},
            {"role":"tool","tool_call_id":"1","content":[
                {"type":"text","text":"a"},{"type":"text","text":"b"},
                {"type":"image_url","image_url":{"url":"data:image/PNG;base64,AA_-"}}]},
            {"role":"tool","tool_call_id":"2","content":null}"#,
        &usual(),
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"2","type":"function","function":{"name":"f","arguments":"{"}}]},{"role":"tool","tool_call_id":"1","content":"a\nb\n[1 file of this result is in the user message behind the results of the tools]"},{"role":"tool","tool_call_id":"2","content":""},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA/+"}}]},{"role":"system","content":"s"},{"role":"user","content":"before"}"#,
    );
}

#[test]
fn media_are_told_as_openai_has_them() {
    let same = r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}},{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0xLjQK"}},{"type":"text","text":"?"}]}"#;
    check_messages(same, &usual(), same);
    check_messages(
        r#"{"role":"user","content":[{"type":"file","file":{"file_data":"JVBERi0xLjQK"}},
            {"type":"input_audio","input_audio":{"data":"UklGRg","format":"mpeg"}}]}"#,
        &usual(),
        r#"{"role":"user","content":[{"type":"file","file":{"filename":"document.pdf","file_data":"data:application/pdf;base64,JVBERi0xLjQK"}},{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"mp3"}}]}"#,
    );
}

#[test]
fn one_answer_is_not_asked_for() {
    let mut request =
        decode(r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#).unwrap();
    request.candidates = Some(crate::chat::Said::new(1, "candidateCount"));
    let body = encode(&request, &usual()).unwrap().body;
    assert!(!String::from_utf8(body).unwrap().contains(r#""n""#));
}

#[test]
fn media_that_cannot_be_told_are_refused_by_their_field() {
    let refused = |part: &str| {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"assistant","content":[{part}]}}]}}"#);
        let failure = encode(&decode(&body).unwrap(), &usual()).unwrap_err();
        let param = failure.param.unwrap();
        assert!(failure.message.contains(&param), "{}", failure.message);
        param.replace("messages[0].content[0].", "")
    };
    let image = r#"{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}"#;
    let sound = r#"{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}}"#;
    assert_eq!(refused(image), "image_url");
    assert_eq!(refused(sound), "input_audio");
    assert_eq!(refused(r#"{"type":"file","file":{"file_id":"f"}}"#), "file.file_id");
    assert_eq!(refused(r#"{"type":"file","file":{"file_data":"JVBERi0="}}"#), "file");
}

#[test]
fn thoughts_go_back_only_where_they_are_wanted_and_belong() {
    let wanted = Profile { reasoning_content: true, ..usual() };
    let call =
        r#""tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]"#;
    let with = format!(r#"{{"role":"assistant","content":null,"reasoning_content":"hm",{call}}}"#);
    let without = format!(r#"{{"role":"assistant","content":null,{call}}}"#);
    check_messages(&with, &wanted, &with);
    check_messages(&with, &usual(), &without);
    check_messages(
        r#"{"role":"assistant","content":"a","reasoning_content":"hm"}"#,
        &wanted,
        r#"{"role":"assistant","content":"a"}"#,
    );
    let signed = r#""thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"abc"}]"#;
    check_messages(
        &format!(r#"{{"role":"assistant","reasoning_content":"hm",{signed},{call}}}"#),
        &wanted,
        &without,
    );
}

#[test]
fn the_gateways_own_proofs_are_cut_out() {
    let body = r#"{"messages":[{"thinking_blocks":[{"signature":"dG9sbGdhdGU6MQ"},{"data":"x"}]},
        {"thinking_blocks":[{"data":"dG9sbGdhdGU6MQ"}],"tool_calls":[
            {"extra_content":{"google":{"thought_signature":"dG9sbGdhdGU6MQ"}}},
            {"extra_content":{"google":{"thought_signature":"own"}}}]}]}"#;
    let edits = codec::OPENAI_CHAT.wrapped_signatures(&crate::Value::of(body).unwrap());
    let cut = crate::splice(&body.into(), &edits);
    assert_eq!(
        cut,
        r#"{"messages":[{"thinking_blocks":[{"data":"x"}]},
        {"thinking_blocks":null,"tool_calls":[
            {"extra_content":{"google":{"thought_signature":null}}},
            {"extra_content":{"google":{"thought_signature":"own"}}}]}]}"#
    );
}
