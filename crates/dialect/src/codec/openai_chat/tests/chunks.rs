//! Streams: which chunks are written.

use crate::{
    Failure, FailureKind, Reply, Signature, Tokens, Vendor,
    chat::{Citation, Event, Finish, Logprob, Name, Opening, Piece, Wish},
    codec,
};

/// Writes the steps; the head that every chunk has is left out.
fn written(events: Vec<Event<'_>>, include_usage: bool) -> Vec<String> {
    written_as(events, Wish { include_usage, ..Wish::default() })
}

fn written_as(events: Vec<Event<'_>>, wish: Wish) -> Vec<String> {
    let reply = Reply { model: "m\"".into(), unique: "u".into(), created: 5, wish };
    let mut encoder = codec::OPENAI_CHAT.encode_stream(reply);
    let mut out = Vec::new();
    events.into_iter().for_each(|event| encoder.event(event, &mut out));
    let head = r#"{"id":"chatcmpl-u","object":"chat.completion.chunk","created":5,"model":"m\"","choices":["#;
    let text = String::from_utf8(out).unwrap();
    let data = text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
    data.map(|data| data.strip_prefix(head).unwrap_or(data).to_owned()).collect()
}

fn delta(block: u32, text: &'static str) -> Event<'static> {
    Event::Delta { choice: 0, block, text: text.into() }
}

fn open(block: u32, opening: Opening<'static>) -> Event<'static> {
    Event::Open { choice: 0, block, opening }
}

fn call(id: &'static str, free_form: bool) -> Opening<'static> {
    Opening::Call { id: id.into(), name: Name { free_form, ..Name::plain("f") } }
}

fn signature(block: u32, vendor: Vendor) -> Event<'static> {
    Event::Signature { choice: 0, block, signature: Signature::new(vendor, "s") }
}

fn close(block: u32) -> Event<'static> {
    Event::Close { choice: 0, block }
}

#[test]
fn a_signed_thought_that_is_not_in_front_comes_back_to_its_place() {
    let block = |n: u32, opening, text| [open(n, opening), delta(n, text)];
    let signed = |n| [signature(n, Vendor::Anthropic), close(n)];
    let mut events = vec![Event::Start];
    events.extend(block(0, Opening::Text, "Let me see."));
    events.push(close(0));
    events.extend(block(1, Opening::Thinking, "A."));
    events.extend(signed(1));
    events.extend(block(2, call("a", false), "{}"));
    events.push(close(2));
    events.extend(block(3, Opening::Thinking, "B."));
    events.extend(signed(3));
    events.extend(block(4, call("b", false), "{}"));
    events.push(close(4));
    let mut kept = Vec::new();
    for chunk in written(events, false) {
        let chunk = format!("[{}", chunk.trim_end_matches('}').trim_end_matches(']'));
        let Some((_, blocks)) = chunk.split_once("\"thinking_blocks\":[") else { continue };
        kept.push(blocks.split_once("]}").unwrap().0.to_owned());
    }
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"assistant","content":"Let me see.","thinking_blocks":[{}],"tool_calls":[
            {{"id":"a","function":{{"name":"f"}}}},{{"id":"b","function":{{"name":"f"}}}}]}}]}}"#,
        kept.join(",")
    );
    let ask = crate::Ask { body: body.as_bytes(), model: None, stream: false, as_array: false };
    let request = codec::OPENAI_CHAT.decode_request(ask).unwrap();
    let order: Vec<&str> = request.turns[0]
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text { text, .. } | Piece::Thinking { text, .. } => text,
            Piece::Call { id, .. } => id,
            _ => "?",
        })
        .collect();
    assert_eq!(order, ["Let me see.", "A.", "a", "B.", "b"], "{body}");
}

