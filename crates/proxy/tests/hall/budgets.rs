//! Limits of callers: what is reserved before a call and settled after it, and what a refusal says.

use std::{sync::Arc, time::Duration};

use chrono_tz::Tz;
use domain::{
    Algorithm, Limit, LimitId, Period, Price, Scope, Seed, ServiceKeyId, Unit, UserId, live::Live,
    log::Outcome,
};

use tokio::io::AsyncWriteExt;

use crate::{
    harness::{OWNER, Setup, chat, chat_stream, until},
    vendor::{STREAM, Vendor, chunk, delta, json, said},
};

/// What one answer of the vendor uses.
const TOKENS_OF_ONE: u64 = 10;

pub(crate) fn limit(
    setup: &mut Setup,
    scope: Scope,
    unit: Unit,
    algorithm: Algorithm,
    limit: u64,
) -> LimitId {
    let id = LimitId(setup.catalog.limits.len() as i64 + 1);
    let name = format!("limit {id}");
    let calendar = matches!(algorithm, Algorithm::Calendar { .. });
    let alert_percent = calendar.then_some(80);
    let owner = OWNER;
    let row =
        Limit { id, owner, name, scope, unit, algorithm, limit, alert_percent, enabled: true };
    setup.catalog.limits.insert(id, Arc::new(row));
    id
}

fn a_day() -> Algorithm {
    Algorithm::Calendar { period: Period::Day, timezone: Some(Tz::UTC) }
}

pub(crate) fn an_hour() -> Algorithm {
    Algorithm::SlidingWindow { window: Duration::from_secs(3600) }
}

/// A chat that may answer with three tokens.
fn frugal() -> String {
    let body = chat("m");
    format!("{},\"max_tokens\":3}}", &body[..body.len() - 1])
}

#[tokio::test]
async fn two_hundred_calls_at_once_never_pass_a_budget() {
    let vendor = Vendor::answering(|_| said("ok")).await;
    let mut setup = Setup::with(vendor.addr);
    let id = limit(&mut setup, Scope::Global, Unit::Tokens, a_day(), 500);
    let hall = Arc::new(setup.start().await);
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let hall = hall.clone();
            tokio::spawn(async move {
                let reply = hall.ask(hall.post("/v1/chat/completions", &frugal())).await;
                (reply.status, reply.header("retry-after").is_some())
            })
        })
        .collect();
    let mut answered = 0;
    for call in calls {
        match call.await.unwrap() {
            (200, _) => answered += 1,
            (status, told) => assert_eq!((status, told), (429, true)),
        }
    }
    let used: u64 = hall.entries().await.iter().map(|e| e.usage.input + e.usage.output).sum();
    assert_eq!(used, answered * TOKENS_OF_ONE);
    // Each call reserved more than it used (its body is counted by its bytes), so the budget is
    // never passed, and is used up to what one more call would have reserved.
    assert!(used <= 500, "{used} tokens of 500");
    assert_eq!(hall.gateway.limit(id, 10)[0].used, used, "what was not used is given back");
    let mut more = 0;
    while hall.ask(hall.post("/v1/chat/completions", &frugal())).await.status == 200 {
        more += 1;
        assert!(more < 60, "the budget has no end");
    }
    assert!(used + more * TOKENS_OF_ONE <= 500);
    assert!(used + more * TOKENS_OF_ONE > 440, "most of it can be used");
}

#[tokio::test]
async fn a_failed_call_gives_back_what_it_reserved() {
    let vendor = Vendor::answering(|_| json(500, "{}")).await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.retry_count = 0);
    let id = limit(&mut setup, Scope::Global, Unit::Requests, a_day(), 2);
    let hall = setup.start().await;
    for _ in 0..5 {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 500);
    }
    until("what was reserved is given back", || hall.gateway.limit(id, 1).is_empty()).await;
}

