//! `POST /api/auth/logout`

use serde_json::json;

use super::Browser;
use crate::app::App;

const PATH: &str = "/api/auth/logout";

#[tokio::test]
async fn signing_out_ends_the_session_at_once() {
    let app = App::start().await;
    let browser = Browser::sign_in(&app, "admin").await;
    let bearer = browser.bearer(&app);
    assert_eq!(bearer.get("/api/auth/me").await.status, 200);
    let answer = bearer.post(PATH, json!({})).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.cookie("__Host-tollgate-refresh").as_deref(), Some(""));
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(bearer.get("/api/auth/me").await.refused(401), "session_expired");
    let refreshed = browser.page(&app).post("/api/auth/refresh", json!({})).await;
    assert_eq!(refreshed.status, 401);
}

#[tokio::test]
async fn the_cookie_alone_signs_out_when_our_page_asks() {
    let app = App::start().await;
    let browser = Browser::sign_in(&app, "admin").await;
    let forged = browser.without_proof(&app).post(PATH, json!({})).await;
    assert_eq!(forged.refused(403), "foreign_origin");
    assert_eq!(browser.bearer(&app).get("/api/auth/me").await.status, 200);
    assert_eq!(browser.page(&app).post(PATH, json!({})).await.status, 204);
    assert_eq!(browser.bearer(&app).get("/api/auth/me").await.status, 401);
}

#[tokio::test]
async fn one_session_ends_and_the_others_go_on() {
    let app = App::start().await;
    let (one, two) = (Browser::sign_in(&app, "admin").await, Browser::sign_in(&app, "admin").await);
    assert_eq!(one.bearer(&app).post(PATH, json!({})).await.status, 204);
    assert_eq!(two.bearer(&app).get("/api/auth/me").await.status, 200);
    assert_eq!(app.anonymous().post(PATH, json!({})).await.refused(401), "unauthenticated");
}
