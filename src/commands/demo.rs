//! `tollgate demo`: the main job from end to end, against simulated providers, through the public
//! API; then a table of what happened. Nothing is left behind.

mod api;
mod calls;
mod house;
mod report;

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use self::{
    api::Api,
    calls::{Call, Served},
    house::House,
};
use crate::words::tell;

/// The keys of the large pool. The simulated providers act on the name of a key.
const POOL: [(&str, &str); 12] = [
    ("key 01", "sk-demo-01"),
    ("key 02", "sk-demo-02"),
    ("key 03, dead", "sk-demo-03.401"),
    ("key 04", "sk-demo-04"),
    ("key 05, limited", "sk-demo-05.429=60"),
    ("key 06", "sk-demo-06"),
    ("key 07", "sk-demo-07"),
    ("key 08, failing twice", "sk-demo-08.500.calls=2"),
    ("key 09", "sk-demo-09"),
    ("key 10, limited", "sk-demo-10.429=30"),
    ("key 11", "sk-demo-11"),
    ("key 12, dead", "sk-demo-12.401"),
];

/// Walks through the main job; with `keep`, the gateway and the providers stay.
pub(crate) fn run(keep: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        tokio::select! {
            walked = walk(keep) => walked,
            // Dropping the walk ends the processes.
            stopped = tokio::signal::ctrl_c() => Ok(stopped?),
        }
    })
}

async fn walk(keep: bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    let house = House::build().await?;
    tell(&report::title(&house));
    let api = Api::sign_in(&house.management, house.password()).await?;
    let key = set_up(&api, &house.providers).await?;
    tell(&report::step("set up", "3 upstreams, 16 provider keys, 1 service key", begun.elapsed()));

    let calling = Instant::now();
    let served = calls::make(&house.gateway, &key, &calls::plan()).await?;
    tell(&report::step("called", &report::summary(&served), calling.elapsed()));

    let entries = all_entries(&api, served.len()).await?;
    let keys = api.list("/api/admin/keys?limit=100").await?;
    tell(&report::pool(&entries, &keys));
    tell(&report::dialects(&entries));
    tell(&report::failovers(&entries));
    tell(&report::ledger(&served, &entries));
    check(&served, entries.len())?;
    if keep {
        tell(&report::kept(&house, &key));
        house.keep();
    } else {
        house.take_down()?;
        tell("Everything has been taken down again; nothing is left behind.");
    }
    Ok(())
}

/// Creates the upstreams with their pools; returns the service key.
async fn set_up(api: &Api, providers: &str) -> anyhow::Result<String> {
    let mut pools = vec![("openai", POOL.to_vec())];
    pools.push(("anthropic", vec![("claude 1", "sk-ant-demo-1"), ("claude 2", "sk-ant-demo-2")]));
    pools.push(("gemini", vec![("gemini 1", "AIza-demo-1"), ("gemini 2", "AIza-demo-2")]));
    for (provider, keys) in pools {
        let upstream = json!({
            "name": provider, "provider": provider, "base_url": providers,
            "timeout": 60, "retry_count": 4,
        });
        let upstream = api.post("/api/admin/upstreams", upstream).await?["id"].clone();
        for (name, value) in keys {
            let key = json!({"upstream_id": upstream, "name": name, "key_value": value});
            api.post("/api/admin/keys", key).await?;
        }
    }
    let made = api.post("/api/admin/service-keys", json!({"name": "demo"})).await?;
    Ok(made["key"].as_str().context("a service key was made without a key")?.to_owned())
}

/// The log entries of all calls, as soon as the database has them.
async fn all_entries(api: &Api, calls: usize) -> anyhow::Result<Vec<serde_json::Value>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let entries = api.list("/api/admin/logs?limit=100").await?;
        if entries.len() >= calls || Instant::now() > deadline {
            return Ok(entries);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Fails if a call failed or a log entry is missing.
fn check(served: &[Served], entries: usize) -> anyhow::Result<()> {
    let failed: Vec<&Call> = served.iter().filter(|s| s.status != 200).map(|s| &s.call).collect();
    anyhow::ensure!(failed.is_empty(), "{} calls were not answered: {failed:?}", failed.len());
    anyhow::ensure!(entries == served.len(), "{} calls left {entries} log entries", served.len());
    Ok(())
}
