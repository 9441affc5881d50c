//! Service keys: where they are accepted, when they are not, and that they go nowhere.

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::Utc;
use domain::KeyFault;

use crate::{
    harness::{Setup, chat, request},
    vendor::{Vendor, json, said},
};

#[tokio::test]
async fn a_service_key_is_accepted_wherever_sdks_put_it() {
    let vendor = Vendor::saying(said("hi")).await;
    let hall = Setup::with(vendor.addr).start().await;
    let key = hall.key.clone();
    let (id, secret) = key[3..].split_once('-').unwrap();
    let basic = |text: String| format!("authorization: Basic {}", BASE64_STANDARD.encode(text));
    let dummy = "authorization: Bearer sk-dummy";
    let x_api = format!("x-api-key: {key}");
    for fields in [
        vec![format!("Authorization: Bearer {key}")],
        vec![format!("authorization: bearer  {key}")],
        vec![format!("authorization: {key}")],
        vec![x_api.clone()],
        vec![format!("api-key: {key}")],
        vec![format!("X-Goog-Api-Key: {key}")],
        vec![basic(format!("user:{key}"))],
        vec![basic(format!("{key}:"))],
        vec![basic(format!("{id}:{secret}"))],
        vec![dummy.to_owned(), x_api.clone()],
        vec![format!("authorization: Bearer {key}"), x_api.clone()],
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let reply = hall.ask(request("POST", "/v1/chat/completions", &fields, chat("m"))).await;
        assert_eq!(reply.status, 200, "{fields:?}");
    }
    let path = format!("/v1/chat/completions?key={key}");
    assert_eq!(hall.ask(request("POST", &path, &[], chat("m"))).await.status, 200);
    for seen in vendor.seen() {
        assert!(!seen.head.contains(&key) && !seen.head.contains(secret), "{}", seen.head);
        assert_eq!(seen.key(), "sk-provider-one");
        assert_eq!(seen.target, "/v1/chat/completions");
    }
}

#[tokio::test]
async fn whoever_shows_no_good_key_is_refused_in_the_dialect_of_the_door() {
    let mut setup = Setup::new();
    let off = setup.caller(|key| key.enabled = false);
    let expired =
        setup.caller(|key| key.expires_at = Some(Utc::now() - chrono::Duration::seconds(1)));
    let stranger = auth::MasterKey::generate().service_keys().mint();
    let stranger = secrecy::ExposeSecret::expose_secret(&stranger.key).to_owned();
    let hall = setup.start().await;
    let last = if hall.key.ends_with('x') { 'y' } else { 'x' };
    let typo = format!("{}{last}", &hall.key[..hall.key.len() - 1]);
    for (field, code) in [
        ("x-nothing: here".to_owned(), "missing_service_key"),
        ("x-api-key: ".to_owned(), "missing_service_key"),
        ("authorization: Bearer sk-foreign".to_owned(), "invalid_service_key"),
        (format!("x-api-key: {typo}"), "invalid_service_key"),
        (format!("x-api-key: {stranger}"), "invalid_service_key"),
        (format!("x-api-key: {off}"), "service_key_not_active"),
        (format!("x-api-key: {expired}"), "service_key_not_active"),
    ] {
        let reply = hall.ask(request("POST", "/v1/chat/completions", &[&field], chat("m"))).await;
        assert_eq!((reply.status, reply.code().as_str()), (401, code), "{field}");
        let reply = hall.ask(request("GET", "/proxy/up/x", &[&field], "")).await;
        assert_eq!((reply.status, reply.code().as_str()), (401, code), "{field}");
        let reply = hall.ask(request("POST", "/v1/messages", &[&field], chat("m"))).await;
        let json = reply.json();
        assert_eq!(
            (reply.status, &json["type"], &json["error"]["type"]),
            (401, &"error".into(), &"authentication_error".into())
        );
        let reply =
            hall.ask(request("POST", "/v1beta/models/g:generateContent", &[&field], "{}")).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["status"]),
            (401, &"UNAUTHENTICATED".into())
        );
    }
    assert!(hall.entries().await.is_empty(), "nobody was let in");

    let mut counted: Vec<_> = hall.gateway.refused_keys();
    counted.sort_by_key(|row| (row.fault, row.count));
    let id = |key: &str| Some(key[3..11].to_owned());
    let told: Vec<_> =
        counted.iter().map(|row| (row.fault, row.key_id.clone(), row.count)).collect();
    assert_eq!(
        told,
        [
            (KeyFault::Unknown, id(&stranger), 4),
            // What is not a service key is counted, and nothing of it is kept.
            (KeyFault::Unknown, None, 8),
            (KeyFault::Disabled, id(&off), 4),
            (KeyFault::Expired, id(&expired), 4),
        ]
    );
    assert!(counted.iter().all(|row| row.address.as_deref() == Some("127.0.0.1")), "{counted:?}");
    assert!(hall.gateway.refused_keys().is_empty(), "they are taken once");
}

