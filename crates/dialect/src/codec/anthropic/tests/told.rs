//! Requests for Messages targets.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::{able, asking, decode, encode, older, read};
use crate::{
    Profile, Seal, Target, Vendor,
    chat::{
        Effort, Format, Media, MediaKind, Name, Piece, Request, Role, Said, Schema, Source,
        Thinking, Tool, ToolChoice, Turn,
    },
};

/// The members named in `expected` as the target is told them, and what is lost. `null` stands for
/// a member that must not be there.
#[track_caller]
fn check(request: &Request<'_>, profile: &Profile, expected: Json, dropped: &[&str]) {
    let told = encode(request, profile).unwrap();
    let body = read(&told.body);
    for (name, want) in expected.as_object().unwrap() {
        assert_eq!(&body[name], want, "`{name}` of {body}");
    }
    assert_eq!(told.dropped, dropped, "{body}");
    assert_eq!(told.headers, [("anthropic-version", "2023-06-01")]);
}

fn text(text: &str) -> Piece<'_> {
    Piece::Text { text: text.into(), seal: None }
}

fn call<'a>(id: &'a str, input: &'a str) -> Piece<'a> {
    Piece::Call { id: id.into(), name: Name::plain("f"), input: input.into(), seal: None }
}

fn result<'a>(id: &'a str, content: Vec<Piece<'a>>) -> Piece<'a> {
    Piece::Result { id: id.into(), name: None, content, is_error: false }
}

fn turns<'a>(turns: impl IntoIterator<Item = (Role, Vec<Piece<'a>>)>) -> Request<'a> {
    let turns = turns.into_iter().map(|(role, pieces)| Turn { role, pieces }).collect();
    Request { turns, ..Request::default() }
}

fn hi<'a>() -> Request<'a> {
    turns([(Role::User, vec![text("Hi")])])
}

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

fn block(text: &str) -> Json {
    json!({"type": "text", "text": text})
}

#[test]
fn system_messages_inside_stand_behind_the_users_turn_or_become_one() {
    let request = turns([
        (Role::System, vec![text("lead")]),
        (Role::System, vec![text("")]),
        (Role::User, vec![text("a")]),
        (Role::System, vec![text("one")]),
        (Role::User, vec![text("b")]),
        (Role::System, vec![text("two")]),
        (Role::Assistant, vec![text("c")]),
        (Role::System, vec![text("three")]),
        (Role::Assistant, vec![text("d")]),
        (Role::System, vec![text("four")]),
    ]);
    let reminder = |text: &str| block(&format!("<system-reminder>\n{text}\n</system-reminder>"));
    let lead = json!([block("lead")]);
    check(
        &request,
        &able(),
        json!({"system": lead, "messages": [
            {"role": "user", "content": [block("a"), block("b")]},
            {"role": "system", "content": [block("one"), block("two")]},
            {"role": "assistant", "content": [block("c")]},
            {"role": "user", "content": [reminder("three")]},
            {"role": "assistant", "content": [block("d")]},
            {"role": "user", "content": [reminder("four")]},
        ]}),
        &[],
    );
    check(
        &request,
        &older(),
        json!({"system": lead, "messages": [
            {"role": "user", "content": [block("a"), reminder("one"), block("b"), reminder("two")]},
            {"role": "assistant", "content": [block("c")]},
            {"role": "user", "content": [reminder("three")]},
            {"role": "assistant", "content": [block("d")]},
            {"role": "user", "content": [reminder("four")]},
        ]}),
        &[],
    );
}

#[test]
fn a_turn_of_which_nothing_is_left_parts_nobody() {
    let unsigned = Piece::Thinking { text: "hm".into(), seal: None };
    let request = turns([
        (Role::User, vec![text("a")]),
        (Role::System, vec![text("one")]),
        (Role::Assistant, vec![unsigned, text(" \n")]),
        (Role::User, vec![text("b"), text("")]),
    ]);
    check(
        &request,
        &able(),
        json!({"system": null, "messages": [
            {"role": "user", "content": [block("a"), block("b")]},
            {"role": "system", "content": [block("one")]},
        ]}),
        &[],
    );
}

