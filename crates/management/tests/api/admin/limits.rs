//! `/api/admin/limits`

use auth::Role;
use domain::live::LimitUse;
use serde_json::{Value, json};

use crate::app::{App, Client};

const PATH: &str = "/api/admin/limits";

fn fifty_an_hour() -> Value {
    json!({
        "scope": "service_key", "scope_id": 1, "unit": "requests",
        "algorithm": "sliding_window", "limit": 50, "window": "1h",
    })
}

async fn service_key(by: &Client) -> i64 {
    let made = by.post("/api/admin/service-keys", json!({"name": "my app"})).await.expect(201);
    made["id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_limit_is_made_changed_and_deleted() {
    let app = App::start().await;
    let admin = app.admin().await;
    service_key(&admin).await;
    let made = admin.post(PATH, fifty_an_hour()).await.expect(201);
    for (field, value) in fifty_an_hour().as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    assert_eq!((&made["enabled"], &made["burst"]), (&json!(true), &json!(null)));
    let path = format!("{PATH}/{}", made["id"]);
    let edited = admin.patch(&path, json!({"limit": 60, "window": 90})).await.expect(200);
    assert_eq!((&edited["limit"], &edited["window"]), (&json!(60), &json!("90s")));
    let bucket = json!({"algorithm": "token_bucket", "burst": 5, "name": "gently"});
    let edited = admin.patch(&path, bucket).await.expect(200);
    assert_eq!((&edited["burst"], &edited["window"]), (&json!(5), &json!("90s")));
    let edited = admin.patch(&path, json!({"burst": null, "enabled": false})).await.expect(200);
    assert_eq!((&edited["burst"], &edited["enabled"]), (&json!(null), &json!(false)));
    let budget = json!({"period": "month", "timezone": "Asia/Shanghai", "unit": "cost"});
    let faults = admin.patch(&path, budget.clone()).await.faults(422);
    assert!(faults["limit"].contains("required"), "{faults:?}");
    let mut budget = budget;
    budget["limit"] = json!("12.50");
    let edited = admin.patch(&path, budget).await.expect(200);
    assert_eq!((&edited["algorithm"], &edited["limit"]), (&json!("calendar"), &json!("12.5")));
    assert_eq!((&edited["window"], &edited["timezone"]), (&json!(null), &json!("Asia/Shanghai")));
    let edited = admin.patch(&path, json!({"timezone": null})).await.expect(200);
    assert_eq!((&edited["timezone"], &edited["alert_percent"]), (&json!(null), &json!(80)));
    let edited = admin.patch(&path, json!({"alert_percent": 95})).await.expect(200);
    assert_eq!(edited["alert_percent"], json!(95));
    let edited = admin.patch(&path, json!({"alert_percent": null})).await.expect(200);
    assert_eq!(edited["alert_percent"], json!(null));
    let edited = admin.patch(&path, json!({"limit": 13})).await.expect(200);
    assert_eq!(edited["alert_percent"], json!(null), "nobody is told from now on");
    assert_eq!(admin.get(PATH).await.expect(200)["items"][0], edited);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.refused(404), "not_found");
}

