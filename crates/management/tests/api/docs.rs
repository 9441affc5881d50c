//! `/`, `/api/docs`, `/api/openapi.json`

use crate::app::App;

#[tokio::test]
async fn the_first_page_leads_to_the_description() {
    let app = App::empty().await;
    let page = app.anonymous().get("/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.text.contains("href=\"/api/docs/\""));
}

#[tokio::test]
async fn the_description_is_shown_from_this_binary_alone() {
    let app = App::empty().await;
    let anonymous = app.anonymous();
    assert_eq!(anonymous.get("/api/docs").await.header("location"), "/api/docs/");
    let page = anonymous.get("/api/docs/").await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "{}", page.text);
    let script = anonymous.get("/api/docs/swagger-initializer.js").await;
    assert!(script.text.contains("/api/openapi.json"), "{}", script.text);
    assert_eq!(anonymous.get("/api/docs/swagger-ui-bundle.js").await.status, 200);
    let document = anonymous.get("/api/openapi.json").await.expect(200);
    assert_eq!(document, serde_json::to_value(management::document()).unwrap());
}
