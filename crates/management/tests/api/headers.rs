//! What browsers are told on every answer.

use crate::app::App;

#[tokio::test]
async fn every_answer_tells_browsers_to_trust_nothing() {
    let app = App::start().await;
    let admin = app.admin().await;
    for path in
        ["/", "/livez", "/nothing", "/api/admin/upstreams", "/api/docs/", "/api/openapi.json"]
    {
        let answer = admin.get(path).await;
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("script-src 'self' 'unsafe-inline'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{path}");
        assert!(!answer.headers.contains_key("server"), "{path}");
    }
}
