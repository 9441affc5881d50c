//! Roll-ups: their sums are those of the entries, in every dimension and over every range.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::{
    ProviderKeyId, ServiceKeyId, UpstreamId, UserId,
    log::{LogEntry, Outcome},
};
use rstest::rstest;
use store::{
    Dimension, Grain, JournalPosition, StatsFilter, StatsQuestion, TimeRange, Totals, Value,
};
use uuid::Uuid;

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, entry},
    upstreams::fields,
};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-01-30 22:00 UTC: the borders of a day and of a month are near.
const START: i64 = 1_769_810_400_000_000;

fn moment(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap()
}

fn at(offset: u64) -> JournalPosition {
    JournalPosition { journal: "node-1".into(), segment: 1, offset }
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange { from: moment(from), to: moment(to) }
}

fn question(from: i64, to: i64, by: &[Dimension]) -> StatsQuestion {
    let filter = StatsFilter::default();
    StatsQuestion { range: range(from, to), by: by.to_vec(), filter, every: None }
}

/// Calls over three days that differ in everything by which sums are told apart.
fn calls(count: u64) -> Vec<LogEntry> {
    let mut state = 7_u64;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (state >> 16) % below
    };
    (0..count)
        .map(|_| {
            let mut call = entry(START + next(3 * DAY as u64) as i64);
            call.owner = UserId(next(3) as i64 + 1);
            call.service_key = ServiceKeyId(next(5) as i64 + 1);
            let upstream = next(3) as i64;
            call.upstream = (upstream > 0).then_some(UpstreamId(upstream));
            call.provider_key = call.upstream.map(|_| ProviderKeyId(next(7) as i64 + 1));
            call.model_used = Some(format!("model {}", next(4)));
            call.status = [200, 201, 404, 429, 500, 0][next(6) as usize];
            call.outcome = Outcome::ALL[next(8) as usize];
            call.usage.input = next(1000);
            call.usage.output = next(500);
            call.cost_nano = (next(5) > 0).then(|| next(1_000_000) as i64);
            call.latency_us = next(3_000_000);
            if next(2) == 0 {
                call.metadata.insert("team".into(), format!("t{}", next(3)));
            }
            call
        })
        .collect()
}

/// Requests, errors, input, output, cost, latency.
type Sums = (u64, u64, u64, u64, i64, u64);

fn add(sums: &mut Sums, call: &LogEntry) {
    sums.0 += 1;
    let failed = match call.outcome {
        Outcome::ClientGone => false,
        Outcome::Completed => call.status >= 400,
        _ => true,
    };
    sums.1 += u64::from(failed);
    sums.2 += call.usage.input;
    sums.3 += call.usage.output;
    sums.4 += call.cost_nano.unwrap_or_default();
    sums.5 += call.latency_us;
}

fn sums(totals: &Totals) -> Sums {
    let Totals { requests, errors, input_tokens, output_tokens, cost_nano, latency_us, .. } =
        *totals;
    (requests, errors, input_tokens, output_tokens, cost_nano, latency_us)
}

fn value(call: &LogEntry, by: &Dimension) -> Option<Value> {
    Some(match by {
        Dimension::User => Value::Id(call.owner.0),
        Dimension::ServiceKey => Value::Id(call.service_key.0),
        Dimension::Upstream => Value::Id(call.upstream.map_or(0, |id| id.0)),
        Dimension::ProviderKey => Value::Id(call.provider_key.map_or(0, |id| id.0)),
        Dimension::Model => Value::Text(call.model_used.clone().unwrap()),
        Dimension::Status => Value::Status((call.status / 100) as u8),
        Dimension::Outcome => Value::Outcome(call.outcome.as_str()),
        Dimension::Tag(key) => Value::Text(call.metadata.get(key)?.clone()),
    })
}

