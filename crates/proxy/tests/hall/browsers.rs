//! Pages of other origins, and what an answer tells of its way.

use domain::{Price, Provider};
use proxy::CorsOrigins;

use crate::{
    conversion::{claude_said, of, routed},
    harness::{Setup, chat, chat_stream, request},
    vendor::{Vendor, answer, json as says, said},
};

const PAGE: &str = "origin: https://app.example";

#[tokio::test]
async fn a_page_of_a_named_origin_may_call_and_no_other_one() {
    let theirs = ["content-type: application/json", "access-control-allow-origin: *"];
    let vendor = Vendor::saying(answer(200, &theirs, "{}")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.cors = CorsOrigins::parse("https://app.example").unwrap();
    let hall = setup.start().await;
    let asks = [
        PAGE,
        "access-control-request-method: POST",
        "access-control-request-headers: authorization,content-type,x-stainless-lang",
    ];
    for path in ["/v1/chat/completions", "/v1beta/models/m:generateContent", "/proxy/up/x"] {
        let reply = hall.ask(request("OPTIONS", path, &asks, "")).await;
        assert_eq!(reply.status, 204, "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
        let names = reply.header("access-control-allow-headers").unwrap();
        assert_eq!(names, "authorization,content-type,x-stainless-lang");
        assert!(reply.header("access-control-allow-methods").unwrap().contains("POST"));
    }
    assert!(vendor.seen().is_empty() && hall.entries().await.is_empty());
    let json = "content-type: application/json";
    let reply = hall.ask(hall.request("POST", "/proxy/up/x", &[PAGE, json], "{}")).await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(reply.header("access-control-expose-headers"), Some("*"));
    assert_eq!(reply.header("vary"), Some("Origin"));
    let refused = hall.ask(request("POST", "/v1/chat/completions", &[PAGE], "{}")).await;
    let told = (refused.status, refused.header("access-control-allow-origin"));
    assert_eq!(told, (401, Some("https://app.example")), "a page can read why");
    let other = ["origin: https://evil.example", asks[1]];
    let reply = hall.ask(request("OPTIONS", "/v1/chat/completions", &other, "")).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (405, None));
}

#[tokio::test]
async fn without_origins_nothing_is_told_to_pages() {
    let hall = Setup::with(Vendor::saying(said("x")).await.addr).start().await;
    let asks = [PAGE, "access-control-request-method: POST"];
    let reply = hall.ask(request("OPTIONS", "/v1/chat/completions", &asks, "")).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (405, None));
}

#[tokio::test]
async fn an_answer_tells_its_way_where_that_is_asked_for() {
    let bad = Vendor::saying(says(500, "{}")).await;
    let good = Vendor::saying(claude_said("hi")).await;
    let plain = Vendor::saying(said("x")).await;
    let hall = routed(&[(&bad, Provider::Custom), (&good, Provider::Anthropic)], |setup| {
        setup.settings.answer_details = true;
        let priced = setup.upstream("plain", plain.addr, &["sk-1"], |up| {
            of(Provider::Custom)(up);
            let price = serde_json::json!({ "model": "*", "input": 2_000_000_000, "output": 8_000_000_000_u64 });
            up.policy.prices = vec![serde_json::from_value::<Price>(price).unwrap()];
        });
        setup.route("priced", &[(priced, Some("m"))]);
    })
    .await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("r"))).await;
    let told = (reply.header("x-tollgate-upstream"), reply.header("x-tollgate-attempts"));
    assert_eq!(told, (Some("two"), Some("2")));
    assert_eq!(reply.header("x-tollgate-cost"), None, "its price is not known");
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("priced"))).await;
    let told = (reply.header("x-tollgate-upstream"), reply.header("x-tollgate-attempts"));
    assert_eq!(told, (Some("plain"), Some("1")));
    let cost = reply.header("x-tollgate-cost").unwrap().parse::<f64>().unwrap();
    let entries = hall.entries().await;
    let entered = entries.iter().find_map(|entry| entry.cost_nano).unwrap();
    assert!((cost * 1e9 - entered as f64).abs() < 0.5, "{cost} {entered}");
}

#[tokio::test]
async fn an_answer_tells_nothing_of_its_way_by_itself() {
    let vendor = Vendor::saying(said("x")).await;
    let hall = routed(&[(&vendor, Provider::Custom)], |_| {}).await;
    for body in [chat("r"), chat_stream("r")] {
        let reply = hall.ask(hall.post("/v1/chat/completions", &body)).await;
        assert!(!reply.head.contains("x-tollgate"), "{}", reply.head);
    }
}
