//! Streams: events of this dialect to steps, and steps to events of it again.

use serde_json::{Value as Json, json};

use super::{OPENAI_RESPONSES as CODEC, reply};
use crate::{
    Failure, FailureKind, Names, Signature, StreamReader, Tokens, Vendor,
    chat::{Citation, Event, Finish, Name, Opening},
};

/// The steps of a stream of these events, shortly told.
fn steps(events: &[Json]) -> Vec<String> {
    let mut reader = StreamReader::new(CODEC, Names::default());
    let mut told = Vec::new();
    let mut emit = |event: Event<'_>| told.push(short(&event));
    for event in events {
        let named = format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
        reader.push(named.into(), &mut emit);
    }
    reader.finish(&mut emit);
    told
}

pub(super) fn short(event: &Event<'_>) -> String {
    match event {
        Event::Start => "start".into(),
        Event::Open { block, opening, .. } => match opening {
            Opening::Call { id, name } => format!("{block} {id} {} {}", name.text, name.free_form),
            other => format!("{block} {other:?}"),
        },
        Event::Delta { block, text, .. } => format!("{block} + {text}"),
        Event::Signature { block, signature, .. } => {
            format!(
                "{block} signature {} {}",
                signature.data,
                signature.id.as_deref().unwrap_or("-")
            )
        }
        Event::Cite { block, citation, .. } => format!("{block} cite {}", citation.url),
        Event::Logprobs { logprobs, .. } => format!("logprobs {}", logprobs.len()),
        Event::Image { image, .. } => format!("image {} {}", image.mime, image.data),
        Event::Close { block, .. } => format!("{block} close"),
        Event::Finish { finish, .. } => format!("finish {finish:?}"),
        Event::Usage(tokens) => format!("usage {} {}", tokens.input, tokens.output),
        Event::Failed(failure) => format!("failed {:?} {:?}", failure.kind, failure.code),
        Event::End => "end".into(),
    }
}

fn check(events: Json, want: &[&str]) {
    assert_eq!(steps(events.as_array().unwrap()), want, "{events}");
}

/// An event of a part of a message.
fn part(kind: &str, member: &str, text: &str) -> Json {
    json!({"type": kind, "item_id": "i", "output_index": 0, "content_index": 0, member: text})
}

fn message(text: &str) -> Json {
    json!({"type": "message", "id": "i", "role": "assistant",
        "content": [{"type": "output_text", "text": text,
            "annotations": [{"type": "url_citation", "url": "https://x"}]}]})
}

fn completed(output: Json) -> Json {
    let usage = json!({"input_tokens": 3, "output_tokens": 2});
    let response = json!({"id": "r", "status": "completed", "output": output, "usage": usage});
    json!({"type": "response.completed", "response": response})
}

#[test]
fn whoever_tells_the_content_first_is_believed_and_nobody_is_told_twice() {
    let want = [
        "start",
        "0 Text",
        "0 + Hi",
        "0 cite https://x",
        "0 close",
        "usage 3 2",
        "finish Stop",
        "end",
    ];
    let added = json!({"type": "response.output_item.added", "output_index": 0,
        "item": {"type": "message", "id": "i", "content": []}});
    let delta = part("response.output_text.delta", "delta", "Hi");
    let text_done = part("response.output_text.done", "text", "Hi");
    let part_done = json!({"type": "response.content_part.done", "item_id": "i", "output_index": 0,
        "content_index": 0, "part": message("Hi")["content"][0]});
    let item_done =
        json!({"type": "response.output_item.done", "output_index": 0, "item": message("Hi")});
    let all =
        [added.clone(), delta, text_done, part_done, item_done, completed(json!([message("Hi")]))];
    // Any of them may be missing, as long as one is there that tells the text.
    for missing in 0..63_u32 {
        let some = all.iter().enumerate().filter(|(nth, _)| missing >> nth & 1 == 0);
        let mut events: Vec<Json> = some.map(|(_, event)| event.clone()).collect();
        if missing >> 5 & 1 == 1 {
            events.push(completed(json!([])));
        }
        let has = |nth: u32| missing >> nth & 1 == 0;
        let told = steps(&events);
        let expected = has(4) || has(5) || (has(0) && (has(1) || has(2) || has(3)));
        let cited = has(4) || has(5) || (has(0) && has(3));
        let want: Vec<&str> = want
            .into_iter()
            .filter(|step| expected || !step.starts_with('0'))
            .filter(|step| cited || !step.contains("cite"))
            .collect();
        assert_eq!(told, want, "without {missing:b}");
    }
}

