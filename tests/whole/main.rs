//! The whole binary against simulated providers: what it keeps when it is killed, when its
//! database is away, and when one of its planes ends.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

mod crash;
mod ending;
mod outage;
mod planes;
mod pools;

use std::time::Duration;

use mock::{Mock, Script};
use testkit::{Caller, Gateway};

/// A gateway that is not started yet.
fn gateway() -> Gateway {
    Gateway::new(env!("CARGO_BIN_EXE_tollgate"))
}

/// Providers that take their time over streams, so that there is a middle to be hit.
async fn providers() -> Mock {
    Mock::start(Script::default().pace(Duration::from_millis(3))).await.unwrap()
}

/// A client that speaks to loopback only.
fn client() -> reqwest::Client {
    // Whoever was first has installed the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// An upstream with three provider keys behind `gateway`, and a service key for it.
async fn furnish(gateway: &Gateway, providers: &Mock) -> String {
    let admin = gateway.admin().await;
    admin.upstream("openai", &providers.base_url(), &["sk-one", "sk-two", "sk-three"]).await;
    let (_, key) = admin.service_key("my app").await;
    let caller = gateway.caller(&key);
    until_served(&caller, "first").await;
    key
}

/// Calls until the data plane knows what was just configured; the calls are named after `name`.
async fn until_served(caller: &Caller, name: &str) {
    let mut n = 0;
    testkit::until("the change reaches the data plane", || {
        n += 1;
        let id = format!("{name}-{n}");
        async move { (caller.call(&id, false).await == testkit::Ended::Answered).then_some(()) }
    })
    .await;
}
