//! What holds for whatever comes in.

use proptest::prelude::*;
use serde_json::json;

use super::{OPENAI_RESPONSES as CODEC, reply, streams::short, through};
use crate::{
    Names, StreamReader,
    chat::{Event, Finish, Name, Opening},
};

/// Steps of an answer in good order: what is written for them, read again, says the same.
fn answers() -> impl Strategy<Value = Vec<(u8, String)>> {
    proptest::collection::vec((0..5_u8, ".{0,12}"), 0..6)
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was(blocks in answers(), size in 1..60_usize) {
        let mut out = Vec::new();
        let mut encoder = CODEC.encode_stream(reply());
        encoder.event(Event::Start, &mut out);
        for (block, (kind, text)) in (0..).zip(&blocks) {
            let name = Name { free_form: *kind == 3, ..Name::plain("f") };
            let opening = match kind {
                0 => Opening::Text,
                1 => Opening::Refusal,
                2 => Opening::Thinking,
                _ => Opening::Call { id: format!("c{block}").into(), name },
            };
            encoder.event(Event::Open { choice: 0, block, opening }, &mut out);
            encoder.event(Event::Delta { choice: 0, block, text: text.into() }, &mut out);
            encoder.event(Event::Close { choice: 0, block }, &mut out);
        }
        encoder.event(Event::Finish { choice: 0, finish: Finish::Stop }, &mut out);
        encoder.event(Event::End, &mut out);

        let read = |size: usize| {
            let mut reader = StreamReader::new(CODEC, Names::default());
            let mut told: Vec<(String, String)> = Vec::new();
            let mut emit = |event: Event<'_>| match event {
                Event::Open { opening, .. } => {
                    let kind = match opening {
                        Opening::Call { id, name } => format!("{id}{}", name.free_form),
                        other => format!("{other:?}"),
                    };
                    // Neighbouring texts become one.
                    if kind != "Text" || told.last().is_none_or(|last| last.0 != "Text") {
                        told.push((kind, String::new()));
                    }
                }
                Event::Delta { text, .. } => told.last_mut().unwrap().1.push_str(&text),
                Event::Failed(failure) => told.push(("failed".into(), failure.message)),
                _ => {}
            };
            for piece in out.chunks(size) {
                reader.push(bytes::Bytes::copy_from_slice(piece), &mut emit);
            }
            reader.finish(&mut emit);
            told
        };
        let mut want: Vec<(String, String)> = Vec::new();
        for (nth, (kind, text)) in blocks.iter().enumerate() {
            let kind = match kind {
                0..=2 if text.is_empty() => {
                    // A thought that says nothing, and nothing else, is not told; it parts no texts
                    // that stand apart.
                    continue;
                }
                0 => "Text".to_owned(),
                1 => "Refusal".to_owned(),
                2 => "Thinking".to_owned(),
                3 => format!("c{nth}true"),
                _ => format!("c{nth}false"),
            };
            let text = match text.trim().is_empty() && kind.ends_with("false") {
                true => format!("{text}{{}}"),
                false => text.clone(),
            };
            match want.last_mut() {
                Some(last) if kind == "Text" && last.0 == "Text" => last.1.push_str(&text),
                _ => want.push((kind, text)),
            }
        }
        prop_assert_eq!(read(usize::MAX), want.clone());
        prop_assert_eq!(read(size), want);
    }

    #[test]
    fn what_was_said_again_is_said_the_same_ever_after(
        items in proptest::collection::vec((0..9_u8, 0..3_u8, ".{1,6}"), 0..10),
    ) {
        let part = |text: &str| json!([{"type": "input_text", "text": text}]);
        let item = |(kind, id, text): &(u8, u8, String)| match kind {
            0 => json!({"role": "user", "content": text}),
            1 => json!({"role": "assistant", "content": text}),
            2 => json!({"role": "developer", "content": part(text)}),
            3 => json!({"type": "function_call", "call_id": id.to_string(), "name": "f",
                "arguments": text}),
            4 => json!({"type": "function_call_output", "call_id": id.to_string(),
                "output": text}),
            5 => json!({"type": "custom_tool_call", "call_id": format!("c{id}"), "name": "g",
                "input": text}),
            6 => json!({"type": "custom_tool_call_output", "call_id": format!("c{id}"),
                "output": part(text)}),
            7 => json!({"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text",
                "text": text}], "encrypted_content": "gA"}),
            _ => json!({"type": "web_search_call", "id": text}),
        };
        let input: Vec<_> = items.iter().map(item).collect();
        let profile = CODEC.profile();
        let (once, _) = through(&json!({"model": "m", "input": input}), &profile);
        let (twice, lost) = through(&once, &profile);
        prop_assert_eq!(&once, &twice);
        prop_assert!(lost.is_empty());
        let count = |kind: &str| {
            once["input"].as_array().unwrap().iter().filter(|item| item["type"] == kind).count()
        };
        for (kind, name) in [(3, "function_call"), (7, "reasoning"), (5, "custom_tool_call")] {
            prop_assert_eq!(count(name), items.iter().filter(|item| item.0 == kind).count());
        }
    }

    #[test]
    fn no_event_is_too_strange(
        kinds in proptest::collection::vec((0..EVENTS.len(), 0..3_u64, 0..2_u64, ".{0,3}"), 0..12),
    ) {
        let mut told = Vec::new();
        let mut reader = StreamReader::new(CODEC, Names::default());
        let mut encoder = CODEC.encode_stream(reply());
        let mut out = Vec::new();
        let mut emit = |event: Event<'_>| {
            told.push(short(&event));
            encoder.event(event, &mut out);
        };
        for (kind, index, part, text) in kinds {
            let item = json!({"type": ITEMS[usize::try_from(index).unwrap()], "id": text, "name": text,
                "arguments": text, "summary": [{"text": text}], "content": [{"type": "output_text", "text": text}]});
            let event = json!({"type": EVENTS[kind], "output_index": index, "content_index": part,
                "summary_index": part, "delta": text, "text": text, "item": item, "part": item["content"][0],
                "response": {"output": [item]}});
            reader.push(format!("data: {event}\n\n").into(), &mut emit);
        }
        reader.finish(&mut emit);
        let ends = told.iter().filter(|step| *step == "end" || step.starts_with("failed")).count();
        prop_assert_eq!(ends, 1);
        let opened = told.iter().filter(|step| step.ends_with("Text") || step.contains("Thinking")).count();
        let failed = told.last().unwrap().starts_with("failed");
        let closed = told.iter().filter(|step| step.ends_with("close")).count();
        prop_assert!(failed || closed >= opened, "{told:?}");
    }

    #[test]
    fn no_body_is_too_strange(body in JSONISH) {
        let whole = format!(r#"{{"model":"m","input":{body},"tools":{body},"tool_choice":{body}}}"#);
        for body in [&*whole, &body] {
            let ask = crate::Ask { body: body.as_bytes(), model: None, stream: false, as_array: false };
            if let Ok(request) = CODEC.decode_request(ask) {
                let profile = CODEC.profile();
                let _ = CODEC.encode_request(&request, crate::Target { model: "m", profile: &profile });
            }
            let _ = CODEC.decode_answer(body.as_bytes(), &Names::default());
            let _ = CODEC.decode_failure(400, body.as_bytes());
            if let Ok(value) = crate::Value::of(body) {
                CODEC.wrapped_signatures(&value);
            }
        }
    }
}

/// Something like JSON, out of words of this dialect.
const JSONISH: &str = r#"(\[|\]|\{|\}|,|:|"type"|"message"|"role"|"user"|"content"|"reasoning"|"summary"|"function"|"name"|"custom"|"input_text"|"text"|"dG9sbGdhdGU6"|"encrypted_content"|null|1|"x"){0,14}"#;

const ITEMS: [&str; 3] = ["message", "reasoning", "function_call"];

const EVENTS: [&str; 14] = [
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.refusal.delta",
    "response.output_text.annotation.added",
    "response.reasoning_summary_text.delta",
    "response.reasoning_summary_text.done",
    "response.reasoning_text.delta",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.completed",
];
