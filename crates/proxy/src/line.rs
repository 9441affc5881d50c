//! The way to one upstream: its addresses, resolved and checked, and the connections that wait to
//! be used again.
//!
//! Pingora connects and does TLS. The idle connections are kept here rather than in its connector,
//! which would start a task for each of them at each use.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{BaseUrl, Denied, OutboundPolicy};
use parking_lot::Mutex;
use pingora_core::{
    connectors::{ConnectorOptions, TransportConnector},
    upstreams::peer::HttpPeer,
};
use pingora_error::ErrorType;
use pingora_timeout::timeout;

use crate::http1::Conn;

/// How long a resolved name is believed.
const RESOLVED_FOR: Duration = Duration::from_secs(30);
/// How long an idle connection is kept; providers close theirs after a minute or more.
const IDLE_FOR: Duration = Duration::from_secs(55);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFault {
    #[error("the host name could not be resolved")]
    Resolve,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the connection was refused or broke off")]
    Connect,
    #[error("the TLS handshake failed")]
    Tls,
    #[error("connecting took too long")]
    TimedOut,
}

impl ConnectFault {
    /// The name in log entries.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            ConnectFault::Resolve | ConnectFault::Denied(_) | ConnectFault::Connect => "connect",
            ConnectFault::Tls => "tls",
            ConnectFault::TimedOut => "timeout",
        }
    }
}

/// Connects, for all upstreams.
pub(crate) struct Connector {
    transport: TransportConnector,
    policy: OutboundPolicy,
    idle_max: usize,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Connector {
    pub(crate) fn new(policy: OutboundPolicy, idle_max: usize, ca_file: Option<String>) -> Self {
        let mut options = ConnectorOptions::new(1);
        options.ca_file = ca_file;
        Self { transport: TransportConnector::new(Some(options)), policy, idle_max }
    }

    /// A new connection, `within` so much time.
    pub(crate) async fn connect(
        &self,
        line: &Line,
        within: Duration,
    ) -> Result<Conn, ConnectFault> {
        // Large, with a TLS handshake in it, and rare: not a part of every call's future.
        match timeout(within, Box::pin(self.connect_any(line, within))).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectFault::TimedOut),
        }
    }

    /// Tries the addresses one after the other; one that does not answer leaves time for the others.
    async fn connect_any(&self, line: &Line, within: Duration) -> Result<Conn, ConnectFault> {
        let mut last = ConnectFault::Resolve;
        let (began, addresses) = (Instant::now(), line.resolve().await?);
        for (ip, others) in addresses.iter().copied().zip((0..addresses.len() as u32).rev()) {
            // Checked at each connection, not when it was resolved: the policy has the last word.
            if let Err(denied) = self.policy.check(&line.base, ip) {
                last = denied.into();
                continue;
            }
            let address = SocketAddr::new(ip, line.base.port());
            let mut peer = HttpPeer::new(address, line.base.tls(), line.base.host().to_owned());
            let share = within.saturating_sub(began.elapsed()) / (others + 1);
            peer.options.connection_timeout = Some(share);
            peer.options.total_connection_timeout = Some(share);
            match self.transport.new_stream(&peer).await {
                Ok(stream) => return Ok(Conn::new(stream)),
                Err(error) => last = fault(error.etype()),
            }
        }
        Err(last)
    }

    /// Keeps a connection whose call is over.
    pub(crate) fn give_back(&self, line: &Line, conn: Conn) {
        let mut idle = line.idle.lock();
        if idle.len() < self.idle_max {
            idle.push((Instant::now(), conn));
        }
    }
}

fn fault(kind: &ErrorType) -> ConnectFault {
    match kind {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => ConnectFault::TimedOut,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::TLSWantX509Lookup => {
            ConnectFault::Tls
        }
        _ => ConnectFault::Connect,
    }
}

/// The way to one upstream.
#[derive(Debug)]
pub(crate) struct Line {
    base: BaseUrl,
    idle: Mutex<Vec<(Instant, Conn)>>,
    resolved: Mutex<Option<(Instant, Arc<[IpAddr]>)>>,
}

impl Line {
    pub(crate) fn new(base: BaseUrl) -> Self {
        Self { base, idle: Mutex::default(), resolved: Mutex::default() }
    }

    /// Whether this is the way to `base`.
    pub(crate) fn leads_to(&self, base: &BaseUrl) -> bool {
        self.base == *base
    }

    /// A connection that waits, if one is good: the one that was used last.
    pub(crate) fn take(&self) -> Option<Conn> {
        loop {
            let (since, mut conn) = self.idle.lock().pop()?;
            if since.elapsed() < IDLE_FOR && conn.is_quiet() {
                return Some(conn);
            }
        }
    }

    /// How many connections wait.
    pub(crate) fn idle_connections(&self) -> usize {
        self.idle.lock().len()
    }

    /// Lets go of connections that waited too long or were closed by the provider.
    pub(crate) fn sweep(&self) {
        let mut idle = std::mem::take(&mut *self.idle.lock());
        idle.retain_mut(|(since, conn)| since.elapsed() < IDLE_FOR && conn.is_quiet());
        let mut now = self.idle.lock();
        idle.append(&mut now);
        *now = idle;
    }

    async fn resolve(&self) -> Result<Arc<[IpAddr]>, ConnectFault> {
        if let Some(ip) = self.base.ip() {
            return Ok(Arc::new([ip]));
        }
        if let Some((at, addresses)) = &*self.resolved.lock()
            && at.elapsed() < RESOLVED_FOR
        {
            return Ok(addresses.clone());
        }
        let found = tokio::net::lookup_host((self.base.host(), self.base.port())).await;
        let found: Vec<IpAddr> =
            found.map_err(|_| ConnectFault::Resolve)?.map(|a| a.ip()).collect();
        let addresses: Arc<[IpAddr]> = found.into();
        *self.resolved.lock() = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}
