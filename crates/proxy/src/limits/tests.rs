//! Limits of every scope and their refusals, on counters in memory.

use domain::{
    Access, Algorithm, BaseUrl, Caller, Catalog, LimitId, Owner, Period, ServiceKey, UpstreamEntry,
};

use super::{reserved::guess_less, *};

const S: i64 = 1_000_000;
const T0: i64 = 1_700_000_000 * S;

fn limit(id: i64, scope: Scope, unit: Unit, algorithm: Algorithm, limit: u64) -> Limit {
    let (id, owner, name) = (LimitId(id), UserId(1), String::new());
    let alert_percent = None;
    Limit { id, owner, name, scope, unit, algorithm, limit, alert_percent, enabled: true }
}

fn hour() -> Algorithm {
    Algorithm::SlidingWindow { window: std::time::Duration::from_secs(3600) }
}

fn index(limits: Vec<Limit>) -> LimitsIndex {
    let mut catalog = Catalog::empty();
    catalog.owners.insert(UserId(1), Owner { active: true, uses_all_upstreams: true });
    let url = BaseUrl::parse("https://api.openai.com").unwrap();
    let upstream = Upstream::new(UpstreamId(1), UserId(1), "openai", url);
    let entry = UpstreamEntry { upstream, keys: Vec::new() };
    catalog.upstreams.insert(UpstreamId(1), Arc::new(entry));
    catalog.limits = limits.into_iter().map(|limit| (limit.id, Arc::new(limit))).collect();
    LimitsIndex::compile(&Snapshot::compile(&catalog).unwrap())
}

fn caller(id: i64, owner: i64) -> Caller {
    let key = ServiceKey {
        id: ServiceKeyId(id),
        owner: UserId(owner),
        name: "k".to_owned(),
        public_id: "p".to_owned(),
        digest: [0; 32],
        last_four: "abcd".to_owned(),
        enabled: true,
        expires_at: None,
        allowed_upstreams: Vec::new(),
        allowed_models: Vec::new(),
        access: Access::default(),
        previous: None,
        tags: Vec::new(),
    };
    Caller { key, owner_active: true, owner_uses_all: true }
}

fn names(index: &LimitsIndex, caller: &Caller, ip: &str, model: &str) -> Vec<String> {
    let who = Who { caller, ip: ip.parse().ok(), model: Some(model) };
    let asks = index.asks(&who, &Estimate::default(), T0, Tz::UTC);
    let mut names: Vec<String> = asks.asks.iter().map(|ask| ask.counter.to_string()).collect();
    names.sort();
    names
}

#[test]
fn a_limit_concerns_those_whom_it_names() {
    let scopes = [
        Scope::Global,
        Scope::Ip(None),
        Scope::Ip(Some("10.0.0.0/8".parse().unwrap())),
        Scope::User(None),
        Scope::User(Some(UserId(7))),
        Scope::ServiceKey(None),
        Scope::ServiceKey(Some(ServiceKeyId(3))),
        Scope::Model(None),
        Scope::Model(Some("gpt-5".to_owned())),
        Scope::Upstream(None),
    ];
    let limits = scopes.into_iter().zip(1..);
    let index = index(limits.map(|(s, id)| limit(id, s, Unit::Requests, hour(), 5)).collect());
    assert_eq!(
        names(&index, &caller(3, 7), "10.1.2.3", "gpt-5"),
        [
            "limit:1:requests:last:all",
            "limit:2:requests:last:10.1.2.3",
            "limit:3:requests:last:10.0.0.0/8",
            "limit:4:requests:last:7",
            "limit:5:requests:last:7",
            "limit:6:requests:last:3",
            "limit:7:requests:last:3",
            "limit:8:requests:last:gpt-5",
            "limit:9:requests:last:gpt-5",
        ]
    );
    assert_eq!(
        names(&index, &caller(4, 8), "2001:db8:1:2:3::4", "other"),
        [
            "limit:1:requests:last:all",
            "limit:2:requests:last:2001:db8:1:2::/64",
            "limit:4:requests:last:8",
            "limit:6:requests:last:4",
            "limit:8:requests:last:other",
        ]
    );
}

async fn take(
    index: &LimitsIndex,
    counters: &Counters,
    caller: &Caller,
    now_us: i64,
) -> Result<(Held, String), LimitRefused> {
    let who = Who { caller, ip: None, model: Some("m") };
    let mut asks = index.asks(&who, &Estimate::default(), now_us, Tz::UTC);
    let held = asks.reserve(counters, now_us).await?;
    let mut fields = Vec::new();
    asks.headers(&held, Some(Dialect::OpenaiChat), now_us, &mut fields);
    Ok((held, String::from_utf8(fields).unwrap()))
}

