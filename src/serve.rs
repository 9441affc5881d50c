//! `tollgate serve`: starts the planes and the tasks in one process, each on its own runtime, and
//! stops them. No port is opened before there is a snapshot to serve.

mod ending;
mod listener;
mod planes;
mod signals;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, atomic::AtomicBool, mpsc},
    time::Duration,
};

use anyhow::Context;
use auth::MasterKey;
use chrono::{TimeDelta, Utc};
use cluster::{Cluster, Counters};
use domain::{OutboundPolicy, Revision, live::Live};
use management::FirstStart;
use pingora_core::server::{RunArgs, Server, configuration::ServerConf};
use proxy::{
    Gateway,
    journal::{Durability, Journal},
};
use secrecy::ExposeSecret;
use store::{Store, StoreError};
use tokio::{runtime::Runtime, sync::watch};

use self::{
    ending::Ending,
    listener::{OnPort, Port},
    planes::{Beside, ManagementPlane, Tasks},
    signals::{Serving, Signals},
};
use crate::{
    config::{Config, Flags, Reload},
    master_key,
    process::{self, DataPlaneLock},
    tasks::{drain_journal, keep_events, refresh, scheduler::Keep},
    telemetry,
};

/// Added to the server's own grace: the process ends itself first.
const MARGIN: Duration = Duration::from_secs(60);

/// Runs the planes until a signal ends them.
pub(crate) fn serve(flags: Flags) -> anyhow::Result<()> {
    let config = Config::load(flags.clone())?;
    let logs = Arc::new(telemetry::start(&config.log));
    config.notes.iter().for_each(|note| tracing::warn!("{note}"));
    let done = run(&config, flags, &logs);
    if let Err(error) = &done {
        tracing::error!("cannot start: {error:#}");
    }
    logs.flush();
    done
}

fn run(config: &Config, flags: Flags, logs: &Arc<telemetry::Logs>) -> anyhow::Result<()> {
    process::harden();
    // Database connections belong to this runtime, so it lives until the end.
    let runtime = Runtime::new()?;
    let reload = Reload::of(config, flags);
    let signals = runtime.block_on(async { Signals::take(reload, logs.clone()) })?;
    process::data_dir(&config.data_dir)?;
    let proxy = &config.proxy;
    let proxy_port =
        config.enable_proxy.then(|| Port::take(proxy.addr, "proxy.addr")).transpose()?;
    let management_port = config
        .enable_management
        .then(|| Port::take(config.management.addr, "management.addr"))
        .transpose()?;
    let file = config.database.file.as_deref().filter(|_| config.enable_proxy);
    let _one_data_plane = file.map(DataPlaneLock::take).transpose()?;
    let (store, master_key) = runtime.block_on(opened(config))?;
    let opened = Opened { config, runtime: &runtime, store: store.clone(), master_key };
    let done = opened.serve(signals, [proxy_port, management_port], logs);
    ending::closed(runtime.handle(), &store);
    done
}

/// The parts that are opened before serving.
struct Opened<'a> {
    config: &'a Config,
    runtime: &'a Runtime,
    store: Store,
    master_key: MasterKey,
}

