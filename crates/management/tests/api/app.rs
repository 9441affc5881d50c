//! A management plane in a temporary directory, and people who call it.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use auth::{Actor, MasterKey, Passwords, Role};
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    BaseUrl, ErrorClass, Event, Evidence, LimitId, OutboundPolicy, ProviderKeyId, Revision, RuleId,
    ServiceKeyId, Trigger, Upstream, UpstreamId, UserId,
    live::{
        KeyReport, KeyTest, LimitUse, Live, RouteAsk, RouteRefused, RouteTest, ScriptAsk,
        ScriptDone, UpstreamReport,
    },
    log::{Attempt, Considered, LogEntry, Origin, Outcome, Served, Usage, UsageSource},
    policy::HeaderScript,
    rule::Action,
};
use management::{Management, Parts, Settings};
use secrecy::SecretString;
use serde_json::{Value, json};
use store::{JournalPosition, NewUser, Store};
use tempfile::TempDir;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::contract;

/// What everybody's password is here.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A running plane.
pub(crate) struct App {
    pub(crate) management: Management,
    pub(crate) store: Store,
    pub(crate) live: Arc<FakeLive>,
    pub(crate) passwords: Passwords,
    pub(crate) master_key: MasterKey,
    router: Router,
    _directory: TempDir,
}

/// Somebody who calls the plane.
#[derive(Clone)]
pub(crate) struct Client {
    router: Router,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) ip: String,
}

/// What the plane answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl App {
    /// A plane with an empty database, nobody in it.
    pub(crate) async fn empty() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let master_key = MasterKey::generate();
        let file = directory.path().join("tollgate.db");
        let database = store::Settings::new(file.to_str().unwrap());
        let policy = OutboundPolicy::default();
        let store = Store::open(database, &master_key, policy).await.unwrap();
        let live = Arc::new(FakeLive::default());
        let mut parts = Parts::new(store.clone(), &master_key);
        parts.settings = settings;
        parts.passwords = parts.passwords.at_cost(4);
        parts.live = Some(live.clone());
        let passwords = parts.passwords.clone();
        let management = Management::new(parts);
        let router = management.router();
        Self { management, store, live, passwords, master_key, router, _directory: directory }
    }

    /// A plane with one user of each role, called like the role.
    pub(crate) async fn start() -> Self {
        let app = Self::empty().await;
        for role in Role::ALL {
            app.user(role.as_str(), role).await;
        }
        app
    }

    pub(crate) async fn user(&self, name: &str, role: Role) -> UserId {
        let password_hash = Some(self.passwords.hash(&PASSWORD.into()).unwrap());
        let user = NewUser { name: name.to_owned(), email: None, role, password_hash };
        self.store.create_user(&Actor::System, user).await.unwrap()
    }

    /// Somebody nobody knows.
    pub(crate) fn anonymous(&self) -> Client {
        let ip = "203.0.113.7".to_owned();
        Client { router: self.router.clone(), headers: Vec::new(), ip }
    }

    /// Somebody who may do everything.
    pub(crate) async fn admin(&self) -> Client {
        self.signed_in(Role::SuperAdmin).await
    }

    /// Somebody who may look at some things and change nothing.
    pub(crate) async fn viewer(&self) -> Client {
        self.signed_in(Role::Analyst).await
    }

    pub(crate) async fn signed_in(&self, role: Role) -> Client {
        let login = json!({"username": role.as_str(), "password": PASSWORD});
        let answer = self.anonymous().post("/api/auth/login", login).await.expect(200);
        self.anonymous().bearing(answer["access_token"].as_str().unwrap())
    }

    /// The same caller of a plane beside which no data plane runs.
    pub(crate) fn without_data_plane(&self, client: Client) -> Client {
        let parts = Parts::new(self.store.clone(), &self.master_key);
        Client { router: Management::new(parts).router(), ..client }
    }

    /// An upstream and its id.
    pub(crate) async fn upstream(&self, by: &Client, name: &str) -> i64 {
        let new = json!({"name": name, "base_url": "https://api.openai.com"});
        by.post("/api/admin/upstreams", new).await.expect(201)["id"].as_i64().unwrap()
    }

    /// The same plane in a process of its own, without a data plane.
    pub(crate) fn alone(mut self) -> Self {
        let mut parts = Parts::new(self.store.clone(), &self.master_key);
        parts.passwords = parts.passwords.at_cost(4);
        self.management = Management::new(parts);
        self.router = self.management.router();
        self
    }

    /// An upstream of the user who is called like this role, and its id.
    pub(crate) async fn upstream_of(&self, role: Role) -> i64 {
        let me = self.signed_in(role).await.get("/api/auth/me").await.expect(200);
        let id = UserId(me["id"].as_i64().unwrap());
        let by = Actor::User { id, name: role.as_str().to_owned(), grant: role.into(), ip: None };
        let fresh = |id, owner| {
            let url = BaseUrl::parse("https://api.openai.com").unwrap();
            Upstream::new(id, owner, "own", url)
        };
        self.store.create(&by, fresh, |_| Ok(())).await.unwrap().value.id.0
    }

    /// Keeps what the running gateway told.
    pub(crate) async fn told(&self, events: &[Event]) {
        self.store.keep_events(events).await.unwrap();
    }

    /// Puts log entries into the database, as the drain of the journal does.
    pub(crate) async fn log(&self, entries: &[LogEntry]) {
        let segment = Utc::now().timestamp_micros().unsigned_abs();
        let position = JournalPosition { journal: "test".to_owned(), segment, offset: 0 };
        self.store.append_log(entries, position).await.unwrap();
    }
}

