//! The gateway: what all calls share, and the one view of the world that each of them reads.

pub(crate) mod lease;
pub(crate) mod origins;
pub(crate) mod provider_models;
pub(crate) mod revocation;
pub(crate) mod rules;
pub(crate) mod script;

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use auth::ServiceKeys;
use chrono_tz::Tz;
use cluster::{Counters, Measure};
use domain::{
    BreakerStep, Catalog, Dialect, Event, KeptStanding, ProviderKeyId, RefusedKey, RouteId, Seed,
    SeedQuestion, Snapshot, StoredObject, Target, UpstreamEntry, UpstreamId, live::KeyTest,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    client::connections::Connections,
    events::{
        recording::{Recorded, Recorder},
        refused_keys::RefusedKeys,
        telling::Teller,
    },
    gateway::{
        lease::Leases,
        origins::{Maker, ORIGINS_MAX, Origins},
        provider_models::ProviderModels,
        rules::RuleBook,
        script::Scripts,
    },
    journal::Journal,
    limits::{self, BudgetAlerts, LimitsIndex},
    memory::BodyMemory,
    pool::{
        balancer::{Candidate, Pool, RouteChooser, Slot, TargetState},
        health::{self, Case, Keys, UpstreamHealth},
        line::{Connector, Line},
        waiting::WaitingLine,
    },
    settings::Settings,
};

/// What all calls share.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) service_keys: ServiceKeys,
    pub(crate) journal: Journal,
    pub(crate) connector: Arc<Connector>,
    pub(crate) recorder: Recorder,
    /// What is used of limits and quotas.
    pub(crate) counters: Counters,
    /// What people were told of budgets.
    pub(crate) budget_alerts: BudgetAlerts,
    /// How often conditions of rules were met.
    pub(crate) rules: RuleBook,
    pub(crate) scripts: Scripts,
    pub(crate) teller: Teller,
    /// Calls with service keys that are not accepted.
    pub(crate) refused_keys: RefusedKeys,
    /// Which keys made what.
    pub(crate) origins: Origins,
    /// What lets long calls run on.
    pub(crate) leases: Arc<Leases>,
    world: ArcSwap<World>,
    /// The memory for bodies that are held.
    pub(crate) memory: Arc<BodyMemory>,
    pub(crate) in_flight: AtomicU64,
    /// Requests that are being read or answered, those that never become a call included.
    pub(crate) answering: AtomicU64,
    pub(crate) connections: Arc<Connections>,
    started: Instant,
    /// When the snapshot was last known to be current, in milliseconds after `started`; negative
    /// before the first.
    confirmed: AtomicI64,
    draining: AtomicBool,
    /// The counters for which it was asked what was used before.
    seeded: Mutex<HashSet<String>>,
}

/// One view of the world: the snapshot, and the running side of its upstreams.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    pub(crate) limits: LimitsIndex,
    running: HashMap<UpstreamId, Running>,
    choosers: HashMap<RouteId, Arc<RouteChooser>>,
}

/// The running side of an upstream.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) entry: Arc<UpstreamEntry>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) line: Arc<Line>,
    pub(crate) health: Arc<UpstreamHealth>,
    pub(crate) queue: Arc<WaitingLine>,
    /// What the provider says of its models.
    pub(crate) models: Arc<ProviderModels>,
    /// By the clock of which zone the quotas of its keys are reset.
    pub(crate) zone: Tz,
}

impl World {
    /// The running side of an upstream of this snapshot.
    pub(crate) fn running(&self, id: UpstreamId) -> Option<&Running> {
        self.running.get(&id)
    }

    /// The running sides of all upstreams, in no order.
    pub(crate) fn all_running(&self) -> impl Iterator<Item = &Running> {
        self.running.values()
    }

    /// What chooses among the targets of a route.
    pub(crate) fn chooser(&self, route: RouteId) -> Option<&RouteChooser> {
        self.choosers.get(&route).map(Arc::as_ref)
    }
}

