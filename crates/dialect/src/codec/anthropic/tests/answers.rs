//! Answers and streams, from Messages targets and for Messages clients, and the cutting out of
//! signatures of our own.

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::{ANTHROPIC, read};
use crate::{
    Failure, FailureKind, Names, Reply, Signature, StreamReader, Tokens, Vendor,
    chat::{Answer, Block, Choice, Citation, Event, Finish, Name, Opening},
};

fn reply() -> Reply {
    Reply { model: "alias".into(), unique: "1".into(), ..Reply::default() }
}

fn answer<'a>(blocks: Vec<Block<'a>>, finish: Finish<'a>) -> Answer<'a> {
    let choice = Choice { blocks, finish, logprobs: Vec::new() };
    Answer { choices: vec![choice], usage: None }
}

fn text(text: &str) -> Block<'_> {
    Block::Text { text: text.into(), citations: Vec::new(), signature: None }
}

fn call(signature: Option<Signature<'_>>) -> Block<'_> {
    Block::Call { id: "c".into(), name: Name::plain("f"), input: "{}".into(), signature }
}

/// What a client reads of a stream: its blocks put together, and how it ends.
fn put_together(stream: &[u8]) -> Json {
    let mut message = Json::Null;
    let mut open: Option<u64> = None;
    for event in std::str::from_utf8(stream).unwrap().split_terminator("\n\n") {
        let (name, data) = event.split_once('\n').unwrap();
        let data = read(data.strip_prefix("data: ").unwrap().as_bytes());
        assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
        let index = data["index"].as_u64();
        let place = index.unwrap_or_default() as usize;
        match data["type"].as_str().unwrap() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!((open, place), (None, content.len()));
                content.push(data["content_block"].clone());
                open = index;
            }
            "content_block_delta" => {
                assert_eq!(open, index);
                let block = &mut message["content"][place];
                let delta = &data["delta"];
                let mut add = |member: &str, more: &Json| {
                    let before = block[member].as_str().unwrap_or_default().to_owned();
                    block[member] = json!(before + more.as_str().unwrap());
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => add("text", &delta["text"]),
                    "thinking_delta" => add("thinking", &delta["thinking"]),
                    "input_json_delta" => add("partial", &delta["partial_json"]),
                    "signature_delta" => add("signature", &delta["signature"]),
                    "citations_delta" => block["citations"] = json!([delta["citation"]]),
                    other => panic!("{other}"),
                }
            }
            "content_block_stop" => {
                assert_eq!(open.take(), index);
                let block = &mut message["content"][place];
                if block["type"] == "tool_use" {
                    let partial = block.as_object_mut().unwrap().remove("partial");
                    let partial = partial.as_ref().and_then(Json::as_str).unwrap_or("{}");
                    block["input"] = read(partial.as_bytes());
                }
            }
            "message_delta" => {
                for (name, value) in data["delta"].as_object().unwrap() {
                    message[name] = value.clone();
                }
                message["usage"] = data["usage"].clone();
            }
            "message_stop" => assert_eq!(open, None),
            "error" => message["error"] = data["error"].clone(),
            "ping" => {}
            other => panic!("{other}"),
        }
    }
    message
}

fn told(answer: Answer<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut stream = ANTHROPIC.encode_stream(reply());
    answer.tell(&mut |event| stream.event(event, &mut out));
    out
}

/// What a client gets of an answer, whole or as a stream: the same.
#[track_caller]
fn check(answer: Answer<'_>, content: Json, reason: &str) {
    let whole = read(&ANTHROPIC.encode_answer(&answer, &reply()));
    assert_eq!(whole["content"], content);
    assert_eq!(whole["stop_reason"], reason);
    assert_eq!((&whole["id"], &whole["model"]), (&json!("msg_1"), &json!("alias")));
    assert_eq!(put_together(&told(answer)), whole);
}

