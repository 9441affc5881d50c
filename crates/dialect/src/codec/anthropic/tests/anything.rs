//! What holds for any input.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{ANTHROPIC, able, decode, encode, older, read};
use crate::{Names, Reply, Signature, StreamReader, Value, splice};

/// A word that the dialect knows, or something else.
fn word() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "type",
        "text",
        "role",
        "content",
        "user",
        "assistant",
        "system",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
        "signature",
        "data",
        "id",
        "name",
        "input",
        "index",
        "delta",
        "text_delta",
        "thinking_delta",
        "signature_delta",
        "input_json_delta",
        "partial_json",
        "content_block",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_start",
        "message_delta",
        "message_stop",
        "message",
        "usage",
        "stop_reason",
        "end_turn",
        "error",
        "source",
        "base64",
        "url",
        "image",
        "document",
        "tools",
        "tool_choice",
        "any",
        "adaptive",
        "output_config",
        "effort",
        "low",
        "citations",
        "server_tool_use",
        "tool_use_id",
        "dG9sbGdhdGU6",
    ];
    prop_oneof![9 => prop::sample::select(WORDS).prop_map(str::to_owned), 1 => ".{0,3}"]
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (0..4_u64).prop_map(Json::from),
        word().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((word(), inner), 0..5)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// A block that may stand in a turn of the assistant.
fn said() -> impl Strategy<Value = Json> {
    let own = Signature::unsigned().wrapped();
    prop_oneof![
        "[a-z\u{e4}\"]{1,4}".prop_map(|text| json!({"type": "text", "text": text})),
        Just(json!({"type": "thinking", "thinking": "hm", "signature": "EqQB"})),
        Just(json!({"type": "thinking", "thinking": "hm", "signature": own})),
        "[a-z]{1,3}".prop_map(|id| json!({"type": "tool_use", "id": id, "name": "f", "input": {}})),
    ]
}

/// A message as it can be written only one way.
fn messages() -> impl Strategy<Value = Json> {
    let asked = prop_oneof![
        "[a-z\u{e4}]{1,4}".prop_map(|text| json!({"type": "text", "text": text})),
        Just(json!({"type": "image", "source": {"type": "url", "url": "https://x"}})),
    ];
    let result = "[a-z]{1,3}".prop_map(|id| json!({"type": "tool_result", "tool_use_id": id}));
    let user = (prop::collection::vec(result, 0..2), prop::collection::vec(asked, 1..3));
    let turn = (user, prop::collection::vec(said(), 1..4));
    prop::collection::vec(turn, 1..4).prop_map(|turns| {
        let messages = turns.into_iter().flat_map(|((results, others), said)| {
            let content: Vec<Json> = results.into_iter().chain(others).collect();
            [
                json!({"role": "user", "content": content}),
                json!({"role": "assistant", "content": said}),
            ]
        });
        Json::Array(messages.collect())
    })
}

/// What a Messages client gets of the stream of a Messages target that comes in these pieces.
fn through<'s>(pieces: impl Iterator<Item = &'s [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = ANTHROPIC.encode_stream(Reply::default());
    let mut reader = StreamReader::new(ANTHROPIC, Names::default());
    for piece in pieces {
        let piece = Bytes::copy_from_slice(piece);
        reader.push(piece, &mut |event| encoder.event(event, &mut out));
    }
    reader.finish(&mut |event| encoder.event(event, &mut out));
    out
}

proptest! {
    #[test]
    fn no_request_is_too_odd(members in any_json(), messages in any_json(), turn in any_json()) {
        let mut bodies = vec![members.clone(), json!({"model": "m", "messages": messages})];
        let mut body = super::asking(json!({"messages": [
            {"role": "user", "content": [turn]}, {"role": "assistant", "content": [turn]}]}));
        bodies.push(body.clone());
        for name in ["tools", "tool_choice", "thinking", "output_config", "system"] {
            body = super::asking(json!({ name: members }));
            bodies.push(body);
        }
        for body in bodies {
            let text = body.to_string();
            ANTHROPIC.wrapped_signatures(&Value::of(&text).unwrap());
            if let Ok(request) = decode(text.as_bytes()) {
                for profile in [able(), older()] {
                    if let Ok(told) = encode(&request, &profile) {
                        read(&told.body);
                    }
                }
            }
        }
    }

    #[test]
    fn no_answer_is_too_odd(answer in any_json(), content in any_json()) {
        for body in [answer, json!({"content": [content]}), json!({"content": content})] {
            let body = body.to_string();
            if let Ok(answer) = ANTHROPIC.decode_answer(body.as_bytes(), &Names::default()) {
                read(&ANTHROPIC.encode_answer(&answer, &Reply::default()));
            }
        }
    }

    #[test]
    fn no_stream_is_too_odd_and_its_pieces_do_not_matter(
        events in prop::collection::vec(any_json(), 0..6),
        blocks in prop::collection::vec(said(), 0..4),
        size in 1..40_usize,
    ) {
        let mut stream = String::new();
        let mut add = |event: Json| stream.push_str(&format!("event: x\r\ndata: {event}\r\n\r\n"));
        add(json!({"type": "message_start", "message": {}}));
        for (index, block) in blocks.iter().enumerate() {
            add(json!({"type": "content_block_start", "index": index, "content_block": block}));
            let delta = json!({"type": "text_delta", "text": "\u{1f600}"});
            add(json!({"type": "content_block_delta", "index": index, "delta": delta}));
            add(json!({"type": "content_block_stop", "index": index}));
        }
        events.into_iter().for_each(&mut add);
        add(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}));
        let whole = through(std::iter::once(stream.as_bytes()));
        prop_assert_eq!(through(stream.as_bytes().chunks(size)), whole.clone());
        let text = String::from_utf8(whole).unwrap();
        let ends = text.matches("event: message_stop\n").count() + text.matches("event: error\n").count();
        prop_assert_eq!(ends, 1, "{}", text);
    }

    #[test]
    fn a_conversation_comes_out_as_it_went_in_but_for_what_is_ours(messages in messages()) {
        let body = super::asking(json!({"messages": messages})).to_string();
        let request = decode(body.as_bytes()).unwrap();
        let told = read(&encode(&request, &able()).unwrap().body);
        let edits = ANTHROPIC.wrapped_signatures(&Value::of(&body).unwrap());
        let cut = read(&splice(&Bytes::from(body), &edits));
        // Cutting leaves users' turns side by side; encoding makes one of them, results first.
        let flat = |body: &Json| {
            let mut blocks = Vec::new();
            for message in body["messages"].as_array().unwrap() {
                for block in message["content"].as_array().unwrap() {
                    let rank = usize::from(block["type"] != "tool_result");
                    blocks.push((message["role"].clone(), rank, block.clone()));
                }
            }
            for turn in blocks.chunk_by_mut(|one, other| one.0 == other.0) {
                turn.sort_by_key(|(_, rank, _)| *rank);
            }
            blocks
        };
        prop_assert_eq!(flat(&told), flat(&cut));
    }
}
