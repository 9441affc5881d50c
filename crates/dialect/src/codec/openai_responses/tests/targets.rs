//! Requests of other dialects, as they arrive in the common model.

use serde_json::{Value as Json, json};

use super::{OPENAI_RESPONSES, encode, plain};
use crate::{
    Failure, Profile, Signature, Vendor,
    chat::{
        Media, MediaKind, Name, Piece, Request, Role, Said, Sampling, Source, Thinking, Tool,
        ToolChoice, Turn,
    },
};

fn said(text: &str) -> Piece<'_> {
    Piece::Text { text: text.into(), signature: None }
}

fn media(kind: MediaKind, source: Source<'static>, mime: &'static str) -> Piece<'static> {
    let (mime, path) = (Some(mime.into()), "here".to_owned());
    Piece::Media(Media { kind, source, mime, name: None, detail: None, path })
}

fn input(role: Role, pieces: Vec<Piece<'_>>) -> Result<Json, Failure> {
    let request = Request { turns: vec![Turn { role, pieces }], ..Request::default() };
    let encoded = encode(&request, &plain())?;
    Ok(serde_json::from_slice::<Json>(&encoded.body).unwrap()["input"].clone())
}

/// What one piece of a user becomes.
fn check(piece: Piece<'_>, want: Json) {
    assert_eq!(input(Role::User, vec![piece]).unwrap()[0]["content"][0], want);
}

fn refused(role: Role, piece: Piece<'_>) {
    assert_eq!(input(role, vec![piece]).unwrap_err().param.as_deref(), Some("here"));
}

#[test]
fn media_are_said_or_refused() {
    let data = || Source::Base64("AAAA".into());
    check(
        media(MediaKind::Document, data(), "application/pdf"),
        json!({"type": "input_file", "filename": "document.pdf",
            "file_data": "data:application/pdf;base64,AAAA"}),
    );
    check(
        media(MediaKind::Document, data(), "text/csv"),
        json!({"type": "input_file", "filename": "document.csv",
            "file_data": "data:text/csv;base64,AAAA"}),
    );
    check(
        media(MediaKind::Audio, data(), "audio/mpeg"),
        json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}),
    );
    let titled = Media {
        kind: MediaKind::Document,
        source: Source::Text("b".into()),
        mime: None,
        name: Some("A".into()),
        detail: None,
        path: String::new(),
    };
    check(Piece::Media(titled), json!({"type": "input_text", "text": "A\n\nb"}));
    refused(Role::User, media(MediaKind::Audio, data(), "audio/flac"));
    refused(Role::User, media(MediaKind::Video, data(), "video/mp4"));
    refused(Role::User, media(MediaKind::Image, Source::File("f".into()), "image/png"));
    refused(Role::Assistant, media(MediaKind::Image, data(), "image/png"));
}

#[test]
fn results_say_that_they_failed_and_keep_their_images() {
    let result =
        |content, is_error| Piece::Result { id: "c".into(), name: None, content, is_error };
    let output = |content, is_error| {
        input(Role::User, vec![result(content, is_error)]).unwrap()[0]["output"].clone()
    };
    assert_eq!(output(vec![said("12C")], false), "12C");
    assert_eq!(output(vec![], false), "");
    assert_eq!(output(vec![said("no such city")], true), "Error: no such city");
    assert_eq!(output(vec![said("ERROR 5")], true), "ERROR 5");
    assert_eq!(output(vec![], true), "Error");
    assert_eq!(output(vec![said("")], true), "Error");
    let url = || media(MediaKind::Image, Source::Url("https://x".into()), "");
    let image = json!({"type": "input_image", "image_url": "https://x", "detail": "auto"});
    assert_eq!(output(vec![url()], false), json!([image]));
    let error = json!({"type": "input_text", "text": "Error:"});
    assert_eq!(output(vec![url()], true), json!([error, image]));
    let items = input(Role::User, vec![result(vec![said("o")], false), said("and")]).unwrap();
    assert_eq!(
        (&items[0]["type"], &items[1]["role"]),
        (&json!("function_call_output"), &json!("user"))
    );
}

#[test]
fn the_order_of_what_the_model_did_stays() {
    let call = |id: &'static str, free_form| Piece::Call {
        id: id.into(),
        name: Name { free_form, ..Name::plain("a.b") },
        input: "".into(),
        signature: None,
    };
    let thought = |signature| Piece::Thinking { text: "hm".into(), signature };
    let sealed = Signature { id: Some("rs".into()), ..Signature::new(Vendor::Openai, "gA") };
    let turns = |profile: &Profile| {
        let pieces = vec![
            thought(None),
            thought(Some(sealed.clone())),
            said("x"),
            call("1", false),
            said("y"),
            said("z"),
            call("2", true),
        ];
        let request =
            Request { turns: vec![Turn { role: Role::Assistant, pieces }], ..Request::default() };
        let body = encode(&request, profile).unwrap().body;
        serde_json::from_slice::<Json>(&body).unwrap()["input"].clone()
    };
    let text = |text: &str| json!({"type": "output_text", "text": text});
    let message =
        |content: Json| json!({"type": "message", "role": "assistant", "content": content});
    let rest = [
        message(json!([text("x")])),
        json!({"type": "function_call", "call_id": "1", "name": "a_b", "arguments": "{}"}),
        message(json!([text("y"), text("z")])),
        json!({"type": "custom_tool_call", "call_id": "2", "name": "a_b", "input": ""}),
    ];
    assert_eq!(turns(&plain()), json!(rest));
    let mut whole = vec![json!({"type": "reasoning", "id": "rs",
        "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gA"})];
    whole.extend(rest);
    assert_eq!(turns(&OPENAI_RESPONSES.profile()), json!(whole));
}

