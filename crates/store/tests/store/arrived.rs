//! Heads of log entries in the order of their arrival.

use domain::log::Outcome;
use rstest::rstest;
use store::JournalPosition;

use crate::fixture::{Fixture, On, Pg, Sqlite, entry};

/// 2026-01-01 00:00 UTC.
const START: i64 = 1_767_225_600_000_000;

#[rstest]
#[tokio::test]
async fn calls_are_read_on_from_where_the_last_reading_ended(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let at = |offset| JournalPosition { journal: "node-1".into(), segment: 3, offset };
    assert_eq!(store.last_arrival().await.unwrap(), 0);
    let mut failed = entry(START);
    (failed.outcome, failed.status, failed.cost_nano) = (Outcome::Failed, 502, None);
    (failed.model_used, failed.origin.session) = (None, Some("s".to_owned()));
    store.append_log(&[entry(START + 5), failed.clone()], at(1)).await.unwrap();
    // A call that began earlier and is stored later arrives later.
    let late = entry(START - 5);
    store.append_log(std::slice::from_ref(&late), at(2)).await.unwrap();

    let all = store.arrived(0, 10).await.unwrap();
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted_by_key(|call| call.arrival));
    assert_eq!((all[2].id, all[2].arrival), (late.id, store.last_arrival().await.unwrap()));
    let head = all.iter().find(|call| call.id == failed.id).unwrap();
    assert_eq!((head.failed, head.status, head.cost_nano), (true, 502, None));
    assert_eq!((head.model.as_deref(), head.session.as_deref()), (Some("gpt"), Some("s")));
    assert_eq!((head.input, head.cached, head.output), (10, 4, 20));

    let first = store.arrived(0, 1).await.unwrap();
    let rest = store.arrived(first[0].arrival, 10).await.unwrap();
    assert_eq!(rest, all[1..]);
    assert!(store.arrived(all[2].arrival, 10).await.unwrap().is_empty());
}
