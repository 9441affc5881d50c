//! The conversation as Messages targets are told it.

use serde_json::{Value as Json, json};

use super::{
    able, asking, block, call, check_told as check, decode, encode, older, read, result, text,
    turns,
};
use crate::{
    Signature, Target, Vendor,
    chat::{Media, MediaKind, Piece, Role, Source},
};

#[test]
fn system_messages_inside_stand_behind_the_users_turn_or_become_one() {
    let request = turns([
        (Role::System, vec![text("lead")]),
        (Role::System, vec![text("")]),
        (Role::User, vec![text("a")]),
        (Role::System, vec![text("one")]),
        (Role::User, vec![text("b")]),
        (Role::System, vec![text("two")]),
        (Role::Assistant, vec![text("c")]),
        (Role::System, vec![text("three")]),
        (Role::Assistant, vec![text("d")]),
        (Role::System, vec![text("four")]),
    ]);
    let reminder = |text: &str| block(&format!("<system-reminder>\n{text}\n</system-reminder>"));
    let lead = json!([block("lead")]);
    check(
        &request,
        &able(),
        json!({"system": lead, "messages": [
            {"role": "user", "content": [block("a"), block("b")]},
            {"role": "system", "content": [block("one"), block("two")]},
            {"role": "assistant", "content": [block("c")]},
            {"role": "user", "content": [reminder("three")]},
            {"role": "assistant", "content": [block("d")]},
            {"role": "user", "content": [reminder("four")]},
        ]}),
        &[],
    );
    check(
        &request,
        &older(),
        json!({"system": lead, "messages": [
            {"role": "user", "content": [block("a"), reminder("one"), block("b"), reminder("two")]},
            {"role": "assistant", "content": [block("c")]},
            {"role": "user", "content": [reminder("three")]},
            {"role": "assistant", "content": [block("d")]},
            {"role": "user", "content": [reminder("four")]},
        ]}),
        &[],
    );
}

#[test]
fn a_turn_of_which_nothing_is_left_parts_nobody() {
    let unsigned = Piece::Thinking { text: "hm".into(), signature: None };
    let request = turns([
        (Role::User, vec![text("a")]),
        (Role::System, vec![text("one")]),
        (Role::Assistant, vec![unsigned, text(" \n")]),
        (Role::User, vec![text("b"), text("")]),
    ]);
    check(
        &request,
        &able(),
        json!({"system": null, "messages": [
            {"role": "user", "content": [block("a"), block("b")]},
            {"role": "system", "content": [block("one")]},
        ]}),
        &[],
    );
}

#[test]
fn results_come_first_in_the_turn_behind_their_calls() {
    let request = turns([
        (Role::Assistant, vec![call("a:1", ""), call("b", "[1]"), call("c", "{\"n\":1.50}")]),
        (Role::User, vec![result("a:1", vec![text("x")]), text("then")]),
        (Role::System, vec![text("s")]),
        (Role::User, vec![result("b", vec![text("")]), result("c", vec![])]),
    ]);
    let told = encode(&request, &able()).unwrap();
    assert!(String::from_utf8_lossy(&told.body).contains("\"input\":{\"n\":1.50}"));
    let messages = read(&told.body)["messages"].clone();
    let id = messages[0]["content"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("a_1_"), "{id}");
    let called =
        |id: &str, input: Json| json!({"type": "tool_use", "id": id, "name": "f", "input": input});
    assert_eq!(
        messages,
        json!([
            {"role": "assistant", "content": [
                called(id, json!({})),
                called("b", json!({"_raw": "[1]"})),
                called("c", json!({"n": 1.5})),
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": [block("x")]},
                {"type": "tool_result", "tool_use_id": "b"},
                {"type": "tool_result", "tool_use_id": "c"},
                block("then"),
            ]},
            {"role": "system", "content": [block("s")]},
        ])
    );
}

#[test]
fn only_thoughts_that_anthropic_signed_are_sent() {
    let thought = |signature| Piece::Thinking { text: "hm".into(), signature };
    let redacted = Signature { redacted: true, ..Signature::new(Vendor::Anthropic, "data") };
    let request = turns([(
        Role::Assistant,
        vec![
            thought(None),
            thought(Some(Signature::unsigned())),
            thought(Some(Signature::new(Vendor::Openai, "o"))),
            thought(Some(Signature::new(Vendor::Gemini, "g"))),
            thought(Some(Signature::new(Vendor::Anthropic, "sig"))),
            thought(Some(redacted)),
            Piece::Refusal("no".into()),
        ],
    )]);
    check(
        &request,
        &able(),
        json!({"messages": [{"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "data"},
            block("no"),
        ]}]}),
        &[],
    );
}