#[tokio::test]
async fn a_refusal_names_the_limit_its_owner_its_value_and_when_it_ends() {
    let scope = Scope::ServiceKey(Some(ServiceKeyId(1)));
    let index = index(vec![limit(9, scope, Unit::Requests, hour(), 2)]);
    let (counters, caller) = (Counters::memory(), caller(1, 1));
    let (first, fields) = take(&index, &counters, &caller, T0).await.unwrap();
    assert_eq!(
        fields,
        "x-ratelimit-limit-requests: 2\r\nx-ratelimit-remaining-requests: 1\r\n\
         x-ratelimit-reset-requests: 1h0m0s\r\n"
    );
    let (second, _) = take(&index, &counters, &caller, T0).await.unwrap();
    first.settle(&[1]);
    second.settle(&[1]);
    let refused = take(&index, &counters, &caller, T0).await.map(drop).unwrap_err();
    let words = refused.to_string();
    for part in [
        "id 9",
        "service key 1",
        "2 requests in 1 h",
        "there is room for this call at 2023-11-14T23:",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert_eq!((refused.status(), refused.code()), (429, "rate_limit_exceeded"));
    let wait = refused.retry_after().unwrap().as_secs();
    assert!((3600..=3660).contains(&wait), "{wait} s");
    let mut fields = Vec::new();
    refused.headers(Some(Dialect::AnthropicMessages), &mut fields);
    let fields = String::from_utf8(fields).unwrap();
    assert!(fields.starts_with("anthropic-ratelimit-requests-limit: 2\r\n"), "{fields}");
    assert!(fields.contains("anthropic-ratelimit-requests-remaining: 0\r\n"), "{fields}");
    assert!(take(&index, &counters, &caller, T0 + 3660 * S).await.is_ok());
}

#[tokio::test]
async fn what_is_given_back_is_there_again_and_calls_at_once_end() {
    let limits = vec![
        limit(1, Scope::Global, Unit::Concurrency, Algorithm::Concurrency, 1),
        limit(2, Scope::Global, Unit::Requests, hour(), 1),
    ];
    let (index, counters, caller) = (index(limits), Counters::memory(), caller(1, 1));
    let (held, _) = take(&index, &counters, &caller, T0).await.unwrap();
    let refused = take(&index, &counters, &caller, T0).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("call at once"), "{refused}");
    assert_eq!(refused.retry_after(), Some(std::time::Duration::from_secs(1)));
    held.release();
    assert!(take(&index, &counters, &caller, T0).await.is_ok());
}

#[tokio::test]
async fn money_without_a_price_is_refused() {
    let calendar = Algorithm::Calendar { period: Period::Month, timezone: None };
    let index = index(vec![limit(1, Scope::Global, Unit::Cost, calendar, 5_000_000_000)]);
    let (counters, caller) = (Counters::memory(), caller(1, 1));
    let refused = take(&index, &counters, &caller, T0).await.map(drop).unwrap_err();
    assert_eq!((refused.status(), refused.code()), (403, "price_unknown"));
    assert!(refused.to_string().contains("(5 dollars a month)"), "{refused}");
}

#[tokio::test]
async fn a_refusal_for_what_calls_under_way_hold_is_not_for_the_whole_period() {
    let day = Algorithm::Calendar { period: Period::Day, timezone: None };
    let index = index(vec![limit(1, Scope::Global, Unit::TokensIn, day, 100)]);
    let (counters, caller) = (Counters::memory(), caller(1, 1));
    let call = async |tokens| {
        let who = Who { caller: &caller, ip: None, model: None };
        let estimate = Estimate::of_input(tokens);
        index.asks(&who, &estimate, T0, Tz::UTC).reserve(&counters, T0).await
    };
    let open = call(80).await.unwrap();
    let refused = call(30).await.map(drop).unwrap_err();
    assert_eq!(refused.retry_after(), Some(std::time::Duration::from_secs(1)));
    assert!(refused.to_string().contains("when calls under way have ended"), "{refused}");
    open.settle(&[75]);
    let refused = call(30).await.map(drop).unwrap_err();
    assert!(refused.retry_after().unwrap().as_secs() > 3600, "it is used in fact");
    assert!(call(25).await.is_ok());
}

#[tokio::test]
async fn headers_of_a_bucket_tell_what_it_holds() {
    let window = std::time::Duration::from_secs(3600);
    for (most, burst) in [(100, 2), (2, 5)] {
        let bucket = Algorithm::TokenBucket { window, burst: Some(burst) };
        let index = index(vec![limit(1, Scope::Global, Unit::Requests, bucket, most)]);
        let (counters, caller) = (Counters::memory(), caller(1, 1));
        for left in (0..burst).rev() {
            let (_, fields) = take(&index, &counters, &caller, T0).await.map(keep).unwrap();
            let told =
                format!("limit-requests: {burst}\r\nx-ratelimit-remaining-requests: {left}\r\n");
            assert!(fields.contains(&told), "{fields}");
        }
        let refused = take(&index, &counters, &caller, T0).await.map(drop).unwrap_err();
        let mut fields = Vec::new();
        refused.headers(Some(Dialect::OpenaiChat), &mut fields);
        let fields = String::from_utf8(fields).unwrap();
        assert!(fields.contains("x-ratelimit-remaining-requests: 0\r\n"), "{fields}");
        let words = format!("{most} requests in 1 h, {burst} at once");
        assert!(refused.to_string().contains(&words), "{refused}");
    }
}