#[tokio::test]
async fn two_different_keys_are_one_too_many() {
    let mut setup = Setup::new();
    let other = setup.caller(|_| {});
    let hall = setup.start().await;
    let key = hall.key.clone();
    for fields in [
        vec![format!("authorization: Bearer {key}"), format!("x-api-key: {other}")],
        vec![format!("authorization: Bearer {key}"), format!("authorization: Bearer {other}")],
        vec![format!("x-api-key: {key}"), format!("x-api-key: {other}")],
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let reply = hall.ask(request("GET", "/v1/models", &fields, "")).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "ambiguous_service_key"),
            "{fields:?}"
        );
    }
}

#[tokio::test]
async fn the_key_goes_nowhere_whatever_it_hides_in() {
    let vendor = Vendor::saying(json(200, "{}")).await;
    let mut setup = Setup::new();
    for (name, policy) in [
        ("hide", domain::HeaderPolicy::Hide),
        ("keep", domain::HeaderPolicy::Keep),
        ("strict", domain::HeaderPolicy::Strict),
    ] {
        setup.upstream(name, vendor.addr, &["sk-provider"], |up| up.header_policy = policy);
    }
    let hall = setup.start().await;
    let key = hall.key.clone();
    let encoded: String = key.bytes().map(|b| format!("%{b:02x}")).collect();
    let secret = &key[12..55];
    for name in ["hide", "keep", "strict"] {
        let path = format!("/proxy/{name}/x?a=1&key={key}&token={key}&{key}=b&k={encoded}&z=2");
        let fields = [
            format!("x-custom: before {key} after"),
            format!("x-encoded: {encoded}"),
            format!("referer: https://a/?key={key}"),
            format!("cookie: k={key}"),
            format!("{key}: as a name"),
            format!("x-api-key: {key}"),
            format!("x-request-id: {key}"),
            "x-harmless: yes".to_owned(),
        ];
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let reply = hall.ask(hall.request("GET", &path, &fields, "")).await;
        assert_eq!(reply.status, 200);
        assert!(!reply.head.contains(secret), "{}", reply.head);
        let seen = vendor.seen().pop().unwrap();
        assert!(!seen.head.contains(secret), "{}", seen.head);
        assert!(!seen.head.contains(&encoded), "{}", seen.head);
        assert_eq!(seen.target, "/x?a=1&z=2", "{name}");
        assert_eq!(seen.key(), "sk-provider");
    }
    let in_path = hall.request("GET", &format!("/proxy/hide/{key}/x"), &[], "");
    assert_eq!(hall.ask(in_path).await.status, 404);
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat(&key))).await.status, 400);
    let entries = hall.entries().await;
    assert!(entries.len() >= 3);
    let written = serde_json::to_string(&entries).unwrap();
    assert!(!written.contains(secret) && !written.contains(&encoded), "{written}");
}

#[tokio::test]
async fn what_provider_keys_are_is_never_told() {
    let vendor = Vendor::answering(|seen| {
        json(
            401,
            &format!(r#"{{"error":{{"message":"Incorrect API key provided: {}"}}}}"#, seen.key()),
        )
    })
    .await;
    let echo = Vendor::answering(|seen| {
        json(500, &format!(r#"{{"error":{{"message":"cannot serve {}"}}}}"#, seen.key()))
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-secret-of-ours"], |_| {});
    setup.upstream("echo", echo.addr, &["sk-secret-of-ours"], |up| up.retry_count = 0);
    let hall = setup.start().await;
    for path in ["/proxy/up/x", "/proxy/echo/x"] {
        let reply = hall.ask(hall.request("GET", path, &[], "")).await;
        assert!(reply.status >= 500);
        assert!(!reply.text().contains("secret-of-ours"), "{}", reply.text());
    }
    let entries = hall.entries().await;
    assert!(!format!("{entries:?}").contains("secret-of-ours"));
}
