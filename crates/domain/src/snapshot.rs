//! The served configuration: compiled from a [`Catalog`], then read-only.

use std::{collections::HashMap, sync::Arc};

use crate::{
    BaseUrl, Caller, Catalog, CompiledMatching, CompiledRule, Faults, Limit, Matched, Owner,
    Revision, Route, Ruleset, ServiceKeyId, UpstreamEntry, UpstreamId,
};

/// The compiled configuration. Every call uses one snapshot to its end.
#[derive(Debug)]
pub struct Snapshot {
    /// The revision of the catalog.
    pub revision: Revision,
    upstreams: HashMap<UpstreamId, Arc<UpstreamEntry>>,
    upstream_names: HashMap<String, UpstreamId>,
    callers: HashMap<String, Arc<Caller>>,
    routes: HashMap<String, Arc<Route>>,
    /// Routes with matching conditions, in the order of evaluation.
    matching: Vec<(CompiledMatching, Arc<Route>)>,
    /// Plain model name → the upstreams that list it.
    models: HashMap<String, Vec<UpstreamId>>,
    /// Upstreams without a list of models, which accept any.
    open: Vec<UpstreamId>,
    /// The enabled limits, by id.
    limits: Vec<Arc<Limit>>,
    /// The rules of each upstream.
    rules: HashMap<UpstreamId, Ruleset>,
}

impl Snapshot {
    /// Compiles `catalog`.
    ///
    /// # Errors
    ///
    /// Returns every field because of which it cannot be served; paths begin with the resource:
    /// `upstreams[3].base_url`.
    pub fn compile(catalog: &Catalog) -> Result<Snapshot, Faults> {
        let mut faults = Faults::default();
        let mut built = Snapshot {
            revision: catalog.revision,
            upstreams: HashMap::with_capacity(catalog.upstreams.len()),
            upstream_names: HashMap::with_capacity(catalog.upstreams.len()),
            callers: HashMap::with_capacity(catalog.service_keys.len()),
            routes: HashMap::with_capacity(catalog.routes.len()),
            matching: Vec::new(),
            models: HashMap::new(),
            open: Vec::new(),
            limits: catalog.limits.values().filter(|limit| limit.enabled).cloned().collect(),
            rules: HashMap::new(),
        };
        for (id, entry) in &catalog.upstreams {
            built.add_upstream(*id, entry, &mut faults);
        }
        for (id, route) in &catalog.routes {
            let place = format!("routes[{id}]");
            nest(&mut faults, &place, route.faults());
            for (i, target) in route.targets.iter().enumerate() {
                let Some(entry) = built.upstreams.get(&target.upstream) else {
                    faults.add(
                        format!("{place}.targets[{i}].upstream_id"),
                        format!("there is no upstream {}", target.upstream),
                    );
                    continue;
                };
                let speaks = |dialect| entry.upstream.dialects.contains(&dialect);
                if let Some(dialect) = target.dialect.filter(|dialect| !speaks(*dialect)) {
                    faults.add(
                        format!("{place}.targets[{i}].dialect"),
                        format!("the upstream `{}` does not speak {dialect}", entry.upstream.name),
                    );
                }
            }
            match route.matching.as_ref().map(crate::Matching::compile) {
                Some(Ok(compiled)) if route.enabled => {
                    built.matching.push((compiled, route.clone()));
                }
                Some(Err(inner)) => nest(&mut faults, &format!("{place}.matching"), inner),
                _ => {}
            }
            if built.routes.insert(route.name.clone(), route.clone()).is_some() {
                faults.add(format!("{place}.name"), "another route has this name");
            }
        }
        let order = |(_, route): &(CompiledMatching, Arc<Route>)| {
            (route.matching.as_ref().map(|matching| matching.priority), route.id)
        };
        built.matching.sort_by_key(order);
        for (id, key) in &catalog.service_keys {
            let place = format!("service_keys[{id}]");
            nest(&mut faults, &place, key.faults());
            let nobody = Owner { active: false, uses_all_upstreams: false };
            let owner = catalog.owners.get(&key.owner).copied().unwrap_or(nobody);
            let caller = Caller {
                key: key.as_ref().clone(),
                owner_active: owner.active,
                owner_uses_all: owner.uses_all_upstreams,
            };
            let caller = Arc::new(caller);
            let previous = key.previous.iter().map(|previous| &previous.public_id);
            for public_id in std::iter::once(&key.public_id).chain(previous) {
                if built.callers.insert(public_id.clone(), caller.clone()).is_some() {
                    faults.add(format!("{place}.public_id"), "another service key has this id");
                }
            }
        }
        for (id, limit) in &catalog.limits {
            nest(&mut faults, &format!("limits[{id}]"), limit.faults());
        }
        built.add_rules(catalog, &mut faults);
        faults.none_or(built)
    }

