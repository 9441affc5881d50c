//! The end of the process after the listeners closed: running calls continue for the grace period,
//! then the last log entries are stored and the database is closed. Without running calls the
//! process ends at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use pingora_core::server::{ExecutionPhase, Server};
use proxy::Gateway;
use store::Store;
use tokio::{runtime::Handle, sync::watch};

use crate::telemetry::Logs;

/// The time for storing the last log entries; the journal keeps the rest.
const LAST_ENTRIES: Duration = Duration::from_secs(5);
/// The time for calls that were cut short to write their log entries.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The time for closing the database.
const CLOSING: Duration = Duration::from_secs(10);
/// The interval of checks whether the last call has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The parts that must end before the process.
pub(crate) struct Ending {
    /// The data plane, if there is one.
    pub(crate) gateway: Option<Arc<Gateway>>,
    /// Whether the management plane has answered its last request.
    pub(crate) management_ended: Arc<AtomicBool>,
    /// The grace period of running calls.
    pub(crate) grace: Duration,
    /// Tells the tasks to store what is left and to stop.
    pub(crate) tasks: watch::Sender<bool>,
    /// Closed when the tasks have stopped.
    pub(crate) tasks_ended: mpsc::Receiver<()>,
    pub(crate) store: Store,
    /// The runtime of the database connections.
    pub(crate) runtime: Handle,
    pub(crate) logs: Arc<Logs>,
}

impl Ending {
    /// Waits until `server` stops accepting, and then ends the process.
    pub(crate) fn watch(self, server: &Server) {
        let mut phases = server.watch_execution_phase();
        thread::spawn(move || {
            while let Ok(phase) = phases.blocking_recv() {
                if matches!(phase, ExecutionPhase::ShutdownGracePeriod) {
                    self.wait_and_exit();
                }
            }
        });
    }

    fn wait_and_exit(&self) -> ! {
        let (calls, grace) = (self.calls(), self.grace);
        tracing::info!(calls, "no new connections; {calls} calls in flight may take {grace:?}");
        let late = Instant::now() + grace;
        let busy = || self.calls() > 0 || !self.management_ended.load(Ordering::Acquire);
        wait_while(busy, late);
        let cut = self.calls();
        if let Some(gateway) = self.gateway.as_ref().filter(|_| cut > 0) {
            tracing::warn!(cut, "{cut} calls are cut short: they took longer than shutdown_grace");
            gateway.cut_off();
            wait_while(|| self.calls() > 0, Instant::now() + LAST_WORDS);
        }
        // Without tasks there is no receiver.
        let _ = self.tasks.send(true);
        let _ = self.tasks_ended.recv_timeout(LAST_ENTRIES);
        closed(&self.runtime, &self.store);
        let (ended, waiting) = (calls.saturating_sub(cut), self.waiting());
        tracing::info!(
            ended,
            cut,
            waiting,
            "ended: {ended} calls came to their end meanwhile, {cut} were cut short; {waiting} log \
             entries wait in the journal for the next start"
        );
        self.logs.flush();
        std::process::exit(0);
    }

    fn calls(&self) -> u64 {
        self.gateway.as_ref().map_or(0, |gateway| gateway.under_way())
    }

    fn waiting(&self) -> u64 {
        use domain::live::Live;
        self.gateway.as_ref().map_or(0, |gateway| gateway.journal_len())
    }
}

fn wait_while(busy: impl Fn() -> bool, until: Instant) {
    while busy() && Instant::now() < until {
        thread::sleep(LOOK);
    }
}

/// Closes the database, so that its file alone is complete.
pub(super) fn closed(runtime: &Handle, store: &Store) {
    let close = async { tokio::time::timeout(CLOSING, store.close()).await };
    if runtime.block_on(close).is_err() {
        tracing::warn!("the database could not be closed in time; the next start looks through it");
    }
}
