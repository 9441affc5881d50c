//! `/api/admin/keys/bulk`: what is done to many keys at once, and how that is kept from being done to
//! more keys than are meant.

use chrono::{TimeDelta, Utc};
use domain::{
    Event, Evidence, KeyState, KeyStatus, ProviderKeyId, Standing, Transition, UpstreamId,
};
use serde_json::{Value, json};

use crate::app::{App, Client};

const KEYS: &str = "/api/admin/keys";
const BULK: &str = "/api/admin/keys/bulk";

/// Two pools of three keys, 1 to 3 and 4 to 6.
async fn pools(app: &App) -> Client {
    let admin = app.admin().await;
    for pool in ["one", "two"] {
        let upstream = app.upstream(&admin, pool).await;
        for i in 0..3 {
            let value = format!("sk-{pool}-0123456789-{i}");
            let name = format!("{pool} {i}");
            let new = json!({"upstream_id": upstream, "name": name, "key_value": value});
            admin.post(KEYS, new).await.expect(201);
        }
    }
    admin
}

/// How many keys there are that are in use.
async fn active(admin: &Client) -> usize {
    let keys = admin.get(&format!("{KEYS}?state=active")).await.expect(200);
    keys["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_filter_that_names_nothing_is_refused_unless_all_are_meant() {
    let app = App::start().await;
    let admin = pools(&app).await;
    for action in ["delete", "disable", "enable", "ban", "test", "set"] {
        for filter in [json!({}), json!({"search": " "}), json!({"upstream_id": null})] {
            let mut body = json!({"filter": filter, "action": action, "confirm": 6});
            if action == "set" {
                body["set"] = json!({"weight": 2});
            }
            let faults = admin.post(BULK, body).await.faults(422);
            assert!(faults["filter"].contains("\"all\": true"), "{action}: {faults:?}");
        }
    }
    for body in [
        json!({"action": "disable"}),
        json!({"ids": [1], "all": true, "action": "disable"}),
        json!({"ids": [1], "values": ["sk-a"], "action": "disable"}),
        json!({"filter": {"upstream_id": 1}, "all": true, "action": "disable"}),
    ] {
        let faults = admin.post(BULK, body.clone()).await.faults(422);
        assert!(faults["ids"].starts_with("exactly one"), "{body}: {faults:?}");
    }
    assert_eq!(active(&admin).await, 6);
    let all = json!({"filter": {}, "all": true, "action": "disable"});
    let done = admin.post(BULK, all).await.expect(200);
    assert_eq!((&done["matched"], &done["done"]), (&json!(6), &json!(6)));
    let all = json!({"all": true, "action": "enable"});
    assert_eq!(admin.post(BULK, all).await.expect(200)["done"], 6);
    assert_eq!(active(&admin).await, 6);
}

#[tokio::test]
async fn a_dry_run_tells_the_count_and_a_delete_wants_it() {
    let app = App::start().await;
    let admin = pools(&app).await;
    let filter = json!({"upstream_id": 1});
    let dry = json!({"filter": filter, "action": "delete", "dry_run": true});
    let told = admin.post(BULK, dry).await.expect(200);
    assert_eq!(
        told,
        json!({"matched": 3, "done": 0, "dry_run": true, "ids": [1, 2, 3], "tests": []})
    );
    let delete = json!({"filter": filter, "action": "delete"});
    let faults = admin.post(BULK, delete).await.faults(422);
    assert!(faults["confirm"].contains("dry_run"), "{faults:?}");
    let wrong = json!({"filter": filter, "action": "delete", "confirm": 2});
    let faults = admin.post(BULK, wrong).await.faults(409);
    assert!(faults["confirm"].starts_with("3 keys are meant, not 2"), "{faults:?}");
    let all = json!({"all": true, "action": "delete"});
    assert!(admin.post(BULK, all).await.faults(422).contains_key("confirm"));
    assert_eq!(active(&admin).await, 6);

    let delete = json!({"filter": filter, "action": "delete", "confirm": 3});
    let done = admin.post(BULK, delete).await.expect(200);
    assert_eq!((&done["matched"], &done["done"]), (&json!(3), &json!(3)));
    assert_eq!(active(&admin).await, 3);
    // Who names each key has confirmed how many they are.
    let named = json!({"ids": [4, 99], "action": "delete"});
    let done = admin.post(BULK, named).await.expect(200);
    assert_eq!((&done["matched"], &done["done"]), (&json!(2), &json!(1)));
    let wrong = json!({"ids": [5], "action": "disable", "confirm": 2});
    assert!(admin.post(BULK, wrong).await.faults(409).contains_key("confirm"));
    assert_eq!(active(&admin).await, 2);
}

#[tokio::test]
async fn keys_are_named_by_their_values_and_get_weight_group_and_note() {
    let app = App::start().await;
    let admin = pools(&app).await;
    let values = json!(["sk-one-0123456789-1", "sk-two-0123456789-2", "sk-nobody"]);
    let dry = json!({"values": values, "action": "disable", "dry_run": true});
    let told = admin.post(BULK, dry).await.expect(200);
    assert_eq!((&told["matched"], &told["ids"]), (&json!(3), &json!([2, 6])));
    let set = json!({"weight": 7, "quota_group": "team", "note": "same"});
    let body = json!({"values": values, "action": "set", "set": set});
    let done = admin.post(BULK, body).await.expect(200);
    assert_eq!((&done["matched"], &done["done"]), (&json!(3), &json!(2)));
    let shown = async |id: i64| {
        let key = admin.get(&format!("{KEYS}/{id}")).await.expect(200);
        json!([key["weight"], key["quota_group"], key["note"]])
    };
    assert_eq!(shown(2).await, json!([7, "team", "same"]));
    assert_eq!(shown(1).await, json!([1, null, ""]));
    let body = json!({"ids": [6], "action": "set", "set": {"quota_group": null, "weight": 1}});
    admin.post(BULK, body).await.expect(200);
    assert_eq!(shown(6).await, json!([1, null, "same"]));
    for (set, place) in [
        (json!({"weight": 0}), "set.weight"),
        (json!({"quota_group": ""}), "set.quota_group"),
        (json!({"note": "x".repeat(2001)}), "set.note"),
        (json!({}), "set"),
        (json!({"name": "x"}), "set.name"),
    ] {
        let body = json!({"ids": [1], "action": "set", "set": set});
        let faults = admin.post(BULK, body).await.faults(422);
        assert!(faults.contains_key(place), "{set}: {faults:?}");
    }
    let beside = json!({"ids": [1], "action": "disable", "set": {"weight": 3}});
    assert!(admin.post(BULK, beside).await.faults(422).contains_key("set"));
    let answer = admin.post(BULK, json!({"values": [1], "action": "disable"})).await;
    assert!(answer.faults(422).contains_key("values[0]"));
}

#[tokio::test]
async fn a_filter_by_what_the_gateway_found_looks_only_at_what_it_found() {
    const MANY: i64 = 6000;
    let app = App::start().await.alone();
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let list: String = (0..MANY).map(|i| format!("sk-0123456789-{i}\n")).collect();
    let import = json!({"upstream_id": upstream, "text": list});
    admin.post(&format!("{KEYS}/import"), import).await.expect(200);
    let ids = async |query: &str| -> (Vec<i64>, Value) {
        let page = admin.get(&format!("{KEYS}?{query}")).await.expect(200);
        let ids = page["items"].as_array().unwrap().iter().map(|key| key["id"].as_i64().unwrap());
        (ids.collect(), page["next_cursor"].clone())
    };
    // No match is known at once, and to the end.
    for state in ["cooling", "exhausted", "disabled_auto", "disabled_manual", "banned"] {
        assert_eq!(ids(&format!("state={state}")).await, (vec![], json!(null)), "{state}");
    }
    let cooling = |key: i64| {
        Event::Transition(Transition {
            key: ProviderKeyId(key),
            upstream: UpstreamId(upstream),
            model: None,
            from: KeyStatus::Active,
            to: Standing {
                status: KeyStatus::Cooling(Utc::now() + TimeDelta::hours(1)),
                reason: "rate_limited".to_owned(),
                evidence: Evidence::default(),
                since: Utc::now(),
                strikes: 1,
            },
            actor: "gateway".to_owned(),
        })
    };
    app.told(&[cooling(MANY), cooling(17)]).await;
    assert_eq!(ids("state=cooling").await, (vec![17, MANY], json!(null)));
    assert_eq!(ids("state=cooling&sort=-id&limit=1").await.0, [MANY]);
    let off = json!({"filter": {"state": "cooling"}, "action": "ban", "confirm": 2});
    assert_eq!(admin.post(BULK, off).await.expect(200)["done"], 2);
    assert_eq!(ids("state=banned").await, (vec![17, MANY], json!(null)));
    assert_eq!(ids("state=cooling").await, (vec![], json!(null)));
    // Where nearly all match nobody is left out.
    let all: Vec<Event> = (1..=MANY).filter(|id| *id != 17 && *id != MANY).map(cooling).collect();
    for some in all.chunks(1000) {
        app.told(some).await;
    }
    assert_eq!(ids("state=cooling&limit=2").await.0, [1, 2]);
    // A page that finds nothing among what it may look at says where to go on.
    let (none, next) = ids("state=active").await;
    assert_eq!(none, [0; 0]);
    let next = next.as_str().unwrap().to_owned();
    assert_eq!(ids(&format!("state=active&cursor={next}")).await, (vec![], json!(null)));
    let rows = app
        .store
        .seen_by(&auth::Actor::System)
        .get::<store::MaskedKey>(ProviderKeyId(17))
        .await
        .unwrap()
        .value;
    assert_eq!(rows.state, KeyState::Banned);
}
