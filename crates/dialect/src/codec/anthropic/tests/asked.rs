//! Requests of Messages clients.

use serde_json::{Value as Json, json};

use super::{asking, decode};
use crate::chat::{Effort, MediaKind, Piece, Request, Role, Source, ToolChoice};

/// What is lost of a request with these members.
#[track_caller]
fn check_dropped(members: Json, expected: &[&str]) {
    let body = asking(members.clone()).to_string();
    let request = decode(body.as_bytes()).unwrap();
    assert_eq!(request.dropped, expected, "{members}");
}

/// Which field is named in the refusal of a body.
#[track_caller]
fn check_refused(body: &str, param: Option<&str>) {
    let failure = decode(body.as_bytes()).unwrap_err();
    assert_eq!(failure.kind.status(), 400, "{body}");
    assert_eq!(failure.param.as_deref(), param, "{body}: {}", failure.message);
    assert!(param.is_none_or(|param| failure.message.contains(param)), "{}", failure.message);
}

fn in_message(role: &str, block: Json) -> Json {
    asking(json!({"messages": [{"role": role, "content": [block]}]}))
}

#[track_caller]
fn with_pieces(body: &Json, check: impl FnOnce(&Request<'_>, &[Piece<'_>])) {
    let body = body.to_string();
    let request = decode(body.as_bytes()).unwrap();
    check(&request, &request.turns.last().unwrap().pieces);
}

#[test]
fn a_body_that_is_not_as_it_must_be_is_refused_by_the_name_of_its_field() {
    let without = |name: &str| {
        let mut body = asking(json!({}));
        body.as_object_mut().unwrap().remove(name);
        check_refused(&body.to_string(), Some(name));
    };
    ["model", "max_tokens", "messages"].into_iter().for_each(without);
    for text in ["", "{", "[]", "7"] {
        check_refused(text, None);
    }
    let rows = [
        (json!({"model": 7}), "model"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": "9"}), "max_tokens"),
        (json!({"messages": {}}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user", "content": [7]}]}), "messages[0].content[0].type"),
        (json!({"system": 7}), "system"),
        (json!({"system": [{"type": "image"}]}), "system[0].text"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"stop_sequences": "x"}), "stop_sequences"),
        (json!({"stop_sequences": [1]}), "stop_sequences"),
        (json!({"tools": {}}), "tools"),
        (json!({"tools": [{"input_schema": {}}]}), "tools[0].name"),
        (json!({"tools": [{"name": "f", "input_schema": 1}]}), "tools[0].input_schema"),
        (json!({"tool_choice": {"type": "x"}}), "tool_choice.type"),
        (json!({"tool_choice": {"type": "tool"}}), "tool_choice.name"),
        (json!({"thinking": {"type": "enabled"}}), "thinking.budget_tokens"),
        (json!({"thinking": {}}), "thinking.type"),
        (json!({"output_config": {"effort": "very"}}), "output_config.effort"),
        (json!({"output_config": {"format": {"type": "xml"}}}), "output_config.format"),
        (json!({"container": "c1"}), "container"),
        (json!({"thread": {"type": "create"}}), "thread"),
    ];
    for (members, param) in rows {
        check_refused(&asking(members).to_string(), Some(param));
    }
}

#[test]
fn blocks_stand_where_they_belong_and_nothing_needs_an_account() {
    let rows = [
        ("user", json!({"type": "tool_use", "id": "a", "name": "f", "input": {}}), ""),
        ("user", json!({"type": "thinking", "thinking": "x", "signature": "s"}), ""),
        ("assistant", json!({"type": "tool_result", "tool_use_id": "a"}), ""),
        ("user", json!({"type": "container_upload", "file_id": "f"}), ""),
        ("user", json!({"type": "tool_result"}), ".tool_use_id"),
        ("user", json!({"type": "text"}), ".text"),
        ("user", json!({"type": "image", "source": {"type": "text", "data": "x"}}), ".source.type"),
        ("user", json!({"type": "image", "source": {"type": "url"}}), ".source.url"),
    ];
    for (role, block, field) in rows {
        let field = format!("messages[0].content[0]{field}");
        check_refused(&in_message(role, block).to_string(), Some(&field));
    }
    let nested = json!({"type": "tool_result", "tool_use_id": "a",
        "content": [{"type": "tool_result", "tool_use_id": "b"}]});
    let field = "messages[0].content[0].content[0]";
    check_refused(&in_message("user", nested).to_string(), Some(field));
}

#[test]
fn what_nobody_else_knows_is_named_and_what_asks_for_nothing_is_not() {
    check_dropped(
        json!({"service_tier": "auto", "speed": "fast", "container": null, "mcp_servers": [],
            "cache_control": {"type": "ephemeral"}, "metadata": {"user_id": "u", "x": 1},
            "context_management": {}, "stream": false, "stop_sequences": []}),
        &[],
    );
    check_dropped(
        json!({"context_management": {"edits": []}, "mcp_servers": [{"url": "x"}], "novel": 1}),
        &["context_management", "mcp_servers", "novel"],
    );
    check_dropped(
        json!({"output_config": {"effort": "low", "task_budget": {"total": 1}},
            "thinking": {"type": "adaptive", "novel": 1}}),
        &["output_config.task_budget", "thinking.novel"],
    );
    check_dropped(
        json!({"tools": [
            {"name": "f", "input_schema": {"type": "object"}, "defer_loading": true, "novel": 1,
                "input_examples": [{}], "allowed_callers": ["direct"], "strict": true},
            {"type": "web_search_20260209", "name": "web_search"},
            {"type": "bash_20250124", "name": "bash"},
        ]}),
        &["tools[0].novel", "tools", "tools[].defer_loading"],
    );
    check_dropped(
        json!({"messages": [
            {"role": "user", "novel": 1, "content": [
                {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}, "novel": 1},
                {"type": "document", "source": {"type": "text", "data": "d"},
                    "citations": {"enabled": true}},
                {"type": "unheard_of", "novel": 1},
            ]},
            {"role": "assistant", "content": [
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
                {"type": "text", "text": "found", "citations": [{"url": "u"}]},
            ]},
        ]}),
        &[
            "messages[0].novel",
            "messages[0].content[0].novel",
            "messages[0].content[1].citations",
            "messages[0].content[2]",
            "tools",
        ],
    );
}