#[rstest]
#[tokio::test]
async fn sums_equal_the_entries_in_every_dimension_and_range(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let calls = calls(700);
    // In any order, in batches that overlap, from two instances.
    store.append_log(&calls[300..], at(1)).await.unwrap();
    store.again().await.append_log(&calls[..350], at(2)).await.unwrap();
    store.append_log(&calls[600..], at(3)).await.unwrap();

    let single = [
        Dimension::User,
        Dimension::ServiceKey,
        Dimension::Upstream,
        Dimension::ProviderKey,
        Dimension::Model,
        Dimension::Status,
        Dimension::Outcome,
        Dimension::Tag("team".into()),
    ];
    let mut asked: Vec<Vec<Dimension>> = single.into_iter().map(|by| vec![by]).collect();
    asked.push(Vec::new());
    asked.push(vec![Dimension::Model, Dimension::ServiceKey]);
    asked.push(vec![Dimension::ProviderKey, Dimension::Status]);
    asked.push(vec![Dimension::Tag("team".into()), Dimension::User]);
    // Whole days, across the border of the month, a few minutes, and everything.
    for (from, to) in [
        (START, START + 3 * DAY),
        (START + 2 * HOUR, START + DAY + 2 * HOUR),
        (START + 7 * MINUTE, START + 2 * DAY + 3 * HOUR + 11 * MINUTE),
        (START + 90 * MINUTE, START + 150 * MINUTE),
    ] {
        for by in &asked {
            let mut expected: HashMap<Vec<Value>, Sums> = HashMap::new();
            for call in calls.iter().filter(|call| (from..to).contains(&call.started_us)) {
                let values: Option<Vec<_>> = by.iter().map(|by| value(call, by)).collect();
                let Some(values) = values else { continue };
                add(expected.entry(values).or_default(), call);
            }
            let found = store.statistics(&question(from, to, by), None).await.unwrap();
            assert_eq!(found.range, range(from, to));
            let found: HashMap<_, _> =
                found.groups.iter().map(|g| (g.values.clone(), sums(&g.totals))).collect();
            assert_eq!(found, expected, "{by:?} from {from} to {to}");
        }
    }
}

#[rstest]
#[tokio::test]
async fn a_series_has_a_bucket_for_each_interval_with_calls(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let calls = calls(300);
    store.append_log(&calls, at(1)).await.unwrap();
    for (every, length) in [(Grain::Minute, MINUTE), (Grain::Hour, HOUR), (Grain::Day, DAY)] {
        let mut expected: BTreeMap<i64, Sums> = BTreeMap::new();
        for call in &calls {
            add(expected.entry(call.started_us - call.started_us % length).or_default(), call);
        }
        let asked = StatsQuestion { every: Some(every), ..question(START, START + 3 * DAY, &[]) };
        let found = store.statistics(&asked, None).await.unwrap();
        let found: Vec<_> = found
            .groups
            .iter()
            .map(|group| (group.at.unwrap().timestamp_micros(), sums(&group.totals)))
            .collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{every:?}");
    }
}

#[rstest]
#[tokio::test]
async fn filters_count_what_they_mean_and_owners_see_their_own(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let calls = calls(300);
    store.append_log(&calls, at(1)).await.unwrap();
    let any = StatsFilter::default;
    let all = question(START, START + 3 * DAY, &[]);
    let found = async |filter: StatsFilter, owner: Option<i64>| {
        let asked = StatsQuestion { filter, ..all.clone() };
        let found = store.statistics(&asked, owner.map(UserId)).await.unwrap();
        found.groups.first().map_or(0, |group| group.totals.requests)
    };
    let count = |wanted: &dyn Fn(&LogEntry) -> bool| {
        calls.iter().filter(|call| wanted(call)).count() as u64
    };
    let team = || Some(("team".to_owned(), "t1".to_owned()));
    assert_eq!(found(any(), Some(2)).await, count(&|call| call.owner.0 == 2));
    let user = StatsFilter { user: Some(UserId(1)), ..any() };
    assert_eq!(found(user.clone(), None).await, count(&|call| call.owner.0 == 1));
    assert_eq!(found(user, Some(2)).await, 0);
    let key = StatsFilter { service_key: Some(ServiceKeyId(3)), status: Some(4), ..any() };
    let expected = count(&|call| call.service_key.0 == 3 && call.status / 100 == 4);
    assert_eq!(found(key, None).await, expected);
    let key = StatsFilter { provider_key: Some(ProviderKeyId(3)), ..any() };
    assert_eq!(found(key, None).await, count(&|call| call.provider_key == Some(ProviderKeyId(3))));
    let model = StatsFilter { model: Some("model 1".into()), ..any() };
    let one = |call: &LogEntry| call.model_used.as_deref() == Some("model 1");
    assert_eq!(found(model, None).await, count(&one));
    let left = StatsFilter { outcome: Some(Outcome::ClientGone), ..any() };
    assert_eq!(found(left, None).await, count(&|call| call.outcome == Outcome::ClientGone));
    let tagged = StatsFilter { tag: team(), ..any() };
    let ours = |call: &LogEntry| call.metadata.get("team").is_some_and(|team| team == "t1");
    assert_eq!(found(tagged, None).await, count(&ours));

    let faulty = async |by: &[Dimension], filter: StatsFilter| {
        let asked = StatsQuestion { by: by.to_vec(), filter, ..all.clone() };
        fields(store.statistics(&asked, None).await)
    };
    assert_eq!(faulty(&[Dimension::ServiceKey, Dimension::ProviderKey], any()).await, ["by"]);
    assert_eq!(faulty(&[Dimension::Model], StatsFilter { tag: team(), ..any() }).await, ["by"]);
    let three = [Dimension::Model, Dimension::Status, Dimension::User];
    assert_eq!(faulty(&three, any()).await, ["by"]);
    let endless =
        StatsQuestion { every: Some(Grain::Minute), ..question(START - 9 * DAY, START, &[]) };
    assert_eq!(fields(store.statistics(&endless, None).await), ["interval"]);
}

