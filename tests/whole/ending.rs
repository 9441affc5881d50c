//! What signals do to a running gateway, and what is there after its end.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use testkit::{Ended, Gateway, Signal};

use super::{furnish, gateway, providers};

/// What the README says to run when the gateway has ended.
fn backup_command() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let line = readme.lines().find(|line| line.trim_start().starts_with("cp data/tollgate.db"));
    line.expect("the README says how to make a backup").trim().to_owned()
}

async fn names_of_keys(gateway: &Gateway) -> Vec<Value> {
    let keys = gateway.admin().await.get("/api/admin/keys?limit=100").await;
    keys["items"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_as_the_readme_says_holds_everything() {
    let providers = providers().await;
    let mut first = gateway();
    first.start().await;
    let secrets: Vec<String> = (0..20).map(|n| format!("sk-backup-{n:02}")).collect();
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let admin = first.admin().await;
    admin.upstream("openai", &providers.base_url(), &secrets).await;
    let (_, key) = admin.service_key("my app").await;
    super::until_served(&first.caller(&key), "first").await;
    let names = names_of_keys(&first).await;
    assert_eq!(names.len(), 20);
    let log = testkit::until("the log catches up", || async {
        let log = admin.log().await;
        (!log.is_empty()).then_some(log)
    })
    .await;
    first.stop().await;

    let place = first.data_dir().parent().unwrap().to_owned();
    let backup = tempfile::tempdir().unwrap();
    let command = backup_command().replace("/path/of/the/backup", backup.path().to_str().unwrap());
    let copied = Command::new("sh").args(["-c", &command]).current_dir(place).status();
    assert!(copied.unwrap().success(), "{command}");

    let mut second = gateway().with("TOLLGATE_DATA_DIR", backup.path());
    second.start().await;
    assert_eq!(names_of_keys(&second).await, names);
    second.caller(&key).answered("restored").await;
    let restored = second.admin().await.log().await;
    assert!(log.keys().all(|id| restored.contains_key(id)), "calls are missing");
    // Nor is what was copied from taken for what a crash has left.
    first.start().await;
    for gateway in [&first, &second] {
        assert!(!gateway.log().contains("not in order"), "{}", gateway.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_stops_listening_it_is_said_that_no_calls_should_come() {
    let providers = providers().await;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut gateway = gateway().with("TOLLGATE_SHUTDOWN_DELAY", "10m");
        gateway.start().await;
        let key = furnish(&gateway, &providers).await;
        let caller = gateway.caller(&key);

        gateway.signal(signal);

        gateway.said("not ready from now on").await;
        let (status, words) = caller.text("/readyz").await;
        assert_eq!(status, 503);
        assert!(words.contains("about to end"), "{words}");
        let answer = caller.chat("late", false).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["connection"], "close");
        let management = format!("http://{}/readyz", gateway.management());
        let answer = super::client().get(management).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["connection"]),
            (503, &"close".parse().unwrap())
        );

        // A second signal ends it, whatever is under way; what was stored is in the file.
        gateway.signal(signal);
        let status = gateway.ended().await;
        assert_eq!(status.code(), Some(128 + signal as i32));
        let log = gateway.database().with_extension("db-wal");
        assert!(fs::metadata(log).is_err(), "a write-ahead log is left");
        gateway.start().await;
        gateway.caller(&key).answered("again").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_take_longer_than_they_may_are_cut_short_counted_and_entered() {
    let providers = providers().await;
    let mut gateway = gateway().with("TOLLGATE_SHUTDOWN_GRACE", "1s");
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;
    let stream = gateway.caller(&key).chat("endless", true);
    let stream = stream.header("x-mock", "events=100000,pace=100").send().await.unwrap();
    assert!(stream.status().is_success());

    gateway.terminate();

    let said = gateway.said("ended: ").await;
    assert!(said.contains("1 were cut short"), "{said}");
    assert!(stream.text().await.is_err(), "the client sees that the answer is not whole");
    assert!(gateway.ended().await.success());
    gateway.start().await;
    let log = gateway.admin().await.log().await;
    assert_eq!(log["endless"].len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_signals_do_not_end_it_and_sighup_takes_over_how_much_is_logged() {
    let providers = providers().await;
    let mut gateway = gateway();
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;
    let file = gateway.data_dir().parent().unwrap().join("tollgate.yaml");
    fs::write(&file, "log:\n  level: debug\nproxy:\n  threads: 7\n").unwrap();

    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGHUP] {
        gateway.signal(signal);
    }

    let said = gateway.said("took over how much is logged").await;
    assert!(said.contains("a restart takes over proxy.threads"), "{said}");
    gateway.signal(Signal::SIGUSR1);
    gateway.said("SIGUSR1 asks for nothing here").await;
    fs::write(&file, "log:\n  level: loud\n").unwrap();
    gateway.signal(Signal::SIGHUP);
    gateway.said("everything stays as it is").await;
    assert_eq!(gateway.caller(&key).call("still", false).await, Ended::Answered);
}
