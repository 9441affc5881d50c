//! A gateway in a box: its listener on a free port, its configuration made by hand, its journal in
//! a folder of its own; and a client that speaks in raw bytes.

use std::{
    future::Future,
    net::{SocketAddr, TcpListener as StdListener},
    os::fd::IntoRawFd,
    sync::Arc,
    time::Duration,
};

use auth::{MasterKey, ServiceKeys};
use cluster::Counters;
use domain::{
    Access, BaseUrl, Catalog, CompiledRule, Condition, Conversion, KeyState, OutboundPolicy, Owner,
    ProviderKey, ProviderKeyId, Revision, Route, RouteId, Rule, RuleId, ServiceKey, ServiceKeyId,
    Snapshot, Standing, Strategy, Target, Upstream, UpstreamEntry, UpstreamId, UserId, live::Live,
    log::LogEntry, rule::Action,
};
use parking_lot::Mutex;
use pingora_core::{server::Fds, services::Service};
use proxy::{
    Gateway, Settings,
    journal::{self, Drain, Journal},
};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

/// So long anything may take before a test calls it hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Whose everything is.
pub(crate) const OWNER: UserId = UserId(1);

/// Waits for `future`, and fails the test where it hangs.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("hung: {what}"))
}

/// Waits until `fact` holds.
pub(crate) async fn until(what: &str, fact: impl Fn() -> bool) {
    soon(what, async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// What a gateway is started with.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) journal: journal::Settings,
    pub(crate) catalog: Catalog,
    pub(crate) service_keys: ServiceKeys,
    /// The service key of the first caller.
    pub(crate) key: String,
    dir: TempDir,
}

impl Setup {
    /// One caller without restrictions, and nowhere to go.
    pub(crate) fn new() -> Setup {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new("127.0.0.1:0".parse().unwrap());
        settings.outbound =
            OutboundPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], own: Vec::new() };
        let mut catalog = Catalog::empty();
        catalog.revision = Revision(1);
        catalog.owners.insert(OWNER, Owner { active: true, uses_all_upstreams: true });
        let mut setup = Setup {
            settings,
            journal: journal::Settings::new(dir.path()),
            catalog,
            service_keys: MasterKey::generate().service_keys(),
            key: String::new(),
            dir,
        };
        setup.key = setup.caller(|_| {});
        setup
    }

    /// One caller, and the upstream `up` at `addr` with one key.
    pub(crate) fn with(addr: SocketAddr) -> Setup {
        let mut setup = Setup::new();
        setup.upstream("up", addr, &["sk-provider-one"], |_| {});
        setup
    }

    /// Adds an upstream with its key pool.
    pub(crate) fn upstream(
        &mut self,
        name: &str,
        addr: SocketAddr,
        keys: &[&str],
        edit: impl FnOnce(&mut Upstream),
    ) -> UpstreamId {
        let id = UpstreamId(self.catalog.upstreams.len() as i64 + 1);
        let base = BaseUrl::parse(&format!("http://{addr}")).unwrap();
        let mut upstream = Upstream::new(id, OWNER, name, base);
        edit(&mut upstream);
        let keys = keys.iter().zip(1..).map(|(secret, n)| {
            Arc::new(ProviderKey {
                id: ProviderKeyId(id.0 * 100 + n),
                upstream: id,
                owner: OWNER,
                name: format!("{name} key {n}"),
                secret: (*secret).to_owned().into(),
                state: KeyState::Active,
                weight: 1,
                quotas: Vec::new(),
                group: None,
                cleared_at: None,
            })
        });
        let entry = UpstreamEntry { upstream, keys: keys.collect() };
        self.catalog.upstreams.insert(id, Arc::new(entry));
        id
    }

    /// Adds a service key, and gives it in clear.
    pub(crate) fn caller(&mut self, edit: impl FnOnce(&mut ServiceKey)) -> String {
        let minted = self.service_keys.mint();
        let id = ServiceKeyId(self.catalog.service_keys.len() as i64 + 1);
        let mut key = ServiceKey {
            id,
            owner: OWNER,
            name: format!("caller {id}"),
            public_id: minted.public_id,
            digest: minted.digest,
            last_four: minted.last_four,
            enabled: true,
            expires_at: None,
            allowed_upstreams: Vec::new(),
            allowed_models: Vec::new(),
            access: Access::default(),
            previous: None,
            tags: Vec::new(),
        };
        edit(&mut key);
        self.catalog.service_keys.insert(id, Arc::new(key));
        minted.key.expose_secret().to_owned()
    }

    /// Adds a route; targets in the order in which they are tried.
    pub(crate) fn route(&mut self, name: &str, targets: &[(UpstreamId, Option<&str>)]) {
        let id = RouteId(self.catalog.routes.len() as i64 + 1);
        let targets = targets.iter().zip(1..).map(|((upstream, model), priority)| Target {
            model: model.map(str::to_owned),
            priority,
            ..Target::of(*upstream)
        });
        let targets = targets.collect();
        let route = Route {
            id,
            owner: OWNER,
            name: name.to_owned(),
            enabled: true,
            conversion: Conversion::Allow,
            strategy: Strategy::Weighted,
            sticky: None,
            matching: None,
            targets,
        };
        self.catalog.routes.insert(id, Arc::new(route));
    }

    /// Starts it.
    pub(crate) async fn start(self) -> Hall {
        self.start_with(|_| {}).await
    }

    /// Starts it after a last word to the gateway.
    pub(crate) async fn start_with(mut self, prepare: impl FnOnce(&Gateway)) -> Hall {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        self.settings.addr = addr;
        let (journal, drain) = Journal::open(self.journal).unwrap();
        let gateway = Gateway::new(self.settings, self.service_keys, journal, Counters::memory());
        gateway.install(Snapshot::compile(&self.catalog).unwrap());
        prepare(&gateway);
        let mut fds = Fds::new();
        listener.set_nonblocking(true).unwrap();
        fds.add(addr.to_string(), listener.into_raw_fd());
        let fds = Arc::new(Mutex::new(fds));
        let (shutdown, watching) = watch::channel(false);
        let mut service = proxy::service(gateway.clone());
        tokio::spawn(async move {
            service.start_service(Some(fds), watching, 1).await;
        });
        Hall {
            addr,
            key: self.key,
            gateway,
            catalog: self.catalog,
            drain: Mutex::new(drain),
            _shutdown: shutdown,
            _dir: self.dir,
        }
    }
}

