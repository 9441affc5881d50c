//! Settings of the management plane, made by the binary from the start-up configuration.

use std::time::Duration;

use ipnet::IpNet;

/// The limits and habits of the management plane.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether cookies carry `Secure` and the `__Host-` prefix. Who calls from this very machine
    /// by plain `http` gets plain ones even so, because many programs and some browsers would not
    /// keep the others there and nobody can listen. False is for plain `http` in a network that
    /// is trusted entirely; never behind a proxy that ends TLS.
    pub secure_cookies: bool,
    /// The origins (`https://gate.example`) of our own pages, where they differ from the host
    /// that a request names: behind a proxy that rewrites `Host`.
    pub origins: Vec<String>,
    /// The port of the data plane, for whoever takes this one for it.
    pub data_plane_port: Option<u16>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a session lives without being renewed.
    pub session_idle: Duration,
    /// For how long a refresh cookie that was spent brings the same successor again: tabs of one
    /// browser renew their session at once, and an answer may get lost. Later it ends the session.
    pub renewal_grace: Duration,
    /// Most bytes of a request's body.
    pub body_limit: usize,
    /// Most bytes of a request's head.
    pub head_limit: usize,
    /// How long a request's head may take to arrive.
    pub head_timeout: Duration,
    /// How long a request may take altogether; ten times that where it is about many keys.
    pub request_timeout: Duration,
    /// Most connections at once.
    pub connections: usize,
    /// Most of them from one address, trusted proxies aside.
    pub connections_per_address: usize,
    /// How long requests in flight may take when the plane is told to stop.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            secure_cookies: true,
            origins: Vec::new(),
            data_plane_port: None,
            trusted_proxies: Vec::new(),
            session_idle: Duration::from_secs(7 * 86_400),
            renewal_grace: Duration::from_secs(10),
            body_limit: 1024 * 1024,
            head_limit: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            connections: 1024,
            connections_per_address: 128,
            grace: Duration::from_secs(10),
        }
    }
}