#[test]
fn results_come_first_in_the_turn_behind_their_calls() {
    let request = turns([
        (Role::Assistant, vec![call("a:1", ""), call("b", "[1]"), call("c", "{\"n\":1.50}")]),
        (Role::User, vec![result("a:1", vec![text("x")]), text("then")]),
        (Role::System, vec![text("s")]),
        (Role::User, vec![result("b", vec![text("")]), result("c", vec![])]),
    ]);
    let told = encode(&request, &able()).unwrap();
    assert!(String::from_utf8_lossy(&told.body).contains("\"input\":{\"n\":1.50}"));
    let messages = read(&told.body)["messages"].clone();
    let id = messages[0]["content"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("a_1_"), "{id}");
    let called =
        |id: &str, input: Json| json!({"type": "tool_use", "id": id, "name": "f", "input": input});
    assert_eq!(
        messages,
        json!([
            {"role": "assistant", "content": [
                called(id, json!({})),
                called("b", json!({"_raw": "[1]"})),
                called("c", json!({"n": 1.5})),
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": [block("x")]},
                {"type": "tool_result", "tool_use_id": "b"},
                {"type": "tool_result", "tool_use_id": "c"},
                block("then"),
            ]},
            {"role": "system", "content": [block("s")]},
        ])
    );
}

#[test]
fn only_thoughts_that_anthropic_signed_are_sent() {
    let thought = |seal| Piece::Thinking { text: "hm".into(), seal };
    let redacted = Seal { redacted: true, ..Seal::new(Vendor::Anthropic, "data") };
    let request = turns([(
        Role::Assistant,
        vec![
            thought(None),
            thought(Some(Seal::unsigned())),
            thought(Some(Seal::new(Vendor::Openai, "o"))),
            thought(Some(Seal::new(Vendor::Gemini, "g"))),
            thought(Some(Seal::new(Vendor::Anthropic, "sig"))),
            thought(Some(redacted)),
            Piece::Refusal("no".into()),
        ],
    )]);
    check(
        &request,
        &able(),
        json!({"messages": [{"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "data"},
            block("no"),
        ]}]}),
        &[],
    );
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
    let history = |thought: Option<Seal<'static>>| {
        let mut said = vec![call("a", "{}")];
        if thought.is_some() {
            said.insert(0, Piece::Thinking { text: "hm".into(), seal: thought });
        }
        let asked = thinking(Some(Effort::Low), None);
        let turns = turns([(Role::Assistant, said), (Role::User, vec![result("a", vec![])])]);
        Request { thinking: asked, ..turns }
    };
    let enabled = json!({"thinking": {"type": "enabled", "budget_tokens": 2000}});
    check(&history(None), &older(), json!({"thinking": null}), &["effort"]);
    check(&history(Some(Seal::new(Vendor::Anthropic, "s"))), &older(), enabled, &[]);
}

