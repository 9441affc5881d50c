//! The gateway: what all calls share, and the one view of the world that each of them reads.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use auth::ServiceKeys;
use domain::{
    Catalog, ProviderKeyId, Revision, Snapshot, UpstreamEntry, UpstreamId,
    live::{Live, Rest},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    balancer::Pool,
    journal::Journal,
    line::{Connector, Line},
    recording::{Recorded, Recorder},
    settings::Settings,
};

/// What all calls share.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) service_keys: ServiceKeys,
    pub(crate) journal: Journal,
    pub(crate) connector: Connector,
    pub(crate) recorder: Recorder,
    world: ArcSwap<World>,
    /// The budget for bodies that are held.
    held: Arc<Semaphore>,
    in_flight: AtomicU64,
    started: Instant,
    /// When the snapshot was last known to be current, in milliseconds after `started`; negative
    /// before the first.
    confirmed: AtomicI64,
    draining: AtomicBool,
}

/// One view of the world: the snapshot, and the running side of its upstreams.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    running: HashMap<UpstreamId, Running>,
}

/// The running side of an upstream.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    entry: Arc<UpstreamEntry>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) line: Arc<Line>,
}

impl World {
    /// The running side of an upstream of this snapshot.
    pub(crate) fn running(&self, id: UpstreamId) -> Option<&Running> {
        self.running.get(&id)
    }
}

/// The budget is counted in these, so that it fits a semaphore.
const HOLD_UNIT: u64 = 1 << 10;

impl Gateway {
    /// A gateway that serves nothing yet: [`Gateway::install`] a snapshot before it listens.
    pub fn new(settings: Settings, service_keys: ServiceKeys, journal: Journal) -> Arc<Self> {
        let connector = Connector::new(
            settings.outbound.clone(),
            settings.idle_connections,
            settings.ca_file.clone(),
        );
        let empty = Snapshot::compile(&Catalog::empty()).expect("an empty catalog has no faults");
        let units = settings.buffers.total as u64 / HOLD_UNIT;
        Arc::new(Self {
            connector,
            recorder: Recorder::new(),
            service_keys,
            journal,
            world: ArcSwap::from_pointee(World { snapshot: empty, running: HashMap::new() }),
            held: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS as u64) as usize)),
            in_flight: AtomicU64::new(0),
            started: Instant::now(),
            confirmed: AtomicI64::new(-1),
            draining: AtomicBool::new(false),
            settings,
        })
    }

    /// Serves `snapshot` from now on. Calls under way keep the one they began with; keys keep
    /// their health, connections their use.
    pub fn install(&self, snapshot: Snapshot) {
        let before = self.world.load();
        let running = snapshot.upstreams().map(|entry| {
            let id = entry.upstream.id;
            (id, Running::new(entry, before.running.get(&id)))
        });
        let running = running.collect();
        self.world.store(Arc::new(World { snapshot, running }));
        self.confirm();
    }

    /// The snapshot being served was found to be current just now.
    pub fn confirm(&self) {
        let now = self.started.elapsed().as_millis() as i64;
        self.confirmed.store(now, Ordering::Relaxed);
    }

    /// The queue of recorded bodies, for whoever keeps them; given once.
    pub fn recorded(&self) -> Option<mpsc::Receiver<Recorded>> {
        self.recorder.take()
    }

    /// How many calls' bodies were not recorded because the queue was full.
    pub fn recordings_dropped(&self) -> u64 {
        self.recorder.dropped()
    }

    /// From now on not ready, and every answer is the last one on its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The view that a call reads from its beginning to its end.
    pub(crate) fn world(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// Whether a snapshot is there and young enough.
    pub(crate) fn is_current(&self) -> bool {
        let confirmed = self.confirmed.load(Ordering::Relaxed);
        let max = self.settings.snapshot_max_age;
        confirmed >= 0
            && (max.is_zero()
                || self.started.elapsed() <= max + Duration::from_millis(confirmed as u64))
    }

    /// Whether calls are taken: a snapshot is there, and we are not about to leave.
    pub(crate) fn is_ready(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed) >= 0 && !self.is_draining()
    }

    /// Whether we are about to leave.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Counts a body of so many bytes against the budget for held bodies; none when it is used up.
    pub(crate) fn hold(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(HOLD_UNIT)).ok()?;
        self.held.clone().try_acquire_many_owned(units).ok()
    }

    /// Counts a call as under way until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Lets go of connections that providers closed, and keeps the clock right.
    pub(crate) fn sweep(&self) {
        self.settings.clock.follow();
        for running in self.world.load().running.values() {
            running.line.sweep();
        }
    }
}

impl Running {
    fn new(entry: &Arc<UpstreamEntry>, before: Option<&Running>) -> Self {
        if let Some(before) = before
            && Arc::ptr_eq(&before.entry, entry)
        {
            return before.clone();
        }
        let base = &entry.upstream.base_url;
        let line = before.map(|b| &b.line).filter(|line| line.leads_to(base)).cloned();
        Self {
            pool: Arc::new(Pool::new(entry, before.map(|b| b.pool.as_ref()))),
            line: line.unwrap_or_else(|| Arc::new(Line::new(base.clone()))),
            entry: entry.clone(),
        }
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Gateway>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Live for Gateway {
    fn revision(&self) -> Revision {
        self.world.load().snapshot.revision
    }

    fn calls_in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn rest(&self, upstream: UpstreamId, key: ProviderKeyId) -> Option<Rest> {
        let world = self.world.load();
        let slot = world.running(upstream)?.pool.slot(key)?.clone();
        slot.health.described(Instant::now())
    }

    fn journal_len(&self) -> u64 {
        self.journal.len()
    }
}
