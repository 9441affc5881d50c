//! Signatures of Gemini behind an OpenAI-compatible upstream: out to clients of every other dialect
//! and back to the call they came with.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

use bytes::Bytes;
use dialect::{
    Ask, Codec, Names, Profile, Reply, StreamReader, Target,
    codec::{ANTHROPIC, GEMINI, OPENAI_CHAT, OPENAI_RESPONSES},
};
use serde_json::{Value, json};

const MODEL: &str = "google/gemini-3";

const CLIENTS: [(&str, &dyn Codec); 3] =
    [("anthropic", ANTHROPIC), ("responses", OPENAI_RESPONSES), ("gemini", GEMINI)];

/// The names that the answer of a call to the model is read with.
fn names(profile: &Profile) -> Names {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let ask = Ask { body, model: None, stream: false, as_array: false };
    let request = OPENAI_CHAT.decode_request(ask).unwrap();
    OPENAI_CHAT.encode_request(&request, Target { model: MODEL, profile }).unwrap().names
}

/// What a client of `client` keeps of a whole answer, or of a stream.
fn kept(client: &str, codec: &dyn Codec, answer: &str) -> Value {
    let names = names(&OPENAI_CHAT.profile());
    if !answer.starts_with("data:") {
        let answer = OPENAI_CHAT.decode_answer(answer.as_bytes(), &names).unwrap();
        let body = codec.encode_answer(&answer, &Reply::default());
        let body: Value = serde_json::from_slice(&body).unwrap();
        return match client {
            "anthropic" => body["content"].clone(),
            "responses" => body["output"].clone(),
            _ => body["candidates"][0]["content"]["parts"].clone(),
        };
    }
    let mut encoder = codec.encode_stream(Reply::default());
    let mut out = Vec::new();
    let mut reader = StreamReader::new(OPENAI_CHAT, names);
    let mut emit = |event: dialect::chat::Event<'_>| encoder.event(event, &mut out);
    reader.push(Bytes::copy_from_slice(answer.as_bytes()), &mut emit);
    reader.finish(&mut emit);
    let text = String::from_utf8(out).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    match client {
        "anthropic" => blocks(&events),
        "responses" => events.last().unwrap()["response"]["output"].clone(),
        _ => {
            let parts = events.iter().flat_map(|event| {
                event["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default()
            });
            parts.collect()
        }
    }
}

/// The blocks of a message as Anthropic's SDKs put them together.
fn blocks(events: &[Value]) -> Value {
    let mut blocks: Vec<Value> = Vec::new();
    let mut input = String::new();
    for event in events {
        let delta = &event["delta"];
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                blocks.push(event["content_block"].clone());
                input.clear();
            }
            "content_block_delta" => {
                let block = blocks.last_mut().unwrap();
                for (name, value) in delta.as_object().unwrap() {
                    match name.as_str() {
                        "partial_json" => input += value.as_str().unwrap(),
                        "text" | "thinking" | "signature" => {
                            let known = block[name].as_str().unwrap_or_default().to_owned();
                            block[name] = Value::from(known + value.as_str().unwrap());
                        }
                        _ => {}
                    }
                }
            }
            "content_block_stop" if !input.is_empty() => {
                blocks.last_mut().unwrap()["input"] = serde_json::from_str(&input).unwrap();
            }
            _ => {}
        }
    }
    blocks.into()
}

/// The next request of the client, with what it kept and the results of calls `a` and `b`.
fn next(client: &str, kept: &Value) -> Value {
    match client {
        "anthropic" => json!({"model": "m", "max_tokens": 9, "messages": [
            {"role": "user", "content": "hi"}, {"role": "assistant", "content": kept},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]}]}),
        "responses" => {
            let mut input = vec![json!({"role": "user", "content": "hi"})];
            input.extend(kept.as_array().unwrap().iter().cloned());
            input.push(json!({"type": "function_call_output", "call_id": "a", "output": "x"}));
            json!({"model": "m", "input": input})
        }
        _ => json!({"contents": [
            {"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": kept},
            {"role": "user", "parts": [{"functionResponse": {"id": "a", "name": "f", "response": {"x": 1}}}]}]}),
    }
}

/// The message of the model as the upstream gets it back.
fn back(codec: &dyn Codec, request: &Value, model: &str, profile: &Profile) -> Value {
    let body = request.to_string();
    let ask = Ask { body: body.as_bytes(), model: Some("m"), stream: false, as_array: false };
    let request = codec.decode_request(ask).unwrap();
    let told = OPENAI_CHAT.encode_request(&request, Target { model, profile }).unwrap();
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    told["messages"][1].clone()
}

#[track_caller]
fn check(answer: &str, wanted: impl Fn(&Value)) {
    let profile = OPENAI_CHAT.profile();
    for (name, codec) in CLIENTS {
        let request = next(name, &kept(name, codec, answer));
        wanted(&back(codec, &request, MODEL, &profile));
        // Nobody else is told, and nobody loses the call.
        let other = back(codec, &request, "gpt", &profile);
        assert_eq!(other["tool_calls"][0]["id"], "a", "{name}: {other}");
        let members = other.to_string();
        assert!(!members.contains("extra_content") && !members.contains("reasoning_details"));
    }
}

