//! What is answered here and needs no key: whether we live, whether we are ready, and the hint
//! for whoever took the wrong port. Neither asks the database anything.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use crate::{client::Client, door::Door, gateway::Gateway, refusal::Refusal};

/// The fields of every JSON answer of our own.
pub(crate) const JSON: &[u8] = b"content-type: application/json\r\ncache-control: no-store\r\n";

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

fn ready(gateway: &Gateway) -> Local {
    let parts = json!({
        "snapshot": if gateway.is_current() { "current" } else { "stale" },
        "journal": format!("{:?}", gateway.journal.health()).to_lowercase(),
    });
    let (status, word) = if gateway.is_ready() { (200, "ready") } else { (503, "not ready") };
    (status, json!({ "status": word, "parts": parts }).to_string().into())
}

/// Sends it.
pub(crate) async fn send(client: &mut Client<'_>, (status, body): Local) -> Result<(), Refusal> {
    if !matches!(client.head.method(), "GET" | "HEAD") {
        let method = client.head.method().to_owned();
        return Err(Refusal::Method { method, allowed: "GET, HEAD" });
    }
    client.answer(status, JSON, body).await
}
