//! The planes as two processes on one database: each lives without the other, and what is changed
//! in one is served by the other. And the end of a process with calls under way.

use serde_json::json;
use testkit::{Ended, Gateway, Planes, Postgres};

use super::{furnish, gateway, providers, until_served};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_one_process_is_served_by_the_other() {
    let providers = providers().await;
    let mut management = gateway().planes(Planes::Management);
    management.start().await;
    let mut proxy = management.beside().planes(Planes::Proxy);
    proxy.start().await;
    let admin = management.admin().await;
    admin.upstream("openai", &providers.base_url(), &["sk-one"]).await;
    let (id, key) = admin.service_key("my app").await;
    let caller = proxy.caller(&key);
    until_served(&caller, "first").await;

    admin.patch(&format!("/api/admin/service-keys/{id}"), json!({"enabled": false})).await;

    testkit::until("the key is refused", || async {
        matches!(caller.call("later", false).await, Ended::Refused(_)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_plane_serves_without_the_management_plane_and_the_other_way_round() {
    let providers = providers().await;
    let mut management = gateway().planes(Planes::Management);
    management.start().await;
    let mut proxy = management.beside().planes(Planes::Proxy);
    proxy.start().await;
    let admin = management.admin().await;
    admin.upstream("openai", &providers.base_url(), &["sk-one"]).await;
    let (_, key) = admin.service_key("my app").await;
    until_served(&proxy.caller(&key), "first").await;

    management.kill();
    for n in 0..20 {
        proxy.caller(&key).answered(&format!("alone-{n}")).await;
    }
    management.start().await;
    proxy.kill();
    let admin = management.admin().await;
    admin.service_key("another app").await;
    proxy.start().await;
    proxy.caller(&key).answered("again").await;

    testkit::until("every call has its entry", || async {
        let log = admin.log().await;
        (0..20).all(|n| log.contains_key(&format!("alone-{n}"))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_asked_to_end_completes_its_streams() {
    let providers = providers().await;
    let mut gateway = gateway();
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;
    let mut streams = Vec::new();
    for n in 0..10 {
        let stream = gateway.caller(&key).chat(&format!("open-{n}"), true);
        let stream = stream.header("x-mock", "events=100,pace=10").send().await.unwrap();
        assert!(stream.status().is_success());
        streams.push(stream);
    }

    gateway.terminate();

    for stream in streams {
        let text = stream.text().await.expect("the stream is not cut off");
        assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
    }
    assert!(gateway.ended().await.success());
    gateway.start().await;
    let log = gateway.admin().await.log().await;
    for n in 0..10 {
        let rows = &log[&format!("open-{n}")];
        assert_eq!((rows.len(), rows[0].outcome.as_str()), (1, "completed"));
    }
}

/// Three instances on one empty database, each with a directory of its own.
fn three(url: &str, password: &str) -> [Gateway; 3] {
    let key = "00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f";
    [(); 3].map(|()| {
        gateway()
            .with("TOLLGATE_DATABASE__URL", url)
            .with("TOLLGATE_MASTER_KEY", key)
            .with("TOLLGATE_ADMIN_PASSWORD", password)
    })
}

async fn start_at_once([a, b, c]: &mut [Gateway; 3]) {
    tokio::join!(a.start(), b.start(), c.start());
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_may_start_at_once_on_an_empty_database() {
    let url = Postgres::shared().database();
    let mut all = three(&url, "correct-horse-battery-staple-42");
    start_at_once(&mut all).await;
    for gateway in &all {
        assert!(gateway.can_sign_in().await);
    }

    // Another master key is of no use, and none is left that looks as if it were.
    let mut stranger = gateway().with("TOLLGATE_DATABASE__URL", &url);
    let status = stranger.fails().await;
    let said = stranger.log();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("was started with one already"), "{said}");
    assert!(!stranger.data_dir().join("master.key").exists());
    let other = "ffeeddccbbaa99887766554433221100f0e1d2c3b4a5968778695a4b3c2d1e0f";
    let mut stranger =
        gateway().with("TOLLGATE_DATABASE__URL", &url).with("TOLLGATE_MASTER_KEY", other);
    stranger.fails().await;
    let said = stranger.log();
    assert!(said.contains("all instances on one database need the same one"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_at_once_log_the_same_set_up_token() {
    let url = Postgres::shared().database();
    let mut all = three(&url, "");
    start_at_once(&mut all).await;
    let mut tokens = Vec::new();
    for gateway in &mut all {
        let line = gateway.said("nobody can sign in yet").await;
        tokens.push(line.split("tgs-").nth(1).unwrap().to_owned());
    }
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
}
