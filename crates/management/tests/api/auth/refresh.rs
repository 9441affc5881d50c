//! `POST /api/auth/refresh`

use management::Settings;
use serde_json::json;

use super::Browser;
use crate::app::{App, Client};

const PATH: &str = "/api/auth/refresh";

async fn refresh(client: &Client) -> crate::app::Answer {
    client.post(PATH, json!({})).await
}

#[tokio::test]
async fn the_cookie_brings_the_next_token_and_the_next_cookie() {
    let app = App::start().await;
    let first = Browser::sign_in(&app, "admin").await;
    let answer = refresh(&first.page(&app)).await;
    assert_eq!(answer.status, 200);
    let second = Browser::of(answer);
    assert_ne!(second.cookie, first.cookie);
    assert_eq!(second.csrf, first.csrf);
    assert_eq!(second.bearer(&app).get("/api/auth/me").await.status, 200);
    assert_eq!(refresh(&second.page(&app)).await.status, 200);
}

#[tokio::test]
async fn pages_that_renew_at_once_get_the_same_next_cookie() {
    let app = App::start().await;
    let first = Browser::sign_in(&app, "admin").await;
    let page = first.page(&app);
    let (one, two) = tokio::join!(refresh(&page), refresh(&page));
    let (one, two) = (Browser::of(one), Browser::of(two));
    assert_eq!(one.cookie, two.cookie);
    for tab in [&one, &two] {
        assert_eq!(tab.bearer(&app).get("/api/auth/me").await.status, 200);
    }

    let third = Browser::of(refresh(&one.page(&app)).await);
    let late = Browser::of(refresh(&first.page(&app)).await);
    assert_eq!(late.cookie, third.cookie, "a page that comes late gets the newest cookie");
    assert_eq!(refresh(&late.page(&app)).await.status, 200);
}

#[tokio::test]
async fn a_page_may_renew_at_another_instance_or_after_a_restart() {
    let app = App::start().await;
    let first = Browser::sign_in(&app, "admin").await;
    let next = Browser::of(refresh(&first.page(&app)).await);
    let elsewhere = app.without_data_plane(first.page(&app));
    assert_eq!(Browser::of(refresh(&elsewhere).await).cookie, next.cookie);
}

#[tokio::test]
async fn a_cookie_that_was_spent_before_the_grace_ends_the_whole_session() {
    let renewal_grace = std::time::Duration::ZERO;
    let app = App::with(Settings { renewal_grace, ..Default::default() }).await;
    app.user("admin", auth::Role::Admin).await;
    let first = Browser::sign_in(&app, "admin").await;
    let second = Browser::of(refresh(&first.page(&app)).await);
    assert_eq!(refresh(&first.page(&app)).await.refused(401), "session_expired");
    assert_eq!(refresh(&second.page(&app)).await.refused(401), "session_expired");
    assert_eq!(second.bearer(&app).get("/api/auth/me").await.refused(401), "session_expired");
}

#[tokio::test]
async fn a_session_that_was_ended_is_not_renewed_within_the_grace() {
    let app = App::start().await;
    let first = Browser::sign_in(&app, "admin").await;
    let second = Browser::of(refresh(&first.page(&app)).await);
    assert_eq!(second.bearer(&app).post("/api/auth/logout", json!({})).await.status, 204);
    assert_eq!(refresh(&first.page(&app)).await.refused(401), "session_expired");
}

#[tokio::test]
async fn only_our_own_page_may_use_the_cookie() {
    let app = App::start().await;
    let browser = Browser::sign_in(&app, "admin").await;
    let other = Browser::sign_in(&app, "operator").await;
    let page = browser.page(&app);
    for foreign in [
        browser.without_proof(&app),
        browser.without_proof(&app).with("x-csrf-token", &other.csrf),
        page.clone().with("origin", "https://evil.example"),
        page.clone().with("origin", "https://gate.example.evil.example"),
        page.clone().with("origin", "null"),
        page.clone().with("sec-fetch-site", "cross-site"),
        page.clone().with("sec-fetch-site", "same-site"),
    ] {
        let answer = refresh(&foreign).await;
        assert_eq!(answer.refused(403), "foreign_origin", "{:?}", foreign.headers);
    }
    let own = page.with("origin", "https://gate.example").with("sec-fetch-site", "same-origin");
    assert_eq!(refresh(&own).await.status, 200);
}

#[tokio::test]
async fn an_origin_behind_a_proxy_is_our_own_when_configured() {
    let origins = vec!["https://console.example".to_owned()];
    let app = App::with(Settings { origins, ..Default::default() }).await;
    app.user("lin", auth::Role::Admin).await;
    let browser = Browser::sign_in(&app, "lin").await;
    let page = browser.page(&app).with("origin", "https://console.example");
    assert_eq!(refresh(&page).await.status, 200);
}

#[tokio::test]
async fn what_is_no_cookie_of_ours_renews_nothing() {
    let app = App::start().await;
    let browser = Browser::sign_in(&app, "admin").await;
    let other = Browser::sign_in(&app, "operator").await;
    assert_eq!(refresh(&app.anonymous()).await.refused(401), "unauthenticated");
    assert_eq!(refresh(&browser.bearer(&app)).await.refused(401), "unauthenticated");
    let (session, _) = browser.cookie.split_once('.').unwrap();
    let (_, token) = other.cookie.split_once('.').unwrap();
    for (cookie, code) in [
        ("rubbish".to_owned(), "unauthenticated"),
        (format!("{session}.rubbish"), "unauthenticated"),
        (format!("{session}.tgr-{}", "x".repeat(43)), "session_expired"),
        (format!("{session}.{token}"), "session_expired"),
    ] {
        let client = app
            .anonymous()
            .with("cookie", &format!("__Host-tollgate-refresh={cookie}"))
            .with("x-csrf-token", &browser.csrf);
        assert_eq!(refresh(&client).await.refused(401), code, "{cookie}");
    }
    assert_eq!(other.bearer(&app).get("/api/auth/me").await.status, 401);
    assert_eq!(refresh(&browser.page(&app)).await.status, 200);
}
