//! How one upstream fares: its circuit breakers, for all of it and for each model, and its pool
//! breaker. The same failure on many keys within a short time is not believed of the keys: it is
//! the provider's trouble, or that of our address.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::{BreakerState, BreakerStep, ErrorClass, Guarded, ProviderKeyId, UpstreamId, policy};
use parking_lot::Mutex;
use uuid::Uuid;

use super::figures::Figures;
use crate::pool::breaker::{Circuit, Claim, Pass};

/// Most models of one upstream that have a breaker.
const MODELS_MAX: usize = 256;
/// Failures further apart than this have nothing to do with each other.
const STORM_US: i64 = 10_000_000;
/// So many keys that fail alike are a storm, or all keys of a smaller pool; fewer where it was one
/// just before.
const STORM_KEYS: usize = 20;
const STORM_KEYS_AGAIN: usize = 8;
/// A pool has no storm of keys that are not accepted where it has fewer keys than this.
const STORM_POOL_MIN: usize = 4;
/// How long the upstream rests at first.
const STORM_REST: Duration = Duration::from_secs(30);

/// How one upstream fares.
#[derive(Debug, Default)]
pub(crate) struct UpstreamHealth {
    whole: OnceLock<Arc<Circuit>>,
    models: Mutex<HashMap<String, Arc<Circuit>>>,
    has_models: AtomicBool,
    in_flight: AtomicU32,
    pub(crate) figures: Figures,
    /// When a call was last answered.
    answered_us: AtomicI64,
    /// Whether it rests because of its keys' failures.
    stormy: AtomicBool,
    storm: Mutex<Storm>,
}

/// A call among those that an upstream answers; perhaps the one trial of a breaker.
#[derive(Debug)]
pub(crate) struct Admitted {
    health: Arc<UpstreamHealth>,
    claims: [Option<Claim>; 2],
    /// The steps of breakers that this call tries first.
    pub(crate) steps: Vec<BreakerStep>,
}

impl Admitted {
    /// Whether it is the call that tries a breaker.
    pub(crate) fn tries(&self) -> bool {
        self.claims.iter().any(Option::is_some)
    }
}

/// The failures of one class that came close together, none of them followed by an answer.
#[derive(Debug, Default)]
struct Storm {
    class: Option<ErrorClass>,
    hits: Vec<Hit>,
}

/// A key that was taken out of use, and for which model.
pub(crate) type Struck = (ProviderKeyId, Option<String>);

/// A failure that is held against a key.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) class: ErrorClass,
    /// What shares the key's limits: its group, or the key alone.
    pub(crate) group: Result<String, ProviderKeyId>,
    /// The call in which it happened.
    pub(crate) log: Uuid,
    /// The keys that it took out of use.
    pub(crate) struck: Vec<Struck>,
    pub(crate) at_us: i64,
    /// Whether a call was ever answered with this key.
    pub(crate) proven: bool,
}

impl UpstreamHealth {
    /// Lets a call pass, or says until when none does and why.
    pub(crate) fn enter(
        self: &Arc<Self>,
        model: Option<&str>,
        now_us: i64,
    ) -> Result<Admitted, (i64, String)> {
        let mut claims = [None, None];
        let mut steps = Vec::new();
        let circuits = [self.whole.get().cloned(), self.of_model(model)];
        for (circuit, claimed) in circuits.into_iter().zip(&mut claims) {
            let Some(circuit) = circuit else { continue };
            match circuit.pass(now_us) {
                Pass::Free => {}
                Pass::Trial(claim, step) => {
                    *claimed = Some(claim);
                    steps.extend(step);
                }
                Pass::Not { until_us } => return Err((until_us, circuit.why())),
            }
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Admitted { health: self.clone(), claims, steps })
    }

    /// Until when no call for `model` passes, and why, if none does; changes nothing.
    pub(crate) fn blocks(&self, model: Option<&str>, now_us: i64) -> Option<(i64, String)> {
        let circuits = [self.whole.get().cloned(), self.of_model(model)];
        circuits
            .into_iter()
            .flatten()
            .find_map(|circuit| circuit.blocks(now_us).map(|until_us| (until_us, circuit.why())))
    }

    /// Notes that a call was answered. The steps of breakers, and whether a storm is over.
    pub(crate) fn answered(
        &self,
        model: Option<&str>,
        policy: &policy::Breaker,
        latency: Duration,
        now_us: i64,
    ) -> (Vec<BreakerStep>, bool) {
        self.figures.answered(latency, now_us);
        self.answered_us.store(now_us, Ordering::Relaxed);
        let circuits = [self.whole.get().cloned(), self.of_model(model)];
        let steps: Vec<_> = circuits
            .into_iter()
            .flatten()
            .filter_map(|circuit| circuit.answered(policy, now_us))
            .collect();
        let whole = |step: &BreakerStep| step.guarded.model.is_none();
        let calm = steps.iter().any(whole) && self.stormy.swap(false, Ordering::AcqRel);
        (steps, calm)
    }

    /// Notes that the provider was there, although it refused.
    pub(crate) fn reached(
        &self,
        model: Option<&str>,
        policy: &policy::Breaker,
        now_us: i64,
    ) -> Vec<BreakerStep> {
        self.figures.failed();
        let whole = self.whole.get().filter(|_| !self.stormy.load(Ordering::Acquire)).cloned();
        let circuits = [whole, self.of_model(model)].into_iter().flatten();
        circuits.filter_map(|circuit| circuit.reached(policy, now_us)).collect()
    }

    /// Whether the last call for `model` that ended was not answered.
    pub(crate) fn fails(&self, model: Option<&str>) -> bool {
        let circuits = [self.whole.get().cloned(), self.of_model(model)];
        circuits.into_iter().flatten().any(|circuit| circuit.fails())
    }

