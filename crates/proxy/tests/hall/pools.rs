//! Pools of keys under failure and load: which key rests for what, who waits, who tries again. The
//! clock is put forward, never waited for.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{
    Dialect, Event, KeyLimit, KeyStatus, Quota, ServiceKeyId, Severity, Sharing, Strategy, Unit,
    UpstreamId,
    live::{Live, RouteAsk},
    log::Outcome,
    policy::{Sticky, StickyBy},
};

use crate::{
    harness::{Setup, chat, until},
    vendor::{Vendor, answer, json, said},
};

/// A provider that holds every answer until it is told to go on, and counts what it does at once.
struct Held {
    vendor: Vendor,
    go: tokio::sync::watch::Sender<bool>,
    most: Arc<AtomicUsize>,
}

impl Held {
    async fn start() -> Self {
        let (go, wait) = tokio::sync::watch::channel(false);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = most.clone();
        let vendor = Vendor::talking(move |mut talk| {
            let (mut wait, now, most) = (wait.clone(), now.clone(), counted.clone());
            async move {
                while talk.request().await.is_some() {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    wait.wait_for(|go| *go).await.unwrap();
                    now.fetch_sub(1, Ordering::SeqCst);
                    talk.send(said("ok")).await;
                }
            }
        })
        .await;
        Self { vendor, go, most }
    }
}

/// Gives the keys of the first upstream a quota.
pub(crate) fn quotas(setup: &mut Setup, quota: Quota) {
    let entry = setup.catalog.upstreams.get_mut(&UpstreamId(1)).unwrap();
    Arc::make_mut(entry).upstream.policy.key_quotas = vec![quota];
}

#[tokio::test]
async fn a_key_whose_quota_is_used_up_leaves_at_once_and_is_back_at_the_reset() {
    let vendor = Vendor::answering(|_| said("ok")).await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1", "sk-2"], |_| {});
    quotas(&mut setup, Quota::requests_a_day(2));
    let clock = setup.settings.clock.clone();
    let hall = setup.start().await;
    for _ in 0..4 {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200);
    }
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "all_keys_resting"));
    let by_key = vendor.seen().iter().fold(HashMap::new(), |mut by_key, seen| {
        *by_key.entry(seen.key().to_owned()).or_insert(0) += 1;
        by_key
    });
    assert_eq!(by_key, HashMap::from([("sk-1".to_owned(), 2), ("sk-2".to_owned(), 2)]));
    let standing = hall.standing(101).unwrap();
    assert_eq!((standing.status.as_str(), standing.reason.as_str()), ("exhausted", "quota"));
    let report = hall.gateway.key(UpstreamId(1), domain::ProviderKeyId(101)).unwrap();
    assert_eq!((report.quotas[0].used, report.quotas[0].quota.limit), (2, 2));
    clock.forward(Duration::from_secs(86_400));
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!(reply.status, 200, "a new day");
}

#[tokio::test]
async fn a_raised_quota_lets_the_key_back_at_once() {
    let vendor = Vendor::answering(|_| said("ok")).await;
    let mut setup = Setup::with(vendor.addr);
    quotas(&mut setup, Quota::requests_a_day(1));
    let hall = setup.start().await;
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 429);
    hall.install(|catalog| {
        let entry = catalog.upstreams.get_mut(&UpstreamId(1)).unwrap();
        Arc::make_mut(entry).upstream.policy.key_quotas = vec![Quota::requests_a_day(2)];
    });
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 429);
}

#[tokio::test]
async fn a_call_that_asks_for_too_much_takes_no_key_from_the_others() {
    let vendor = Vendor::answering(|_| said("ok")).await;
    for quota in [true, false] {
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1", "sk-2"], |up| {
            let (unit, limit) = (Unit::Tokens, 1000);
            if quota {
                up.policy.key_quotas =
                    vec![Quota { unit, period: domain::Period::Day, limit, timezone: None }];
            } else {
                let window = Some(domain::Window::Minute);
                up.policy.key_limits =
                    vec![KeyLimit { model: None, per: Sharing::Key, unit, window, limit }];
            }
        });
        let hall = setup.start().await;
        let large = r#"{"model":"m","max_tokens":100000,"messages":[]}"#;
        let reply = hall.ask(hall.post("/v1/chat/completions", large)).await;
        assert_eq!((reply.status, reply.code().as_str()), (429, "key_limit_exceeded"));
        assert_eq!(reply.header("x-should-retry"), Some("false"), "it will never fit");
        for id in [101, 102] {
            assert_eq!(hall.standing(id), None);
        }
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200, "others are served");
    }
}

