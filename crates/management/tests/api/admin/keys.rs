//! `/api/admin/keys`

use chrono::{TimeZone, Utc};
use domain::{BreakerState, Evidence, KeyStatus, Standing, live::KeyReport};
use serde_json::json;

use crate::app::App;

const PATH: &str = "/api/admin/keys";
const SECRET: &str = "sk-live-1234567890abcd";

#[tokio::test]
async fn a_secret_goes_in_and_never_comes_out() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let new =
        json!({"upstream_id": upstream, "name": "Key 1", "key_value": SECRET, "note": "paid"});
    let made = admin.post(PATH, new).await.expect(201);
    assert_eq!(made["mask"], "sk-…abcd");
    assert_eq!((&made["state"], &made["weight"]), (&json!("active"), &json!(1)));
    assert_eq!(
        (&made["until"], &made["reason"], &made["note"]),
        (&json!(null), &json!(null), &json!("paid"))
    );
    let edited =
        admin.patch(&format!("{PATH}/1"), json!({"key_value": "sk-live-another-wxyz"})).await;
    assert_eq!(edited.expect(200)["mask"], "sk-…wxyz");
    for path in [PATH.to_owned(), format!("{PATH}/1"), "/api/admin/upstreams/1".to_owned()] {
        let text = admin.get(&path).await.text;
        assert!(!text.contains("1234567890") && !text.contains("another"), "{text}");
    }
}

#[tokio::test]
async fn a_resting_key_is_cooling_and_says_until_when_and_why() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    for name in ["a", "b"] {
        let new =
            json!({"upstream_id": upstream, "name": name, "key_value": format!("{SECRET}{name}")});
        admin.post(PATH, new).await.expect(201);
    }
    let until = Utc.with_ymd_and_hms(2030, 1, 2, 3, 4, 5).unwrap();
    let standing = Standing {
        status: KeyStatus::Cooling(until),
        reason: "rate_limited".to_owned(),
        evidence: Evidence::default(),
        since: Utc::now(),
        strikes: 1,
    };
    let report = KeyReport {
        standing: Some(standing),
        models: Vec::new(),
        breaker: BreakerState::Closed,
        in_flight: 0,
        success_permille: None,
        latency: None,
        quotas: Vec::new(),
    };
    app.live.keys.lock().unwrap().insert(1, report);
    let items = admin.get(PATH).await.expect(200)["items"].clone();
    assert_eq!(items[0]["state"], "cooling");
    assert_eq!(items[0]["until"], "2030-01-02T03:04:05Z");
    assert_eq!(items[0]["reason"], "rate_limited");
    assert_eq!(items[1]["state"], "active");
    let banned = admin.patch(&format!("{PATH}/1"), json!({"state": "banned"})).await.expect(200);
    assert_eq!((&banned["state"], &banned["until"]), (&json!("banned"), &json!(null)));
}

#[tokio::test]
async fn an_edit_changes_what_it_names_and_null_forgets() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let new = json!({"upstream_id": upstream, "name": "k", "key_value": SECRET,
        "enable_quota": true, "quota_total": 1000, "weight": 5});
    admin.post(PATH, new).await.expect(201);
    let path = format!("{PATH}/1");
    let edited =
        admin.patch(&path, json!({"state": "disabled_manual", "note": "x"})).await.expect(200);
    assert_eq!((&edited["state"], &edited["weight"]), (&json!("disabled_manual"), &json!(5)));
    assert_eq!(edited["quota_total"], 1000);
    let edited = admin.patch(&path, json!({"enable_quota": false, "quota_total": null})).await;
    assert_eq!(edited.expect(200)["quota_total"], json!(null));
}

#[tokio::test]
async fn what_cannot_be_is_named_without_the_secret() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let bad = json!({"upstream_id": upstream, "name": " ", "key_value": "sk secret with spaces", "weight": 0});
    let answer = admin.post(PATH, bad).await;
    assert!(!answer.text.contains("sk secret"), "{}", answer.text);
    let faults = answer.faults(422);
    for field in ["name", "key_value", "weight"] {
        assert!(faults.contains_key(field), "{field}: {faults:?}");
    }
    let orphan = json!({"upstream_id": 99, "name": "k", "key_value": SECRET});
    let refused = admin.post(PATH, orphan).await;
    assert!(
        refused.status.is_client_error() && refused.text.contains("upstream"),
        "{}",
        refused.text
    );
    let odd = json!({"upstream_id": upstream, "name": "k", "key_value": {"sk": "secret"}});
    let answer = admin.post(PATH, odd).await;
    assert!(!answer.text.contains("secret"), "{}", answer.text);
    assert_eq!(answer.faults(422)["key_value"], "must be a string");
}

