//! What the gateway does when something of its own is short or down, and whose address it notes.

use std::time::Duration;

use domain::Snapshot;
use proxy::ClientIp;

use crate::{
    harness::{Setup, chat},
    vendor::{Vendor, json, said},
};

#[tokio::test]
async fn where_calls_cannot_be_recorded_none_is_sent() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.journal.cap = 1;
    let hall = setup.start().await;
    let mut last = 0;
    for _ in 0..3 {
        last = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status;
    }
    assert_eq!(last, 503);
    let reply = hall.ask(hall.post("/proxy/up/x", "")).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "journal_unavailable"));
    assert!(reply.header("retry-after").is_some());
    let ready = hall.ask(crate::harness::request("GET", "/readyz", &[], "")).await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("the journal is full"), "{}", ready.text());
    assert_eq!(vendor.seen().len(), hall.entries().await.len(), "what was sent is entered");
}

#[tokio::test]
async fn an_old_picture_of_the_world_is_not_served() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.snapshot_max_age = Duration::from_nanos(1);
    let hall = setup.start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "stale_configuration"));
    let ready = hall.ask(crate::harness::request("GET", "/readyz", &[], "")).await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("the configuration is too old"), "{}", ready.text());
    // Nor is it known which keys there are by now.
    let stranger = auth::MasterKey::generate().service_keys().mint();
    let stranger = secrecy::ExposeSecret::expose_secret(&stranger.key).to_owned();
    let stranger = format!("authorization: Bearer {stranger}");
    let ask = crate::harness::request("GET", "/v1/models", &[&stranger], "");
    let reply = hall.ask(ask).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "stale_configuration"));
    let malformed = ["authorization: Bearer tg-nonsense"];
    let reply = hall.ask(crate::harness::request("GET", "/v1/models", &malformed, "")).await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn bodies_have_a_budget_and_what_can_be_streamed_is() {
    let vendor = Vendor::answering(|seen| json(200, &seen.body.len().to_string())).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.buffers.total = 64 << 10;
    let hall = setup.start().await;
    let body = format!(r#"{{"model":"m","x":"{}"}}"#, "y".repeat(100_000));
    let reply = hall.ask(hall.post("/v1/chat/completions", &body)).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "gateway_busy"));
    let reply = hall.ask(hall.post("/proxy/up/x", &body)).await;
    assert_eq!((reply.status, reply.text()), (200, body.len().to_string().as_str()));
    for _ in 0..20 {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200, "the budget is given back");
    }
}

#[tokio::test]
async fn a_call_keeps_the_view_it_began_with() {
    let (go, mut wait) = tokio::sync::watch::channel(false);
    wait.mark_unchanged();
    let vendor = Vendor::talking(move |mut talk| {
        let mut wait = wait.clone();
        async move {
            talk.request().await;
            wait.wait_for(|go| *go).await.unwrap();
            talk.send(said("late")).await;
        }
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.post("/v1/chat/completions", &chat("m"))).await;
    crate::harness::until("the provider is asked", || vendor.seen().len() == 1).await;
    hall.gateway.install(Snapshot::compile(&domain::Catalog::empty()).unwrap());
    go.send_replace(true);
    assert_eq!(peer.reply().await.status, 200);
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!(reply.status, 401, "the key is gone from the new one");
}

#[tokio::test]
async fn whose_address_is_noted_and_how_much_of_it() {
    let vendor = Vendor::saying(said("x")).await;
    for (trusted, how, field, noted) in [
        (false, ClientIp::Full, "x-forwarded-for: 1.2.3.4", Some("127.0.0.1")),
        (true, ClientIp::Full, "x-forwarded-for: 9.9.9.9, 1.2.3.4", Some("1.2.3.4")),
        (true, ClientIp::Full, "x-forwarded-for: 1.2.3.4:5678, 127.0.0.9", Some("1.2.3.4")),
        (true, ClientIp::Full, "x-forwarded-for: [2001:db8::1]", Some("2001:db8::1")),
        (true, ClientIp::Full, "x-forwarded-for: nonsense", Some("127.0.0.1")),
        (true, ClientIp::Network, "x-forwarded-for: 1.2.3.4", Some("1.2.3.0/24")),
        (true, ClientIp::Network, "x-forwarded-for: 2001:db8:7::1", Some("2001:db8:7::/48")),
        (true, ClientIp::Off, "x-forwarded-for: 1.2.3.4", None),
    ] {
        let mut setup = Setup::with(vendor.addr);
        setup.settings.client_ip = how;
        if trusted {
            setup.settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        }
        let hall = setup.start().await;
        hall.ask(hall.request("GET", "/proxy/up/x", &[field], "")).await;
        assert_eq!(hall.entry().await.client_ip.as_deref(), noted, "{field} {how:?}");
        assert!(!vendor.seen().last().unwrap().head.contains("x-forwarded-for"));
    }
}

#[tokio::test]
async fn a_digested_address_is_the_same_for_one_client_and_tells_nothing() {
    let vendor = Vendor::saying(said("x")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.client_ip = ClientIp::Hashed;
    setup.settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let hall = setup.start().await;
    for ip in ["1.2.3.4", "1.2.3.4", "1.2.3.5"] {
        let field = format!("x-forwarded-for: {ip}");
        hall.ask(hall.request("GET", "/proxy/up/x", &[&field], "")).await;
    }
    let noted: Vec<String> = hall.entries().await.into_iter().filter_map(|e| e.client_ip).collect();
    assert_eq!(noted[0], noted[1]);
    assert_ne!(noted[1], noted[2]);
    assert!(noted.iter().all(|n| n.starts_with("hash:") && !n.contains("1.2.3")));
}
