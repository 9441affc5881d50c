//! The end, once nobody is let in any more: calls in flight go on for as long as they may, then the
//! last log entries are brought over and the database is closed. Without calls in flight the
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

/// How long the last log entries may take to the database; the journal keeps the rest.
const LAST_ENTRIES: Duration = Duration::from_secs(5);
/// How long calls that were cut short may take to enter what they cost.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the database may take to close.
const CLOSING: Duration = Duration::from_secs(10);
/// How often we look whether the last call has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What must have ended before the process does.
pub(crate) struct Ending {
    /// The data plane, where there is one.
    pub(crate) gateway: Option<Arc<Gateway>>,
    /// Whether the management plane has answered its last request.
    pub(crate) management_ended: Arc<AtomicBool>,
    /// How long calls in flight may go on.
    pub(crate) grace: Duration,
    /// Tells the tasks to bring over what is there and stop.
    pub(crate) tasks: watch::Sender<bool>,
    /// Hangs up when the tasks have stopped.
    pub(crate) tasks_ended: mpsc::Receiver<()>,
    pub(crate) store: Store,
    /// The runtime that the connections of the database belong to.
    pub(crate) runtime: Handle,
    pub(crate) logs: Arc<Logs>,
}

impl Ending {
    /// Waits beside `server` until it lets nobody in any more, and sees to the rest.
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
        // Nobody listens where no tasks run.
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

/// Closes the database, so that its file alone holds everything.
pub(super) fn closed(runtime: &Handle, store: &Store) {
    let close = async { tokio::time::timeout(CLOSING, store.close()).await };
    if runtime.block_on(close).is_err() {
        tracing::warn!("the database could not be closed in time; the next start looks through it");
    }
}