/// The snapshot is confirmed four times a second while the database answers.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

impl Gateway {
    /// A gateway that serves nothing yet: [`Gateway::install`] a snapshot before it listens.
    pub fn new(
        settings: Settings,
        service_keys: ServiceKeys,
        journal: Journal,
        counters: Counters,
    ) -> Arc<Self> {
        let connector = Connector::new(
            settings.outbound.clone(),
            settings.idle_connections,
            settings.connection_max_age,
            settings.ca_file.clone(),
        );
        let empty = Snapshot::compile(&Catalog::empty()).expect("an empty catalog has no faults");
        let memory = BodyMemory::new(settings.buffers.total as u64, settings.limits.body);
        Arc::new(Self {
            connector: Arc::new(connector),
            recorder: Recorder::new(),
            counters,
            budget_alerts: BudgetAlerts::default(),
            rules: RuleBook::default(),
            scripts: Scripts,
            teller: Teller::new(),
            refused_keys: RefusedKeys::default(),
            origins: Origins::default(),
            leases: Arc::default(),
            service_keys,
            journal,
            world: ArcSwap::from_pointee(World::nothing(empty)),
            memory,
            in_flight: AtomicU64::new(0),
            answering: AtomicU64::new(0),
            connections: Arc::default(),
            started: Instant::now(),
            confirmed: AtomicI64::new(-1),
            draining: AtomicBool::new(false),
            seeded: Mutex::default(),
            settings,
        })
    }

    /// Serves `snapshot` from now on. Calls under way keep the one they began with; keys keep
    /// their health, connections their use.
    pub fn install(&self, snapshot: Snapshot) {
        let before = self.world.load();
        let running = snapshot.upstreams().map(|entry| {
            let id = entry.upstream.id;
            (id, Running::new(entry, before.running.get(&id), self.settings.timezone))
        });
        let running: HashMap<UpstreamId, Running> = running.collect();
        let now_us = self.settings.clock.now_us();
        for (id, running) in &running {
            let changed = |other: &&Running| !running.pool.has_same_keys(&other.pool);
            if before.running.get(id).filter(changed).is_some() {
                self.teller.tell(running.health.renewed(now_us).map(Event::Breaker));
            }
        }
        let choosers = snapshot
            .routes()
            .map(|route| (route.id, before.choosers.get(&route.id).cloned().unwrap_or_default()));
        let choosers = choosers.collect();
        let limits = LimitsIndex::compile(&snapshot);
        self.world.store(Arc::new(World { snapshot, limits, running, choosers }));
        self.confirm();
    }

    /// The snapshot being served was found to be current just now.
    pub fn confirm(&self) {
        let now = self.started.elapsed().as_millis() as i64;
        self.confirmed.store(now, Ordering::Relaxed);
    }

    /// What happens to keys, breakers and rules, for whoever keeps it; given once.
    pub fn events(&self) -> Option<mpsc::Receiver<Event>> {
        self.teller.listener()
    }

    /// Takes what was counted of calls with service keys that are not accepted, since the last
    /// time.
    pub fn refused_keys(&self) -> Vec<RefusedKey> {
        self.refused_keys.take()
    }

    /// How many events were lost because nobody kept them in time.
    pub fn events_lost(&self) -> u64 {
        self.teller.lost()
    }

    /// Takes over how keys stand as it was kept, or as another instance found it. What is older
    /// than what is known here is left.
    pub fn restore(&self, standings: Vec<KeptStanding>) {
        let world = self.world.load();
        for kept in standings {
            let Some(running) = world.running(kept.upstream) else { continue };
            let Some(slot) = running.pool.slot(kept.key) else { continue };
            // What was concluded before a person said that the key is to be used is void.
            if slot.key.cleared_at.is_none_or(|cleared| kept.standing.since >= cleared) {
                slot.health.restore(kept.model, kept.standing);
                running.pool.back(kept.key);
            }
        }
    }

