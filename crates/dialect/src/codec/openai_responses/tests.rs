//! The whole codec: what goes in as this dialect and comes out as it again.

mod answers;
mod properties;
mod streams;
mod targets;

use serde_json::{Value as Json, json};

use super::OPENAI_RESPONSES;
use crate::{Ask, Encoded, Failure, Profile, Reply, Signature, Target, Vendor, chat::Request};

fn decode(body: &str) -> Result<Request<'_>, Failure> {
    let ask = Ask { body: body.as_bytes(), model: None, stream: false, as_array: false };
    OPENAI_RESPONSES.decode_request(ask)
}

fn encode(request: &Request<'_>, profile: &Profile) -> Result<Encoded, Failure> {
    OPENAI_RESPONSES.encode_request(request, Target { model: "up", profile })
}

fn plain() -> Profile {
    Profile { sampling_params: true, reasoning: false, ..OPENAI_RESPONSES.profile() }
}

/// What becomes of a request on its way through the common model, and what is lost.
fn through(body: &Json, profile: &Profile) -> (Json, Vec<String>) {
    let body = body.to_string();
    let encoded = encode(&decode(&body).unwrap(), profile).unwrap();
    (serde_json::from_slice(&encoded.body).unwrap(), encoded.dropped)
}

fn check(body: Json, want: Json, lost: &[&str]) {
    let (mut told, dropped) = through(&body, &plain());
    for (name, value) in want.as_object().unwrap() {
        assert_eq!(told[name], *value, "{name} of {body}");
        told.as_object_mut().unwrap().remove(name);
    }
    for name in ["model", "store", "input"] {
        told.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(told, json!({}), "{body}");
    assert_eq!(dropped, lost, "{body}");
}

fn refused(body: Json, param: &str) {
    let body = body.to_string();
    let failure = match decode(&body) {
        Err(failure) => failure,
        Ok(request) => encode(&request, &plain()).unwrap_err(),
    };
    assert_eq!(failure.param.as_deref(), Some(param), "{body}");
    assert!(failure.message.contains(param), "{}", failure.message);
}

#[test]
fn what_is_known_is_said_again() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = json!({"type": "json_schema", "name": "n", "schema": schema, "strict": true});
    check(
        json!({"model": "m", "input": "x", "instructions": "I", "max_output_tokens": 5,
            "temperature": 0, "top_p": 0.5, "top_logprobs": 2, "parallel_tool_calls": false,
            "tools": [{"type": "function", "name": "f", "parameters": schema, "strict": true},
                {"type": "custom", "name": "g", "description": "d",
                    "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}}],
            "tool_choice": {"type": "custom", "name": "g"},
            "text": {"format": format, "verbosity": "low"}, "safety_identifier": "u"}),
        json!({"instructions": "I", "max_output_tokens": 5, "temperature": 0, "top_p": 0.5,
            "top_logprobs": 2, "include": ["message.output_text.logprobs"],
            "input": [{"type": "message", "role": "user",
                "content": [{"type": "input_text", "text": "x"}]}],
            "parallel_tool_calls": false,
            "tools": [{"type": "function", "name": "f", "parameters": schema, "strict": true},
                {"type": "custom", "name": "g", "description": "d",
                    "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}}],
            "tool_choice": {"type": "custom", "name": "g"},
            "text": {"format": format}, "safety_identifier": "u"}),
        &[],
    );
    check(json!({"model": "m", "input": "x", "user": "u"}), json!({"user": "u"}), &[]);
    check(
        json!({"model": "m", "input": [{"role": "user", "content": "x", "new": 1}, {"role": "user",
            "content": [{"type": "input_text", "text": "y", "far": 1}], "new": 2}], "tools": [{"type": "function", "name": "f", "odd": 1}]}),
        json!({"tools": [{"type": "function", "name": "f", "strict": false,
            "parameters": {"type": "object", "properties": {}}}]}),
        &["tools[].odd", "input[].new", "input[].content[].far"],
    );
    check(
        json!({"model": "m", "input": "x", "safety_identifier": "u".repeat(129)}),
        json!({"safety_identifier":
            "4d9221bd88fe7fa3f1cdc7d81c70b9484f37615f92178eafa3f6c525e6fa786f"}),
        &[],
    );
}

#[test]
fn what_asks_for_nothing_is_lost_in_silence_and_the_rest_is_named() {
    check(
        json!({"model": "m", "input": "x", "store": true, "metadata": {"a": "b"}, "background": false,
            "include": ["file_search_call.results"], "truncation": "disabled", "service_tier": "flex",
            "prompt_cache_key": "k", "stream_options": {"include_obfuscation": false},
            "context_management": [], "moderation": null, "top_logprobs": 0,
            "tool_choice": "auto", "reasoning": {"effort": null, "context": "auto"}}),
        json!({}),
        &[],
    );
    check(
        json!({"model": "m", "input": "x", "truncation": "auto", "max_tool_calls": 3,
            "moderation": {"model": "o"}, "brand_new": 1, "reasoning": {"effort": "low", "mode": "pro"},
            "text": {"new": 1}, "tool_choice": "auto",
            "tools": [{"type": "web_search"}, {"type": "mcp", "server_label": "x"}]}),
        json!({}),
        &[
            "tools",
            "reasoning.mode",
            "text.new",
            "truncation",
            "max_tool_calls",
            "moderation",
            "brand_new",
            "reasoning",
        ],
    );
}

#[test]
fn what_only_the_vendor_could_serve_is_refused_by_its_name() {
    for name in ["previous_response_id", "conversation", "prompt"] {
        refused(json!({"model": "m", "input": "x", name: "id"}), name);
    }
    refused(json!({"model": "m", "input": "x", "background": true}), "background");
    let item =
        |item: Json| json!({"model": "m", "input": [{"role": "user", "content": "x"}, item]});
    refused(item(json!({"type": "item_reference", "id": "msg_1"})), "input[1]");
    refused(item(json!({"id": "msg_1"})), "input[1]");
    refused(item(json!({"type": "compaction", "encrypted_content": "x"})), "input[1]");
    let file = json!([{"type": "input_file", "file_id": "file-1"}]);
    refused(item(json!({"role": "user", "content": file})), "input[1].content[0].file_id");
    let forced = |choice: Json| json!({"model": "m", "input": "x", "tools": [{"type": "web_search"}], "tool_choice": choice});
    refused(forced(json!({"type": "web_search"})), "tool_choice");
    refused(forced(json!("required")), "tool_choice");
    let among =
        json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]});
    refused(forced(among), "tool_choice");
}

#[test]
fn a_body_that_makes_no_sense_is_refused_by_the_member_at_fault() {
    let cases = [
        (json!({"input": "x"}), "model"),
        (json!({"model": 1, "input": "x"}), "model"),
        (json!({"model": "m"}), "input"),
        (json!({"model": "m", "input": {}}), "input"),
        (json!({"model": "m", "input": [1]}), "input[0]"),
        (json!({"model": "m", "input": [{"x": 1}]}), "input[0].type"),
        (json!({"model": "m", "input": [{"role": "robot", "content": "x"}]}), "input[0].role"),
        (json!({"model": "m", "input": [{"role": "user"}]}), "input[0].content"),
        (json!({"model": "m", "input": [{"role": "user", "content": 1}]}), "input[0].content"),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text"}]}]}),
            "input[0].content[0].text",
        ),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "hologram"}]}]}),
            "input[0].content[0].type",
        ),
        (
            json!({"model": "m", "input": [{"type": "function_call", "name": "f"}]}),
            "input[0].call_id",
        ),
        (
            json!({"model": "m", "input": [{"type": "function_call_output", "call_id": "c"}]}),
            "input[0].output",
        ),
        (json!({"model": "m", "input": "x", "stream": "yes"}), "stream"),
        (json!({"model": "m", "input": "x", "max_output_tokens": -1}), "max_output_tokens"),
        (json!({"model": "m", "input": "x", "temperature": "hot"}), "temperature"),
        (json!({"model": "m", "input": "x", "tools": {}}), "tools"),
        (json!({"model": "m", "input": "x", "tools": [{"name": "f"}]}), "tools[0].type"),
        (json!({"model": "m", "input": "x", "tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"model": "m", "input": "x", "tool_choice": "perhaps"}), "tool_choice"),
        (json!({"model": "m", "input": "x", "truncation": "maybe"}), "truncation"),
        (json!({"model": "m", "input": "x", "reasoning": {"effort": "huge"}}), "reasoning.effort"),
        (
            json!({"model": "m", "input": "x", "text": {"format": {"type": "xml"}}}),
            "text.format.type",
        ),
        (
            json!({"model": "m", "input": "x", "text": {"format": {"type": "json_schema"}}}),
            "text.format.schema",
        ),
    ];
    for (body, param) in cases {
        refused(body, param);
    }
    assert!(decode("[]").is_err() && decode("{").is_err() && decode("").is_err());
}

#[test]
fn a_conversation_keeps_its_order_but_for_what_comes_between_a_call_and_its_result() {
    let text = |role: &str, kind: &str, text: &str| json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
    let call =
        |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let output = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "o"});
    let (told, _) = through(
        &json!({"model": "m", "instructions": "I", "input": [
            {"role": "developer", "content": "D"},
            {"role": "user", "content": "q"},
            {"type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": "", "status": "completed"},
            call("b"),
            output("a"),
            {"role": "system", "content": "late"},
            text("assistant", "output_text", "between"),
            output("b"),
            {"type": "web_search_call", "id": "ws", "status": "completed"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"type": "custom_tool_call", "call_id": "c", "name": "g", "input": "raw {"},
            {"type": "custom_tool_call_output", "call_id": "c", "output":
                [{"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": "https://x/y"}]},
        ]}),
        &plain(),
    );
    assert_eq!(told["instructions"], "I\n\nD");
    let want = json!([
        text("user", "input_text", "q"),
        call("a"),
        call("b"),
        text("assistant", "output_text", "between"),
        output("a"),
        output("b"),
        text("developer", "input_text", "late"),
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"type": "custom_tool_call", "call_id": "c", "name": "g", "input": "raw {"},
        {"type": "custom_tool_call_output", "call_id": "c", "output":
            [{"type": "input_text", "text": "t"},
             {"type": "input_image", "image_url": "https://x/y", "detail": "auto"}]},
    ]);
    assert_eq!(told["input"], want);
}

