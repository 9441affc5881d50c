//! The plan: who could answer a call, in which order, and in which dialect each is asked. A pure
//! function of one view of the world, the caller and the call, but for the order among equals,
//! which is the chooser's.

use std::sync::Arc;

use domain::{
    Caller, Conversion, Dialect, Matched, ModelProfile, ProviderKeyId, Route, Snapshot, Strategy,
    Target, UpstreamEntry, UpstreamId, log::Considered, policy::Sticky,
};

use crate::{
    door::{Door, Job},
    gateway::{World, origins::Maker},
    pool::balancer::TargetState,
    refusal::Refusal,
    request::inbound::Call,
    routing::road::{Road, road},
};

/// Who could answer, best first, and who was passed over.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) targets: Vec<Planned>,
    pub(crate) considered: Vec<Considered>,
}

/// One place to ask, and for which model.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) entry: Arc<UpstreamEntry>,
    /// The model to ask for there; none where the call names none.
    pub(crate) model: Option<String>,
    /// In the client's own bytes, or in another dialect.
    pub(crate) road: Road,
    /// What is known of the model, for a call that is converted.
    pub(crate) profile: ModelProfile,
    /// Whether a call that would lose something on the way is refused.
    pub(crate) strict: bool,
    /// What the calls that belong together with this one share.
    pub(crate) belongs: Option<u64>,
    /// The one key that made what the call is about.
    pub(crate) made_by: Option<ProviderKeyId>,
}

impl Planned {
    /// A place that gets the client's own bytes, and no model's name.
    fn as_it_is(entry: Arc<UpstreamEntry>) -> Self {
        let (road, profile) = (Road::AsItIs, ModelProfile::default());
        let (strict, belongs, made_by) = (false, None, None);
        Self { entry, model: None, road, profile, strict, belongs, made_by }
    }
}

/// A place that a model's name leads to.
struct Place<'a> {
    upstream: UpstreamId,
    model: String,
    target: Option<&'a Target>,
}

/// What of a call decides between targets that are equally good.
pub(crate) struct Chance<'a> {
    /// The path of the call, and its headers.
    pub(crate) path: &'a str,
    pub(crate) header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The number of the calls that this one belongs to, by what an upstream or a route looks at.
    pub(crate) belongs: &'a dyn Fn(Option<&Sticky>) -> u64,
    /// Who made what the call is about.
    pub(crate) maker: Option<Maker>,
    /// Whether the call asks for an ephemeral secret.
    pub(crate) secret: bool,
    pub(crate) now_us: i64,
}

/// Plans `call`.
pub(crate) fn plan(
    world: &World,
    caller: &Caller,
    call: &Call,
    chance: &Chance<'_>,
) -> Result<Plan, Refusal> {
    let job = call.job();
    let planner = Planner {
        world,
        snapshot: &world.snapshot,
        chance,
        caller,
        dialect: call.dialect(),
        job,
        conversion: Conversion::Allow,
        considered: Vec::new(),
    };
    match (&call.door, &call.model) {
        (Door::Opaque { upstream, .. }, _) => planner.opaque(upstream),
        (_, Some(model)) => planner.model(model),
        (_, None) => planner.any(call.websocket),
    }
}

struct Planner<'a, 'c> {
    world: &'a World,
    snapshot: &'a Snapshot,
    chance: &'a Chance<'c>,
    caller: &'a Caller,
    dialect: Option<Dialect>,
    job: Option<Job>,
    conversion: Conversion,
    considered: Vec<Considered>,
}

impl Planner<'_, '_> {
    fn opaque(mut self, name: &str) -> Result<Plan, Refusal> {
        self.model_may_be_untold()?;
        let entry = self.snapshot.upstream_named(name);
        // Whoever may not use an upstream is not told that there is one.
        let entry = entry.filter(|entry| self.caller.may_reach(&entry.upstream));
        let entry = entry.ok_or_else(|| Refusal::NoSuchUpstream(name.to_owned()))?.clone();
        if !entry.upstream.enabled {
            return Err(Refusal::UpstreamOff(name.to_owned()));
        }
        if self.keeps_secrets(&entry) {
            return Err(Refusal::SecretsKept(name.to_owned()));
        }
        let mut target = Planned::as_it_is(entry);
        target.made_by = self.made_at(target.entry.upstream.id);
        self.keep(&target);
        Ok(Plan { targets: vec![target], considered: self.considered })
    }

