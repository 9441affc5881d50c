//! The end: no new connections, calls in flight go on for as long as they may, then the last log
//! entries are brought over. Without calls in flight the process ends at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use domain::live::Live;
use pingora_core::server::{ExecutionPhase, Server};
use proxy::Gateway;
use tokio::sync::watch;

use crate::telemetry::Logs;

/// How long the last log entries may take to the database; the journal keeps the rest.
const LAST_ENTRIES: Duration = Duration::from_secs(5);
/// How often we look whether the last call has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What must have ended before the process does.
pub(crate) struct Ending {
    /// The data plane, where there is one.
    pub(crate) gateway: Option<Arc<Gateway>>,
    /// Whether the management plane has answered its last request.
    pub(crate) management_ended: Arc<AtomicBool>,
    /// Tells the tasks to bring over what is there and stop.
    pub(crate) tasks: watch::Sender<bool>,
    /// Hangs up when the tasks have stopped.
    pub(crate) tasks_ended: mpsc::Receiver<()>,
    pub(crate) logs: Arc<Logs>,
}

impl Ending {
    /// Waits beside `server` for its end, and shortens it when nothing is left to wait for.
    pub(crate) fn watch(self, server: &Server) {
        let mut phases = server.watch_execution_phase();
        thread::spawn(move || {
            while let Ok(phase) = phases.blocking_recv() {
                match phase {
                    ExecutionPhase::GracefulTerminate
                    | ExecutionPhase::GracefulUpgradeCloseTimeout => {
                        // Not ready from now on, and every answer is the last on its connection.
                        self.gateway.iter().for_each(|gateway| gateway.drain());
                    }
                    ExecutionPhase::ShutdownGracePeriod => self.wait_and_exit(),
                    _ => {}
                }
            }
        });
    }

    fn wait_and_exit(&self) -> ! {
        tracing::info!("ending: {} calls in flight", self.calls());
        while self.calls() > 0 || !self.management_ended.load(Ordering::Acquire) {
            thread::sleep(LOOK);
        }
        // Nobody listens where no tasks run.
        let _ = self.tasks.send(true);
        let _ = self.tasks_ended.recv_timeout(LAST_ENTRIES);
        tracing::info!("ended: nothing is in flight");
        self.logs.flush();
        std::process::exit(0);
    }

    fn calls(&self) -> u64 {
        self.gateway.as_ref().map_or(0, |gateway| gateway.calls_in_flight())
    }
}
