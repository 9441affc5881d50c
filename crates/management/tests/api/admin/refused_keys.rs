//! `/api/admin/refused-keys`

use auth::Role;
use chrono::{DateTime, Utc};
use domain::{KeyFault, RefusedKey};
use serde_json::json;

use crate::app::App;

const PATH: &str = "/api/admin/refused-keys";

#[tokio::test]
async fn who_tried_wrong_keys_is_told_to_who_may_read_the_audit() {
    let app = App::start().await;
    let at = DateTime::<Utc>::from_timestamp(1_790_000_000, 0).unwrap();
    let row = |key: Option<&str>, fault, count| RefusedKey {
        address: Some("203.0.113.0/24".to_owned()),
        key_id: key.map(str::to_owned),
        fault,
        count,
        first_at: at,
        last_at: at,
    };
    let rows = [row(Some("k3xQ9ZpL"), KeyFault::Expired, 7), row(None, KeyFault::Unknown, 1)];
    app.store.add_refused_keys(&rows).await.unwrap();

    let auditor = app.signed_in(Role::SecurityAuditor).await;
    let page = auditor.get(&format!("{PATH}?fault=expired&key_id=k3xQ9ZpL")).await.expect(200);
    let expected = json!({"items": [{
        "address": "203.0.113.0/24", "key_id": "k3xQ9ZpL", "fault": "expired", "count": 7,
        "first_at": "2026-09-21T14:13:20Z", "last_at": "2026-09-21T14:13:20Z",
    }], "next_cursor": null});
    assert_eq!(page, expected);
    let first = auditor.get(&format!("{PATH}?limit=1")).await.expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = auditor.get(&format!("{PATH}?limit=1&cursor={cursor}")).await.expect(200);
    assert_eq!(
        (&first["items"][0]["key_id"], &second["items"][0]["count"]),
        (&json!("k3xQ9ZpL"), &json!(1))
    );

    assert_eq!(app.signed_in(Role::Operator).await.get(PATH).await.refused(403), "forbidden");
    let faults = auditor.get(&format!("{PATH}?fault=odd")).await.faults(422);
    assert!(faults.contains_key("fault"), "{faults:?}");
}
