//! What is answered here and needs no key: whether we live, whether we are ready, and the hint
//! for whoever took the wrong port. Neither asks the database anything.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::json;

use crate::{
    client::Client, door::Door, gateway::Gateway, headers::JSON, journal::Health, refusal::Refusal,
};

/// Log entries that have waited for longer than this are late.
const BEHIND: Duration = Duration::from_secs(10);

/// The status and the body.
pub(crate) type Local = (u16, Bytes);

/// The answer at a door that needs no key; none at the others.
pub(crate) fn answer(gateway: &Arc<Gateway>, door: &Door) -> Option<Result<Local, Refusal>> {
    match door {
        Door::Live => Some(Ok((200, Bytes::from_static(br#"{"status":"live"}"#)))),
        Door::Ready => Some(Ok(ready(gateway))),
        Door::Management => {
            let port = gateway.settings.management_addr.map(|addr| addr.port());
            Some(Err(Refusal::ManagementPath(port)))
        }
        Door::Opaque { .. } | Door::Model(_) => None,
    }
}

/// Ready means that calls are answered: with anything else than that, a balancer would send calls
/// here that are refused. That log entries wait for the database is told, and keeps no call out.
fn ready(gateway: &Gateway) -> Local {
    let journal = match gateway.journal.health() {
        Health::Good => "good",
        Health::Full => "full",
        Health::Broken => "broken",
    };
    let snapshot = if gateway.is_current() { "current" } else { "stale" };
    let behind = gateway.journal.behind();
    let mut parts = json!({
        "snapshot": snapshot,
        "journal": journal,
        "log": if behind > BEHIND { "behind" } else { "stored" },
    });
    if let Some(connected) = gateway.counters.is_connected() {
        parts["redis"] = if connected { "connected" } else { "away" }.into();
    }
    let mut faults = Vec::new();
    if gateway.is_draining() {
        faults.push("it is about to end".to_owned());
    }
    if snapshot != "current" {
        faults.push("the configuration is too old".to_owned());
    }
    if journal != "good" {
        faults.push(format!("the journal is {journal}"));
    }
    let (status, answer) = match faults.is_empty() {
        true => (200, json!({ "status": "ready", "parts": parts })),
        false => (503, json!({ "status": "not ready", "faults": faults, "parts": parts })),
    };
    (status, answer.to_string().into())
}

/// Sends it.
pub(crate) async fn send(client: &mut Client<'_>, (status, body): Local) -> Result<(), Refusal> {
    if !matches!(client.head.method(), "GET" | "HEAD") {
        let method = client.head.method().to_owned();
        return Err(Refusal::Method { method, allowed: "GET, HEAD" });
    }
    client.answer(status, JSON, body).await
}