#[test]
fn media_stay_what_they_are() {
    let content = json!([
        {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "high"},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        {"type": "input_file", "file_url": "https://x/y.pdf"},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
    ]);
    let body = json!({"model": "m", "input": [{"role": "user", "content": content}]});
    assert_eq!(through(&body, &plain()).0["input"][0]["content"], content);
    let bare = json!([{"type": "input_file", "filename": "notes.TXT", "file_data": "aGk="}]);
    let body = json!({"model": "m", "input": [{"role": "user", "content": bare}]});
    let told = through(&body, &plain()).0["input"][0]["content"][0]["file_data"].clone();
    assert_eq!(told, "data:text/plain;base64,aGk=");
}

#[test]
fn thoughts_go_back_only_to_whoever_sealed_them() {
    let reasons = OPENAI_RESPONSES.profile();
    let reasoning = |sealed: &str| {
        json!({"type": "reasoning", "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
            "encrypted_content": sealed})
    };
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let body = |sealed: &str| json!({"model": "m", "input": [reasoning(sealed), call]});
    let (told, _) = through(&body("gAAA"), &reasons);
    let mut joined = reasoning("gAAA");
    joined["summary"] = json!([{"type": "summary_text", "text": "a\n\nb"}]);
    assert_eq!(told["input"], json!([joined, call]));
    assert_eq!(told["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(through(&body("gAAA"), &plain()).0["input"], json!([call]));
    for vendor in [Vendor::Anthropic, Vendor::Gemini, Vendor::Unsigned] {
        let foreign = Signature::new(vendor, "xyz").wrapped();
        assert_eq!(through(&body(&foreign), &reasons).0["input"], json!([call]));
    }
    let broken = &Signature::unsigned().wrapped()[..13];
    assert_eq!(through(&body(broken), &reasons).0["input"], json!([call]));
}

#[test]
fn a_proof_of_geminis_is_put_on_the_call_behind_it() {
    let sealed = Signature::new(Vendor::Gemini, "sig").wrapped();
    let body = json!({"model": "m", "input": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]})
    .to_string();
    let request = decode(&body).unwrap();
    let pieces = format!("{:?}", request.turns[0].pieces);
    assert!(pieces.starts_with("[Call {") && pieces.contains("\"sig\""), "{pieces}");
}

#[test]
fn effort_is_asked_for_only_where_there_is_thinking() {
    let body = |reasoning: Json| json!({"model": "m", "input": "x", "reasoning": reasoning});
    let reasons = OPENAI_RESPONSES.profile();
    let always = Profile { thinking_always_on: true, ..reasons.clone() };
    let cases = [
        (
            json!({"effort": "high", "summary": "detailed"}),
            &reasons,
            json!({"effort": "high", "summary": "auto"}),
            &[][..],
        ),
        (json!({"summary": "auto"}), &reasons, json!({"summary": "auto"}), &[]),
        (json!({"effort": "none"}), &reasons, json!({"effort": "none"}), &[]),
        (json!({"effort": "none"}), &always, json!({"effort": "low"}), &["reasoning"]),
        (json!({"effort": "none"}), &plain(), json!(null), &[]),
        (json!({"effort": "high"}), &plain(), json!(null), &["reasoning"]),
    ];
    for (asked, profile, want, lost) in cases {
        let (told, dropped) = through(&body(asked.clone()), profile);
        assert_eq!(
            (&told["reasoning"], &*dropped),
            (&want, &lost.iter().map(|l| l.to_string()).collect::<Vec<_>>()[..]),
            "{asked}"
        );
    }
}

#[test]
fn namespaces_are_laid_open_and_come_back() {
    let tool = json!({"type": "function", "name": "read", "parameters": {"type": "object"}});
    let body = json!({"model": "m",
        "input": [{"type": "function_call", "call_id": "c", "namespace": "files", "name": "read", "arguments": "{}"}],
        "tools": [{"type": "namespace", "name": "files", "description": "d", "tools": [tool, {"type": "shell"}]},
            {"type": "function", "name": "my.tool"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto",
            "tools": [{"type": "function", "name": "read"}, {"type": "function", "name": "my.tool"}, {"type": "mcp"}]}})
    .to_string();
    let request = decode(&body).unwrap();
    let encoded = encode(&request, &plain()).unwrap();
    let told: Json = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(told["tools"][0]["name"], "files__read");
    assert_eq!(told["tools"][1]["parameters"], json!({"type": "object", "properties": {}}));
    assert_eq!(told["input"][0]["name"], "files__read");
    let named = |name: &str| json!({"type": "function", "name": name});
    let among = json!([named("files__read"), named("my_tool")]);
    assert_eq!(
        told["tool_choice"],
        json!({"type": "allowed_tools", "mode": "auto", "tools": among})
    );
    assert_eq!(encoded.dropped, ["tools"]);

    let answer = json!({"status": "completed", "output": [
        {"type": "function_call", "call_id": "d", "name": "files__read", "arguments": "{}"},
        {"type": "function_call", "call_id": "e", "name": "my_tool", "arguments": ""}]})
    .to_string();
    let answer = OPENAI_RESPONSES.decode_answer(answer.as_bytes(), &encoded.names).unwrap();
    let said: Json =
        serde_json::from_slice(&OPENAI_RESPONSES.encode_answer(&answer, &reply())).unwrap();
    let output = &said["output"];
    assert_eq!((&output[0]["namespace"], &output[0]["name"]), (&json!("files"), &json!("read")));
    assert_eq!((&output[1]["name"], &output[1]["arguments"]), (&json!("my.tool"), &json!("{}")));
}

fn reply() -> Reply {
    Reply { model: "m".into(), unique: "u".into(), created: 7, ..Reply::default() }
}
