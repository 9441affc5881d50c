//! Log entries, their statistics and the dashboard.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ProviderKeyId, SeedQuestion, ServiceKeyId, Unit, UpstreamId, UserId, Whose,
    log::{Attempt, Considered, LogEntry, Origin, Outcome, Served, Usage, UsageSource},
};
use rstest::rstest;
use store::{
    Dashboard, JournalPosition, LogFilter, LogOrder, Page, RecordedBody, StatusClass, Store,
    StoreError, TimeRange,
};
use uuid::Uuid;

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, admin, entry},
    upstreams::fields,
};

pub(crate) const HOUR: i64 = 3_600_000_000;
/// 2026-01-01 00:00 UTC.
pub(crate) const START: i64 = 1_767_225_600_000_000;

pub(crate) fn at(offset: u64) -> JournalPosition {
    JournalPosition { journal: "node-1".into(), segment: 3, offset }
}

pub(crate) fn moment(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap()
}

async fn whole(store: &Fixture) -> Dashboard {
    let range = TimeRange { from: moment(START), to: moment(START) + TimeDelta::days(1) };
    store.dashboard(range, None).await.unwrap()
}

/// An attempt that was answered.
fn attempt(upstream: UpstreamId, provider_key: Option<ProviderKeyId>) -> Attempt {
    Attempt {
        upstream,
        upstream_name: "openai".into(),
        provider_key,
        provider_key_name: None,
        started_us: 5,
        duration_us: 6,
        status: Some(200),
        result: "answered".into(),
        class: None,
        rules: Vec::new(),
        provider_request_id: None,
        usage: Usage::default(),
        usage_source: UsageSource::Nothing,
        cost_nano: None,
    }
}

#[rstest]
#[tokio::test]
async fn what_an_attempt_used_counts_at_its_own_key(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let late = Usage { input: 3, output: 5, ..Usage::default() };
    let mut call = entry(START);
    call.attempts = vec![
        Attempt {
            usage: late,
            usage_source: UsageSource::Estimated,
            cost_nano: Some(400),
            result: "timeout".into(),
            ..attempt(UpstreamId(1), Some(ProviderKeyId(2)))
        },
        Attempt {
            usage: call.usage,
            cost_nano: call.cost_nano,
            ..attempt(UpstreamId(1), Some(ProviderKeyId(1)))
        },
    ];
    (call.usage, call.cost_nano) = (call.usage.plus(&late), Some(1_400));
    store.append_log(&[call], at(1)).await.unwrap();

    let used = async |key, unit| {
        let who = Whose::Key(ProviderKeyId(key));
        let question = SeedQuestion { counter: String::new(), who, unit, start_us: START };
        let seeds = store.used(&[question], START + HOUR).await.unwrap();
        seeds.first().map_or(0, |seed| seed.amount)
    };
    assert_eq!((used(1, Unit::Cost).await, used(2, Unit::Cost).await), (1000, 400));
    assert_eq!((used(1, Unit::Tokens).await, used(2, Unit::Tokens).await), (30, 8));
    assert_eq!((used(1, Unit::Requests).await, used(2, Unit::Requests).await), (1, 0));
    let totals = whole(&store).await.totals;
    assert_eq!((totals.requests, totals.cost_nano, totals.output_tokens), (1, 1_400, 25));
}

#[rstest]
#[tokio::test]
async fn calls_are_found_by_session_and_by_the_providers_id(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let calls: Vec<LogEntry> = (0..4)
        .map(|i| {
            let mut call = entry(START + i);
            call.origin.session = (i < 3).then(|| format!("session {}", i % 2));
            let id = (i > 0).then(|| format!("req_{i}"));
            call.attempts =
                vec![Attempt { provider_request_id: id, ..attempt(UpstreamId(1), None) }];
            call
        })
        .collect();
    store.append_log(&calls, at(1)).await.unwrap();
    let found = async |filter| {
        let rows = store.log_entries(filter, Page::default()).await.unwrap().items;
        rows.into_iter().map(|row| row.entry.started_us - START).collect::<Vec<_>>()
    };
    let session = Some("session 0".to_owned());
    assert_eq!(found(LogFilter { session, ..LogFilter::default() }).await, [2, 0]);
    let provider_request_id = Some("req_3".to_owned());
    assert_eq!(found(LogFilter { provider_request_id, ..LogFilter::default() }).await, [3]);
}

