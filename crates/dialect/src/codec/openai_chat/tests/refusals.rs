//! What is refused before anybody is asked, and which field is named.

use proptest::prelude::*;

use super::{decode, encode};
use crate::{FailureKind, Names, Reply, Value, chat, codec};

#[track_caller]
fn check(body: &str, param: &str) {
    let failure = decode(body).unwrap_err();
    assert_eq!(failure.kind, FailureKind::BadRequest);
    assert_eq!(failure.param.as_deref().unwrap_or_default(), param, "{}", failure.message);
}

#[test]
fn a_body_that_is_no_request_is_refused_by_the_name_of_the_field() {
    let messages = |messages: &str| format!(r#"{{"model":"m","messages":{messages}}}"#);
    let beside = |fields: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{fields}}}"#)
    };
    check("{", "");
    check("[]", "");
    check(r#"{"messages":[]}"#, "model");
    check(r#"{"model":1}"#, "model");
    check(r#"{"model":"m"}"#, "messages");
    check(&messages("{}"), "messages");
    check(&messages("[]"), "messages");
    check(&messages("[1]"), "messages[0]");
    check(&messages(r#"[{"content":"x"}]"#), "messages[0].role");
    check(&messages(r#"[{"role":"robot"}]"#), "messages[0].role");
    check(&messages(r#"[{"role":"user"}]"#), "messages[0].content");
    check(&messages(r#"[{"role":"user","content":1}]"#), "messages[0].content");
    check(&messages(r#"[{"role":"user","content":[{}]}]"#), "messages[0].content[0].type");
    let part = |part: &str| messages(&format!(r#"[{{"role":"user","content":[{part}]}}]"#));
    check(&part(r#"{"type":"text"}"#), "messages[0].content[0].text");
    check(&part(r#"{"type":"video_url","video_url":{}}"#), "messages[0].content[0]");
    check(&part(r#"{"type":"image_url"}"#), "messages[0].content[0].image_url");
    check(&part(r#"{"type":"image_url","image_url":{}}"#), "messages[0].content[0].image_url.url");
    check(
        &part(r#"{"type":"image_url","image_url":{"url":"data:,x"}}"#),
        "messages[0].content[0].image_url.url",
    );
    check(&part(r#"{"type":"file","file":{}}"#), "messages[0].content[0].file.file_data");
    check(&messages(r#"[{"role":"tool","content":"x"}]"#), "messages[0].tool_call_id");
    let call = |call: &str| messages(&format!(r#"[{{"role":"assistant","tool_calls":[{call}]}}]"#));
    check(&call("{}"), "messages[0].tool_calls[0].id");
    check(&call(r#"{"id":"1"}"#), "messages[0].tool_calls[0].function");
    check(&call(r#"{"id":"1","function":{}}"#), "messages[0].tool_calls[0].function.name");
    check(
        &call(r#"{"id":"1","function":{"name":"f","arguments":1}}"#),
        "messages[0].tool_calls[0].function.arguments",
    );
    check(&beside(r#""stream":1"#), "stream");
    check(&beside(r#""temperature":"hot""#), "temperature");
    check(&beside(r#""max_tokens":-1"#), "max_tokens");
    check(&beside(r#""stop":[1]"#), "stop");
    check(&beside(r#""n":0"#), "n");
    check(&beside(r#""top_logprobs":2"#), "top_logprobs");
    check(&beside(r#""stream_options":{"include_usage":1}"#), "stream_options.include_usage");
    check(&beside(r#""response_format":{"type":"xml"}"#), "response_format.type");
    check(&beside(r#""response_format":{"type":"json_schema"}"#), "response_format.json_schema");
    check(&beside(r#""tools":{}"#), "tools");
    check(&beside(r#""tools":[{}]"#), "tools[0].type");
    check(&beside(r#""tools":[{"type":"function"}]"#), "tools[0].function");
    check(&beside(r#""tools":[{"type":"function","function":{}}]"#), "tools[0].function.name");
    check(&beside(r#""tool_choice":"any""#), "tool_choice");
}

#[test]
fn what_a_clients_code_relies_on_is_refused() {
    let beside = |fields: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{fields}}}"#)
    };
    check(&beside(r#""modalities":["text","audio"]"#), "modalities");
    check(&beside(r#""audio":{"voice":"alloy"}"#), "audio");
    check(&beside(r#""tools":[{"type":"web_search"}],"tool_choice":"required""#), "tool_choice");
    check(&beside(r#""tool_choice":{"type":"web_search"}"#), "tool_choice");
    check(
        r#"{"model":"m","messages":[{"role":"assistant","audio":{"id":"a"}}]}"#,
        "messages[0].audio",
    );
}

#[test]
fn media_that_the_dialect_cannot_say_are_refused() {
    let check = |kind, source, path: &str| {
        let media = chat::Media {
            kind,
            source,
            mime: None,
            name: None,
            detail: None,
            path: path.to_owned(),
        };
        let pieces = vec![chat::Piece::Media(media)];
        let turns = vec![chat::Turn { role: chat::Role::User, pieces }];
        let request = chat::Request { turns, ..chat::Request::default() };
        let failure = encode(&request, &codec::OPENAI_CHAT.profile()).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some(path));
    };
    use chat::{MediaKind, Source};
    check(MediaKind::Image, Source::File("file_1".into()), "a");
    check(MediaKind::Document, Source::Url("https://x".into()), "b");
    check(MediaKind::Video, Source::Base64("AA==".into()), "c");
    check(MediaKind::Audio, Source::Url("https://x".into()), "d");
}

const REQUEST: &str = r#"{"model":"m","messages":[{"role":"system","content":"s"},
    {"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},
        {"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},{"type":"file","file":{"file_data":"AA=="}}]},
    {"role":"assistant","content":"b","refusal":"r","thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"}],
        "tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"},
            "extra_content":{"google":{"thought_signature":"g"}}},{"id":"2","type":"custom","custom":{"name":"p","input":"i"}}]},
    {"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"c"}]}],
    "tools":[{"type":"function","function":{"name":"f","parameters":{},"strict":true}},{"type":"custom","custom":{"name":"p","format":{"type":"text"}}}],
    "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}},
    "stop":["x"],"n":2,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}},
    "reasoning_effort":"low","logit_bias":{"1":1},"stream":true,"stream_options":{"include_usage":true}}"#;

const ANSWER: &str = r#"{"choices":[{"index":0,"message":{"content":[{"type":"text","text":"a"}],"reasoning":"t",
    "annotations":[{"url_citation":{"url":"u","start_index":1,"end_index":2}}],
    "tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}],"function_call":{"name":"g"}},
    "logprobs":{"content":[{"token":"a","logprob":-1,"top_logprobs":[{"token":"b","logprob":-2}]}]},
    "finish_reason":"stop"}],"usage":{"prompt_tokens":1},"error":null}"#;

/// The text with one of its values replaced.
fn bent(text: &str, which: prop::sample::Index, other: &str) -> String {
    fn collect<'a>(value: &Value<'a>, all: &mut Vec<&'a str>) {
        all.push(value.raw());
        value.items().iter().for_each(|item| collect(item, all));
        value.members().iter().for_each(|(_, member)| collect(member, all));
    }
    let mut all = Vec::new();
    collect(&Value::of(text).unwrap(), &mut all);
    let part = all[which.index(all.len())];
    let at = part.as_ptr().addr() - text.as_ptr().addr();
    format!("{}{other}{}", &text[..at], &text[at + part.len()..])
}

proptest! {
    #[test]
    fn no_input_makes_the_codec_panic(
        which in any::<prop::sample::Index>(),
        other in r#"null|true|0|-1|1e400|""|"x"|"é"|\[\]|\[1\]|\{\}|\[\{\}\]|\["a"\]"#,
    ) {
        let request = bent(REQUEST, which, &other);
        if let Ok(request) = decode(&request) {
            let _ = encode(&request, &codec::OPENAI_CHAT.profile());
        }
        let answer = bent(ANSWER, which, &other);
        let names = Names::default();
        if let Ok(answer) = codec::OPENAI_CHAT.decode_answer(answer.as_bytes(), &names) {
            codec::OPENAI_CHAT.encode_answer(&answer, &Reply::default());
        }
        codec::OPENAI_CHAT.decode_failure(400, answer.as_bytes());
        let chunk = answer.replace("message", "delta");
        let mut decoder = codec::OPENAI_CHAT.decode_stream(names);
        let mut encoder = codec::OPENAI_CHAT.encode_stream(Reply::default());
        let mut out = Vec::new();
        decoder.event(None, chunk.as_bytes(), &mut |event| encoder.event(event, &mut out));
        decoder.finish(&mut |event| encoder.event(event, &mut out));
        for event in String::from_utf8(out).unwrap().split_terminator("\n\n") {
            let data = event.strip_prefix("data: ").unwrap();
            prop_assert!(data == "[DONE]" || Value::of(data).is_ok(), "{}", data);
        }
    }
}