#[tokio::test]
async fn a_refusal_says_which_limit_and_until_when() {
    let vendor = Vendor::answering(|_| said("ok")).await;
    let mut setup = Setup::with(vendor.addr);
    let scope = Scope::ServiceKey(Some(ServiceKeyId(1)));
    limit(&mut setup, scope, Unit::Requests, an_hour(), 2);
    let clock = setup.settings.clock.clone();
    let hall = setup.start().await;
    for left in ["1", "0"] {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some(left));
    }
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "rate_limit_exceeded"));
    let words = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    for part in ["limit 1", "service key 1", "2 requests in 1 h", "there is room"] {
        assert!(words.contains(part), "{words}");
    }
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((3590..=3660).contains(&wait), "{wait} s");
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("0"));
    let refused = hall.entries().await.pop().unwrap();
    assert_eq!((refused.outcome, refused.status), (Outcome::Refused, 429));
    clock.forward(Duration::from_secs(wait));
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
}

#[tokio::test]
async fn each_dialect_hears_of_limits_in_its_own_headers() {
    let vendor = Vendor::answering(|_| json(200, r#"{"type":"message","role":"assistant","content":[],"usage":{"input_tokens":1,"output_tokens":1}}"#)).await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| {
        up.dialects = domain::Provider::Anthropic.dialects();
    });
    limit(&mut setup, Scope::User(None), Unit::Requests, an_hour(), 1);
    let hall = setup.start().await;
    let good = hall.ask(hall.post("/v1/messages", &frugal())).await;
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(good.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    let refused = hall.ask(hall.post("/v1/messages", &frugal())).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("anthropic-ratelimit-requests-limit"), Some("1"));
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
}

#[tokio::test]
async fn money_is_counted_by_the_price_of_the_model() {
    let vendor = Vendor::answering(|_| said("ok")).await;
    let mut setup = Setup::new();
    let price = Price {
        model: "m".to_owned(),
        input: 1_000_000,
        output: 2_000_000,
        cached: Some(500_000),
        ..Price::default()
    };
    setup.upstream("up", vendor.addr, &["sk-1"], |up| up.policy.prices = vec![price]);
    let id = limit(&mut setup, Scope::User(Some(UserId(1))), Unit::Cost, a_day(), 1_000_000_000);
    let hall = setup.start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &frugal())).await;
    assert_eq!(reply.status, 200);
    let entry = hall.entry().await;
    // Five tokens in at a thousand nano-dollars, two cached at half of it, three out at two.
    assert_eq!(entry.cost_nano, Some(5_000 + 1_000 + 6_000));
    assert_eq!(hall.gateway.limit(id, 1)[0].used, 12_000);
    let unpriced = hall.ask(hall.post("/v1/chat/completions", &chat("other"))).await;
    assert_eq!((unpriced.status, unpriced.code().as_str()), (403, "price_unknown"));
    assert_eq!(vendor.seen().len(), 1);
}

#[tokio::test]
async fn what_was_used_before_the_start_counts() {
    let vendor = Vendor::answering(|_| said("ok")).await;
    let mut setup = Setup::with(vendor.addr);
    limit(&mut setup, Scope::Global, Unit::Requests, a_day(), 5);
    let hall = setup
        .start_with(|gateway| {
            let asked = gateway.seed_questions();
            assert_eq!(asked.len(), 1, "{asked:?}");
            let seeds = vec![Seed { counter: asked[0].counter.clone(), amount: 4 }];
            gateway.seed(asked, seeds);
            assert!(gateway.seed_questions().is_empty(), "it is asked once");
        })
        .await;
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "budget_exceeded"));
}

