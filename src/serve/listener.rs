//! The two ports: bound before anything else, so that a port in use gives one clear message, and
//! opened by their services when there is something to serve.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, IntoRawFd},
};

use anyhow::Context;
use async_trait::async_trait;
use pingora_core::{
    server::{ListenFds, RuntimeOpts, ShutdownWatch},
    services::Service,
};
use tokio::net::{TcpListener, TcpSocket};

/// The backlog of connections; the kernel lowers it to its own bound.
const BACKLOG: u32 = 65_535;

/// A bound port that does not listen yet.
#[derive(Debug)]
pub(crate) struct Port {
    socket: TcpSocket,
    addr: SocketAddr,
}

impl Port {
    /// Binds the port of `addr`; `setting` is named in the error if it is in use.
    pub(crate) fn take(addr: SocketAddr, setting: &str) -> anyhow::Result<Self> {
        let take = || -> io::Result<Self> {
            let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            let addr = socket.local_addr()?;
            Ok(Self { socket, addr })
        };
        take().with_context(|| format!("cannot listen on {addr} ({setting})"))
    }

    /// Returns the address with its actual port, also for port 0.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Listens, and adds the socket to the table that a next process may take over.
    pub(super) fn open(self, fds: Option<&ListenFds>) -> io::Result<TcpListener> {
        let listener = self.socket.listen(BACKLOG)?;
        if let Some(fds) = fds {
            fds.lock().add(self.addr.to_string(), listener.as_raw_fd());
        }
        Ok(listener)
    }
}

/// A Pingora service whose port was bound before, which it finds in the table of listeners.
pub(super) struct OnPort<S> {
    service: S,
    port: Option<Port>,
}

impl<S> OnPort<S> {
    pub(super) fn new(service: S, port: Port) -> Self {
        Self { service, port: Some(port) }
    }
}

#[async_trait]
impl<S: Service> Service for OnPort<S> {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        if let (Some(fds), Some(port)) = (&fds, self.port.take()) {
            // The service takes the descriptor from the table, opens it and owns it from there.
            fds.lock().add(port.addr.to_string(), port.socket.into_raw_fd());
        }
        self.service.start_service(fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }

    fn runtime_opts_override(&self, global: &RuntimeOpts) -> Option<RuntimeOpts> {
        self.service.runtime_opts_override(global)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.service.listen_addresses()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_one_clear_line() {
        let first = Port::take("127.0.0.1:0".parse().unwrap(), "proxy.addr").unwrap();
        let addr = first.addr();
        assert_ne!(addr.port(), 0);
        let _open = first.open(None).unwrap();
        let second = format!("{:#}", Port::take(addr, "proxy.addr").unwrap_err());
        assert!(second.starts_with(&format!("cannot listen on {addr} (proxy.addr): ")), "{second}");
    }

    #[test]
    fn nobody_can_connect_before_the_port_is_opened() {
        let port = Port::take("127.0.0.1:0".parse().unwrap(), "proxy.addr").unwrap();
        assert!(std::net::TcpStream::connect(port.addr()).is_err());
    }
}
