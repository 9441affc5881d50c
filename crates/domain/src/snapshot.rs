//! The configuration as served: compiled once from a [`Catalog`], then only read.

use std::{collections::HashMap, sync::Arc};

use crate::{
    BaseUrl, Caller, Catalog, Faults, Owner, Revision, Route, ServiceKeyId, UpstreamEntry,
    UpstreamId,
};

/// One view of the world: every request reads the one it started with, to its end.
#[derive(Debug)]
pub struct Snapshot {
    /// The change it was compiled from.
    pub revision: Revision,
    upstreams: HashMap<UpstreamId, Arc<UpstreamEntry>>,
    upstream_names: HashMap<String, UpstreamId>,
    callers: HashMap<String, Arc<Caller>>,
    routes: HashMap<String, Arc<Route>>,
    /// Plain model name → the upstreams that list it.
    models: HashMap<String, Vec<UpstreamId>>,
    /// Upstreams that list no models and so may be asked for any.
    open: Vec<UpstreamId>,
}

impl Snapshot {
    /// Compiles `catalog`, or tells every field because of which it cannot be served. Field paths
    /// begin with the thing at fault: `upstreams[3].base_url`.
    pub fn compile(catalog: &Catalog) -> Result<Snapshot, Faults> {
        let mut faults = Faults::default();
        let mut built = Snapshot {
            revision: catalog.revision,
            upstreams: HashMap::with_capacity(catalog.upstreams.len()),
            upstream_names: HashMap::with_capacity(catalog.upstreams.len()),
            callers: HashMap::with_capacity(catalog.service_keys.len()),
            routes: HashMap::with_capacity(catalog.routes.len()),
            models: HashMap::new(),
            open: Vec::new(),
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
            if built.routes.insert(route.name.clone(), route.clone()).is_some() {
                faults.add(format!("{place}.name"), "another route has this name");
            }
        }
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
            if built.callers.insert(key.public_id.clone(), Arc::new(caller)).is_some() {
                faults.add(format!("{place}.public_id"), "another service key has this id");
            }
        }
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

    /// The caller whose key has this public id. The key itself must still be compared.
    pub fn caller(&self, public_id: &str) -> Option<&Arc<Caller>> {
        self.callers.get(public_id)
    }

    /// The upstream with this id, enabled or not.
    pub fn upstream(&self, id: UpstreamId) -> Option<&Arc<UpstreamEntry>> {
        self.upstreams.get(&id)
    }

    /// The upstream of this name, enabled or not.
    pub fn upstream_named(&self, name: &str) -> Option<&Arc<UpstreamEntry>> {
        self.upstreams.get(self.upstream_names.get(name)?)
    }

    /// All upstreams, in no order.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<UpstreamEntry>> {
        self.upstreams.values()
    }

    /// The route of this name, enabled or not.
    pub fn route(&self, model: &str) -> Option<&Arc<Route>> {
        self.routes.get(model)
    }

    /// All routes, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values()
    }

    /// The enabled upstreams that may be asked for the plain name `model`: those that list it, and
    /// only where there is none, those that list nothing.
    pub fn serving(&self, model: &str) -> &[UpstreamId] {
        self.models.get(model).map_or(&self.open, Vec::as_slice)
    }

    /// Every plain model name that an enabled upstream lists, with those upstreams.
    pub fn models(&self) -> impl Iterator<Item = (&str, &[UpstreamId])> {
        self.models.iter().map(|(model, ids)| (model.as_str(), ids.as_slice()))
    }

    /// The addresses of all upstreams, for what keeps their names resolved.
    pub fn base_urls(&self) -> impl Iterator<Item = &BaseUrl> {
        self.upstreams.values().map(|entry| &entry.upstream.base_url)
    }

    /// How many service keys are known.
    pub fn callers_len(&self) -> usize {
        self.callers.len()
    }

    /// The caller of a service key id, for what is asked by id (tests, decision traces).
    pub fn caller_of(&self, id: ServiceKeyId) -> Option<&Arc<Caller>> {
        self.callers.values().find(|caller| caller.key.id == id)
    }
}

fn nest(faults: &mut Faults, place: &str, inner: Faults) {
    for fault in inner.0 {
        faults.add(format!("{place}.{}", fault.field), fault.message);
    }
}
