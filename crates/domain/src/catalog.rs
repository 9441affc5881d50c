//! The configuration as stored, read whole at one revision.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    CompiledRule, Limit, LimitId, ProviderKey, Revision, Route, RouteId, RuleId, ServiceKey,
    ServiceKeyId, Upstream, UpstreamId, UserId,
};

/// The configuration of the data plane at one revision. Parts that a change did not touch share
/// their allocation with the previous catalog, so that unchanged parts can be recognised.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// The revision of the change that made it.
    pub revision: Revision,
    /// The owners, as far as they limit service keys.
    pub owners: BTreeMap<UserId, Owner>,
    /// The upstreams with their key pools.
    pub upstreams: BTreeMap<UpstreamId, Arc<UpstreamEntry>>,
    /// The service keys.
    pub service_keys: BTreeMap<ServiceKeyId, Arc<ServiceKey>>,
    /// The routes.
    pub routes: BTreeMap<RouteId, Arc<Route>>,
    /// The limits.
    pub limits: BTreeMap<LimitId, Arc<Limit>>,
    /// The rules.
    pub rules: BTreeMap<RuleId, Arc<CompiledRule>>,
}

impl Catalog {
    /// Returns an empty catalog, as before the first change.
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
    /// All keys of the pool by id, including those that may not be used.
    pub keys: Vec<Arc<ProviderKey>>,
}

/// The properties of a user that limit the user's service keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Whether the user may sign in.
    pub active: bool,
    /// Whether the user's role may use the upstreams of others.
    pub uses_all_upstreams: bool,
}