#[tokio::test]
async fn everybody_and_each_can_be_limited() {
    let app = App::start().await;
    let admin = app.admin().await;
    let rows = [
        (json!({"scope": "global", "scope_id": null}), json!(null)),
        (json!({"scope": "ip", "scope_id": "203.0.113.7"}), json!("203.0.113.7/32")),
        (json!({"scope": "ip", "scope_id": "2001:db8::/32"}), json!("2001:db8::/32")),
        (json!({"scope": "ip", "scope_id": "::ffff:203.0.113.8"}), json!("203.0.113.8/32")),
        (json!({"scope": "ip", "scope_id": null}), json!(null)),
        (json!({"scope": "user", "scope_id": "1"}), json!(1)),
        (json!({"scope": "model", "scope_id": "gpt-5"}), json!("gpt-5")),
        (json!({"scope": "upstream", "scope_id": null}), json!(null)),
    ];
    for (fields, told) in rows {
        let mut limit = fifty_an_hour();
        limit.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let made = admin.post(PATH, limit).await.expect(201);
        assert_eq!((&made["scope"], &made["scope_id"]), (&fields["scope"], &told));
    }
    let found = async |query: &str| {
        let page = admin.get(&format!("{PATH}?{query}")).await.expect(200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(found("scope=ip").await, 4);
    assert_eq!(found("scope=ip&scope_id=203.0.113.7").await, 1);
    assert_eq!(found("scope=user&scope_id=1").await, 1);
    assert_eq!(found("scope=user&scope_id=2").await, 0);

    let at_once = json!({"scope": "global", "unit": "concurrency", "limit": 3});
    let made = admin.post(PATH, at_once).await.expect(201);
    assert_eq!((&made["algorithm"], &made["limit"]), (&json!("concurrency"), &json!(3)));
    let budget = json!({"scope": "global", "unit": "cost", "limit": 0.1, "period": "total"});
    let made = admin.post(PATH, budget).await.expect(201);
    assert_eq!((&made["algorithm"], &made["limit"]), (&json!("calendar"), &json!("0.1")));
    assert_eq!(made["alert_percent"], json!(80));
}

#[tokio::test]
async fn a_limit_of_one_never_comes_to_hold_for_each_unsaid() {
    let app = App::start().await;
    let admin = app.admin().await;
    service_key(&admin).await;
    let made = admin.post(PATH, fifty_an_hour()).await.expect(201);
    let path = format!("{PATH}/{}", made["id"]);
    for scope in ["user", "ip", "model", "global"] {
        let faults = admin.patch(&path, json!({"scope": scope})).await.faults(422);
        assert!(faults["scope_id"].contains("required"), "{scope}: {faults:?}");
    }
    let edited = admin.patch(&path, json!({"scope": "service_key"})).await.expect(200);
    assert_eq!(edited["scope_id"], json!(1));
    let edited = admin.patch(&path, json!({"scope": "user", "scope_id": 2})).await.expect(200);
    assert_eq!((&edited["scope"], &edited["scope_id"]), (&json!("user"), &json!(2)));
    let edited = admin.patch(&path, json!({"scope": "ip", "scope_id": null})).await.expect(200);
    assert_eq!((&edited["scope"], &edited["scope_id"]), (&json!("ip"), &json!(null)));
}

#[tokio::test]
async fn a_limit_that_cannot_hold_names_what_is_wrong() {
    let app = App::start().await;
    let admin = app.admin().await;
    service_key(&admin).await;
    let rows = [
        (json!({"scope_id": 99}), "scope_id"),
        (json!({"scope_id": "x"}), "scope_id"),
        (json!({"scope": "global"}), "scope_id"),
        (json!({"scope": "ip", "scope_id": "here"}), "scope_id"),
        (json!({"scope": "model", "scope_id": ""}), "scope_id"),
        (json!({"scope": "planet"}), "scope"),
        (json!({"unit": "cost", "limit": "1.0000000001"}), "limit"),
        (json!({"limit": 1.5}), "limit"),
        (json!({"limit": -1}), "limit"),
        (json!({"limit": true}), "limit"),
        (json!({"window": "soon"}), "window"),
        (json!({"window": "100ms"}), "window"),
        (json!({"window": null}), "window"),
        (json!({"algorithm": null, "window": null}), "algorithm"),
        (json!({"burst": 3}), "burst"),
        (json!({"algorithm": "token_bucket", "burst": 0}), "burst"),
        (json!({"timezone": "UTC"}), "timezone"),
        (json!({"algorithm": "calendar", "period": "day"}), "window"),
        (json!({"algorithm": "calendar", "window": null}), "period"),
        (
            json!({"algorithm": "calendar", "window": null, "period": "day", "timezone": "Mars"}),
            "timezone",
        ),
        (json!({"unit": "concurrency"}), "algorithm"),
        (json!({"alert_percent": 50}), "alert_percent"),
        (
            json!({"algorithm": "calendar", "window": null, "period": "day", "alert_percent": 0}),
            "alert_percent",
        ),
        (
            json!({"algorithm": "calendar", "window": null, "period": "day", "alert_percent": 999}),
            "alert_percent",
        ),
    ];
    for (fields, place) in rows {
        let mut limit = fifty_an_hour();
        limit.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let faults = admin.post(PATH, limit).await.faults(422);
        assert!(faults.contains_key(place), "{fields}: {faults:?}");
    }
}

#[tokio::test]
async fn one_limit_shows_how_much_of_it_is_used() {
    let app = App::start().await;
    let admin = app.admin().await;
    let budget = json!({"scope": "user", "unit": "cost", "limit": 12.5, "period": "day"});
    let made = admin.post(PATH, budget).await.expect(201);
    let id = made["id"].as_i64().unwrap();
    let used = |subject: &str, used| LimitUse { subject: subject.into(), used, resets_at: None };
    app.live.limits.lock().unwrap().insert(id, vec![used("3", 2_250_000_000), used("4", 0)]);

    let limit = admin.get(&format!("{PATH}/{id}")).await.expect(200);
    let expected = json!([
        {"subject": "3", "used": "2.25", "resets_at": null},
        {"subject": "4", "used": "0", "resets_at": null},
    ]);
    assert_eq!((&limit["use"], &limit["limit"]), (&expected, &json!("12.5")));
}

#[tokio::test]
async fn developers_see_what_holds_for_their_own_keys_and_change_nothing() {
    let app = App::start().await;
    let admin = app.admin().await;
    let developer = app.signed_in(Role::Developer).await;
    let others = service_key(&admin).await;
    let own = service_key(&developer).await;
    let mut limits = Vec::new();
    for id in [others, own] {
        let mut limit = fifty_an_hour();
        limit["scope_id"] = json!(id);
        limits.push(admin.post(PATH, limit).await.expect(201)["id"].clone());
    }
    let me = developer.get("/api/auth/me").await.expect(200)["id"].clone();
    let of_user =
        json!({"scope": "user", "scope_id": me, "unit": "tokens", "limit": 9, "period": "day"});
    limits.push(admin.post(PATH, of_user).await.expect(201)["id"].clone());
    let of_all = json!({"scope": "global", "unit": "requests", "limit": 9, "period": "day"});
    admin.post(PATH, of_all).await.expect(201);

    let seen = developer.get(PATH).await.expect(200);
    let seen: Vec<_> = seen["items"].as_array().unwrap().iter().map(|l| &l["id"]).collect();
    assert_eq!(seen, [&limits[1], &limits[2]]);
    let theirs = |i: usize| format!("{PATH}/{}", limits[i]);
    assert_eq!(developer.get(&theirs(0)).await.refused(404), "not_found");
    developer.get(&theirs(1)).await.expect(200);
    assert_eq!(developer.patch(&theirs(1), json!({"limit": 99})).await.refused(403), "forbidden");
    assert_eq!(developer.delete(&theirs(1)).await.refused(403), "forbidden");
    assert_eq!(developer.post(PATH, fifty_an_hour()).await.refused(403), "forbidden");
}
