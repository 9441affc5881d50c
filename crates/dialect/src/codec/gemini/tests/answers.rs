//! Whole answers, read and written.

use crate::{
    Failure, FailureKind, Names, Reply, Signature, Tokens, Vendor,
    chat::{Answer, Block, Choice, Citation, Finish, Logprob, Name},
    codec::GEMINI,
};

fn decode(body: &str) -> Result<Answer<'_>, Failure> {
    GEMINI.decode_answer(body.as_bytes(), &Names::default())
}

/// The blocks of one candidate in a few words each, and how it ends.
fn check(candidate: &str, expected: &str) {
    let body = format!(r#"{{"candidates":[{candidate}],"responseId":"r"}}"#);
    let answer = decode(&body).expect(candidate);
    assert_eq!(words(&answer.choices[0]), expected, "{candidate}");
}

fn words(choice: &Choice<'_>) -> String {
    let proof = |signature: &Option<Signature<'_>>| match signature {
        Some(signature) => format!("!{}", signature.data),
        None => String::new(),
    };
    let mut all: Vec<String> = choice
        .blocks
        .iter()
        .map(|block| match block {
            Block::Text { text, signature, .. } => format!("text {text}{}", proof(signature)),
            Block::Thinking { text, signature } => format!("thought {text}{}", proof(signature)),
            Block::Call { id, name, input, signature } => {
                format!("call {id} {} {input}{}", name.text, proof(signature))
            }
            Block::Refusal(text) => format!("refusal {text}"),
            Block::Image(image) => format!("image {} {}", image.mime, image.data),
        })
        .collect();
    all.push(format!("{:?}", choice.finish));
    all.join("; ")
}

/// What an answer in which there is nothing is told as.
fn check_failure(body: &str, kind: FailureKind, message: &str) {
    let failure = decode(body).expect_err(body);
    assert_eq!((failure.kind, &*failure.message), (kind, message), "{body}");
}

#[test]
fn images_are_blocks_unless_they_were_only_thought_of() {
    check(
        r#"{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"_-8"}},
            {"inline_data":{"mime_type":"image/png","data":"AAAA"},"thought":true},
            {"inlineData":{"mimeType":"audio/wav","data":"AAAA"}}]},"finishReason":"STOP"}"#,
        "image image/png /+8=; Stop",
    );
}

#[test]
fn parts_become_blocks() {
    check(
        r#"{"content":{"parts":[{"text":"a","thought":true},{"text":"b","thought":true},{"text":"c"},{"text":"d"},
            {"inlineData":{}},{"executableCode":{"code":"1"}},{"text":"e","thoughtSignature":"AA=="},{"text":"f"}]},"finishReason":"STOP"}"#,
        "thought ab; text cde!AA==; text f; Stop",
    );
    check(
        r#"{"content":{"parts":[{"text":"a"},{"text":"","thoughtSignature":"AA=="}]},"finishReason":"STOP"}"#,
        "text a!AA==; Stop",
    );
    check(
        r#"{"content":{"parts":[{"functionCall":{"name":"f","args":{"x": 1.0}},"thoughtSignature":"AA=="},
            {"functionCall":{"name":"f","id":"i"}},{"functionCall":{"name":"f","id":"i"}},{"text":"","thoughtSignature":"BB=="}]},"finishReason":"STOP"}"#,
        r#"call call_r_1 f {"x": 1.0}!AA==; call i f ; call call_r_2 f ; Calls"#,
    );
}

#[test]
fn reasons_to_end_are_understood() {
    let text = r#""content":{"parts":[{"text":"a"}]}"#;
    check(&format!(r#"{{{text},"finishReason":"CONTINUATION"}}"#), "text a; Length");
    check(&format!(r#"{{{text},"finishReason":"OTHER"}}"#), "text a; Stop");
    check(&format!("{{{text}}}"), "text a; Stop");
    check(
        r#"{"finishReason":"RECITATION","finishMessage":"because"}"#,
        r#"Filtered(Some("because"))"#,
    );
    check(r#"{"finishReason":"MAX_TOKENS"}"#, "Length");
    let blocked = decode(
        r#"{"promptFeedback":{"blockReason":"OTHER"},"usageMetadata":{"promptTokenCount":4}}"#,
    );
    let blocked = blocked.unwrap();
    assert_eq!(words(&blocked.choices[0]), "Filtered(None)");
    assert_eq!(blocked.usage, Some(Tokens { input: 4, ..Tokens::default() }));
}

#[test]
fn nothing_is_no_answer() {
    let gateway = FailureKind::BadGateway;
    check_failure("{}", gateway, "the model gave no answer");
    check_failure("x", gateway, "the provider's answer is not valid JSON");
    check_failure(
        r#"{"candidates":[{"finishReason":"UNEXPECTED_TOOL_CALL","finishMessage":"why"}]}"#,
        gateway,
        "the model gave no answer: UNEXPECTED_TOOL_CALL: why",
    );
    check_failure(
        r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}]},"finishReason":"OTHER"}]}"#,
        gateway,
        "the model gave no answer: OTHER",
    );
    check_failure(r#"{"error":{"code":400,"message":"bad"}}"#, FailureKind::BadRequest, "bad");
    let answer = decode(
        r#"{"candidates":[{"index":1,"finishReason":"OTHER"},{"index":0,"content":{"parts":[{"text":"a"}]}}]}"#,
    );
    let answer = answer.unwrap();
    assert_eq!(answer.choices.iter().map(words).collect::<Vec<_>>(), ["text a; Stop", "Stop"]);
}

