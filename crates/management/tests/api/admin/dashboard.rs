//! `/api/admin/dashboard/stats`

use auth::Role;
use domain::{UserId, log::Outcome};
use serde_json::json;

use crate::app::{App, entry};

const PATH: &str = "/api/admin/dashboard/stats";

#[tokio::test]
async fn the_numbers_add_up() {
    let app = App::start().await;
    let admin = app.admin().await;
    app.upstream(&admin, "openai").await;
    let mut failed = entry(2, UserId(1));
    failed.status = 502;
    failed.outcome = Outcome::Failed;
    app.log(&[entry(1, UserId(1)), entry(1, UserId(1)), entry(1, UserId(1)), failed]).await;
    let stats = admin.get(PATH).await.expect(200);
    let totals = &stats["totals"];
    assert_eq!((&totals["requests"], &totals["errors"]), (&json!(4), &json!(1)));
    assert_eq!((&totals["success_percent"], &totals["latency_ms"]), (&json!(75.0), &json!(12.5)));
    assert_eq!((&totals["input_tokens"], &totals["output_tokens"]), (&json!(120), &json!(28)));
    assert_eq!(stats["upstreams"][0]["name"], "openai");
    assert_eq!(stats["upstreams"][0]["requests"], 4);
    assert_eq!(stats["service_keys"].as_array().unwrap().len(), 2);
    assert_eq!(stats["hours"][0]["requests"], 4);
    assert_eq!(stats["counts"]["upstreams"], 1);
    assert_eq!(stats["counts"]["provider_keys"]["active"], 0);
    assert_eq!(stats["live"], json!({"revision": 7, "calls_in_flight": 3, "journal_len": 2}));
}

#[tokio::test]
async fn a_developer_counts_their_own_calls_only() {
    let app = App::start().await;
    let developer = app.signed_in(Role::Developer).await;
    app.log(&[entry(1, UserId(1))]).await;
    let stats = developer.get(PATH).await.expect(200);
    assert_eq!((&stats["totals"]["requests"], &stats["live"]), (&json!(0), &json!(null)));
}

#[tokio::test]
async fn an_impossible_range_is_refused() {
    let app = App::start().await;
    let viewer = app.viewer().await;
    for query in [
        "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        let faults = viewer.get(&format!("{PATH}?{query}")).await.faults(422);
        assert!(faults["from"].contains("92 days"), "{faults:?}");
    }
    let early = "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z";
    let stats = viewer.get(&format!("{PATH}?{early}")).await.expect(200);
    assert_eq!(stats["totals"]["success_percent"], json!(null));
}