#[rstest]
#[tokio::test]
async fn an_entry_comes_back_as_it_was(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let mut full = entry(START);
    let limited = Attempt {
        status: Some(429),
        result: "rate_limited".into(),
        ..attempt(UpstreamId(1), None)
    };
    let answered = Attempt {
        usage: full.usage,
        usage_source: UsageSource::Reported,
        cost_nano: Some(1_000),
        provider_request_id: Some("req_provider".into()),
        ..attempt(UpstreamId(1), Some(ProviderKeyId(1)))
    };
    full.attempts = vec![limited, answered];
    full.price_version = Some(7);
    full.usage = Usage { characters: 1, images: 2, duration_ms: 3, ..full.usage };
    full.origin = Origin {
        session: Some("s".into()),
        parent_session: Some("p".into()),
        agent: Some("a".into()),
        parent_agent: Some("pa".into()),
        program: Some("codex".into()),
        version: Some("1.2".into()),
    };
    full.served = Served {
        model: Some("gpt-5-2026-01-01".into()),
        tier: Some("priority".into()),
        usage: Some("{\"total_tokens\":30}".into()),
    };
    full.decision =
        vec![Considered { candidate: "openai/gpt-5".into(), passed_over: Some("resting".into()) }];
    full.error = Some("broke off".into());
    let mut bare = entry(START + 1);
    (bare.upstream, bare.upstream_name, bare.provider_key) = (None, None, None);
    (bare.provider_key_name, bare.model_asked, bare.model_used) = (None, None, None);
    (bare.dialect, bare.first_byte_us, bare.cost_nano, bare.client_ip) = (None, None, None, None);
    (bare.usage_source, bare.outcome) = (UsageSource::Nothing, Outcome::Refused);

    store.append_log(&[full.clone(), bare.clone()], at(1)).await.unwrap();

    assert_eq!(store.log_entry(full.id).await.unwrap().entry, full);
    assert_eq!(store.log_entry(bare.id).await.unwrap().entry, bare);
    let none = store.log_entry(Uuid::nil()).await;
    assert!(matches!(none, Err(StoreError::NotFound("log entry"))));
}

#[rstest]
#[tokio::test]
async fn every_entry_counts_once_however_often_it_comes(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let batch: Vec<LogEntry> = (0..1200).map(|i| entry(START + i)).collect();
    assert_eq!(store.journal_position("node-1").await.unwrap(), None);

    assert_eq!(store.append_log(&batch[..700], at(700)).await.unwrap(), 700);
    assert_eq!(store.append_log(&batch, at(1200)).await.unwrap(), 500);
    let twice = [batch[0].clone(), entry(START), batch[1].clone()];
    assert_eq!(store.append_log(&twice, at(1203)).await.unwrap(), 1);
    let same = entry(START);
    assert_eq!(store.append_log(&[same.clone(), same], at(1205)).await.unwrap(), 1);

    assert_eq!(store.journal_position("node-1").await.unwrap(), Some(at(1205)));
    let totals = whole(&store).await.totals;
    assert_eq!((totals.requests, totals.errors), (1202, 0));
    assert_eq!((totals.input_tokens, totals.output_tokens), (12_020, 24_040));
    assert_eq!((totals.cached_tokens, totals.reasoning_tokens), (1202 * 4, 1202 * 5));
    assert_eq!((totals.cost_nano, totals.latency_us), (1_202_000, 1_202_000_000));
}

#[rstest]
#[tokio::test]
async fn an_empty_batch_still_moves_the_position(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    assert_eq!(store.append_log(&[], at(9)).await.unwrap(), 0);
    assert_eq!(store.journal_position("node-1").await.unwrap(), Some(at(9)));
}

#[rstest]
#[tokio::test]
async fn two_instances_move_the_same_entries_in_at_once(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let batch: Vec<LogEntry> = (0..300).map(|i| entry(START + i * 60_000_000)).collect();
    let mut moving = Vec::new();
    for i in 0..6 {
        let mut batch = batch.clone();
        batch.rotate_left(i * 50);
        let store = if i % 2 == 0 { store.store.clone() } else { other.clone() };
        let position = JournalPosition { journal: format!("node-{i}"), segment: 0, offset: 0 };
        moving.push(tokio::spawn(async move { store.append_log(&batch, position).await }));
    }
    let mut new = 0;
    for moved in moving {
        // PostgreSQL may break a deadlock of two batches in opposite order; that one is repeated.
        match moved.await.unwrap() {
            Ok(moved) => new += moved,
            Err(error) => assert!(error.passing(), "{error}"),
        }
    }
    new += store.append_log(&batch, at(0)).await.unwrap();
    assert_eq!(new, 300);
    assert_eq!(whole(&store).await.totals.requests, 300);
}

