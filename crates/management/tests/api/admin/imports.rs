//! `/api/admin/keys/import`: many keys in one text.

use std::{fmt::Write as _, time::Duration};

use auth::Role;
use axum::http::Method;
use management::Settings;
use serde_json::{Value, json};

use crate::app::{Answer, App, Client};

const KEYS: &str = "/api/admin/keys";

async fn upload(by: &Client, query: &str, kind: &str, file: &str) -> Answer {
    let by = by.clone().with("content-type", kind);
    by.send(Method::POST, &format!("{KEYS}/import?{query}"), Some(file.to_owned())).await
}

/// What a report counts: created, duplicates, invalid.
fn counted(report: &Value) -> [u64; 3] {
    ["created", "duplicates", "invalid"].map(|field| report[field].as_u64().unwrap())
}

#[tokio::test]
async fn a_hundred_thousand_keys_are_one_import_with_a_report_of_each_line() {
    // Slow machines shall be slow, and no more.
    let request_timeout = Duration::from_secs(600);
    let app = App::with(Settings { request_timeout, ..Settings::default() }).await;
    app.user("super_admin", Role::SuperAdmin).await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let held = json!({"upstream_id": upstream, "name": "held", "key_value": "sk-test-000007"});
    admin.post(KEYS, held).await.expect(201);
    let mut file = String::new();
    for line in 1..=100_000_u32 {
        match line {
            20_000 => file.push_str("sk-test-000005\n"),
            30_000 => file.push_str("sk bad-secret\n"),
            _ => writeln!(file, "sk-test-{line:06}").unwrap(),
        }
    }
    let query = format!("upstream_id={upstream}");

    let report = upload(&admin, &query, "text/plain", &file).await.expect(200);

    assert_eq!(counted(&report), [99_997, 2, 1]);
    let lines = report["lines"].as_array().unwrap();
    let told: Vec<_> = lines.iter().map(|line| (&line["line"], &line["result"])).collect();
    let (duplicate, invalid) = (json!("duplicate"), json!("invalid"));
    let expected = [(7, &duplicate), (20_000, &duplicate), (30_000, &invalid)];
    let expected = expected.map(|(line, result)| (json!(line), result));
    assert!(
        told.into_iter().eq(expected.iter().map(|(line, result)| (line, *result))),
        "{lines:?}"
    );
    assert_eq!((&lines[0]["id"], &lines[1]["id"]), (&json!(1), &json!(null)));
    let words = |i: usize| lines[i]["message"].as_str().unwrap();
    assert!(words(1).contains("line 5 "), "{lines:?}");
    assert!(words(2).contains("key_value") && !words(2).contains("bad-secret"), "{lines:?}");
    assert_eq!(report["truncated"], false);
    let shown = admin.get("/api/admin/upstreams/1").await.expect(200);
    assert_eq!(shown["key_count"], 99_998);
    let catalog = app.store.load_catalog().await.unwrap();
    assert_eq!(catalog.upstreams.values().next().unwrap().keys.len(), 99_998);

    // Once more there is nothing new, and the report has an end.
    let report = upload(&admin, &query, "text/plain", &file).await.expect(200);
    assert_eq!(counted(&report), [0, 99_999, 1]);
    assert_eq!(report["lines"].as_array().unwrap().len(), 10_000);
    assert_eq!(report["truncated"], true);
    file.push_str("sk-one-too-many\n");
    let faults = upload(&admin, &query, "text/plain", &file).await.faults(422);
    assert!(faults["text"].contains("100000"), "{faults:?}");
}

