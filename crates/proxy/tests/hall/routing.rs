//! Who is asked: by route, by name, by model; and who must not be.

use std::sync::Arc;

use domain::{Owner, Provider, UserId};

use crate::{
    harness::{Hall, Setup, chat},
    vendor::{Vendor, json, said},
};

#[tokio::test]
async fn a_model_is_found_by_route_by_upstream_and_by_its_plain_name() {
    let (one, two) = (Vendor::saying(said("one")).await, Vendor::saying(said("two")).await);
    let mut setup = Setup::new();
    let first = setup
        .upstream("one", one.addr, &["sk-1"], |up| up.models = vec!["a".into(), "both".into()]);
    setup.upstream("two", two.addr, &["sk-2"], |up| up.models = vec!["b".into(), "both".into()]);
    setup.route("alias", &[(first, Some("a"))]);
    let some = setup.caller(|key| key.allowed_models = vec!["a*".into(), "one/*".into()]);
    let mut hall = setup.start().await;
    for (asked, by, model) in [
        ("alias", "one", "a"),
        ("a", "one", "a"),
        ("b", "two", "b"),
        ("two/zzz", "two", "zzz"),
        ("one/both", "one", "both"),
    ] {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat(asked))).await;
        assert_eq!((reply.status, reply.text().contains(by)), (200, true), "{asked}");
        let vendor = if by == "one" { &one } else { &two };
        assert!(vendor.seen().last().unwrap().text().contains(&format!("\"model\":\"{model}\"")));
    }
    for (asked, status, code) in [
        ("both", 400, "ambiguous_model"),
        ("nobody", 404, "model_not_found"),
        ("three/x", 404, "model_not_found"),
    ] {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat(asked))).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{asked}");
    }
    let list = hall.ask(hall.request("GET", "/v1/models", &[], "")).await.json();
    let names: Vec<&str> =
        list["data"].as_array().unwrap().iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!(names, ["a", "alias", "b", "one/both", "two/both"]);
    let entries = hall.entries().await;
    // Who may ask for some by how their names begin is told of these.
    hall.key = some;
    let list = hall.ask(hall.request("GET", "/v1/models", &[], "")).await.json();
    let told = list["data"].as_array().unwrap().iter().filter_map(|m| m["id"].as_str());
    assert!(told.eq(["a", "alias", "one/both"]), "{list}");
    for (asked, status) in [("alias", 200), ("one/both", 200), ("b", 403), ("two/both", 403)] {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat(asked))).await;
        assert_eq!(reply.status, status, "{asked}");
    }
    assert!(
        entries
            .iter()
            .any(|e| e.model_asked.as_deref() == Some("alias")
                && e.model_used.as_deref() == Some("a"))
    );
}