#[rstest]
#[tokio::test]
async fn what_a_client_sends_cannot_spoil_the_batch(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let mut odd = entry(START);
    odd.request_id = "a\0b'; DROP TABLE request_logs; --".into();
    odd.path = "/\u{202e}%".into();
    odd.model_asked = Some("\0".into());
    odd.model_used = Some("m\0".into());
    odd.latency_us = u64::MAX;
    odd.usage.input = u64::MAX;

    store.append_log(&[odd.clone(), entry(START)], at(1)).await.unwrap();

    let row = store.log_entry(odd.id).await.unwrap().entry;
    assert_eq!(row.request_id, "a\u{fffd}b'; DROP TABLE request_logs; --");
    assert_eq!(row.latency_us, 1 << 40);
    let filter = LogFilter { order: LogOrder::LatestEnd, ..LogFilter::default() };
    let listed = store.log_entries(filter, Page::default()).await.unwrap();
    assert_eq!(listed.items[0].entry.id, odd.id);
}

#[rstest]
#[tokio::test]
async fn the_cursor_walks_also_through_one_moment(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let batch: Vec<LogEntry> = (0..50).map(|i| entry(START + i / 20)).collect();
    store.append_log(&batch, at(1)).await.unwrap();

    let mut page = Page::first(7);
    let mut seen = Vec::new();
    loop {
        let listed = store.log_entries(LogFilter::default(), page.clone()).await.unwrap();
        seen.extend(listed.items.iter().map(|row| (row.entry.started_us, row.entry.id)));
        // What comes in meanwhile does not shift the pages that follow.
        store.append_log(&[entry(START + 1000)], at(2)).await.unwrap();
        match listed.next_cursor {
            Some(cursor) => page = page.after(cursor),
            None => break,
        }
    }
    let mut expected: Vec<_> = batch.iter().map(|e| (e.started_us, e.id)).collect();
    expected.sort_unstable();
    expected.reverse();
    assert_eq!(seen, expected);
    for bad in ["", "1", "x.y", "1.zz"] {
        let page = Page::default().after(bad);
        let refused = store.log_entries(LogFilter::default(), page).await;
        assert_eq!(fields(refused), ["cursor"], "{bad}");
    }
}

/// Reads the log by arrival from `cursor` to what is its end now.
async fn arrived(store: &Store, cursor: &mut Option<String>, ids: &mut Vec<Uuid>) {
    let filter = LogFilter { order: LogOrder::Arrival, ..LogFilter::default() };
    loop {
        let page = Page { cursor: cursor.clone(), ..Page::first(7) };
        let listed = store.log_entries(filter.clone(), page).await.unwrap();
        *cursor = Some(listed.next_cursor.expect("each page by arrival has a cursor"));
        ids.extend(listed.items.iter().map(|row| row.entry.id));
        if listed.items.len() < 7 {
            return;
        }
    }
}

#[rstest]
#[tokio::test]
async fn who_reads_by_arrival_misses_nothing_and_gets_nothing_twice(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (mut cursor, mut seen) = (None, Vec::new());
    arrived(&store, &mut cursor, &mut seen).await;
    assert!(seen.is_empty());

    // Several instances write at once, in whichever order of time, and each batch comes twice.
    let mut writers = Vec::new();
    let mut written = Vec::new();
    for writer in 0..4_i64 {
        let other = store.again().await;
        let batches: Vec<Vec<LogEntry>> = (0..12)
            .map(|batch| (0..5).map(|i| entry(START - (writer * 60 + batch * 5 + i))).collect())
            .collect();
        written.extend(batches.iter().flatten().map(|entry| entry.id));
        writers.push(tokio::spawn(async move {
            for batch in batches {
                for _ in 0..2 {
                    let journal = format!("node-{writer}");
                    let position = JournalPosition { journal, segment: 0, offset: 0 };
                    other.append_log(&batch, position).await.unwrap();
                }
            }
        }));
    }
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        arrived(&store, &mut cursor, &mut seen).await;
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    arrived(&store, &mut cursor, &mut seen).await;

    seen.sort_unstable();
    written.sort_unstable();
    assert_eq!(seen, written);
}

