//! Settings, tools and forms as Messages targets are told them.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::{able, call, check_told as check, encode, hi, older, read, result, turns};
use crate::{
    Profile, Signature, Vendor,
    chat::{
        Effort, Format, Name, Piece, Request, Role, Said, Schema, Thinking, Tool, ToolChoice, Turn,
    },
};

fn with_tool<'a>() -> Request<'a> {
    let tool = |name: &'a str| Tool {
        name: Name::plain(name),
        description: None,
        schema: None,
        strict: Some(true),
    };
    Request { tools: vec![tool("f"), tool("g")], ..hi() }
}

fn thinking<'a>(effort: Option<Effort>, budget: Option<u64>) -> Option<Said<'a, Thinking>> {
    Some(Said::new(Thinking { effort, budget, shown: false }, "effort"))
}

#[test]
fn thinking_is_asked_for_as_the_model_takes_it() {
    let ask = |effort, budget| Request { thinking: thinking(effort, budget), ..hi() };
    let adaptive = json!({"type": "adaptive", "display": "summarized"});
    let enabled = |n: u64| json!({"type": "enabled", "budget_tokens": n});
    let rows = [
        (
            ask(Some(Effort::Minimal), None),
            able(),
            adaptive.clone(),
            json!({"effort": "low"}),
            true,
        ),
        (ask(None, Some(16_384)), able(), adaptive, json!({"effort": "high"}), true),
        (ask(Some(Effort::None), None), able(), Json::Null, Json::Null, true),
        (ask(Some(Effort::Max), None), older(), enabled(2000), Json::Null, true),
        (ask(None, Some(1500)), older(), enabled(1500), Json::Null, true),
        (ask(None, Some(500)), older(), Json::Null, Json::Null, false),
        (
            ask(Some(Effort::None), None),
            Profile { thinking_by_default: true, ..able() },
            json!({"type": "disabled"}),
            Json::Null,
            true,
        ),
        (
            ask(Some(Effort::None), None),
            Profile { thinking_always_on: true, ..able() },
            Json::Null,
            json!({"effort": "low"}),
            false,
        ),
        (
            ask(Some(Effort::Low), None),
            Profile { thinking: crate::ThinkingForm::None, ..able() },
            Json::Null,
            Json::Null,
            false,
        ),
    ];
    for (request, profile, thinking, config, kept) in rows {
        let dropped: &[&str] = if kept { &[] } else { &["effort"] };
        let expected = json!({"thinking": thinking, "output_config": config});
        check(&request, &profile, expected, dropped);
    }
}

#[test]
fn a_turn_whose_thoughts_are_lost_goes_on_without_thinking_by_a_budget() {
    let history = |thought: Option<Signature<'static>>| {
        let mut said = vec![call("a", "{}")];
        if thought.is_some() {
            said.insert(0, Piece::Thinking { text: "hm".into(), signature: thought });
        }
        let asked = thinking(Some(Effort::Low), None);
        let turns = turns([(Role::Assistant, said), (Role::User, vec![result("a", vec![])])]);
        Request { thinking: asked, ..turns }
    };
    let enabled = json!({"thinking": {"type": "enabled", "budget_tokens": 2000}});
    check(&history(None), &older(), json!({"thinking": null}), &["effort"]);
    check(&history(Some(Signature::new(Vendor::Anthropic, "s"))), &older(), enabled, &[]);
}

#[test]
fn sampling_gives_way_to_thinking_and_top_p_to_temperature() {
    let sampled = |thinking| {
        let mut request = Request { thinking, ..hi() };
        let sampling = &mut request.sampling;
        sampling.temperature = Some(Said::new("1.40", "t"));
        sampling.top_p = Some(Said::new("0.9", "p"));
        sampling.top_k = Some(Said::new("5.0", "k"));
        sampling.seed = Some(Said::new("7", "seed"));
        sampling.presence_penalty = Some(Said::new("0", "presence"));
        sampling.frequency_penalty = Some(Said::new("0.5", "frequency"));
        sampling.logit_bias = Some(Said::new("{}", "bias"));
        request
    };
    check(
        &sampled(None),
        &older(),
        json!({"temperature": 1, "top_p": null, "top_k": 5}),
        &["p", "seed", "frequency"],
    );
    check(
        &sampled(thinking(Some(Effort::Low), None)),
        &older(),
        json!({"temperature": null, "top_p": null, "top_k": null}),
        &["t", "p", "k", "seed", "frequency"],
    );
    check(
        &sampled(None),
        &Profile { sampling_params: false, ..older() },
        json!({"temperature": null, "top_p": null, "top_k": null}),
        &["t", "p", "k", "seed", "frequency"],
    );
    let narrow = Request {
        sampling: crate::chat::Sampling {
            top_p: Some(Said::new("0.97", "p")),
            ..Default::default()
        },
        thinking: thinking(Some(Effort::Low), None),
        ..hi()
    };
    check(&narrow, &older(), json!({"top_p": 0.97}), &[]);
}

#[test]
fn stops_of_white_space_are_left_out() {
    let stop = |texts: &[&'static str]| {
        let texts = texts.iter().map(|text| Cow::Borrowed(*text)).collect();
        Request { stop: Some(Said::new(texts, "stop")), ..hi() }
    };
    check(&stop(&["a", "\n\n", "b "]), &able(), json!({"stop_sequences": ["a", "b "]}), &["stop"]);
    check(&stop(&[" "]), &able(), json!({"stop_sequences": null}), &["stop"]);
}