#[test]
fn a_bad_key_is_known_whatever_google_calls_it() {
    let body = br#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
    assert_eq!(GEMINI.decode_failure(400, body).kind, FailureKind::Unauthenticated);
    let body = br#"[{"error":{"code":429,"message":"x","details":[{"retryDelay":"1.2s"}]}}]"#;
    let failure = GEMINI.decode_failure(429, body);
    assert_eq!(failure.kind, FailureKind::RateLimited);
    assert_eq!(failure.retry_after.map(|delay| delay.as_millis()), Some(1200));
}

fn encoded(answer: &Answer<'_>) -> String {
    let reply = Reply { model: "alias".into(), unique: "u1".into(), ..Reply::default() };
    String::from_utf8(GEMINI.encode_answer(answer, &reply)).unwrap()
}

#[test]
fn an_answer_is_written_as_google_would() {
    let proof = Signature::new(Vendor::Anthropic, "EqQB");
    let text =
        |text: &'static str| Block::Text { text: text.into(), citations: vec![], signature: None };
    let answer = Answer {
        choices: vec![
            Choice {
                blocks: vec![
                    Block::Thinking { text: "hm".into(), signature: Some(proof.clone()) },
                    Block::Thinking { text: "ah".into(), signature: Some(Signature::unsigned()) },
                    text("a"),
                    text(""),
                    Block::Call {
                        id: "1".into(),
                        name: Name::plain("f"),
                        input: "".into(),
                        signature: Some(Signature::new(Vendor::Gemini, "AA==")),
                    },
                ],
                finish: Finish::Calls,
                logprobs: Vec::new(),
            },
            Choice {
                blocks: vec![Block::Refusal("no".into())],
                finish: Finish::Filtered(Some("why".into())),
                logprobs: Vec::new(),
            },
        ],
        usage: Some(Tokens { input: 9, cached: 4, output: 7, reasoning: 3, ..Tokens::default() }),
    };
    let parts = format!(
        r#"{{"text":"hm","thought":true,"thoughtSignature":"{}"}},{{"text":"ah","thought":true}},{{"text":"a"}},{{"functionCall":{{"id":"1","name":"f","args":{{}}}},"thoughtSignature":"AA=="}}"#,
        proof.wrapped()
    );
    assert_eq!(
        encoded(&answer),
        format!(
            concat!(
                r#"{{"candidates":[{{"content":{{"role":"model","parts":[{parts}]}},"finishReason":"STOP","index":0}},"#,
                r#"{{"content":{{"role":"model","parts":[{{"text":"no"}}]}},"finishReason":"SAFETY","finishMessage":"why","index":1}}],"#,
                r#""usageMetadata":{{"promptTokenCount":9,"cachedContentTokenCount":4,"candidatesTokenCount":4,"thoughtsTokenCount":3,"totalTokenCount":16}},"#,
                r#""modelVersion":"alias","responseId":"u1"}}"#
            ),
            parts = parts
        )
    );
}

#[test]
fn citations_and_probabilities_come_through() {
    let cited =
        |url: &'static str, span| Citation { url: url.into(), title: None, cited: None, span };
    let text = |text: &'static str, citations| Block::Text {
        text: text.into(),
        citations,
        signature: None,
    };
    let likely = |token: &'static str| (token.into(), "-0.10".into());
    let answer = Answer {
        choices: vec![Choice {
            blocks: vec![
                text("éa", vec![cited("https://a", Some((1, 2)))]),
                text("bc", vec![cited("https://b", Some((0, 1))), cited("https://c", None)]),
            ],
            finish: Finish::Stop,
            logprobs: vec![Logprob {
                token: "éa".into(),
                logprob: "-0.10".into(),
                top: vec![likely("éa"), likely("x")],
            }],
        }],
        usage: None,
    };
    let body = encoded(&answer);
    assert!(body.contains(
        r#""citationMetadata":{"citationSources":[{"startIndex":2,"endIndex":3,"uri":"https://a"},{"startIndex":3,"endIndex":4,"uri":"https://b"},{"uri":"https://c"}]}"#
    ), "{body}");
    let again = decode(&body).unwrap();
    assert_eq!(again.choices[0].logprobs, answer.choices[0].logprobs);
    let Block::Text { citations, .. } = &again.choices[0].blocks[0] else { panic!("{again:?}") };
    assert_eq!(citations[0], cited("https://a", Some((1, 2))));
    assert_eq!(citations[1], cited("https://b", Some((2, 3))));
}