fn whole(call: &str, message: &str) -> String {
    format!(
        r#"{{"choices":[{{"index":0,"finish_reason":"tool_calls","message":{{"role":"assistant","content":null{message},"tool_calls":[
            {{"id":"a","type":"function","function":{{"name":"f","arguments":"{{\"x\":1}}"}}{call}}}]}}}}]}}"#
    )
}

fn stream(deltas: &[&str]) -> String {
    let chunk =
        |delta: &&str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n");
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
    deltas.iter().map(chunk).collect::<String>() + end
}

const CALL: &str = r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]}"#;
const SIGNED: &str = r#","extra_content":{"google":{"thought_signature":"c2lnLWdv"}}"#;

fn signed(place: &'static str, call: usize) -> impl Fn(&Value) {
    move |message| {
        let calls = message["tool_calls"].as_array().unwrap();
        let wanted = json!({place: {"thought_signature": "c2lnLWdv"}});
        assert_eq!(calls[call]["extra_content"], wanted, "{message}");
        let others = calls.iter().filter(|call| call.get("extra_content").is_some()).count();
        assert_eq!(others, 1, "{message}");
    }
}

#[test]
fn a_signature_comes_back_on_its_call() {
    check(&whole(SIGNED, ""), signed("google", 0));
    check(&whole(&SIGNED.replace("google", "vertex"), ""), signed("vertex", 0));
    check(&whole("", SIGNED), signed("google", 0));
    let sent = CALL.replace("}}]}", &format!("}}{SIGNED}}}]}}"));
    check(&stream(&[&sent]), signed("google", 0));
    check(&stream(&[&sent.replace("google", "vertex")]), signed("vertex", 0));
    let thought = r#"{"reasoning_content":"Hm."}"#;
    check(&stream(&[thought, &sent]), signed("google", 0));
}

#[test]
fn a_signature_that_comes_late_or_early_comes_back_on_its_call() {
    let later = format!(r#"{{"tool_calls":[{{"index":0{SIGNED}}}]}}"#);
    check(&stream(&[CALL, &later]), signed("google", 0));
    let alone = format!("{{{}}}", &SIGNED[1..]);
    check(&stream(&[CALL, &alone]), signed("google", 0));
    check(&stream(&[&alone, CALL]), signed("google", 0));
    let beside = CALL.replace("]}", &format!("]{SIGNED}}}"));
    check(&stream(&[&beside]), signed("google", 0));
    // Of two calls it is the first one's.
    let second = CALL.replace("\"index\":0", "\"index\":1").replace("\"a\"", "\"b\"");
    check(&stream(&[CALL, &second, &alone]), signed("google", 0));
    check(&stream(&[CALL, &second, &later.replace(":0", ":1")]), signed("google", 1));
}

#[test]
fn reasoning_details_come_back_as_they_were_sent() {
    let details = r#"[{"type":"reasoning.text","text":"Hm.","index":0,"format":"google-gemini-v1"},{"type":"reasoning.encrypted","data":"c2lnLWdv","id":"a","index":1}]"#;
    let wanted = |message: &Value| {
        let wanted: Value = serde_json::from_str(details).unwrap();
        assert_eq!(message["reasoning_details"], wanted, "{message}");
    };
    check(&whole("", &format!(r#","reasoning":"Hm.","reasoning_details":{details}"#)), wanted);
    let piece = |detail: &str| format!(r#"{{"reasoning_details":[{detail}]}}"#);
    let text = [
        piece(r#"{"type":"reasoning.text","text":"H","index":0,"format":"google-gemini-v1"}"#),
        piece(r#"{"type":"reasoning.text","text":"m.","index":0}"#),
    ];
    let hidden = piece(r#"{"type":"reasoning.encrypted","data":"c2lnLWdv","id":"a","index":1}"#);
    check(&stream(&[&text[0], &text[1], &hidden, CALL]), wanted);
    // What comes behind the call comes back as well.
    check(&stream(&[&text[0], &text[1], CALL, &hidden]), wanted);
}

#[test]
fn a_profile_that_wants_signatures_gets_those_of_google_and_a_placeholder() {
    let profile = Profile { thought_signatures: true, ..OPENAI_CHAT.profile() };
    let native = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "c2lnLWdv"}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "a", "name": "f", "response": {"x": 1}}}]}]});
    let message = back(GEMINI, &native, "gemini-3", &profile);
    signed("google", 0)(&message);
    let unsigned =
        next("anthropic", &json!([{"type": "tool_use", "id": "a", "name": "f", "input": {}}]));
    let message = back(ANTHROPIC, &unsigned, "gemini-3", &profile);
    let proof = &message["tool_calls"][0]["extra_content"]["google"]["thought_signature"];
    assert_eq!(proof, "skip_thought_signature_validator");
}

#[test]
fn a_signature_goes_to_gemini_itself_when_the_conversation_moves_there() {
    for (name, codec) in CLIENTS {
        let request = next(name, &kept(name, codec, &whole(SIGNED, ""))).to_string();
        let ask =
            Ask { body: request.as_bytes(), model: Some("m"), stream: false, as_array: false };
        let request = codec.decode_request(ask).unwrap();
        let profile = GEMINI.profile();
        let told =
            GEMINI.encode_request(&request, Target { model: "g", profile: &profile }).unwrap();
        let told: Value = serde_json::from_slice(&told.body).unwrap();
        let parts = told["contents"][1]["parts"].as_array().unwrap().clone();
        assert!(parts.iter().any(|part| part["thoughtSignature"] == "c2lnLWdv"), "{name}: {told}");
    }
}