#[tokio::test]
async fn when_every_key_is_busy_calls_wait_in_line() {
    let held = Held::start().await;
    let mut setup = Setup::new();
    setup.upstream("up", held.vendor.addr, &["sk-1", "sk-2"], |up| {
        up.policy.queue_timeout = Duration::from_secs(20);
        up.policy.key_limits = vec![KeyLimit {
            model: None,
            per: Sharing::Key,
            unit: Unit::Concurrency,
            window: None,
            limit: 1,
        }];
    });
    let hall = Arc::new(setup.start().await);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let hall = hall.clone();
            tokio::spawn(async move {
                hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status
            })
        })
        .collect();
    until("two are asked", || held.vendor.seen().len() == 2).await;
    held.go.send_replace(true);
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(held.most.load(Ordering::SeqCst), 2, "one call for each key at a time");
    for id in [101, 102] {
        assert_eq!(hall.standing(id), None, "a busy key is well");
    }
    let waited = hall.entries().await.iter().filter(|entry| entry.waited_us > 0).count();
    assert!(waited >= 6, "{waited}");
}

#[tokio::test]
async fn a_line_has_an_end() {
    let held = Held::start().await;
    let mut setup = Setup::new();
    setup.upstream("up", held.vendor.addr, &["sk-1"], |up| {
        up.policy.queue_timeout = Duration::from_millis(50);
        up.policy.max_in_flight = Some(1);
    });
    let hall = setup.start().await;
    let mut first = hall.connect().await;
    first.send(hall.post("/v1/chat/completions", &chat("m"))).await;
    until("it is asked", || held.vendor.seen().len() == 1).await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "upstream_busy"));
    assert!(reply.header("retry-after").is_some());
    held.go.send_replace(true);
    assert_eq!(first.reply().await.status, 200);
}

#[tokio::test]
async fn half_open_lets_one_of_five_hundred_calls_try() {
    let held = Held::start().await;
    let addr = held.vendor.addr;
    let bad = Vendor::answering(|_| json(500, "{}")).await;
    let mut setup = Setup::new();
    setup.upstream("up", bad.addr, &["sk-1", "sk-2"], |up| up.retry_count = 0);
    let clock = setup.settings.clock.clone();
    let hall = Arc::new(setup.start().await);
    for _ in 0..20 {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 500);
    }
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "upstream_resting"));
    assert_eq!((bad.seen().len(), hall.standing(101), hall.standing(102)), (20, None, None));
    // The same upstream, at an address that answers.
    hall.install(|catalog| {
        let entry = catalog.upstreams.get_mut(&UpstreamId(1)).unwrap();
        let base = domain::BaseUrl::parse(&format!("http://{addr}")).unwrap();
        Arc::make_mut(entry).upstream.base_url = base;
    });
    clock.forward(Duration::from_secs(15));
    let refused = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..500)
        .map(|_| {
            let (hall, refused) = (hall.clone(), refused.clone());
            tokio::spawn(async move {
                let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
                refused.fetch_add(usize::from(reply.status == 503), Ordering::SeqCst);
                reply.status
            })
        })
        .collect();
    until("all but one are refused", || refused.load(Ordering::SeqCst) == 499).await;
    assert_eq!(held.vendor.seen().len(), 1);
    held.go.send_replace(true);
    let mut answered = 0;
    for call in calls {
        answered += usize::from(call.await.unwrap() == 200);
    }
    assert_eq!(answered, 1);
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
}

