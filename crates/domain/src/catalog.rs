//! The configuration as stored, read whole at one revision.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    CompiledRule, Limit, LimitId, ProviderKey, Revision, Route, RouteId, RuleId, ServiceKey,
    ServiceKeyId, Upstream, UpstreamId, UserId,
};

/// Everything that the data plane is configured with, at one revision. Parts that a change did
/// not touch are the same allocation as in the catalog before, so that compiling can tell.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// The number of the change that made it.
    pub revision: Revision,
    /// Who owns things, as far as that decides what a key reaches.
    pub owners: BTreeMap<UserId, Owner>,
    /// The upstreams, each with its pool.
    pub upstreams: BTreeMap<UpstreamId, Arc<UpstreamEntry>>,
    /// The keys that callers show.
    pub service_keys: BTreeMap<ServiceKeyId, Arc<ServiceKey>>,
    /// The model names that callers may ask for.
    pub routes: BTreeMap<RouteId, Arc<Route>>,
    /// How much callers may use.
    pub limits: BTreeMap<LimitId, Arc<Limit>>,
    /// What is to happen when calls meet conditions.
    pub rules: BTreeMap<RuleId, Arc<CompiledRule>>,
}

impl Catalog {
    /// A catalog with nothing in it, as before the first change.
    pub fn empty() -> Self {
        Self {
            revision: Revision(0),
            owners: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            service_keys: BTreeMap::new(),
            routes: BTreeMap::new(),
            limits: BTreeMap::new(),
            rules: BTreeMap::new(),
        }
    }
}

/// An upstream and its key pool.
#[derive(Debug, Clone)]
pub struct UpstreamEntry {
    /// The upstream itself.
    pub upstream: Upstream,
    /// All keys of its pool by id, also those that may not be used.
    pub keys: Vec<Arc<ProviderKey>>,
}

/// What decides how far an owner's service keys reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Whether the user may sign in.
    pub active: bool,
    /// Whether the user's role may use the upstreams of others.
    pub uses_all_upstreams: bool,
}
