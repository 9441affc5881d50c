//! A store on a fresh database, and the things that most tests begin with.

use std::time::Duration;

use auth::{Actor, MasterKey, Role};
use domain::{
    OutboundPolicy, ProviderKeyId, ServiceKeyId, UpstreamId, UserId,
    log::{LogEntry, Origin, Outcome, Served, Usage, UsageSource},
};
use store::{NewProviderKey, NewServiceKey, NewUpstream, NewUser, Settings, Store};
use tempfile::TempDir;
use testkit::Postgres;
use uuid::Uuid;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}
pub(crate) use On::{Postgres as Pg, Sqlite};

/// A store, and what is needed to open it once more.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) master: MasterKey,
    pub(crate) dir: TempDir,
}

impl std::ops::Deref for Fixture {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Fixture {
    pub(crate) async fn new(on: On) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let url = match on {
            Sqlite => format!("sqlite://{}", dir.path().join("tollgate.db").display()),
            Pg => tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap(),
        };
        let mut settings = Settings::new(url);
        settings.patience = Duration::from_secs(5);
        let master = MasterKey::generate();
        let store = Store::open(settings.clone(), &master, outbound()).await.unwrap();
        Fixture { store, settings, master, dir }
    }

    /// The same database in another process, as far as the store can tell.
    pub(crate) async fn again(&self) -> Store {
        Store::open(self.settings.clone(), &self.master, outbound()).await.unwrap()
    }

    /// An address that others than the store can connect to.
    pub(crate) fn address(&self) -> String {
        self.settings.url.clone()
    }

    pub(crate) fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("tollgate.db")
    }

    pub(crate) async fn add_upstream(&self, name: &str) -> UpstreamId {
        let new = NewUpstream {
            name: name.into(),
            base_url: Some("https://api.openai.com".into()),
            ..NewUpstream::default()
        };
        self.create_upstream(&admin(), new).await.unwrap()
    }

    pub(crate) async fn add_key(&self, upstream: UpstreamId, name: &str) -> ProviderKeyId {
        let secret = format!("sk-{}-0123456789", name.replace(' ', "-"));
        let new = NewProviderKey::new(upstream, name, secret.into());
        self.create_provider_key(&admin(), new).await.unwrap()
    }

    pub(crate) async fn add_service_key(&self, name: &str) -> ServiceKeyId {
        self.create_service_key(&admin(), service_key(name)).await.unwrap()
    }

    pub(crate) async fn add_user(&self, name: &str, role: Role) -> UserId {
        self.create_user(&admin(), user(name, role)).await.unwrap()
    }
}

pub(crate) fn outbound() -> OutboundPolicy {
    OutboundPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], own: Vec::new() }
}

pub(crate) fn admin() -> Actor {
    Actor::System
}

pub(crate) fn actor(id: UserId, role: Role) -> Actor {
    Actor::User { id, name: "somebody".into(), role, ip: Some("203.0.113.7".parse().unwrap()) }
}

pub(crate) fn user(name: &str, role: Role) -> NewUser {
    NewUser { name: name.into(), email: None, role, password_hash: Some("hash".into()) }
}

pub(crate) fn service_key(name: &str) -> NewServiceKey {
    NewServiceKey {
        name: name.into(),
        public_id: format!("id{name}"),
        digest: [7; 32],
        last_four: "wxyz".into(),
        enabled: None,
        expires_at: None,
        allowed_upstreams: Vec::new(),
        allowed_models: Vec::new(),
        access: domain::Access::default(),
        owner: None,
    }
}

/// A log entry of a call that went well, `started_us` after 1970.
pub(crate) fn entry(started_us: i64) -> LogEntry {
    LogEntry {
        id: Uuid::now_v7(),
        request_id: "req-1".into(),
        started_us,
        service_key: ServiceKeyId(1),
        service_key_name: "my app".into(),
        owner: UserId(1),
        upstream: Some(UpstreamId(1)),
        upstream_name: Some("openai".into()),
        provider_key: Some(ProviderKeyId(1)),
        provider_key_name: Some("Key 1".into()),
        model_asked: Some("gpt".into()),
        model_used: Some("gpt-5".into()),
        dialect: Some(domain::Dialect::OpenaiChat),
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        status: 200,
        outcome: Outcome::Completed,
        bytes_in: 100,
        bytes_out: 200,
        latency_us: 1_000_000,
        first_byte_us: Some(300_000),
        streamed: true,
        usage: Usage { input: 10, cached: 4, output: 20, reasoning: 5, ..Usage::default() },
        usage_source: UsageSource::Reported,
        cost_nano: Some(1_000),
        price_version: None,
        attempts: Vec::new(),
        error: None,
        client_ip: Some("203.0.113.0".into()),
        decision: Vec::new(),
        tags: Vec::new(),
        waited_us: 0,
        origin: Origin::default(),
        served: Served::default(),
    }
}