#[tokio::test]
async fn a_list_can_be_one_pool() {
    let app = App::start().await;
    let admin = app.admin().await;
    let (one, two) = (app.upstream(&admin, "one").await, app.upstream(&admin, "two").await);
    for (upstream, name) in [(one, "a"), (one, "b"), (two, "a")] {
        let new =
            json!({"upstream_id": upstream, "name": name, "key_value": format!("{SECRET}{name}")});
        admin.post(PATH, new).await.expect(201);
    }
    let count =
        async |path: String| admin.get(&path).await.expect(200)["items"].as_array().unwrap().len();
    assert_eq!(count(PATH.to_owned()).await, 3);
    assert_eq!(count(format!("{PATH}?upstream_id={one}")).await, 2);
    assert_eq!(count(format!("{PATH}?upstream_id={two}&search=b")).await, 0);
    let again = json!({"upstream_id": one, "name": "a", "key_value": SECRET});
    assert_eq!(admin.post(PATH, again).await.refused(409), "conflict");
    assert_eq!(admin.delete(&format!("{PATH}/1")).await.status, 204);
    assert_eq!(count(format!("{PATH}?upstream_id={one}")).await, 1);
}

#[tokio::test]
async fn what_is_out_of_range_is_told_beside_what_has_another_form() {
    let app = App::start().await;
    let admin = app.admin().await;
    let bad = json!({"upstream_id": "one", "name": "", "weight": 0, "key_value": "a b"});
    assert_eq!(admin.post(PATH, bad).await.faults(422).len(), 4);
    let bad = json!({"name": "", "weight": 0, "note": 1});
    assert_eq!(admin.patch(&format!("{PATH}/1"), bad).await.faults(422).len(), 3);
}

#[tokio::test]
async fn money_of_quotas_is_in_dollars() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let quota = |unit: &str, limit: serde_json::Value| json!({"unit": unit, "period": "month", "limit": limit});
    let told = |quota: &serde_json::Value| (quota["unit"].clone(), quota["limit"].clone());
    let new = |quotas| json!({"upstream_id": upstream, "name": "k", "key_value": SECRET, "quotas": quotas});
    let quotas = json!([quota("cost", json!(12.5)), quota("tokens", json!(5_000_000))]);
    let made = admin.post(PATH, new(quotas)).await.expect(201);
    assert_eq!(told(&made["quotas"][0]), (json!("cost"), json!("12.5")));
    assert_eq!(told(&made["quotas"][1]), (json!("tokens"), json!(5_000_000)));
    let kept = app
        .store
        .seen_by(&auth::Actor::System)
        .get::<store::MaskedKey>(domain::ProviderKeyId(1))
        .await
        .unwrap()
        .value
        .quotas;
    assert_eq!((kept[0].limit, kept[1].limit), (12_500_000_000, 5_000_000));
    let path = format!("{PATH}/1");
    let exact = json!({"quotas": [quota("cost", json!("1234567.123456789"))]});
    let edited = admin.patch(&path, exact).await.expect(200);
    assert_eq!(edited["quotas"][0]["limit"], "1234567.123456789");

    let rows = [
        quota("cost", json!("1.0000000001")),
        quota("cost", json!(-1)),
        quota("tokens", json!(1.5)),
        quota("tokens", json!(true)),
    ];
    for bad in rows {
        let faults = admin.patch(&path, json!({"quotas": [bad]})).await.faults(422);
        assert!(faults["quotas[0].limit"].starts_with("must be"), "{bad}: {faults:?}");
        let policy = json!({"policy": {"key_quotas": [bad]}});
        let faults = admin.patch("/api/admin/upstreams/1", policy).await.faults(422);
        assert!(faults["policy.key_quotas[0].limit"].starts_with("must be"), "{bad}: {faults:?}");
    }
    let policy = json!({"policy": {"key_quotas": [quota("cost", json!(0.1))]}});
    let edited = admin.patch("/api/admin/upstreams/1", policy).await.expect(200);
    assert_eq!(edited["policy"]["key_quotas"][0]["limit"], "0.1");
}

