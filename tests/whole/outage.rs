//! The data plane serves whatever becomes of the database, and catches up afterwards.

use std::process::Command;

use reqwest::StatusCode;
use testkit::postgres::{database_name, over};
use testkit::{Admin, Ended, Gateway, Locked, Postgres};

use super::{furnish, gateway, providers};

/// Calls `count` times; every call must be answered. Gives their ids.
async fn call(gateway: &Gateway, key: &str, name: &str, count: usize) -> Vec<String> {
    let caller = gateway.caller(key);
    let ids: Vec<String> = (0..count).map(|n| format!("{name}-{n}")).collect();
    for id in &ids {
        caller.answered(id).await;
    }
    ids
}

/// Waits until each of these calls has its entry, and sees that none has two.
async fn caught_up(admin: &Admin, ids: &[String]) {
    let log = testkit::until("the log catches up", || async {
        let log = admin.log().await;
        ids.iter().all(|id| log.contains_key(id)).then_some(log)
    })
    .await;
    for (id, rows) in log {
        assert_eq!(rows.len(), 1, "{id} has {rows:?}");
    }
}

/// No file of the gateway may grow beyond so many bytes: as on a full disk, writing fails.
fn limit_files(gateway: &Gateway, bytes: &str) {
    let pid = gateway.pid().to_string();
    let limit = format!("--fsize={bytes}:unlimited");
    let set = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(set.unwrap().success());
}

