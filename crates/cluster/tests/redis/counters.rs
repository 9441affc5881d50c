//! Instances that share one count.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Ask, Cluster, Counters, Held, Measure};
use tokio::task::JoinSet;

use super::harness::{Meet, PATIENCE, Redis, Wire, until};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Measure = Measure::Period { start_us: 0, end_us: Some(86_400_000_000) };
const SLIDING: Measure = Measure::Sliding { window: MINUTE };
const BUCKET: Measure = Measure::Bucket { window: MINUTE, burst: 1000 };

fn ask(counter: &str, measure: Measure, limit: u64, amount: u64) -> Ask {
    Ask { counter: Arc::from(counter), measure, limit, amount }
}

/// Two instances that know of each other.
async fn two(redis: &Redis) -> ([Cluster; 2], [Counters; 2]) {
    let clusters = [redis.patient(), redis.patient()];
    until("both are known", || clusters.iter().all(|one| one.known_instances() == 2)).await;
    let counters = [Counters::of(&clusters[0]), Counters::of(&clusters[1])];
    (clusters, counters)
}

/// Another counter for each measure.
fn name(measure: &Measure) -> &'static str {
    match measure {
        Measure::Period { .. } => "c",
        Measure::Sliding { .. } => "sliding",
        Measure::Bucket { .. } => "bucket",
        Measure::AtOnce => "once",
    }
}

async fn take(counters: &Counters, measure: Measure, limit: u64, amount: u64) -> Option<Held> {
    counters.reserve(1, &[ask(name(&measure), measure, limit, amount)]).await.ok()
}

/// What Redis says is used, to one that takes nothing.
async fn used(counters: &Counters, measure: Measure) -> u64 {
    let held = take(counters, measure, 1 << 40, 0).await.unwrap();
    held.used().next().unwrap()
}