    /// Takes over how circuit breakers stood.
    pub fn restore_breakers(&self, steps: Vec<BreakerStep>) {
        let world = self.world.load();
        for step in steps {
            let Some(running) = world.running(step.guarded.upstream) else { continue };
            match step.guarded.key.map(|key| running.pool.slot(key)) {
                Some(Some(slot)) => slot.health.restore_breaker(&step),
                Some(None) => {}
                None => running.health.restore(&step),
            }
        }
    }

    /// Most objects of which it is remembered which key made them.
    pub const ORIGINS_MAX: u64 = ORIGINS_MAX as u64;

    /// Takes over which keys made what providers keep.
    pub fn restore_origins(&self, objects: Vec<StoredObject>) {
        for StoredObject { id, upstream, key, .. } in objects {
            self.origins.keep(&id, Maker { upstream, key });
        }
    }

    /// Remembers what a key made, and tells it.
    pub(crate) fn made(&self, id: &str, maker: Maker) {
        if self.origins.keep(id, maker) {
            let Maker { upstream, key } = maker;
            let at = self.settings.clock.now();
            let object = StoredObject { id: id.to_owned(), upstream, key, at };
            self.teller.tell([Event::Stored(object)]);
        }
    }

    /// What it would know of the use before this moment, for counters that begin now.
    pub fn seed_questions(&self) -> Vec<SeedQuestion> {
        let seeded = self.seeded.lock();
        let questions = self.seedings().into_iter().map(|(question, _)| question);
        questions.filter(|question| !seeded.contains(&question.counter)).collect()
    }

    /// Counts what was used before: the answers to its questions, which are not asked again.
    pub fn seed(&self, questions: Vec<SeedQuestion>, seeds: Vec<Seed>) {
        let measures = self.seedings().into_iter();
        let measures: HashMap<String, Measure> =
            measures.map(|(question, measure)| (question.counter, measure)).collect();
        let now_us = self.settings.clock.now_us();
        let seeds = seeds.into_iter().map(|seed| (seed.counter, seed.amount));
        let seeds: HashMap<String, u64> = seeds.collect();
        // That nothing was used is known as well.
        for SeedQuestion { counter, .. } in &questions {
            if let Some(measure) = measures.get(counter) {
                let amount = seeds.get(counter).copied().unwrap_or(0);
                self.counters.seed(counter, measure, amount, now_us);
            }
        }
        self.seeded.lock().extend(questions.into_iter().map(|question| question.counter));
    }

    fn seedings(&self) -> Vec<(SeedQuestion, Measure)> {
        let (clock, zone) = (&self.settings.clock, self.settings.timezone);
        limits::seedings(&self.world.load().snapshot, clock.now_us(), zone)
    }

    /// The keys that are out and might be well again: those that were found bad, or rest for long.
    pub fn suspended(&self) -> Vec<(UpstreamId, ProviderKeyId)> {
        let (world, now_us) = (self.world.load(), self.settings.clock.now_us());
        let probed =
            world.all_running().filter(|running| running.entry.upstream.policy.probe.enabled);
        probed
            .flat_map(|running| {
                let id = running.entry.upstream.id;
                running.pool.suspended(now_us).into_iter().map(move |key| (id, key))
            })
            .collect()
    }