#[test]
fn calls_are_closed_as_soon_as_they_are_whole() {
    let call = |kind: &str, id: &str, member: &str, input: &str| json!({"type": kind, "id": id, "call_id": format!("c{id}"), "name": "f", member: input});
    check(
        json!([
            {"type": "response.output_item.added", "output_index": 0, "item": {"type": "web_search_call", "id": "w"}},
            {"type": "response.web_search_call.completed", "output_index": 0, "item_id": "w"},
            {"type": "response.output_item.added", "output_index": 1, "item": call("function_call", "1", "arguments", "")},
            {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}"},
            {"type": "response.function_call_arguments.done", "output_index": 1, "arguments": "{}"},
            {"type": "response.output_item.added", "output_index": 2, "item": call("custom_tool_call", "2", "input", "")},
            {"type": "response.custom_tool_call_input.done", "output_index": 2, "input": "a"},
            {"type": "response.output_item.done", "output_index": 2, "item": call("custom_tool_call", "2", "input", "a")},
            completed(json!([])),
        ]),
        &[
            "start",
            "0 c1 f false",
            "0 + {}",
            "0 close",
            "1 c2 f true",
            "1 + a",
            "1 close",
            "usage 3 2",
            "finish Calls",
            "end",
        ],
    );
}

#[test]
fn a_thought_has_its_parts_and_its_proof() {
    let delta = |part: u64, text: &str| json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": part, "delta": text});
    let added = json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs"}});
    let done = json!({"type": "response.output_item.done", "output_index": 0, "item":
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "ab"}], "encrypted_content": "gA"}});
    check(
        json!([added, delta(0, "a"), delta(0, "b"),
            {"type": "response.reasoning_summary_text.done", "output_index": 0, "summary_index": 0, "text": "ab"},
            {"type": "response.reasoning_summary_part.done", "output_index": 0, "summary_index": 1, "part": {"type": "summary_text", "text": "c"}},
            {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "twice"},
            done, completed(json!([]))]),
        &[
            "start",
            "0 Thinking",
            "0 + a",
            "0 + b",
            "0 + \n\n",
            "0 + c",
            "0 signature gA rs",
            "0 close",
            "usage 3 2",
            "finish Stop",
            "end",
        ],
    );
    check(
        json!([done, completed(json!([]))]),
        &[
            "start",
            "0 Thinking",
            "0 + ab",
            "0 signature gA rs",
            "0 close",
            "usage 3 2",
            "finish Stop",
            "end",
        ],
    );
    check(json!([added, completed(json!([]))]), &["start", "usage 3 2", "finish Stop", "end"]);
}

#[test]
fn a_stream_that_fails_or_breaks_off_does_not_end_well() {
    let created = json!({"type": "response.created", "response": {}});
    check(json!([created]), &["start", "failed BadGateway None"]);
    check(json!([]), &["failed BadGateway None"]);
    let error = json!({"code": "rate_limit_exceeded", "message": "slow"});
    check(
        json!([created, {"type": "response.failed", "response": {"status": "failed", "error": error}}, completed(json!([]))]),
        &["start", r#"failed RateLimited Some("rate_limit_exceeded")"#],
    );
    check(
        json!([{"type": "error", "code": "server_error", "message": "oh", "param": null}]),
        &[r#"failed Internal Some("server_error")"#],
    );
    let incomplete = |reason: &str| json!([{"type": "response.incomplete", "response": {"status": "incomplete", "incomplete_details": {"reason": reason}}}]);
    check(incomplete("max_output_tokens"), &["start", "finish Length", "end"]);
    check(incomplete("content_filter"), &["start", "finish Filtered(None)", "end"]);
    let mut told = Vec::new();
    let mut reader = StreamReader::new(CODEC, Names::default());
    reader.push("data: {\"type\":\"response.created\"}\n\ndata: <html>\n\n".into(), &mut |event| {
        told.push(short(&event))
    });
    assert_eq!(told, ["start", "failed BadGateway None"]);
}

/// The events that are written for these steps; checks what must be so of all of them.
fn written(steps: Vec<Event<'_>>) -> Vec<Json> {
    let mut out = Vec::new();
    let mut encoder = CODEC.encode_stream(reply());
    for step in steps {
        encoder.event(step, &mut out);
        encoder.keep_alive(&mut out);
    }
    let text = String::from_utf8(out).unwrap();
    let (mut events, mut number) = (Vec::new(), 0);
    for block in text.split_terminator("\n\n") {
        let (name, data) = block.split_once('\n').unwrap();
        let event: Json = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), event["type"].as_str());
        assert_eq!(event["sequence_number"], number);
        number += 1;
        match name {
            "event: keepalive" => assert_eq!(event.as_object().unwrap().len(), 2, "{event}"),
            _ => events.push(event),
        }
    }
    events
}

