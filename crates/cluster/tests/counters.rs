//! Counters of one instance under many calls at once.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Ask, Counters, Measure};
use tokio::task::JoinSet;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Measure = Measure::Period { start_us: 0, end_us: Some(86_400_000_000) };

fn ask(counter: &str, measure: Measure, limit: u64, amount: u64) -> Ask {
    Ask { counter: Arc::from(counter), measure, limit, amount }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_at_once_never_pass_a_budget() {
    let counters = Counters::memory();
    let mut calls = JoinSet::new();
    for i in 0..200_u64 {
        let counters = counters.clone();
        calls.spawn(async move {
            // The same counters in another order: nobody waits for somebody who waits.
            let mut asks = [ask("budget", DAY, 1000, 30), ask("calls", Measure::AtOnce, 1000, 1)];
            asks.rotate_left((i % 2) as usize);
            counters.reserve(1, &asks).await
        });
    }
    let held: Vec<_> = calls.join_all().await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(held.len(), 33);
    assert_eq!(counters.peek("budget", &DAY, 1), 990);
    assert_eq!(counters.peek("calls", &Measure::AtOnce, 1), 33, "who is refused takes nothing");
    drop(held);
    assert_eq!(counters.peek("budget", &DAY, 1), 0, "who fails gives back");
    assert_eq!(counters.peek("calls", &Measure::AtOnce, 1), 0);
}

#[tokio::test]
async fn a_reservation_is_settled_in_the_period_in_which_it_was_made() {
    let counters = Counters::memory();
    let next = Measure::Period { start_us: 86_400_000_000, end_us: None };
    let today = counters.reserve(1, &[ask("b", DAY, 100, 80)]).await.unwrap();
    let over = counters.reserve(2, &[ask("b", DAY, 100, 30)]).await.unwrap_err();
    assert_eq!((over.index, over.used, over.until_us), (0, 80, Some(86_400_000_000)));
    today.settle(&[20]);
    assert_eq!(counters.peek("b", &DAY, 2), 20);
    let late = counters.reserve(3, &[ask("b", DAY, 100, 80)]).await.unwrap();
    let new = [ask("b", next, 100, 70)];
    counters.reserve(86_400_000_001, &new).await.unwrap().settle(&[70]);
    late.settle(&[0]);
    assert_eq!(counters.peek("b", &next, 86_400_000_002), 70);
    // The clock goes back, and the day that is over stays over.
    let back = counters.reserve(5, &[ask("b", DAY, 100, 31)]).await.unwrap_err();
    assert_eq!(back.used, 70);
}

#[tokio::test]
async fn no_window_holds_more_than_the_limit() {
    let counters = Counters::memory();
    let minute = Measure::Sliding { window: MINUTE };
    let (mut taken, mut now) = (Vec::new(), 0_i64);
    for step in 0..2_000_i64 {
        now += 97_003 + step % 7 * 31_000;
        let asks = [ask("w", minute, 50, 1)];
        if let Ok(held) = counters.reserve(now, &asks).await {
            held.settle(&[1]);
            taken.push(now);
        }
    }
    let in_window = |at: &i64| taken.iter().filter(|t| (at - 60_000_000..=*at).contains(t)).count();
    assert_eq!(taken.iter().map(in_window).max(), Some(50));
    let over = counters.reserve(now, &[ask("w", minute, 50, 50)]).await.unwrap_err();
    let until = over.until_us.unwrap();
    assert!((now..=now + 61_000_000).contains(&until));
    counters.reserve(until, &[ask("w", minute, 50, 50)]).await.unwrap();
}

#[tokio::test]
async fn a_bucket_fills_up_at_its_rate_and_says_when() {
    let counters = Counters::memory();
    let bucket = Measure::Bucket { window: MINUTE, burst: 10 };
    let asks = |amount| [ask("t", bucket, 60, amount)];
    counters.reserve(0, &asks(10)).await.unwrap().settle(&[10]);
    let over = counters.reserve(0, &asks(3)).await.unwrap_err();
    assert_eq!((over.used, over.until_us), (10, Some(3_000_000)));
    assert!(counters.reserve(2_999_999, &asks(3)).await.is_err());
    counters.reserve(3_000_000, &asks(3)).await.unwrap().settle(&[3]);
    let never = counters.reserve(3_000_000, &asks(11)).await.unwrap_err();
    assert_eq!(never.until_us, None);
}

#[tokio::test]
async fn what_is_idle_is_forgotten_and_what_is_held_is_not() {
    let counters = Counters::memory();
    let one = [ask("held", Measure::AtOnce, 1, 1)];
    let held = counters.reserve(0, &one).await.unwrap();
    counters.seed("limit:7:a", &DAY, 5, 0);
    counters.seed("limit:7:b", &DAY, 9, 0);
    let found = counters.find("limit:7:", 0, 1);
    assert_eq!((&*found[0].counter, found[0].used, found.len()), ("limit:7:b", 9, 1));
    counters.prune(86_400_000_000);
    assert_eq!(counters.len(), 1);
    assert!(counters.reserve(0, &one).await.is_err());
    held.release();
    counters.prune(86_400_000_000);
    assert!(counters.is_empty());
}