/// A rule that only writes to the log of the process, so that it changes nothing else.
pub(crate) fn rule(
    setup: &mut Setup,
    conditions: &serde_json::Value,
    edit: impl FnOnce(&mut Rule),
) {
    let id = RuleId(setup.catalog.rules.len() as i64 + 1);
    let mut rule = Rule {
        id,
        owner: OWNER,
        upstream: None,
        name: format!("rule {id}"),
        conditions: Condition::read(conditions).unwrap(),
        threshold: None,
        actions: vec![Action::Log],
        auto_enable_delay: None,
        cool_down: Duration::ZERO,
        priority: 0,
        stops: false,
        shadow: false,
        enabled: true,
        version: 1,
    };
    edit(&mut rule);
    setup.catalog.rules.insert(id, Arc::new(CompiledRule::compile(rule).unwrap()));
}

/// A running gateway.
pub(crate) struct Hall {
    pub(crate) addr: SocketAddr,
    pub(crate) key: String,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) catalog: Catalog,
    _shutdown: watch::Sender<bool>,
    drain: Mutex<Drain>,
    _dir: TempDir,
}

impl Hall {
    /// A client's new connection.
    pub(crate) async fn connect(&self) -> Peer {
        let stream = soon("connecting", TcpStream::connect(self.addr)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream, buf: Vec::new() }
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut peer = self.connect().await;
        peer.send(request).await;
        peer.reply().await
    }

    /// A call with the first caller's key and a JSON body.
    pub(crate) fn post(&self, path: &str, body: &str) -> Vec<u8> {
        let key = format!("authorization: Bearer {}", self.key);
        request("POST", path, &[&key, "content-type: application/json"], body)
    }

    /// The same for any method, header lines and body.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        fields: &[&str],
        body: impl AsRef<[u8]>,
    ) -> Vec<u8> {
        let key = format!("authorization: Bearer {}", self.key);
        let mut all = vec![key.as_str()];
        all.extend(fields);
        request(method, path, &all, body)
    }

    /// The log entries that are in the journal now and were not taken yet.
    pub(crate) fn entries_now(&self) -> Vec<LogEntry> {
        let mut drain = self.drain.lock();
        let mut all = Vec::new();
        while let Some(batch) = drain.batch_now(1000).unwrap() {
            drain.release(&batch);
            all.extend(batch.entries);
        }
        all
    }

    /// The log entries of all calls, once none is under way.
    pub(crate) async fn entries(&self) -> Vec<LogEntry> {
        until("calls under way", || self.gateway.calls_in_flight() == 0).await;
        self.entries_now()
    }

    /// The one log entry there is.
    pub(crate) async fn entry(&self) -> LogEntry {
        let mut entries = self.entries().await;
        assert_eq!(entries.len(), 1, "{entries:#?}");
        entries.remove(0)
    }

    /// How a key of the first upstream stands for all models, or for the one for which it stands
    /// worse; none where it is plainly active.
    pub(crate) fn standing(&self, key: i64) -> Option<Standing> {
        let report = self.gateway.key(UpstreamId(1), ProviderKeyId(key)).unwrap();
        report.standing.or_else(|| report.models.into_iter().map(|(_, standing)| standing).next())
    }

    /// Serves another catalog from now on.
    pub(crate) fn install(&self, edit: impl FnOnce(&mut Catalog)) {
        let mut catalog = self.catalog.clone();
        edit(&mut catalog);
        self.gateway.install(Snapshot::compile(&catalog).unwrap());
    }
}