/// The names that a list of models tells, for whoever asks so.
async fn listed(hall: &Hall, fields: &[&str]) -> Vec<String> {
    let list = hall.ask(hall.request("GET", "/v1/models", fields, "")).await;
    assert_eq!(list.status, 200);
    let list = list.json();
    let names = list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str());
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn upstreams_that_take_any_model_show_the_lists_of_their_providers() {
    let one = Vendor::answering(|seen| match (seen.method.as_str(), seen.key()) {
        ("GET", "sk-1") => json(200, r#"{"object":"list","data":[{"id":"gpt-4o"},{"id":"both"}]}"#),
        ("GET", _) => json(401, "{}"),
        _ => said("one"),
    })
    .await;
    let two = Vendor::answering(|seen| match seen.method.as_str() {
        "GET" if seen.target.contains("after_id") => json(200, r#"{"data":[{"id":"last"}]}"#),
        "GET" => json(200, r#"{"data":[{"id":"both"}],"has_more":true,"last_id":"both"}"#),
        _ => said("two"),
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("openai", one.addr, &["sk-1"], |_| {});
    setup.upstream("claude", two.addr, &["sk-2"], |up| {
        up.dialects = vec![domain::Dialect::AnthropicMessages];
    });
    let hall = setup.start().await;
    // By a plain name whoever speaks the client's dialect is meant.
    let of_openai = ["both", "claude/both", "claude/last", "gpt-4o"];
    let of_anthropic = ["both", "last", "openai/both", "openai/gpt-4o"];
    assert_eq!(listed(&hall, &[]).await, of_openai);
    assert_eq!(listed(&hall, &["anthropic-version: 2023-06-01"]).await, of_anthropic);
    assert_eq!((one.seen().len(), two.seen().len()), (1, 2), "it is remembered");
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("gpt-4o"))).await;
    assert!(reply.text().contains("one"));
}

#[tokio::test]
async fn one_upstream_that_takes_any_model_is_listed_for_clients_of_every_dialect() {
    let vendor = Vendor::answering(|seen| match seen.method.as_str() {
        "GET" => json(200, r#"{"object":"list","data":[{"id":"gpt-4o"},{"id":"r"}]}"#),
        _ => said("x"),
    })
    .await;
    let mut setup = Setup::new();
    let up = setup.upstream("openai", vendor.addr, &["sk-1"], |up| {
        up.dialects = vec![domain::Dialect::OpenaiChat];
    });
    setup.route("r", &[(up, Some("gpt-4o"))]);
    let hall = setup.start().await;
    for fields in [&[][..], &["anthropic-version: 2023-06-01"]] {
        assert_eq!(listed(&hall, fields).await, ["gpt-4o", "openai/r", "r"]);
    }
}

#[tokio::test]
async fn a_first_part_that_is_no_upstream_is_told() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::new();
    setup.upstream("one", vendor.addr, &["sk-1"], |_| {});
    setup.upstream("two", vendor.addr, &["sk-2"], |_| {});
    let hall = setup.start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("nope/gpt-4o"))).await;
    assert_eq!(reply.status, 404);
    let words = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(words.contains("there is no upstream `nope`"), "{words}");
    assert!(words.contains("one, two") && !words.contains("nope/gpt-4o"), "{words}");
}

#[tokio::test]
async fn a_key_reaches_what_it_may_and_is_not_told_of_the_rest() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::new();
    let open = setup.upstream("open", vendor.addr, &["sk-1"], |_| {});
    setup.upstream("shut", vendor.addr, &["sk-2"], |_| {});
    setup.upstream("off", vendor.addr, &["sk-3"], |up| up.enabled = false);
    setup.upstream("theirs", vendor.addr, &["sk-4"], |up| up.owner = UserId(2));
    setup.catalog.owners.insert(UserId(3), Owner { active: true, uses_all_upstreams: false });
    let narrow = setup.caller(|key| key.allowed_upstreams = vec![open]);
    let models = setup.caller(|key| key.allowed_models = vec!["open/m".into()]);
    let small = setup.caller(|key| key.owner = UserId(3));
    let mut hall = setup.start().await;
    hall.key = narrow;
    for (path, body, status, code) in [
        ("/proxy/open/x", "", 200, ""),
        ("/proxy/shut/x", "", 404, "no_such_upstream"),
        ("/proxy/none/x", "", 404, "no_such_upstream"),
        ("/v1/chat/completions", "open/m", 200, ""),
        // Several upstreams serve any model, but only one of them for this key.
        ("/v1/chat/completions", "m", 200, ""),
    ] {
        let reply = hall.ask(hall.post(path, &chat(body))).await;
        assert_eq!(reply.status, status, "{path} {body}");
        if status != 200 {
            assert_eq!(reply.code(), code, "{path} {body}");
        }
    }
    hall.key = models;
    for (path, body, status) in [
        ("/v1/chat/completions", "open/m", 200),
        ("/v1/chat/completions", "open/n", 403),
        ("/v1/files", "", 403),
        ("/proxy/open/v1/chat/completions", "open/n", 403),
    ] {
        let reply =
            hall.ask(hall.request("POST", path, &["content-type: text/plain"], chat(body))).await;
        assert_eq!(reply.status, status, "{path} {body}");
    }
    hall.key = small;
    assert_eq!(hall.ask(hall.post("/proxy/open/x", "")).await.code(), "no_such_upstream");
    hall.install(|catalog| {
        let entry = catalog.upstreams.get_mut(&open).unwrap();
        Arc::make_mut(entry).upstream.owner = UserId(3);
    });
    assert_eq!(hall.ask(hall.post("/proxy/open/x", "")).await.status, 200);
}

#[tokio::test]
async fn what_is_switched_off_or_speaks_another_dialect_is_a_clear_no() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::new();
    setup.upstream("off", vendor.addr, &["sk-1"], |up| up.enabled = false);
    setup.upstream("claude", vendor.addr, &["sk-2"], |up| {
        up.dialects = Provider::Anthropic.dialects()
    });
    let hall = setup.start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("off/m"))).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "upstream_disabled"));
    let reply = hall.ask(hall.post("/proxy/off/x", "")).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "upstream_disabled"));
    let prompt = r#"{"model":"claude/m","prompt":"x"}"#;
    let reply = hall.ask(hall.post("/v1/completions", prompt)).await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "dialect_not_served"));
    let reply = hall.ask(hall.post("/v1beta/models/claude/m:predict", "{}")).await;
    assert_eq!((reply.status, &reply.json()["error"]["status"]), (404, &"NOT_FOUND".into()));
    assert!(vendor.seen().is_empty());
}
