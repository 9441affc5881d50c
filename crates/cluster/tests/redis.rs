//! Instances that meet in a real Redis, which each test starts, kills and starts again.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cluster::{Cluster, ClusterError, DEADLINE, Settings};
use domain::Revision;
use tempfile::TempDir;

/// Longer than anything here takes, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(120);

struct Redis {
    dir: TempDir,
    port: u16,
    server: Child,
}

impl Redis {
    fn start() -> Redis {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let dir = tempfile::tempdir().unwrap();
        let server = serve(&dir, port);
        Redis { dir, port, server }
    }

    fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    fn restart(&mut self) {
        self.server = serve(&self.dir, self.port);
    }

    fn instance(&self) -> Cluster {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let settings = Settings { beat: Duration::from_millis(500), ..Settings::new(url.into()) };
        Cluster::redis(&settings).unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn serve(dir: &TempDir, port: u16) -> Child {
    let mut server = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server is needed: scripts/setup installs it");
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).any(|line| line.contains("Ready to accept"));
    assert!(ready, "redis-server did not start");
    server
}

/// Waits until `now` says so.
async fn until(what: &str, now: impl Fn() -> bool) {
    let wait = async {
        while !now() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect(what);
}

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
    let url = format!("redis://127.0.0.1:{}", redis.port);
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

    let pid = redis.server.id().to_string();
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
