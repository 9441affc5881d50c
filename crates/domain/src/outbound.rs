//! Addresses of upstreams: one parser and one policy, used when an address is entered and for every
//! connection.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use url::{Host, Url};

/// The address of an upstream: scheme, host, port and a path prefix, without user, query or
/// fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    text: String,
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl BaseUrl {
    /// Parses `https://host[:port][/prefix]` (or `http://`).
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > 2048 || text.bytes().any(|b| !(0x21..=0x7e).contains(&b)) {
            return Err("must be at most 2048 visible ASCII characters".into());
        }
        if text.contains('\\') {
            // Some parsers read it as a slash, others as part of a name.
            return Err("must not hold a backslash".into());
        }
        let url =
            Url::parse(text).map_err(|_| "must be an address such as https://api.openai.com")?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err("must begin with https:// (or http:// where that is allowed)".into()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user or password; enter the key as a provider key".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not have a query or fragment".into());
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => return Err("must name a host".into()),
        };
        if host.is_empty() {
            return Err("must name a host".into());
        }
        let port = url.port_or_known_default().unwrap_or(443);
        let allowed = matches!(port, 80 | 443) || (port >= 1024 && !SERVICE_PORTS.contains(&port));
        if !allowed {
            return Err(format!("port {port} is not one that AI providers are served on"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        Ok(Self { text: text.trim_end_matches('/').to_owned(), tls, host, port, path })
    }

    /// Returns the address as entered, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether calls go over TLS.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The host: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the host as an IP address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the path prefix, without a slash at the end; often empty.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the value of the `Host` header, with the port unless it is the default of the
    /// scheme.
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let own = if self.tls { 443 } else { 80 };
        if self.port == own { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Ports of services that are never AI providers and that a forged address would target.
const SERVICE_PORTS: [u16; 22] = [
    1433, 1521, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 5432, 5672, 5900, 6379, 6443, 9042,
    9200, 9300, 10250, 11211, 15672, 27017,
];

/// Which addresses the gateway may connect to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundPolicy {
    /// Private networks that are allowed; plain `http` is allowed there too.
    pub allow: Vec<IpNet>,
    /// The gateway's own listeners, which are never targets. A listener on all interfaces is listed
    /// with the address of each interface and the unspecified address.
    pub own: Vec<(IpAddr, u16)>,
}

/// The reason why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The address is not public and not in an allowed network.
    #[error(
        "the address is not public; open its network with `outbound.allow` in the configuration file"
    )]
    NotPublic,
    /// Plain `http` to a target outside the allowed networks.
    #[error("plain http is only for networks opened with `outbound.allow`; use https")]
    PlainHttp,
    /// The address is a listener of the gateway.
    #[error("the address is one of the gateway's own listeners")]
    Own,
}

impl OutboundPolicy {
    /// Checks an address when it is entered: literal addresses now, names when they are resolved.
    ///
    /// # Errors
    ///
    /// Returns why the address is refused.
    pub fn check_entered(&self, url: &BaseUrl) -> Result<(), Denied> {
        match url.ip() {
            Some(ip) => self.check(url, ip),
            None if !url.tls() && self.allow.is_empty() => Err(Denied::PlainHttp),
            None => Ok(()),
        }
    }

    /// Checks a connection to `ip`, to which the host of `url` resolved.
    ///
    /// # Errors
    ///
    /// Returns why the address is refused.
    pub fn check(&self, url: &BaseUrl, ip: IpAddr) -> Result<(), Denied> {
        let ip = ip.to_canonical();
        let own = |(own, port): &(IpAddr, u16)| {
            *port == url.port() && (*own == ip || (own.is_unspecified() && ip.is_loopback()))
        };
        if self.own.iter().any(own) {
            return Err(Denied::Own);
        }
        if self.allow.iter().any(|net| net.contains(&ip)) {
            return Ok(());
        }
        if !is_public(ip) {
            return Err(Denied::NotPublic);
        }
        if url.tls() { Ok(()) } else { Err(Denied::PlainHttp) }
    }
}

/// Whether `ip` is routed on the public Internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(a == 0
                || a >= 224
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_documentation()
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99))
        }
        IpAddr::V6(v6) => {
            let s = v6.segments();
            // Only 2000::/3 is global unicast; inside it, addresses that embed IPv4 addresses or
            // are not routed are excluded.
            let global = s[0] & 0xe000 == 0x2000;
            let six_to_four = s[0] == 0x2002;
            let teredo_and_specials = s[0] == 0x2001 && s[1] < 0x0200;
            let documentation = (s[0] == 0x2001 && s[1] == 0x0db8) || s[0] == 0x3fff;
            global && !six_to_four && !teredo_and_specials && !documentation
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(nets: &[&str]) -> OutboundPolicy {
        let allow = nets.iter().map(|n| n.parse().unwrap()).collect();
        OutboundPolicy { allow, own: vec![("0.0.0.0".parse().unwrap(), 8080)] }
    }

    #[test]
    fn only_plain_addresses_are_read() {
        for (text, ok) in [
            ("https://api.openai.com", true),
            ("https://api.openai.com/v1/", true),
            ("http://127.0.0.1:9000", true),
            ("https://[::1]:8443", true),
            ("ftp://api.openai.com", false),
            ("https://user:secret@host", false),
            ("https://host/?key=1", false),
            ("https://host/#x", false),
            ("https://api.openai.com\\v1", false),
            ("https:\\\\api.openai.com", false),
            ("https://api.openai.com\\@evil.test", false),
            ("https://host:22", false),
            ("https://host:6379", false),
            ("https://", false),
            ("not an address", false),
        ] {
            assert_eq!(BaseUrl::parse(text).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn the_authority_names_the_port_only_where_it_must() {
        for (text, authority) in [
            ("https://api.openai.com/v1", "api.openai.com"),
            ("http://127.0.0.1:9000", "127.0.0.1:9000"),
            ("https://[2600::1]:8443", "[2600::1]:8443"),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().authority(), authority);
        }
    }

    #[test]
    fn no_private_address_is_reached_in_any_disguise() {
        let closed = policy(&[]);
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "2002:0a00:0001::",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2001::1",
        ] {
            let url = BaseUrl::parse("https://host").unwrap();
            assert_eq!(closed.check(&url, ip.parse().unwrap()), Err(Denied::NotPublic), "{ip}");
        }
        let url = BaseUrl::parse("https://host").unwrap();
        assert_eq!(closed.check(&url, "8.8.8.8".parse().unwrap()), Ok(()));
        assert_eq!(closed.check(&url, "2606:4700::1".parse().unwrap()), Ok(()));
    }

    #[test]
    fn an_allowed_network_opens_itself_and_plain_http_but_never_our_own_door() {
        let open = policy(&["127.0.0.0/8"]);
        let mock = BaseUrl::parse("http://127.0.0.1:9000").unwrap();
        let door = BaseUrl::parse("http://127.0.0.1:8080").unwrap();
        let public = BaseUrl::parse("http://8.8.8.8").unwrap();
        let named = BaseUrl::parse("http://localhost:9000").unwrap();
        assert_eq!(open.check_entered(&mock), Ok(()));
        assert_eq!(open.check_entered(&named), Ok(()));
        assert_eq!(open.check_entered(&door), Err(Denied::Own));
        assert_eq!(open.check_entered(&public), Err(Denied::PlainHttp));
        assert_eq!(policy(&[]).check_entered(&mock), Err(Denied::NotPublic));
        assert_eq!(policy(&[]).check_entered(&named), Err(Denied::PlainHttp));
    }
}
