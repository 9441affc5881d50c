//! Whole answers: what is understood, and what is written.

use crate::{
    Failure, FailureKind, NameRule, Names, Reply, Signature, Vendor,
    chat::{Answer, Block, Choice, Citation, Finish, Name},
    codec,
};

fn reply() -> Reply {
    Reply { model: "m".into(), unique: "u".into(), created: 5, ..Reply::default() }
}

/// What becomes of a message that is read and written again.
#[track_caller]
fn check(choice: &str, want: &str) {
    let body = format!(r#"{{"choices":[{{{choice}}}]}}"#);
    let mut names = Names::default();
    names.unique.push('n');
    let answer = codec::OPENAI_CHAT.decode_answer(body.as_bytes(), &names).unwrap();
    let out = String::from_utf8(codec::OPENAI_CHAT.encode_answer(&answer, &reply())).unwrap();
    let head = r#"{"id":"chatcmpl-u","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,"message":{"role":"assistant","#;
    assert_eq!(out.strip_prefix(head).unwrap().strip_suffix("}]}").unwrap(), want, "{choice}");
}

#[test]
fn what_was_read_is_written_again() {
    check(
        r#""message":{"content":"a"},"finish_reason":"stop""#,
        r#""content":"a","refusal":null},"logprobs":null,"finish_reason":"stop""#,
    );
    check(
        r#""message":{"content":"","reasoning":"t"},"finish_reason":"length""#,
        r#""content":null,"refusal":null,"reasoning_content":"t"},"logprobs":null,"finish_reason":"length""#,
    );
    check(
        r#""message":{"content":null,"refusal":"no"},"finish_reason":"content_filter""#,
        r#""content":null,"refusal":"no"},"logprobs":null,"finish_reason":"content_filter""#,
    );
    check(
        r#""message":{"content":"éa","annotations":[{"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":1,"end_index":2}},{"type":"file"}]},
            "logprobs":{"content":[{"token":"é","logprob":-0.10,"bytes":null,"top_logprobs":[{"token":"x","logprob":-2}]}]}"#,
        r#""content":"éa","refusal":null,"annotations":[{"type":"url_citation","url_citation":{"start_index":1,"end_index":2,"url":"u","title":"t"}}]},"logprobs":{"content":[{"token":"é","logprob":-0.10,"bytes":[195,169],"top_logprobs":[{"token":"x","logprob":-2,"bytes":[120]}]}],"refusal":null},"finish_reason":"stop""#,
    );
}

#[test]
fn the_content_of_an_answer_is_trusted_before_its_label() {
    let call = |call: &str| format!(r#""message":{{"content":"","tool_calls":[{call}]}}"#);
    let told = |call: &str, finish: &str| {
        format!(
            r#""content":null,"refusal":null,"tool_calls":[{call}]}},"logprobs":null,"finish_reason":"{finish}""#
        )
    };
    check(
        &call(r#"{"function":{"name":"f","arguments":""}}"#),
        &told(
            r#"{"id":"call_n_0_0","type":"function","function":{"name":"f","arguments":"{}"}}"#,
            "tool_calls",
        ),
    );
    check(
        &format!(
            r#"{},"finish_reason":"length""#,
            call(
                r#"{"id":"1","function":{"name":"f","arguments":{"a":1.0}},"extra_content":{"google":{"thought_signature":"s"}}}"#
            )
        ),
        &told(
            r#"{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1.0}"},"extra_content":{"google":{"thought_signature":"s"}}}"#,
            "length",
        ),
    );
    check(
        r#""message":{"content":"a"},"finish_reason":"tool_calls""#,
        r#""content":"a","refusal":null},"logprobs":null,"finish_reason":"stop""#,
    );
}

#[test]
fn names_come_back_and_free_forms_are_unwrapped() {
    let mut names = Names::default();
    names.tell(&Name { free_form: true, ..Name::plain("a.b") }, NameRule::Openai);
    let body = br#"{"choices":[{"message":{"tool_calls":[{"id":"1","function":{"name":"a_b","arguments":"{\"input\":\"x\"}"}}]}}]}"#;
    let answer = codec::OPENAI_CHAT.decode_answer(body, &names).unwrap();
    let Block::Call { name, input, .. } = &answer.choices[0].blocks[0] else { panic!("a call") };
    assert_eq!((&*name.text, name.free_form, &**input), ("a.b", true, "x"));
}

#[test]
fn clients_of_old_get_one_call_where_they_look_for_it() {
    let body = br#"{"choices":[{"message":{"tool_calls":[{"id":"1","function":{"name":"f"}},{"id":"2","function":{"name":"g"}}]}}]}"#;
    let answer = codec::OPENAI_CHAT.decode_answer(body, &Names::default()).unwrap();
    let mut reply = reply();
    reply.wish.function_call = true;
    let out = String::from_utf8(codec::OPENAI_CHAT.encode_answer(&answer, &reply)).unwrap();
    let want = r#""content":null,"refusal":null,"function_call":{"name":"f","arguments":"{}"}},"logprobs":null,"finish_reason":"function_call""#;
    assert!(out.contains(want), "{out}");
}

#[test]
fn texts_are_joined_and_what_they_cite_moves_along() {
    let cite = |span| Citation { url: "u".into(), title: None, cited: None, span };
    let text = |text: &'static str, span| Block::Text {
        text: text.into(),
        citations: vec![cite(span)],
        signature: None,
    };
    let thought = |signature: Signature<'static>| Block::Thinking {
        text: "t".into(),
        signature: Some(signature),
    };
    let redacted = Signature { redacted: true, ..Signature::new(Vendor::Anthropic, "r") };
    let blocks = vec![
        thought(Signature::new(Vendor::Anthropic, "s")),
        thought(redacted),
        thought(Signature::new(Vendor::Openai, "o")),
        text("éa", None),
        text("bcd", Some((1, 2))),
    ];
    let choice = Choice { blocks, finish: Finish::Paused, logprobs: vec![] };
    let answer = Answer { choices: vec![choice], usage: None };
    let out = String::from_utf8(codec::OPENAI_CHAT.encode_answer(&answer, &reply())).unwrap();
    for part in [
        r#""content":"éabcd""#,
        r#""reasoning_content":"ttt""#,
        r#""thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"r"}]"#,
        r#""start_index":0,"end_index":2"#,
        r#""start_index":3,"end_index":4"#,
        r#""finish_reason":"stop""#,
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn an_error_in_the_clothes_of_a_success_is_one() {
    let check = |body: &str, kind, message: &str| {
        let names = Names::default();
        let failure = codec::OPENAI_CHAT.decode_answer(body.as_bytes(), &names).unwrap_err();
        assert_eq!((failure.kind, &*failure.message), (kind, message));
    };
    check(
        r#"{"error":{"message":"no","type":"invalid_request_error"}}"#,
        FailureKind::BadRequest,
        "no",
    );
    check(
        r#"{"choices":[{"message":{},"error":{"message":"m","code":"429"}}],"error":{}}"#,
        FailureKind::RateLimited,
        "m",
    );
    check("<html>", FailureKind::BadGateway, "the provider's answer is not valid JSON");
    check("{}", FailureKind::BadGateway, "the provider's answer has no choices");
}

#[test]
fn errors_keep_their_code_and_field() {
    let check = |status, body: &str, want: Failure| {
        assert_eq!(codec::OPENAI_CHAT.decode_failure(status, body.as_bytes()), want, "{body}");
    };
    let failure = |kind, message: &str, code: Option<&str>, param: Option<&str>| Failure {
        code: code.map(str::to_owned),
        param: param.map(str::to_owned),
        ..Failure::new(kind, message)
    };
    check(
        400,
        r#"{"error":{"message":"long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        failure(FailureKind::BadRequest, "long", Some("context_length_exceeded"), Some("messages")),
    );
    check(
        429,
        r#"{"error":{"message":"poor","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        failure(FailureKind::NoMoney, "poor", Some("insufficient_quota"), None),
    );
    check(
        503,
        r#"{"error":{"message":"busy","type":"server_error"}}"#,
        failure(FailureKind::Overloaded, "busy", None, None),
    );
    check(
        422,
        r#"{"object":"error","message":"bad field","code":422}"#,
        failure(FailureKind::BadRequest, "bad field", None, None),
    );
    let silent = "the provider answered 502 without saying why";
    check(502, "<html>", failure(FailureKind::BadGateway, silent, None, None));
}
