//! Answers, counts, failures and cuts.

use serde_json::{Value as Json, json};

use super::{OPENAI_RESPONSES, decode, reply};
use crate::{
    Names, Reply, Signature, Target,
    chat::{Answer, Block, Choice, Finish},
};

#[test]
fn an_answer_repeats_its_question() {
    let body = "{\"model\": \"m\", \"input\": \"x\",\n \"tools\": [ {\"type\": \"web_search\"} ], \"metadata\": {\"a b\": \"c d\"}}";
    let reply = Reply { wish: decode(body).unwrap().wish, ..reply() };
    let said = OPENAI_RESPONSES.encode_answer(&Answer::default(), &reply);
    assert!(!said.contains(&b'\n'));
    let said: Json = serde_json::from_slice(&said).unwrap();
    assert_eq!(
        (&said["tools"], &said["metadata"]),
        (&json!([{"type": "web_search"}]), &json!({"a b": "c d"}))
    );
    let silent: Json = serde_json::from_slice(
        &OPENAI_RESPONSES.encode_answer(&Answer::default(), &super::reply()),
    )
    .unwrap();
    for member in
        ["parallel_tool_calls", "tool_choice", "tools", "metadata", "usage", "output", "text"]
    {
        assert!(!silent[member].is_null() && !said[member].is_null(), "{member}");
    }
}

#[test]
fn counting_asks_only_for_what_counts() {
    let body =
        json!({"model": "m", "instructions": "I", "input": "x", "temperature": 1, "stream": true,
        "max_output_tokens": 5, "tools": [{"type": "function", "name": "f"}]})
        .to_string();
    let target = Target { model: "up", profile: &OPENAI_RESPONSES.profile() };
    let asked =
        OPENAI_RESPONSES.encode_count_request(&decode(&body).unwrap(), target).unwrap().unwrap();
    assert_eq!(asked.path, "/v1/responses/input_tokens");
    let asked: Json = serde_json::from_slice(&asked.body).unwrap();
    let mut members: Vec<&String> = asked.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["input", "instructions", "model", "tools"]);
    let counted = OPENAI_RESPONSES.encode_count(17);
    assert_eq!(counted, br#"{"object":"response.input_tokens","input_tokens":17}"#);
    assert_eq!(OPENAI_RESPONSES.decode_count(&counted), Some(17));
}

#[test]
fn own_seals_are_cut_out_with_their_commas() {
    let own = format!(
        r#"{{"type":"reasoning","summary":[],"encrypted_content":"{}"}}"#,
        Signature::unsigned().wrapped()
    );
    let check = |items: &str, want: &str| {
        let body = |items: &str| format!(r#"{{"model":"m","input":[{items}],"z":1}}"#);
        let with = body(&items.replace("OWN", &own));
        let edits = OPENAI_RESPONSES.wrapped_signatures(&crate::Value::of(&with).unwrap());
        let cut = crate::splice(&with.into(), &edits);
        assert_eq!(std::str::from_utf8(&cut).unwrap(), body(want), "{items}");
    };
    check("1 , OWN , 2", "1 , 2");
    check("OWN,2", "2");
    check("1 , OWN ", "1 ");
    check("OWN", "");
    check("OWN , OWN", "");
    check("1,OWN,OWN,2,OWN", "1,2");
    check("1, OWN ,OWN", "1");
    check(
        r#"{"type":"reasoning","encrypted_content":"gAAA"}"#,
        r#"{"type":"reasoning","encrypted_content":"gAAA"}"#,
    );
}

#[test]
fn failures_keep_openais_code_and_field() {
    let body = br#"{"error":{"message":"no","type":"invalid_request_error","param":"input","code":"too_long"}}"#;
    let failure = OPENAI_RESPONSES.decode_failure(400, body);
    assert_eq!(
        (failure.code.as_deref(), failure.param.as_deref()),
        (Some("too_long"), Some("input"))
    );
    let failed = br#"{"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow"},"output":[]}"#;
    let failure = OPENAI_RESPONSES.decode_answer(failed, &Names::default()).unwrap_err();
    assert_eq!(
        (failure.kind.status(), failure.code.as_deref()),
        (429, Some("rate_limit_exceeded"))
    );
    for body in ["", "{}", "[]", r#"{"status":"in_progress","output":[]}"#, r#"{"output":null}"#] {
        let failure =
            OPENAI_RESPONSES.decode_answer(body.as_bytes(), &Names::default()).unwrap_err();
        assert_eq!(failure.kind.status(), 502, "{body}");
    }
}

#[test]
fn a_refusal_is_a_part_of_a_whole_answer() {
    let choice = Choice {
        blocks: vec![Block::Refusal("no".into())],
        finish: Finish::Filtered(None),
        ..Choice::default()
    };
    let answer = Answer { choices: vec![choice.clone()], usage: None };
    let said: Json =
        serde_json::from_slice(&OPENAI_RESPONSES.encode_answer(&answer, &reply())).unwrap();
    assert_eq!(said["status"], "completed");
    assert_eq!(said["output"][0]["content"], json!([{"type": "refusal", "refusal": "no"}]));
    for (why, output) in
        [(None, json!(null)), (Some("policy"), json!([{"type": "refusal", "refusal": "policy"}]))]
    {
        let finish = Finish::Filtered(why.map(Into::into));
        let choices = vec![Choice { blocks: vec![], finish, ..choice.clone() }];
        let filtered = Answer { choices, usage: None };
        let said: Json =
            serde_json::from_slice(&OPENAI_RESPONSES.encode_answer(&filtered, &reply())).unwrap();
        assert_eq!(said["incomplete_details"], json!({"reason": "content_filter"}));
        assert_eq!(said["output"][0]["content"], output);

        // The same as a stream.
        let mut writer = OPENAI_RESPONSES.encode_stream(reply());
        let mut out = Vec::new();
        filtered.tell(&mut |event| writer.event(event, &mut out));
        let out = String::from_utf8(out).unwrap();
        let last = out.trim_end().rsplit_once("data: ").unwrap().1;
        let last: Json = serde_json::from_str(last).unwrap();
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"]["output"], said["output"]);
    }
}