#[test]
fn a_choice_is_told_as_far_as_the_model_takes_it() {
    let choose = |choice| {
        let tool_choice = Some(Said::new(choice, "choice"));
        Request { tool_choice, thinking: thinking(Some(Effort::Low), None), ..with_tool() }
    };
    let strict = |name: &str| {
        json!({"name": name, "strict": true, "input_schema":
        {"type": "object", "properties": {}, "additionalProperties": false}})
    };
    let all = json!([strict("f"), strict("g")]);
    let among = || ToolChoice::Among(vec![Name::plain("g")], true);
    let effort: &[&str] = &["effort"];
    let rows = [
        (choose(ToolChoice::None), able(), json!({"type": "none"}), all.clone(), &[][..]),
        (choose(ToolChoice::Required), able(), json!({"type": "any"}), all.clone(), effort),
        (choose(among()), able(), json!({"type": "any"}), json!([strict("g")]), effort),
        (
            choose(among()),
            Profile { forced_tool_choice: false, ..able() },
            json!({"type": "auto"}),
            all,
            &["choice"],
        ),
    ];
    for (request, profile, choice, tools, dropped) in rows {
        check(&request, &profile, json!({"tool_choice": choice, "tools": tools}), dropped);
    }
    let one = Request { parallel_calls: Some(Said::new(false, "one")), ..with_tool() };
    let auto = json!({"type": "auto", "disable_parallel_tool_use": true});
    check(&one, &older(), json!({"tool_choice": auto}), &[]);
    let no_tools = Request { tools: Vec::new(), ..choose(ToolChoice::Required) };
    let expected = json!({"tool_choice": null, "tools": null, "output_config": {"effort": "low"}});
    check(&no_tools, &able(), expected, &[]);
}

#[test]
fn schemas_are_of_objects_and_keep_their_spelling() {
    let schema = |text: &'static str| {
        let value = crate::Value::of(text).unwrap();
        Some(Schema::from(&value))
    };
    let rows = [
        (None, r#"{"type":"object","properties":{}}"#),
        (schema("{}"), r#"{"type":"object","properties":{}}"#),
        (schema("{ \"properties\": {} }"), r#"{"type":"object", "properties": {} }"#),
        (schema(r#"{"maximum":1.0,"type":"object"}"#), r#"{"maximum":1.0,"type":"object"}"#),
    ];
    for (schema, expected) in rows {
        let mut request = with_tool();
        request.tools[0].schema = schema;
        request.tools[0].strict = None;
        let told = encode(&request, &able()).unwrap();
        let body = String::from_utf8(told.body).unwrap();
        assert!(body.contains(&format!("\"input_schema\":{expected}")), "{body}");
    }
}

#[test]
fn schemas_of_strict_tools_and_answers_are_those_that_anthropic_takes() {
    let open = r#"{"type":"object","properties":{"a":{"type":"string","minLength":1}}}"#;
    let schema = |at: &'static str| Schema::written(open.to_owned()).placed(at);
    let taken = json!({"type": "object", "additionalProperties": false,
        "properties": {"a": {"type": "string", "description": "{minLength: 1}"}}});
    let mut request = with_tool();
    request.tools[0].schema = Some(schema("tool"));
    let format =
        Format::JsonSchema { name: None, description: None, schema: schema("form"), strict: None };
    request.format = Some(Said::new(format, "form"));
    let told = encode(&request, &able()).unwrap();
    let body = read(&told.body);
    assert_eq!(body["tools"][0]["input_schema"], taken);
    assert_eq!(body["output_config"]["format"]["schema"], taken);
    assert_eq!(told.dropped, ["form.properties.a.minLength", "tool.properties.a.minLength"]);
}

#[test]
fn free_form_tools_become_functions() {
    let mut request = with_tool();
    request.tools[0].name.free_form = true;
    let name = request.tools[0].name.clone();
    let input = "x \"y\"".into();
    let said = vec![Piece::Call { id: "a".into(), name, input, signature: None }];
    request.turns.push(Turn { role: Role::Assistant, pieces: said });
    let told = encode(&request, &able()).unwrap();
    let body = read(&told.body);
    assert_eq!(body["tools"][0]["input_schema"]["required"], json!(["input"]));
    assert_eq!(body["messages"][1]["content"][0]["input"], json!({"input": "x \"y\""}));
    assert!(told.names.back("f".into()).free_form);
}

#[test]
fn the_form_of_the_answer_is_asked_for_in_words_where_it_cannot_be_said() {
    let schema = Schema::written(r#"{"type":"object"}"#.to_owned());
    let format = Format::JsonSchema { name: None, description: None, schema, strict: Some(true) };
    let request = Request { format: Some(Said::new(format, "form")), ..hi() };
    let closed = json!({"type": "object", "additionalProperties": false});
    let native = json!({"format": {"type": "json_schema", "schema": closed}});
    check(&request, &able(), json!({"output_config": native, "system": null}), &[]);
    let told = encode(&request, &older()).unwrap();
    let system = read(&told.body)["system"][0]["text"].as_str().unwrap().to_owned();
    assert!(system.contains(r#"{"type":"object"}"#) && told.dropped == ["form"], "{system}");
}

#[test]
fn what_the_clients_code_relies_on_is_refused() {
    let several = Request { candidates: Some(Said::new(2, "n")), ..hi() };
    let likely = Request { logprobs: Some(Said::new(0, "logprobs")), ..hi() };
    for (request, param) in [(several, "n"), (likely, "logprobs")] {
        assert_eq!(encode(&request, &able()).unwrap_err().param.as_deref(), Some(param));
    }
    assert!(encode(&Request { candidates: Some(Said::new(1, "n")), ..hi() }, &able()).is_ok());
}