#[test]
fn a_system_that_speaks_late_is_a_developer_in_its_place() {
    let turn = |role, text| Turn { role, pieces: vec![said(text)] };
    let request = Request {
        turns: vec![
            turn(Role::System, "a"),
            Turn { role: Role::System, pieces: vec![said("b"), said(""), said("c")] },
            turn(Role::User, "q"),
            turn(Role::System, "late"),
        ],
        ..Request::default()
    };
    let body: Json = serde_json::from_slice(&encode(&request, &plain()).unwrap().body).unwrap();
    assert_eq!(body["instructions"], "a\n\nb\n\nc");
    let roles: Vec<_> = body["input"].as_array().unwrap().iter().map(|i| &i["role"]).collect();
    assert_eq!(roles, ["user", "developer"]);
}

#[test]
fn what_has_no_place_is_named_unless_it_asks_for_nothing() {
    let request = Request {
        stop: Some(Said::new(vec!["x".into()], "stop_sequences")),
        sampling: Sampling {
            temperature: Some(Said::new("0.5", "temperature")),
            top_p: Some(Said::new("1", "topP")),
            top_k: Some(Said::new("4", "topK")),
            seed: Some(Said::new("0", "seed")),
            presence_penalty: Some(Said::new("0.0", "presence_penalty")),
            frequency_penalty: Some(Said::new("-0.5", "frequency_penalty")),
            logit_bias: Some(Said::new("{}", "logit_bias")),
        },
        candidates: Some(Said::new(1, "n")),
        tool_choice: Some(Said::new(ToolChoice::Required, "tool_choice")),
        dropped: vec!["seed".to_owned()],
        ..Request::default()
    };
    let lost = |profile: &Profile| encode(&request, profile).unwrap().dropped;
    let always = ["seed", "stop_sequences", "topK", "frequency_penalty", "tool_choice"];
    assert_eq!(lost(&plain()), always);
    let reasons = lost(&OPENAI_RESPONSES.profile());
    assert!(["temperature", "topP"].iter().all(|path| reasons.iter().any(|lost| lost == path)));

    let many = Request { candidates: Some(Said::new(2, "candidateCount")), ..Request::default() };
    let failure = encode(&many, &plain()).unwrap_err();
    assert_eq!(failure.param.as_deref(), Some("candidateCount"));
}

#[test]
fn a_target_that_cannot_be_forced_is_left_its_choice() {
    let free = Profile { forced_tool_choice: false, ..plain() };
    let check = |choice: ToolChoice<'static>, want: Json, lost: usize| {
        let tool = Tool { name: Name::plain("f"), description: None, schema: None, strict: None };
        let request = Request {
            tools: vec![tool],
            tool_choice: Some(Said::new(choice, "tool_choice")),
            ..Request::default()
        };
        let encoded = encode(&request, &free).unwrap();
        let body: Json = serde_json::from_slice(&encoded.body).unwrap();
        assert_eq!((&body["tool_choice"], encoded.dropped.len()), (&want, lost));
    };
    check(ToolChoice::Required, json!("auto"), 1);
    check(ToolChoice::Tool(Name::plain("f")), json!("auto"), 1);
    check(ToolChoice::None, json!("none"), 0);
    let named = json!([{"type": "function", "name": "f"}]);
    check(
        ToolChoice::Among(vec![Name::plain("f")], false),
        json!({"type": "allowed_tools", "mode": "auto", "tools": named}),
        0,
    );
}

#[test]
fn a_budget_becomes_an_effort() {
    let check = |thinking: Thinking, want: Json| {
        let thinking = Some(Said::new(thinking, "thinking"));
        let request = Request { thinking, ..Request::default() };
        let encoded = encode(&request, &OPENAI_RESPONSES.profile()).unwrap();
        let body: Json = serde_json::from_slice(&encoded.body).unwrap();
        assert_eq!(body["reasoning"], want);
    };
    let budget = |budget| Thinking { effort: None, budget: Some(budget), shown: true };
    check(budget(9_000), json!({"effort": "medium", "summary": "auto"}));
    check(budget(0), json!({"effort": "none"}));
    check(Thinking { shown: true, ..Thinking::default() }, json!({"summary": "auto"}));
    check(Thinking::default(), json!(null));
}
