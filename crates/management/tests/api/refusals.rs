//! Whatever goes wrong, the answer has one shape.

use axum::http::Method;
use serde_json::json;

use crate::app::App;

#[tokio::test]
async fn a_refusal_has_one_shape_and_the_id_of_its_answer() {
    let app = App::start().await;
    let answer = app.anonymous().with("x-request-id", "mine-1").get("/api/admin/upstreams").await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = json!({
        "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "sign in first",
        "error": {"code": "unauthenticated", "message": "sign in first", "request_id": "mine-1"},
    });
    assert_eq!(answer.expect(401), problem);
}

#[tokio::test]
async fn an_id_that_is_no_id_is_replaced() {
    let app = App::start().await;
    for odd in ["", "with space", "line\tbreak", &"x".repeat(129)] {
        let answer = app.anonymous().with("x-request-id", odd).get("/livez").await;
        assert_ne!(answer.header("x-request-id"), odd);
        assert_eq!(answer.header("x-request-id").len(), 36);
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_in_json() {
    let app = App::start().await;
    let admin = app.admin().await;
    for path in [
        "/nothing",
        "/api/admin/nothing",
        "/api/admin/upstreams/x",
        "/api/admin/upstreams/",
        "/api/admin/upstreams/1%00",
        "/api/admin/logs/%00",
    ] {
        assert_eq!(admin.get(path).await.refused(404), "no_such_path", "{path}");
    }
    for path in ["upstreams", "keys", "service-keys", "routes"] {
        let path = format!("/api/admin/{path}/99");
        assert_eq!(admin.get(&path).await.refused(404), "not_found", "{path}");
        assert_eq!(admin.delete(&path).await.refused(404), "not_found", "{path}");
        assert_eq!(admin.patch(&path, json!({})).await.refused(404), "not_found", "{path}");
    }
}

#[tokio::test]
async fn a_call_to_a_model_is_told_the_right_port() {
    let settings = management::Settings { data_plane_port: Some(8081), ..Default::default() };
    let app = App::with(settings).await;
    for path in ["/v1/models", "/v1beta/models/m:generateContent", "/proxy/up/x", "/v1"] {
        let answer = app.anonymous().get(path).await;
        assert!(answer.text.contains("8081"), "{path}: {}", answer.text);
        assert_eq!(answer.refused(404), "data_plane_path", "{path}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_taken_names_those_that_are() {
    let app = App::start().await;
    let answer = app.admin().await.send(Method::PUT, "/api/admin/upstreams", None).await;
    let allowed = answer.header("allow").to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    assert_eq!(answer.refused(405), "method_not_allowed");
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_by_what_it_is() {
    let app = App::start().await;
    let admin = app.admin().await;
    let path = "/api/admin/upstreams";
    let post = |body: &str| admin.send(Method::POST, path, Some(body.to_owned()));
    for (body, words) in [
        ("", "it is empty"),
        ("{", "it ends too early"),
        ("{\"name\": }", "see line 1, column 10"),
        ("{\n\"name\": sk-secret}", "see line 2, column 9"),
    ] {
        let refusal = post(body).await.expect(400);
        assert_eq!(refusal["error"]["code"], "malformed_json", "{body}");
        let message = format!("the body is not valid JSON: {words}");
        assert_eq!(refusal["error"]["message"], message, "{body}");
    }
    for body in ["[]", "3", "null", "\"{}\""] {
        assert_eq!(post(body).await.refused(400), "not_an_object", "{body}");
    }
    let deep = format!("{}{}", "{\"a\":".repeat(200), "}".repeat(200));
    assert_eq!(post(&deep).await.refused(400), "malformed_json");
    let large = json!({"name": "x".repeat(1024 * 1024)}).to_string();
    assert_eq!(post(&large).await.refused(413), "too_large");
    let form = admin.clone().with("content-type", "text/plain");
    let sent = form.send(Method::POST, path, Some("{}".to_owned())).await;
    assert_eq!(sent.refused(415), "not_json");
    let utf8 = admin.clone().with("content-type", "application/JSON; charset=utf-8");
    assert_eq!(utf8.send(Method::POST, path, Some("{}".to_owned())).await.refused(422), "invalid");
}

#[tokio::test]
async fn a_text_that_no_database_takes_is_refused_with_its_place() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let key = json!({"upstream_id": upstream, "name": "a\0", "key_value": "sk", "note": "\0"});
    let faults = admin.post("/api/admin/keys", key).await.faults(422);
    assert_eq!(faults["name"], "must not hold the character U+0000");
    assert!(faults.contains_key("note") && faults.len() == 2, "{faults:?}");
    let route = json!({"name": "x", "targets": [{"upstream_id": upstream, "model": "a\0"}]});
    let faults = admin.post("/api/admin/routes", route).await.faults(422);
    assert_eq!(faults.keys().collect::<Vec<_>>(), ["targets[0].model"]);
    let login = json!({"username": "super\0admin", "password": crate::app::PASSWORD});
    assert!(
        app.anonymous().post("/api/auth/login", login).await.faults(422).contains_key("username")
    );
    let cursor = r#"{"n":["a\u0000",1]}"#.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    let path = format!("/api/admin/upstreams?sort=name&cursor={cursor}");
    assert!(admin.get(&path).await.faults(422).contains_key("cursor"));
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_too() {
    let app = App::start().await;
    let admin = app.admin().await.with("transfer-encoding", "chunked");
    let large = json!({"name": "x".repeat(1024 * 1024)}).to_string();
    let sent = admin.send(Method::POST, "/api/admin/upstreams", Some(large)).await;
    assert_eq!(sent.refused(413), "too_large");
}

#[tokio::test]
async fn a_query_is_checked_like_a_body() {
    let app = App::start().await;
    let admin = app.admin().await;
    let faults = admin.get("/api/admin/upstreams?limit=0").await.faults(422);
    assert_eq!(faults["limit"], "must be 1 to 100");
    let faults = admin.get("/api/admin/upstreams?limit=ten&sort=colour&colour=1").await.faults(422);
    assert_eq!(faults["limit"], "must be a whole number that is not negative");
    assert!(faults["sort"].contains("`name`"), "{faults:?}");
    assert!(faults["colour"].contains("not known here"), "{faults:?}");
    let faults = admin.get("/api/admin/upstreams?limit=1&limit=2").await.faults(422);
    assert_eq!(faults["limit"], "is given twice");
    let faults = admin.get("/api/admin/upstreams?search=a%00b").await.faults(422);
    assert!(faults["search"].contains("U+0000"), "{faults:?}");
    let faults = admin.get("/api/admin/upstreams?cursor=rubbish").await.faults(422);
    assert!(faults.contains_key("cursor"), "{faults:?}");
}

#[tokio::test]
async fn a_database_that_is_gone_is_never_taken_for_a_wrong_credential() {
    let app = App::start().await;
    let admin = app.admin().await;
    app.store.close().await;
    let answer = admin.get("/api/admin/upstreams").await;
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.refused(503), "unavailable");
    let login = json!({"username": "super_admin", "password": crate::app::PASSWORD});
    assert_eq!(app.anonymous().post("/api/auth/login", login).await.refused(503), "unavailable");
    let cookie = format!("__Host-tollgate-refresh={}.tgr-{}", uuid::Uuid::nil(), "x".repeat(43));
    let csrf = app.master_key.csrf().token(uuid::Uuid::nil());
    let page = app.anonymous().with("cookie", &cookie).with("x-csrf-token", &csrf);
    assert_eq!(page.post("/api/auth/refresh", json!({})).await.refused(503), "unavailable");
    assert_eq!(app.anonymous().get("/readyz").await.status, 200);
}
