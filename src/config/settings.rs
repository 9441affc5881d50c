//! Every start-up setting, one row each: where it stands, what it is, what it is when nobody says
//! otherwise. The example file, the schema, the variables and `check --print` are all made from
//! this table. What the values are *used* for is not here.

use std::ops::RangeInclusive;

/// One start-up setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its dotted path in the file; `proxy.addr` is also `TOLLGATE_PROXY__ADDR`.
    pub(crate) path: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Its value when nobody says otherwise, as one would write it; empty means not set.
    pub(crate) default: &'static str,
    /// What it does, for people who read the example.
    #[cfg_attr(not(test), expect(dead_code, reason = "the example is rendered by a test"))]
    pub(crate) about: &'static str,
}

/// What a setting takes.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Count(RangeInclusive<u64>),
    /// A number of bytes: `32MiB`, `10MB`, `4096`.
    Size(RangeInclusive<u64>),
    /// A time: `30s`, `15m`, `250ms`.
    Duration,
    /// The same, or `0s` for none.
    Delay,
    /// An address to listen on: `127.0.0.1:9090`.
    Address,
    /// A file or folder.
    Path,
    /// Words.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Networks: a list, or commas between them.
    Networks,
    /// Something nobody may see. `…_file` names a file that holds it.
    Secret,
    /// A secret that may not even stand in the configuration file; `…_file` may.
    OutsideSecret,
}

impl Kind {
    /// Whether values are hidden and `…_file` is understood.
    pub(crate) fn is_secret(&self) -> bool {
        matches!(self, Kind::Secret | Kind::OutsideSecret)
    }
}

