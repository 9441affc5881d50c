//! A store on a fresh database, and the things that most tests begin with.

use std::{collections::BTreeMap, time::Duration};

use auth::{Actor, MasterKey, Role};
use domain::{
    BaseUrl, OutboundPolicy, ProviderKeyId, Route, RouteId, ServiceKey, ServiceKeyId, Target,
    Upstream, UpstreamId, UserId,
    log::{LogEntry, Origin, Outcome, Served, Usage, UsageSource},
};
use store::{ImportedKey, MaskedKey, NewUser, Page, Resource, Settings, Store, StoreError, Stored};
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
        self.make(named(name, "https://api.openai.com")).await.unwrap().value.id
    }

    pub(crate) async fn add_key(&self, upstream: UpstreamId, name: &str) -> ProviderKeyId {
        let secret = format!("sk-{}-0123456789", name.replace(' ', "-"));
        self.make(key(upstream, name, &secret)).await.unwrap().value.id
    }

    pub(crate) async fn add_service_key(&self, name: &str) -> ServiceKeyId {
        self.make(service_key(name)).await.unwrap().value.id
    }

    /// Makes a resource as an administrator does.
    pub(crate) async fn make<R: Resource>(&self, value: R) -> Result<Stored<R>, StoreError> {
        self.make_by(&admin(), value).await
    }

    /// Makes a resource that is like this value.
    pub(crate) async fn make_by<R: Resource>(
        &self,
        by: &Actor,
        value: R,
    ) -> Result<Stored<R>, StoreError> {
        self.create(by, |_, _| value, |_| Ok(())).await
    }

    /// Edits a resource as an administrator does.
    pub(crate) async fn alter<R: Resource>(
        &self,
        id: R::Id,
        edit: impl FnOnce(&mut R) + Send,
    ) -> Result<Stored<R>, StoreError> {
        let edit = |value: &mut R| {
            edit(value);
            Ok(())
        };
        self.edit(&admin(), id, edit).await
    }

    /// A resource as an administrator sees it.
    pub(crate) async fn look<R: Resource>(&self, id: R::Id) -> Result<Stored<R>, StoreError> {
        self.seen_by(&admin()).get(id).await
    }

    /// The value of a resource that there is.
    pub(crate) async fn value<R: Resource>(&self, id: R::Id) -> R {
        self.look(id).await.unwrap().value
    }

    /// The first page of all resources of a kind.
    pub(crate) async fn all<R: Resource>(&self) -> Vec<R> {
        let page = self.seen_by(&admin()).list(&R::Filter::default(), Page::default()).await;
        page.unwrap().items.into_iter().map(|stored| stored.value).collect()
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
    let ip = Some("203.0.113.7".parse().unwrap());
    Actor::User { id, name: "somebody".into(), grant: role.into(), ip }
}

pub(crate) fn user(name: &str, role: Role) -> NewUser {
    NewUser { name: name.into(), email: None, role, password_hash: Some("hash".into()) }
}

/// An upstream with everything else as usual.
pub(crate) fn named(name: &str, base_url: &str) -> Upstream {
    Upstream::new(UpstreamId(0), UserId(0), name, BaseUrl::parse(base_url).unwrap())
}

/// A provider key with everything else as usual.
pub(crate) fn key(upstream: UpstreamId, name: &str, secret: &str) -> MaskedKey {
    MaskedKey::new(ProviderKeyId(0), UserId(0), upstream, name, secret.into())
}

/// A key of a list that is imported.
pub(crate) fn listed(secret: &str) -> ImportedKey {
    ImportedKey {
        name: None,
        secret: secret.into(),
        state: None,
        weight: None,
        enable_quota: None,
        quota_total: None,
        quotas: Vec::new(),
        group: None,
        note: String::new(),
        tags: Vec::new(),
    }
}

/// A route with everything else as usual.
pub(crate) fn route(name: &str, targets: Vec<Target>) -> Route {
    Route::new(RouteId(0), UserId(0), name, targets)
}

pub(crate) fn service_key(name: &str) -> ServiceKey {
    let (id, owner) = (ServiceKeyId(0), UserId(0));
    ServiceKey::new(id, owner, name, format!("id{name}"), [7; 32], "wxyz".into())
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
        metadata: BTreeMap::new(),
        waited_us: 0,
        origin: Origin::default(),
        served: Served::default(),
    }
}