/// A rule that fired about a call to the first upstream.
pub(crate) fn fired(rule: i64, log: Uuid) -> Trigger {
    let at = DateTime::from_timestamp_micros(1_790_000_000_200_000).unwrap();
    Trigger {
        rule: RuleId(rule),
        version: 2,
        upstream: UpstreamId(1),
        key: Some(ProviderKeyId(1)),
        model: Some("gpt-5-2026".to_owned()),
        log,
        at,
        shadow: false,
        actions: vec![Action::DisableKey, Action::Alert],
        until: Some(at + TimeDelta::hours(1)),
        evidence: Evidence {
            status: Some(429),
            code: Some("insufficient_quota".to_owned()),
            class: Some(ErrorClass::QuotaExhausted),
            rule: Some(RuleId(rule)),
            log: Some(log),
            words: "the status is 429".to_owned(),
        },
    }
}

/// A call that went well a moment ago.
pub(crate) fn entry(service_key: i64, owner: UserId) -> LogEntry {
    LogEntry {
        id: Uuid::now_v7(),
        request_id: "req-1".to_owned(),
        started_us: Utc::now().timestamp_micros(),
        service_key: ServiceKeyId(service_key),
        service_key_name: "my app".to_owned(),
        owner,
        upstream: Some(UpstreamId(1)),
        upstream_name: Some("openai".to_owned()),
        provider_key: Some(ProviderKeyId(1)),
        provider_key_name: Some("Key 1".to_owned()),
        model_asked: Some("gpt-5".to_owned()),
        model_used: Some("gpt-5-2026".to_owned()),
        dialect: Some(domain::Dialect::OpenaiChat),
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        status: 200,
        outcome: Outcome::Completed,
        bytes_in: 100,
        bytes_out: 2000,
        latency_us: 12_500,
        first_byte_us: Some(4_250),
        streamed: true,
        usage: Usage { input: 30, cached: 10, output: 7, reasoning: 3, ..Default::default() },
        usage_source: UsageSource::Reported,
        cost_nano: None,
        price_version: Some(3),
        attempts: vec![Attempt {
            upstream: UpstreamId(1),
            upstream_name: "openai".to_owned(),
            provider_key: Some(ProviderKeyId(1)),
            provider_key_name: Some("Key 1".to_owned()),
            started_us: 500,
            duration_us: 3_750,
            status: Some(200),
            result: "answered".to_owned(),
            class: None,
            rules: Vec::new(),
            provider_request_id: Some("req_1".to_owned()),
            usage: Usage::default(),
            usage_source: UsageSource::Nothing,
            cost_nano: None,
        }],
        error: None,
        client_ip: Some("198.51.100.4".to_owned()),
        decision: vec![Considered { candidate: "openai".to_owned(), passed_over: None }],
        tags: Vec::new(),
        metadata: BTreeMap::new(),
        waited_us: 0,
        origin: Origin { session: Some("s1".to_owned()), ..Origin::default() },
        served: Served {
            model: Some("gpt-5-2026-01-01".to_owned()),
            tier: Some("default".to_owned()),
            usage: Some(r#"{"total_tokens":37}"#.to_owned()),
        },
    }
}

impl Client {
    pub(crate) fn bearing(mut self, token: &str) -> Self {
        self.headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        self
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn from(mut self, ip: &str) -> Self {
        ip.clone_into(&mut self.ip);
        self
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string())).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<String>) -> Answer {
        let mut request = Request::builder().method(method.clone()).uri(path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", "gate.example");
        }
        if body.is_some() && !self.headers.iter().any(|(name, _)| name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut request = request.body(body.map_or_else(Body::empty, Body::from)).unwrap();
        let peer = SocketAddr::new(self.ip.parse().unwrap(), 4711);
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 16 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        contract::check(&method, path, parts.status, &parts.headers, &text);
        Answer { status: parts.status, headers: parts.headers, text }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    /// The code of a refusal that must have this status.
    #[track_caller]
    pub(crate) fn refused(self, status: u16) -> String {
        self.expect(status)["error"]["code"].as_str().unwrap().to_owned()
    }

    /// Every field at fault with its message, of a refusal that must have this status.
    #[track_caller]
    pub(crate) fn faults(self, status: u16) -> HashMap<String, String> {
        let body = self.expect(status);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let fields = body["error"]["fields"].as_array().cloned().unwrap_or_default();
        fields.iter().map(|f| (text(&f["field"]), text(&f["message"]))).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of a cookie that the answer sets.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let all = self.headers.get_all(header::SET_COOKIE).iter();
        all.filter_map(|value| value.to_str().ok()?.split_once(';'))
            .filter_map(|(pair, _)| pair.split_once('='))
            .find_map(|(known, value)| (known == name).then(|| value.to_owned()))
    }
}

/// A data plane that says what a test wants it to say.
#[derive(Default)]
pub(crate) struct FakeLive {
    pub(crate) keys: Mutex<HashMap<i64, KeyReport>>,
    pub(crate) limits: Mutex<HashMap<i64, Vec<LimitUse>>>,
}

impl Live for FakeLive {
    fn revision(&self) -> Revision {
        Revision(7)
    }

    fn calls_in_flight(&self) -> u64 {
        3
    }

    fn key(&self, _: UpstreamId, key: ProviderKeyId) -> Option<KeyReport> {
        self.keys.lock().unwrap().get(&key.0).cloned()
    }

    fn keys_out(&self, most: usize) -> Option<Vec<ProviderKeyId>> {
        let out: Vec<_> = self.keys.lock().unwrap().keys().copied().map(ProviderKeyId).collect();
        (out.len() <= most).then_some(out)
    }

    fn key_states(&self) -> Vec<(&'static str, u64)> {
        vec![("active", 2), ("cooling", 1)]
    }

    fn upstream(&self, _: UpstreamId) -> Option<UpstreamReport> {
        None
    }

    fn limit(&self, limit: LimitId, most: usize) -> Vec<LimitUse> {
        let used = self.limits.lock().unwrap().get(&limit.0).cloned().unwrap_or_default();
        used.into_iter().take(most).collect()
    }

    fn route_test(&self, ask: &RouteAsk) -> Result<RouteTest, RouteRefused> {
        let message = format!("no route or upstream serves the model `{}`", ask.model);
        Err(RouteRefused { status: 404, code: "no_route", message })
    }

    fn test_key(
        &self,
        _: UpstreamId,
        _: ProviderKeyId,
    ) -> Pin<Box<dyn Future<Output = KeyTest> + Send + '_>> {
        let latency = Duration::from_millis(12);
        let test = KeyTest {
            accepted: Some(true),
            status: Some(200),
            latency,
            words: None,
            resting_until: None,
        };
        Box::pin(std::future::ready(test))
    }

    fn provider_models(
        &self,
        upstream: UpstreamId,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<String>, String>> + Send + '_>> {
        let models = match upstream {
            UpstreamId(1) => Ok(vec!["gpt-4o".to_owned(), "gpt-4o-mini".to_owned()]),
            UpstreamId(2) => Ok(Vec::new()),
            _ => Err("the provider answered 401".to_owned()),
        };
        Box::pin(std::future::ready(models))
    }

    fn run_script(&self, _: &HeaderScript, on: &ScriptAsk) -> Result<ScriptDone, String> {
        let set = vec![("x-path".to_owned(), on.path.clone())];
        Ok(ScriptDone { set, remove: Vec::new() })
    }

    fn journal_len(&self) -> u64 {
        2
    }
}

/// A password as the code under test takes it.
pub(crate) fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}
