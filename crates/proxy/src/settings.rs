//! What the data plane is started with. Everything else is catalog.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use chrono_tz::Tz;
use domain::OutboundPolicy;
use ipnet::IpNet;

use crate::{clock::Clock, cors::CorsOrigins};

/// How the data plane is set up for as long as the process lives.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where the management plane listens, for the hint at `/api/…`.
    pub management_addr: Option<SocketAddr>,
    /// Which addresses calls may be sent to.
    pub outbound: OutboundPolicy,
    /// Networks of load balancers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins whose pages may call.
    pub cors: CorsOrigins,
    /// Whether answers tell which upstream answered, at which attempt, and what the call cost.
    pub answer_details: bool,
    /// How much of a client's address the log keeps.
    pub client_ip: ClientIp,
    /// What addresses are digested with under [`ClientIp::Hashed`]; the same on all instances,
    /// or the same client looks different on each.
    pub client_ip_key: [u8; 32],
    /// What one client may ask of the listener.
    pub limits: Limits,
    /// What is held in memory so that an attempt can be repeated.
    pub buffers: Buffers,
    /// How old the snapshot may be before calls are refused; 0 means any age.
    pub snapshot_max_age: Duration,
    /// How many idle connections are kept to each upstream.
    pub idle_connections: usize,
    /// How old a connection to a host name may be to be used again; 0 means any age.
    pub connection_max_age: Duration,
    /// A converted stream that is silent for so long says something harmless, in dialects that have
    /// it.
    pub stream_keep_alive: Duration,
    /// The longest wait after which a client is to try a refused call again by itself; at most two
    /// minutes.
    pub retry_wait_max: Duration,
    /// A file with the authorities that providers' certificates are checked against; the
    /// system's where none is named.
    pub ca_file: Option<String>,
    /// The clock by which keys rest, limits are counted and quotas are reset.
    pub clock: Arc<Clock>,
    /// By the clock of which zone periods begin where nothing else is said.
    pub timezone: Tz,
}

impl Settings {
    /// Whether a peer at this address is a load balancer whose `X-Forwarded-For` is believed.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&ip))
    }

    /// The address where it stands for one client: those of loopback and of trusted proxies stand for
    /// many.
    pub(crate) fn counted(&self, ip: Option<IpAddr>) -> Option<IpAddr> {
        ip.filter(|ip| !ip.is_loopback() && !self.trusts(*ip))
    }

    /// The defaults, listening at `addr`.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            management_addr: None,
            outbound: OutboundPolicy::default(),
            trusted_proxies: Vec::new(),
            cors: CorsOrigins::default(),
            answer_details: false,
            client_ip: ClientIp::Full,
            client_ip_key: rand::random(),
            limits: Limits::default(),
            buffers: Buffers::default(),
            snapshot_max_age: Duration::from_secs(900),
            idle_connections: 1024,
            connection_max_age: Duration::from_secs(60),
            stream_keep_alive: Duration::from_secs(15),
            retry_wait_max: Duration::from_secs(60),
            ca_file: None,
            clock: Arc::new(Clock::system()),
            timezone: Tz::UTC,
        }
    }
}

/// How much of a client's address the log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientIp {
    /// All of it.
    #[default]
    Full,
    /// The network: /24 or /48.
    Network,
    /// A keyed digest: one client's calls belong together, and nobody can tell whose they are.
    Hashed,
    /// Nothing.
    Off,
}

/// What one client may ask of the listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest head, in bytes.
    pub head: usize,
    /// Most header fields.
    pub fields: usize,
    /// Longest request target, in bytes.
    pub target: usize,
    /// From a head's first byte to its last.
    pub head_time: Duration,
    /// Largest body on a model route, in bytes.
    pub body: u64,
    /// Between two pieces of a request's body, and for each write to a client.
    pub body_idle: Duration,
    /// Least rate of a body that is kept in memory, in bytes a second.
    pub body_rate: u64,
    /// The least rate holds over any window of this length.
    pub body_rate_window: Duration,
    /// An idle connection is closed after this.
    pub keep_alive: Duration,
    /// A connection is closed after this many calls.
    pub keep_alive_calls: u32,
    /// Most connections at once.
    pub connections: usize,
    /// Most connections of one address; loopback and trusted proxies are not counted.
    pub connections_per_ip: usize,
    /// Most connections of one address that never showed a service key.
    pub anonymous_per_ip: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 32 << 10,
            fields: 100,
            target: 8 << 10,
            head_time: Duration::from_secs(10),
            body: 32 << 20,
            body_idle: Duration::from_secs(30),
            body_rate: 1 << 10,
            body_rate_window: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            keep_alive_calls: 10_000,
            connections: 100_000,
            connections_per_ip: 512,
            anonymous_per_ip: 64,
        }
    }
}

/// What is held in memory so that an attempt can be repeated.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// Largest body outside of JSON that is held to be repeated, in bytes; larger ones are streamed
    /// and get one attempt.
    pub per_request: u64,
    /// All bodies held at once, in bytes. One service key and one address may have as much of it as
    /// remains free, and one largest body always.
    pub total: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { per_request: 1 << 20, total: 512 << 20 }
    }
}
