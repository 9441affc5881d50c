//! Entity tags and compression of answers.

use serde_json::json;

use crate::app::App;

#[tokio::test]
async fn who_has_an_answer_already_gets_a_304() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    for path in ["/api/admin/upstreams".to_owned(), format!("/api/admin/upstreams/{id}")] {
        let first = admin.get(&path).await;
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{path}: {tag}");
        let knowing = admin.clone().with("if-none-match", &tag);
        let same = knowing.get(&path).await;
        assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""), "{path}");
        assert_eq!(same.header("etag"), tag, "{path}");

        let change = json!({"retry_count": if path.ends_with('s') { 1 } else { 2 }});
        admin.patch(&format!("/api/admin/upstreams/{id}"), change).await.expect(200);
        let other = knowing.get(&path).await;
        assert_eq!(other.status, 200, "{path}");
        assert_ne!(other.header("etag"), tag, "{path}");
    }
}

#[tokio::test]
async fn a_change_of_what_was_changed_meanwhile_is_refused() {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let path = format!("/api/admin/upstreams/{id}");
    let read = admin.get(&path).await.header("etag").to_owned();
    let knowing = admin.clone().with("if-match", &read);
    let edited = knowing.patch(&path, json!({"retry_count": 1})).await;
    let newer = edited.header("etag").to_owned();
    edited.expect(200);

    let late = knowing.patch(&path, json!({"retry_count": 4})).await;
    let current = late.header("etag").to_owned();
    assert_eq!(late.refused(412), "changed");
    assert_eq!(knowing.delete(&path).await.refused(412), "changed");
    assert_eq!(admin.get(&path).await.expect(200)["retry_count"], 1);

    let next = admin.clone().with("if-match", &newer);
    assert_eq!(next.patch(&path, json!({"retry_count": 2})).await.status, 200);
    let passed = admin.clone().with("if-match", &current);
    assert_eq!(passed.patch(&path, json!({"retry_count": 3})).await.status, 412);
    assert_eq!(admin.clone().with("if-match", "*").patch(&path, json!({})).await.status, 200);
    assert_eq!(admin.clone().with("if-match", "\"odd\"").delete(&path).await.status, 412);
    let last = admin.get(&path).await.header("etag").to_owned();
    assert_eq!(admin.with("if-match", &last).delete(&path).await.status, 204);
}

#[tokio::test]
async fn only_what_was_read_well_has_a_tag() {
    let app = App::start().await;
    let admin = app.admin().await.with("if-none-match", "*");
    let refused = admin.get("/api/admin/upstreams/99").await;
    assert_eq!((refused.status.as_u16(), refused.header("etag")), (404, ""));
    let login = json!({"username": "admin", "password": crate::app::PASSWORD});
    assert_eq!(app.anonymous().post("/api/auth/login", login).await.header("etag"), "");
    assert_eq!(admin.get("/livez").await.header("etag"), "");
}

#[tokio::test]
async fn larger_answers_are_compressed_for_who_can_read_that() {
    let app = App::start().await;
    let admin = app.admin().await;
    let (path, plain) = ("/api/admin/presets", admin.get("/api/admin/presets").await);
    assert_eq!(plain.header("content-encoding"), "");
    let reader = admin.with("accept-encoding", "gzip");
    let packed = reader.get(path).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.header("vary").contains("accept-encoding"), "{packed:?}");
    let tag = packed.header("etag");
    assert_ne!(tag, plain.header("etag"), "other bytes have another tag");
    assert_eq!(reader.clone().with("if-none-match", tag).get(path).await.status, 304);
    assert_eq!(reader.get("/livez").await.header("content-encoding"), "", "it is short");

    let login = json!({"username": "admin", "password": crate::app::PASSWORD});
    let client = app.anonymous().with("accept-encoding", "gzip");
    let secret = client.post("/api/auth/login", login).await.header("content-encoding").to_owned();
    assert_eq!(secret, "", "its length must not tell of secrets");
}
