//! Turns what all sources said into the configuration, and tells all faults of it at once.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use chrono_tz::Tz;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

use super::{
    layers::Layers,
    parts::{
        Config, Database, Fault, Faults, Journal, Limits, Log, LogStyle, Management,
        MasterKeySource, Origin, Proxy, Retention,
    },
    settings::{self, Kind, SETTINGS},
    value::{self, Value},
};

/// The layers while they are turned into a [`Config`].
pub(super) struct Reader {
    pub(super) layers: Layers,
}

impl Reader {
    pub(super) fn config(mut self, directives: Option<String>) -> Result<Config, Faults> {
        let common =
            LogStyle { level: self.text("log.level"), json: self.text("log.format") == "json" };
        let proxy_log = self.log_style("proxy", &common);
        let management_log = self.log_style("management", &common);
        let data_dir = match self.value("data_dir") {
            Value::Path(path) => path,
            _ => PathBuf::from("data"),
        };
        let database = self.database(&data_dir);
        let config = Config {
            enable_proxy: self.switch("enable_proxy"),
            enable_management: self.switch("enable_management"),
            shutdown_delay: self.duration("shutdown_delay"),
            shutdown_grace: self.duration("shutdown_grace"),
            timezone: self.timezone(),
            retention: Retention {
                log_days: self.number("retention.log_days"),
                body_days: self.number("retention.body_days"),
                minute_days: self.number("retention.minute_days"),
                hour_days: self.number("retention.hour_days"),
                size: self.number("retention.size"),
            },
            master_key: self.master_key(&data_dir),
            admin_password: self.secret("admin_password"),
            log: Log { common, proxy: proxy_log, management: management_log, directives },
            proxy: self.proxy(),
            journal: Journal {
                power: self.text("journal.durability") == "power",
                cap: self.number("journal.cap"),
            },
            management: Management {
                addr: self.address("management.addr", "management_port"),
                secure_cookies: self.switch("management.secure_cookies"),
            },
            database,
            redis_url: self.secret("redis.url"),
            outbound_allow: self.networks("outbound.allow"),
            data_dir,
            notes: std::mem::take(&mut self.layers.notes),
            effective: String::new(),
        };
        self.relations(&config);
        if self.layers.faults.is_empty() {
            let effective = self.render();
            Ok(Config { effective, ..config })
        } else {
            Err(Faults(self.layers.faults))
        }
    }

    fn proxy(&mut self) -> Proxy {
        Proxy {
            addr: self.address("proxy.addr", "proxy_port"),
            threads: self.number("proxy.threads") as usize,
            trusted_proxies: self.networks("proxy.trusted_proxies"),
            cors: self.origins(),
            answer_details: self.switch("proxy.answer_details"),
            mask_ip: self.text("proxy.mask_ip"),
            snapshot_max_age: self.duration("proxy.snapshot_max_age"),
            connection_max_age: self.duration("proxy.connection_max_age"),
            retry_wait_max: self.duration("proxy.retry_wait_max"),
            limits: Limits {
                head: self.number("proxy.limits.head"),
                target: self.number("proxy.limits.target"),
                fields: self.number("proxy.limits.fields"),
                head_timeout: self.duration("proxy.limits.head_timeout"),
                body: self.number("proxy.limits.body"),
                body_idle: self.duration("proxy.limits.body_idle"),
                body_rate: self.number("proxy.limits.body_rate"),
                keepalive: self.duration("proxy.limits.keepalive"),
                requests_per_connection: self.number("proxy.limits.requests_per_connection"),
                connections: self.number("proxy.limits.connections"),
                connections_per_address: self.number("proxy.limits.connections_per_address"),
            },
            buffer_request: self.number("proxy.buffers.request"),
            buffer_total: self.number("proxy.buffers.total"),
        }
    }

    fn origins(&mut self) -> proxy::CorsOrigins {
        let text = self.text("proxy.cors_origins");
        proxy::CorsOrigins::parse(&text).unwrap_or_else(|message| {
            self.fault("proxy.cors_origins", &message);
            proxy::CorsOrigins::default()
        })
    }

    fn log_style(&mut self, plane: &str, common: &LogStyle) -> LogStyle {
        let level = self.text(&format!("{plane}.log_level"));
        let format = self.text(&format!("{plane}.log_format"));
        LogStyle {
            level: if level.is_empty() { common.level.clone() } else { level },
            json: if format.is_empty() { common.json } else { format == "json" },
        }
    }

    fn master_key(&mut self, data_dir: &Path) -> MasterKeySource {
        let command = self.text("master_key_command");
        match self.secret("master_key") {
            Some(_) if !command.is_empty() => {
                self.fault("master_key_command", "stands beside master_key; use one of them");
                MasterKeySource::Command(command)
            }
            Some(text) => MasterKeySource::Given(text),
            None if !command.is_empty() => MasterKeySource::Command(command),
            None => MasterKeySource::DataDir(data_dir.join("master.key")),
        }
    }

    fn database(&mut self, data_dir: &Path) -> Database {
        let max_connections = self.number("database.max_connections") as u32;
        let given = self.secret("database.url");
        let text = given.as_ref().map(ExposeSecret::expose_secret);
        let known = |text: &str| {
            ["sqlite:", "postgres://", "postgresql://"]
                .iter()
                .any(|scheme| text.starts_with(scheme))
        };
        if text.is_some_and(|text| !known(text)) {
            self.fault("database.url", "must begin with postgres:// or sqlite:");
        }
        let file = match text {
            None => Some(data_dir.join("tollgate.db")),
            Some(text) => text
                .strip_prefix("sqlite://")
                .or_else(|| text.strip_prefix("sqlite:"))
                .map(|path| PathBuf::from(path.split('?').next().unwrap_or(path))),
        };
        let url = match (&file, given) {
            (Some(file), _) => format!("sqlite://{}", file.display()).into(),
            (None, given) => given.unwrap_or_default(),
        };
        let statement_timeout = self.duration("database.statement_timeout");
        let allow_newer = self.switch("database.allow_newer");
        Database { url, file, max_connections, statement_timeout, allow_newer }
    }