    /// Notes that a call failed, and not because of its key. What says nothing of a model is held
    /// against all of the upstream.
    pub(crate) fn failed(
        &self,
        upstream: UpstreamId,
        model: Option<&str>,
        (class, asked): (ErrorClass, Option<Duration>),
        policy: &policy::Breaker,
        now_us: i64,
    ) -> Vec<BreakerStep> {
        let circuit = match model.filter(|_| class != ErrorClass::Network) {
            Some(model) => self.for_model(upstream, model, now_us),
            None => self.whole(upstream).clone(),
        };
        circuit.failed(policy, now_us, class.as_str(), asked).into_iter().collect()
    }

    /// Whether it rests because of its keys' failures of this class: calls that were under way when
    /// that began say nothing new.
    pub(crate) fn is_stormy(&self, class: ErrorClass, now_us: i64) -> bool {
        self.stormy.load(Ordering::Acquire)
            && self.whole.get().is_some_and(|whole| whole.is_open(now_us))
            && self.storm.lock().class == Some(class)
    }

    /// Notes a failure that was held against a key of a pool with so many keys or groups that may
    /// be used. When it is one of a storm the upstream rests from now on, and the keys that were
    /// taken out of use for it are named.
    pub(crate) fn struck(
        &self,
        upstream: UpstreamId,
        hit: Hit,
        pool: usize,
    ) -> Option<(BreakerStep, Vec<Struck>)> {
        let auth = hit.class == ErrorClass::Auth;
        if pool < if auth { STORM_POOL_MIN } else { 2 } {
            return None;
        }
        // Keys that were bad from the beginning are bad keys, where others are good.
        if !hit.proven && self.figures.ever_answered() {
            return None;
        }
        let (class, now_us) = (hit.class, hit.at_us);
        let again = self.stormy.load(Ordering::Acquire);
        let enough = if again { STORM_KEYS_AGAIN } else { STORM_KEYS }.min(pool);
        let mut storm = self.storm.lock();
        if storm.class != Some(class) {
            *storm = Storm { class: Some(class), hits: Vec::new() };
        }
        let oldest = (now_us - STORM_US).max(self.answered_us.load(Ordering::Relaxed));
        storm.hits.retain(|hit| hit.at_us >= oldest);
        storm.hits.push(hit);
        let calls: HashSet<Uuid> = storm.hits.iter().map(|hit| hit.log).collect();
        let keys: HashSet<_> = storm.hits.iter().map(|hit| &hit.group).collect();
        // One call alone may be the reason itself: too large for any key's limit.
        let several = calls.len() > 1 || again;
        if keys.len() < enough || !several {
            return None;
        }
        let words = format!("{} keys failed alike ({class}) within 10 seconds", keys.len());
        let struck = storm.hits.drain(..).flat_map(|hit| hit.struck).collect();
        self.stormy.store(true, Ordering::Release);
        let step = self.whole(upstream).trip(STORM_REST, now_us, &words);
        Some((step, struck))
    }

    /// Lets it rest until then.
    pub(crate) fn rest_until(&self, upstream: UpstreamId, until_us: i64, now_us: i64, words: &str) {
        self.whole(upstream).hold(until_us, now_us, words);
    }

    /// Its pool has other keys now: what was concluded from all of them is void.
    pub(crate) fn renewed(&self, now_us: i64) -> Option<BreakerStep> {
        if !self.stormy.swap(false, Ordering::AcqRel) {
            return None;
        }
        *self.storm.lock() = Storm::default();
        self.whole.get().map(|whole| whole.close(now_us, "the keys of its pool were changed"))
    }

    /// Takes over how a breaker of it stood.
    pub(crate) fn restore(&self, step: &BreakerStep) {
        let upstream = step.guarded.upstream;
        match &step.guarded.model {
            None => self.whole(upstream).restore(step),
            Some(model) => {
                self.for_model(upstream, model, step.at.timestamp_micros()).restore(step);
            }
        }
    }

    /// Calls that it answers now.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Its breakers that are not closed.
    pub(crate) fn breakers(&self) -> Vec<(Option<String>, BreakerState)> {
        let whole = self.whole.get().map(|circuit| (None, circuit.state()));
        let models = self.models.lock();
        let of_models = models.iter().map(|(model, c)| (Some(model.clone()), c.state()));
        let mut all: Vec<_> = whole.into_iter().chain(of_models).collect();
        all.retain(|(_, state)| *state != BreakerState::Closed);
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    fn whole(&self, upstream: UpstreamId) -> &Arc<Circuit> {
        let guarded = || Guarded { upstream, key: None, model: None };
        self.whole.get_or_init(|| Arc::new(Circuit::new(guarded())))
    }

    fn of_model(&self, model: Option<&str>) -> Option<Arc<Circuit>> {
        if !self.has_models.load(Ordering::Acquire) {
            return None;
        }
        self.models.lock().get(model?).cloned()
    }

    fn for_model(&self, upstream: UpstreamId, model: &str, now_us: i64) -> Arc<Circuit> {
        let mut models = self.models.lock();
        if let Some(circuit) = models.get(model) {
            return circuit.clone();
        }
        if models.len() >= MODELS_MAX {
            models.retain(|_, circuit| !circuit.is_quiet(now_us));
        }
        if models.len() >= MODELS_MAX {
            return self.whole(upstream).clone();
        }
        let guarded = Guarded { upstream, key: None, model: Some(model.to_owned()) };
        let circuit = Arc::new(Circuit::new(guarded));
        models.insert(model.to_owned(), circuit.clone());
        self.has_models.store(true, Ordering::Release);
        circuit
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.health.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
