//! What let a running call in is withdrawn: sockets close at once and say why, streams end or finish
//! as their upstream says.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use domain::{
    Catalog, Evidence, KeptStanding, KeyState, KeyStatus, Owner, Provider, ProviderKeyId,
    ServiceKey, ServiceKeyId, Standing, Upstream, UpstreamId,
    log::{LogEntry, Outcome},
};
use tokio::sync::Semaphore;

use crate::{
    conversion::of,
    harness::{Hall, OWNER, Peer, Setup, chat_stream, soon, until},
    vendor::{STREAM, Vendor, chunk, delta},
    websocket::{HANDSHAKE, SWITCH, echo},
};

/// A masked text frame that says `text`.
fn frame(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 1, 2, 3, 4];
    bytes.extend(text.bytes().zip([1, 2, 3, 4].into_iter().cycle()).map(|(b, m)| b ^ m));
    bytes
}

/// Opens a socket through the gateway and sees that it echoes.
async fn open(hall: &Hall, path: &str) -> Peer {
    let mut peer = hall.connect().await;
    peer.send(hall.request("GET", path, &HANDSHAKE, "")).await;
    assert!(peer.head().await.unwrap().starts_with("HTTP/1.1 101"));
    echoes(&mut peer).await;
    peer
}

async fn echoes(peer: &mut Peer) {
    let hello = frame("hello");
    peer.send(&hello).await;
    while peer.buf.len() < hello.len() {
        assert!(peer.fill().await, "the socket is closed: {:?}", peer.buf);
    }
    assert_eq!(peer.buf, hello);
    peer.buf.clear();
}

/// The code and the reason of the close frame with which the socket ends.
async fn closed(peer: &mut Peer) -> (u16, String) {
    while peer.fill().await {}
    let frame = &peer.buf;
    assert_eq!((frame[0], usize::from(frame[1])), (0x88, frame.len() - 2), "{frame:?}");
    let code = u16::from_be_bytes([frame[2], frame[3]]);
    (code, String::from_utf8(frame[4..].to_vec()).unwrap())
}

/// Changes the first service key.
fn service_key(catalog: &mut Catalog, edit: impl FnOnce(&mut ServiceKey)) {
    let id = ServiceKeyId(1);
    let mut key = catalog.service_keys[&id].as_ref().clone();
    edit(&mut key);
    catalog.service_keys.insert(id, Arc::new(key));
}

/// Changes the first upstream.
fn upstream(catalog: &mut Catalog, edit: impl FnOnce(&mut Upstream)) {
    let id = UpstreamId(1);
    let mut entry = catalog.upstreams[&id].as_ref().clone();
    edit(&mut entry.upstream);
    catalog.upstreams.insert(id, Arc::new(entry));
}

/// Changes the provider key.
fn provider_key(catalog: &mut Catalog, state: KeyState, secret: &str) {
    let id = UpstreamId(1);
    let mut entry = catalog.upstreams[&id].as_ref().clone();
    let mut key = entry.keys[0].as_ref().clone();
    (key.state, key.secret) = (state, secret.to_owned().into());
    entry.keys = vec![Arc::new(key)];
    catalog.upstreams.insert(id, Arc::new(entry));
}

/// Bans the provider key, as a rule or a refused key does.
fn ban(hall: &Hall) {
    let standing = Standing {
        status: KeyStatus::Banned,
        reason: "auth".to_owned(),
        evidence: Evidence::default(),
        since: Utc::now(),
        strikes: 1,
    };
    let (upstream, key) = (UpstreamId(1), ProviderKeyId(101));
    hall.gateway.restore(vec![KeptStanding { upstream, key, model: None, standing }]);
}