#[tokio::test]
async fn keys_are_tested_as_far_as_there_is_a_data_plane_to_ask() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    for name in ["a", "b"] {
        let new =
            json!({"upstream_id": upstream, "name": name, "key_value": format!("{SECRET}{name}")});
        admin.post(PATH, new).await.expect(201);
    }
    let one = admin.post(&format!("{PATH}/1/test"), json!({})).await.expect(200);
    let answer = json!({"accepted": true, "status": 200, "latency_ms": 12.0, "message": null, "resting_until": null});
    assert_eq!(one, answer);
    let bulk = format!("{PATH}/bulk");
    let many = admin.post(&bulk, json!({"ids": [2, 9, 1], "action": "test"})).await.expect(200);
    assert_eq!((&many["matched"], &many["done"]), (&json!(3), &json!(2)));
    assert_eq!((&many["tests"][0]["id"], &many["tests"][1]["id"]), (&json!(1), &json!(2)));
    let ids: Vec<_> = (1..=1001).collect();
    let faults = admin.post(&bulk, json!({"ids": ids, "action": "test"})).await.faults(422);
    assert!(faults["ids"].contains("1000"), "{faults:?}");
    assert_eq!(admin.post(&format!("{PATH}/9/test"), json!({})).await.refused(404), "not_found");

    let alone = app.without_data_plane(admin);
    let refused = alone.post(&format!("{PATH}/1/test"), json!({})).await;
    assert_eq!(refused.refused(503), "no_data_plane");
    let refused = alone.post(&bulk, json!({"all": true, "action": "test"})).await;
    assert_eq!(refused.refused(503), "no_data_plane");
    let disable = json!({"filter": {}, "all": true, "action": "disable"});
    let done = alone.post(&bulk, disable).await.expect(200);
    assert_eq!((&done["done"], &done["tests"]), (&json!(2), &json!([])));
}

#[tokio::test]
async fn a_key_that_the_pool_has_is_refused_by_name_and_without_its_value() {
    let app = App::start().await;
    let admin = app.admin().await;
    let (one, two) = (app.upstream(&admin, "one").await, app.upstream(&admin, "two").await);
    let new = |upstream: i64, name: &str, value: &str| json!({"upstream_id": upstream, "name": name, "key_value": value});
    admin.post(PATH, new(one, "first", SECRET)).await.expect(201);
    let answer = admin.post(PATH, new(one, "second", SECRET)).await;
    assert!(!answer.text.contains(SECRET), "{}", answer.text);
    let faults = answer.faults(409);
    assert!(faults["key_value"].contains("`first` (id 1)"), "{faults:?}");
    admin.post(PATH, new(two, "second", SECRET)).await.expect(201);
    let other = admin.post(PATH, new(one, "other", "sk-live-other")).await.expect(201);
    let path = format!("{PATH}/{}", other["id"]);
    let faults = admin.patch(&path, json!({"key_value": SECRET})).await.faults(409);
    assert!(faults["key_value"].contains("`first`"), "{faults:?}");
    admin.patch(&format!("{PATH}/1"), json!({"key_value": SECRET})).await.expect(200);
}

#[tokio::test]
async fn a_key_is_found_by_its_end_or_its_whole_value() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let values = ["sk-live-0123456789-one1", "sk-live-0123456789-two2", "AIza-0123456789-one1"];
    for (i, value) in values.iter().enumerate() {
        let name = format!("key {i}");
        let new = json!({"upstream_id": upstream, "name": name, "key_value": value});
        admin.post(PATH, new).await.expect(201);
    }
    for (search, expected) in [
        ("one1", vec![1, 3]),
        ("two2", vec![2]),
        ("sk-live-0123456789-two2", vec![2]),
        ("sk-live-0123456789-two", vec![]),
        ("0123456789", vec![]),
        ("key", vec![1, 2, 3]),
        ("%", vec![]),
    ] {
        let search: String = url::form_urlencoded::byte_serialize(search.as_bytes()).collect();
        let found = admin.get(&format!("{PATH}?search={search}")).await.expect(200);
        let ids: Vec<_> = found["items"].as_array().unwrap().iter().map(|key| &key["id"]).collect();
        assert_eq!(
            ids,
            expected.iter().map(|id| json!(id)).collect::<Vec<_>>().iter().collect::<Vec<_>>(),
            "{search}"
        );
    }
}