impl Opened<'_> {
    /// Serves until the end of the process.
    fn serve(
        self,
        signals: Signals,
        [proxy_port, management_port]: [Option<Port>; 2],
        logs: &Arc<telemetry::Logs>,
    ) -> anyhow::Result<()> {
        let Self { config, runtime, store, master_key } = self;
        if config.enable_management {
            runtime.block_on(first_start(config, &store, &master_key))?;
        }
        let cluster = runtime.block_on(async { clustered(config) })?;
        let mut server = Server::new_with_opt_and_conf(None, server_conf(config));
        let mut data_plane = None;
        if let Some(port) = proxy_port {
            let management_addr = management_port.as_ref().map(Port::addr);
            let first = runtime.block_on(refresh::snapshot(&store));
            let first = first.context("the stored configuration cannot be served")?;
            let (journal, mut drain) = Journal::open(journal_settings(config))?;
            let settings = proxy_settings(config, port.addr(), management_addr, &master_key);
            let counters = Counters::of(&cluster);
            let gateway = Gateway::new(settings, master_key.service_keys(), journal, counters);
            let served = first.revision;
            gateway.install(first);
            let known = runtime.block_on(async {
                // The use of quotas is computed from log entries, including those that are not
                // stored yet.
                drain_journal::bring_over(&mut drain, &store).await;
                keep_events::restore(&gateway, &store).await
            });
            let known = known.context("what is known of keys and quotas cannot be read")?;
            tell_start("data plane", &port, served);
            server.add_service(OnPort::new(proxy::service(gateway.clone()), port));
            let drain = Mutex::new(Some(drain));
            data_plane = Some(Beside { gateway, served, drain, known: Some(known) });
        }
        let gateway = data_plane.as_ref().map(|plane| plane.gateway.clone());
        let management_ended = Arc::new(AtomicBool::new(management_port.is_none()));
        let mut management = None;
        if let Some(port) = management_port {
            let live = gateway.clone().map(|gateway| gateway as Arc<dyn Live>);
            let plane = planes::management(config, store.clone(), &master_key, live);
            tell_start("management plane", &port, runtime.block_on(store.revision())?);
            management = Some(plane.clone());
            server.add_service(ManagementPlane::new(plane, port, management_ended.clone()));
        }
        let (ending, told) = watch::channel(false);
        let (running, tasks_ended) = mpsc::channel();
        let running = Some(running);
        let (zone, keep) = (config.timezone, keep(config));
        server.add_service(Tasks {
            store: store.clone(),
            cluster,
            data_plane,
            zone,
            keep,
            ending: told,
            running,
        });
        let logs = logs.clone();
        let delay = config.shutdown_delay;
        signals.serve(Serving {
            gateway: gateway.clone(),
            management,
            store: store.clone(),
            delay,
        });
        let ending = Ending {
            gateway,
            management_ended,
            grace: config.shutdown_grace,
            tasks: ending,
            tasks_ended,
            store,
            runtime: runtime.handle().clone(),
            logs,
        };
        ending.watch(&server);
        server.bootstrap();
        server.run(RunArgs { shutdown_signal: signals.watch() });
        Ok(())
    }
}

/// Opens the store and the master key, for every command that needs them.
pub(crate) async fn opened(config: &Config) -> anyhow::Result<(Store, MasterKey)> {
    process::data_dir(&config.data_dir)?;
    let settings = store_settings(config);
    let brought = master_key::bring(&config.master_key, Store::is_sealed(&settings)).await?;
    match Store::open(settings, brought.key(), outbound(config)).await {
        Ok(store) => Ok((store, brought.into_key())),
        Err(error) => {
            if matches!(error, StoreError::WrongMasterKey) {
                brought.take_back();
            }
            Err(error.into())
        }
    }
}

/// Returns the settings of the store.
pub(crate) fn store_settings(config: &Config) -> store::Settings {
    let mut settings = store::Settings::new(config.database.url.expose_secret());
    settings.max_connections = config.database.max_connections;
    settings.statement_timeout = config.database.statement_timeout;
    settings.allow_newer = config.database.allow_newer;
    settings
}

async fn first_start(config: &Config, store: &Store, key: &MasterKey) -> anyhow::Result<()> {
    let password = config.admin_password.as_ref();
    match management::first_start(store, key, &key.passwords(), password, Utc::now()).await? {
        FirstStart::Done => {}
        FirstStart::Created => tracing::info!("made the administrator `admin`"),
        FirstStart::SetupToken(token) => tracing::warn!(
            "nobody can sign in yet: POST /api/auth/setup with this token within the hour makes \
             the administrator: {}",
            token.expose_secret()
        ),
    }
    Ok(())
}

/// Joins the cluster. Must be called on the runtime that lives until the end.
fn clustered(config: &Config) -> anyhow::Result<Cluster> {
    match &config.redis_url {
        None => Ok(Cluster::alone()),
        Some(url) => Cluster::redis(&cluster::Settings::new(url.clone())).context("redis.url"),
    }
}

fn tell_start(plane: &str, port: &Port, revision: Revision) {
    let addr = port.addr();
    tracing::info!(plane, %addr, revision = revision.0, "the {plane} serves revision {revision} on http://{addr}");
}

/// Returns the policy of outbound addresses, which excludes the listeners of both planes.
fn outbound(config: &Config) -> OutboundPolicy {
    let own = [config.proxy.addr, config.management.addr].into_iter().flat_map(listening);
    OutboundPolicy { allow: config.outbound_allow.clone(), own: own.collect() }
}