    fn model(mut self, model: &str) -> Result<Plan, Refusal> {
        if !self.caller.may_ask_for(model) {
            return Err(Refusal::ModelForbidden(model.to_owned()));
        }
        let Chance { path, header, .. } = *self.chance;
        let named = || self.snapshot.route(model).filter(|route| route.enabled);
        let route = self.snapshot.route_taking(Matched { model, path, header }).or_else(named);
        if let Some(route) = route {
            let places = self.ordered(route).into_iter().map(|target| Place {
                upstream: target.upstream,
                model: target.model.clone().unwrap_or_else(|| model.to_owned()),
                target: Some(target),
            });
            let places = places.collect();
            self.conversion = route.conversion;
            return self.places(model, places, true);
        }
        if let Some((name, rest)) = model.split_once('/')
            && let Some(entry) = self.snapshot.upstream_named(name)
            && self.caller.may_reach(&entry.upstream)
            && !rest.is_empty()
        {
            let (upstream, rest) = (entry.upstream.id, rest.to_owned());
            return self.places(model, vec![Place { upstream, model: rest, target: None }], true);
        }
        let serving = self.snapshot.serving(model).iter();
        let place =
            |id: &UpstreamId| Place { upstream: *id, model: model.to_owned(), target: None };
        self.places(model, serving.map(place).collect(), false)
    }

