//! `GET /api/auth/me`

use auth::Role;
use serde_json::json;

use crate::app::App;

#[tokio::test]
async fn everybody_learns_who_they_are_and_what_they_may() {
    let app = App::start().await;
    let me = app.viewer().await.get("/api/auth/me").await.expect(200);
    assert_eq!(me["username"], "analyst");
    assert_eq!(me["role"], "analyst");
    assert_eq!(me["permissions"], json!(["upstream.read", "log.read", "stats.read"]));
    let all = app.signed_in(Role::SuperAdmin).await.get("/api/auth/me").await.expect(200);
    assert_eq!(all["permissions"].as_array().unwrap().len(), 17);
    assert_eq!(app.anonymous().get("/api/auth/me").await.refused(401), "unauthenticated");
}