    /// Takes what a provider said of a key that was out: where it is accepted again it is in use.
    pub fn probed(&self, upstream: UpstreamId, key: ProviderKeyId, test: &KeyTest) {
        let world = self.world.load();
        let Some(running) = world.running(upstream) else { return };
        if test.accepted == Some(true)
            && let Some(slot) = running.pool.slot(key)
        {
            let now_us = self.settings.clock.now_us();
            let case = running.case(Some(slot), None, Uuid::nil(), now_us);
            self.teller.tell(health::probed(&case));
        }
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

    /// Whether the snapshot was confirmed just now, so that a key that is not in it is not known
    /// anywhere. Otherwise the key may have been made meanwhile.
    pub(crate) fn is_confirmed(&self) -> bool {
        let confirmed = self.confirmed.load(Ordering::Relaxed);
        let since = Duration::from_millis(u64::try_from(confirmed).unwrap_or_default());
        self.is_current() && self.started.elapsed() <= since + CONFIRMED_WITHIN
    }

    /// Requests that are being read or answered, and calls that go on without their client.
    pub fn under_way(&self) -> u64 {
        let calls = self.in_flight.load(Ordering::Relaxed);
        calls.max(self.answering.load(Ordering::Relaxed))
    }

    /// Cuts off every connection of a client. What it has cost is entered in the journal.
    pub fn cut_off(&self) {
        self.connections.cut_off();
    }

    /// Whether we are about to leave.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Counts a call as under way until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Lets go of connections that providers closed, ends alerts of periods that are over, and keeps
    /// the clock right.
    pub(crate) fn sweep(&self) {
        self.settings.clock.follow();
        let now_us = self.settings.clock.now_us();
        self.counters.prune(now_us);
        self.teller.tell(self.budget_alerts.over(now_us));
        for running in self.world.load().running.values() {
            self.connector.sweep(&running.line);
        }
    }
}

impl Running {
    fn new(entry: &Arc<UpstreamEntry>, before: Option<&Running>, gateways: Tz) -> Self {
        if let Some(before) = before
            && Arc::ptr_eq(&before.entry, entry)
        {
            return before.clone();
        }
        let base = &entry.upstream.base_url;
        let same = before.filter(|before| before.line.leads_to(base));
        let line = same.map(|before| before.line.clone());
        Self {
            pool: Arc::new(Pool::new(entry, before.map(|b| b.pool.as_ref()))),
            line: line.unwrap_or_else(|| Arc::new(Line::new(base.clone()))),
            models: same.map(|before| before.models.clone()).unwrap_or_default(),
            entry: entry.clone(),
            health: before.map(|b| b.health.clone()).unwrap_or_default(),
            queue: before.map(|b| b.queue.clone()).unwrap_or_default(),
            zone: entry.upstream.zone(gateways),
        }
    }
}

impl Running {
    /// How it fares as a target of a route.
    pub(crate) fn target_state(
        &self,
        target: &Target,
        model: Option<&str>,
        now_us: i64,
    ) -> TargetState {
        let figures = &self.health.figures;
        let mut hasher = DefaultHasher::new();
        (target.upstream, &target.model, target.dialect.map(Dialect::as_str)).hash(&mut hasher);
        TargetState {
            id: hasher.finish(),
            weight: target.weight,
            out: self.health.blocks(model, now_us).is_some() || self.pool.is_out(model, now_us),
            candidate: Candidate {
                in_flight: self.health.in_flight(),
                latency: figures.latency(now_us),
                success_permille: figures.success_permille(),
                remaining_permille: self.pool.remaining_permille(model, now_us),
            },
        }
    }

    /// A call to this upstream with the key of `slot`, for what follows from how it went.
    pub(crate) fn case<'a>(
        &'a self,
        slot: Option<&'a Arc<Slot>>,
        model: Option<&'a str>,
        log: Uuid,
        now_us: i64,
    ) -> Case<'a> {
        Case {
            upstream: &self.entry.upstream,
            health: &self.health,
            keys: self.pool.as_ref(),
            key: slot.map(|slot| (slot.key.as_ref(), &slot.health)),
            model,
            tries: false,
            log,
            now_us,
            zone: self.zone,
        }
    }
}

impl World {
    fn nothing(snapshot: Snapshot) -> Self {
        let limits = LimitsIndex::compile(&snapshot);
        Self { snapshot, limits, running: HashMap::new(), choosers: HashMap::new() }
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