#[test]
fn chunks_are_written_as_the_sdks_want_them() {
    let chunk =
        |delta: &str| format!(r#"{{"index":0,"delta":{{{delta}}},"finish_reason":null}}]}}"#);
    let events = vec![
        Event::Start,
        open(0, Opening::Thinking),
        delta(0, "t"),
        signature(0, Vendor::Anthropic),
        close(0),
        open(1, Opening::Text),
        delta(1, "é"),
        close(1),
        open(2, call("a", false)),
        signature(2, Vendor::Gemini),
        delta(2, "{"),
        delta(2, "}"),
        open(3, call("b", false)),
        close(2),
        open(4, call("c", true)),
        close(3),
        delta(4, "x"),
        close(4),
        Event::Usage(Tokens { input: 1, ..Tokens::default() }),
        Event::Finish { choice: 0, finish: Finish::Stop },
        Event::Usage(Tokens { input: 2, output: 3, ..Tokens::default() }),
        Event::End,
    ];
    let want = [
        chunk(r#""role":"assistant","content":"""#),
        chunk(r#""reasoning_content":"t""#),
        chunk(r#""thinking_blocks":[{"index":0,"type":"thinking","thinking":"t","signature":"s"}]"#),
        chunk(r#""content":"é""#),
        chunk(r#""tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"},"extra_content":{"google":{"thought_signature":"s"}}}]"#),
        chunk(r#""tool_calls":[{"index":0,"function":{"arguments":"}"}}]"#),
        chunk(r#""tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"f","arguments":""}}]"#),
        chunk(r#""tool_calls":[{"index":2,"id":"c","type":"custom","custom":{"name":"f","input":""}}]"#),
        chunk(r#""tool_calls":[{"index":1,"function":{"arguments":"{}"}}]"#),
        chunk(r#""tool_calls":[{"index":2,"custom":{"input":"x"}}]"#),
        r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#.to_owned(),
        r#"],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}"#.to_owned(),
        "[DONE]".to_owned(),
    ];
    assert_eq!(written(events.clone(), true), want);
    let hidden = written(events, false);
    assert_eq!(hidden[hidden.len() - 2], want[want.len() - 3]);
}

#[test]
fn clients_of_old_get_one_call_where_they_look_for_it() {
    let events = vec![
        open(0, call("a", false)),
        delta(0, "{"),
        open(1, call("b", false)),
        close(1),
        delta(0, "}"),
        close(0),
        Event::Finish { choice: 0, finish: Finish::Calls },
    ];
    let wish = Wish { function_call: true, ..Wish::default() };
    assert_eq!(
        written_as(events, wish),
        [
            r#"{"index":0,"delta":{"role":"assistant","function_call":{"name":"f","arguments":"{"}},"finish_reason":null}]}"#,
            r#"{"index":0,"delta":{"function_call":{"arguments":"}"}},"finish_reason":null}]}"#,
            r#"{"index":0,"delta":{},"finish_reason":"function_call"}]}"#,
        ]
    );
}

#[test]
fn a_break_is_said_and_nothing_follows() {
    let failed = Failure::new(FailureKind::Overloaded, "busy");
    let chunks = written(vec![Event::Start, Event::Failed(failed)], true);
    let error =
        r#"{"error":{"message":"busy","type":"server_error","param":null,"code":"overloaded"}}"#;
    assert_eq!(chunks[1..], [error]);
}

#[test]
fn citations_probabilities_and_refusals_find_their_place() {
    let citation = Citation { url: "u".into(), title: None, cited: None, span: None };
    let logprob = Logprob { token: "é".into(), logprob: "-0.10".into(), top: vec![] };
    let events = vec![
        open(0, Opening::Text),
        delta(0, "éa"),
        close(0),
        open(1, Opening::Text),
        delta(1, "bc"),
        Event::Cite { choice: 0, block: 1, citation },
        Event::Logprobs { choice: 0, logprobs: vec![logprob] },
        close(1),
        Event::Finish { choice: 0, finish: Finish::Filtered(Some("why".into())) },
    ];
    let chunks = written(events, false);
    assert_eq!(
        chunks[2..],
        [
            r#"{"index":0,"delta":{"annotations":[{"index":0,"type":"url_citation","url_citation":{"start_index":2,"end_index":4,"url":"u","title":"u"}}]},"finish_reason":null}]}"#,
            r#"{"index":0,"delta":{},"logprobs":{"content":[{"token":"é","logprob":-0.10,"bytes":[195,169],"top_logprobs":[]}],"refusal":null},"finish_reason":null}]}"#,
            r#"{"index":0,"delta":{"refusal":"why"},"finish_reason":null}]}"#,
            r#"{"index":0,"delta":{},"finish_reason":"content_filter"}]}"#,
        ]
    );
}