#[test]
fn media_go_as_blocks_or_are_refused() {
    let media = |kind, mime: &'static str, source| {
        let path = "input[0]".to_owned();
        let mime = (!mime.is_empty()).then_some(mime.into());
        Piece::Media(Media { kind, source, mime, name: None, detail: None, path })
    };
    let data = || Source::Base64("/9j/aGk=".into());
    let url = || Source::Url("https://x/y".into());
    let jpeg = json!({"type": "base64", "media_type": "image/jpeg", "data": "/9j/aGk="});
    let link = json!({"type": "url", "url": "https://x/y"});
    let plain = json!({"type": "text", "media_type": "text/plain", "data": "hi"});
    let rows = [
        (media(MediaKind::Image, "image/jpg", data()), "image", jpeg.clone()),
        (media(MediaKind::Image, "", data()), "image", jpeg),
        (media(MediaKind::Document, "", url()), "document", link),
        (
            media(MediaKind::Document, "text/csv; charset=utf-8", Source::Base64("aGk=".into())),
            "document",
            plain.clone(),
        ),
        (media(MediaKind::Document, "", Source::Text("hi".into())), "document", plain),
    ];
    for (piece, kind, source) in rows {
        let request = turns([(Role::User, vec![piece])]);
        let content = json!([{"role": "user", "content": [{"type": kind, "source": source}]}]);
        check(&request, &able(), json!({"messages": content}), &[]);
    }
    let refused = [
        (Role::User, media(MediaKind::Audio, "audio/wav", data())),
        (Role::User, media(MediaKind::Video, "video/mp4", data())),
        (Role::User, media(MediaKind::Image, "", Source::File("f".into()))),
        (Role::User, media(MediaKind::Document, "application/zip", data())),
        (Role::User, media(MediaKind::Document, "text/plain", Source::Base64("/w==".into()))),
        (Role::User, result("a", vec![media(MediaKind::Audio, "", data())])),
        (Role::Assistant, media(MediaKind::Image, "image/png", data())),
    ];
    for (role, piece) in refused {
        let failure = encode(&turns([(role, vec![piece])]), &able()).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some("input[0]"));
    }
}

#[test]
fn what_is_known_on_both_sides_comes_out_as_it_went_in() {
    let body = asking(json!({
        "model": "claude",
        "system": [block("one"), block("two")],
        "messages": [
            {"role": "user", "content": [
                block("Hi"),
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "document", "title": "t", "source":
                    {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
            ]},
            {"role": "system", "content": [block("now")]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
                {"type": "redacted_thinking", "data": "x"},
                block("Let me see."),
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1, "a": [2.50]}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": [
                    block("no"),
                    {"type": "image", "source":
                        {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}},
                ]},
                block("Go on."),
            ]},
        ],
        "tools": [{"name": "f", "description": "d", "strict": true,
            "input_schema": {"type": "object", "additionalProperties": false,
                "properties": {"b": {"type": "integer"}}}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "stop_sequences": ["x"],
        "top_p": 0.97,
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "high", "format":
            {"type": "json_schema", "schema":
                {"type": "object", "additionalProperties": false}}},
        "metadata": {"user_id": "u"},
        "stream": true,
    }));
    let text = body.to_string();
    let request = decode(text.as_bytes()).unwrap();
    let told = encode(&request, &able()).unwrap();
    assert_eq!((read(&told.body), told.path.as_str()), (body, "/v1/messages"));
    assert_eq!(told.dropped, [""; 0]);
}

#[test]
fn counting_asks_for_input_only() {
    let text = asking(json!({"temperature": 0.5, "stream": true, "system": "S"})).to_string();
    let request = decode(text.as_bytes()).unwrap();
    let target = Target { model: "claude", profile: &able() };
    let told = super::ANTHROPIC.encode_count_request(&request, target).unwrap().unwrap();
    assert_eq!(told.path, "/v1/messages/count_tokens");
    let messages = json!([{"role": "user", "content": [block("Hi")]}]);
    let want = json!({"model": "claude", "system": [block("S")], "messages": messages});
    assert_eq!(read(&told.body), want);
}
