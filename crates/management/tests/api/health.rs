//! `/livez`, `/readyz`, `/healthz`

use std::time::{Duration, Instant};

use crate::app::App;

#[tokio::test]
async fn health_is_told_at_once_to_anybody() {
    let app = App::empty().await;
    for path in ["/livez", "/readyz", "/healthz"] {
        // The machine may be busy with other things: one of many answers must show the time.
        let mut quickest = Duration::MAX;
        for _ in 0..100 {
            let asked = Instant::now();
            assert_eq!(app.anonymous().get(path).await.expect(200)["status"], "ok");
            quickest = quickest.min(asked.elapsed());
        }
        assert!(quickest < Duration::from_millis(50), "{path}: {quickest:?}");
    }
}

#[tokio::test]
async fn who_drains_lives_but_is_not_ready() {
    let app = App::empty().await;
    app.management.drain();
    assert_eq!(app.anonymous().get("/livez").await.status, 200);
    assert_eq!(app.anonymous().get("/readyz").await.expect(503)["status"], "draining");
    assert_eq!(app.anonymous().get("/healthz").await.status, 503);
}
