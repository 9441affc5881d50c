//! The scripts count as the memory does: the same calls get in, the same use is told, and the same
//! moment at which there is room again.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Ask, Cluster, Counters, Held, Measure};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness::{Meet, Redis, until};

#[derive(Debug, Clone)]
enum Step {
    /// Time passes, or the clock is set back.
    Pass(i64),
    /// So much is asked for of one counter, or of all.
    Reserve(Option<usize>, u64),
    /// One of those that are held is settled: so many percent of it were used.
    Settle(usize, u64),
}

/// A counter of each measure, of small numbers and of some that a double just holds.
fn counters(run: &str) -> Vec<Ask> {
    let minute = Duration::from_secs(60);
    let hours = Duration::from_secs(5 * 3600);
    let odd = Duration::from_micros(59_999_999);
    let (start_us, big) = (1_700_000_000_000_000, 1 << 49);
    let measures = [
        (Measure::Bucket { window: minute, burst: 10 }, 60),
        (Measure::Bucket { window: odd, burst: 70 }, 7),
        (Measure::Bucket { window: hours, burst: big }, big / 3),
        (Measure::Sliding { window: minute }, 50),
        (Measure::Sliding { window: odd }, 70),
        (Measure::AtOnce, 40),
        (Measure::Period { start_us, end_us: Some(start_us + 90_000_000) }, 100),
        (Measure::Period { start_us: 0, end_us: None }, big),
    ];
    let asks = measures.into_iter().enumerate().map(|(i, (measure, limit))| {
        let counter = Arc::from(format!("{run}:{i}"));
        Ask { counter, measure, limit, amount: 0 }
    });
    asks.collect()
}

/// The next period of a counter, where its first one has ended.
fn at(measure: Measure, now_us: i64) -> Measure {
    match measure {
        Measure::Period { end_us: Some(end), .. } if now_us >= end => {
            Measure::Period { start_us: end, end_us: Some(end + 3_600_000_000) }
        }
        other => other,
    }
}

fn told(result: &Result<Held, cluster::Over>) -> Result<Vec<u64>, cluster::Over> {
    result.as_ref().map(|held| held.used().collect()).map_err(|over| *over)
}

async fn same(memory: &Counters, redis: &Counters, run: &str, steps: &[Step]) {
    let mut now_us = 1_700_000_000_000_000_i64;
    let (asks, mut held) = (counters(run), Vec::new());
    for (i, step) in steps.iter().enumerate() {
        match *step {
            Step::Pass(us) => now_us += us,
            Step::Reserve(which, amount) => {
                let some = asks.iter().enumerate().filter(|(i, _)| which.is_none_or(|w| w == *i));
                let some = some.map(|(_, ask)| {
                    // Large ones where there is much.
                    let amount = if ask.limit > 1000 { amount * (ask.limit / 90) } else { amount };
                    Ask { amount, measure: at(ask.measure, now_us), ..ask.clone() }
                });
                let some: Vec<Ask> = some.collect();
                let one = memory.reserve(now_us, &some).await;
                let other = redis.reserve(now_us, &some).await;
                assert_eq!(told(&one), told(&other), "step {i} of {steps:?}");
                held.extend(one.ok().zip(other.ok()));
            }
            Step::Settle(which, percent) if !held.is_empty() => {
                let (one, other) = held.swap_remove(which % held.len());
                let actual = one.amounts().map(|held| held / 100 * percent + held % 100 / 2);
                let actual: Vec<u64> = actual.collect();
                one.settle(&actual);
                other.settle(&actual);
                redis.flush().await.unwrap();
            }
            Step::Settle(..) => {}
        }
        for ask in &asks {
            let measure = at(ask.measure, now_us);
            let periods = matches!(measure, Measure::Period { .. } | Measure::AtOnce);
            if periods {
                let peeks = [memory, redis].map(|c| c.peek(&ask.counter, &measure, now_us));
                assert_eq!(peeks[0], peeks[1], "step {i} of {steps:?}");
            }
        }
    }
}

/// Steps, with a clock that goes on or one that is also set back.
fn steps(back_us: i64) -> impl Strategy<Value = Vec<Step>> {
    let which = if back_us > 0 { (0..8_usize).prop_map(Some).boxed() } else { Just(None).boxed() };
    let passes = prop_oneof![-back_us..=3_000_000_i64, 0..=90_000_000_i64];
    let reserve = (which, 0..16_u64).prop_map(|(which, amount)| Step::Reserve(which, amount));
    let settle = (0..99_usize, 0..=100_u64).prop_map(|(which, of)| Step::Settle(which, of));
    vec(prop_oneof![2 => passes.prop_map(Step::Pass), 5 => reserve, 2 => settle], 1..80)
}

fn compare(back_us: i64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let redis = Redis::start();
    let cluster: Cluster = redis.patient();
    runtime.block_on(until("it is there", || cluster.is_connected()));
    let shared = Counters::of(&cluster);
    let mut runner =
        TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(96) });
    let run = std::cell::Cell::new(0);
    let same = runner.run(&steps(back_us), |steps| {
        run.set(run.get() + 1);
        let name = format!("{back_us}:{}", run.get());
        runtime.block_on(same(&Counters::memory(), &shared, &name, &steps));
        Ok(())
    });
    same.unwrap();
}

#[test]
fn one_counter_at_a_time_with_a_clock_that_is_set_back() {
    compare(20_000_000);
}

#[test]
fn all_counters_together() {
    compare(0);
}
