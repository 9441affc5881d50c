//! What signals ask for. SIGTERM, SIGINT and SIGQUIT end the process in order, and a second one of
//! them ends it at once. SIGHUP takes over what can change while it runs. SIGUSR1 and SIGUSR2 do
//! nothing: some tools send them to every process, and the system's answer would be to kill it.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use management::Management;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use proxy::Gateway;
use store::Store;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{config::Reload, telemetry::Logs};

/// How long an end at once may take to close the database.
const CLOSING: Duration = Duration::from_secs(1);

/// What is told of the end, once something is served.
pub(super) struct Serving {
    pub(super) gateway: Option<Arc<Gateway>>,
    pub(super) management: Option<Management>,
    pub(super) store: Store,
    /// How long calls are still taken after it was said that none should be sent here.
    pub(super) delay: Duration,
}

/// The signals of this process, from its first moment on.
pub(super) struct Signals {
    serving: Arc<OnceLock<Serving>>,
    leave: watch::Receiver<bool>,
}

impl Signals {
    /// Takes the signals over from the system. Must be called on the runtime that lives until the
    /// end.
    pub(super) fn take(reload: Reload, logs: Arc<Logs>) -> io::Result<Self> {
        let serving: Arc<OnceLock<Serving>> = Arc::default();
        let (leaving, leave) = watch::channel(false);
        let watch = Watch {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
            serving: serving.clone(),
            leaving,
            reload,
            logs,
        };
        tokio::spawn(watch.run());
        Ok(Self { serving, leave })
    }

    /// Notes what is served from now on.
    pub(super) fn serve(&self, serving: Serving) {
        // It is set once, by the only one who has this.
        let _ = self.serving.set(serving);
    }

    /// What tells the server when to stop listening.
    pub(super) fn watch(&self) -> Box<dyn ShutdownSignalWatch> {
        Box::new(Leaving(self.leave.clone()))
    }
}

struct Leaving(watch::Receiver<bool>);

#[async_trait]
impl ShutdownSignalWatch for Leaving {
    async fn recv(&self) -> ShutdownSignal {
        // An error means that nobody can say so any more, which is the end as well.
        let _ = self.0.clone().wait_for(|leave| *leave).await;
        ShutdownSignal::GracefulTerminate
    }
}

struct Watch {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user: [Signal; 2],
    serving: Arc<OnceLock<Serving>>,
    leaving: watch::Sender<bool>,
    reload: Reload,
    logs: Arc<Logs>,
}

impl Watch {
    async fn run(mut self) {
        let name = self.end().await.0;
        let delay = match self.serving.get() {
            Some(serving) => serving.announce(name),
            None => {
                tracing::info!("ended by {name} before anything was served");
                self.exit(0)
            }
        };
        let second = tokio::select! {
            () = tokio::time::sleep(delay) => {
                self.leaving.send_replace(true);
                self.end().await
            }
            second = self.end() => second,
        };
        let (name, number) = second;
        if let Some(serving) = self.serving.get() {
            let calls = serving.calls();
            tracing::warn!(
                calls,
                "ended at once by a second signal, {name}: {calls} calls are cut short"
            );
            // What is not brought into the file now is found in its log at the next start.
            let _ = tokio::time::timeout(CLOSING, serving.store.close()).await;
        }
        self.exit(128 + number)
    }

    /// Waits for a signal that ends the process: its name and its number.
    async fn end(&mut self) -> (&'static str, i32) {
        loop {
            let [user1, user2] = &mut self.user;
            tokio::select! {
                _ = self.terminate.recv() => return ("SIGTERM", 15),
                _ = self.interrupt.recv() => return ("SIGINT", 2),
                _ = self.quit.recv() => return ("SIGQUIT", 3),
                _ = self.hangup.recv() => self.reload.run(&self.logs),
                _ = user1.recv() => tracing::debug!("SIGUSR1 asks for nothing here"),
                _ = user2.recv() => tracing::debug!("SIGUSR2 asks for nothing here"),
            }
        }
    }

    fn exit(&self, code: i32) -> ! {
        self.logs.flush();
        std::process::exit(code)
    }
}

impl Serving {
    /// Says everywhere that no calls should be sent here; for how long they are still taken.
    fn announce(&self, name: &str) -> Duration {
        let (calls, delay) = (self.calls(), self.delay);
        self.gateway.iter().for_each(|gateway| gateway.drain());
        self.management.iter().for_each(Management::drain);
        tracing::info!(
            calls,
            "{name}: not ready from now on, calls are still taken for {delay:?}; {calls} are in flight"
        );
        delay
    }

    fn calls(&self) -> u64 {
        self.gateway.as_ref().map_or(0, |gateway| gateway.under_way())
    }
}