const fn row(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Setting {
    Setting { path, kind, default, about }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];
const FORMATS: &[&str] = &["text", "json"];

/// The table. Sections stand together; the example keeps this order.
pub(crate) const SETTINGS: &[Setting] = &[
    row("enable_proxy", Kind::Switch, "true", "Whether this process runs the data plane."),
    row(
        "enable_management",
        Kind::Switch,
        "true",
        "Whether this process runs the management plane.",
    ),
    row(
        "data_dir",
        Kind::Path,
        "data",
        "Where the embedded database, the journal and master.key lie. Made with mode 0700.",
    ),
    row(
        "shutdown_delay",
        Kind::Delay,
        "5s",
        "How long calls are still taken after SIGTERM or SIGINT, while /readyz says 503 and every answer closes its connection: until balancers have heard of it. A second signal ends the process at once.",
    ),
    row(
        "shutdown_grace",
        Kind::Duration,
        "30s",
        "How long calls in flight may go on after shutdown_delay. Without any, the process ends at once.",
    ),
    row(
        "timezone",
        Kind::Text,
        "",
        "By whose clock days begin, for quotas, budgets and daily tasks that name no other: Europe/Berlin. The machine's own where none is named.",
    ),
    row(
        "master_key",
        Kind::OutsideSecret,
        "",
        "The key that seals provider keys: 32 bytes as hex or base64. Only as a variable or a file; without one, data_dir/master.key is made.",
    ),
    row(
        "master_key_command",
        Kind::Text,
        "",
        "A command whose output is the master key, run once at start: `pass tollgate/master`.",
    ),
    row(
        "admin_password",
        Kind::OutsideSecret,
        "",
        "The first administrator's password. Without one, a one-time set-up token is logged at the first start.",
    ),
    row(
        "proxy_port",
        Kind::Count(0..=65535),
        "",
        "The port of proxy.addr, for those who set only that.",
    ),
    row(
        "management_port",
        Kind::Count(0..=65535),
        "",
        "The port of management.addr, for those who set only that.",
    ),
    row(
        "log.level",
        Kind::Choice(LEVELS),
        "info",
        "How much is logged, where a plane does not say otherwise.",
    ),
    row(
        "log.format",
        Kind::Choice(FORMATS),
        "text",
        "How log lines look, where a plane does not say otherwise.",
    ),
    row("proxy.addr", Kind::Address, "0.0.0.0:8080", "Where callers reach the data plane."),
    row(
        "proxy.threads",
        Kind::Count(0..=1024),
        "0",
        "Threads of the data plane; 0 means one for each core.",
    ),
    row("proxy.log_level", Kind::Choice(LEVELS), "", "How much the data plane logs."),
    row("proxy.log_format", Kind::Choice(FORMATS), "", "How the data plane's log lines look."),
    row("proxy.trusted_proxies", Kind::Networks, "", "Peers whose X-Forwarded-For is believed."),
    row(
        "proxy.cors_origins",
        Kind::Text,
        "",
        "Origins whose pages may call the data plane from a browser, with commas between them: https://app.example. `*` is every page; none is the default.",
    ),
    row(
        "proxy.answer_details",
        Kind::Switch,
        "false",
        "Whether answers tell the caller which upstream answered (x-tollgate-upstream), how many attempts were made (x-tollgate-attempts) and, where it is known before the answer begins, its cost in dollars (x-tollgate-cost).",
    ),
    row(
        "proxy.mask_ip",
        Kind::Choice(&["full", "network", "hash", "off"]),
        "full",
        "How a client's address is kept in the log: as it is, its /24 or /48, a digest, not at all.",
    ),
    row(
        "proxy.snapshot_max_age",
        Kind::Duration,
        "15m",
        "How old the last confirmed configuration may be before calls are refused with 503.",
    ),
    row(
        "proxy.connection_max_age",
        Kind::Duration,
        "60s",
        "How old a connection to a provider's host name may be to be used again: a name that moved is followed.",
    ),
    row(
        "proxy.retry_wait_max",
        Kind::Duration,
        "60s",
        "The longest wait after which clients retry by themselves; beyond it they are told not to. At most 2m.",
    ),
    row("proxy.limits.head", Kind::Size(KIB..=MIB), "32KiB", "Longest request head."),
    row("proxy.limits.target", Kind::Size(256..=64 * KIB), "8KiB", "Longest request target."),
    row("proxy.limits.fields", Kind::Count(8..=256), "100", "Most header fields."),
    row(
        "proxy.limits.head_timeout",
        Kind::Duration,
        "10s",
        "Until when a request's head must be there.",
    ),
    row(
        "proxy.limits.body",
        Kind::Size(KIB..=GIB),
        "32MiB",
        "Longest JSON body. Bodies under /proxy/ are streamed and have no limit.",
    ),
    row("proxy.limits.body_idle", Kind::Duration, "30s", "Longest pause inside a request body."),
    row(
        "proxy.limits.body_rate",
        Kind::Size(1..=GIB),
        "1KiB",
        "Least rate of a request body that is read into memory, per second, over any 30 seconds.",
    ),
    row("proxy.limits.keepalive", Kind::Duration, "75s", "How long an idle connection stays open."),
    row(
        "proxy.limits.requests_per_connection",
        Kind::Count(1..=1_000_000),
        "10000",
        "Requests on one connection before it is closed.",
    ),
    row(
        "proxy.limits.connections",
        Kind::Count(16..=10_000_000),
        "100000",
        "Most open connections.",
    ),
    row(
        "proxy.limits.connections_per_address",
        Kind::Count(1..=10_000_000),
        "512",
        "Most open connections from one address.",
    ),
    row(
        "proxy.buffers.request",
        Kind::Size(0..=GIB),
        "1MiB",
        "Largest request body under /proxy/ that is held in memory so that another attempt can be made; larger ones are streamed with one attempt.",
    ),
    row(
        "proxy.buffers.total",
        Kind::Size(MIB..=1024 * GIB),
        "256MiB",
        "Memory for request bodies of all calls together. One service key or one address may have as much of it as remains free.",
    ),
    row(
        "journal.durability",
        Kind::Choice(&["process", "power"]),
        "process",
        "What a log entry survives before the answer ends: the process killed, or the power gone.",
    ),
    row(
        "journal.cap",
        Kind::Size(MIB..=1024 * GIB),
        "4GiB",
        "Disk for log entries that wait for the database; when it is full, new calls get 503.",
    ),
    row(
        "retention.log_days",
        Kind::Count(1..=36_500),
        "30",
        "How many days log entries are kept. They are cleared at 2:00.",
    ),
    row(
        "retention.body_days",
        Kind::Count(1..=36_500),
        "7",
        "How many days recorded bodies are kept.",
    ),
    row(
        "retention.minute_days",
        Kind::Count(1..=366),
        "3",
        "How many days sums by the minute are kept. Sums by the day are kept for ever.",
    ),
    row(
        "retention.hour_days",
        Kind::Count(1..=36_500),
        "92",
        "How many days sums by the hour are kept.",
    ),
    row(
        "retention.size",
        Kind::Size(MIB..=1024 * 1024 * GIB),
        "10GiB",
        "How much log entries and bodies may take in all; the oldest go first, bodies before entries.",
    ),
    row(
        "management.addr",
        Kind::Address,
        "127.0.0.1:9090",
        "Where people and scripts reach the management plane.",
    ),
    row(
        "management.secure_cookies",
        Kind::Switch,
        "true",
        "Whether cookies are for https alone. Only false where people use plain http on loopback with a browser that refuses such cookies there.",
    ),
    row("management.log_level", Kind::Choice(LEVELS), "", "How much the management plane logs."),
    row(
        "management.log_format",
        Kind::Choice(FORMATS),
        "",
        "How the management plane's log lines look.",
    ),
    row(
        "database.url",
        Kind::Secret,
        "",
        "postgres://… or sqlite:PATH; without one, data_dir/tollgate.db.",
    ),
    row("database.max_connections", Kind::Count(1..=1000), "10", "Most connections to PostgreSQL."),
    row(
        "database.statement_timeout",
        Kind::Duration,
        "10s",
        "How long PostgreSQL may take for one statement. A connection that says nothing two seconds after that is given up for a new one.",
    ),
    row(
        "database.allow_newer",
        Kind::Switch,
        "false",
        "Whether to run on a database that a newer version of this program has changed.",
    ),
    row(
        "redis.url",
        Kind::Secret,
        "",
        "redis://… where several instances hear of changes at once and share limits. One needs none.",
    ),
    row(
        "outbound.allow",
        Kind::Networks,
        "",
        "Private networks where upstreams may live, and where plain http is allowed: [\"127.0.0.0/8\"].",
    ),
];

/// The setting at `path`.
pub(crate) fn find(path: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.path == path)
}

