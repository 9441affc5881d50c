//! A gateway in a box: the real binary on free ports in a directory of its own, what an
//! administrator and a caller say to it, and databases that go away. Only ever a dev-dependency;
//! everything here panics when the test cannot go on.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

mod admin;
mod caller;
mod database;
mod gateway;
pub mod postgres;
mod redis;
mod wire;

use std::time::Duration;

pub use admin::{Admin, Row};
pub use caller::{Caller, Ended};
pub use database::Locked;
pub use gateway::{Gateway, Planes, Signal};
pub use postgres::Postgres;
pub use redis::Redis;
pub use wire::Wire;

/// Longer than anything in a test takes, unless it never comes.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The first administrator's password.
pub(crate) const PASSWORD: &str = "correct-horse-battery-staple-42";

/// Asks again and again until there is an answer; the event it waits for has no other sign.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// A client that speaks to loopback only.
pub(crate) fn http_client() -> reqwest::Client {
    // Whoever was first has installed the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}
