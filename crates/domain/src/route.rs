//! A route: a model name that callers may ask for, and who could answer.

use crate::{Faults, RouteId, UpstreamId, UserId};

/// A model name and its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its id.
    pub id: RouteId,
    /// Who made it.
    pub owner: UserId,
    /// The model name that callers ask for; unique.
    pub name: String,
    /// Whether it is served.
    pub enabled: bool,
    /// Who could answer.
    pub targets: Vec<Target>,
}

/// One place that could answer a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub upstream: UpstreamId,
    /// The model to ask there; `None` keeps the name that was asked for.
    pub model: Option<String>,
    /// Its share among targets of equal priority, 1 to 1000.
    pub weight: u32,
    /// Lower is tried first; the others follow when it fails.
    pub priority: u32,
}

impl Route {
    /// Most targets of one route.
    pub const TARGETS_MAX: usize = 64;

    /// Everything about it that could not be served, but for targets that do not exist.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.name.is_empty()
            || self.name.len() > 256
            || self.name.bytes().any(|b| !(0x21..=0x7e).contains(&b))
        {
            faults.add("name", "must be 1 to 256 visible ASCII characters without spaces");
        }
        if self.targets.is_empty() || self.targets.len() > Self::TARGETS_MAX {
            faults.add("targets", format!("must be 1 to {}", Self::TARGETS_MAX));
        }
        for (i, target) in self.targets.iter().enumerate() {
            if !(1..=1000).contains(&target.weight) {
                faults.add(format!("targets[{i}].weight"), "must be 1 to 1000");
            }
            if target.model.as_ref().is_some_and(|m| m.is_empty() || m.len() > 256) {
                faults.add(format!("targets[{i}].model"), "must be 1 to 256 bytes");
            }
        }
        faults
    }
}