#[rstest]
#[tokio::test]
async fn an_entry_that_comes_late_is_read_by_arrival(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (new, late) = (entry(START + HOUR), entry(START));
    let (mut cursor, mut seen) = (None, Vec::new());
    store.append_log(std::slice::from_ref(&new), at(1)).await.unwrap();
    arrived(&store, &mut cursor, &mut seen).await;
    store.append_log(&[late.clone(), new.clone()], at(2)).await.unwrap();
    arrived(&store, &mut cursor, &mut seen).await;
    assert_eq!(seen, [new.id, late.id]);

    let filter = LogFilter { order: LogOrder::Arrival, ..LogFilter::default() };
    let ahead = Page::default().after(format!("a99.{}", Uuid::nil().simple()));
    assert_eq!(fields(store.log_entries(filter, ahead).await), ["cursor"]);
}

#[rstest]
#[tokio::test]
async fn calls_are_found_and_sorted_by_their_end(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let mut calls: Vec<LogEntry> = (0..4).map(|i| entry(START + i)).collect();
    for (call, latency) in calls.iter_mut().zip([40, 30, 20, 10]) {
        call.latency_us = latency;
    }
    store.append_log(&calls, at(1)).await.unwrap();
    let ends = async |filter: LogFilter| {
        let (mut page, mut ends) = (Page::first(1), Vec::new());
        loop {
            let listed = store.log_entries(filter.clone(), page.clone()).await.unwrap();
            ends.extend(listed.items.iter().map(|row| row.entry.started_us - START));
            match listed.next_cursor {
                Some(cursor) => page = page.after(cursor),
                None => return ends,
            }
        }
    };
    let any = LogFilter::default;
    assert_eq!(ends(LogFilter { order: LogOrder::LatestEnd, ..any() }).await, [0, 1, 2, 3]);
    assert_eq!(ends(LogFilter { order: LogOrder::EarliestEnd, ..any() }).await, [3, 2, 1, 0]);
    let (from, to) = (Some(moment(START + 22)), Some(moment(START + 40)));
    assert_eq!(ends(LogFilter { ended_from: from, ended_to: to, ..any() }).await, [2, 1]);
}

#[rstest]
#[tokio::test]
async fn the_errors_of_the_log_are_those_that_statistics_count(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let ends = [
        (Outcome::Completed, 200, false),
        (Outcome::Completed, 400, true),
        (Outcome::Refused, 429, true),
        (Outcome::Failed, 502, true),
        (Outcome::UpstreamBroke, 200, true),
        (Outcome::TimedOut, 200, true),
        (Outcome::Revoked, 200, true),
        (Outcome::Interrupted, 0, true),
        (Outcome::ClientGone, 0, false),
        (Outcome::ClientGone, 200, false),
    ];
    let calls = ends.iter().zip(0..).map(|((outcome, status, _), n)| {
        let mut call = entry(START + n);
        (call.outcome, call.status) = (*outcome, *status);
        call
    });
    store.append_log(&calls.collect::<Vec<_>>(), at(1)).await.unwrap();

    let errors = LogFilter { status: Some(StatusClass::Errors), ..LogFilter::default() };
    let listed = store.log_entries(errors, Page::first(20)).await.unwrap().items;

    let expected = ends.iter().rev().filter(|(_, _, is_error)| *is_error);
    let expected: Vec<_> = expected.map(|(outcome, status, _)| (*outcome, *status)).collect();
    let listed: Vec<_> = listed.iter().map(|row| (row.entry.outcome, row.entry.status)).collect();
    assert_eq!(listed, expected);
    assert_eq!(whole(&store).await.totals.errors, expected.len() as u64);
}