#[rstest]
#[tokio::test]
async fn latencies_are_merged_over_ranges_and_groups(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let calls = calls(600);
    store.append_log(&calls, at(1)).await.unwrap();
    let check = async |by: &[Dimension], wanted: &dyn Fn(&LogEntry, &Value) -> bool| {
        let asked = question(START, START + 3 * DAY, by);
        let (_, found) = store.latencies(&asked, None).await.unwrap();
        assert!(!found.is_empty());
        for group in found {
            let of = group.values.first().cloned().unwrap_or(Value::Other);
            let mut exact: Vec<u64> =
                calls.iter().filter(|call| wanted(call, &of)).map(|call| call.latency_us).collect();
            exact.sort_unstable();
            assert_eq!(group.calls(), exact.len() as u64, "{of:?}");
            for percent in [50, 95, 99] {
                let exact = exact[(exact.len() * percent).div_ceil(100) - 1];
                let found = group.percentile(percent as u64).unwrap();
                assert!(
                    found.abs_diff(exact) * 6 <= exact + 6,
                    "{of:?} {percent}: {found} {exact}"
                );
            }
        }
    };
    check(&[], &|_, _| true).await;
    check(&[Dimension::Model], &|call, of| value(call, &Dimension::Model).as_ref() == Some(of))
        .await;
    check(&[Dimension::ServiceKey], &|call, of| {
        value(call, &Dimension::ServiceKey).as_ref() == Some(of)
    })
    .await;
    let by_key = question(START, START + DAY, &[Dimension::ProviderKey]);
    assert_eq!(fields(store.latencies(&by_key, None).await), ["by"]);
}

#[rstest]
#[tokio::test]
async fn labels_beyond_the_bound_are_summed_as_other(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let call = |i: i64, reached: bool, model: String| {
        let mut call = entry(START + i);
        call.id = Uuid::now_v7();
        call.upstream = reached.then_some(UpstreamId(1));
        call.metadata.insert(format!("key{}", i % 30), format!("v{model}"));
        call.model_used = Some(model);
        call
    };
    let batch: Vec<_> = (0..1500).map(|i| call(i, true, format!("m{i:04}"))).collect();
    store.append_log(&batch, at(1)).await.unwrap();
    // Words that reached no upstream have a small bound of their own.
    let batch: Vec<_> = (0..300).map(|i| call(i, false, format!("x{i:04}"))).collect();
    store.again().await.append_log(&batch, at(2)).await.unwrap();
    let late = call(1, true, "z".repeat(5000));
    store.append_log(&[late], at(3)).await.unwrap();

    let by = async |by: Dimension| {
        let found = store.statistics(&question(START, START + HOUR, &[by]), None).await.unwrap();
        let other = found.groups.iter().find(|group| group.values == [Value::Other]);
        (found.groups.len(), other.map_or(0, |group| group.totals.requests))
    };
    assert_eq!(by(Dimension::Model).await, (1000 + 100 + 1, 500 + 200 + 1));
    let (values, other) = by(Dimension::Tag("key0".into())).await;
    assert_eq!((values, other), (50 + 1, 10));
    // The key of a tag beyond the bound has no sums of its own.
    assert_eq!(by(Dimension::Tag("key9".into())).await, (0, 0));
    let all = store.statistics(&question(START, START + HOUR, &[]), None).await.unwrap();
    assert_eq!(all.groups[0].totals.requests, 1801);
}