/// Returns the addresses at which a listener is reachable: those of all interfaces if it is bound
/// to none.
fn listening(addr: SocketAddr) -> Vec<(IpAddr, u16)> {
    let mut reached = vec![addr.ip()];
    if addr.ip().is_unspecified() {
        let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
        let addresses = interfaces.filter_map(|interface| interface.address);
        reached.extend(addresses.filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
        }));
    }
    reached.into_iter().map(|ip| (ip.to_canonical(), addr.port())).collect()
}

/// Returns the retention settings.
fn keep(config: &Config) -> Keep {
    let days = |days: u64| TimeDelta::days(i64::try_from(days).unwrap_or(i64::MAX));
    let retention = &config.retention;
    Keep {
        logs: days(retention.log_days),
        bodies: days(retention.body_days),
        minutes: days(retention.minute_days),
        hours: days(retention.hour_days),
        size: retention.size,
    }
}

fn server_conf(config: &Config) -> ServerConf {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let private = |name: &str| config.data_dir.join(name).display().to_string();
    ServerConf {
        threads: if config.proxy.threads == 0 { cores } else { config.proxy.threads },
        grace_period_seconds: Some((config.shutdown_grace + MARGIN).as_secs()),
        graceful_shutdown_timeout_seconds: Some(5),
        upgrade_sock: private("upgrade.sock"),
        pid_file: private("tollgate.pid"),
        ..ServerConf::default()
    }
}

fn journal_settings(config: &Config) -> proxy::journal::Settings {
    let mut settings = proxy::journal::Settings::new(config.data_dir.join("journal"));
    settings.cap = config.journal.cap;
    settings.durability =
        if config.journal.power { Durability::Power } else { Durability::Process };
    settings
}

fn proxy_settings(
    config: &Config,
    addr: std::net::SocketAddr,
    management_addr: Option<std::net::SocketAddr>,
    master_key: &MasterKey,
) -> proxy::Settings {
    let from = &config.proxy;
    let mut settings = proxy::Settings::new(addr);
    settings.management_addr = management_addr;
    settings.outbound = outbound(config);
    settings.trusted_proxies = from.trusted_proxies.clone();
    settings.client_ip = match from.mask_ip.as_str() {
        "network" => proxy::ClientIp::Network,
        "hash" => proxy::ClientIp::Hashed,
        "off" => proxy::ClientIp::Off,
        _ => proxy::ClientIp::Full,
    };
    settings.cors = from.cors.clone();
    settings.answer_details = from.answer_details;
    settings.client_ip_key = master_key.client_ip_key();
    settings.snapshot_max_age = from.snapshot_max_age;
    settings.connection_max_age = from.connection_max_age;
    settings.retry_wait_max = from.retry_wait_max;
    settings.timezone = config.timezone;
    let limits = &mut settings.limits;
    limits.head = from.limits.head as usize;
    limits.fields = from.limits.fields as usize;
    limits.target = from.limits.target as usize;
    limits.head_time = from.limits.head_timeout;
    limits.body = from.limits.body;
    limits.body_idle = from.limits.body_idle;
    limits.body_rate = from.limits.body_rate;
    limits.keep_alive = from.limits.keepalive;
    limits.keep_alive_calls = from.limits.requests_per_connection as u32;
    limits.connections = from.limits.connections as usize;
    limits.connections_per_ip = from.limits.connections_per_address as usize;
    settings.buffers.per_request = from.buffer_request;
    settings.buffers.total = from.buffer_total as usize;
    settings
}

#[cfg(test)]
mod tests {
    use domain::{BaseUrl, Denied};

    use super::*;

    #[test]
    fn a_listener_on_all_interfaces_is_known_by_each_of_their_addresses() {
        let own = listening("0.0.0.0:8080".parse().unwrap());
        let interfaces = nix::ifaddrs::getifaddrs().unwrap().filter_map(|it| it.address);
        let own_v4 = interfaces.filter_map(|it| it.as_sockaddr_in().map(|it| it.ip()));
        let everywhere = ["0.0.0.0/0".parse().unwrap()];
        let policy = OutboundPolicy { allow: everywhere.to_vec(), own };
        for ip in own_v4 {
            let url = BaseUrl::parse(&format!("http://{ip}:8080")).unwrap();
            assert_eq!(policy.check_entered(&url), Err(Denied::Own), "{ip}");
        }
        let one = listening("127.0.0.1:9090".parse().unwrap());
        assert_eq!(one, [("127.0.0.1".parse().unwrap(), 9090)]);
    }
}