#[tokio::test]
async fn a_storm_of_limits_rests_the_upstream_and_not_the_keys() {
    let vendor = Vendor::answering(|_| json(429, r#"{"error":{"message":"slow down"}}"#)).await;
    let keys: Vec<String> = (0..30).map(|n| format!("sk-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &keys, |_| {});
    let hall = Arc::new(setup.start().await);
    let mut events = hall.gateway.events().unwrap();
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let hall = hall.clone();
            tokio::spawn(async move {
                hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status
            })
        })
        .collect();
    for call in calls {
        assert!(matches!(call.await.unwrap(), 429 | 503));
    }
    let mut alerts = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Alert(raised) = event {
            alerts.push(raised);
        }
    }
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((alerts[0].severity, alerts[0].over), (Severity::Critical, false));
    let report = hall.gateway.upstream(UpstreamId(1)).unwrap();
    assert!(report.rests.is_some());
    let cooling = (1..=30).filter(|n| hall.standing(100 + n).is_some()).count();
    assert_eq!(cooling, 0, "keys of calls that ended after the storm began are well, too");
}

#[tokio::test]
async fn a_pool_of_which_one_key_is_good_answers_every_call() {
    let vendor = Vendor::answering(|seen| match seen.key() {
        "sk-401-1" | "sk-401-2" => json(401, r#"{"error":{"code":"invalid_api_key"}}"#),
        "sk-403-1" | "sk-403-2" => json(403, "{}"),
        "sk-429-1" | "sk-429-2" => json(429, r#"{"error":{"code":"rate_limit_exceeded"}}"#),
        "sk-good" => said("ok"),
        key if key.starts_with("sk-500") => json(500, r#"{"error":{"message":"sorry"}}"#),
        _ => json(503, r#"{"error":{"message":"overloaded"}}"#),
    })
    .await;
    let bad = ["sk-401-1", "sk-401-2", "sk-403-1", "sk-403-2", "sk-429-1", "sk-429-2"];
    let faulty = ["sk-500-1", "sk-500-2", "sk-500-3", "sk-503-1", "sk-503-2"];
    for strategy in [Strategy::RoundRobin, Strategy::Random, Strategy::ConsistentHash] {
        let mut setup = Setup::new();
        let keys = [&bad[..], &faulty[..], &["sk-good"]].concat();
        setup.upstream("up", vendor.addr, &keys, |up| {
            up.strategy = strategy;
            // A loaded machine may be slow: what opens must stay open.
            up.policy.breaker.window = Duration::from_secs(3600);
            up.policy.breaker.open_for = Duration::from_secs(3600);
        });
        let hall = setup.start().await;
        let before = vendor.seen().len();
        for call in 0..60 {
            let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
            assert_eq!(reply.status, 200, "{strategy:?}, call {call}: {}", reply.text());
        }
        let report = hall.gateway.upstream(UpstreamId(1)).unwrap();
        assert_eq!((report.rests, report.breakers), (None, vec![]), "{strategy:?}");
        // The faulty ones are left alone after three calls that were answered without them.
        let seen = vendor.seen();
        let faults = seen[before..].iter().filter(|seen| faulty.contains(&seen.key()));
        assert!(faults.count() <= 3 * faulty.len(), "{strategy:?}");
    }
}

#[tokio::test]
async fn faults_that_another_attempt_makes_good_do_not_open_the_breaker_of_the_upstream() {
    let odd = AtomicUsize::new(0);
    let vendor = Vendor::answering(move |_| match odd.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => json(500, "{}"),
        _ => said("ok"),
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    for call in 0..30 {
        let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
        assert_eq!(reply.status, 200, "call {call}");
    }
    assert_eq!(hall.gateway.upstream(UpstreamId(1)).unwrap().breakers, []);
}

#[tokio::test]
async fn an_outage_is_met_with_no_more_attempts_than_it_may_once_a_call_has_failed() {
    let vendor = Vendor::saying(json(500, "{}")).await;
    let keys: Vec<String> = (0..20).map(|n| format!("sk-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &keys, |up| up.retry_count = 1);
    let hall = setup.start().await;
    let mut asked = Vec::new();
    for _ in 0..4 {
        let before = vendor.seen().len();
        assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 500);
        asked.push(vendor.seen().len() - before);
    }
    assert_eq!(asked, [8, 2, 2, 2], "only the first looks whether other keys do better");
}

#[tokio::test]
async fn a_reset_far_away_is_tried_and_its_end_is_noticed() {
    for (status, body) in [(429, "{}"), (402, r#"{"error":{"code":"insufficient_quota"}}"#)] {
        let well = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let now_well = well.clone();
        let vendor = Vendor::answering(move |seen| match now_well.load(Ordering::SeqCst) {
            _ if seen.method == "GET" => json(200, r#"{"data":[]}"#),
            true => said("ok"),
            false => {
                answer(status, &["retry-after: 1587827", "content-type: application/json"], body)
            }
        })
        .await;
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1", "sk-2"], |_| {});
        let clock = setup.settings.clock.clone();
        let hall = setup.start().await;
        let ask = async || hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status;
        assert_eq!([ask().await, ask().await], [status, 429]);
        let asked = vendor.seen().len();
        // It is not well yet: one call tries, and the others are refused at once.
        clock.forward(Duration::from_secs(301));
        assert_eq!([ask().await, ask().await, ask().await], [status, 429, 429]);
        assert_eq!(vendor.seen().len(), asked + 1);
        let far = hall.standing(101).and_then(|standing| standing.status.until()).unwrap();
        // The provider accepts the key, and that says nothing of its limits.
        let test = hall.gateway.test_key(UpstreamId(1), domain::ProviderKeyId(101)).await;
        assert_eq!((test.accepted, test.resting_until), (Some(true), Some(far)));
        assert!(test.words.unwrap().starts_with("accepted, still resting until 20"));
        well.store(true, Ordering::SeqCst);
        clock.forward(Duration::from_secs(301));
        assert_eq!(ask().await, 200, "one call tries");
        clock.forward(Duration::from_secs(2));
        assert_eq!([ask().await, ask().await], [200, 200]);
        assert_eq!((hall.standing(101), hall.standing(102)), (None, None), "both are back");
        let test = hall.gateway.test_key(UpstreamId(1), domain::ProviderKeyId(101)).await;
        assert_eq!((test.accepted, test.resting_until, test.words), (Some(true), None, None));
    }
}

#[tokio::test]
async fn the_newest_word_of_a_provider_shortens_a_rest_that_was_tried() {
    let calls = AtomicUsize::new(0);
    let vendor = Vendor::answering(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => answer(429, &["retry-after: 1587827"], "{}"),
        _ => answer(429, &["retry-after: 20"], "{}"),
    })
    .await;
    let setup = Setup::with(vendor.addr);
    let clock = setup.settings.clock.clone();
    let hall = setup.start().await;
    let ask = async || hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status;
    ask().await;
    clock.forward(Duration::from_secs(301));
    assert_eq!(ask().await, 429);
    let until = hall.standing(101).and_then(|standing| standing.status.until()).unwrap();
    assert!((until - clock.now()).num_seconds() <= 20, "{until}");
}

#[tokio::test]
async fn calls_of_one_session_stay_with_one_key() {
    let vendor = Vendor::answering(|_| said("ok")).await;
    let mut setup = Setup::new();
    let keys: Vec<String> = (0..10).map(|n| format!("sk-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    setup.upstream("up", vendor.addr, &keys, |up| {
        up.strategy = Strategy::Random;
        let by = StickyBy::Header("x-session-id".to_owned());
        up.policy.sticky = Some(Sticky { by, ..Sticky::default() });
    });
    let hall = setup.start().await;
    for session in ["a", "b"] {
        let before = vendor.seen().len();
        let field = format!("x-session-id: {session}");
        for _ in 0..10 {
            let fields = [field.as_str(), "content-type: application/json"];
            let request = hall.request("POST", "/v1/chat/completions", &fields, chat("m"));
            assert_eq!(hall.ask(request).await.status, 200);
        }
        let seen = vendor.seen();
        let used: HashSet<&str> = seen[before..].iter().map(|seen| seen.key()).collect();
        assert_eq!(used.len(), 1, "{session}: {used:?}");
    }
}

#[tokio::test]
async fn a_route_can_be_asked_where_a_call_would_go() {
    let vendor = Vendor::answering(|seen| match seen.key() {
        "sk-bad" => json(401, "{}"),
        _ => said("ok"),
    })
    .await;
    let mut setup = Setup::new();
    let first = setup.upstream("first", vendor.addr, &["sk-bad"], |_| {});
    let second = setup.upstream("second", vendor.addr, &["sk-good"], |_| {});
    setup.route("r", &[(first, Some("m-one")), (second, None)]);
    let hall = setup.start().await;
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("r"))).await.status, 200);
    let asked = vendor.seen().len();
    let mut ask = RouteAsk {
        service_key: ServiceKeyId(1),
        model: "r".to_owned(),
        dialect: Dialect::OpenaiChat,
        headers: Vec::new(),
        session: None,
    };
    let test = hall.gateway.route_test(&ask).unwrap();
    let targets: Vec<_> = test
        .targets
        .iter()
        .map(|t| (t.upstream_name.as_str(), t.model.as_deref(), t.key_name.as_deref()))
        .collect();
    assert_eq!(
        targets,
        [("first", Some("m-one"), None), ("second", Some("r"), Some("second key 1"))]
    );
    assert_eq!(test.targets[0].passed_over.as_deref(), Some("all its keys rest"));
    assert_eq!(vendor.seen().len(), asked, "nothing is sent");
    ask.model = "nowhere".to_owned();
    ask.dialect = Dialect::Gemini;
    assert!(hall.gateway.route_test(&ask).is_err());
    // As of a key that may be used by looking only.
    ask.model = "r".to_owned();
    assert!(hall.gateway.route_test(&ask).is_ok());
    hall.install(|catalog| {
        let key = catalog.service_keys.get_mut(&ServiceKeyId(1)).unwrap();
        Arc::make_mut(key).access.methods = vec!["GET".to_owned()];
    });
    let refused = hall.gateway.route_test(&ask).unwrap_err();
    assert_eq!((refused.status, refused.message.contains("with this method")), (403, true));
}

#[tokio::test]
async fn a_key_is_tested_with_a_question_that_costs_nothing() {
    let vendor = Vendor::answering(|seen| match (seen.key(), seen.target.as_str()) {
        ("sk-good", "/v1/models") => json(200, r#"{"data":[]}"#),
        ("sk-slow", _) => json(503, "{}"),
        _ => json(401, r#"{"error":{"code":"invalid_api_key"}}"#),
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-good", "sk-bad", "sk-slow"], |_| {});
    let hall = setup.start().await;
    let mut found = Vec::new();
    for key in 101..=103 {
        let test = hall.gateway.test_key(UpstreamId(1), domain::ProviderKeyId(key)).await;
        found.push((test.accepted, test.status));
    }
    assert_eq!(found, [(Some(true), Some(200)), (Some(false), Some(401)), (None, Some(503))]);
    assert!(vendor.seen().iter().all(|seen| seen.method == "GET" && seen.body.is_empty()));
}

#[tokio::test]
async fn a_suspended_key_is_back_when_the_provider_accepts_it() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let now = accepted.clone();
    let vendor =
        Vendor::answering(move |seen| match (now.load(Ordering::SeqCst), seen.method.as_str()) {
            (0, _) => json(401, "{}"),
            (_, "GET") => json(200, "{}"),
            _ => said("ok"),
        })
        .await;
    let hall = Setup::with(vendor.addr).start().await;
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 502);
    let suspended = hall.gateway.suspended();
    assert_eq!(suspended, [(UpstreamId(1), domain::ProviderKeyId(101))]);
    accepted.store(1, Ordering::SeqCst);
    hall.gateway.test_key(suspended[0].0, suspended[0].1).await;
    assert!(hall.gateway.suspended().is_empty());
    assert_eq!(hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await.status, 200);
}

#[tokio::test]
async fn what_was_known_of_keys_is_known_after_a_restart() {
    let vendor = Vendor::answering(|_| json(401, "{}")).await;
    let setup = Setup::with(vendor.addr);
    let catalog = setup.catalog.clone();
    let hall = setup.start().await;
    let mut events = hall.gateway.events().unwrap();
    hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    let Ok(Event::Transition(step)) = events.try_recv() else { panic!("no step was told") };
    let vendor = Vendor::answering(|_| said("ok")).await;
    let mut again = Setup::with(vendor.addr);
    again.catalog.revision = catalog.revision;
    let hall = again
        .start_with(|gateway| {
            gateway.restore(vec![domain::KeptStanding {
                key: step.key,
                upstream: step.upstream,
                model: step.model.clone(),
                standing: step.to.clone(),
            }]);
        })
        .await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "all_keys_resting_auth"));
    assert!(matches!(hall.standing(101).unwrap().status, KeyStatus::DisabledAuto(_)));
    assert_eq!(vendor.seen().len(), 0);
    assert_eq!(hall.entry().await.outcome, Outcome::Refused);
}

#[tokio::test]
async fn what_a_key_made_is_asked_for_with_that_key() {
    let vendor = Vendor::answering(|seen| match (seen.method.as_str(), seen.key()) {
        ("POST", key) if seen.target.ends_with("/files") => {
            json(200, &format!(r#"{{"object":"file","id":"file-of-{}"}}"#, &key[3..]))
        }
        _ => json(200, "{}"),
    })
    .await;
    let mut setup = Setup::new();
    setup.upstream("other", vendor.addr, &["sk-0"], |_| {});
    setup.upstream("up", vendor.addr, &["sk-1", "sk-2", "sk-3"], |_| {});
    let hall = setup.start().await;
    let fields = ["content-type: application/octet-stream"];
    let upload = hall.request("POST", "/proxy/up/v1/files", &fields, "x");
    for _ in 0..3 {
        assert_eq!(hall.ask(&upload).await.status, 200);
    }
    for key in ["sk-2", "sk-1", "sk-3", "sk-3"] {
        for path in ["/v1/files", "/proxy/up/v1/files"] {
            let path = format!("{path}/file-of-{}/content", &key[3..]);
            assert_eq!(hall.ask(hall.request("GET", &path, &[], "")).await.status, 200);
            assert_eq!(vendor.seen().last().unwrap().key(), key, "{path}");
        }
    }
}