/// A request in bytes; a length is declared where there is a body.
pub(crate) fn request(
    method: &str,
    path: &str,
    fields: &[&str],
    body: impl AsRef<[u8]>,
) -> Vec<u8> {
    let body = body.as_ref();
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: gateway.test\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The body of a chat.
pub(crate) fn chat(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]}}"#)
}

/// The body of a chat whose answer streams.
pub(crate) fn chat_stream(model: &str) -> String {
    format!(
        r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"hello"}}]}}"#
    )
}

/// A body in chunks of `size`.
pub(crate) fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// A client's connection, in raw bytes.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) buf: Vec<u8>,
}

/// An answer as a client sees it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The body's chunks as they were framed, where it was chunked.
    pub(crate) chunks: Vec<Vec<u8>>,
    /// Whether the body came to its declared end.
    pub(crate) whole: bool,
}

impl Reply {
    /// The value of a header, where it is there once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.split("\r\n").skip(1).filter_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice: {}", self.head);
        value
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            panic!("no JSON: {} {}", self.head, String::from_utf8_lossy(&self.body))
        })
    }

    /// The machine-readable code of one of our own refusals, in whichever dialect it is said.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        let error = &json["error"];
        assert!(self.header("x-request-id").is_some(), "no x-request-id: {}", self.head);
        [&error["code"], &error["details"][0]["reason"], &error["type"]]
            .into_iter()
            .find_map(|code| code.as_str())
            .unwrap_or_else(|| panic!("no code in {json}"))
            .to_owned()
    }
}

impl Peer {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A gateway that has said no may have closed by now: the reply tells.
        let _ = soon("sending", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Reads more; false at the end of the connection.
    pub(crate) async fn fill(&mut self) -> bool {
        let mut scratch = vec![0; 64 << 10];
        let read = soon("reading", self.stream.read(&mut scratch)).await;
        let n = read.unwrap_or(0);
        self.buf.extend_from_slice(&scratch[..n]);
        n > 0
    }

    /// The next head, interim answers included.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buf.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.buf.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if !self.fill().await {
                assert!(
                    self.buf.is_empty(),
                    "half a head: {:?}",
                    String::from_utf8_lossy(&self.buf)
                );
                return None;
            }
        }
    }

    /// The next final answer; panics where the connection ends without one.
    pub(crate) async fn reply(&mut self) -> Reply {
        self.reply_to("POST").await
    }

    /// The same to a request of this method.
    pub(crate) async fn reply_to(&mut self, method: &str) -> Reply {
        self.try_reply(method).await.expect("the connection ended without an answer")
    }

    pub(crate) async fn try_reply(&mut self, method: &str) -> Option<Reply> {
        loop {
            let head = self.head().await?;
            let status: u16 = head[9..12].parse().unwrap();
            if status == 100 {
                continue;
            }
            let mut reply = Reply { status, head, body: vec![], chunks: vec![], whole: true };
            if method != "HEAD" && !matches!(status, 101 | 204 | 304) {
                self.body_of(&mut reply).await;
            }
            return Some(reply);
        }
    }

    async fn body_of(&mut self, reply: &mut Reply) {
        if reply.header("transfer-encoding").is_some() {
            loop {
                match self.chunk().await {
                    Some(chunk) if chunk.is_empty() => return,
                    Some(chunk) => {
                        reply.body.extend_from_slice(&chunk);
                        reply.chunks.push(chunk);
                    }
                    None => {
                        reply.whole = false;
                        return;
                    }
                }
            }
        }
        let length = reply.header("content-length").map(|l| l.parse::<usize>().unwrap());
        while length.is_none_or(|length| self.buf.len() < length) {
            if !self.fill().await {
                reply.whole = length.is_none();
                break;
            }
        }
        let take = length.unwrap_or(usize::MAX).min(self.buf.len());
        reply.body = self.buf.drain(..take).collect();
    }

    /// The next chunk, empty at the end of the body; none where the connection ends before it.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.buf.windows(2).position(|w| w == b"\r\n") {
                let size = std::str::from_utf8(&self.buf[..end]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                if self.buf.len() >= end + 2 + size + 2 {
                    let chunk = self.buf[end + 2..end + 2 + size].to_vec();
                    self.buf.drain(..end + 2 + size + 2);
                    return Some(chunk);
                }
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Whether the gateway closes the connection, with nothing more said.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buf.is_empty() && !self.fill().await
    }

    /// Leaves as a crash would: with a reset.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}