    fn add_upstream(&mut self, id: UpstreamId, entry: &Arc<UpstreamEntry>, faults: &mut Faults) {
        let upstream = &entry.upstream;
        let place = format!("upstreams[{id}]");
        nest(faults, &place, upstream.faults());
        if self.upstream_names.insert(upstream.name.clone(), id).is_some() {
            faults.add(format!("{place}.name"), "another upstream has this name");
        }
        if upstream.enabled {
            if upstream.models.is_empty() {
                self.open.push(id);
            }
            for model in &upstream.models {
                self.models.entry(model.clone()).or_default().push(id);
            }
        }
        self.upstreams.insert(id, entry.clone());
    }

    /// Assigns rules to upstreams: their own and those of all.
    fn add_rules(&mut self, catalog: &Catalog, faults: &mut Faults) {
        let mut rules: Vec<_> = catalog.rules.values().filter(|r| r.rule.enabled).collect();
        rules.sort_by_key(|compiled| (compiled.rule.priority, compiled.rule.id));
        for (id, entry) in &catalog.upstreams {
            let concerns = |r: &&&Arc<CompiledRule>| r.rule.concerns(&entry.upstream);
            let own: Vec<_> = rules.iter().filter(concerns).map(|r| Arc::clone(r)).collect();
            if own.len() > crate::Rule::PER_UPSTREAM_MAX {
                let most = crate::Rule::PER_UPSTREAM_MAX;
                faults.add(format!("upstreams[{id}].rules"), format!("must be at most {most}"));
            }
            if !own.is_empty() {
                self.rules.insert(*id, Ruleset::new(own));
            }
        }
    }

    /// Returns the enabled limits.
    pub fn limits(&self) -> &[Arc<Limit>] {
        &self.limits
    }

    /// Returns the rules of an upstream, if there are any.
    pub fn rules(&self, upstream: UpstreamId) -> Option<&Ruleset> {
        self.rules.get(&upstream)
    }

    /// Returns the caller with this public id. The key itself must still be compared.
    pub fn caller(&self, public_id: &str) -> Option<&Arc<Caller>> {
        self.callers.get(public_id)
    }

    /// Returns the upstream with this id, enabled or not.
    pub fn upstream(&self, id: UpstreamId) -> Option<&Arc<UpstreamEntry>> {
        self.upstreams.get(&id)
    }

    /// Returns the upstream with this name, enabled or not.
    pub fn upstream_named(&self, name: &str) -> Option<&Arc<UpstreamEntry>> {
        self.upstreams.get(self.upstream_names.get(name)?)
    }

    /// Returns all upstreams, unordered.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<UpstreamEntry>> {
        self.upstreams.values()
    }

    /// Returns the route with this name, enabled or not.
    pub fn route(&self, model: &str) -> Option<&Arc<Route>> {
        self.routes.get(model)
    }

    /// Returns the enabled route whose conditions match the call.
    pub fn route_taking(&self, call: Matched<'_, '_>) -> Option<&Arc<Route>> {
        self.matching.iter().find(|(matching, _)| matching.takes(call)).map(|(_, route)| route)
    }

    /// Returns all routes, unordered.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values()
    }

    /// Returns the enabled upstreams for the plain model name: those that list it, or if there are
    /// none, those without a list.
    pub fn serving(&self, model: &str) -> &[UpstreamId] {
        self.models.get(model).map_or(&self.open, Vec::as_slice)
    }

    /// Returns every plain model name that an enabled upstream lists, with those upstreams.
    pub fn models(&self) -> impl Iterator<Item = (&str, &[UpstreamId])> {
        self.models.iter().map(|(model, ids)| (model.as_str(), ids.as_slice()))
    }

    /// Returns the addresses of all upstreams, whose names are kept resolved.
    pub fn base_urls(&self) -> impl Iterator<Item = &BaseUrl> {
        self.upstreams.values().map(|entry| &entry.upstream.base_url)
    }

    /// Returns all callers; one with a previous key occurs twice.
    pub fn callers(&self) -> impl Iterator<Item = &Arc<Caller>> {
        self.callers.values()
    }

    /// Returns the number of service keys.
    pub fn callers_len(&self) -> usize {
        self.callers.len()
    }

    /// Returns the caller with this service key id, for tests and planned calls.
    pub fn caller_of(&self, id: ServiceKeyId) -> Option<&Arc<Caller>> {
        self.callers.values().find(|caller| caller.key.id == id)
    }
}

fn nest(faults: &mut Faults, place: &str, inner: Faults) {
    for fault in inner.0 {
        let field = match fault.field.as_str() {
            // The resource as a whole is invalid.
            "" => place.to_owned(),
            field => format!("{place}.{field}"),
        };
        faults.add(field, fault.message);
    }
}