#[test]
fn sampling_gives_way_to_thinking_and_top_p_to_temperature() {
    let sampled = |thinking| {
        let mut request = Request { thinking, ..hi() };
        let sampling = &mut request.sampling;
        sampling.temperature = Some(Said::new("1.40", "t"));
        sampling.top_p = Some(Said::new("0.9", "p"));
        sampling.top_k = Some(Said::new("5", "k"));
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
    let strict = |name: &str| json!({"name": name, "input_schema": {"type": "object", "properties": {}}, "strict": true});
    let all = json!([strict("f"), strict("g")]);
    let among = || ToolChoice::Among(vec![Name::plain("g")], true);
    let effort: &[&str] = &["effort"];
    let rows = [
        (choose(ToolChoice::None), able(), json!({"type": "none"}), all.clone(), &[][..]),
        (choose(ToolChoice::Required), able(), json!({"type": "any"}), all, effort),
        (choose(among()), able(), json!({"type": "any"}), json!([strict("g")]), effort),
        (
            choose(among()),
            Profile { forced_tool_choice: false, ..able() },
            json!({"type": "auto"}),
            json!([strict("g")]),
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
        let told = encode(&request, &able()).unwrap();
        let body = String::from_utf8(told.body).unwrap();
        assert!(body.contains(&format!("\"input_schema\":{expected}")), "{body}");
    }
}

#[test]
fn free_form_tools_become_functions() {
    let mut request = with_tool();
    request.tools[0].name.free_form = true;
    let name = request.tools[0].name.clone();
    let input = "x \"y\"".into();
    let said = vec![Piece::Call { id: "a".into(), name, input, seal: None }];
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
    let native = json!({"format": {"type": "json_schema", "schema": {"type": "object"}}});
    check(&request, &able(), json!({"output_config": native, "system": null}), &[]);
    let told = encode(&request, &older()).unwrap();
    let system = read(&told.body)["system"][0]["text"].as_str().unwrap().to_owned();
    assert!(system.contains(r#"{"type":"object"}"#) && told.dropped == ["form"], "{system}");
}

#[test]
fn media_go_as_blocks_or_are_refused() {
    let media = |kind, mime: &'static str, source| {
        let path = "input[0]".to_owned();
        let mime = (!mime.is_empty()).then_some(mime.into());
        Piece::Media(Media { kind, source, mime, name: None, detail: None, path })
    };
    let data = || Source::Base64("/9j/aGk=".into());
    let url = || Source::Url("https://x/y".into());
    let jpeg = json!({"type": "base64", "media_type": "image/jpeg", "data": "/9j/aGk="});
    let link = json!({"type": "url", "url": "https://x/y"});
    let plain = json!({"type": "text", "media_type": "text/plain", "data": "hi"});
    let rows = [
        (media(MediaKind::Image, "image/jpg", data()), "image", jpeg.clone()),
        (media(MediaKind::Image, "", data()), "image", jpeg),
        (media(MediaKind::Document, "", url()), "document", link),
        (
            media(MediaKind::Document, "text/csv; charset=utf-8", Source::Base64("aGk=".into())),
            "document",
            plain.clone(),
        ),
        (media(MediaKind::Document, "", Source::Text("hi".into())), "document", plain),
    ];
    for (piece, kind, source) in rows {
        let request = turns([(Role::User, vec![piece])]);
        let content = json!([{"role": "user", "content": [{"type": kind, "source": source}]}]);
        check(&request, &able(), json!({"messages": content}), &[]);
    }
    let refused = [
        (Role::User, media(MediaKind::Audio, "audio/wav", data())),
        (Role::User, media(MediaKind::Video, "video/mp4", data())),
        (Role::User, media(MediaKind::Image, "", Source::File("f".into()))),
        (Role::User, media(MediaKind::Document, "application/zip", data())),
        (Role::User, media(MediaKind::Document, "text/plain", Source::Base64("/w==".into()))),
        (Role::User, result("a", vec![media(MediaKind::Audio, "", data())])),
        (Role::Assistant, media(MediaKind::Image, "image/png", data())),
    ];
    for (role, piece) in refused {
        let failure = encode(&turns([(role, vec![piece])]), &able()).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some("input[0]"));
    }
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

#[test]
fn what_is_known_on_both_sides_comes_out_as_it_went_in() {
    let body = asking(json!({
        "model": "claude",
        "system": [block("one"), block("two")],
        "messages": [
            {"role": "user", "content": [
                block("Hi"),
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "document", "title": "t", "source":
                    {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
            ]},
            {"role": "system", "content": [block("now")]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
                {"type": "redacted_thinking", "data": "x"},
                block("Let me see."),
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1, "a": [2.50]}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": [
                    block("no"),
                    {"type": "image", "source":
                        {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}},
                ]},
                block("Go on."),
            ]},
        ],
        "tools": [{"name": "f", "description": "d", "strict": true,
            "input_schema": {"type": "object", "properties": {"b": {"type": "integer"}}}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "stop_sequences": ["x"],
        "top_p": 0.97,
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "high", "format":
            {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u"},
        "stream": true,
    }));
    let text = body.to_string();
    let request = decode(text.as_bytes()).unwrap();
    let told = encode(&request, &able()).unwrap();
    assert_eq!((read(&told.body), told.path.as_str()), (body, "/v1/messages"));
    assert_eq!(told.dropped, [""; 0]);
}

#[test]
fn counting_asks_for_input_only() {
    let text = asking(json!({"temperature": 0.5, "stream": true, "system": "S"})).to_string();
    let request = decode(text.as_bytes()).unwrap();
    let target = Target { model: "claude", profile: &able() };
    let told = super::ANTHROPIC.encode_count_request(&request, target).unwrap().unwrap();
    assert_eq!(told.path, "/v1/messages/count_tokens");
    let messages = json!([{"role": "user", "content": [block("Hi")]}]);
    let want = json!({"model": "claude", "system": [block("S")], "messages": messages});
    assert_eq!(read(&told.body), want);
}