async fn still_ready(gateway: &Gateway) {
    assert_eq!(gateway.caller("").get("/readyz").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_holds_no_call_up() {
    let providers = providers().await;
    let mut gateway = gateway();
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;

    let locked = Locked::hold(&gateway.database());
    let ids = call(&gateway, &key, "locked", 50).await;
    still_ready(&gateway).await;
    drop(locked);

    caught_up(&gateway.admin().await, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_holds_no_call_up() {
    let providers = providers().await;
    let mut gateway = gateway();
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;
    let admin = gateway.admin().await;

    // No file may grow beyond what the database has long been: writing to it fails. The journal
    // goes on in new files.
    limit_files(&gateway, "32768");
    let ids = call(&gateway, &key, "full", 100).await;
    still_ready(&gateway).await;
    assert!(!admin.log().await.contains_key(&ids[99]), "the database could be written");
    limit_files(&gateway, "unlimited");

    caught_up(&admin, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_nothing_refuses_new_calls_and_loses_none_of_those_under_way() {
    let providers = providers().await;
    let mut gateway = gateway();
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;
    let caller = gateway.caller(&key);
    let under_way = caller.chat("under-way", true).header("x-mock", "events=50,pace=10");
    let under_way = under_way.send().await.unwrap();

    limit_files(&gateway, "0");
    assert_eq!(
        caller.call("refused", false).await,
        Ended::Refused(StatusCode::SERVICE_UNAVAILABLE)
    );
    let text = under_way.text().await.unwrap();
    assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
    limit_files(&gateway, "unlimited");

    testkit::until("calls are taken again", || async {
        (caller.call("again", false).await == Ended::Answered).then_some(())
    })
    .await;
    let admin = gateway.admin().await;
    caught_up(&admin, &["under-way".to_owned(), "again".to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_holds_no_call_up_and_neither_does_its_restart() {
    let providers = providers().await;
    let postgres = Postgres::alone();
    let url = postgres.database();
    let mut gateway = gateway().with("TOLLGATE_DATABASE__URL", &url);
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;

    postgres.stop();
    let ids = call(&gateway, &key, "gone", 50).await;
    still_ready(&gateway).await;
    postgres.restart();

    testkit::until("the management plane is back", || async {
        gateway.can_sign_in().await.then_some(())
    })
    .await;
    caught_up(&gateway.admin().await, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_holds_no_call_up() {
    let providers = providers().await;
    let postgres = Postgres::alone();
    let url = postgres.database();
    let mut gateway = gateway().with("TOLLGATE_DATABASE__URL", &url);
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;
    let read_only = |on: bool| {
        let name = database_name(&url);
        let database = format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
        postgres.run("postgres", &database);
        // Those who are connected keep what they had.
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        postgres.run("postgres", &end);
    };
    read_only(true);
    let ids = call(&gateway, &key, "read-only", 50).await;
    still_ready(&gateway).await;
    read_only(false);

    testkit::until("the management plane is back", || async {
        gateway.can_sign_in().await.then_some(())
    })
    .await;
    caught_up(&gateway.admin().await, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_answered_while_the_database_was_away_survives_a_kill() {
    let providers = providers().await;
    let postgres = Postgres::alone();
    let url = postgres.database();
    let mut gateway = gateway().with("TOLLGATE_DATABASE__URL", &url);
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;

    postgres.stop();
    let ids = call(&gateway, &key, "before-the-kill", 20).await;
    gateway.kill();
    postgres.restart();
    gateway.start().await;

    caught_up(&gateway.admin().await, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_database_that_die_in_silence_hold_nothing_up() {
    let providers = providers().await;
    let postgres = Postgres::alone();
    let url = postgres.database();
    let wire = postgres.wire().await;
    let mut gateway = gateway()
        .with("TOLLGATE_DATABASE__URL", over(&wire, &url))
        .with("TOLLGATE_DATABASE__STATEMENT_TIMEOUT", "1s");
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;

    // Log entries are on their way while the connections die under them, again and again.
    let mut ids = Vec::new();
    for round in 0..3 {
        ids.extend(call(&gateway, &key, &format!("before-{round}"), 20).await);
        wire.silence();
        ids.extend(call(&gateway, &key, &format!("after-{round}"), 20).await);
        caught_up_in(&postgres, &url, &ids).await;
    }
    still_ready(&gateway).await;

    // Nor does the end wait for what will never come.
    ids.extend(call(&gateway, &key, "at-the-end", 20).await);
    wire.silence();
    gateway.stop().await;
    gateway.start().await;
    caught_up(&gateway.admin().await, &ids).await;
}

/// Waits until the database itself has an entry of each of these calls.
async fn caught_up_in(postgres: &Postgres, url: &str, ids: &[String]) {
    let ids: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    let sql = format!("SELECT count(*) FROM request_logs WHERE request_id IN ({})", ids.join(","));
    testkit::until("the log catches up", || async {
        (postgres.run(database_name(url), &sql) == ids.len().to_string()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_confirmed_takes_the_gateway_out_of_the_balancer() {
    let providers = providers().await;
    let postgres = Postgres::alone();
    let url = postgres.database();
    let mut gateway = gateway()
        .with("TOLLGATE_DATABASE__URL", &url)
        .with("TOLLGATE_PROXY__SNAPSHOT_MAX_AGE", "1s");
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;
    let admin = gateway.admin().await;
    let (id, unknown) = admin.service_key("short-lived").await;
    let (known, unknown) = (gateway.caller(&key), gateway.caller(&unknown));
    let path = format!("/api/admin/service-keys/{id}");
    admin.ask(reqwest::Method::DELETE, &path, None).await;
    testkit::until("the key is unknown", || async {
        (unknown.text("/v1/models").await.0 == 401).then_some(())
    })
    .await;

    postgres.stop();

    testkit::until("it is not ready", || async {
        let (status, words) = known.text("/readyz").await;
        (status == 503 && words.contains("the configuration is too old")).then_some(())
    })
    .await;
    // The key may have been made meanwhile: nobody here can know.
    assert_eq!(unknown.text("/v1/models").await.0, 503);
    assert_eq!(known.text("/v1/models").await.0, 503);
    postgres.restart();
    testkit::until("it is ready again", || async {
        (known.get("/readyz").await == 200).then_some(())
    })
    .await;
    assert_eq!(known.call("again", false).await, Ended::Answered);
}
