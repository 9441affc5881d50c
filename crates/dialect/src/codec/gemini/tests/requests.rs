//! Requests to Gemini, and from Gemini to Gemini by way of the common model.

use proptest::prelude::*;

use super::{call, current, older, result, text, told, turn};
use crate::{
    Ask, FailureKind, Profile, Signature, Target, ThinkingForm, Value, Vendor,
    chat::{
        Effort, Media, MediaKind, Name, Piece, Request, Role, Said, Schema, Source, Thinking, Tool,
        ToolChoice, Turn,
    },
    codec::GEMINI,
};

/// What a conversation becomes.
fn check(turns: Vec<Turn<'_>>, profile: &Profile, expected: &str) {
    let request = Request { turns, ..Request::default() };
    assert_eq!(told(&request, profile), (format!("{{{expected}}}"), String::new()));
}

/// What everything but the conversation becomes, and what is left out.
fn check_rest(request: Request<'_>, profile: &Profile, expected: &str, dropped: &str) {
    let (body, lost) = told(&request, profile);
    assert_eq!((&*body, &*lost), (&*format!(r#"{{"contents":[]{expected}}}"#), dropped));
}

fn image(source: Source<'_>) -> Piece<'_> {
    Piece::Media(Media {
        kind: MediaKind::Image,
        source,
        mime: Some("image/jpg".into()),
        name: None,
        detail: None,
        path: "messages[0].content[0]".to_owned(),
    })
}

fn data() -> Piece<'static> {
    image(Source::Base64("AA==".into()))
}

#[test]
fn only_the_first_system_texts_are_the_system_prompt() {
    check(
        vec![
            turn(Role::System, vec![text("a"), text("x-anthropic-billing-header: 1"), text("")]),
            turn(Role::System, vec![text("b")]),
            turn(Role::User, vec![text("c")]),
            turn(Role::System, vec![text("d")]),
            turn(Role::Assistant, vec![text("e")]),
            turn(Role::Assistant, vec![text("f")]),
        ],
        &current(),
        r#""systemInstruction":{"parts":[{"text":"a"},{"text":"b"}]},"contents":[{"role":"user","parts":[{"text":"c"},{"text":"<system-reminder>\nd\n</system-reminder>"}]},{"role":"model","parts":[{"text":"e"},{"text":"f"}]}]"#,
    );
}

#[test]
fn a_turn_of_which_nothing_is_left_parts_nobody() {
    let foreign = Piece::Thinking { text: "hm".into(), signature: None };
    check(
        vec![
            turn(Role::User, vec![text("a")]),
            turn(Role::Assistant, vec![foreign, text("")]),
            turn(Role::User, vec![text("b")]),
        ],
        &current(),
        r#""contents":[{"role":"user","parts":[{"text":"a"},{"text":"b"}]}]"#,
    );
}

#[test]
fn results_stand_alone_in_the_order_of_the_calls() {
    let turns = || {
        vec![
            turn(Role::Assistant, vec![call("1", "f", ""), call("2", "g/h", "{\"a\":")]),
            turn(Role::User, vec![text("before"), result("2", vec![text("x"), data()])]),
            turn(Role::User, vec![result("1", vec![]), result("9", vec![]), text("behind")]),
        ]
    };
    check(
        turns(),
        &current(),
        concat!(
            r#""contents":[{"role":"model","parts":[{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"skip_thought_signature_validator"},"#,
            r#"{"functionCall":{"id":"2","name":"g_h","args":{"_raw":"{\"a\":"}}}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"id":"1","name":"f","response":{"output":""}}},"#,
            r#"{"functionResponse":{"id":"2","name":"g_h","response":{"output":"x"},"parts":[{"inlineData":{"mimeType":"image/jpeg","data":"AA=="}}]}},"#,
            r#"{"functionResponse":{"id":"9","name":"_9","response":{"output":""}}}]},"#,
            r#"{"role":"user","parts":[{"text":"before"},{"text":"behind"}]}]"#
        ),
    );
    check(
        turns(),
        &older(),
        concat!(
            r#""contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}},{"functionCall":{"name":"g_h","args":{"_raw":"{\"a\":"}}}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"output":""}}},{"functionResponse":{"name":"g_h","response":{"output":"x"}}},"#,
            r#"{"functionResponse":{"name":"_9","response":{"output":""}}}]},"#,
            r#"{"role":"user","parts":[{"inlineData":{"mimeType":"image/jpeg","data":"AA=="}},{"text":"before"},{"text":"behind"}]}]"#
        ),
    );
}

#[test]
fn proofs_of_thoughts_go_back_to_their_call_and_those_of_others_nowhere() {
    let thought = |vendor, proof| Piece::Thinking {
        text: "hm".into(),
        signature: Some(Signature::new(vendor, proof)),
    };
    check(
        vec![turn(
            Role::Assistant,
            vec![
                thought(Vendor::Anthropic, "EqQB"),
                thought(Vendor::Gemini, "AA=="),
                call("1", "f", "{}"),
                thought(Vendor::Gemini, "BB=="),
                text("t"),
                thought(Vendor::Unsigned, ""),
                thought(Vendor::Gemini, "CC=="),
            ],
        )],
        &current(),
        concat!(
            r#""contents":[{"role":"model","parts":[{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"AA=="},"#,
            r#"{"text":"t","thoughtSignature":"BB=="},{"text":"","thoughtSignature":"CC=="}]}]"#
        ),
    );
    check(
        vec![turn(
            Role::Assistant,
            vec![thought(Vendor::Openai, "gAAA"), thought(Vendor::Gemini, "AA==")],
        )],
        &current(),
        r#""contents":[]"#,
    );
}

#[test]
fn media_are_data_or_are_refused() {
    let document = Piece::Media(Media {
        kind: MediaKind::Document,
        source: Source::Text("body".into()),
        mime: Some("text/plain".into()),
        name: Some("a.txt".into()),
        detail: None,
        path: String::new(),
    });
    check(
        vec![turn(Role::User, vec![data(), document, image(Source::File("gs://b/c".into()))])],
        &current(),
        r#""contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/jpeg","data":"AA=="}},{"text":"a.txt\n\nbody"},{"fileData":{"mimeType":"image/jpg","fileUri":"gs://b/c"}}]}]"#,
    );
    for source in [Source::Url("https://a/b.png".into()), Source::File("file-1".into())] {
        let turns = vec![turn(Role::User, vec![image(source)])];
        let request = Request { turns, ..Request::default() };
        let target = Target { model: "g", profile: &current() };
        let failure = GEMINI.encode_request(&request, target).unwrap_err();
        assert_eq!(failure.kind, FailureKind::BadRequest);
        assert_eq!(failure.param.as_deref(), Some("messages[0].content[0]"));
    }
}

fn tools<'a>(choice: Option<ToolChoice<'a>>, parallel: Option<bool>) -> Request<'a> {
    let tool = |name: &'static str, schema: &'static str| Tool {
        name: Name::plain(name),
        description: None,
        schema: Value::of(schema).ok().as_ref().map(Schema::from),
        strict: Some(true),
    };
    Request {
        tools: vec![tool("f", r#"{"$schema":"x","type":"object","oneOf":[],"n":1.0}"#)],
        tool_choice: choice.map(|choice| Said::new(choice, "tool_choice")),
        parallel_calls: parallel.map(|value| Said::new(value, "parallel_tool_calls")),
        ..Request::default()
    }
}

#[test]
fn functions_and_choices_are_told() {
    let declared = r#","tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","oneOf":[],"n":1.0}}]}]"#;
    let config =
        |inner: &str| format!(r#"{declared},"toolConfig":{{"functionCallingConfig":{{{inner}}}}}"#);
    let names = || vec![Name::plain("f"), Name::plain("g")];
    let current = &current();
    check_rest(tools(None, Some(true)), current, declared, "");
    check_rest(tools(None, Some(false)), current, declared, "parallel_tool_calls");
    let auto = config(r#""mode":"AUTO""#);
    check_rest(tools(Some(ToolChoice::Auto), None), current, &auto, "");
    let any = config(r#""mode":"ANY""#);
    check_rest(tools(Some(ToolChoice::Required), None), current, &any, "");
    let none = config(r#""mode":"NONE""#);
    check_rest(tools(Some(ToolChoice::None), None), current, &none, "");
    let among = config(r#""mode":"ANY","allowedFunctionNames":["f","g"]"#);
    check_rest(tools(Some(ToolChoice::Among(names(), true)), None), current, &among, "");
    let among = config(r#""mode":"VALIDATED","allowedFunctionNames":["f","g"]"#);
    check_rest(tools(Some(ToolChoice::Among(names(), false)), None), current, &among, "");
    let free = Profile { forced_tool_choice: false, ..current.clone() };
    check_rest(tools(Some(ToolChoice::Required), None), &free, &auto, "tool_choice");
    let nothing = Request { tools: Vec::new(), ..tools(Some(ToolChoice::Required), None) };
    check_rest(nothing, current, "", "");
}

#[test]
fn a_free_form_tool_becomes_a_function_and_its_calls_are_wrapped() {
    let name = || Name { free_form: true, ..Name::plain("patch") };
    let input = "a\n\"b\"".into();
    let call = Piece::Call { id: "1".into(), name: name(), input, signature: None };
    let request = Request {
        turns: vec![turn(Role::Assistant, vec![call])],
        tools: vec![Tool {
            name: name(),
            description: Some("Edit".into()),
            schema: None,
            strict: None,
        }],
        ..Request::default()
    };
    assert_eq!(
        told(&request, &older()).0,
        concat!(
            r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"patch","args":{"input":"a\n\"b\""}}}]}],"#,
            r#""tools":[{"functionDeclarations":[{"name":"patch","description":"Edit","parameters":{"type":"OBJECT","properties":{"input":{"type":"STRING"}},"required":["input"]}}]}]}"#
        )
    );
}

#[test]
fn sampling_goes_by_what_the_model_takes() {
    let request = || {
        let mut request = Request::default();
        request.sampling.temperature = Some(Said::new("0.50", "temperature"));
        request.sampling.top_k = Some(Said::new("40", "top_k"));
        request.sampling.presence_penalty = Some(Said::new("1", "presence_penalty"));
        request.sampling.logit_bias = Some(Said::new("{}", "logit_bias"));
        let stops = ["a", "b", "c", "d", "e", "f"].map(Into::into).to_vec();
        request.stop = Some(Said::new(stops, "stop"));
        request.candidates = Some(Said::new(1, "n"));
        request
    };
    let stops = r#""stopSequences":["a","b","c","d","e"]"#;
    check_rest(
        request(),
        &older(),
        &format!(
            r#","generationConfig":{{"temperature":0.50,"topK":40,"presencePenalty":1,{stops}}}"#
        ),
        "logit_bias,stop",
    );
    let strict = Profile { sampling_params: false, penalties: false, ..older() };
    check_rest(
        request(),
        &strict,
        &format!(r#","generationConfig":{{{stops}}}"#),
        "temperature,top_k,presence_penalty,logit_bias,stop",
    );
    let mut none = Request::default();
    none.sampling.frequency_penalty = Some(Said::new("0.0", "frequency_penalty"));
    check_rest(none.clone(), &strict, "", "");
    check_rest(none, &older(), r#","generationConfig":{"frequencyPenalty":0.0}"#, "");
    let stop = Some(Said::new(Vec::new(), "stop"));
    check_rest(Request { stop, ..Request::default() }, &strict, "", "");
}

#[test]
fn thinking_is_a_level_or_a_budget() {
    let check = |effort, budget, shown, profile: &Profile, expected: &str, dropped| {
        let thinking = Some(Said::new(Thinking { effort, budget, shown }, "reasoning"));
        let expected = match expected {
            "" => String::new(),
            _ => format!(r#","generationConfig":{{"thinkingConfig":{{{expected}}}}}"#),
        };
        check_rest(Request { thinking, ..Request::default() }, profile, &expected, dropped);
    };
    let (level, budget) = (&current(), &older());
    let none = &Profile { thinking: ThinkingForm::None, ..current() };
    let always = &Profile { thinking_always_on: true, ..older() };
    let shown = r#""includeThoughts":true"#;
    let with = |inner: &str| format!("{inner},{shown}");
    check(Some(Effort::Max), None, false, level, &with(r#""thinkingLevel":"HIGH""#), "");
    check(Some(Effort::Minimal), None, true, level, &with(r#""thinkingLevel":"MINIMAL""#), "");
    check(Some(Effort::None), None, false, level, r#""thinkingLevel":"MINIMAL""#, "reasoning");
    check(None, Some(9000), false, level, &with(r#""thinkingLevel":"MEDIUM""#), "");
    check(Some(Effort::Xhigh), None, true, budget, &with(r#""thinkingBudget":24576"#), "");
    check(Some(Effort::Low), Some(5000), true, budget, &with(r#""thinkingBudget":5000"#), "");
    check(Some(Effort::None), None, false, budget, r#""thinkingBudget":0"#, "");
    check(Some(Effort::None), None, false, always, r#""thinkingBudget":1024"#, "reasoning");
    check(None, None, true, budget, shown, "");
    check(None, None, false, budget, "", "");
    check(Some(Effort::Low), None, true, none, "", "reasoning");
    check(Some(Effort::None), None, false, none, "", "");
}

#[test]
fn tokens_are_counted_of_a_conversation_or_of_a_whole_request() {
    let count = |request: &Request<'_>| {
        let target = Target { model: "tuned/g", profile: &current() };
        let encoded = GEMINI.encode_count_request(request, target).unwrap().unwrap();
        assert_eq!(encoded.path, "/v1beta/models/tuned%2Fg:countTokens");
        String::from_utf8(encoded.body).unwrap()
    };
    let turns = vec![turn(Role::User, vec![text("x")])];
    let contents = r#""contents":[{"role":"user","parts":[{"text":"x"}]}]"#;
    let mut request = Request { turns, ..Request::default() };
    assert_eq!(count(&request), format!("{{{contents}}}"));
    request.turns.insert(0, turn(Role::System, vec![text("s")]));
    assert_eq!(
        count(&request),
        format!(
            r#"{{"generateContentRequest":{{"model":"models/tuned/g","systemInstruction":{{"parts":[{{"text":"s"}}]}},{contents}}}}}"#
        )
    );
    assert_eq!(GEMINI.decode_count(br#"{"totalTokens":31}"#), Some(31));
    assert_eq!(GEMINI.encode_count(5), br#"{"totalTokens":5}"#);
}

/// What comes out where Gemini is on both sides.
fn through(body: &str, profile: &Profile) -> String {
    let ask = Ask { body: body.as_bytes(), model: Some("m"), stream: false, as_array: false };
    told(&GEMINI.decode_request(ask).unwrap(), profile).0
}

#[test]
fn a_request_comes_through_the_common_tongue_as_it_was() {
    let body = concat!(
        r#"{"systemInstruction":{"parts":[{"text":"s"}]},"contents":["#,
        r#"{"role":"user","parts":[{"text":"x"},{"inlineData":{"mimeType":"image/png","data":"AA=="}},{"fileData":{"mimeType":"video/mp4","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/1"}}]},"#,
        r#"{"role":"model","parts":[{"functionCall":{"id":"1","name":"f","args":{"a_b":12345678901234567890}},"thoughtSignature":"++8="},{"functionCall":{"id":"2","name":"f","args":{}}}]},"#,
        r#"{"role":"user","parts":[{"functionResponse":{"id":"1","name":"f","response":{"t_u":1.50}}},{"functionResponse":{"id":"2","name":"f","response":{"error":"no"}}}]},"#,
        r#"{"role":"model","parts":[{"text":"y","thoughtSignature":"AA=="}]},{"role":"user","parts":[{"text":"z"}]}],"#,
        r#""tools":[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":{"some_key":{"$ref":"x"}}}]}],"#,
        r#""toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},"#,
        r#""generationConfig":{"maxOutputTokens":5,"temperature":0.0,"topP":1,"topK":3,"seed":7,"stopSequences":["a"],"candidateCount":2,"responseLogprobs":true,"logprobs":3,"responseMimeType":"application/json","responseJsonSchema":{"type":"object"},"thinkingConfig":{"thinkingLevel":"LOW","includeThoughts":true}}}"#
    );
    assert_eq!(through(body, &current()), body);
}

#[test]
fn snake_case_and_short_forms_are_understood() {
    let body = concat!(
        r#"{"system_instruction":"s","contents":{"parts":{"text":"x"}},"#,
        r#""tools":{"function_declarations":{"name":"f","parameters":{"type":"OBJECT","properties":{"a_b":{"type":"STRING","nullable":true}}}}},"#,
        r#""tool_config":{"function_calling_config":{"mode":"any"}},"#,
        r#""generation_config":{"max_output_tokens":"5","response_mime_type":"application/json","response_schema":{"type":"ARRAY"}}}"#
    );
    assert_eq!(
        through(body, &older()),
        concat!(
            r#"{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"x"}]}],"#,
            r#""tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"a_b":{"type":"STRING","nullable":true}}}}]}],"#,
            r#""toolConfig":{"functionCallingConfig":{"mode":"ANY"}},"#,
            r#""generationConfig":{"maxOutputTokens":5,"responseMimeType":"application/json","responseSchema":{"type":"ARRAY","items":{"type":"STRING"}}}}"#
        )
    );
}

#[test]
fn an_answer_that_was_kept_in_chunks_is_one_turn() {
    let wrapped = Signature::new(Vendor::Anthropic, "EqQB").wrapped();
    let chunk = |part: &str| format!(r#"{{"role":"model","parts":[{part}]}},"#);
    let body = [
        r#"{"contents":["#.to_owned(),
        chunk(r#"{"text":"h","thought":true}"#),
        chunk(r#"{"text":"m","thought":true}"#),
        chunk(&format!(r#"{{"text":"","thought":true,"thoughtSignature":"{wrapped}"}}"#)),
        chunk(r#"{"functionCall":{"name":"f","args":{"n":1}}}"#),
        chunk(r#"{"functionCall":{"name":"f","args":{"n":2}}}"#),
        r#"{"parts":[{"functionResponse":{"name":"f","response":{"output":"1"}}}]},"#.to_owned(),
        r#"{"parts":[{"functionResponse":{"name":"f","response":{"output":"2"}}}]}]}"#.to_owned(),
    ]
    .concat();
    let ask = Ask { body: body.as_bytes(), model: Some("m"), stream: false, as_array: false };
    let request = GEMINI.decode_request(ask).unwrap();
    let [model, first, second] = &request.turns[..] else { panic!("{:?}", request.turns) };
    let [Piece::Thinking { text, signature: Some(signature) }, calls @ ..] = &model.pieces[..]
    else {
        panic!("{model:?}")
    };
    assert_eq!((&**text, &*signature.data), ("hm", "EqQB"));
    for (call, turn) in calls.iter().zip([first, second]) {
        let (Piece::Call { id, .. }, [Piece::Result { id: paired, .. }]) = (call, &turn.pieces[..])
        else {
            panic!("{turn:?}")
        };
        assert_eq!(id, paired);
    }
}

/// JSON made of words that mean something here, in places where they may mean nothing.
fn soup() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("7".to_owned()),
        Just("true".to_owned()),
        Just(r#""model""#.to_owned()),
        Just(r#""dG9sbGdhdGU6""#.to_owned()),
        Just(r#""é""#.to_owned()),
    ];
    let name = prop::sample::select(vec![
        "contents",
        "role",
        "parts",
        "text",
        "thought",
        "thought_signature",
        "inlineData",
        "mimeType",
        "data",
        "fileData",
        "fileUri",
        "functionCall",
        "functionResponse",
        "name",
        "args",
        "response",
        "output",
        "error",
        "id",
        "tools",
        "functionDeclarations",
        "parameters",
        "parametersJsonSchema",
        "type",
        "properties",
        "items",
        "$ref",
        "toolConfig",
        "functionCallingConfig",
        "mode",
        "allowedFunctionNames",
        "generationConfig",
        "topK",
        "stopSequences",
        "thinkingConfig",
        "thinkingBudget",
        "responseSchema",
        "systemInstruction",
        "candidates",
        "content",
        "finishReason",
        "usageMetadata",
        "promptTokenCount",
        "index",
        "logprobsResult",
        "chosenCandidates",
        "groundingMetadata",
        "promptFeedback",
        "blockReason",
    ]);
    leaf.prop_recursive(6, 48, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec((name.clone(), inner), 0..5).prop_map(|all| {
                let all: Vec<_> = all.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
                format!("{{{}}}", all.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_input_is_too_strange(body in soup()) {
        let wrapped = format!(r#"{{"contents":[{{"parts":{body}}}],"generationConfig":{body},"tools":{body}}}"#);
        for body in [body.as_bytes(), wrapped.as_bytes()] {
            let ask = Ask { body, model: Some("m"), stream: true, as_array: true };
            if let Ok(request) = GEMINI.decode_request(ask) {
                for profile in [current(), older()] {
                    let target = Target { model: "g", profile: &profile };
                    if let Ok(encoded) = GEMINI.encode_request(&request, target) {
                        prop_assert!(serde_json::from_slice::<serde_json::Value>(&encoded.body).is_ok());
                    }
                }
            }
            let names = crate::Names::default();
            let _ = GEMINI.decode_answer(body, &names);
            let mut decoder = GEMINI.decode_stream(names);
            decoder.event(None, body, &mut |_| {});
            decoder.finish(&mut |_| {});
            let value = Value::read(body).unwrap();
            let raw = bytes::Bytes::copy_from_slice(value.raw().as_bytes());
            let cut = crate::splice(&raw, &GEMINI.wrapped_signatures(&value));
            prop_assert!(crate::validate(&cut).is_ok());
        }
    }
}