#[rstest]
#[tokio::test]
async fn the_dashboard_sums_hours_and_shares(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let key = store.add_key(upstream, "one").await;
    store.add_key(upstream, "two").await;
    store.add_service_key("my app").await;
    let mut batch: Vec<LogEntry> = (0..10).map(|i| entry(START + i * HOUR / 4)).collect();
    batch[0].status = 500;
    batch[1].outcome = Outcome::TimedOut;
    batch[2].outcome = Outcome::ClientGone;
    batch[3].latency_us = 60_000_000;
    (batch[4].upstream, batch[4].provider_key) = (None, None);
    batch[5].provider_key = Some(ProviderKeyId(77));
    batch[6].model_used = Some("other".into());
    batch[7].owner = UserId(5);
    batch[7].service_key = ServiceKeyId(5);
    store.append_log(&batch, at(1)).await.unwrap();

    let board = whole(&store).await;

    assert_eq!((board.totals.requests, board.totals.errors), (10, 2));
    let hours: Vec<_> =
        board.hours.iter().map(|h| (h.at.timestamp_micros() - START, h.totals.requests)).collect();
    assert_eq!(hours, [(0, 4), (HOUR, 4), (2 * HOUR, 2)]);
    let told = |shares: &[store::Share]| {
        let told = |s: &store::Share| (s.id, s.name.clone(), s.totals.requests);
        shares.iter().map(told).collect::<Vec<_>>()
    };
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(told(&board.upstreams), [(Some(1), name("openai"), 9), (None, None, 1)]);
    let keys = [(Some(key.0), name("one"), 8), (None, None, 1), (Some(77), name("Key 1"), 1)];
    assert_eq!(told(&board.provider_keys), keys);
    assert_eq!(
        told(&board.service_keys),
        [(Some(1), name("my app"), 9), (Some(5), name("my app"), 1)]
    );
    assert_eq!(told(&board.models), [(None, name("gpt-5"), 9), (None, name("other"), 1)]);
    let p50 = board.latency_p50_us.unwrap();
    assert!((900_000..1_150_000).contains(&p50), "{p50}");
    assert!(board.latency_p95_us.unwrap() > 50_000_000);
    assert_eq!((board.upstream_count, board.service_key_count), (1, 1));
    assert_eq!((board.key_counts.active, board.key_counts.banned), (2, 0));

    let range = TimeRange { from: moment(START + HOUR + 5), to: moment(START + HOUR + 6) };
    let hour = store.dashboard(range, None).await.unwrap();
    assert_eq!(hour.totals.requests, 4);
    assert_eq!(hour.range.from, moment(START + HOUR));
    let own = store.dashboard(board.range, Some(UserId(5))).await.unwrap();
    assert_eq!((own.totals.requests, own.models.len()), (1, 1));
}

#[rstest]
#[tokio::test]
async fn what_was_deleted_keeps_its_name_in_statistics(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let key = store.add_key(upstream, "one").await;
    let service_key = store.add_service_key("my app").await;
    let mut call = entry(START);
    (call.upstream, call.upstream_name) = (Some(upstream), Some("openai".into()));
    (call.provider_key, call.provider_key_name) = (Some(key), Some("one".into()));
    (call.service_key, call.service_key_name) = (service_key, "my app".into());
    store.append_log(&[call.clone()], at(1)).await.unwrap();
    // Its name at its last call counts, whichever instance stored it.
    call.id = Uuid::now_v7();
    call.provider_key_name = Some("renamed".into());
    store.again().await.append_log(&[call], at(2)).await.unwrap();

    store.delete::<domain::Upstream>(&admin(), upstream).await.unwrap();
    store.delete::<domain::ServiceKey>(&admin(), service_key).await.unwrap();

    let board = whole(&store).await;
    let name = |shares: &[store::Share]| shares[0].name.clone().unwrap_or_default();
    let names = [name(&board.upstreams), name(&board.provider_keys), name(&board.service_keys)];
    assert_eq!(names, ["openai", "renamed", "my app"]);
}

#[rstest]
#[tokio::test]
async fn a_dashboard_of_nothing_is_all_zeros(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let board = whole(&store).await;
    assert_eq!((board.totals.requests, board.latency_p50_us), (0, None));
    assert!(board.hours.is_empty() && board.upstreams.is_empty());
    let backwards = TimeRange { from: moment(START), to: moment(START - HOUR) };
    assert_eq!(fields(store.dashboard(backwards, None).await), ["to"]);
    let endless = TimeRange { from: DateTime::<Utc>::MIN_UTC, to: moment(START) };
    assert!(store.dashboard(endless, None).await.is_err());
}

#[rstest]
#[tokio::test]
async fn bodies_lie_beside_their_entry(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let log = Uuid::now_v7();
    let body =
        |answer, bytes: &[u8]| RecordedBody { log, answer, bytes: bytes.to_vec(), cut: answer };
    let both = vec![body(true, b"answer\0"), body(false, b"question")];
    store.append_bodies(both.clone()).await.unwrap();
    store.append_bodies(vec![body(true, b"again")]).await.unwrap();

    let stored = store.recorded_bodies(log).await.unwrap();

    assert_eq!(stored, [both[1].clone(), both[0].clone()]);
    assert_eq!(store.recorded_bodies(Uuid::nil()).await.unwrap(), []);
    store.note(&admin(), "read", "body", None).await.unwrap();
}
