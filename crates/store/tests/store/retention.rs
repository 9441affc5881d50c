//! What is only kept for a time goes in batches, and its room is given back.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Event, Evidence, KeyStatus, ProviderKeyId, Standing, Transition, UpstreamId};
use rstest::rstest;
use store::{Aged, Grain, JournalPosition, LogFilter, Page, RecordedBody, TimeRange};

use crate::fixture::{Fixture, On, Pg, Sqlite, entry};

const HOUR: i64 = 3_600_000_000;
/// 2026-01-01 00:00 UTC.
const START: i64 = 1_767_225_600_000_000;

fn moment(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap()
}

fn at(offset: u64) -> JournalPosition {
    JournalPosition { journal: "node-1".into(), segment: 3, offset }
}

#[rstest]
#[tokio::test]
async fn old_log_entries_go_the_oldest_first_and_in_batches(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let batch: Vec<_> = (0..10).map(|i| entry(START + i)).collect();
    store.append_log(&batch, at(1)).await.unwrap();
    let before = moment(START + 6);

    assert_eq!(store.delete_old(Aged::LogEntries, before, 4).await.unwrap(), 4);
    assert_eq!(store.delete_old(Aged::LogEntries, before, 4).await.unwrap(), 2);
    assert_eq!(store.delete_old(Aged::LogEntries, before, 4).await.unwrap(), 0);
    assert_eq!(store.delete_oldest(Aged::LogEntries, 1).await.unwrap(), 1);

    let left = store.log_entries(LogFilter::default(), Page::default()).await.unwrap().items;
    let left: Vec<_> = left.iter().map(|row| row.entry.started_us - START).collect();
    assert_eq!(left, [9, 8, 7]);
}

#[rstest]
#[tokio::test]
async fn the_size_of_the_log_follows_what_is_in_it(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    assert_eq!(store.log_size().await.unwrap().entries, 0);
    let first = entry(START);
    store.append_log(&[first.clone(), entry(START + 1)], at(1)).await.unwrap();
    let body = |answer| RecordedBody { log: first.id, answer, bytes: vec![7; 500], cut: false };
    store.append_bodies(vec![body(false), body(true)]).await.unwrap();

    let size = store.log_size().await.unwrap();
    assert_eq!((size.entries, size.bodies, size.body_bytes), (2, 2, 1000));
    assert!((500..2000).contains(&size.entry_bytes), "{}", size.entry_bytes);

    assert_eq!(store.delete_oldest(Aged::Bodies, 1).await.unwrap(), 1);
    let later = Utc::now() + TimeDelta::minutes(1);
    assert_eq!(store.delete_old(Aged::Bodies, later, 9).await.unwrap(), 1);
    assert_eq!(store.log_size().await.unwrap().body_bytes, 0);
}

#[rstest]
#[tokio::test]
async fn only_what_is_over_is_forgotten_of_how_keys_stand(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let step = |key, status| {
        Event::Transition(Transition {
            key: ProviderKeyId(key),
            upstream: UpstreamId(1),
            model: None,
            from: KeyStatus::Active,
            to: Standing {
                status,
                reason: "person".into(),
                evidence: Evidence::default(),
                since: moment(START),
                strikes: 0,
            },
            actor: "lin".into(),
        })
    };
    store
        .keep_events(&[step(1, KeyStatus::Active), step(2, KeyStatus::DisabledManual)])
        .await
        .unwrap();
    let now = moment(START + 1);

    for (kind, expected) in [
        (Aged::Standings, 1),
        (Aged::Transitions, 2),
        (Aged::Triggers, 0),
        (Aged::Alerts, 0),
        (Aged::Breakers, 0),
    ] {
        assert_eq!(store.delete_old(kind, now, 100).await.unwrap(), expected, "{kind:?}");
    }
    let keys = [ProviderKeyId(1), ProviderKeyId(2)];
    assert_eq!(store.standings(&keys).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn an_sqlite_file_becomes_smaller_when_its_log_does() {
    let store = Fixture::new(Sqlite).await;
    let body = |entry: &domain::log::LogEntry| RecordedBody {
        log: entry.id,
        answer: true,
        bytes: vec![7; 100_000],
        cut: false,
    };
    let batch: Vec<_> = (0..100).map(|i| entry(START + i)).collect();
    store.append_bodies(batch.iter().map(body).collect()).await.unwrap();
    let size = async || {
        while store.give_back().await.unwrap() {}
        // The file itself shrinks when the write-ahead log is played into it.
        store.close().await;
        std::fs::metadata(store.file()).unwrap().len()
    };
    assert_eq!(store.delete_oldest(Aged::Bodies, 1000).await.unwrap(), 100);
    assert!(size().await < 2_000_000);
}

#[tokio::test]
async fn postgresql_gives_room_back_by_itself() {
    assert!(!Fixture::new(Pg).await.give_back().await.unwrap());
}

#[rstest]
#[tokio::test]
async fn hours_that_are_taken_away_are_answered_from_days(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let batch: Vec<_> = (0..72).map(|i| entry(START + i * HOUR)).collect();
    store.append_log(&batch, at(1)).await.unwrap();
    let whole = async || {
        let range = TimeRange { from: moment(START), to: moment(START) + TimeDelta::days(4) };
        store.dashboard(range, None).await.unwrap()
    };
    let before = whole().await;
    assert_eq!(before.hours.iter().filter(|hour| hour.totals.requests > 0).count(), 72);
    let trim = async || {
        let mut rounds = 0;
        for grain in [Grain::Minute, Grain::Hour] {
            while store.trim_rollups(grain, moment(START + 50 * HOUR)).await.unwrap() {
                rounds += 1;
            }
        }
        rounds
    };
    assert!(trim().await > 0);

    let after = whole().await;
    assert_eq!(after.totals, before.totals);
    assert_eq!(after.latency_p95_us, before.latency_p95_us);
    assert_eq!(after.hours.iter().filter(|hour| hour.totals.requests > 0).count(), 2 + 24);
    // Entries of those hours that come late are counted, and their hours go again.
    store.append_log(&[entry(START + HOUR)], at(2)).await.unwrap();
    assert!(trim().await > 0);
    assert_eq!(whole().await.totals.requests, before.totals.requests + 1);
    assert!(!store.trim_rollups(Grain::Day, moment(START + 50 * HOUR)).await.unwrap());
}
