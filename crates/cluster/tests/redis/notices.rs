//! Instances that hear of each other.

use std::process::Command;

use cluster::{Cluster, ClusterError, DEADLINE, Settings};
use domain::Revision;

use super::harness::{Meet, PATIENCE, Redis, instance_at, until};

/// Announces from `teller` until `listener` hears it: the listener may not have subscribed yet.
async fn until_heard(teller: &Cluster, listener: &Cluster, revision: Revision) {
    let mut heard = listener.announced();
    let wait = async {
        while *heard.borrow_and_update() != revision {
            drop(teller.announce(revision).await);
            drop(tokio::time::timeout(DEADLINE, heard.changed()).await);
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the notice arrives");
}

#[tokio::test]
async fn an_announcement_reaches_the_others_and_not_oneself() {
    let redis = Redis::start();
    let (first, second) = (redis.instance(), redis.instance());
    until_heard(&first, &second, Revision(7)).await;
    until_heard(&second, &first, Revision(8)).await;
    assert_eq!(*second.announced().borrow(), Revision(7));
}

#[tokio::test]
async fn instances_are_counted_while_they_live() {
    let redis = Redis::start();
    let (first, second) = (redis.instance(), redis.instance());
    let third = redis.instance();
    until("three are known", || first.known_instances() == 3).await;

    third.leave().await;
    until("one has left", || first.known_instances() == 2).await;
    drop(second);
    until("one is missed", || first.known_instances() == 1).await;
}

#[tokio::test]
async fn clusters_of_another_name_are_strangers() {
    let redis = Redis::start();
    let first = redis.instance();
    let url = redis.url();
    let settings = Settings { name: "another".to_owned(), ..Settings::new(url.into()) };
    let stranger = Cluster::redis(&settings).unwrap();
    let (second, heard) = (redis.instance(), stranger.announced());
    until_heard(&first, &second, Revision(7)).await;
    assert_eq!(*heard.borrow(), Revision(0));
    assert_eq!(stranger.known_instances(), 1);
}

#[tokio::test]
async fn redis_may_die_and_come_back() {
    let mut redis = Redis::start();
    let (first, second) = (redis.instance(), redis.instance());
    until_heard(&first, &second, Revision(1)).await;
    until("both are known", || first.known_instances() == 2).await;

    redis.kill();
    until("the loss is noticed", || !first.is_connected() && !second.is_connected()).await;
    assert!(first.known_instances() > 0, "the last known number stands");
    for _ in 0..100 {
        first.announce(Revision(2)).await.unwrap_err();
    }

    let mut heard = second.announced();
    heard.mark_unchanged();
    redis.restart();
    let reminder = tokio::time::timeout(PATIENCE, heard.changed()).await;
    reminder.expect("it is told to look for itself").unwrap();
    until_heard(&first, &second, Revision(3)).await;
    until("both are known again", || first.known_instances() == 2).await;
}

#[tokio::test]
async fn a_start_without_redis_is_a_start() {
    let mut redis = Redis::start();
    redis.kill();
    let (first, second) = (redis.instance(), redis.instance());
    assert_eq!(first.known_instances(), 1);
    let refused = first.announce(Revision(1)).await.unwrap_err();
    assert!(!matches!(refused, ClusterError::Address));

    redis.restart();
    until_heard(&first, &second, Revision(2)).await;
}

#[tokio::test]
async fn a_redis_that_hangs_holds_nobody_up() {
    let redis = Redis::start();
    let (first, second) = (redis.instance(), redis.instance());
    until_heard(&first, &second, Revision(1)).await;

    let pid = redis.pid().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    until("the loss is noticed", || !first.is_connected()).await;
    first.announce(Revision(2)).await.unwrap_err();
    signal("-CONT");
    until_heard(&first, &second, Revision(3)).await;
}

#[tokio::test]
async fn a_connection_that_dies_in_silence_is_given_up_for_a_new_one() {
    let redis = Redis::start();
    let wire = testkit::Wire::to_port(redis.port()).await;
    let (first, second) = (instance_at(wire.port()), redis.instance());
    until_heard(&first, &second, Revision(1)).await;

    wire.silence();

    until("the loss is noticed", || !first.is_connected()).await;
    until("it is connected anew", || first.is_connected()).await;
    until_heard(&first, &second, Revision(2)).await;
    until_heard(&second, &first, Revision(3)).await;
}