#[test]
fn an_answer_is_the_same_whole_and_as_a_stream() {
    let unsigned = Signature::unsigned().wrapped();
    let thinking = |text: &str, signature: &str| json!({"type": "thinking", "thinking": text, "signature": signature});
    let thought = |signature| Block::Thinking { text: "hm".into(), signature };
    let tool = json!({"type": "tool_use", "id": "c", "name": "f", "input": {}});
    let gemini = || Signature::new(Vendor::Gemini, "g");
    let wrapped = gemini().wrapped();
    let hi = json!({"type": "text", "text": "hi"});
    check(answer(vec![text(""), text("hi")], Finish::Stop), json!([hi]), "end_turn");
    check(
        answer(vec![thought(None), text("hi")], Finish::Length),
        json!([thinking("hm", &unsigned), hi]),
        "max_tokens",
    );
    check(
        answer(vec![thought(Some(Signature::new(Vendor::Anthropic, "s")))], Finish::Paused),
        json!([thinking("hm", "s")]),
        "pause_turn",
    );
    check(
        answer(vec![thought(None), call(Some(gemini()))], Finish::Stop),
        json!([thinking("hm", &wrapped), tool]),
        "tool_use",
    );
    check(
        answer(vec![text("hi"), call(Some(gemini())), call(None)], Finish::Calls),
        json!([hi, thinking("", &wrapped), tool, tool]),
        "tool_use",
    );
    check(
        answer(vec![thought(None), text("hi"), call(Some(gemini()))], Finish::Calls),
        json!([thinking("hm", &unsigned), hi, thinking("", &wrapped), tool]),
        "tool_use",
    );
    check(answer(vec![], Finish::Calls), json!([]), "end_turn");
    check(answer(vec![text("hi"), call(None)], Finish::Length), json!([hi, tool]), "max_tokens");
    check(answer(vec![Block::Refusal("hi".into())], Finish::Stop), json!([hi]), "refusal");
    check(answer(vec![text("hi")], Finish::Sequence(None)), json!([hi]), "end_turn");
    let citation = Citation { url: "u".into(), title: None, cited: Some("w".into()), span: None };
    let cited = Block::Text { text: "hi".into(), citations: vec![citation], signature: None };
    let source = json!({"type": "web_search_result_location", "url": "u", "title": null,
        "cited_text": "w", "encrypted_index": unsigned});
    let hi_cited = json!({"type": "text", "text": "hi", "citations": [source]});
    check(answer(vec![cited], Finish::Stop), json!([hi_cited]), "end_turn");
}

#[test]
fn the_end_says_which_stop_came_and_why_it_was_declined() {
    let stopped = answer(vec![text("hi")], Finish::Sequence(Some("END".into())));
    let whole = read(&ANTHROPIC.encode_answer(&stopped, &reply()));
    assert_eq!(
        (&whole["stop_reason"], &whole["stop_sequence"]),
        (&json!("stop_sequence"), &json!("END"))
    );
    let declined = answer(vec![], Finish::Filtered(Some("because".into())));
    let whole = read(&ANTHROPIC.encode_answer(&declined, &reply()));
    assert_eq!(whole["stop_details"], json!({"type": "refusal", "explanation": "because"}));
}