#[tokio::test]
async fn calls_at_once_are_limited_and_end_with_the_call() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let vendor = Vendor::talking(move |mut talk| {
        let mut wait = wait.clone();
        async move {
            while talk.request().await.is_some() {
                wait.wait_for(|go| *go).await.unwrap();
                talk.send(said("ok")).await;
            }
        }
    })
    .await;
    let mut setup = Setup::with(vendor.addr);
    limit(&mut setup, Scope::Global, Unit::Concurrency, Algorithm::Concurrency, 1);
    let hall = setup.start().await;
    let mut first = hall.connect().await;
    first.send(hall.post("/v1/chat/completions", &chat("m"))).await;
    until("the provider is asked", || vendor.seen().len() == 1).await;
    let second = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((second.status, second.header("retry-after")), (429, Some("1")));
    go.send_replace(true);
    assert_eq!(first.reply().await.status, 200);
    until("the call has ended", || hall.gateway.calls_in_flight() == 0).await;
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_is_never_free_and_may_be_read_on() {
    for drain in [Duration::ZERO, Duration::from_secs(10)] {
        let (go, wait) = tokio::sync::watch::channel(false);
        let vendor = Vendor::talking(move |mut talk| {
            let mut wait = wait.clone();
            async move {
                talk.request().await;
                talk.send(STREAM).await;
                talk.send(chunk(delta("one"))).await;
                wait.wait_for(|go| *go).await.unwrap();
                let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":40,\"completion_tokens\":60}}\n\n";
                talk.send(chunk(usage)).await;
                talk.send(chunk("data: [DONE]\n\n")).await;
                talk.send("0\r\n\r\n").await;
                talk.until_gone().await;
            }
        })
        .await;
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1"], |up| up.policy.drain = drain);
        let id = limit(&mut setup, Scope::Global, Unit::Tokens, a_day(), 100_000);
        let hall = setup.start().await;
        let mut peer = hall.connect().await;
        peer.send(hall.post("/v1/chat/completions", &chat_stream("m"))).await;
        while !String::from_utf8_lossy(&peer.buf).contains("one") {
            assert!(peer.fill().await);
        }
        peer.stream.shutdown().await.unwrap();
        // The gateway has seen that the client left when it closes the connection.
        while peer.fill().await {}
        if !drain.is_zero() {
            go.send_replace(true);
        }
        let entry = hall.entry().await;
        assert_eq!(entry.outcome, Outcome::ClientGone);
        let used = entry.usage.input + entry.usage.output;
        match drain.is_zero() {
            true => assert!((1..100).contains(&used), "what was sent is counted: {used}"),
            false => assert_eq!(used, 100, "the provider's own count"),
        }
        assert_eq!(hall.gateway.limit(id, 1)[0].used, used);
        go.send_replace(true);
    }
}

#[tokio::test]
async fn a_service_key_is_told_its_limits_and_their_use_at_no_cost() {
    let vendor = Vendor::answering(|_| said("ok")).await;
    let mut setup = Setup::with(vendor.addr);
    let key = Scope::ServiceKey(Some(ServiceKeyId(1)));
    let requests = limit(&mut setup, key, Unit::Requests, a_day(), 4);
    limit(&mut setup, Scope::ServiceKey(Some(ServiceKeyId(77))), Unit::Requests, a_day(), 9);
    let each_model = limit(&mut setup, Scope::Model(None), Unit::Tokens, an_hour(), 1_000);
    let hall = setup.start().await;
    let ask = async |path: &str| {
        let reply = hall.ask(hall.request("GET", path, &[], "")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
    assert_eq!(hall.entries().await.len(), 1);
    let mut told = ask("/v1/usage").await;
    for _ in 0..5 {
        told = ask("/v1/usage").await;
    }
    assert_eq!((&told["object"], &told["service_key"]["id"]), (&"usage".into(), &1.into()));
    let [limit] = told["limits"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(limit["id"], requests.0);
    assert_eq!((&limit["unit"], &limit["period"]), (&"requests".into(), &"day".into()));
    assert_eq!((&limit["limit"], &limit["used"]), (&4.into(), &1.into()));
    assert_eq!((&limit["remaining"], &limit["used_percent"]), (&3.into(), &25.into()));
    assert!(limit["resets_at"].as_str() > limit["began_at"].as_str(), "{limit}");

    let told = ask("/v1/usage?model=m").await;
    let limits = told["limits"].as_array().unwrap();
    let of_model = limits.iter().find(|limit| limit["id"] == each_model.0).unwrap();
    assert_eq!((&of_model["subject"], &of_model["used"]), (&"m".into(), &TOKENS_OF_ONE.into()));
    assert_eq!(of_model["window_seconds"], 3600);
    assert_eq!(vendor.seen().len(), 1, "no provider is asked");
    assert!(hall.entries().await.is_empty(), "and nothing is entered in the log");

    let head = "GET /v1/usage HTTP/1.1\r\nhost: hall\r\n\r\n";
    assert_eq!(hall.ask(head).await.status, 401);
}