#[tokio::test]
async fn a_socket_closes_when_what_let_it_in_is_withdrawn() {
    type Withdraw = fn(&Hall);
    let cases: [(Withdraw, u16, &str); 12] = [
        (|hall| hall.install(|c| c.service_keys.clear()), 1008, "deleted or rotated"),
        (|hall| hall.install(|c| service_key(c, |k| k.enabled = false)), 1008, "is disabled"),
        (
            |hall| hall.install(|c| service_key(c, |k| k.expires_at = Some(Utc::now()))),
            1008,
            "expired",
        ),
        (
            |hall| {
                let gone = Owner { active: false, uses_all_upstreams: true };
                hall.install(|c| *c.owners.get_mut(&OWNER).unwrap() = gone);
            },
            1008,
            "is disabled",
        ),
        (
            |hall| {
                let elsewhere = vec!["203.0.113.0/24".parse().unwrap()];
                hall.install(|c| service_key(c, |k| k.access.ips = elsewhere));
            },
            1008,
            "from this address",
        ),
        (
            |hall| {
                hall.install(|c| service_key(c, |k| k.allowed_upstreams = vec![UpstreamId(9)]));
            },
            1008,
            "this upstream",
        ),
        (
            |hall| hall.install(|c| service_key(c, |k| k.allowed_models = vec!["other".into()])),
            1008,
            "this model",
        ),
        (|hall| hall.install(|c| c.upstreams.clear()), 1012, "the upstream"),
        (|hall| hall.install(|c| upstream(c, |up| up.enabled = false)), 1012, "the upstream"),
        (
            |hall| hall.install(|c| provider_key(c, KeyState::Disabled, "sk-provider-one")),
            1012,
            "the provider key",
        ),
        (
            |hall| hall.install(|c| provider_key(c, KeyState::Active, "sk-another")),
            1012,
            "the provider key",
        ),
        (ban, 1012, "the provider key"),
    ];
    for (withdraw, code, reason) in cases {
        let vendor = echo().await;
        let hall = Setup::with(vendor.addr).start().await;
        let mut peer = open(&hall, "/v1/realtime?model=up/gpt-real").await;
        withdraw(&hall);
        let (found, words) = closed(&mut peer).await;
        assert_eq!(found, code, "{words}");
        assert!(words.contains(reason), "{words:?} instead of {reason:?}");
        until("the provider is left", || vendor.gone() == 1).await;
        let entry = hall.entry().await;
        assert_eq!((entry.outcome, entry.status), (Outcome::Revoked, 101), "{reason}");
        assert!(entry.error.unwrap().contains(reason));
    }
}

#[tokio::test]
async fn a_socket_closes_when_its_key_expires_without_an_edit() {
    let vendor = echo().await;
    let mut setup = Setup::with(vendor.addr);
    let clock = setup.settings.clock.clone();
    let day = Duration::from_secs(86_400);
    service_key(&mut setup.catalog, |key| key.expires_at = Some(Utc::now() + day));
    let hall = setup.start().await;
    let mut peer = open(&hall, "/proxy/up/ws").await;
    clock.forward(day * 2);
    let (code, reason) = closed(&mut peer).await;
    assert_eq!((code, reason.contains("expired")), (1008, true), "{reason}");
}

#[tokio::test]
async fn an_edit_that_withdraws_nothing_closes_nothing() {
    let vendor = echo().await;
    let mut setup = Setup::with(vendor.addr);
    let other = setup.caller(|_| {});
    let hall = setup.start().await;
    let mut stays = open(&hall, "/proxy/up/ws").await;
    let mut ends = hall.connect().await;
    let key = format!("authorization: Bearer {other}");
    let fields: Vec<&str> = HANDSHAKE.into_iter().chain([key.as_str()]).collect();
    ends.send(crate::harness::request("GET", "/proxy/up/ws", &fields, "")).await;
    assert!(ends.head().await.unwrap().starts_with("HTTP/1.1 101"));
    hall.install(|catalog| {
        service_key(catalog, |key| key.name = "another name".to_owned());
        upstream(catalog, |up| up.retry_count = 7);
        catalog.service_keys.remove(&ServiceKeyId(2));
    });
    assert_eq!(closed(&mut ends).await.0, 1008);
    // All leases were looked through; this one holds.
    echoes(&mut stays).await;
}