#[test]
fn a_tool_of_the_vendor_cannot_be_forced() {
    let hosted = json!({"type": "web_search_20260209", "name": "web_search"});
    for choice in [json!({"type": "tool", "name": "web_search"}), json!({"type": "any"})] {
        let body = asking(json!({"tools": [hosted], "tool_choice": choice}));
        check_refused(&body.to_string(), Some("tool_choice"));
    }
    let own = json!({"name": "f", "input_schema": {"type": "object"}});
    let choice = json!({"type": "any", "disable_parallel_tool_use": true});
    let body = asking(json!({"tools": [hosted, own], "tool_choice": choice})).to_string();
    let request = decode(body.as_bytes()).unwrap();
    assert_eq!(request.tool_choice.unwrap().value, ToolChoice::Required);
    let one = request.parallel_calls.unwrap();
    assert_eq!((one.value, &*one.path), (false, "tool_choice.disable_parallel_tool_use"));
}

#[test]
fn thinking_is_read_from_both_of_its_fields() {
    let check = |members: Json, effort: Option<Effort>, budget: Option<u64>, shown: bool| {
        let body = asking(members.clone()).to_string();
        let thinking = decode(body.as_bytes()).unwrap().thinking.unwrap().value;
        assert_eq!((thinking.effort, thinking.budget, thinking.shown), (effort, budget, shown));
    };
    let effort = json!({"effort": "xhigh"});
    check(json!({"output_config": effort}), Some(Effort::Xhigh), None, false);
    check(json!({"thinking": {"type": "adaptive"}}), None, None, true);
    check(json!({"thinking": {"type": "adaptive", "display": "omitted"}}), None, None, false);
    check(
        json!({"thinking": {"type": "enabled", "budget_tokens": 5000}, "output_config": effort}),
        Some(Effort::Xhigh),
        Some(5000),
        true,
    );
    check(
        json!({"thinking": {"type": "disabled"}, "output_config": effort}),
        Some(Effort::None),
        None,
        false,
    );
}

#[test]
fn the_attribution_of_the_client_is_no_system_prompt() {
    let billing = "x-anthropic-billing-header: cc_version=2; cch=1;";
    for system in [json!(billing), json!([{"type": "text", "text": billing}]), json!("")] {
        let body = asking(json!({"system": system})).to_string();
        let request = decode(body.as_bytes()).unwrap();
        let texts: Vec<_> = request.turns.iter().filter(|turn| turn.role == Role::System).collect();
        assert_eq!(texts.len(), usize::from(system == ""), "{system}");
    }
}

#[test]
fn a_message_of_which_nothing_is_left_is_no_turn() {
    let used = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}});
    let body = asking(json!({"messages": [
        {"role": "system", "content": "x-anthropic-billing-header: cch=1;"},
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": []},
        {"role": "user", "content": "Hi"},
    ]}));
    with_pieces(&body, |request, pieces| {
        assert_eq!((request.turns.len(), pieces.len()), (1, 1));
    });
}

#[test]
fn documents_of_any_source_are_read() {
    let document = |source: Json| {
        let block = json!({"type": "document", "title": "T", "context": "C", "source": source});
        in_message("user", block)
    };
    with_pieces(&document(json!({"type": "file", "file_id": "f"})), |_, pieces| {
        let [Piece::Text { text, .. }, Piece::Media(media)] = pieces else { panic!("{pieces:?}") };
        assert_eq!(
            (&**text, media.kind, media.name.as_deref()),
            ("C", MediaKind::Document, Some("T"))
        );
        assert!(matches!(&media.source, Source::File(id) if id == "f"));
        assert_eq!(media.path, "messages[0].content[0].source.file_id");
    });
    let content = json!({"type": "content", "content": [{"type": "text", "text": "a"},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]});
    with_pieces(&document(content), |_, pieces| {
        assert!(matches!(pieces, [Piece::Text { .. }, Piece::Text { text, .. },
            Piece::Text { .. }, Piece::Media(_)] if text == "T"));
    });
    let found = json!({"type": "search_result", "source": "https://x", "title": "T",
        "content": [{"type": "text", "text": "a"}]});
    with_pieces(&in_message("user", found), |_, pieces| {
        assert!(matches!(pieces, [Piece::Text { text, .. }, Piece::Text { .. }]
            if text == "T\nhttps://x"));
    });
}

#[test]
fn a_question_for_tokens_needs_no_limit() {
    let ask = |body| crate::Ask { body, model: None, stream: false, as_array: false };
    let body = br#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    assert!(super::ANTHROPIC.decode_count_request(ask(body)).is_ok());
    assert!(super::ANTHROPIC.decode_count_request(ask(br#"{"model":"m"}"#)).is_err());
}
