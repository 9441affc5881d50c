//! The way to one upstream: its addresses, resolved, checked and raced, and the connections that wait
//! to be used again. A connection has a maximum age, so that a host name that moved is followed under
//! steady traffic as well.
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

use crate::{
    http1::Conn,
    pool::{
        race::Form,
        resolver::{self, Found, Lookup, Name},
    },
};

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

/// Connects, for all upstreams.
pub(crate) struct Connector {
    transport: TransportConnector,
    policy: OutboundPolicy,
    idle_max: usize,
    /// How old a connection may be to be used again; any age where it is zero.
    max_age: Duration,
    lookup: Lookup,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Connector {
    pub(crate) fn new(
        policy: OutboundPolicy,
        idle_max: usize,
        max_age: Duration,
        ca_file: Option<String>,
    ) -> Self {
        let mut options = ConnectorOptions::new(1);
        options.ca_file = ca_file;
        let transport = TransportConnector::new(Some(options));
        Self { transport, policy, idle_max, max_age, lookup: resolver::system() }
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

    /// Connects to one of the addresses; where none takes a connection the name is resolved anew, for
    /// it may have moved.
    async fn connect_any(&self, line: &Line, within: Duration) -> Result<Conn, ConnectFault> {
        let began = Instant::now();
        let Some(name) = &line.name else {
            let ip = line.base.ip().ok_or(ConnectFault::Resolve)?;
            return self.connect_one_of(line, &[ip], within).await;
        };
        let found = name.found(&self.lookup).await.ok_or(ConnectFault::Resolve)?;
        let left = within.saturating_sub(began.elapsed());
        let fault = match self.connect_one_of(line, &found.addresses, left).await {
            Err(fault) if !matches!(fault, ConnectFault::Denied(_)) => fault,
            done => return done,
        };
        let Some(Found { addresses, .. }) = name.anew(&self.lookup, &found).await else {
            return Err(fault);
        };
        let others: Vec<IpAddr> =
            addresses.iter().filter(|ip| !found.addresses.contains(ip)).copied().collect();
        if others.is_empty() {
            return Err(fault);
        }
        let left = within.saturating_sub(began.elapsed());
        self.connect_one_of(line, &others, left).await
    }

    /// Connects to the first of the addresses that answers.
    async fn connect_one_of(
        &self,
        line: &Line,
        addresses: &[IpAddr],
        within: Duration,
    ) -> Result<Conn, ConnectFault> {
        let (mut open, mut denied) = (Vec::with_capacity(addresses.len()), None);
        for ip in line.form.order(addresses) {
            // Checked at each connection, not when it was resolved: the policy has the last word.
            match self.policy.check(&line.base, ip) {
                Ok(()) => open.push(ip),
                Err(why) => denied = Some(why),
            }
        }
        let stream = line.form.race(open, |ip| {
            let address = SocketAddr::new(ip, line.base.port());
            let mut peer = HttpPeer::new(address, line.base.tls(), line.base.host().to_owned());
            peer.options.connection_timeout = Some(within);
            peer.options.total_connection_timeout = Some(within);
            async move { self.transport.new_stream(&peer).await }
        });
        match stream.await {
            Ok(stream) => Ok(Conn::new(stream)),
            Err(Some(error)) => Err(fault(error.etype())),
            Err(None) => Err(denied.map_or(ConnectFault::Resolve, ConnectFault::Denied)),
        }
    }

    /// Keeps a connection whose call is over.
    pub(crate) fn give_back(&self, line: &Line, conn: Conn) {
        let mut idle = line.idle.lock();
        if idle.len() < self.idle_max && !self.is_old(line, &conn) {
            idle.push((Instant::now(), conn));
        }
    }

    /// A connection that waits, if one is good: the one that was used last.
    pub(crate) fn take(&self, line: &Line) -> Option<Conn> {
        loop {
            let (since, mut conn) = line.idle.lock().pop()?;
            if self.keeps(line, since, &conn) && conn.is_quiet() {
                return Some(conn);
            }
        }
    }

    /// Lets go of connections that waited too long, are too old or were closed by the provider.
    pub(crate) fn sweep(&self, line: &Line) {
        let mut idle = std::mem::take(&mut *line.idle.lock());
        idle.retain_mut(|(since, conn)| self.keeps(line, *since, conn) && conn.is_quiet());
        let mut now = line.idle.lock();
        idle.append(&mut now);
        *now = idle;
    }

    /// Whether a connection that waits since then may be used again.
    fn keeps(&self, line: &Line, since: Instant, conn: &Conn) -> bool {
        since.elapsed() < IDLE_FOR && !self.is_old(line, conn)
    }

    /// Whether a connection is too old. An address that is given as such does not move.
    fn is_old(&self, line: &Line, conn: &Conn) -> bool {
        !self.max_age.is_zero() && line.name.is_some() && conn.age() >= self.max_age
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
    /// The host's name; none where the host is an address.
    name: Option<Arc<Name>>,
    form: Form,
}

impl Line {
    pub(crate) fn new(base: BaseUrl) -> Self {
        let name = base.ip().is_none().then(|| Name::new(base.host(), base.port()));
        Self { base, idle: Mutex::default(), name, form: Form::default() }
    }

    /// Whether this is the way to `base`.
    pub(crate) fn leads_to(&self, base: &BaseUrl) -> bool {
        self.base == *base
    }

    /// How many connections wait.
    pub(crate) fn idle_connections(&self) -> usize {
        self.idle.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::FutureExt;
    use tokio::net::TcpListener;

    use super::*;

    /// A connector to loopback, for which names are what `answer` says now.
    fn connector(answer: &Arc<Mutex<Vec<IpAddr>>>, max_age: Duration) -> Connector {
        let policy =
            OutboundPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], own: Vec::new() };
        let answer = answer.clone();
        let lookup: Lookup = Arc::new(move |_, _| {
            let found = answer.lock().clone();
            let found = if found.is_empty() { Err(io::Error::other("gone")) } else { Ok(found) };
            std::future::ready(found).boxed()
        });
        Connector { lookup, ..Connector::new(policy, 8, max_age, None) }
    }

    /// Listens on two addresses of loopback with one port.
    async fn two() -> ([TcpListener; 2], u16) {
        loop {
            let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = first.local_addr().unwrap().port();
            // Somebody else may have the port on the other address.
            if let Ok(second) = TcpListener::bind(("127.0.0.2", port)).await {
                return ([first, second], port);
            }
        }
    }

    fn line(port: u16) -> Line {
        Line::new(BaseUrl::parse(&format!("http://provider.test:{port}")).unwrap())
    }

    const WITHIN: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_name_that_moved_is_followed_when_the_old_address_refuses() {
        let ([old, new], port) = two().await;
        let answer = Arc::new(Mutex::new(vec![IpAddr::from([127, 0, 0, 1])]));
        let (connector, line) = (connector(&answer, Duration::ZERO), line(port));
        connector.connect(&line, WITHIN).await.unwrap();
        old.accept().await.unwrap();
        drop(old);
        *answer.lock() = vec![IpAddr::from([127, 0, 0, 2])];
        connector.connect(&line, WITHIN).await.unwrap();
        new.accept().await.unwrap();
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_resolved_any_more_keeps_its_address() {
        let ([here, _other], port) = two().await;
        let answer = Arc::new(Mutex::new(vec![IpAddr::from([127, 0, 0, 1])]));
        let (connector, line) = (connector(&answer, Duration::ZERO), line(port));
        connector.connect(&line, WITHIN).await.unwrap();
        answer.lock().clear();
        line.name.as_ref().unwrap().age(Duration::from_secs(3600));
        for _ in 0..3 {
            connector.connect(&line, WITHIN).await.unwrap();
            here.accept().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_to_a_name_is_not_used_again_when_it_is_too_old() {
        let ([_here, _other], port) = two().await;
        let answer = Arc::new(Mutex::new(vec![IpAddr::from([127, 0, 0, 1])]));
        for (max_age, kept) in [(Duration::from_nanos(1), 0), (Duration::from_secs(60), 1)] {
            let (connector, line) = (connector(&answer, max_age), line(port));
            let conn = connector.connect(&line, WITHIN).await.unwrap();
            connector.give_back(&line, conn);
            assert_eq!(line.idle_connections(), kept, "{max_age:?}");
            assert_eq!(connector.take(&line).is_some(), kept == 1);
        }
    }
}
