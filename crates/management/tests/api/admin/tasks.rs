//! `/api/admin/tasks`

use auth::Role;
use chrono::{DateTime, Utc};
use serde_json::json;
use store::{Page, TaskRun};

use crate::app::App;

const PATH: &str = "/api/admin/tasks";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

#[tokio::test]
async fn a_task_tells_when_it_runs_and_what_it_did() {
    let app = App::start().await;
    assert_eq!(app.viewer().await.get(PATH).await.expect(200)["items"], json!([]));
    app.store.know_task("clean", "0 2 * * *", "UTC", Some(at(7200))).await.unwrap();
    for (begun, ok, words) in [(0, false, "the database was away"), (60, true, "7 entries")] {
        let run = TaskRun { started: at(begun), ended: at(begun + 5), ok, words: words.to_owned() };
        app.store.note_run("clean", run).await.unwrap();
    }
    let told = json!({
        "items": [{
            "name": "clean", "schedule": "0 2 * * *", "timezone": "UTC",
            "next_at": "2026-01-01T02:00:00Z", "requested_at": null,
            "runs": [
                {"started_at": "2026-01-01T00:01:00Z", "ended_at": "2026-01-01T00:01:05Z",
                 "ok": true, "words": "7 entries"},
                {"started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:05Z",
                 "ok": false, "words": "the database was away"},
            ],
        }],
        "next_cursor": null,
    });
    assert_eq!(app.viewer().await.get(PATH).await.expect(200), told);
    let developer = app.signed_in(Role::Developer).await;
    assert_eq!(developer.get(PATH).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn a_run_is_asked_for_by_name() {
    let app = App::start().await;
    let admin = app.admin().await;
    app.store.know_task("clean", "0 2 * * *", "UTC", None).await.unwrap();
    app.store.know_task("probe", "* * * * *", "UTC", None).await.unwrap();
    for unknown in ["clear", "cle%00an", "%20", "clean%2F"] {
        let refused = admin.post(&format!("{PATH}/{unknown}/run"), json!({})).await.refused(404);
        assert_eq!(refused, "not_found", "{unknown}");
    }
    let refused = admin.post(&format!("{PATH}/%ff/run"), json!({})).await.refused(404);
    assert_eq!(refused, "no_such_path");
    let run = format!("{PATH}/clean/run");
    let operator = app.signed_in(Role::Operator).await;
    assert_eq!(operator.post(&run, json!({})).await.refused(403), "forbidden");
    assert!(app.store.tasks_due().await.unwrap().iter().all(|task| !task.requested));

    assert_eq!(admin.post(&run, json!({})).await.status, 202);

    let listed = admin.get(PATH).await.expect(200)["items"].clone();
    let requested = |i: usize| listed[i]["requested_at"].is_string();
    assert_eq!((requested(0), requested(1)), (true, false), "{listed}");
    let line = app.store.audit(Page::first(1)).await.unwrap().items.remove(0);
    assert_eq!((line.actor.as_str(), line.action.as_str()), ("super_admin", "requested"));
    assert_eq!((line.subject.as_str(), &line.detail), ("task", &json!({"name": "clean"})));
}