#[tokio::test]
async fn a_list_is_read_in_each_form_and_can_be_tried_first() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let csv = "name,key,weight,group,quota_total\na,sk-csv-a,5,team,100\n,sk-csv-b,x,,\n";
    let query = format!("upstream_id={upstream}&report=all");
    let tried = upload(&admin, &format!("{query}&dry_run=true"), "text/csv", csv).await.expect(200);
    assert_eq!((counted(&tried), &tried["dry_run"]), ([1, 0, 1], &json!(true)));
    assert_eq!(admin.get(KEYS).await.expect(200)["items"], json!([]));

    let report = upload(&admin, &query, "text/csv", csv).await.expect(200);
    assert_eq!(counted(&report), [1, 0, 1]);
    assert_eq!((&report["lines"][0]["id"], &report["lines"][0]["line"]), (&json!(1), &json!(2)));
    let key = admin.get(&format!("{KEYS}/1")).await.expect(200);
    assert_eq!((&key["name"], &key["weight"]), (&json!("a"), &json!(5)));
    assert_eq!((&key["quota_group"], &key["quota_total"]), (&json!("team"), &json!(100)));

    let quota = json!({"unit": "cost", "period": "month", "limit": 2.5});
    let text = json!([{"key_value": "sk-json-a", "quotas": [quota]}, "sk-json-b", "sk-csv-a"]);
    let body =
        json!({"upstream_id": upstream, "text": text.to_string(), "defaults": {"weight": 3}});
    let report = admin.post(&format!("{KEYS}/import"), body).await.expect(200);
    assert_eq!(counted(&report), [2, 1, 0]);
    let key = admin.get(&format!("{KEYS}/2")).await.expect(200);
    assert_eq!((&key["weight"], &key["quotas"][0]["limit"]), (&json!(3), &json!("2.5")));
}

#[tokio::test]
async fn what_is_no_key_is_a_bad_line_and_never_a_secret() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let import = async |fields: Value| {
        let mut body = json!({"upstream_id": upstream, "dry_run": true});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        admin.post(&format!("{KEYS}/import"), body).await
    };
    for (fields, counts) in [
        (json!({"text": "name,weight\nsk-a,5\nsk-b"}), [1, 0, 2]),
        (json!({"text": "key;name\nsk-a;a"}), [0, 0, 2]),
        (json!({"text": "sk-a\0\nsk-b"}), [1, 0, 1]),
        (json!({"text": "key,note\nsk-a,\0\nsk-b,b"}), [1, 0, 1]),
        (json!({"text": r#"[{"key": "sk-a", "note": "\u0000"}, "sk-b"]"#}), [1, 0, 1]),
        (json!({"text": r#"[{"key": "sk-a", "colour": 1}, ["sk-a"], "sk-b"]"#}), [1, 0, 2]),
        (json!({"format": "csv", "text": "key,note\nsk-a,\"b\nsk-b,b"}), [0, 0, 1]),
    ] {
        let report = import(fields.clone()).await.expect(200);
        assert_eq!(counted(&report), counts, "{fields}: {report}");
        for line in report["lines"].as_array().unwrap() {
            let words = line["message"].as_str().unwrap();
            assert!(!words.starts_with(':') && !words.contains("sk-"), "{words}");
        }
    }
    for fields in [
        json!({"text": r#"{"keys":["sk-1"]}"#}),
        json!({"text": "[\"sk-1\""}),
        json!({"format": "csv", "text": "key,name,key\nsk-a,b,sk-c"}),
        json!({"format": "csv", "text": "key,colour\nsk-a,b"}),
        json!({"format": "csv", "text": "name,weight\nsk-a,5"}),
    ] {
        let faults = import(fields.clone()).await.faults(422);
        assert_eq!(faults.keys().collect::<Vec<_>>(), ["text"], "{fields}");
    }
    let faults =
        import(json!({"text": "sk-a", "defaults": {"quota_group": "\0"}})).await.faults(422);
    assert!(faults["defaults.quota_group"].contains("U+0000"), "{faults:?}");
    let query = format!("upstream_id={upstream}");
    let report = upload(&admin, &query, "text/csv", "key,name\nsk-a,\0\nsk-b,b").await.expect(200);
    assert_eq!(counted(&report), [1, 0, 1]);
}

#[tokio::test]
async fn a_list_of_another_content_type_is_refused_with_what_is_taken() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let query = format!("upstream_id={upstream}");
    for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let answer = upload(&admin, &query, kind, "sk-a\nsk-b").await;
        let words = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        for part in ["`content-type: text/plain`", "text/csv", "--data-binary"] {
            assert!(words.contains(part), "{kind}: {words}");
        }
        assert_eq!(answer.refused(415), "unsupported_content_type", "{kind}");
    }
    assert_eq!(admin.get(KEYS).await.expect(200)["items"], json!([]));
    let report = upload(&admin, &query, "text/plain", "sk-a\nsk-b").await.expect(200);
    assert_eq!(counted(&report), [2, 0, 0]);
}
