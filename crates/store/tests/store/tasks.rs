//! Who runs tasks, when, and what they did.

use chrono::{DateTime, TimeDelta, Utc};
use rstest::rstest;
use store::{Page, StoreError, TaskRun};

use crate::fixture::{Fixture, On, Pg, Sqlite, admin};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

#[rstest]
#[tokio::test]
async fn one_holds_a_lease_until_it_ends_or_is_given_back(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let ten = TimeDelta::seconds(10);
    let lease = async |holder: &str, now| store.lease("scheduler", holder, at(now), ten).await;

    assert!(lease("a", 0).await.unwrap());
    assert!(!lease("b", 5).await.unwrap());
    assert!(lease("a", 8).await.unwrap());
    assert!(!lease("b", 17).await.unwrap());
    assert!(lease("b", 19).await.unwrap());
    assert!(!lease("a", 20).await.unwrap());
    store.release("scheduler", "a").await.unwrap();
    assert!(!lease("a", 21).await.unwrap());
    store.release("scheduler", "b").await.unwrap();
    assert!(lease("a", 21).await.unwrap());
    assert!(store.task_list().await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn a_task_tells_its_schedule_and_its_last_runs(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    store.know_task("clean", "0 2 * * *", "UTC", Some(at(7200))).await.unwrap();
    for i in 0..120 {
        let words = if i == 119 { "x\0".repeat(3000) } else { String::new() };
        let run = TaskRun { started: at(i), ended: at(i + 1), ok: i % 2 == 0, words };
        store.note_run("clean", run).await.unwrap();
    }

    let task = store.task_list().await.unwrap().remove(0);

    assert_eq!((task.name.as_str(), task.schedule.as_str()), ("clean", "0 2 * * *"));
    assert_eq!((task.timezone.as_str(), task.next, task.requested), ("UTC", Some(at(7200)), None));
    assert_eq!(task.runs.len(), 10);
    assert_eq!((task.runs[0].started, task.runs[0].ok), (at(119), false));
    assert!(task.runs[0].words.len() <= 2000);
}

#[rstest]
#[tokio::test]
async fn a_run_that_was_asked_for_is_met_by_the_next_that_begins(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let none = store.request_run(&admin(), "clean").await;
    assert!(matches!(none, Err(StoreError::NotFound("task"))));
    store.know_task("clean", "0 2 * * *", "UTC", None).await.unwrap();
    let due = async || store.tasks_due().await.unwrap().remove(0);
    assert_eq!((due().await.last_due, due().await.requested), (None, false));

    store.request_run(&admin(), "clean").await.unwrap();
    assert!(due().await.requested);
    let told = store.audit(Page::first(1)).await.unwrap().items.remove(0);
    assert_eq!((told.action.as_str(), told.subject.as_str()), ("requested", "task"));
    assert_eq!(told.detail["name"], "clean");
    store.begin_run("clean", None, None).await.unwrap();
    assert_eq!((due().await.last_due, due().await.requested), (None, false));
    store.begin_run("clean", Some(at(5)), Some(at(6))).await.unwrap();
    assert_eq!(due().await.last_due, Some(at(5)));
    // What is known of it stays when it is made known once more.
    store.know_task("clean", "0 3 * * *", "UTC", Some(at(9))).await.unwrap();
    assert_eq!(due().await.last_due, Some(at(5)));
    assert_eq!(store.task_list().await.unwrap()[0].next, Some(at(9)));
}