#[test]
fn what_came_from_the_cache_stands_beside_the_input() {
    let check = |tokens: Tokens, expected: Json| {
        let answer = Answer { usage: Some(tokens), ..answer(vec![text("hi")], Finish::Stop) };
        assert_eq!(read(&ANTHROPIC.encode_answer(&answer, &reply()))["usage"], expected);
        assert_eq!(put_together(&told(answer))["usage"], expected);
    };
    let none = Tokens::default();
    check(Tokens { input: 3, output: 2, ..none }, json!({"input_tokens": 3, "output_tokens": 2}));
    check(
        Tokens { input: 10, cached: 4, cache_written: 3, output: 9, reasoning: 5, ..none },
        json!({"input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3,
            "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 5}}),
    );
    check(
        Tokens { input: 3, cached: 4, output: 1, ..none },
        json!({"input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 1}),
    );
}

#[test]
fn a_stream_that_breaks_ends_with_the_error() {
    let mut out = Vec::new();
    let mut stream = ANTHROPIC.encode_stream(reply());
    stream.keep_alive(&mut out);
    assert!(out.is_empty(), "nothing may stand in front of the first event");
    let opening = Opening::Text;
    for event in [
        Event::Start,
        Event::Open { choice: 0, block: 0, opening },
        Event::Delta { choice: 0, block: 0, text: "a".into() },
        Event::Open { choice: 1, block: 0, opening: Opening::Text },
        Event::Delta { choice: 1, block: 0, text: "of another candidate".into() },
    ] {
        stream.event(event, &mut out);
    }
    stream.keep_alive(&mut out);
    assert!(out.ends_with(b"event: ping\ndata: {\"type\":\"ping\"}\n\n"));
    let failure = Failure::new(FailureKind::Overloaded, "busy");
    stream.event(Event::Failed(failure), &mut out);
    let length = out.len();
    stream.event(Event::End, &mut out);
    stream.keep_alive(&mut out);
    assert_eq!(out.len(), length);
    let message = put_together(&out);
    assert_eq!(message["content"][0]["text"], "a");
    assert_eq!(message["error"], json!({"type": "overloaded_error", "message": "busy"}));
    assert_eq!(ANTHROPIC.status(FailureKind::Overloaded), 529);
    assert_eq!(ANTHROPIC.status(FailureKind::NoMoney), 429);
}

/// What a Messages client gets of the stream of a Messages target.
fn through(stream: &str, names: Names) -> Json {
    let mut out = Vec::new();
    let mut encoder = ANTHROPIC.encode_stream(reply());
    let mut reader = StreamReader::new(ANTHROPIC, names);
    reader.push(Bytes::copy_from_slice(stream.as_bytes()), &mut |event| {
        encoder.event(event, &mut out);
    });
    reader.finish(&mut |event| encoder.event(event, &mut out));
    put_together(&out)
}

fn frames(events: &[Json]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

fn start(index: u64, block: Json) -> Json {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u64, delta: Json) -> Json {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u64) -> Json {
    json!({"type": "content_block_stop", "index": index})
}

#[test]
fn streams_of_all_habits_are_understood() {
    let tool = |input: Json| json!({"type": "tool_use", "id": "t", "name": "f", "input": input});
    let piece = |text: &str| json!({"type": "input_json_delta", "partial_json": text});
    let events = [
        json!({"type": "message_start", "message": {"usage":
            {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1}}}),
        start(0, json!({"type": "text", "text": "a"})),
        delta(0, json!({"type": "text_delta", "text": "b"})),
        delta(0, json!({"type": "unheard_delta", "x": 1})),
        delta(0, json!({"type": "citations_delta", "citation": {"url": "u", "cited_text": "w"}})),
        delta(0, json!({"type": "citations_delta", "citation": {"document_index": 0}})),
        stop(0),
        start(1, json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
        delta(1, piece("{}")),
        stop(1),
        json!({"type": "unheard_of"}),
        start(2, tool(json!({"whole": 1}))),
        stop(2),
        start(3, tool(json!({"whole": 1}))),
        delta(3, piece("{\"pieces\"")),
        delta(3, piece(":2}")),
        stop(3),
        start(4, json!({"type": "thinking", "thinking": "x", "signature": "s1"})),
        delta(4, json!({"type": "signature_delta", "signature": "s2"})),
        // Left open, and what is said of it is last.
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 10}}),
    ];
    let message = through(&frames(&events), Names::default());
    let source = &message["content"][0]["citations"][0];
    assert_eq!((&source["url"], &source["cited_text"]), (&json!("u"), &json!("w")));
    assert_eq!(message["content"][0]["text"], "ab");
    assert_eq!(
        message["content"].as_array().unwrap()[1..],
        [
            tool(json!({"whole": 1})),
            tool(json!({"pieces": 2})),
            json!({"type": "thinking", "thinking": "x", "signature": "s2"}),
        ]
    );
    assert_eq!(message["stop_reason"], "tool_use");
    let usage = json!({"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 10});
    assert_eq!(message["usage"], usage);
}

#[test]
fn a_stream_without_its_end_is_broken_unless_it_said_why_it_ends() {
    let begun =
        [json!({"type": "message_start", "message": {}}), start(0, json!({"type": "text"}))];
    let cut = through(&frames(&begun), Names::default());
    assert_eq!(cut["error"]["type"], "api_error");
    let stopped = json!({"type": "message_stop"});
    let whole = through(&frames(&[begun[0].clone(), stopped]), Names::default());
    assert_eq!((&whole["stop_reason"], &whole["error"]), (&json!("end_turn"), &Json::Null));
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
    let broken = through(&frames(&[begun[0].clone(), error]), Names::default());
    assert_eq!(broken["error"], json!({"type": "overloaded_error", "message": "busy"}));
    let nonsense = through("event: message_start\ndata: {\n\n", Names::default());
    assert_eq!(nonsense["error"]["type"], "api_error");
}

#[test]
fn inputs_of_free_form_tools_are_taken_out_of_their_wrapper() {
    let mut names = Names::default();
    let name = Name { free_form: true, ..Name::plain("patch") };
    names.tell(&name, crate::NameRule::Anthropic);
    let tool = json!({"type": "tool_use", "id": "", "name": "patch", "input": {"input": "a\nb"}});
    let body = json!({"content": [tool], "stop_reason": "tool_use"}).to_string();
    let answer = ANTHROPIC.decode_answer(body.as_bytes(), &names).unwrap();
    let [Block::Call { id, input, .. }] = &*answer.choices[0].blocks else { panic!("{answer:?}") };
    assert!(!id.is_empty() && input == "a\nb", "{id} {input}");
    let events = [
        start(0, json!({"type": "tool_use", "id": "t", "name": "patch", "input": {}})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "{\"input\":\"a\\"})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "nb\"}"})),
        stop(0),
        start(1, tool),
        stop(1),
    ];
    let mut inputs = [String::new(), String::new()];
    let mut stream = ANTHROPIC.decode_stream(names);
    for event in &events {
        stream.event(None, event.to_string().as_bytes(), &mut |event| {
            if let Event::Delta { block, text, .. } = event {
                inputs[block as usize].push_str(&text);
            }
        });
    }
    assert_eq!(inputs, ["a\nb", "a\nb"]);
}

#[test]
fn answers_are_read_by_their_content() {
    let finish = |members: Json| {
        let mut body = json!({"type": "message", "content": []});
        for (name, value) in members.as_object().unwrap() {
            body[name] = value.clone();
        }
        let body = body.to_string();
        let answer = ANTHROPIC.decode_answer(body.as_bytes(), &Names::default()).unwrap();
        answer.choices[0].finish.clone().into_owned()
    };
    let rows = [
        (json!({"stop_reason": "end_turn"}), Finish::Stop),
        (json!({"stop_reason": "novel"}), Finish::Stop),
        (json!({"stop_reason": "model_context_window_exceeded"}), Finish::Length),
        (
            json!({"stop_reason": "stop_sequence", "stop_sequence": "x"}),
            Finish::Sequence(Some("x".into())),
        ),
        (json!({"stop_reason": "pause_turn"}), Finish::Paused),
        (json!({"stop_reason": "refusal"}), Finish::Filtered(None)),
        (
            json!({"stop_reason": "refusal", "stop_details": {"explanation": "why"}}),
            Finish::Filtered(Some("why".into())),
        ),
    ];
    for (members, expected) in rows {
        assert_eq!(finish(members), expected);
    }
    let fails =
        |body: &str| ANTHROPIC.decode_answer(body.as_bytes(), &Names::default()).unwrap_err();
    let error = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    assert_eq!(fails(error), Failure::new(FailureKind::BadRequest, "no"));
    for body in ["{}", "<html>", "[]"] {
        assert_eq!(fails(body).kind, FailureKind::BadGateway, "{body}");
    }
}