#[tokio::test]
async fn a_socket_in_the_middle_of_a_frame_gets_no_frame_put_into_it() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(SWITCH).await;
        // Ten bytes are promised, three come.
        talk.send(b"\x82\x0aabc").await;
        talk.until_gone().await;
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.request("GET", "/proxy/up/ws", &HANDSHAKE, "")).await;
    peer.head().await.unwrap();
    hall.install(|catalog| catalog.service_keys.clear());
    while peer.fill().await {}
    assert_eq!(peer.buf, b"\x82\x0aabc");
    assert_eq!(hall.entry().await.outcome, Outcome::Revoked);
}

#[tokio::test]
async fn the_provider_is_told_that_the_socket_ends() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.request().await;
        talk.send(SWITCH).await;
        let mut got = Vec::new();
        while talk.fill().await.is_some() {
            got.append(&mut talk.buf);
        }
        // A masked close frame with the code alone.
        assert_eq!((got.len(), &got[..2]), (8, &b"\x88\x82"[..]));
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.request("GET", "/proxy/up/ws", &HANDSHAKE, "")).await;
    peer.head().await.unwrap();
    hall.install(|catalog| catalog.service_keys.clear());
    assert_eq!(closed(&mut peer).await.0, 1008);
    until("the provider is left", || vendor.gone() == 1).await;
}

/// A provider that streams one more delta for each permit of `more`, and ends after the third.
async fn streaming(more: &Arc<Semaphore>) -> Vendor {
    let more = more.clone();
    Vendor::talking(move |mut talk| {
        let more = more.clone();
        async move {
            while talk.request().await.is_some() {
                talk.send(STREAM).await;
                for word in ["one", "two", "three"] {
                    more.acquire().await.unwrap().forget();
                    talk.send(chunk(delta(word))).await;
                }
                let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
                talk.send(chunk(end)).await;
                talk.send("0\r\n\r\n").await;
            }
        }
    })
    .await
}

async fn read_to(peer: &mut Peer, mark: &str) -> String {
    let mut got = String::new();
    soon(mark, async {
        while !got.contains(mark) {
            got.push_str(std::str::from_utf8(&peer.chunk().await.unwrap()).unwrap());
        }
    })
    .await;
    got
}

#[tokio::test]
async fn a_running_stream_ends_or_finishes_as_its_upstream_says() {
    for (path, body) in [
        ("/v1/chat/completions", chat_stream("m")),
        (
            "/v1/messages",
            r#"{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#
                .to_owned(),
        ),
    ] {
        let (ending, finishing) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
        let mut setup = Setup::new();
        for (name, more, grace) in
            [("ends", &ending, Some(Duration::ZERO)), ("finishes", &finishing, None)]
        {
            let vendor = streaming(more).await;
            setup.upstream(name, vendor.addr, &["sk-1"], |up| {
                of(Provider::Custom)(up);
                up.policy.revocation_grace = grace;
            });
        }
        let hall = setup.start().await;
        let (mut ends, mut finishes) = (hall.connect().await, hall.connect().await);
        for (peer, name) in [(&mut ends, "ends"), (&mut finishes, "finishes")] {
            let model = format!("\"model\":\"{name}/m\"");
            peer.send(hall.post(path, &body.replace("\"model\":\"m\"", &model))).await;
            peer.head().await.unwrap();
            read_to(peer, "one").await;
        }
        hall.install(|catalog| service_key(catalog, |key| key.enabled = false));
        let last = read_to(&mut ends, "the service key is disabled").await;
        assert!(last.contains("error"), "{last}");
        assert_eq!(ends.chunk().await, Some(vec![]), "the body ends in order");
        finishing.add_permits(2);
        let last = read_to(&mut finishes, "three").await;
        assert!(!last.contains("error"), "{last}");
        while !finishes.chunk().await.unwrap().is_empty() {}
        let mut entries: Vec<LogEntry> = hall.entries().await;
        entries.sort_by_key(|entry| entry.upstream);
        let outcomes: Vec<Outcome> = entries.iter().map(|entry| entry.outcome).collect();
        assert_eq!(outcomes, [Outcome::Revoked, Outcome::Completed], "{path}");
    }
}