    /// Values that are fine alone and not together.
    fn relations(&mut self, config: &Config) {
        let (proxy, management) = (config.proxy.addr, config.management.addr);
        let both = config.enable_proxy && config.enable_management;
        if !config.enable_proxy && !config.enable_management {
            self.fault("enable_proxy", "and enable_management are both off: nothing would run");
        }
        if both && proxy.port() == management.port() && proxy.port() != 0 {
            self.fault("management.addr", "has the port of proxy.addr; the planes need one each");
        }
        if config.proxy.retry_wait_max > Duration::from_secs(120) {
            self.fault("proxy.retry_wait_max", "is more than 2m: some clients sleep for as long");
        }
        if config.proxy.buffer_request > config.proxy.buffer_total {
            self.fault("proxy.buffers.request", "is more than proxy.buffers.total");
        }
        if config.proxy.limits.body > config.proxy.buffer_total {
            self.fault("proxy.limits.body", "is more than proxy.buffers.total");
        }
        if config.redis_url.as_ref().is_some_and(|url| !url.expose_secret().starts_with("redis")) {
            self.fault("redis.url", "must begin with redis:// or rediss://");
        }
    }

    fn fault(&mut self, path: &'static str, message: &str) {
        let origin = self.layers.said.get(path).map_or(Origin::Default, |said| said.origin.clone());
        self.layers.faults.push(Fault { origin, path: path.into(), message: message.into() });
    }

    /// The value of a setting; a fault leaves it unset.
    fn value(&mut self, path: &str) -> Value {
        let setting = settings::find(path).expect("only settings of the table are read");
        let parsed = match self.layers.said.get(setting.path) {
            None => value::parse(&setting.kind, &[setting.default.to_owned()]),
            Some(said) if said.in_file => {
                read_secret(&said.items).and_then(|text| value::parse(&setting.kind, &[text]))
            }
            Some(said) => value::parse(&setting.kind, &said.items),
        };
        match parsed {
            Ok(Value::Unset) if !setting.default.is_empty() => {
                self.fault(setting.path, "is empty");
                Value::Unset
            }
            Ok(value) => value,
            Err(message) => {
                self.fault(setting.path, &message);
                Value::Unset
            }
        }
    }

    fn switch(&mut self, path: &str) -> bool {
        matches!(self.value(path), Value::Switch(true))
    }

    fn number(&mut self, path: &str) -> u64 {
        match self.value(path) {
            Value::Number(number) => number,
            _ => 0,
        }
    }

    fn duration(&mut self, path: &str) -> Duration {
        match self.value(path) {
            Value::Duration(duration) => duration,
            _ => Duration::ZERO,
        }
    }

    fn text(&mut self, path: &str) -> String {
        match self.value(path) {
            Value::Text(text) => text,
            _ => String::new(),
        }
    }

    /// The zone that is named, or else the machine's.
    fn timezone(&mut self) -> Tz {
        match self.text("timezone") {
            name if name.is_empty() => {
                let machines = iana_time_zone::get_timezone().ok();
                machines.and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)
            }
            name => name.parse().unwrap_or_else(|_| {
                self.fault("timezone", "must be a time zone such as Europe/Berlin or UTC");
                Tz::UTC
            }),
        }
    }

    fn networks(&mut self, path: &str) -> Vec<IpNet> {
        match self.value(path) {
            Value::Networks(networks) => networks,
            _ => Vec::new(),
        }
    }

    fn secret(&mut self, path: &str) -> Option<SecretString> {
        match self.value(path) {
            Value::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    fn address(&mut self, path: &str, port: &str) -> SocketAddr {
        let mut addr = match self.value(path) {
            Value::Address(addr) => addr,
            _ => SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        if let Value::Number(port) = self.value(port) {
            addr.set_port(port as u16);
        }
        addr
    }

    fn render(&self) -> String {
        let mut lines = String::new();
        for setting in SETTINGS {
            let said = self.layers.said.get(setting.path);
            let words = said.map_or(setting.default.to_owned(), |said| said.items.join(", "));
            let shown = match (&setting.kind, said) {
                (_, Some(said)) if said.in_file => format!("(in {words})"),
                (Kind::Secret | Kind::OutsideSecret, Some(_)) => "***".into(),
                _ if words.is_empty() => "(not set)".into(),
                _ => words,
            };
            let origin = said.map_or(Origin::Default, |said| said.origin.clone());
            lines.push_str(&format!("{:<38} {shown:<24} # {origin}\n", setting.path));
        }
        lines
    }
}

fn read_secret(items: &[String]) -> Result<String, String> {
    let file = items.first().map(String::as_str).unwrap_or_default();
    let text = fs::read_to_string(file).map_err(|e| format!("cannot be read from {file}: {e}"))?;
    match text.trim() {
        "" => Err(format!("is empty in {file}")),
        text => Ok(text.to_owned()),
    }
}

/// What a command of the configuration prints; it gets no variable of ours to see.
pub(crate) fn output_of(command: &str) -> io::Result<SecretString> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).env_remove("TOLLGATE_ADMIN_PASSWORD");
    let output = shell.output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("it ended with {}", output.status)));
    }
    let text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    Ok(text.trim().into())
}