/// The call used what it held.
fn keep((held, fields): (Held, String)) -> ((), String) {
    (held.settle(&[1]), fields)
}

#[tokio::test]
async fn people_are_told_once_that_a_budget_is_nearly_used_up_and_once_that_it_is() {
    let day = Algorithm::Calendar { period: Period::Day, timezone: None };
    let mut budget = limit(4, Scope::User(None), Unit::Requests, day, 10);
    budget.alert_percent = Some(80);
    let quiet = Limit { id: LimitId(5), limit: 1_000, alert_percent: None, ..budget.clone() };
    let (index, counters, caller) = (index(vec![budget, quiet]), Counters::memory(), caller(1, 7));
    let alerts = BudgetAlerts::default();
    let call = async |now_us| {
        let who = Who { caller: &caller, ip: None, model: None };
        let mut asks = index.asks(&who, &Estimate::default(), now_us, Tz::UTC);
        let outcome = asks.reserve(&counters, now_us).await;
        let told = alerts.look(&asks, &outcome, now_us);
        outcome.map(|held| held.settle(&[1, 1])).ok();
        let told = told.into_iter().map(|event| match event {
            domain::Event::Alert(raised) => (raised.severity, raised.title, raised.words),
            other => panic!("{other:?}"),
        });
        told.collect::<Vec<_>>()
    };
    let mut told = Vec::new();
    for n in 1..=13 {
        told.extend(call(T0).await.into_iter().map(|raised| (n, raised)));
    }
    let [(9, near), (11, reached)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(near.0, domain::Severity::Warning);
    assert_eq!(near.1, "the limit (id 4) of the user 7 is nearly used up");
    assert_eq!(
        near.2,
        "8 requests of 10 requests a day are used or reserved; the period ends at 2023-11-15T00:00:00Z"
    );
    assert_eq!(reached.0, domain::Severity::Critical);
    assert_eq!(reached.1, "the limit (id 4) of the user 7 is used up: calls are refused");

    let tomorrow = T0 + 86_400 * S;
    assert!(alerts.over(T0).is_empty());
    let over = alerts.over(tomorrow);
    let [domain::Event::Alert(over)] = over.as_slice() else { panic!("{over:?}") };
    assert_eq!((over.group.as_str(), over.over), ("limit:4:7", true));
    assert!(alerts.over(tomorrow).is_empty());
    let mut again = 0;
    for _ in 0..9 {
        again += call(tomorrow).await.len();
    }
    assert_eq!(again, 1, "each period has alerts of its own");
}

#[test]
fn questions_about_the_past_are_asked_for_calendars_only() {
    let mut catalog = Catalog::empty();
    let calendar = Algorithm::Calendar { period: Period::Day, timezone: Some(Tz::Asia__Shanghai) };
    for one in [
        limit(1, Scope::Global, Unit::Cost, calendar, 1),
        limit(2, Scope::User(Some(UserId(1))), Unit::Requests, hour(), 1),
    ] {
        catalog.limits.insert(one.id, Arc::new(one));
    }
    let snapshot = Snapshot::compile(&catalog).unwrap();
    let asked = seedings(&snapshot, T0, Tz::UTC);
    let names: Vec<&str> = asked.iter().map(|(q, _)| q.counter.as_str()).collect();
    assert_eq!(names, ["limit:1:cost:day@Asia/Shanghai:all"]);
    assert_eq!(
        asked[0].0.start_us,
        "2023-11-14T16:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros()
    );
}

#[test]
fn a_guess_is_made_as_small_as_there_is_room() {
    let check = |amount: u64, guessed: u64, room: u64, less: u64, changed: bool| {
        let (counter, measure) = ("c".into(), Measure::AtOnce);
        let mut ask = Ask { counter, measure, limit: 100, amount };
        let mut guess = guessed;
        assert_eq!(guess_less(&mut ask, &mut guess, room), changed, "{amount} {guessed} {room}");
        assert_eq!((ask.amount, guess), (less, less - (amount - guessed)));
    };
    check(60, 50, 100, 60, false);
    check(60, 50, 40, 40, true);
    // What is sure is asked for, and never nothing of what is guessed.
    check(60, 50, 5, 11, true);
    check(60, 0, 5, 60, false);
}

#[test]
fn how_a_limit_counts_is_part_of_its_counters_names() {
    let month = Algorithm::Calendar { period: Period::Month, timezone: None };
    let day = Algorithm::Calendar { period: Period::Day, timezone: Some(Tz::Asia__Shanghai) };
    let bucket = Algorithm::TokenBucket { window: std::time::Duration::from_secs(1), burst: None };
    let names = [month, day, bucket, hour(), Algorithm::Concurrency]
        .map(|algorithm| counters_of(&limit(7, Scope::Global, Unit::Requests, algorithm, 1)));
    assert_eq!(
        names,
        [
            "limit:7:requests:month:",
            "limit:7:requests:day@Asia/Shanghai:",
            "limit:7:requests:bucket:",
            "limit:7:requests:last:",
            "limit:7:requests:once:",
        ]
    );
}