    /// The targets of a route as they are to be asked: lower priority first, and among equals as
    /// its strategy says.
    fn ordered<'r>(&self, route: &'r Route) -> Vec<&'r Target> {
        let mut targets: Vec<&Target> = route.targets.iter().collect();
        targets.sort_by_key(|target| target.priority);
        let Some(chooser) = self.world.chooser(route.id) else { return targets };
        let keeps = route.sticky.is_some() || route.strategy == Strategy::ConsistentHash;
        let belongs = keeps.then(|| (self.chance.belongs)(route.sticky.as_ref()));
        let mut ordered = Vec::with_capacity(targets.len());
        for group in targets.chunk_by(|a, b| a.priority == b.priority) {
            let states: Vec<_> = group.iter().map(|target| self.state(target)).collect();
            let now_us = self.chance.now_us;
            let sticky = route.sticky.as_ref();
            let order = chooser.order(route.strategy, sticky, &states, belongs, now_us);
            ordered.extend(order.into_iter().map(|at| group[at]));
        }
        ordered
    }

    fn state(&self, target: &Target) -> TargetState {
        let running = self.world.running(target.upstream);
        running.map_or_else(TargetState::default, |running| {
            let model = target.model.as_deref();
            running.target_state(target, model, self.chance.now_us)
        })
    }

    /// Where the model of a call is not known, a key for certain models could ask for any.
    fn model_may_be_untold(&self) -> Result<(), Refusal> {
        let unrestricted = self.caller.key.allowed_models.is_empty();
        if unrestricted { Ok(()) } else { Err(Refusal::ModelUntold) }
    }

    /// A call that names no model: files, batches and the like. It goes to the first upstream of
    /// its dialect.
    fn any(mut self, websocket: bool) -> Result<Plan, Refusal> {
        // Clients that try a socket first (Codex) go on without one when they are told this.
        let told = |refusal| if websocket { Refusal::NoWebSocket } else { refusal };
        self.model_may_be_untold().map_err(told)?;
        self.conversion = Conversion::Never;
        let mut ids: Vec<UpstreamId> =
            self.snapshot.upstreams().map(|entry| entry.upstream.id).collect();
        let made_at = self.chance.maker.map(|maker| maker.upstream);
        ids.sort_unstable_by_key(|id| (made_at != Some(*id), *id));
        let place = |upstream| Place { upstream, model: String::new(), target: None };
        let mut plan = self.places("", ids.into_iter().map(place).collect(), true).map_err(told)?;
        for extra in plan.targets.drain(1..) {
            plan.considered.retain(|c| c.candidate != extra.entry.upstream.name);
            let reason = Some("another upstream of this dialect comes first".to_owned());
            let candidate = extra.entry.upstream.name.clone();
            plan.considered.push(Considered { candidate, passed_over: reason });
        }
        plan.targets[0].model = None;
        Ok(plan)
    }

    /// Keeps the places that the caller may use and that can be asked in some dialect. Unless
    /// `chosen` names them all, only one may remain: which one to take is not for us to guess.
    fn places(
        mut self,
        model: &str,
        places: Vec<Place<'_>>,
        chosen: bool,
    ) -> Result<Plan, Refusal> {
        let (mut targets, mut other_dialects, mut off) = (Vec::new(), Vec::new(), None);
        let mut kept = None;
        for place in places {
            let Some(entry) = self.snapshot.upstream(place.upstream) else { continue };
            let upstream = &entry.upstream;
            if !self.caller.may_reach(upstream) {
                self.pass_over(&upstream.name, "the service key may not use it");
            } else if !upstream.enabled {
                off = Some(upstream.name.clone());
                self.pass_over(&upstream.name, "it is switched off");
            } else if self.keeps_secrets(entry) {
                kept.get_or_insert_with(|| upstream.name.clone());
                self.pass_over(&upstream.name, "its policy allows no ephemeral secrets");
            } else if let Some(road) = self.road(entry, place.target) {
                targets.push(self.planned(entry, place, road));
            } else {
                other_dialects.extend(upstream.dialects.iter().map(|d| d.as_str()));
                self.pass_over(&upstream.name, "it does not speak the call's dialect");
            }
        }
        if targets.iter().any(|target| target.made_by.is_some()) {
            for extra in targets.extract_if(.., |target| target.made_by.is_none()) {
                self.pass_over(
                    &extra.entry.upstream.name,
                    "what the call names was made elsewhere",
                );
            }
        }
        if !chosen && targets.iter().any(|target| target.road == Road::AsItIs) {
            // Whoever speaks the client's dialect was meant.
            let native = |target: &Planned| target.road == Road::AsItIs;
            for extra in targets.extract_if(.., |target| !native(target)) {
                self.pass_over(&extra.entry.upstream.name, "another one speaks the call's dialect");
            }
        }
        for target in &targets {
            self.keep(target);
        }
        if targets.len() > 1 && !chosen {
            let names = targets.iter().map(|t| format!("{}/{model}", t.entry.upstream.name));
            let candidates = names.collect::<Vec<_>>().join(", ");
            // No upstream lists it: it is taken for one because some take any model.
            if let Some((first, _)) = model.split_once('/')
                && targets.iter().all(|target| target.entry.upstream.models.is_empty())
            {
                let names = targets.iter().map(|target| target.entry.upstream.name.as_str());
                let upstreams = names.collect::<Vec<_>>().join(", ");
                return Err(Refusal::NoSuchFirst { first: first.to_owned(), upstreams });
            }
            return Err(Refusal::Ambiguous { model: model.to_owned(), candidates });
        }
        if let (true, Some(name)) = (targets.is_empty(), kept) {
            return Err(Refusal::SecretsKept(name));
        }
        if targets.is_empty() {
            return Err(self.nobody(model, other_dialects, off));
        }
        Ok(Plan { targets, considered: self.considered })
    }

    /// Whether the call asks for a secret that this upstream does not let go.
    fn keeps_secrets(&self, entry: &UpstreamEntry) -> bool {
        self.chance.secret && !entry.upstream.policy.ephemeral_secrets
    }

    /// How a place is asked; none where it cannot be.
    fn road(&self, entry: &UpstreamEntry, target: Option<&Target>) -> Option<Road> {
        let Some(dialect) = self.dialect else { return Some(Road::AsItIs) };
        let job = self.job.filter(|_| self.conversion != Conversion::Never);
        road(dialect, job, &entry.upstream, target.and_then(|target| target.dialect))
    }

    fn planned(&self, entry: &Arc<UpstreamEntry>, place: Place<'_>, road: Road) -> Planned {
        let profile = match road {
            Road::Into(_) => entry.upstream.profile(&place.model, place.target),
            Road::AsItIs => ModelProfile::default(),
        };
        let strict = self.conversion == Conversion::Strict;
        let upstream = &entry.upstream;
        let sticky = upstream.policy.sticky.as_ref();
        let keeps = sticky.is_some() || upstream.strategy == Strategy::ConsistentHash;
        let belongs = keeps.then(|| (self.chance.belongs)(sticky));
        let (entry, made_by) = (entry.clone(), self.made_at(place.upstream));
        Planned { entry, model: Some(place.model), road, profile, strict, belongs, made_by }
    }

    /// The key of this upstream that made what the call is about.
    fn made_at(&self, upstream: UpstreamId) -> Option<ProviderKeyId> {
        self.chance.maker.filter(|maker| maker.upstream == upstream).map(|maker| maker.key)
    }

    fn nobody(&self, model: &str, mut served: Vec<&'static str>, off: Option<String>) -> Refusal {
        served.sort_unstable();
        served.dedup();
        match (self.dialect, off) {
            (Some(dialect), _) if !served.is_empty() => Refusal::OtherDialect {
                model: model.to_owned(),
                asked: dialect.as_str(),
                served: served.join(", "),
            },
            (_, Some(name)) => Refusal::UpstreamOff(name),
            _ => Refusal::NoRoute(model.to_owned()),
        }
    }

    fn keep(&mut self, target: &Planned) {
        let upstream = &target.entry.upstream.name;
        let mut candidate = match target.model.as_deref() {
            Some(model) if !model.is_empty() => format!("{upstream}/{model}"),
            _ => upstream.clone(),
        };
        if let Road::Into(dialect) = target.road {
            candidate.push_str(" as ");
            candidate.push_str(dialect.as_str());
        }
        self.considered.push(Considered { candidate, passed_over: None });
    }

    fn pass_over(&mut self, upstream: &str, reason: &str) {
        let candidate = upstream.to_owned();
        self.considered.push(Considered { candidate, passed_over: Some(reason.to_owned()) });
    }
}
