//! What was used before a process began is known from log entries.

use domain::{
    ProviderKeyId, Seed, SeedQuestion, ServiceKeyId, Unit, UpstreamId, UserId, Whose,
    log::{LogEntry, Outcome, Usage},
};
use rstest::rstest;
use store::JournalPosition;

use crate::fixture::{Fixture, On, Pg, Sqlite, entry};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
/// 2026-01-01 00:00 UTC.
const START: i64 = 1_767_225_600_000_000;

fn at(offset: u64) -> JournalPosition {
    JournalPosition { journal: "node-1".into(), segment: 3, offset }
}

/// One call with 10 tokens in and 20 out, for 1,000.
fn call(at: i64, key: i64) -> LogEntry {
    LogEntry { provider_key: Some(ProviderKeyId(key)), ..entry(at) }
}

fn ask(who: Whose, unit: Unit, start_us: i64) -> SeedQuestion {
    SeedQuestion { counter: format!("{who:?} {unit}"), who, unit, start_us }
}

#[rstest]
#[tokio::test]
async fn use_since_a_moment_counts_to_the_microsecond(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    // Every ten minutes from 0:00 to 4:00.
    let calls: Vec<_> = (0..25).map(|i| call(START + i * 10 * MINUTE, 1)).collect();
    store.append_log(&calls, at(1)).await.unwrap();
    let used = async |start, until| {
        let question = ask(Whose::Key(ProviderKeyId(1)), Unit::Requests, start);
        let seeds = store.used(&[question], until).await.unwrap();
        seeds.first().map_or(0, |seed| seed.amount)
    };

    assert_eq!(used(START, START + 10 * HOUR).await, 25);
    assert_eq!(used(0, START + 10 * HOUR).await, 25);
    // 0:30 to 3:10, both hours broken: 0:30 … 3:00.
    assert_eq!(used(START + 30 * MINUTE, START + 3 * HOUR + 10 * MINUTE).await, 16);
    assert_eq!(used(START + 30 * MINUTE + 1, START + 3 * HOUR + 10 * MINUTE + 1).await, 16);
    // Within one hour, and none at all.
    assert_eq!(used(START + 10 * MINUTE, START + 30 * MINUTE).await, 2);
    assert_eq!(used(START + HOUR, START + HOUR).await, 0);
}

#[rstest]
#[tokio::test]
async fn use_is_told_apart_by_who_and_by_unit(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let mut failed = call(START, 1);
    (failed.outcome, failed.status) = (Outcome::Failed, 503);
    (failed.usage, failed.cost_nano) = (Usage::default(), None);
    let mut other = call(START + HOUR, 2);
    (other.service_key, other.owner) = (ServiceKeyId(5), UserId(6));
    (other.upstream, other.model_asked) = (Some(UpstreamId(7)), Some("other".into()));
    store.append_log(&[call(START, 1), failed, other], at(1)).await.unwrap();
    let group = Whose::Group {
        upstream: UpstreamId(1),
        keys: vec![ProviderKeyId(1), ProviderKeyId(2), ProviderKeyId(3)],
    };
    let cases = [
        (Whose::Key(ProviderKeyId(1)), Unit::Requests, 1),
        (Whose::Key(ProviderKeyId(1)), Unit::TokensIn, 10),
        (Whose::Key(ProviderKeyId(1)), Unit::TokensOut, 20),
        (Whose::Key(ProviderKeyId(1)), Unit::Tokens, 30),
        (Whose::Key(ProviderKeyId(1)), Unit::Cost, 1000),
        (Whose::Key(ProviderKeyId(9)), Unit::Cost, 0),
        (group, Unit::Tokens, 60),
        (Whose::ServiceKey(ServiceKeyId(5)), Unit::Requests, 1),
        (Whose::User(UserId(6)), Unit::Cost, 1000),
        (Whose::Upstream(UpstreamId(7)), Unit::Tokens, 30),
        (Whose::Model("other".into()), Unit::Tokens, 30),
        (Whose::Model("gpt".into()), Unit::Requests, 1),
        (Whose::Global, Unit::Requests, 2),
        (Whose::Global, Unit::Concurrency, 0),
    ];

    let questions: Vec<_> =
        cases.iter().map(|(who, unit, _)| ask(who.clone(), *unit, START)).collect();
    let seeds = store.used(&questions, START + 5 * HOUR).await.unwrap();

    for (question, (_, _, expected)) in questions.iter().zip(cases) {
        let seed = seeds.iter().find(|seed| seed.counter == question.counter);
        assert_eq!(seed.map_or(0, |seed| seed.amount), expected, "{}", question.counter);
    }
    assert!(seeds.iter().all(|Seed { amount, .. }| *amount > 0));
}

#[rstest]
#[tokio::test]
async fn a_hundred_thousand_keys_are_one_question(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let calls: Vec<_> = (0..4000).map(|i| call(START, i)).collect();
    store.append_log(&calls, at(1)).await.unwrap();
    let questions: Vec<_> =
        (0..100_000).map(|i| ask(Whose::Key(ProviderKeyId(i)), Unit::Requests, START)).collect();

    let seeds = store.used(&questions, START + 2 * HOUR).await.unwrap();

    assert_eq!(seeds.len(), 4000);
}

#[rstest]
#[tokio::test]
async fn what_a_provider_makes_up_does_not_stop_the_count(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let absurd = |at| {
        let usage = Usage { input: u64::MAX, output: i64::MAX as u64, ..Usage::default() };
        LogEntry { usage, cost_nano: Some(i64::MAX), ..call(at, 1) }
    };
    let calls = [absurd(START + MINUTE), absurd(START + 2 * MINUTE), call(START + 3 * MINUTE, 1)];
    store.append_log(&calls, at(1)).await.unwrap();
    let ask = |unit| ask(Whose::Key(ProviderKeyId(1)), unit, START);
    // From the entries, and from the sums by the hour.
    for until in [START + 10 * MINUTE, START + 2 * HOUR] {
        for (unit, own) in [(Unit::TokensIn, 10), (Unit::TokensOut, 20), (Unit::Cost, 1000)] {
            let seeds = store.used(&[ask(unit)], until).await.unwrap();
            assert_eq!(seeds[0].amount, 2 * Usage::MAX + own, "{unit} until {until}");
        }
    }
}