async fn until_used(counters: &Counters, measure: Measure, amount: u64) {
    let wait = async {
        while used(counters, measure).await != amount {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, wait).await;
    assert!(came.is_ok(), "{amount} of {measure:?} and not {}", used(counters, measure).await);
}

async fn both_lost(clusters: &[Cluster; 2]) {
    let lost = || clusters.iter().all(|one| !one.is_connected());
    until("both notice that redis is away", lost).await;
}

async fn both_back(clusters: &[Cluster; 2]) {
    let back = || clusters.iter().all(|one| one.is_connected() && one.known_instances() == 2);
    until("both are back", back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_of_two_instances_never_pass_a_limit_together() {
    let redis = Redis::start();
    let (_clusters, counters) = two(&redis).await;
    for measure in [DAY, SLIDING, BUCKET, Measure::AtOnce] {
        let mut calls = JoinSet::new();
        for i in 0..200_usize {
            let counters = counters[i % 2].clone();
            calls.spawn(async move { take(&counters, measure, 1000, 30).await });
        }
        let held: Vec<Held> = calls.join_all().await.into_iter().flatten().collect();
        assert_eq!(held.len(), 33, "{measure:?}");
        for counters in &counters {
            until_used(counters, measure, 990).await;
        }
        let refused =
            counters[1].reserve(1, &[ask(name(&measure), measure, 1000, 11)]).await.unwrap_err();
        assert_eq!((refused.index, refused.used, refused.most), (0, 990, 1000));
        drop(held);
        for counters in &counters {
            until_used(counters, measure, 0).await;
            assert_eq!(counters.peek(name(&measure), &measure, 1), 0);
        }
    }
}

#[tokio::test]
async fn a_reservation_takes_of_all_counters_or_of_none() {
    let redis = Redis::start();
    let (_clusters, [first, second]) = two(&redis).await;
    let asks = [
        ask("once", Measure::AtOnce, 10, 1),
        ask("day", DAY, 100, 10),
        ask("minute", SLIDING, 100, 10),
        ask("full", BUCKET, 100, 1001),
    ];
    let over = first.reserve(1, &asks).await.unwrap_err();
    assert_eq!((over.index, over.used, over.most, over.until_us), (3, 0, 1000, None));
    let held = second.reserve(1, &asks[..3]).await.unwrap();
    assert_eq!(held.used().collect::<Vec<_>>(), [1, 10, 10], "who is refused takes nothing");
    let over = first.reserve(1, &[ask("day", DAY, 100, 91)]).await.unwrap_err();
    assert_eq!((over.used, over.until_us), (10, Some(86_400_000_000)));
    // It heard of what the other one used.
    assert_eq!(first.find("day", 1, 9)[0].used, 10);
    assert_eq!(first.room(&ask("day", DAY, 100, 0), 1), 90);
    held.settle(&[1, 3, 4]);
    second.flush().await.unwrap();
    let held = first.reserve(1, &asks[..3]).await.unwrap();
    assert_eq!(held.used().collect::<Vec<_>>(), [1, 13, 14]);
}

#[tokio::test]
async fn what_is_held_may_be_settled_anywhere() {
    let redis = Redis::start();
    let (_clusters, [first, second]) = two(&redis).await;
    let [a, b] = [take(&first, DAY, 100, 40).await, take(&first, DAY, 100, 40).await];
    let outside = std::thread::spawn(move || {
        a.unwrap().settle(&[7]);
        drop(b);
    });
    outside.join().unwrap();
    until_used(&second, DAY, 7).await;
}

#[tokio::test]
async fn calls_of_an_instance_that_died_are_over() {
    let redis = Redis::start();
    let ([dies, _lives], [first, second]) = two(&redis).await;
    let held = take(&first, Measure::AtOnce, 10, 7).await.unwrap();
    let own = take(&second, Measure::AtOnce, 10, 2).await.unwrap();
    assert_eq!(used(&second, Measure::AtOnce).await, 9);
    assert!(take(&second, Measure::AtOnce, 10, 2).await.is_none());
    drop((dies, first));
    until_used(&second, Measure::AtOnce, 2).await;
    drop(held);
    drop(own);
}

#[tokio::test]
async fn an_instance_that_leaves_tells_what_it_used() {
    let redis = Redis::start();
    let ([leaves, _stays], [first, second]) = two(&redis).await;
    take(&first, DAY, 100, 50).await.unwrap().settle(&[20]);
    leaves.leave().await;
    assert_eq!(used(&second, DAY).await, 20);
}

#[tokio::test]
async fn seeds_are_added_once() {
    let redis = Redis::start();
    let (_clusters, [first, second]) = two(&redis).await;
    // It counts before it knows what was used before.
    let early = take(&first, DAY, 100, 5).await.unwrap();
    assert_eq!(early.used().next(), Some(5));
    first.seed("c", &DAY, 60, 1);
    second.seed("c", &DAY, 62, 1);
    let over = first.reserve(1, &[ask("c", DAY, 100, 41)]).await.unwrap_err();
    let before = over.used;
    assert!([65, 67].contains(&before), "{before}");
    assert_eq!(used(&second, DAY).await, before);
    // One that starts later knows what was logged meanwhile, and adds nothing.
    let third = redis.patient();
    let late = Counters::of(&third);
    late.seed("c", &DAY, 65, 1);
    late.flush().await.unwrap();
    assert_eq!(late.peek("c", &DAY, 1), before);
    assert_eq!(used(&late, DAY).await, before);
}

#[tokio::test]
async fn budgets_outlive_redis_and_each_goes_on_with_its_share() {
    let mut redis = Redis::start();
    let (clusters, [first, second]) = two(&redis).await;
    for one in [&first, &second] {
        one.seed("c", &DAY, 20, 1);
    }
    take(&first, DAY, 100, 20).await.unwrap().settle(&[20]);
    let open = take(&second, DAY, 100, 20).await.unwrap();
    let calls = [
        take(&first, Measure::AtOnce, 10, 2).await.unwrap(),
        take(&second, Measure::AtOnce, 10, 1).await.unwrap(),
    ];
    assert_eq!([used(&first, DAY).await, used(&second, DAY).await], [60, 60]);

    redis.kill();
    both_lost(&clusters).await;
    // Of the 40 that are left each has a half.
    let kept = take(&first, DAY, 100, 15).await.unwrap();
    let over = first.reserve(1, &[ask("c", DAY, 100, 6)]).await.unwrap_err();
    assert_eq!((over.used, over.most), (75, 80));
    assert_eq!(first.room(&ask("c", DAY, 100, 0), 1), 5);
    let given_back = take(&second, DAY, 100, 20).await.unwrap();
    assert!(take(&second, DAY, 100, 1).await.is_none());
    kept.settle(&[12]);
    drop(given_back);
    open.settle(&[4]);
    assert_eq!(second.peek("c", &DAY, 1), 44);

    redis.restart();
    both_back(&clusters).await;
    // Seeded, used by the first, settled by the second, used alone by the first.
    for one in [&first, &second] {
        until_used(one, DAY, 20 + 20 + 4 + 12).await;
        until_used(one, Measure::AtOnce, 3).await;
    }
    drop(calls);
    until_used(&first, Measure::AtOnce, 0).await;
}

#[tokio::test]
async fn the_one_that_heard_last_is_believed_when_redis_lost_its_data() {
    let mut redis = Redis::start();
    let (clusters, [first, second]) = two(&redis).await;
    first.seed("c", &DAY, 0, 1);
    take(&first, DAY, 100, 10).await.unwrap().settle(&[10]);
    take(&second, DAY, 100, 60).await.unwrap().settle(&[60]);
    redis.kill();
    both_lost(&clusters).await;
    redis.restart();
    both_back(&clusters).await;
    until_used(&first, DAY, 70).await;
    until_used(&second, DAY, 70).await;
}

#[tokio::test]
async fn a_seeded_budget_is_shared_as_far_as_it_is_left() {
    let mut redis = Redis::start();
    let (clusters, [first, _]) = two(&redis).await;
    redis.kill();
    both_lost(&clusters).await;
    first.seed("c", &DAY, 60, 1);
    let over = first.reserve(1, &[ask("c", DAY, 100, 21)]).await.unwrap_err();
    assert_eq!((over.used, over.most), (60, 80));
    take(&first, DAY, 100, 20).await.unwrap().settle(&[20]);
    assert!(take(&first, SLIDING, 100, 51).await.is_none());
}

#[tokio::test]
async fn an_answer_that_was_lost_is_not_counted_twice() {
    let redis = Redis::start();
    let wire = Wire::to(&redis).await;
    let clusters = [wire.patient(), redis.patient()];
    until("both are known", || clusters.iter().all(|one| one.known_instances() == 2)).await;
    let [first, second] = [Counters::of(&clusters[0]), Counters::of(&clusters[1])];
    // All that is run is known there: what is lost is an answer.
    take(&first, DAY, 100, 50).await.unwrap().settle(&[0]);
    first.flush().await.unwrap();
    let held = take(&first, DAY, 100, 50).await.unwrap();

    wire.lose_answers();
    held.settle(&[30]);
    until_used(&second, DAY, 30).await;
    // One more is made, and whoever asked for it has left.
    let asked = first.clone();
    let call = tokio::spawn(async move { take(&asked, DAY, 100, 5).await });
    until_used(&second, DAY, 35).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    // And one is asked for that has its answer from the second try.
    let asked = first.clone();
    let call = tokio::spawn(async move { take(&asked, DAY, 100, 7).await });
    until_used(&second, DAY, 42).await;

    wire.mend();
    let again = call.await.unwrap().unwrap();
    until_used(&second, DAY, 37).await;
    first.flush().await.unwrap();
    assert_eq!(used(&first, DAY).await, 37);
    again.settle(&[1]);
    until_used(&second, DAY, 31).await;
}

#[tokio::test]
async fn one_that_comes_late_is_taken_back() {
    let redis = Redis::start();
    let wire = Wire::to(&redis).await;
    let clusters = [wire.hasty(), redis.patient()];
    until("both are known", || clusters.iter().all(|one| one.known_instances() == 2)).await;
    let [first, second] = [Counters::of(&clusters[0]), Counters::of(&clusters[1])];
    wire.lose_answers();
    let alone = take(&first, BUCKET, 1000, 500).await.unwrap();
    assert!(take(&first, BUCKET, 1000, 1).await.is_none(), "its share is used");
    wire.mend();
    // What it took alone of a bucket it does not tell.
    until_used(&second, BUCKET, 0).await;
    drop(alone);
}