fn kinds(events: &[Json]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap().strip_prefix("response.").unwrap())
        .collect()
}

fn open(block: u32, opening: Opening<'static>) -> Event<'static> {
    Event::Open { choice: 0, block, opening }
}

fn delta(block: u32, text: &'static str) -> Event<'static> {
    Event::Delta { choice: 0, block, text: text.into() }
}

fn close(block: u32) -> Event<'static> {
    Event::Close { choice: 0, block }
}

fn finish(finish: Finish<'static>) -> Event<'static> {
    Event::Finish { choice: 0, finish }
}

#[test]
fn neighbouring_texts_are_one_part_and_their_citations_move_along() {
    let cite = |block, span| {
        let citation = Citation { url: "https://x".into(), title: None, cited: None, span };
        Event::Cite { choice: 0, block, citation }
    };
    let events = written(vec![
        Event::Start,
        open(0, Opening::Text),
        delta(0, "é1"),
        close(0),
        open(1, Opening::Text),
        delta(1, "abc"),
        cite(1, Some((1, 2))),
        cite(1, None),
        close(1),
        open(2, Opening::Refusal),
        delta(2, "no"),
        close(2),
        finish(Finish::Stop),
        Event::Usage(Tokens { input: 3, cached: 1, output: 2, ..Tokens::default() }),
        Event::End,
    ]);
    assert_eq!(
        kinds(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.annotation.added",
            "output_text.annotation.added",
            "output_text.done",
            "content_part.done",
            "content_part.added",
            "refusal.delta",
            "refusal.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    let response = &events.last().unwrap()["response"];
    assert_eq!(response["output"][0], events[14]["item"]);
    let content = &response["output"][0]["content"];
    assert_eq!((&content[0]["text"], &content[1]["refusal"]), (&json!("é1abc"), &json!("no")));
    let spans: Vec<_> = content[0]["annotations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["start_index"].as_u64().unwrap(), a["end_index"].as_u64().unwrap()))
        .collect();
    assert_eq!(spans, [(3, 4), (2, 5)]);
    assert_eq!(
        response["usage"],
        json!({"input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 5})
    );
}

#[test]
fn a_foreign_proof_stands_in_front_of_its_call() {
    let call = Opening::Call {
        id: "c".into(),
        name: Name { namespace: Some("n".into()), ..Name::plain("f") },
    };
    let signature = Signature::new(Vendor::Gemini, "sig");
    let wrapped = signature.wrapped();
    let events = written(vec![
        Event::Start,
        open(0, call),
        Event::Signature { choice: 0, block: 0, signature },
        close(0),
        finish(Finish::Calls),
        Event::End,
    ]);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(
        output[0],
        json!({"type": "reasoning", "id": "rs_u0", "summary": [], "encrypted_content": wrapped})
    );
    assert_eq!(
        output[1],
        json!({"type": "function_call", "id": "fc_u1", "call_id": "c", "namespace": "n",
        "name": "f", "arguments": "{}", "status": "completed"})
    );
}

#[test]
fn what_breaks_ends_with_what_there_is() {
    let failure = Failure::new(FailureKind::BadGateway, "broke off");
    let events = written(vec![
        Event::Start,
        open(0, Opening::Thinking),
        delta(0, "hm"),
        close(0),
        open(1, Opening::Text),
        delta(1, "Hel"),
        Event::Failed(failure.clone()),
        Event::End,
    ]);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["error"], json!({"code": "server_error", "message": "broke off"}));
    let output = &last["response"]["output"];
    assert_eq!(output[0]["encrypted_content"], Signature::unsigned().wrapped());
    assert_eq!(
        (&output[1]["status"], &output[1]["content"][0]["text"]),
        (&json!("incomplete"), &json!("Hel"))
    );
    assert_eq!(kinds(&written(vec![Event::Failed(failure)])), ["created", "in_progress", "failed"]);
    let cut = written(vec![Event::Start, finish(Finish::Length), Event::End]);
    assert_eq!(
        cut.last().unwrap()["response"]["incomplete_details"]["reason"],
        "max_output_tokens"
    );
}
