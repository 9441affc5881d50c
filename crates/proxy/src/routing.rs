//! The plan: who could answer a call, in which order. A pure function of the snapshot, the caller
//! and the call; the order among equals comes from the number that is handed in.

use std::sync::Arc;

use domain::{Caller, Dialect, Snapshot, Target, UpstreamEntry, UpstreamId, log::Considered};

use crate::{
    inbound::{Call, Door},
    refusal::Refusal,
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
}

/// Plans `call`. `dice` decides between targets of equal priority, by their weights.
pub(crate) fn plan(
    snapshot: &Snapshot,
    caller: &Caller,
    call: &Call,
    dice: u64,
) -> Result<Plan, Refusal> {
    let planner = Planner { snapshot, caller, dialect: call.dialect(), considered: Vec::new() };
    match (&call.door, &call.model) {
        (Door::Opaque { upstream, .. }, _) => planner.opaque(upstream),
        (_, Some(model)) => planner.model(model, dice),
        (_, None) => planner.any(),
    }
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    caller: &'a Caller,
    dialect: Option<Dialect>,
    considered: Vec<Considered>,
}

impl Planner<'_> {
    fn opaque(mut self, name: &str) -> Result<Plan, Refusal> {
        self.model_may_be_untold()?;
        let entry = self.snapshot.upstream_named(name);
        // Whoever may not use an upstream is not told that there is one.
        let entry = entry.filter(|entry| self.caller.may_reach(&entry.upstream));
        let entry = entry.ok_or_else(|| Refusal::NoSuchUpstream(name.to_owned()))?.clone();
        if !entry.upstream.enabled {
            return Err(Refusal::UpstreamOff(name.to_owned()));
        }
        self.keep(&entry.upstream.name, None);
        Ok(Plan { targets: vec![Planned { entry, model: None }], considered: self.considered })
    }

    fn model(self, model: &str, dice: u64) -> Result<Plan, Refusal> {
        if !self.caller.may_ask_for(model) {
            return Err(Refusal::ModelForbidden(model.to_owned()));
        }
        if let Some(route) = self.snapshot.route(model).filter(|route| route.enabled) {
            let mut targets: Vec<&Target> = route.targets.iter().collect();
            order(&mut targets, dice);
            let places = targets
                .into_iter()
                .map(|t| (t.upstream, t.model.clone().unwrap_or_else(|| model.to_owned())));
            return self.places(model, places.collect(), true);
        }
        if let Some((name, rest)) = model.split_once('/')
            && let Some(entry) = self.snapshot.upstream_named(name)
            && self.caller.may_reach(&entry.upstream)
            && !rest.is_empty()
        {
            let place = (entry.upstream.id, rest.to_owned());
            return self.places(model, vec![place], true);
        }
        let serving = self.snapshot.serving(model);
        let places = serving.iter().map(|id| (*id, model.to_owned())).collect();
        self.places(model, places, false)
    }

    /// Where the model of a call is not known, a key for certain models could ask for any.
    fn model_may_be_untold(&self) -> Result<(), Refusal> {
        let unrestricted = self.caller.key.allowed_models.is_empty();
        if unrestricted { Ok(()) } else { Err(Refusal::ModelUntold) }
    }

    /// A call that names no model: files, batches and the like. It goes to the first upstream of
    /// its dialect.
    fn any(self) -> Result<Plan, Refusal> {
        self.model_may_be_untold()?;
        let mut ids: Vec<UpstreamId> =
            self.snapshot.upstreams().map(|entry| entry.upstream.id).collect();
        ids.sort_unstable();
        let mut plan =
            self.places("", ids.into_iter().map(|id| (id, String::new())).collect(), true)?;
        for extra in plan.targets.drain(1..) {
            plan.considered.retain(|c| c.candidate != extra.entry.upstream.name);
            let reason = Some("another upstream of this dialect comes first".to_owned());
            let candidate = extra.entry.upstream.name.clone();
            plan.considered.push(Considered { candidate, passed_over: reason });
        }
        plan.targets[0].model = None;
        Ok(plan)
    }

    /// Keeps the places that the caller may use and that speak the call's dialect. Unless `chosen`
    /// names them all, only one may remain: which one to take is not for us to guess.
    fn places(
        mut self,
        model: &str,
        places: Vec<(UpstreamId, String)>,
        chosen: bool,
    ) -> Result<Plan, Refusal> {
        let (mut targets, mut other_dialects, mut off) = (Vec::new(), Vec::new(), None);
        for (id, model) in places {
            let Some(entry) = self.snapshot.upstream(id) else { continue };
            let upstream = &entry.upstream;
            if !self.caller.may_reach(upstream) {
                self.pass_over(&upstream.name, "the service key may not use it");
            } else if !upstream.enabled {
                off = Some(upstream.name.clone());
                self.pass_over(&upstream.name, "it is switched off");
            } else if self.dialect.is_some_and(|d| !upstream.dialects.contains(&d)) {
                other_dialects.extend(upstream.dialects.iter().map(|d| d.as_str()));
                self.pass_over(&upstream.name, "it does not speak the call's dialect");
            } else {
                self.keep(&upstream.name, Some(&model));
                targets.push(Planned { entry: entry.clone(), model: Some(model) });
            }
        }
        if targets.len() > 1 && !chosen {
            let names = targets.iter().map(|t| format!("{}/{model}", t.entry.upstream.name));
            let candidates = names.collect::<Vec<_>>().join(", ");
            return Err(Refusal::Ambiguous { model: model.to_owned(), candidates });
        }
        if targets.is_empty() {
            return Err(self.nobody(model, other_dialects, off));
        }
        Ok(Plan { targets, considered: self.considered })
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

    fn keep(&mut self, upstream: &str, model: Option<&str>) {
        let candidate = match model {
            Some(model) if !model.is_empty() => format!("{upstream}/{model}"),
            _ => upstream.to_owned(),
        };
        self.considered.push(Considered { candidate, passed_over: None });
    }

    fn pass_over(&mut self, upstream: &str, reason: &str) {
        let candidate = upstream.to_owned();
        self.considered.push(Considered { candidate, passed_over: Some(reason.to_owned()) });
    }
}

/// Lower priority first; within one, a weighted draw without replacement.
fn order(targets: &mut [&Target], mut dice: u64) {
    targets.sort_by_key(|target| target.priority);
    for group in targets.chunk_by_mut(|a, b| a.priority == b.priority) {
        for first in 0..group.len() {
            let total: u64 = group[first..].iter().map(|t| u64::from(t.weight)).sum();
            let mut drawn = dice % total.max(1);
            dice = dice.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let at = group[first..].iter().position(|t| {
                let hit = drawn < u64::from(t.weight);
                drawn = drawn.saturating_sub(u64::from(t.weight));
                hit
            });
            group.swap(first, first + at.unwrap_or(0));
        }
    }
}
