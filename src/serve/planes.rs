//! The management plane and the tasks as services of the server; the data plane brings its own.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use async_trait::async_trait;
use auth::MasterKey;
use chrono_tz::Tz;
use cluster::Cluster;
use domain::{Revision, live::Live};
use management::{Management, Parts};
use pingora_core::{
    server::{ListenFds, ShutdownWatch},
    services::Service,
};
use proxy::{Gateway, journal::Drain};
use store::Store;
use tokio::sync::watch;

use super::listener::Port;
use crate::{
    config::Config,
    tasks::{
        drain_journal, keep_events, keep_refused_keys, record_bodies, refresh,
        scheduler::{self, Job, Keep, Workshop},
    },
};

/// The management plane of this configuration.
pub(super) fn management(
    config: &Config,
    store: Store,
    master_key: &MasterKey,
    live: Option<Arc<dyn Live>>,
) -> Management {
    let mut parts = Parts::new(store, master_key);
    parts.settings.trusted_proxies = config.proxy.trusted_proxies.clone();
    parts.settings.data_plane_port = Some(config.proxy.addr.port());
    parts.settings.grace = config.shutdown_grace;
    parts.settings.secure_cookies = config.management.secure_cookies;
    parts.live = live;
    Management::new(parts)
}

/// The management plane, on a runtime of its own.
pub(super) struct ManagementPlane {
    plane: Management,
    port: Option<Port>,
    ended: Arc<AtomicBool>,
}

impl ManagementPlane {
    pub(super) fn new(plane: Management, port: Port, ended: Arc<AtomicBool>) -> Self {
        Self { plane, port: Some(port), ended }
    }
}

#[async_trait]
impl Service for ManagementPlane {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        mut shutdown: ShutdownWatch,
        _listeners_per_fd: usize,
    ) {
        let port = self.port.take().expect("a service starts once");
        let addr = port.addr();
        let served = match port.open(fds.as_ref()) {
            Ok(listener) => {
                let told = async move {
                    // An error means that the server is gone, which is the end as well.
                    let _ = shutdown.wait_for(|ending| *ending).await;
                };
                management::serve(&self.plane, listener, told).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            tracing::error!(%error, "the management plane on {addr} has failed");
        }
        self.ended.store(true, Ordering::Release);
    }

    fn name(&self) -> &str {
        "management"
    }

    fn threads(&self) -> Option<usize> {
        Some(2)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Some(self.port.iter().map(|port| port.addr().to_string()).collect())
    }
}

/// The tasks, on a runtime of their own.
pub(super) struct Tasks {
    pub(super) store: Store,
    pub(super) cluster: Cluster,
    /// The tasks of the data plane, if there is one.
    pub(super) data_plane: Option<Beside>,
    /// The time zone of daily tasks.
    pub(super) zone: Tz,
    pub(super) keep: Keep,
    /// Signals the tasks to store what is left and to stop.
    pub(super) ending: watch::Receiver<bool>,
    /// Closed when the tasks have ended.
    pub(super) running: Option<mpsc::Sender<()>>,
}

/// The parts of the data plane that tasks use.
pub(super) struct Beside {
    pub(super) gateway: Arc<Gateway>,
    pub(super) served: Revision,
    pub(super) drain: Mutex<Option<Drain>>,
    pub(super) known: Option<keep_events::Known>,
}

#[async_trait]
impl Service for Tasks {
    async fn start_service(
        &mut self,
        _fds: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        _listeners_per_fd: usize,
    ) {
        let (store, cluster) = (&self.store, &self.cluster);
        tokio::spawn(refresh::announce(store.clone(), cluster.clone()));
        let gateway = self.data_plane.as_ref().map(|beside| beside.gateway.clone());
        let has_gateway = gateway.is_some();
        let workshop = Workshop { store: store.clone(), gateway, keep: self.keep };
        let schedule = |lease, jobs| {
            let (workshop, ending) = (workshop.clone(), self.ending.clone());
            tokio::spawn(scheduler::run(workshop, lease, jobs, self.zone, ending))
        };
        let mut scheduled = vec![schedule("scheduler", Job::OF_THE_STORE)];
        if has_gateway {
            scheduled.push(schedule("prober", Job::OF_THE_DATA_PLANE));
        }
        let mut kept = None;
        if let Some(Beside { gateway, served, drain, known }) = &mut self.data_plane {
            let (store, cluster) = (store.clone(), cluster.clone());
            tokio::spawn(refresh::run(gateway.clone(), store, cluster, *served));
            if let Some(queue) = gateway.recorded() {
                let (store, ending) = (self.store.clone(), self.ending.clone());
                tokio::spawn(record_bodies::run(queue, store, ending));
            }
            if let Some(events) = gateway.events() {
                let (store, ending) = (self.store.clone(), self.ending.clone());
                kept = Some(tokio::spawn(keep_events::run(events, store, ending)));
            }
            let (to, ending) = (self.store.clone(), self.ending.clone());
            let refused = keep_refused_keys::run(gateway.clone(), to, ending);
            scheduled.push(tokio::spawn(refused));
            let known = known.take().expect("a service starts once");
            tokio::spawn(keep_events::share(gateway.clone(), self.store.clone(), known));
            let drain = drain.get_mut().ok().and_then(Option::take);
            let drain = drain.expect("a service starts once");
            // Running calls still write entries while the server shuts down: only `ending` ends
            // this.
            drain_journal::run(drain, self.store.clone(), self.ending.clone()).await;
        } else {
            // An error means that the binary is ending as well.
            let _ = self.ending.wait_for(|ending| *ending).await;
        }
        for task in kept.into_iter().chain(scheduled) {
            // A panic of a task was logged already.
            let _ = task.await;
        }
        self.cluster.leave().await;
        self.running.take();
    }

    fn name(&self) -> &str {
        "tasks"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}