/// Whether settings stand below `path`.
pub(crate) fn is_section(path: &str) -> bool {
    SETTINGS.iter().any(|s| s.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The known path (a setting or a section) most like `path`, where one is close.
pub(crate) fn nearest(path: &str) -> Option<&'static str> {
    let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    let mine = path.rsplit('.').next().unwrap_or(path);
    SETTINGS
        .iter()
        .map(|s| {
            let whole = distance(path, s.path);
            (whole.min(1 + distance(mine, last(s.path))), whole, s.path)
        })
        .min()
        .filter(|(distance, _, known)| *distance <= 1 + known.len() / 5)
        .map(|(_, _, known)| known)
}

/// How many letters must be put in, left out or changed.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_answered_with_the_one_that_was_meant() {
        let cases = [
            ("proxy.adr", Some("proxy.addr")),
            ("proxi.addr", Some("proxy.addr")),
            ("datadir", Some("data_dir")),
            ("log_level", Some("log.level")),
            ("colour_of_the_sky", None),
        ];
        for (wrong, meant) in cases {
            assert_eq!(nearest(wrong), meant, "{wrong}");
        }
    }

    #[test]
    fn every_path_stands_once_and_no_setting_is_also_a_section() {
        for (i, setting) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[i + 1..].iter().all(|s| s.path != setting.path), "{}", setting.path);
            assert!(!is_section(setting.path), "{}", setting.path);
        }
    }
}
