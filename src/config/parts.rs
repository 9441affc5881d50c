//! The start-up configuration as a value, and what may be wrong with it.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use chrono_tz::Tz;
use ipnet::IpNet;
use secrecy::SecretString;

/// Everything that is set before the start and stays until the end.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) enable_proxy: bool,
    pub(crate) enable_management: bool,
    pub(crate) data_dir: PathBuf,
    /// How long calls are still taken after the end was announced.
    pub(crate) shutdown_delay: Duration,
    pub(crate) shutdown_grace: Duration,
    /// By the clock of which zone days begin.
    pub(crate) timezone: Tz,
    pub(crate) retention: Retention,
    pub(crate) master_key: MasterKeySource,
    pub(crate) admin_password: Option<SecretString>,
    pub(crate) log: Log,
    pub(crate) proxy: Proxy,
    pub(crate) journal: Journal,
    pub(crate) management: Management,
    pub(crate) database: Database,
    pub(crate) redis_url: Option<SecretString>,
    pub(crate) outbound_allow: Vec<IpNet>,
    /// What whoever reads the log should know of what was said and has no effect.
    pub(crate) notes: Vec<String>,
    /// What was said and by whom, for `check --print`.
    pub(super) effective: String,
}

/// How long log entries are kept, and how much of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) log_days: u64,
    pub(crate) body_days: u64,
    pub(crate) minute_days: u64,
    pub(crate) hour_days: u64,
    /// Bytes of log entries and bodies together.
    pub(crate) size: u64,
}

/// Where the master key comes from.
#[derive(Debug)]
pub(crate) enum MasterKeySource {
    /// It was given.
    Given(SecretString),
    /// This command prints it.
    Command(String),
    /// It lies here, and is made here when it does not.
    DataDir(PathBuf),
}

/// How log lines look, for each plane and for what belongs to neither.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) common: LogStyle,
    pub(crate) proxy: LogStyle,
    pub(crate) management: LogStyle,
    /// `RUST_LOG`, for those who look for something: it then says all about levels.
    pub(crate) directives: Option<String>,
}

/// How much is logged, and how it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogStyle {
    pub(crate) level: String,
    pub(crate) json: bool,
}

/// The data plane.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    pub(crate) threads: usize,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) cors: proxy::CorsOrigins,
    pub(crate) answer_details: bool,
    pub(crate) mask_ip: String,
    pub(crate) snapshot_max_age: Duration,
    pub(crate) connection_max_age: Duration,
    pub(crate) retry_wait_max: Duration,
    pub(crate) limits: Limits,
    pub(crate) buffer_request: u64,
    pub(crate) buffer_total: u64,
}

/// What one client may ask of the data plane.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) head: u64,
    pub(crate) target: u64,
    pub(crate) fields: u64,
    pub(crate) head_timeout: Duration,
    pub(crate) body: u64,
    pub(crate) body_idle: Duration,
    pub(crate) body_rate: u64,
    pub(crate) keepalive: Duration,
    pub(crate) requests_per_connection: u64,
    pub(crate) connections: u64,
    pub(crate) connections_per_address: u64,
}

/// Where log entries wait for the database.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Whether an answer waits until its entry would survive a power cut.
    pub(crate) power: bool,
    pub(crate) cap: u64,
}

/// The management plane.
#[derive(Debug)]
pub(crate) struct Management {
    pub(crate) addr: SocketAddr,
    pub(crate) secure_cookies: bool,
}

/// Where everything else is kept.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: SecretString,
    /// The file, where the database is embedded: one data plane at a time may use it.
    pub(crate) file: Option<PathBuf>,
    pub(crate) max_connections: u32,
    pub(crate) statement_timeout: Duration,
    /// Whether a database that a newer version has changed is opened.
    pub(crate) allow_newer: bool,
}

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// The file; `-` is the standard input.
    pub(crate) file: Option<PathBuf>,
    /// Path of the setting, name of the flag, value.
    pub(crate) settings: Vec<(&'static str, &'static str, String)>,
}

/// Where a value was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the code: nobody said anything.
    Default,
    /// In a file.
    File { name: String, line: u64, column: u64 },
    /// In a variable.
    Variable(String),
    /// On the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Origin::Variable(name) | Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) origin: Origin,
    pub(crate) path: String,
    pub(crate) message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.path.is_empty()) {
            (Origin::Default, true) => f.write_str(&self.message),
            (Origin::Default, false) => write!(f, "{} {}", self.path, self.message),
            (origin, true) => write!(f, "{origin}: {}", self.message),
            (origin, false) => write!(f, "{origin}: {} {}", self.path, self.message),
        }
    }
}

/// Every fault of a configuration that cannot be used.
#[derive(Debug)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0.len();
        write!(f, "the configuration has {n} fault{}", if n == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for Faults {}
